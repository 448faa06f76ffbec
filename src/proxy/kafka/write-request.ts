import { Writer, writeMessage } from './codec.ts';
import type { Struct } from './codec.ts';
import type { Message } from './messages.ts';
import type { RequestHeader } from './request.ts';

/** A whole request with its size. */
export function writeRequest(message: Message, { apiVersion, correlationId, clientId }: Pick<RequestHeader, 'apiVersion' | 'correlationId' | 'clientId'>, body: Struct): Buffer {
  const writer = new Writer();
  writer.int32(0);
  writer.int16(message.key);
  writer.int16(apiVersion);
  writer.int32(correlationId);
  writer.length(clientId === undefined ? -1 : clientId.length, false, false);
  writer.text(clientId ?? '');
  if (apiVersion >= message.request.flexibleFrom) writer.varint(0);
  writeMessage(message.request, apiVersion, body, writer);
  writer.sizeAt(0);
  return writer.done();
}
