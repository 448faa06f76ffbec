import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { latenciesOf, latencyAt, tailRatio } from './tails.ts';

const histogram = fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 50 })), { minLength: 1, maxLength: 30 }).map(all => new Map(all));

test('a part of all requests is below it, whatever bursts they came in', () => {
  fc.assert(fc.property(fc.array(histogram, { minLength: 1, maxLength: 5 }), fc.constantFrom(0.5, 0.9, 0.99), (histograms, part) => {
    const all = histograms.flatMap(each => [...each].flatMap(([us, count]) => Array<number>(count).fill(us))).sort((a, b) => a - b);
    assert.equal(latencyAt(part, histograms), all[Math.ceil(part * all.length - 1e-9) - 1]);
  }));
});

test('the same bursts are as slow as themselves, and those that took twice as long are twice as slow', () => {
  const rounds = [[new Map([[100, 990], [500, 10]])], [new Map([[100, 980], [700, 20]])], [new Map([[100, 995], [300, 5]])]];
  const twice = rounds.map(bursts => bursts.map(each => new Map([...each].map(([us, count]) => [2 * us, count] as const))));
  const same = tailRatio(0.99, rounds, rounds)!;
  assert.deepEqual([same.median, same.low, same.high, same.rounds], [1, 1, 1, 3]);
  assert.equal(tailRatio(0.99, twice, rounds)!.median, 2);
  assert.equal(tailRatio(0.99, [], rounds), undefined);
});

test('what the script prints is read', () => {
  assert.deepEqual([...latenciesOf('  1 threads\nlatencies 104:1,107:12\nRequests/sec: 3\n')], [[104, 1], [107, 12]]);
  assert.equal(latenciesOf('nothing').size, 0);
});
