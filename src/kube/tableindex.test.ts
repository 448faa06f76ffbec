import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Table } from '../table/table.ts';
import { TableIndex } from './tableindex.ts';

interface Row { readonly id: string; readonly tags: readonly string[] }

test('the index is what a scan of the table would give, after any changes', () => {
  const tag = fc.constantFrom('a', 'b', 'c');
  const row = fc.record({ id: fc.constantFrom('1', '2', '3', '4'), tags: fc.uniqueArray(tag) });
  const step = fc.oneof(row.map(r => ({ put: r })), fc.constantFrom('1', '2', '3', '4').map(id => ({ drop: id })), fc.constant({ read: true }));
  fc.assert(fc.property(fc.array(step), steps => {
    const table = new Table<Row>('rows', r => r.id);
    const index = new TableIndex(table, r => r.tags);
    for (const s of steps) {
      if ('put' in s) table.upsert(s.put);
      else if ('drop' in s) table.delete(s.drop);
      else index.get('a');
    }
    for (const t of ['a', 'b', 'c']) {
      const scan = [...table.rows()].filter(r => r.tags.includes(t)).map(r => r.id).sort();
      assert.deepEqual(index.get(t).map(r => r.id).sort(), scan);
    }
  }));
});
