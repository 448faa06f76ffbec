import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { optimalPrefixes, rangeToPrefixes } from './prefixes.ts';
import type { PrefixRow } from './prefixes.ts';

const port = fc.integer({ min: 0, max: 65535 });

test('a range is covered exactly, by prefixes of which no two could be one', () => {
  fc.assert(fc.property(port, port, (a, b) => {
    const [start, end] = [Math.min(a, b), Math.max(a, b)];
    const prefixes = rangeToPrefixes(start, end);
    let next = start;
    for (const [i, p] of prefixes.entries()) {
      assert.equal(p.port, next);
      next += 2 ** (16 - p.bits);
      const sibling = prefixes[i + 1];
      if (sibling?.bits === p.bits) assert.notEqual(p.port >>> (17 - p.bits), sibling.port >>> (17 - p.bits));
    }
    assert.equal(next, end + 1);
    assert.ok(prefixes.length <= 30);
  }));
});

function longestMatch(rows: readonly PrefixRow[], number: number, inherited: number): number {
  const matching = rows.filter(r => (r.port ^ number) >>> (16 - r.bits) === 0).sort((a, b) => b.bits - a.bits);
  return matching[0]?.value ?? inherited;
}

test('the rows give the function back, with no more rows than a range each on top of the inherited value', () => {
  const steps = fc.uniqueArray(fc.tuple(port, fc.integer({ min: 0, max: 3 })), { selector: ([start]) => start, maxLength: 12 });
  fc.assert(fc.property(steps, fc.integer({ min: 0, max: 3 }), (list, inherited) => {
    const intervals = [{ start: 0, value: 0 }, ...list.filter(([s]) => s > 0).map(([start, value]) => ({ start, value })).sort((a, b) => a.start - b.start)];
    const merged = intervals.filter((interval, i) => i === 0 || interval.value !== intervals[i - 1]!.value);
    const rows = optimalPrefixes(merged, inherited);
    const valueAt = (n: number) => merged.findLast(i => i.start <= n)!.value;
    for (const n of merged.flatMap(i => [i.start, i.start + 1, i.start - 1]).filter(p => p >= 0 && p <= 65535)) assert.equal(longestMatch(rows, n, inherited), valueAt(n));
    const naive = merged.flatMap((i, k) => (i.value === inherited ? [] : rangeToPrefixes(i.start, (merged[k + 1]?.start ?? 65536) - 1)));
    assert.ok(rows.length <= naive.length);
  }));
});

test('a hole in everything is one row for everything and one for the hole', () => {
  const rows = optimalPrefixes([{ start: 0, value: 1 }, { start: 80, value: 2 }, { start: 81, value: 1 }], 0);
  assert.deepEqual(rows, [{ port: 0, bits: 0, value: 1 }, { port: 80, bits: 16, value: 2 }]);
});
