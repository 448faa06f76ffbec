import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { httpSetCodec } from '../../datapath/generated/structs.ts';
import { bytesCodec } from '../../ebpf/codec.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { L7Set } from '../../model/l7.ts';
import { silentLogger } from '../../std/log.ts';
import { KernelHttpSets, type CompileTables } from './sets.ts';

const inner = { ...specs.httpSets.inner!, value: bytesCodec(httpSetCodec.size) };
const set = (rule: number, kernel = true): L7Set => ({ protocol: 'http', rules: [{ rule, method: 'GET', headers: [] }], ...(kernel && { kernel: true as const }) });
/** Tables of which only the rule's id matters; rule 13 has none. */
const compile: CompileTables = wanted => {
  if (wanted.protocol !== 'http' || wanted.rules[0]!.rule === 13) return { unfit: 'too many rules' };
  const tables = Buffer.alloc(httpSetCodec.size);
  tables.writeUInt32LE(wanted.rules[0]!.rule, 288);
  return { tables };
};

function makeSets(map: BpfMap<number, number>, options: { readonly room?: number; readonly unable?: string; readonly now?: () => number; readonly compile?: CompileTables } = {}): KernelHttpSets {
  return new KernelHttpSets({ map, compile, room: 3, log: silentLogger, ...options });
}

/** The rule's id in the tables that a number leads to. */
function ruleIn(map: BpfMap<number, number>, number: number): number | undefined {
  const id = map.lookup(number);
  if (id === undefined) return undefined;
  using tables = BpfMap.openById(inner, id);
  return Buffer.from(tables!.lookup(0)!).readUInt32LE(288);
}

const idsIn = (map: BpfMap<number, number>): number[] => [...map.entries()].map(([number]) => number).sort((a, b) => a - b);

test('a set that asks for the kernel is in it when its number is given; others are not', () => {
  using map = BpfMap.create(specs.httpSets);
  const sets = makeSets(map);
  sets.numbered(5, set(50));
  sets.numbered(6, set(60, false));
  sets.numbered(7, { protocol: 'dns', rules: [] });
  sets.numbered(8, set(13));
  assert.deepEqual(idsIn(map), [5]);
  assert.equal(ruleIn(map, 5), 50);
  assert.deepEqual([5, 6, 7, 8].map(number => sets.has(number)), [true, false, false, false]);
  assert.deepEqual(sets.places(new Map([[5, set(50)], [6, set(60, false)], [8, set(13)]])), [
    { number: 5, rules: 1, wanted: 'kernel', place: 'kernel' },
    { number: 6, rules: 1, wanted: 'proxy', place: 'proxy' },
    { number: 8, rules: 1, wanted: 'kernel', place: 'proxy', reason: 'too many rules' },
  ]);
});

test('the next agent takes over what it would write itself, and writes anew what differs', () => {
  using map = BpfMap.create(specs.httpSets);
  makeSets(map).numbered(5, set(50));
  makeSets(map).numbered(6, set(60));
  const before = map.lookup(5);
  const sets = makeSets(map);
  assert.equal(sets.has(5), false, 'until policy asks for it nobody says what it means');
  sets.numbered(5, set(50));
  assert.equal(map.lookup(5), before);
  const other = makeSets(map, { compile: () => compile(set(51)) });
  other.numbered(5, set(50));
  assert.notEqual(map.lookup(5), before);
  assert.equal(ruleIn(map, 5), 51);
});

test('a set that nothing names stays for ten minutes, and gives its place to one that needs it', () => {
  using map = BpfMap.create(specs.httpSets);
  let now = 0;
  const sets = makeSets(map, { now: () => now });
  const inUse = (...numbers: number[]): Map<number, L7Set> => new Map(numbers.map(number => [number, set(number)]));
  for (const number of [1, 2, 3]) sets.numbered(number, set(number));
  sets.retire(inUse(1, 2, 3));
  now = 60_000;
  sets.retire(inUse(1));
  now = 120_000;
  sets.numbered(2, set(2));
  sets.retire(inUse(1, 2));
  sets.numbered(4, set(4));
  assert.deepEqual(idsIn(map), [1, 2, 4], 'the one that nothing names has made room');
  sets.numbered(5, set(5));
  assert.match(sets.places(inUse(5))[0]!.reason ?? '', /holds 3 sets/);
  now = 130_000;
  assert.equal(sets.retire(inUse(1, 5)), false, 'not yet: it is tried again half a minute later');
  now = 160_000;
  assert.equal(sets.retire(inUse(1, 5)), true);
  assert.deepEqual([sets.has(5), sets.places(inUse(5))[0]!.place], [true, 'kernel']);
  now = 160_000 + 10 * 60_000 + 1;
  sets.retire(inUse(1));
  now += 10 * 60_000 + 1;
  sets.retire(inUse(1));
  assert.deepEqual(idsIn(map), [1]);
});

test('where the kernel is to carry out nothing, what an earlier agent has put there goes after the pass', () => {
  using map = BpfMap.create(specs.httpSets);
  makeSets(map).numbered(5, set(50));
  const sets = makeSets(map, { unable: 'l7.headers is set' });
  sets.numbered(5, set(50));
  assert.equal(sets.has(5), false);
  assert.deepEqual(idsIn(map), [5], 'rows may still lead there');
  sets.retire(new Map([[5, set(50)]]));
  assert.deepEqual(idsIn(map), []);
  assert.equal(sets.places(new Map([[5, set(50)]]))[0]!.reason, 'l7.headers is set');
});

test('tables that do not go in are the proxy\'s, and are tried again', () => {
  using map = BpfMap.create(specs.httpSets);
  let now = 0;
  let broken = true;
  const outer = { lookup: (key: number) => map.lookup(key), delete: (key: number) => map.delete(key), entries: () => map.entries(), update: (key: number, value: number) => {
    if (broken) throw new Error('no memory');
    map.update(key, value);
  } };
  const sets = new KernelHttpSets({ map: outer, compile, room: 3, log: silentLogger, now: () => now });
  sets.numbered(5, set(50));
  assert.deepEqual([sets.has(5), sets.places(new Map([[5, set(50)]]))[0]!.reason], [false, 'no memory']);
  broken = false;
  sets.numbered(5, set(50));
  assert.equal(sets.has(5), false, 'not at once');
  now = 30_001;
  sets.numbered(5, set(50));
  assert.equal(sets.has(5), true);
});
