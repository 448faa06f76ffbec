import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Table } from './table.ts';

interface Row { readonly key: string; readonly value: number }
const newTable = () => new Table<Row>('rows', row => row.key);

const operations = fc.array(fc.oneof(
  fc.record({ op: fc.constant('upsert' as const), key: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.nat(3) }),
  fc.record({ op: fc.constant('delete' as const), key: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.constant(0) }),
  fc.record({ op: fc.constant('take' as const), key: fc.constant(''), value: fc.constant(0) }),
));

test('a reader that applies every change holds exactly the rows, whenever it takes them', () => {
  fc.assert(fc.property(operations, list => {
    const table = newTable();
    const changes = table.changes();
    const copy = new Map<string, Row>();
    const take = () => {
      const { changed, deleted } = changes.take();
      for (const key of deleted) copy.delete(key);
      for (const row of changed) copy.set(row.key, row);
    };
    for (const { op, key, value } of list) {
      if (op === 'upsert') table.upsert({ key, value });
      else if (op === 'delete') table.delete(key);
      else take();
    }
    take();
    assert.deepEqual(new Map([...copy].sort()), new Map([...table.rows()].map(r => [r.key, r] as const).sort()));
  }));
});

test('a row equal to the one in place wakes nobody', () => {
  const table = newTable();
  table.upsert({ key: 'a', value: 1 });
  let marks = 0;
  const changes = table.changes(() => marks++);
  changes.take();
  table.upsert({ key: 'a', value: 1 });
  table.replaceAll([{ key: 'a', value: 1 }]);
  table.delete('nothing');
  assert.equal(marks, 0);
  table.replaceAll([{ key: 'b', value: 2 }]);
  assert.equal(marks, 1);
  assert.deepEqual(changes.take(), { changed: [{ key: 'b', value: 2 }], deleted: ['a'] });
});

test('a table is synced when the last producer has delivered, not before', async () => {
  const table = newTable();
  const one = table.producer('one');
  const two = table.producer('two');
  one.synced();
  assert.equal(table.synced, false);
  assert.deepEqual(table.awaited, ['two']);
  const waiting = table.whenSynced();
  two.synced();
  await waiting;
  assert.equal(table.synced, true);
});
