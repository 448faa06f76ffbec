/** The JSON that we write by hand for clients of lines is the one that protobuf's own writer makes of what clients of gRPC get. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson, createRegistry } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { flowToJson, type Json } from '../flows/jsonpb.ts';
import { flowArb } from '../flows/testing-arbitrary.ts';
import { anyFlow } from '../flows/testing-flows.ts';
import type { Flow } from '../model/flow.ts';
import { flowToProto } from './flow-codec.ts';
import { FlowSchema } from './generated/flow_pb.js';

/**
 * `reply` is the old form of `is_reply`; reasons of our own have no name in the enum, which protobuf then writes as a number; an
 * end with nothing in it is as good as none; the point of a capture comes from other systems' flows alone, which nobody encodes
 * anew; whether a packet stands behind a flow is the view's to say.
 */
function comparable(json: Json): Json {
  const { reply: _, drop_reason_desc: reason, source, destination, debug_capture_point: __, cirri, ...rest } = json;
  const filled = (name: string, value: unknown) => (value !== undefined && Object.keys(value as Json).length > 0 ? { [name]: value } : {});
  const { packetless: ___, ...details } = (cirri ?? {}) as Json;
  // 206 is of the monitor alone: the enum has no name for it either.
  const known = reason !== undefined && (rest['drop_reason'] as number ?? 0) < 220 && rest['drop_reason'] !== 206;
  return { ...rest, ...(known && { drop_reason_desc: reason }), ...filled('source', source), ...filled('destination', destination), ...filled('cirri', details) };
}

const theirs = (flow: Flow) => comparable(toJson(FlowSchema, flowToProto(flow), { useProtoFieldName: true, registry: createRegistry() }) as Json);
const ours = (flow: Flow) => comparable(JSON.parse(JSON.stringify(flowToJson(flow).flow)) as Json);

test('flows of every kind', () => {
  fc.assert(fc.property(anyFlow(fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' })), flow => assert.deepEqual(ours(flow), theirs(flow))), { numRuns: 400 });
});

test('flows as the server’s tests make them', () => {
  fc.assert(fc.property(flowArb, flow => assert.deepEqual(ours(flow), theirs(flow))), { numRuns: 400 });
});
