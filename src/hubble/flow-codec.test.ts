import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { flowArb } from '../flows/testing-arbitrary.ts';
import type { FlowView } from '../flows/consumer.ts';
import type { Flow } from '../model/flow.ts';
import { compileFieldMask } from './field-mask.ts';
import { FlowEncoder, flowToProto } from './flow-codec.ts';
import { flowFromProto } from './flow-from-proto.ts';
import { GetFlowsResponseSchema } from './generated/observer_pb.js';
import { fieldsOf, pruneMessage } from './wire.ts';

test('what is written is what a general encoder would write, and reads back as it was', () => {
  const encoder = new FlowEncoder();
  fc.assert(fc.property(flowArb, flow => {
    const bytes = encoder.response(flow);
    const message = fromBinary(GetFlowsResponseSchema, bytes);
    assert.equal(Buffer.from(toBinary(GetFlowsResponseSchema, message)).toString('hex'), Buffer.from(bytes).toString('hex'), 'the same bytes');
    assert.equal(message.nodeName, flow.nodeName);
    assert.deepEqual([message.time?.seconds, message.time?.nanos], [BigInt(flow.seconds), flow.nanos]);
    assert.equal(message.responseTypes.case, 'flow');
    const { seconds: _, nanos: __, packetless, ...expected } = flow;
    const read = flowFromProto(message.responseTypes.value as Parameters<typeof flowFromProto>[0]);
    assert.deepEqual(read, expected as Flow);
    assert.equal((message.responseTypes.value as Parameters<typeof flowFromProto>[0]).cirri?.packetless ?? false, packetless);
    assert.deepEqual(flowFromProto(flowToProto(flow)), expected as Flow);
    // Ends are kept encoded: the second time must not differ.
    assert.deepEqual(Buffer.from(encoder.response(flow)), Buffer.from(bytes.slice()));
  }), { numRuns: 400 });
});

const defaultMask = [
  'time', 'verdict', 'ethernet', 'IP', 'l4', 'source.identity', 'source.namespace', 'source.pod_name', 'destination.identity', 'destination.namespace', 'destination.pod_name', 'Type', 'node_name', 'l7', 'event_type',
  'source_service', 'destination_service', 'is_reply', 'Summary', 'ip_trace_id', 'traffic_direction', 'policy_match_type', 'ingress_allowed_by', 'ingress_denied_by', 'egress_allowed_by', 'egress_denied_by',
];

test('a field mask leaves what it names, at any depth', () => {
  const paths = ['time', 'uuid', 'verdict', 'IP.source', 'IP', 'l4.TCP.flags', 'l4.UDP', 'source', 'source.pod_name', 'source.labels', 'destination.identity', 'destination.workloads', 'l7.http.url', 'l7.dns', 'cirri.rule.name', 'cirri', 'Summary', 'event_type.type', 'node_labels', 'ingress_denied_by', 'tunnel.IP.source', 'is_reply'];
  fc.assert(fc.property(flowArb, fc.oneof(fc.constant(defaultMask), fc.subarray(paths, { minLength: 1 }).chain(list => fc.shuffledSubarray(list, { minLength: list.length }))), (flow, wanted) => {
    const mask = compileFieldMask(wanted)!;
    const response = fromBinary(GetFlowsResponseSchema, new FlowEncoder(mask).response(flow));
    const whole = new FlowEncoder().flow(flow);
    assert.equal(response.nodeName, flow.nodeName);
    assert.equal(response.responseTypes.case, 'flow');
    const masked = new FlowEncoder(mask).flow(flow);
    assert.deepEqual(Buffer.from(masked), Buffer.from(pruneMessage(whole, mask.fields)));
    const naive = fromBinary(GetFlowsResponseSchema, Buffer.concat([Buffer.from([0x0a]), varint(masked.length), masked]));
    assert.deepEqual(response.responseTypes.value, naive.responseTypes.value);
  }), { numRuns: 200 });
});

test('a mask over what does not exist is refused by name', () => {
  assert.equal(compileFieldMask([]), undefined);
  for (const path of ['nothing', 'source.nothing', 'time.', '', 'verdict.x', 'ingress_denied_by.name', 'nodeName']) assert.throws(() => compileFieldMask([path]), { code: 'ERR_FIELD_MASK', message: /^invalid fieldmask/ });
  assert.throws(() => compileFieldMask(Array.from({ length: 257 }, () => 'time')), { code: 'ERR_FIELD_MASK' });
});

test('bytes that are no message are an error, never a loop', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
    try {
      for (const _ of fieldsOf(bytes)) { /* reads on */ }
    } catch (error) {
      assert.ok(error instanceof RangeError);
    }
  }));
});

test('numbers at their limits', () => {
  fc.assert(fc.property(fc.oneof(fc.constantFrom(127, 128, 16_383, 16_384, 2 ** 21 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1), fc.maxSafeNat()), value => {
    const flow = { ...sample, connectLatencyNs: value } as FlowView;
    assert.equal(flowFromProto(flowToProto(flow)).connectLatencyNs, value || undefined);
  }));
});

const sample = fc.sample(flowArb, { seed: 7, numRuns: 1 })[0]!;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 128; value >>>= 7) bytes.push((value & 127) | 128);
  return Buffer.from([...bytes, value]);
}
