/** Answers to requests that do not pass: as the broker would answer for a principal without the right. */
import { Writer, writeMessage } from './codec.ts';
import type { Struct, Value } from './codec.ts';
import { ApiKey } from './messages.ts';
import type { Message } from './messages.ts';
import { list } from './request.ts';
import type { RequestHeader } from './request.ts';

/** Of the protocol's errors, those that are written here. */
export const KafkaError = {
  messageTooLarge: 10, topicAuthorizationFailed: 29, groupAuthorizationFailed: 30, clusterAuthorizationFailed: 31, unsupportedSaslMechanism: 33,
  unsupportedVersion: 35, transactionalIdAuthorizationFailed: 53, fetchSessionIdNotFound: 70,
} as const;

/** A whole response with its size. `response` says what differs from the schema's defaults. */
export function writeResponse(message: Message, version: number, correlationId: number, response: Struct): Buffer {
  const writer = new Writer();
  writer.int32(0);
  writer.int32(correlationId);
  // KIP-511: who asks for versions does not know them yet, so the header stays as it was.
  if (version >= message.response.flexibleFrom && message.key !== ApiKey.apiVersions) writer.varint(0);
  writeMessage(message.response, version, response, writer);
  writer.sizeAt(0);
  return writer.done();
}

export interface Denial {
  readonly bytes: Buffer;
  readonly errorCode: number;
}

/** The refusal of a request that was read. */
export function denial(message: Message, header: RequestHeader, body: Struct): Denial {
  const errorCode = errorOf(message.key);
  return { bytes: writeResponse(message, header.apiVersion, header.correlationId, refusal(message.key, header.apiVersion, body, errorCode)), errorCode };
}

const nothing = Buffer.alloc(0);

function errorOf(key: number): number {
  return errors[key] ?? KafkaError.clusterAuthorizationFailed;
}

const errors: Readonly<Record<number, number>> = {
  ...Object.fromEntries([0, 1, 2, 3, 8, 9, 19, 20, 21, 23, 24, 28, 32, 33, 37, 44, 47, 75].map(key => [key, KafkaError.topicAuthorizationFailed])),
  ...Object.fromEntries([10, 11, 12, 13, 14, 15, 16, 42].map(key => [key, KafkaError.groupAuthorizationFailed])),
  22: KafkaError.transactionalIdAuthorizationFailed, 25: KafkaError.transactionalIdAuthorizationFailed, 26: KafkaError.transactionalIdAuthorizationFailed,
};

/** The response's fields, named after the request's: the error stands where the protocol has a place for it. */
function refusal(key: number, version: number, body: Struct, errorCode: number): Struct {
  switch (key) {
    case ApiKey.metadata: return { topics: list(body, 'topics').map(({ name = null, topicId }) => ({ name, ...(topicId !== undefined && { topicId }), errorCode })) };
    case ApiKey.offsetFetch:
      return { errorCode: version >= 2 && version <= 7 ? errorCode : 0, topics: offsetsOf(body, errorCode), groups: list(body, 'groups').map(group => ({ groupId: group['groupId']!, topics: offsetsOf(group, errorCode), errorCode })) };
    case ApiKey.findCoordinator: return { errorCode, coordinators: texts(body, 'keys').map(one => ({ key: one, errorCode })) };
    case ApiKey.joinGroup: return { errorCode, memberId: body['memberId']! };
    case 15: return { groups: texts(body, 'groups').map(groupId => ({ groupId, errorCode })) };
    case 42: return { results: texts(body, 'groups').map(groupId => ({ groupId, errorCode })) };
    case 30: return { results: list(body, 'creations').map(() => ({ errorCode })) };
    case 31: return { filterResults: list(body, 'filters').map(() => ({ errorCode })) };
    case ApiKey.deleteTopics:
      return { topics: version < 6 ? texts(body, 'names').map(name => ({ name, errorCode })) : list(body, 'topics').map(topic => ({ ...topic, errorCode })) };
    case ApiKey.addPartitionsToTxn:
      return { topics: partitionsOf(body, errorCode), transactions: list(body, 'transactions').map(one => ({ transactionalId: one['transactionalId']!, topics: partitionsOf(one, errorCode) })) };
    case ApiKey.describeConfigs: case ApiKey.alterConfigs: case ApiKey.incrementalAlterConfigs:
      return { results: list(body, 'resources').map(({ resourceType = 0, resourceName = '' }) => ({ resourceType, resourceName, errorCode: resourceType === 2 ? errorCode : KafkaError.clusterAuthorizationFailed })) };
    case 19: case ApiKey.describeTopicPartitions: return { topics: list(body, 'topics').map(topic => ({ name: topic['name']!, errorCode })) };
    case 37: return { results: list(body, 'topics').map(topic => ({ name: topic['name']!, errorCode })) };
    case ApiKey.fetch: return { topics: partitionsOf(body, errorCode, { records: nothing }) };
    case 47: return { topics: partitionsOf(body, errorCode) };
    default: return { errorCode, topics: partitionsOf(body, errorCode) };
  }
}

function texts(body: Struct, name: string): readonly string[] {
  return (body[name] ?? []) as readonly string[];
}

/** Topics with partitions, which requests give as numbers or as structs with `index`. */
function partitionsOf(body: Struct, errorCode: number, more: Struct = {}): readonly Struct[] {
  return list(body, 'topics').map(({ name, topicId, partitions }) => ({
    ...(name !== undefined && { name }), ...(topicId !== undefined && { topicId }),
    partitions: ((partitions ?? []) as readonly Value[]).map(one => ({ index: typeof one === 'number' ? one : (one as Struct)['index']!, errorCode, ...more })),
  }));
}

/** As for others, with the empty text that brokers send as metadata. */
function offsetsOf(body: Struct, errorCode: number): readonly Struct[] {
  return partitionsOf(body, errorCode, { metadata: '' });
}
