import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cleanMappings, unmapStartupPages } from './footprint.ts';

const mapping = (head: string, fields: Readonly<Record<string, number>>) => `${head}\n${Object.entries({ Size: 4096, Rss: 0, Private_Dirty: 0, Anonymous: 0, ...fields }).map(([name, kilobytes]) => `${name}:  ${kilobytes} kB\n`).join('')}VmFlags: rd ex mr\n`;

test('only read-only mappings of the file that are as the file is', () => {
  const smaps = [
    mapping('00400000-00800000 r--p 00000000 fe:01 12                     /usr/bin/node', { Rss: 4000 }),
    mapping('00800000-03000000 r-xp 00400000 fe:01 12                     /usr/bin/node', { Rss: 30_000 }),
    mapping('03000000-03100000 r--p 02c00000 fe:01 12                     /usr/bin/node', { Rss: 100, Private_Dirty: 8, Anonymous: 8 }),
    mapping('03100000-03200000 rw-p 02d00000 fe:01 12                     /usr/bin/node', { Rss: 100 }),
    mapping('7f0000000000-7f0000100000 r-xp 00000000 fe:01 13             /usr/lib/libc.so.6', { Rss: 100 }),
    mapping('7f0000200000-7f0000300000 r-xp 00000000 00:00 0', { Rss: 100 }),
    mapping('7f0000400000-7f0000500000 r-xp 00000000 fe:01 14             /usr/bin/node (deleted)', { Rss: 100 }),
  ].join('');
  assert.deepEqual(cleanMappings(smaps, '/usr/bin/node'), [
    { start: 0x40_0000, length: 0x40_0000, resident: 4000 * 1024 }, { start: 0x80_0000, length: 0x280_0000, resident: 30_000 * 1024 },
  ]);
});

test('pages that starting has mapped are gone afterwards, and everything still works', () => {
  const residentOf = () => cleanMappings(readFileSync('/proc/self/smaps', 'latin1'), process.execPath).reduce((sum, { resident }) => sum + resident, 0);
  const before = residentOf();
  const unmapped = unmapStartupPages();
  assert.ok(unmapped > before / 2, `${unmapped} of ${before}`);
  assert.ok(residentOf() < before, 'what is needed comes back, the rest does not');
  assert.deepEqual(JSON.parse(JSON.stringify({ a: [1, 'x', null] })), { a: [1, 'x', null] });
  assert.match(new Intl.NumberFormat('en').format(1234), /1,234/);
});
