import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { waitFor } from '../std/async.ts';
import { cleanMappings, keepResidentBelow, unmapStartupPages } from './footprint.ts';

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

test('a process above its limit gives back what malloc holds and nobody uses', () => {
  const script = `
    import { keepResidentBelow, unmapStartupPages } from '${new URL('./footprint.ts', import.meta.url).pathname}';
    // Below the size at which malloc maps each piece by itself; one of 64 stays, so that the heap's end does not move.
    const pieces = Array.from({ length: 8192 }, () => Buffer.alloc(8 << 10, 1));
    const kept = pieces.filter((_, i) => i % 64 === 0);
    pieces.length = 0;
    gc();
    unmapStartupPages();
    const before = process.memoryUsage.rss();
    const stop = new AbortController();
    keepResidentBelow(1, { signal: stop.signal, everyMs: 10 });
    const until = performance.now() + 10_000;
    const look = setInterval(() => {
      const given = before - process.memoryUsage.rss();
      if (given < 32 << 20 && performance.now() < until) return;
      clearInterval(look);
      stop.abort();
      console.log(JSON.stringify({ given, kept: kept.length }));
    }, 20);`;
  const told = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], { encoding: 'utf8' });
  const { given, kept } = JSON.parse(told) as { readonly given: number; readonly kept: number };
  assert.equal(kept, 128);
  assert.ok(given >= 32 << 20, `${given} bytes were given back`);
});

test('it collects when the heap has grown, and not again before it has grown once more', async () => {
  let collections = 0;
  const stop = new AbortController();
  const before = (globalThis as { gc?: unknown }).gc;
  (globalThis as { gc?: unknown }).gc = () => collections++;
  try {
    keepResidentBelow(1, { signal: stop.signal, everyMs: 5 });
    const grown: unknown[] = [];
    for (const expected of [2, 4]) {
      let rounds = 0;
      // This one collects nothing: each time it is tried twice.
      await waitFor('a collection', () => {
        rounds++;
        for (let i = 0; i < 2000; i++) grown.push(Array.from({ length: 64 }, () => i));
        return collections === expected ? true : undefined;
      }, { timeoutMs: 20_000, everyMs: 20 });
      assert.ok(rounds >= 2, `${rounds} rounds of a megabyte`);
    }
  } finally {
    stop.abort();
    (globalThis as { gc?: unknown }).gc = before;
  }
});

test('while somebody is served it waits for a moment, and for no longer than until there is much of it', async () => {
  let [collections, asked] = [0, 0];
  let isBusy = true;
  const stop = new AbortController();
  const before = (globalThis as { gc?: unknown }).gc;
  (globalThis as { gc?: unknown }).gc = () => collections++;
  const grown: unknown[] = [];
  const grow = (megabytes: number) => {
    for (let i = 0; i < 2000 * megabytes; i++) grown.push(Array.from({ length: 64 }, () => i));
  };
  try {
    keepResidentBelow(process.memoryUsage.rss(), { signal: stop.signal, isBusy: () => (asked++, isBusy), everyMs: 5, momentMs: 5 });
    grow(3);
    await waitFor('it to ask again and again', () => asked > 10, { timeoutMs: 20_000, everyMs: 5 });
    assert.equal(collections, 0, 'three megabytes wait');
    // Again and again: V8 may collect what the test before has left, and the heap be no larger than it was.
    await waitFor('much of it to be collected', () => (grow(1), collections > 0), { timeoutMs: 20_000, everyMs: 20 });
    isBusy = false;
    collections = 0;
    await waitFor('a little to be collected when nobody is served', () => (grow(1), collections > 0), { timeoutMs: 20_000, everyMs: 20 });
  } finally {
    stop.abort();
    (globalThis as { gc?: unknown }).gc = before;
  }
});
