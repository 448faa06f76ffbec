import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestHistory, TestWorld } from './testing.ts';
import { timeNs } from './time.ts';

const since = timeNs('2026-11-20T00:00:00Z');
const until = timeNs('2026-11-22T12:00:00Z');

test('what is recorded is what is read: every field of every flow, in order', async () => {
  const world = new TestWorld({ namespaces: 4, workloads: 12, pods: 40, outside: 60 });
  const flows = [...world.flows(5000, since, until)];
  await using history = await TestHistory.start();
  await history.record(flows);
  assert.deepEqual(await history.flows(), flows);
  assert.deepEqual(await history.flows({ last: 10 }), flows.slice(-10));
  assert.deepEqual(await history.flows({ first: 10 }), flows.slice(0, 10));
  assert.deepEqual(await history.flows({ since: flows[1000]!.time, until: flows[1999]!.time }), flows.slice(1000, 2000));
});
