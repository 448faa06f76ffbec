import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CniError, retryMs } from './cni.ts';

test('a pod waits for the network agent in short steps, however often it asked; for all else longer and longer', () => {
  const longest = (error: unknown, failures: number) => retryMs(error, failures, () => 0.999);
  const agentIsAway = new CniError('the network agent is not running', 11);
  for (const failures of [1, 2, 5, 50]) assert.ok(longest(agentIsAway, failures) <= 500);
  assert.ok(longest(new CniError('no address is free', 101), 50) > 10_000);
  assert.ok(longest(new Error('anything'), 50) > 10_000);
});
