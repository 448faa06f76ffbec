/** Requests as bytes, for tests. */
import type { KafkaL7Rule } from '../../model/l7.ts';
import type { Struct } from './codec.ts';
import { readableMessage } from './messages.ts';
import { writeRequest } from './write-request.ts';

/** Hexadecimal with spaces, 'text in quotes' and comments after #. */
export function bytesOf(text: string): Buffer {
  const parts = text.replaceAll(/#.*$/gm, '').match(/'[^']*'|[0-9a-f]{2}/g) ?? [];
  return Buffer.concat(parts.map(part => (part.startsWith("'") ? Buffer.from(part.slice(1, -1), 'latin1') : Buffer.from(part, 'hex'))));
}

/** A whole request with its size, as a client would write it. */
export function requestBytes(key: number, version: number, body: Struct, { correlationId = 7, clientId = 'rdkafka' as string | undefined } = {}): Buffer {
  const message = readableMessage(key, version);
  if (!message) throw new Error(`no schema for key ${key} version ${version}`);
  return Buffer.from(writeRequest(message, { apiVersion: version, correlationId, clientId }, body));
}

/** Seed 05, as the engine writes its roles out. */
export const ordersRules: readonly KafkaL7Rule[] = [
  { rule: 11, apiKeys: [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 17, 18, 23, 28, 36], topic: 'orders.created' },
  { rule: 12, apiKeys: [0, 3, 10, 17, 18, 22, 24, 25, 26, 36], topic: 'orders.processed' },
];
