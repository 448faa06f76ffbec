import { create, toBinary } from '@bufbuild/protobuf';
import type { Method } from '../rpc/types.ts';
import { CirriError } from '../std/errors.ts';
import { JsonMessageSchema } from './generated/cirri_pb.js';
import { streamMethod } from './method.ts';

/** What `cirri.Flows` offers, each a stream of JSON: the service map's intervals, the history's rows. */
export type JsonMethodName = 'WatchMap' | 'QueryHistory';

/**
 * A method of service `cirri.Flows`: the request's JSON in, values out. `answer` ends when the signal aborts. A CirriError is
 * the user's (INVALID_ARGUMENT).
 */
export function jsonMethod(name: JsonMethodName, answer: (request: unknown, signal: AbortSignal) => AsyncIterable<unknown>): Method {
  return streamMethod(`/cirri.Flows/${name}`, JsonMessageSchema, async (request, call) => {
    for await (const value of answer(parse(request.json), call.signal)) {
      if (call.signal.aborted) return;
      await call.write(encodeJson(value));
    }
  });
}

/** The same with JSON that is passed on unread: its bytes in, bytes out. */
export function jsonBytesMethod(name: JsonMethodName, answer: (request: Uint8Array, signal: AbortSignal) => AsyncIterable<Uint8Array>): Method {
  return streamMethod(`/cirri.Flows/${name}`, JsonMessageSchema, async (request, call) => {
    for await (const json of answer(request.json, call.signal)) {
      if (call.signal.aborted) return;
      await call.write(toBinary(JsonMessageSchema, create(JsonMessageSchema, { json })));
    }
  });
}

/** A cirri.JsonMessage. */
export function encodeJson(value: unknown): Uint8Array {
  return toBinary(JsonMessageSchema, create(JsonMessageSchema, { json: Buffer.from(JSON.stringify(value)) }));
}

function parse(json: Uint8Array): unknown {
  if (json.length === 0) return {};
  try {
    return JSON.parse(Buffer.from(json).toString('utf8'));
  } catch (cause) {
    throw new CirriError('ERR_JSON', 'the request is no JSON', { cause });
  }
}
