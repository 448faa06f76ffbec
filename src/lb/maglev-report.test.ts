import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maglevReport } from './maglev-report.ts';
import { maglevTable } from './maglev.ts';

const options = { tableSize: 4093, hashSeed: 'JLfvgnHc2kaSUFaI' };
const named = (count: number, weight = (_: number) => 1) => Array.from({ length: count }, (_, i) => ({ name: `10.0.1.${i}:80/TCP`, weight: weight(i) }));
const tableOf = (backends: ReturnType<typeof named>) => [...maglevTable(backends, options)].map(i => backends[i]!.name);

test('shares add up to one, are what weights promise, and little moves when one backend is lost', () => {
  for (const backends of [named(1), named(3), named(40), named(4, i => i + 1)]) {
    const report = maglevReport(tableOf(backends), backends, options);
    const sum = (field: 'share' | 'expected') => report.backends.reduce((total, each) => total + each[field], 0);
    assert.ok(Math.abs(sum('share') - 1) < 1e-9 && Math.abs(sum('expected') - 1) < 1e-9);
    assert.ok(report.asComputed);
    assert.ok(report.most < 1.05 && report.least > 0.95, `${report.least} to ${report.most}`);
    for (const { movedIfLost } of report.backends) assert.ok(backends.length === 1 ? movedIfLost === undefined : movedIfLost === undefined || movedIfLost < 2 / backends.length, String(movedIfLost));
    assert.equal(report.backends.filter(each => each.movedIfLost !== undefined).length, backends.length === 1 ? 0 : Math.min(32, backends.length));
  }
});

test('a table that is not what its backends give is told, with what is foreign in it', () => {
  const backends = named(3);
  const entries: (string | undefined)[] = tableOf(backends);
  entries[0] = '10.9.9.9:80/TCP';
  entries[1] = undefined;
  const report = maglevReport(entries, backends, options);
  assert.equal(report.asComputed, false);
  assert.deepEqual(report.backends.find(each => each.weight === 0), { name: '10.9.9.9:80/TCP', weight: 0, share: 1 / 4093, expected: 0 });
  assert.equal(maglevReport(tableOf(backends), named(2), options).asComputed, false);
});
