import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseAddr } from '../std/ip.ts';
import { SlotTable } from './slots.ts';
import { slotChanges, slotRepeats } from './weights.ts';

// The order of writes is proved in src/features/services/target.test.ts, on maps that tell of every write.

test('slot changes give exactly the wanted backends, with no write that could be left out', () => {
  const ids = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 10 });
  fc.assert(fc.property(ids, ids, (before, wanted) => {
    const slots = [...before];
    const changes = slotChanges(before, wanted);
    for (const [slot, backend] of changes) slots[slot] = backend;
    assert.deepEqual(slots.slice(0, wanted.length).toSorted(), wanted.toSorted());
    const left = [...wanted];
    const stayed = before.slice(0, wanted.length).filter(id => left.includes(id) && left.splice(left.indexOf(id), 1)).length;
    assert.equal(changes.length, wanted.length - stayed);
  }));
});

test('slots with holes or the same backend twice, as a crash may leave them, are mended', () => {
  const slots: number[] = [];
  slots[2] = 7;
  assert.deepEqual(slotChanges(slots, [7, 8, 9]).map(([slot]) => slot), [0, 1]);
  assert.deepEqual(slotChanges([5, 5], [5, 6]), [[1, 6]]);
});

test('two services that a crash left with one id get different ones', () => {
  const frontend = (n: number) => ({ addr: parseAddr(`10.96.0.${n}`), port: 80, protocol: 6, scope: 0 });
  const value = { id: 5, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 };
  const table = SlotTable.adopt({ services: [[frontend(1), value], [frontend(2), value], [frontend(3), { ...value, id: 0 }]], slots: [], backends: [], addresses: [], tables: [], members: [], sources: [] }, { hashSeed: 'JLfvgnHc2kaSUFaI' });
  const row = (n: number) => ({ key: `10.96.0.${n}:80/TCP`, namespace: '', name: '', portName: '', type: 'ClusterIP' as const, ...frontend(n), scope: 0 as const, flags: 0, backends: [], affinityTimeout: 0, maglev: 0, sources: [] });
  const ids = table.plan([row(1), row(2), row(3)]).rows.map(r => r.service?.[1].id ?? 5);
  assert.equal(new Set(ids).size, 3);
  assert.ok(!ids.includes(0));
});

test('slots repeat a backend as often as its weight wants, as few as can be, and a bounded number', () => {
  assert.deepEqual(slotRepeats([1, 1, 1]), [1, 1, 1]);
  assert.deepEqual(slotRepeats([10, 20, 70]), [1, 2, 7]);
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 40 }), weights => {
    const times = slotRepeats(weights);
    const [slots, sum] = [times, weights].map(list => list.reduce((a, b) => a + b, 0)) as [number, number];
    assert.ok(slots <= 4_096 + weights.length);
    weights.forEach((weight, i) => {
      assert.ok(times[i]! >= 1);
      assert.ok(Math.abs(times[i]! / slots - weight / sum) < 0.01, `${times[i]} of ${slots} slots for weight ${weight} of ${sum}`);
    });
  }));
});
