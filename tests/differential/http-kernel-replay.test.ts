/**
 * Distinct requests, counted, through the kernel's reader and the proxy's under random rules: whole, cut behind each byte at once, cut at random,
 * and short ones cut once at each byte.
 *
 *     CIRRI_HTTP_REQUESTS=1000000 ./cirri test tests/differential/http-kernel-replay.test.ts --skip-checks
 *
 * is another number of them. CIRRI_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial } from '../programs/http-trial.ts';
import type { TrialOptions } from '../programs/http-trial.ts';
import { byKernel, byProxy, loadRules } from './http-kernel-reading.ts';
import type { LoadedRules } from './http-kernel-reading.ts';
import { replayKinds, replayOf } from './http-kernel-replays.ts';
import { rules } from './http1-hostile.ts';
import { Random, seedOfRun } from './random.ts';

const wanted = Number(process.env['CIRRI_HTTP_REQUESTS'] ?? (process.env['CIRRI_LONG'] ? 400_000 : 10_000));
const seed = seedOfRun();
/** A request that is not longer is cut once at each byte, too. */
const short = 64;
/** One that is longer is not read byte by byte. */
const long = 2000;
const sets = 60;
/** Lists by which much passes, as random ones seldom do. */
const usual: readonly (readonly HttpL7Rule[])[] = [[{ rule: 7, path: '/public.*|\\*', headers: [] }], [{ rule: 8, headers: [] }], [{ rule: 9, method: 'GET|POST', headers: [] }, { rule: 10, host: 'a', path: '/[a-z]+.*', headers: [] }]];

describe(`distinct requests in the kernel and at the proxy, CIRRI_SEED=${seed}`, { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  before(() => {
    trial = new HttpTrial();
  });
  after(() => trial.close());

  test(`${wanted} of them: the same requests, the same rule, the same fault`, t => {
    const random = new Random(seed);
    const loaded = fc.sample(rules, { numRuns: sets, seed }).flatMap((list, i) => loadRules(trial, list, i + 1) ?? []), likely = usual.map((list, i) => loadRules(trial, list, sets + i + 1)!);
    const seen = new Set<bigint>();
    const count = { sound: 0, damaged: 0, hostile: 0, allowed: 0, denied: 0, refused: 0, unfinished: 0, readings: 0, cuts: 0 };
    const readAs = (bytes: Buffer, { set, tables }: LoadedRules, expected: readonly string[], how: TrialOptions, cuts: number): void => {
      const found = byKernel(trial.requests(bytes, { set, ...how }), tables);
      count.readings++;
      count.cuts += cuts;
      if (found.join() !== expected.join()) assert.deepEqual(found, expected, `CIRRI_SEED=${seed} ${JSON.stringify(how)} ${JSON.stringify(bytes.toString('latin1').slice(0, 2000))}`);
    };
    for (let tries = 0; seen.size < wanted; tries++) {
      assert.ok(tries < 2 * wanted, `${tries} requests, and only ${seen.size} different ones`);
      const kind = replayKinds[tries % replayKinds.length]!, bytes = replayOf(random, kind), under = random.pick(random.chance(0.4) ? likely : loaded);
      const before = seen.size;
      if (bytes.length === 0 || seen.add(hashOf(bytes)).size === before) continue;
      const expected = byProxy(bytes, under.matcher);
      count[kind]++;
      for (const line of expected) if (!line.startsWith('end')) count[line.startsWith('fault') || line.includes('two readings') ? 'refused' : line.includes('denied') ? 'denied' : 'allowed']++;
      if (expected.length === 0) count.unfinished++;
      readAs(bytes, under, expected, {}, 0);
      if (bytes.length <= long) readAs(bytes, under, expected, { piece: 1 }, bytes.length - 1);
      const places = [...new Set(random.list(1, 4, () => random.integer(1, bytes.length)))].filter(at => at < bytes.length).sort((a, b) => a - b);
      readAs(bytes, under, expected, { cuts: places }, places.length);
      if (bytes.length <= short) for (let at = 1; at < bytes.length; at++) readAs(bytes, under, expected, { cuts: [at] }, 1);
    }
    t.diagnostic(`CIRRI_SEED=${seed}: ${seen.size} distinct requests (${count.sound} sound, ${count.damaged} damaged, ${count.hostile} hostile) under ${loaded.length + likely.length} lists of rules, read ${count.readings} times with ${count.cuts} cuts: ${count.allowed} allowed, ${count.denied} denied, ${count.refused} refused, ${count.unfinished} without an end`);
    // A fuzzer that reaches nothing finds nothing.
    for (const what of ['sound', 'damaged', 'hostile', 'allowed', 'denied', 'refused'] as const) assert.ok(count[what] > wanted / 10, `${what}: ${JSON.stringify(count)}`);
  });
});

/** FNV-1a of 64 bits, in two halves: of millions of requests one or none is taken for another. */
function hashOf(bytes: Buffer): bigint {
  let low = 0x811c9dc5, high = 0x01000193;
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte ^ (low >>> 15), 0x85ebca6b);
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
