import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { maglevTable } from './maglev.ts';
import type { MaglevBackend } from './maglev.ts';
import { murmur3 } from './murmur3.ts';

const options = { tableSize: 16_381, hashSeed: 'JLfvgnHc2kaSUFaI' };
const named = (n: number, weight = 1): MaglevBackend => ({ name: `10.244.${n >> 8}.${n & 255}:8080/TCP`, weight });
const many = (count: number) => Array.from({ length: count }, (_, i) => named(i));
const shares = (table: Uint32Array, count: number) => {
  const counts = new Array<number>(count).fill(0);
  for (const i of table) counts[i]!++;
  return counts;
};

test('murmur3 gives the published values', () => {
  const hex = (text: string, seed: number) => murmur3(Buffer.from(text), seed).map(h => h.toString(16).padStart(16, '0')).join('');
  assert.equal(hex('', 0), '0'.repeat(32));
  assert.equal(hex('hello', 0), 'cbd8a7b341bd9b025b1e906a48ae1d19');
  assert.equal(hex('The quick brown fox jumps over the lazy dog', 0), 'e34bbc7bbc071b6c7a433ca9c49a9347');
});

test('the order of backends does not matter, and every entry names one of them', () => {
  fc.assert(fc.property(fc.uniqueArray(fc.tuple(fc.nat(500), fc.integer({ min: 1, max: 20 })), { selector: ([n]) => n, minLength: 1, maxLength: 30 }), fc.infiniteStream(fc.nat()), (list, random) => {
    const small = { ...options, tableSize: 1_021 };
    const backends = list.map(([n, weight]) => named(n, weight));
    const shuffled = backends.map(b => ({ b, at: random.next().value as number })).sort((x, y) => x.at - y.at).map(x => x.b);
    const names = (of: readonly MaglevBackend[]) => Array.from(maglevTable(of, small), i => of[i]!.name);
    assert.deepEqual(names(shuffled), names(backends));
    assert.equal(names(backends).length, 1_021);
  }));
});

test('shares are as the weights, to a hundredth of the table', () => {
  for (const count of [1, 2, 3, 7, 100]) assert.ok(Math.max(...shares(maglevTable(many(count), options), count)) - Math.min(...shares(maglevTable(many(count), options), count)) <= 1);
  fc.assert(fc.property(fc.oneof(fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 2, maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 2, maxLength: 20 })), weights => {
    const counts = shares(maglevTable(weights.map((weight, i) => named(i, weight)), options), weights.length);
    const sum = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, i) => assert.ok(Math.abs(counts[i]! / options.tableSize - weight / sum) < 0.01, `${counts[i]} entries for weight ${weight} of ${sum}`));
  }), { numRuns: 60 });
});

test('when one of N backends goes, few of the others\' entries move: at most 1 in N and 1.5 %, while a backend has a hundred entries', t => {
  for (const count of [2, 3, 5, 10, 20, 50, 100, 160]) {
    const before = maglevTable(many(count), options);
    let worst = 0;
    for (const gone of [0, count >> 1, count - 1]) {
      const left = many(count).filter((_, i) => i !== gone);
      const after = maglevTable(left, options);
      const others = before.filter(i => i !== gone).length;
      const moved = before.reduce((n, i, entry) => n + (i !== gone && left[after[entry]!]!.name !== named(i).name ? 1 : 0), 0);
      worst = Math.max(worst, moved / others);
    }
    t.diagnostic(`${count} backends: ${(worst * 100).toFixed(2)} % of the others' entries move`);
    assert.ok(worst <= 1 / count + 0.015, `${worst} of ${count}`);
  }
});

test('a table takes time in proportion to its entries', t => {
  const sizes = [16_381, 131_071] as const;
  const rounds = Array.from({ length: 15 }, () => sizes.map(tableSize => {
    const from = performance.now();
    maglevTable(many(100), { ...options, tableSize });
    return performance.now() - from;
  }) as [number, number]);
  // Each round for itself: a machine that becomes slow in the middle is as slow for both.
  const [small, large] = rounds.sort(([a, b], [c, d]) => b / a - d / c)[7]!;
  t.diagnostic(`100 backends: median ${small.toFixed(2)} ms for ${sizes[0]} entries, ${large.toFixed(2)} ms for ${sizes[1]}`);
  // Eight times as many. Were it by their square, it would be 64 times as long.
  assert.ok(large < 24 * small, `${large} ms, ${small} ms`);
});

test('no backends, no table; more backends than entries is an error', () => {
  assert.equal(maglevTable([], options).length, 0);
  assert.throws(() => maglevTable(many(11), { ...options, tableSize: 11 }), /11 entries has no room for 11 backends/);
});
