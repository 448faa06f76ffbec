import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { flowId } from './flow-id.ts';

test('ids are what bigints would make of them', () => {
  fc.assert(fc.property(fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 34 })), fc.nat(999_999_999), fc.nat(10_000), (seconds, nanos, sequence) => {
    const time = (BigInt(seconds) * 1_000_000_000n + BigInt(nanos)).toString(36);
    assert.equal(flowId('n1', seconds, nanos, sequence), `n1-${time}-${(sequence % 1296).toString(36)}`);
  }), { numRuns: 2000 });
});
