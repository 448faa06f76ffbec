/** Requests as bytes, for tests. */
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
