import test from 'node:test';
import assert from 'node:assert/strict';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { WorkQueue } from './queue.ts';

function setup(handle: (key: string) => Promise<number | void>, concurrency = 2, more: { paceMs?: number } = {}) {
  const abort = new AbortController();
  const queue = new WorkQueue({ name: 'test', handle, concurrency, log: silentLogger, signal: abort.signal, random: () => 0, ...more });
  return { queue, abort };
}

test('many adds are one turn, and what is added meanwhile is one more', async () => {
  const gates: (() => void)[] = [];
  const { queue } = setup(() => new Promise(resolve => gates.push(resolve)));
  for (let i = 0; i < 5; i++) queue.add('a');
  await waitFor('the first', () => gates.length === 1);
  for (let i = 0; i < 5; i++) queue.add('a');
  assert.equal(gates.length, 1);
  gates[0]!();
  await waitFor('the second', () => gates.length === 2);
  gates[1]!();
  await waitFor('rest', () => queue.size === 0);
  assert.equal(gates.length, 2);
});

test('no more run at once than allowed', async () => {
  let running = 0;
  let most = 0;
  const { queue } = setup(async () => {
    most = Math.max(most, ++running);
    await new Promise(resolve => setImmediate(resolve));
    running--;
  });
  for (let i = 0; i < 20; i++) queue.add(`k${i}`);
  await waitFor('rest', () => queue.size === 0);
  assert.equal(most, 2);
});

test('a failing key comes back and does not hold up the others', async () => {
  let left = 3;
  const done: string[] = [];
  const { queue } = setup(async key => {
    if (key === 'bad' && left-- > 0) throw new Error('not yet');
    done.push(key);
  });
  queue.add('bad');
  queue.add('good');
  await waitFor('both', () => done.length === 2);
  assert.deepEqual(done, ['good', 'bad']);
  assert.equal(queue.failing, 0);
});

test('an earlier look wins over a later one', async () => {
  let count = 0;
  const { queue, abort } = setup(async () => void count++);
  queue.addAfter('a', 60_000);
  queue.addAfter('a', 1);
  await waitFor('it', () => count === 1);
  abort.abort();
  queue.add('a');
  assert.equal(queue.size, 0);
});

test('a paced key is handled at once, and then once more for all that came meanwhile', async () => {
  const starts: number[] = [];
  const { queue } = setup(async () => void starts.push(performance.now()), 2, { paceMs: 30 });
  for (let i = 0; i < 10; i++) {
    queue.add('a');
    await new Promise(resolve => setImmediate(resolve));
  }
  await waitFor('the last', () => starts.length === 2);
  // The pace counts from when it was decided to start, which `handle` hears of a little later.
  assert.ok(starts[1]! - starts[0]! >= 15);
});
