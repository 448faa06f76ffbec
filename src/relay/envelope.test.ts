import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { GetFlowsResponseSchema } from '../hubble/generated/observer_pb.js';
import { endNamespaces, readEnvelope, WireError } from './envelope.ts';

const namespace = fc.option(fc.string({ minLength: 1, maxLength: 8 }), { nil: undefined });
const response = fc.record({
  seconds: fc.bigInt({ min: -5n, max: 4_000_000_000n }), nanos: fc.nat(999_999_999), source: namespace, destination: namespace,
  node: fc.string(), uuid: fc.string(), labels: fc.array(fc.string()), cookie: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

test('time, kind and namespaces are what the whole decoder would say', () => {
  fc.assert(fc.property(response, ({ seconds, nanos, source, destination, node, uuid, labels, cookie }) => {
    const bytes = toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, {
      nodeName: node, time: { seconds, nanos },
      responseTypes: { case: 'flow', value: { uuid, socketCookie: cookie, source: { namespace: source, labels }, destination: { namespace: destination, identity: 7 } } },
    }));
    assert.deepEqual(readEnvelope(bytes), { kind: 'flow', seconds: Number(seconds), nanos });
    assert.deepEqual(endNamespaces(bytes), { source, destination });
  }));
});

test('node states and lost events are told apart, and need no time', () => {
  const of = (value: Parameters<typeof create<typeof GetFlowsResponseSchema>>[1]) => readEnvelope(toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, value)));
  assert.deepEqual(of({ responseTypes: { case: 'nodeStatus', value: { nodeNames: ['a'] } } }), { kind: 'node_status', seconds: 0, nanos: 0 });
  assert.deepEqual(of({ responseTypes: { case: 'lostEvents', value: { numEventsLost: 3n } }, time: { seconds: 9n } }), { kind: 'lost_events', seconds: 9, nanos: 0 });
  assert.deepEqual(of({}), { kind: 'other', seconds: 0, nanos: 0 });
});

test('no bytes make it fail otherwise than with a WireError', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
    for (const read of [readEnvelope, endNamespaces]) {
      try {
        read(bytes);
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }
  }), { numRuns: 1000 });
});
