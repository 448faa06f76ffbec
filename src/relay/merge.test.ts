import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Merge } from './merge.ts';
import type { Timed } from './sort-buffer.ts';

const never = new AbortController().signal;

async function* numbers(list: readonly number[], turn: () => Promise<void> = () => Promise.resolve()): AsyncGenerator<Timed<number>[], void, undefined> {
  for (const n of list) {
    await turn();
    yield [{ seconds: n, nanos: 0, item: n }];
  }
}

async function all(merge: Merge<number>, signal = never): Promise<number[]> {
  const out: number[] = [];
  for await (const batch of merge.batches(signal)) out.push(...batch);
  return out;
}

const immediate = () => new Promise<void>(resolve => setImmediate(resolve));

test('histories of different length, told at different speed, come out in order', async () => {
  const merge = new Merge<number>({ follow: false });
  const even = Array.from({ length: 1000 }, (_, i) => 2 * i);
  const odd = Array.from({ length: 300 }, (_, i) => 2 * i + 1);
  void merge.add('a', numbers(even), never);
  void merge.add('b', numbers(odd, immediate), never);
  void merge.add('c', numbers([]), never);
  assert.deepEqual(await all(merge), [...even, ...odd].sort((x, y) => x - y));
});

test('a stream that fails gives what it had told, and the others go on', async () => {
  const merge = new Merge<number>({ follow: false });
  const broken = (async function* () {
    yield* numbers([1, 3]);
    throw new Error('gone');
  })();
  const ended = assert.rejects(merge.add('a', broken, never), /gone/);
  void merge.add('b', numbers([2, 4]), never);
  assert.deepEqual(await all(merge), [1, 2, 3, 4]);
  await ended;
});

test('a reader waits while nobody takes what it has read', async () => {
  const merge = new Merge<number>({ follow: false, bufferLength: 10 });
  let read = 0;
  const source = (async function* () {
    for (const n of Array.from({ length: 1000 }, (_, i) => i)) {
      read++;
      yield [{ seconds: n, nanos: 0, item: n }];
    }
  })();
  void merge.add('a', source, never);
  for (let i = 0; i < 20; i++) await immediate();
  assert.equal(read, 10);
  assert.equal((await all(merge)).length, 1000);
});

test('it ends when the signal aborts although streams are open, and their readers are let go', async () => {
  const merge = new Merge<number>({ follow: true });
  const leaving = new AbortController();
  const endless = (async function* () {
    for (let n = 0; ; n++) yield [{ seconds: n, nanos: 0, item: n }];
  })();
  const reading = merge.add('a', endless, leaving.signal);
  const out: number[] = [];
  for await (const batch of merge.batches(leaving.signal)) {
    out.push(...batch);
    if (out.length > 10_000) leaving.abort();
  }
  await reading;
  assert.deepEqual(out, Array.from({ length: out.length }, (_, i) => i));
});

test('while somebody holds it, it waits for the stream that is still to be added', async () => {
  const merge = new Merge<number>({ follow: false });
  const letGo = merge.hold();
  void merge.add('a', numbers([1]), never);
  const result = all(merge);
  await immediate();
  merge.tell(0);
  void merge.add('b', numbers([2]), never).then(letGo);
  assert.deepEqual([...(await result)].sort(), [0, 1, 2]);
});
