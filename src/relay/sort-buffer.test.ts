import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortBuffer, type SortOptions } from './sort-buffer.ts';

interface Event {
  readonly stream: number;
  /** Time of what is told, and how long it takes until it is heard. */
  readonly at: number;
  readonly delay: number;
}

const options: SortOptions = { follow: true, drainMs: 1000, windowMs: 100, perStream: 4096 };
const events = (maxDelay: number) => fc.array(fc.record({ stream: fc.nat(3), at: fc.nat(2000), delay: fc.nat(maxDelay) }), { maxLength: 200 });

interface Heard extends Event {
  readonly heardAt: number;
  readonly id: number;
}

/** Each stream in its own order, and when each of its events is heard: never before what the stream told earlier. */
function schedule(list: readonly Event[]): Heard[] {
  const last = [0, 0, 0, 0];
  return list
    .map((event, id) => ({ ...event, id }))
    .sort((a, b) => a.at - b.at || a.id - b.id)
    .map(event => ({ ...event, heardAt: (last[event.stream] = Math.max(last[event.stream]!, event.at + event.delay)) }))
    .sort((a, b) => a.heardAt - b.heardAt);
}

/** Runs a millisecond at a time from 0 until `endAt`; streams close at `closeAt`, where that is told. */
function run(heard: readonly Heard[], options: SortOptions, endAt: number, closeAt?: number): Heard[] {
  const buffer = new SortBuffer<Heard>(options);
  for (const stream of [0, 1, 2, 3]) buffer.open(String(stream), 0);
  const out: Heard[] = [];
  let next = 0;
  for (let now = 0; now <= endAt; now++) {
    for (; next < heard.length && heard[next]!.heardAt <= now; next++) {
      const item = heard[next]!;
      buffer.push(String(item.stream), { seconds: Math.floor(item.at / 1000), nanos: (item.at % 1000) * 1e6, item }, now);
    }
    if (now === closeAt) for (const stream of [0, 1, 2, 3]) buffer.close(String(stream));
    out.push(...buffer.take(now));
  }
  return out;
}

const ids = (list: readonly Heard[]) => list.map(event => event.id).sort((a, b) => a - b);
const isSorted = (list: readonly Heard[]) => list.every((event, i) => i === 0 || list[i - 1]!.at <= event.at);

test('streams that are less late than the window come out in order, nothing lost or doubled', () => {
  fc.assert(fc.property(events(99), list => {
    const heard = schedule(list);
    const out = run(heard, options, 4000);
    assert.deepEqual(ids(out), ids(heard));
    assert.ok(isSorted(out));
  }));
});

test('however late they are, nothing is lost or doubled, and each stream keeps its own order', () => {
  fc.assert(fc.property(events(1500), fc.boolean(), fc.integer({ min: 1, max: 5 }), (list, follow, perStream) => {
    const heard = schedule(list);
    const out = run(heard, { ...options, follow, perStream }, 6000, 3600);
    assert.deepEqual(ids(out), ids(heard));
    for (const stream of [0, 1, 2, 3]) assert.ok(isSorted(out.filter(event => event.stream === stream)));
  }));
});

test('history is in exact order as long as no stream is silent for longer than the drain timeout', () => {
  let held = 0;
  const list = fc.array(fc.record({ stream: fc.nat(3), at: fc.nat(2000), delay: fc.nat(900) }), { minLength: 60, maxLength: 200 });
  fc.assert(fc.property(list, list => {
    const heard = schedule(list);
    const endAt = heard.at(-1)!.heardAt + 1;
    const out = run(heard, { ...options, follow: false }, endAt + 1, endAt);
    assert.deepEqual(ids(out), ids(heard));
    // A stream may pause for long because it has nothing to tell: only those that pause less are held to the order.
    const pauses = [0, 1, 2, 3].some(stream => {
      const times = [0, ...heard.filter(event => event.stream === stream).map(event => event.heardAt), endAt];
      return times.some((time, i) => i > 0 && time - times[i - 1]! >= 1000);
    });
    if (pauses) return;
    held++;
    assert.ok(isSorted(out));
  }));
  assert.ok(held > 50, `only ${held} of the random streams said something`);
});

test('a stream that is silent does not hold up what others tell for longer than the window', () => {
  const buffer = new SortBuffer<string>(options);
  buffer.open('a', 0);
  buffer.open('b', 0);
  buffer.push('b', { seconds: 0, nanos: 0, item: 'first' }, 10);
  buffer.push('a', { seconds: 1, nanos: 0, item: 'second' }, 10);
  assert.deepEqual(buffer.take(10), ['first']);
  assert.deepEqual(buffer.take(109), []);
  assert.equal(buffer.nextAt(), 110);
  assert.deepEqual(buffer.take(110), ['second']);
  assert.equal(buffer.nextAt(), undefined);
});

test('a stream that has not said anything yet is waited for until the drain timeout, and no longer', () => {
  const buffer = new SortBuffer<string>({ ...options, follow: false });
  buffer.open('a', 0);
  buffer.open('stuck', 0);
  buffer.push('a', { seconds: 1, nanos: 0, item: 'one' }, 5);
  assert.deepEqual(buffer.take(999), []);
  assert.deepEqual(buffer.take(1000), ['one']);
  buffer.push('a', { seconds: 2, nanos: 0, item: 'two' }, 1500);
  assert.deepEqual(buffer.take(1500), ['two'], 'not again for every further event');
});

test('a stream that ends is not waited for', () => {
  const buffer = new SortBuffer<string>({ ...options, follow: false });
  buffer.open('a', 0);
  buffer.open('b', 0);
  buffer.push('a', { seconds: 1, nanos: 0, item: 'one' }, 1);
  buffer.close('b');
  assert.deepEqual(buffer.take(1), ['one']);
  assert.equal(buffer.isDone, false);
  buffer.close('a');
  assert.equal(buffer.isDone, true);
});

test('a reader is told to stop when its stream holds too much, and then nothing of it waits for what is new', () => {
  const buffer = new SortBuffer<number>({ ...options, perStream: 3 });
  buffer.open('a', 0);
  buffer.open('b', 0);
  for (let i = 0; i < 3; i++) {
    assert.equal(buffer.isFull('a'), false);
    buffer.push('a', { seconds: i, nanos: 0, item: i }, 0);
  }
  assert.equal(buffer.isFull('a'), true);
  assert.deepEqual(buffer.take(0), [0]);
  assert.equal(buffer.isFull('a'), false);
});
