/**
 * The kernel's reader of requests (bpf/lib/http_reader*.h) against the proxy's, over known attacks, random streams and random rules: cut anywhere,
 * the same requests, the same rule that decides, the same fault at the same place. What the kernel refuses and the proxy does not is named here.
 * CIRRI_SEED repeats a run; `--long` reads many times as many.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { compileHttpTables } from '../../src/policy/http-tables.ts';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { kernelReadsTwice } from '../../src/policy/http-second-reading.ts';
import { secondReading } from '../../src/policy/l7-path.ts';
import { httpLimits } from '../../src/proxy/http/limits.ts';
import { Body } from '../../src/proxy/http1/body.ts';
import { fault } from '../../src/proxy/http1/faults.ts';
import { HeaderNames } from '../../src/proxy/http1/fields.ts';
import { RequestHead } from '../../src/proxy/http1/request-head.ts';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial, httpFlag } from '../programs/http-trial.ts';
import type { TrialEvent } from '../programs/http-trial.ts';
import { hostile, ordinary, rules } from './http1-hostile.ts';
import { streams } from './http1-streams.ts';

const runs = process.env['CIRRI_LONG'] ? 1500 : 150;
const sets = process.env['CIRRI_LONG'] ? 400 : 20;
const seed: { readonly seed?: number } = process.env['CIRRI_SEED'] === undefined ? {} : { seed: Number(process.env['CIRRI_SEED']) };
const headBytes = 16_384;
const rulesAt = 288;
const kernelOnly = { absoluteForm: 64, connect: 65, http2: 66 } as const;
const publicOnly: readonly HttpL7Rule[] = [{ rule: 7, path: '/public.*|\\*', headers: [] }];

/** `head PLACE rule or "-" flags`, `end PLACE`, `fault NUMBER`. */
type Line = string;

const kept = httpFlag.isHead | httpFlag.closes | httpFlag.expects | httpFlag.upgrade | httpFlag.upgradeH2c | httpFlag.chunked | httpFlag.twoReadings;

function headLine(at: number, flags: number, length: number, minor: number, rule: number): Line {
  return `head ${at} ${flags & httpFlag.twoReadings ? 'two readings' : rule === 0 ? 'denied' : `rule ${rule}`} flags ${flags & kept} length ${length} HTTP/1.${minor}`;
}

function byKernel(events: readonly TrialEvent[], tables: Buffer): Line[] {
  return events.map(({ kind, at, flags, length, minor, passes, fault: number }) => {
    if (kind === 'fault') return `fault ${number}`;
    if (kind === 'end') return `end ${at}`;
    let bit = 0;
    while (passes !== 0n && ((passes >> BigInt(bit)) & 1n) === 0n) bit++;
    return headLine(at, flags, flags & httpFlag.chunked ? 0 : length, minor, passes === 0n ? 0 : tables.readUInt32LE(rulesAt + 4 * bit));
  });
}

function flagsOf(head: RequestHead): number {
  const { isHead, closes, expects, upgrade, upgradeH2c, chunked } = head;
  return (isHead ? httpFlag.isHead : 0) | (closes ? httpFlag.closes : 0) | (expects ? httpFlag.expects : 0) | (upgrade ? httpFlag.upgrade : 0) | (upgradeH2c ? httpFlag.upgradeH2c : 0) | (chunked ? httpFlag.chunked : 0) | (kernelReadsTwice(head) ? 0 : httpFlag.twoReadings);
}

/** As src/proxy/http1/session.ts goes through a stream, whatever is decided. */
function byProxy(bytes: Buffer, matcher: HttpMatcher): Line[] {
  const names = new HeaderNames(matcher.headerNames);
  const head = new RequestHead(names, httpLimits.headerFields);
  const lines: Line[] = [];
  let at = 0, empty = 0;
  while (at < bytes.length) {
    if (bytes[at] === 13) {
      if (at + 1 === bytes.length) break;
      if (bytes[at + 1] !== 10) return [...lines, `fault ${-fault.method}`];
      at += 2;
      empty++;
      continue;
    }
    if (empty > 8) return [...lines, `fault ${-fault.emptyLines}`];
    empty = 0;
    // What lies behind the largest head is not looked at.
    const visible = Math.min(bytes.length, at + headBytes);
    const next = head.parse(bytes, at, visible);
    if (next < 0) return [...lines, `fault ${-kernelFault(bytes, at, next)}`];
    if (next === 0) return bytes.length > visible ? [...lines, `fault ${-fault.headTooLarge}`] : lines;
    const target = head.path === '' ? -kernelOnly.connect : bytes[bytes.indexOf(32, at) + 1] !== 47 && head.path !== '*' ? -kernelOnly.absoluteForm : 0;
    if (target < 0) return [...lines, `fault ${-target}`];
    if (kernelReadsTwice(head) && secondReading(head.path) === null) return [...lines, `fault ${-fault.path}`];
    lines.push(headLine(next, flagsOf(head), head.contentLength, head.minor, matcher.match(head).rule));
    const body = new Body(httpLimits);
    body.begin(head.contentLength, head.chunked);
    at = next;
    if (body.done) continue;
    at = body.feed(bytes, at, bytes.length, names);
    if (body.fault !== 0) return [...lines, `fault ${-body.fault}`];
    if (!body.done) break;
    lines.push(`end ${at}`);
  }
  return lines;
}

/** Targets for proxies are refused by their kind, whatever else is wrong with them. */
function kernelFault(bytes: Buffer, at: number, found: number): number {
  const line = bytes.toString('latin1', at, Math.min(bytes.length, at + headBytes)).split('\r\n')[0]!;
  if (found === fault.version && line.startsWith('PRI *')) return -kernelOnly.http2;
  if (found === fault.target || found === fault.hostDiffers || found === fault.lengthWithTunnel) {
    if (/^CONNECT [!-"$-~]+ HTTP\/1\.[01]$/.test(line)) return -kernelOnly.connect;
    if (/^[^ ]+ https?:\/\/[!-"$-~]* HTTP\/1\.[01]$/i.test(line)) return -kernelOnly.absoluteForm;
  }
  return found;
}

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

  function load(list: readonly HttpL7Rule[]): { readonly tables: Buffer; readonly matcher: HttpMatcher; readonly set: number } | undefined {
    const compiled = compileHttpTables(list);
    if ('unfit' in compiled) return undefined;
    const set = number;
    // A few numbers, over and over: each set is 140 kB.
    number = number % 64 + 1;
    trial.put(set, compiled.tables);
    return { tables: compiled.tables, matcher: compileHttpRules(list), set };
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

  /** Sets of rules at random, and for each of them so many properties: a set takes longer to make than a stream to read. */
  function underRandomRules<T>(arbitrary: fc.Arbitrary<T>, check: (loaded: NonNullable<ReturnType<typeof load>>, value: T) => void): void {
    for (const [i, list] of fc.sample(rules, { numRuns: sets, ...seed }).entries()) {
      const loaded = load(list);
      if (loaded === undefined) continue;
      fc.assert(fc.property(arbitrary, value => check(loaded, value)), { numRuns: runs, ...(seed.seed !== undefined && { seed: seed.seed + i }) });
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
