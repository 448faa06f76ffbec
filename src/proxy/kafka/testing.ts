/** Requests as bytes, for tests. */
import { Writer, writeMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import { readableMessage } from './messages.ts';

/** Hexadecimal with spaces, 'text in quotes' and comments after #. */
export function bytesOf(text: string): Buffer {
  const parts = text.replaceAll(/#.*$/gm, '').match(/'[^']*'|[0-9a-f]{2}/g) ?? [];
  return Buffer.concat(parts.map(part => (part.startsWith("'") ? Buffer.from(part.slice(1, -1), 'latin1') : Buffer.from(part, 'hex'))));
}

/** A whole request with its size, as a client would write it. */
export function requestBytes(key: number, version: number, body: Struct, { correlationId = 7, clientId = 'rdkafka' as string | null } = {}): Buffer {
  const message = readableMessage(key, version);
  if (!message) throw new Error(`no schema for key ${key} version ${version}`);
  const writer = new Writer();
  writer.int32(0);
  writer.int16(key);
  writer.int16(version);
  writer.int32(correlationId);
  writer.length(clientId === null ? -1 : clientId.length, false, false);
  writer.text(clientId ?? '');
  if (version >= message.request.flexibleFrom) writer.varint(0);
  writeMessage(message.request, version, body, writer);
  writer.sizeAt(0);
  return Buffer.from(writer.done());
}
