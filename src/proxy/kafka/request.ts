import { Cursor, KafkaFault, readMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import { ApiKey, namesTopics, readableMessage } from './messages.ts';
import type { Message } from './messages.ts';

/** The beginning of a request, which all versions of all messages have alike. */
export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  /** Binary; undefined when null. */
  readonly clientId: string | undefined;
  /** Undefined: the key or its version is not known, nothing after the client id can be read. */
  readonly message: Message | undefined;
  /** Where the body begins; of unknown messages where the client id ends. */
  readonly body: number;
}

/** What a request asks of topics. */
export type Topics =
  /** The key has no topics, or none is named. */
  | { readonly kind: 'none' }
  | { readonly kind: 'named'; readonly names: readonly string[] }
  /** All that the broker has. */
  | { readonly kind: 'all' }
  /** It cannot be seen which: an unknown message, a topic's id, a resource that is not a topic. */
  | { readonly kind: 'hidden' };

/** [start, end) is a request without its size. Throws KafkaCut when it ends within the header. */
export function readHeader(bytes: Buffer, start: number, end: number): RequestHeader {
  const cursor = new Cursor(bytes, start, end);
  const apiKey = cursor.int16();
  const apiVersion = cursor.int16();
  const correlationId = cursor.int32();
  const length = cursor.length(false, false);
  const clientId = length < 0 ? undefined : cursor.text(length);
  const message = readableMessage(apiKey, apiVersion);
  // Header v2 goes with the flexible versions; its client id kept the old form.
  if (message && apiVersion >= message.request.flexibleFrom) cursor.tagged();
  return { apiKey, apiVersion, correlationId, clientId, message, body: cursor.at };
}

/** The whole body; throws KafkaFault for what no client writes. */
export function readBody(message: Message, version: number, bytes: Buffer, start: number, end: number): Struct {
  return readMessage(message.request, version, new Cursor(bytes, start, end));
}

/** Topics of a request that was read whole. */
export function topicsOf(key: number, version: number, body: Struct): Topics {
  if (!namesTopics(key)) return { kind: 'none' };
  switch (key) {
    case ApiKey.produce: return named(list(body, 'topics'));
    case ApiKey.fetch: return named([...list(body, 'topics'), ...list(body, 'forgotten')]);
    case ApiKey.metadata:
      // Before version 1 the empty list was for all, since then null is.
      if (body['topics'] === null || (version === 0 && list(body, 'topics').length === 0)) return { kind: 'all' };
      return named(list(body, 'topics'));
    case ApiKey.offsetFetch: {
      if (version < 8) return body['topics'] === null ? { kind: 'all' } : named(list(body, 'topics'));
      const groups = list(body, 'groups');
      if (groups.some(group => group['topics'] === null)) return { kind: 'all' };
      return named(groups.flatMap(group => list(group, 'topics')));
    }
    case ApiKey.deleteTopics: return version < 6 ? namesOf((body['names'] ?? []) as readonly string[]) : named(list(body, 'topics'));
    case ApiKey.addPartitionsToTxn: return named(version < 4 ? list(body, 'topics') : list(body, 'transactions').flatMap(one => list(one, 'topics')));
    case ApiKey.describeConfigs: case ApiKey.alterConfigs: case ApiKey.incrementalAlterConfigs: {
      const resources = list(body, 'resources');
      if (resources.some(resource => resource['resourceType'] !== topicResource)) return { kind: 'hidden' };
      return namesOf(resources.map(resource => resource['resourceName'] as string));
    }
    case ApiKey.describeTopicPartitions: return list(body, 'topics').length === 0 ? { kind: 'all' } : named(list(body, 'topics'));
    default: return named(list(body, 'topics'));
  }
}

const topicResource = 2;

export function list(struct: Struct, name: string): readonly Struct[] {
  return (struct[name] ?? []) as readonly Struct[];
}

function named(topics: readonly Struct[]): Topics {
  return topics.some(topic => typeof topic['name'] !== 'string') ? { kind: 'hidden' } : namesOf(topics.map(topic => topic['name'] as string));
}

function namesOf(names: readonly string[]): Topics {
  return names.length === 0 ? { kind: 'none' } : { kind: 'named', names: [...new Set(names)] };
}

/** The beginning of a Produce, before its records: enough to judge it when it has one topic. */
export interface ProduceStart {
  readonly acks: number;
  /** Undefined: none or more than one, or one by id. */
  readonly onlyTopic: string | undefined;
}

/** Throws KafkaCut while too little of it is there. */
export function readProduceStart(message: Message, version: number, bytes: Buffer, start: number, end: number): ProduceStart {
  const cursor = new Cursor(bytes, start, end);
  const flexible = version >= message.request.flexibleFrom;
  if (version >= 3) {
    const length = cursor.length(flexible, false);
    if (length > 0) cursor.take(length);
  }
  const acks = cursor.int16();
  cursor.take(4);
  const count = cursor.length(flexible, true);
  if (count < 0) throw new KafkaFault('topics is null');
  if (count !== 1 || version > message.namesUntil) return { acks, onlyTopic: undefined };
  const length = cursor.length(flexible, false);
  if (length < 0) throw new KafkaFault('name is null');
  return { acks, onlyTopic: cursor.text(length) };
}

/** Where `sessionId` and, after it, `sessionEpoch` of a Fetch from version 7 on stand. */
export function fetchSessionAt(header: RequestHeader): number {
  return header.body + (header.apiVersion <= 14 ? 4 : 0) + 4 + 4 + 4 + 1;
}
