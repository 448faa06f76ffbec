import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../std/log.ts';
import { Reconciler, type Target } from './reconcile.ts';
import { Table } from './table.ts';

interface Row { readonly key: string; readonly value: number }

/** A kernel of our own: holds rows, refuses what the test tells it to, or throws for a whole batch. */
class FakeTarget implements Target<Row> {
  readonly held = new Map<string, number>();
  refuse: (key: string) => boolean = () => false;
  throwNext = false;
  list() { return [...this.held.keys()]; }
  apply(rows: readonly Row[]) {
    this.#maybeThrow();
    return rows.map(row => {
      if (this.refuse(row.key)) return new Error(`ENOSPC for ${row.key}`);
      this.held.set(row.key, row.value);
      return undefined;
    });
  }
  remove(keys: readonly string[]) {
    this.#maybeThrow();
    return keys.map(key => {
      if (this.refuse(key)) return new Error(`EBUSY for ${key}`);
      this.held.delete(key);
      return undefined;
    });
  }
  #maybeThrow() {
    if (!this.throwNext) return;
    this.throwNext = false;
    throw new Error('the whole batch was refused');
  }
}

function setUp(batch = 3) {
  const desired = new Table<Row>('rows', row => row.key);
  const target = new FakeTarget();
  let now = 0;
  const make = () => new Reconciler({ desired, target, log: silentLogger, batch, now: () => now, random: () => 1 });
  return { desired, target, make, pass: (ms: number) => { now += ms; } };
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g');
const steps = fc.array(fc.oneof(
  fc.record({ op: fc.constant('upsert' as const), key, value: fc.nat(4) }),
  fc.record({ op: fc.constantFrom('delete' as const, 'refuse' as const, 'throw' as const, 'turn' as const, 'restart' as const), key, value: fc.constant(0) }),
), { maxLength: 40 });

test('any sequence of changes, refusals, thrown batches and restarts ends with the target equal to the table', () => {
  fc.assert(fc.property(steps, fc.array(key), (list, before) => {
    const { desired, target, make, pass } = setUp();
    for (const k of before) target.held.set(k, 99);
    let reconciler = make();
    for (const step of list) {
      if (step.op === 'upsert') desired.upsert({ key: step.key, value: step.value });
      else if (step.op === 'delete') desired.delete(step.key);
      else if (step.op === 'refuse') target.refuse = k => k === step.key;
      else if (step.op === 'throw') target.throwNext = true;
      else if (step.op === 'restart') reconciler = make();
      else reconciler.turn();
    }
    target.refuse = () => false;
    target.throwNext = false;
    for (let i = 0; i < 20 && !reconciler.settled; i++) {
      reconciler.settle();
      pass(60_000);
    }
    assert.ok(reconciler.settled);
    assert.deepEqual(Object.fromEntries([...target.held].sort()), Object.fromEntries([...desired.rows()].map(r => [r.key, r.value] as const).sort()));
  }), { numRuns: 500 });
});

test('nothing is removed before every producer has delivered its first list', () => {
  const { desired, target, make } = setUp();
  target.held.set('old', 1);
  const producer = desired.producer('api');
  const reconciler = make();
  desired.upsert({ key: 'new', value: 2 });
  reconciler.settle();
  assert.deepEqual([...target.held.keys()].sort(), ['new', 'old']);
  assert.equal(reconciler.settled, false);
  producer.synced();
  reconciler.settle();
  assert.deepEqual([...target.held.keys()], ['new']);
});

test('a refused row is a status with its error, retried with back-off, and holds up nobody', () => {
  const { desired, target, make, pass } = setUp();
  const reconciler = make();
  target.refuse = k => k === 'bad';
  desired.upsert({ key: 'bad', value: 1 }, { key: 'good', value: 1 });
  reconciler.settle();
  assert.deepEqual([...target.held.keys()], ['good']);
  const [status] = [...reconciler.statuses()];
  assert.equal(status?.state, 'error');
  assert.match(status?.error ?? '', /ENOSPC/);
  const waitMs = reconciler.turn();
  assert.ok(waitMs !== undefined && waitMs > 0 && waitMs <= 30_000);
  target.refuse = () => false;
  reconciler.settle();
  assert.equal(target.held.has('bad'), false, 'not before its time');
  pass(waitMs);
  reconciler.settle();
  assert.equal(target.held.get('bad'), 1);
  assert.deepEqual([...reconciler.statuses()], []);
});

test('a turn is bounded by the batch', () => {
  const { desired, target, make } = setUp(3);
  const reconciler = make();
  desired.upsert(...['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(k => ({ key: k, value: 1 })));
  reconciler.turn();
  assert.equal(target.held.size, 3);
});
