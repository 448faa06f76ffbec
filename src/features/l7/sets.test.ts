import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { L7Set } from '../../model/l7.ts';
import { silentLogger } from '../../std/log.ts';
import { L7SetFiles } from './sets.ts';

const parent = mkdtempSync(join(tmpdir(), 'cirri-sets-'));
after(() => rmSync(parent, { recursive: true }));

const get: L7Set = { protocol: 'http', rules: [{ rule: 7, method: 'GET', headers: [] }] };
const names: L7Set = { protocol: 'dns', rules: [{ rule: 8, pattern: 'a.test' }] };

test('a set has its file before it has its number, for root alone, and equal sets are one', () => {
  const folder = join(parent, 'a');
  const sets = new L7SetFiles(folder, { log: silentLogger });
  const told: number[] = [];
  sets.onNumber.push(number => {
    assert.deepEqual(JSON.parse(readFileSync(join(folder, `${number}.json`), 'utf8')), get);
    told.push(number);
  });
  const number = sets.numberOf(get);
  assert.equal(sets.numberOf(structuredClone(get)), number);
  assert.deepEqual(told, [number, number]);
  assert.equal(statSync(join(folder, `${number}.json`)).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), [`${number}.json`]);
});

test('the next agent keeps the numbers; what cannot be read is written anew', () => {
  const folder = join(parent, 'b');
  const number = new L7SetFiles(folder, { log: silentLogger }).numberOf(get);
  assert.equal(new L7SetFiles(folder, { log: silentLogger }).numberOf(get), number);
  writeFileSync(join(folder, `${number}.json`), '{"protocol":');
  const sets = new L7SetFiles(folder, { log: silentLogger });
  assert.equal(sets.numberOf(get), number);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, `${number}.json`), 'utf8')), get);
});

test('a file goes ten minutes after the last row that named it, and comes back with its number', () => {
  const folder = join(parent, 'c');
  let now = 0;
  const sets = new L7SetFiles(folder, { log: silentLogger, now: () => now });
  const [first, second] = [sets.numberOf(get), sets.numberOf(names)];
  const retire = (minutes: number, ...inUse: [number, L7Set][]) => {
    now = minutes * 60_000;
    sets.retire(new Map(inUse));
    return readdirSync(folder).sort();
  };
  const both = [`${first}.json`, `${second}.json`].sort();
  assert.deepEqual(retire(1, [first, get], [second, names]), both);
  assert.deepEqual(retire(2, [first, get]), both);
  assert.deepEqual(retire(11, [first, get]), both);
  assert.deepEqual(retire(13, [first, get]), [`${first}.json`]);
  assert.equal(sets.numberOf(names), second);
  assert.deepEqual(retire(30, [first, get], [second, names]), both);
});
