import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../../datapath/generated/structs.ts';
import type { CompiledSet, SetDelta, VerdictRow } from '../../policy/compile.ts';
import { PolicySets, type PolicySetMaps } from './sets.ts';

/** A BPF hash of our own that obeys the same rules: it has a limit, and keys compare by content. */
class FakeMap<K, V> {
  readonly held = new Map<string, V>();
  readonly spec: { readonly maxEntries: number };
  /** What `lookup` answers for a key, for a kernel that does not hold what was written. */
  lie: ((key: K) => V | undefined) | undefined;
  constructor(maxEntries = 1000) { this.spec = { maxEntries }; }
  lookup(key: K): V | undefined { return this.lie ? this.lie(key) : this.held.get(JSON.stringify(key)); }
  update(key: K, value: V): void {
    if (!this.held.has(JSON.stringify(key)) && this.held.size >= this.spec.maxEntries) throw new Error('E2BIG');
    this.held.set(JSON.stringify(key), value);
  }
  updateBatch(entries: readonly (readonly [K, V])[]): void { for (const [key, value] of entries) this.update(key, value); }
  deleteBatch(keys: readonly K[]): void { for (const key of keys) this.delete(key); }
  delete(key: K): boolean { return this.held.delete(JSON.stringify(key)); }
  *entries(): Generator<[K, V]> { for (const [key, value] of this.held) yield [JSON.parse(key) as K, value]; }
  count(): number { return this.held.size; }
}

function fakeMaps(limits: { classes?: number; verdicts?: number } = {}) {
  const classes = new FakeMap<PolicyClassKey, PolicyClass>(limits.classes);
  const verdicts = new FakeMap<PolicyVerdictKey, PolicyVerdict>(limits.verdicts);
  return { classes, verdicts, maps: { classes, verdicts } as unknown as PolicySetMaps };
}

const row = (rule: number, more: Partial<VerdictRow> = {}): VerdictRow => ({ class: 1, protocol: 6, port: 80, portBits: 16, verdict: 'allow', rule, match: 2, ...more });
const set = (name: string, classes: [number, number][], verdicts: VerdictRow[]): CompiledSet =>
  ({ key: name, hash: JSON.stringify([classes, verdicts]), direction: 'ingress', enforced: true, classes: new Map(classes), verdicts, rules: new Map() });

