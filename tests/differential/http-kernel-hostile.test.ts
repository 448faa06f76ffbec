/**
 * The kernel's reader of requests (bpf/lib/http_reader*.h) against the proxy's, over known attacks, random streams and random rules: cut anywhere,
 * the same requests, the same rule that decides, the same fault at the same place. What the kernel refuses and the proxy does not is named here.
 * CIRRI_SEED repeats a run; `--long` reads many times as many.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial } from '../programs/http-trial.ts';
import { byKernel, byProxy, loadRules } from './http-kernel-reading.ts';
import type { LoadedRules } from './http-kernel-reading.ts';
import { hostile, ordinary, rules } from './http1-hostile.ts';
import { streams } from './http1-streams.ts';
import { seedOfRun } from './random.ts';

const runs = process.env['CIRRI_LONG'] ? 1500 : 150;
const sets = process.env['CIRRI_LONG'] ? 400 : 20;
const publicOnly: readonly HttpL7Rule[] = [{ rule: 7, path: '/public.*|\\*', headers: [] }];

const shown = (bytes: Buffer): string => JSON.stringify(bytes.toString('latin1').slice(0, 2000));

describe('requests in the kernel, against the proxy', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  let number = 1;
  let read = 0;
  before(() => {
    trial = new HttpTrial();
  });
  after(() => trial.close());

  /** The same, whole and cut, as the proxy reads it. */
  function compare(bytes: Buffer, tables: Buffer, matcher: HttpMatcher, set: number, cuts: readonly { readonly piece?: number; readonly cuts?: readonly number[] }[], name = ''): void {
    const expected = byProxy(bytes, matcher);
    read += expected.length;
    for (const how of cuts) assert.deepEqual(byKernel(trial.requests(bytes, { set, ...how }), tables), expected, `${name} ${JSON.stringify(how)} ${shown(bytes)}`);
  }

  function load(list: readonly HttpL7Rule[]): LoadedRules | undefined {
    const loaded = loadRules(trial, list, number);
    // A few numbers, over and over: each set is 140 kB.
    if (loaded) number = number % 64 + 1;
    return loaded;
  }

  const said = (t: { diagnostic(text: string): void }, startMs: number): void => {
    t.diagnostic(`${read} requests, ends and faults, each in several cuts; ${Math.round(read / (performance.now() - startMs) * 60_000)} a minute`);
    read = 0;
  };

  test(`${hostile.length} known attacks, whole, in pieces of 1, 7 and 255 bytes`, t => {
    const startMs = performance.now();
    const { tables, matcher, set } = load(publicOnly)!;
    const wrong: string[] = [];
    for (const { name, bytes } of hostile) {
      try {
        compare(bytes, tables, matcher, set, [{}, { piece: 1 }, { piece: 7 }, { piece: 255 }], name);
      } catch (error) {
        wrong.push((error as Error).message);
      }
    }
    assert.equal(wrong.length, 0, `${wrong.length} differ\n${wrong.slice(0, 12).join('\n\n')}`);
    said(t, startMs);
  });

  test('no trailer has a name that rules ask for, be it one that never holds', () => {
    const { tables, matcher, set } = load([{ rule: 1, headers: [{ name: 'x-token', value: 'a' }, { name: 'X-Token', value: 'b' }] }, { rule: 2, headers: [] }])!;
    for (const name of ['x-token', 'X-TOKEN', 'x-toke', 'x-tokens']) {
      const bytes = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${name}: a\r\n\r\n`);
      compare(bytes, tables, matcher, set, [{}, { piece: 1 }], name);
      assert.equal(byProxy(bytes, matcher).at(-1)!.startsWith('fault'), name.toLowerCase() === 'x-token');
    }
  });

  /** Sets of rules at random, and for each of them so many properties: a set takes longer to make than a stream to read. */
  function underRandomRules<T>(arbitrary: fc.Arbitrary<T>, check: (loaded: LoadedRules, value: T) => void): void {
    for (const [i, list] of fc.sample(rules, { numRuns: sets }).entries()) {
      const loaded = load(list);
      if (loaded === undefined) continue;
      fc.assert(fc.property(arbitrary, value => check(loaded, value)), { numRuns: runs, seed: seedOfRun() + i });
    }
  }

  test('random streams under random rules, cut anywhere', t => {
    const startMs = performance.now();
    const cut = fc.array(fc.nat(600), { maxLength: 6 }).map(places => [...new Set(places)].sort((a, b) => a - b));
    underRandomRules(fc.tuple(streams, cut), ({ tables, matcher, set }, [bytes, cuts]) => compare(bytes, tables, matcher, set, [{}, { piece: 1 }, { cuts }]));
    said(t, startMs);
  });

  test('ordinary requests: the same rule lets each pass', t => {
    const startMs = performance.now();
    underRandomRules(fc.tuple(ordinary, fc.integer({ min: 1, max: 40 })), ({ tables, matcher, set }, [bytes, piece]) => compare(bytes, tables, matcher, set, [{}, { piece }]));
    said(t, startMs);
  });
});
