/** Responses that do not pass as they are: versions that clients are told of, and lists of topics that are more than they may see. */
import { Cursor, readMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import { KafkaError, writeResponse } from './deny.ts';
import { ApiKey, messageOf, toldVersion } from './messages.ts';
import type { Message } from './messages.ts';
import { list } from './request.ts';
import type { TopicFilter } from './rules.ts';

/** `bytes` is a whole response with its size; gives what is sent instead. */
export type Rewrite = (bytes: Buffer) => Buffer;

/** A server's message may be longer than a client's. */
const maxElements = 2_000_000;

interface Response {
  readonly correlationId: number;
  readonly body: Struct;
}

function readResponse(message: Message, version: number, bytes: Buffer): Response {
  const cursor = new Cursor(bytes, 4, bytes.length, maxElements);
  const correlationId = cursor.int32();
  if (version >= message.response.flexibleFrom && message.key !== ApiKey.apiVersions) cursor.tagged();
  return { correlationId, body: readMessage(message.response, version, cursor) };
}

/**
 * Clients are told of no key and no version that cannot be read here, nor of those that name topics by id (KIP-516): they then use
 * names, which is what policy speaks of. SaslHandshake 0 goes too: after it come bytes without a request around them.
 */
export function tellVersions(version: number): Rewrite {
  return bytes => {
    const message = messageOf(ApiKey.apiVersions)!;
    // KIP-511: a broker that does not know the version asked for answers in version 0.
    const written = bytes.length >= 10 && bytes.readInt16BE(8) === KafkaError.unsupportedVersion ? 0 : version;
    const { correlationId, body } = readResponse(message, written, bytes);
    return writeResponse(message, written, correlationId, { ...body, apiKeys: list(body, 'apiKeys').flatMap(toldRange) });
  };
}

function toldRange(range: Struct): readonly Struct[] {
  const key = Number(range['apiKey']);
  const minVersion = Math.max(Number(range['minVersion']), key === ApiKey.saslHandshake ? 1 : 0);
  const maxVersion = Math.min(Number(range['maxVersion']), toldVersion(key));
  return minVersion <= maxVersion ? [{ ...range, minVersion, maxVersion }] : [];
}

/** To a version of ApiVersions that is newer than this proxy. */
export function newerVersionAsked(correlationId: number): Buffer {
  const message = messageOf(ApiKey.apiVersions)!;
  return writeResponse(message, 0, correlationId, { errorCode: KafkaError.unsupportedVersion, apiKeys: [{ apiKey: ApiKey.apiVersions, minVersion: 0, maxVersion: toldVersion(ApiKey.apiVersions) }] });
}

/** Metadata without the topics that may not be told, as brokers leave them out; those asked for by name are there with the error. */
export function tellTopics(message: Message, version: number, isTold: TopicFilter, refused: readonly string[]): Rewrite {
  return bytes => {
    const { correlationId, body } = readResponse(message, version, bytes);
    const told = list(body, 'topics').filter(topic => typeof topic['name'] === 'string' && isTold(topic['name']));
    const errors = refused.map(name => ({ name, errorCode: KafkaError.topicAuthorizationFailed }));
    return writeResponse(message, version, correlationId, { ...body, topics: [...told, ...errors] });
  };
}

/** OffsetFetch of all topics of a group. */
export function tellOffsets(message: Message, version: number, isTold: TopicFilter): Rewrite {
  const told = (struct: Struct) => list(struct, 'topics').filter(topic => isTold(String(topic['name'])));
  return bytes => {
    const { correlationId, body } = readResponse(message, version, bytes);
    const groups = list(body, 'groups').map(group => ({ ...group, topics: told(group) }));
    return writeResponse(message, version, correlationId, { ...body, topics: told(body), groups });
  };
}

/** The first error that a response bears, 0 when none; undefined when it cannot be read. */
export function errorIn(message: Message, version: number, bytes: Buffer): number | undefined {
  try {
    return firstError(readResponse(message, version, bytes).body);
  } catch {
    return undefined;
  }
}

function firstError(struct: Struct): number {
  for (const name in struct) {
    const value = struct[name]!;
    if (name === 'errorCode') {
      if (value !== 0) return Number(value);
    } else if (Array.isArray(value)) {
      for (const item of value) {
        const error = typeof item === 'object' && item !== null && !(item instanceof Uint8Array) ? firstError(item as Struct) : 0;
        if (error !== 0) return error;
      }
    }
  }
  return 0;
}