test('a set is written whole under a number of its own, and an equal one is shared', () => {
  const { maps, classes, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  const one = sets.ensure(set('a', [[300, 1]], [row(7)]));
  assert.equal(sets.ensure(set('a', [[300, 1]], [row(7)])), one);
  assert.deepEqual([...classes.entries()], [[{ set: one.id, identity: 300 }, { class: 1 }]]);
  assert.deepEqual([...verdicts.entries()], [[{ prefixBits: 96, set: one.id, class: 1, protocol: 6, port: 80 }, { rule: 7, shadowRule: 0, l7: 0, verdict: 1, match: 2, shadowVerdict: 0, flags: 0 }]]);
});

test('any protocol is a 64 bit prefix, any port an 80 bit one', () => {
  const { maps, verdicts } = fakeMaps();
  new PolicySets(maps).ensure(set('a', [], [row(1, { protocol: null, port: 0, portBits: 0 }), row(2, { port: 0, portBits: 0 })]));
  assert.deepEqual([...verdicts.entries()].map(([key]) => key.prefixBits).sort(), [64, 80]);
});

test('a new identity is one entry in the set that is in force; one that went stays until nothing leads to it', () => {
  const { maps, classes, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  const one = sets.ensure(set('a', [[300, 1]], [row(7)]));
  const two = sets.ensure(set('a', [[300, 1], [301, 1]], [row(7)]));
  assert.equal(two.id, one.id);
  assert.equal(classes.held.size, 2);
  assert.equal(verdicts.held.size, 1);
  const three = sets.ensure(set('a', [[301, 2]], [row(7, { class: 2 })]));
  assert.equal(three.id, one.id);
  assert.equal(classes.lookup({ set: 1, identity: 301 })?.class, 2);
  assert.equal(classes.held.size + verdicts.held.size, 4, 'before the ipcache has been brought up to date nothing goes');
  sets.retain(new Set(['a']));
  assert.deepEqual([...classes.entries()], [[{ set: one.id, identity: 301 }, { class: 2 }]]);
  assert.deepEqual([...verdicts.entries()].map(([key]) => key.class), [2]);
});

test('what went and came back before the clean-up stays', () => {
  const { maps, classes, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  sets.ensure(set('a', [[300, 1]], [row(7)]));
  sets.ensure(set('a', [], []));
  sets.ensure(set('a', [[300, 1]], [row(7)]));
  sets.retain(new Set(['a']));
  assert.equal(classes.held.size, 1);
  assert.equal(verdicts.held.size, 1);
});

test('other rules make another set; the old one stays until nobody uses it', () => {
  const { maps, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  const one = sets.ensure(set('a', [[300, 1]], [row(7)]));
  const two = sets.ensure(set('b', [[300, 1]], [row(8)]));
  assert.notEqual(two.id, one.id);
  assert.equal(verdicts.held.size, 2);
  sets.retain(new Set(['b']));
  assert.deepEqual([...verdicts.entries()].map(([key]) => key.set), [two.id]);
});

test('a policy that does not fit is refused with the numbers and leaves nothing behind', () => {
  const { maps, classes, verdicts } = fakeMaps({ verdicts: 2 });
  const sets = new PolicySets(maps);
  const one = sets.ensure(set('a', [[300, 1]], [row(7)]));
  assert.throws(() => sets.ensure(set('b', [[300, 1]], [row(8), row(9, { port: 81 })])), /needs 2 more entries in policy_verdicts, which holds 1 of 2/);
  assert.equal(verdicts.held.size, 1);
  assert.equal(classes.held.size, 1);
  assert.equal(sets.get('a'), one);
});

test('a set that reads back differently never comes into force', () => {
  const { maps, classes, verdicts } = fakeMaps();
  verdicts.lie = () => ({ rule: 666, shadowRule: 0, l7: 0, verdict: 1, match: 2, shadowVerdict: 0, flags: 0 });
  const sets = new PolicySets(maps);
  assert.throws(() => sets.ensure(set('a', [[300, 1]], [row(7)])), /reads back differently.*rule 7 expected, rule 666 found/);
  assert.equal(sets.get('a'), undefined);
  assert.equal(verdicts.held.size + classes.held.size, 0);
});

test('verify names what differs in the kernel and mends it', () => {
  const { maps, classes, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  sets.ensure(set('a', [[300, 1]], [row(7)]));
  verdicts.held.clear();
  classes.update({ set: 1, identity: 300 }, { class: 9 });
  assert.deepEqual(sets.verify(), ['policy set 1: class 1 protocol 6 port 80/16: rule 7 expected, nothing found', 'policy set 1: identity 300: class 1 expected, class 9 found']);
  assert.deepEqual(sets.verify(), []);
});

test('sets of an earlier agent keep their numbers, and go when they are swept', () => {
  const { maps, verdicts } = fakeMaps();
  new PolicySets(maps).ensure(set('a', [[300, 1]], [row(7)]));
  const second = new PolicySets(maps);
  const mine = second.ensure(set('a', [[300, 1]], [row(7)]));
  assert.equal(mine.id, 2);
  assert.equal(verdicts.held.size, 2);
  assert.equal(second.sweep(), 2);
  assert.deepEqual([...verdicts.entries()].map(([key]) => key.set), [2]);
});

const delta = (more: Partial<SetDelta>): SetDelta => ({ key: 'a', identity: 301, rows: [], class: 1, before: 'x', after: 'y', ...more });
const start = (): CompiledSet => ({ ...set('a', [[300, 1]], [row(1, { class: 0, protocol: null, port: 0, portBits: 0 }), row(7)]), hash: 'x' });

test('the change of one identity writes that identity alone, and the engine\'s own map stays as it was', () => {
  const { maps, classes, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  const compiled = start();
  const one = sets.ensure(compiled);
  const written: unknown[] = [];
  const { updateBatch } = verdicts;
  verdicts.updateBatch = entries => { written.push(...entries); updateBatch.call(verdicts, entries); };
  classes.updateBatch = entries => { written.push(...entries); for (const [key, value] of entries) classes.update(key, value); };
  assert.equal(sets.apply(delta({})), true);
  assert.deepEqual(written, [[{ set: one.id, identity: 301 }, { class: 1 }]]);
  assert.deepEqual([...one.classes], [[300, 1], [301, 1]]);
  assert.deepEqual([...compiled.classes], [[300, 1]]);
  assert.equal(one.hash, 'y');
});

test('a change that does not fit changes nothing, and later ones wait until the whole has been compared', () => {
  const { maps, classes } = fakeMaps({ classes: 1 });
  const sets = new PolicySets(maps);
  const one = sets.ensure(start());
  assert.throws(() => sets.apply(delta({})), /needs 1 more entries in policy_classes, which holds 1 of 1/);
  assert.deepEqual([one.hash, classes.count()], ['x', 1]);
  assert.equal(sets.apply(delta({ identity: 300, class: 0, before: 'y', after: 'z' })), false);
});

test('a change that reads back differently is an error', () => {
  const { maps, classes } = fakeMaps();
  const sets = new PolicySets(maps);
  sets.ensure(start());
  classes.lie = () => ({ class: 99 });
  assert.throws(() => sets.apply(delta({})), /reads back differently: identity 301: class 1 expected, class 99 found/);
  assert.equal(sets.apply(delta({ before: 'y' })), false);
});

test('a row that only changes its verdict is written over, and not removed afterwards', () => {
  const { maps, verdicts } = fakeMaps();
  const sets = new PolicySets(maps);
  const one = sets.ensure(set('a', [], [row(7, { class: 0 })]));
  sets.ensure(set('a', [], [row(7, { class: 0, verdict: 'deny', keepEstablished: true })]));
  sets.retain(new Set(['a']));
  assert.deepEqual([...verdicts.entries()].map(([key, value]) => [key.set, value.verdict, value.flags]), [[one.id, 2, 1]]);
});
