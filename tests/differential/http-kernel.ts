/**
 * One client's stream through the proxy's session, and what the kernel's reader says of the same bytes; both as what anybody can see: which
 * requests passed under which rule, what the server got, what the client was told.
 *
 * The kernel's reader reads on whatever it finds; who stops behind a denial, an end or a wish for another protocol is the caller's (here
 * `seen`, in the datapath http_to_pod).
 */
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { compileHttpTables } from '../../src/policy/http-tables.ts';
import { kernelReadsTwice } from '../../src/policy/http-second-reading.ts';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { fault, faultText } from '../../src/proxy/http1/faults.ts';
import { openHttp1 } from '../../src/proxy/http1/session.ts';
import { FakeWire } from '../../src/proxy/testing.ts';
import { httpFlag } from '../programs/http-trial.ts';
import type { HttpTrial, TrialEvent } from '../programs/http-trial.ts';

export interface Policy {
  readonly number: number;
  readonly matcher: HttpMatcher;
  /** Ids of the rules, by their bits. */
  readonly ids: readonly number[];
}

/** The rules for both. Those with a fault have no bit. */
export function policyOf(trial: HttpTrial, number: number, rules: readonly HttpL7Rule[]): Policy {
  const compiled = compileHttpTables(rules);
  if ('unfit' in compiled) throw new Error(`rules that the kernel does not take: ${compiled.unfit}`);
  trial.put(number, compiled.tables);
  const matcher = compileHttpRules(rules);
  return { number, matcher, ids: rules.map(rule => rule.rule).filter(id => !matcher.faults.some(f => f.rule === id)) };
}

/** What is different by design; docs/l7/http-kernel.md. Nothing from that message on is compared. */
export type Difference = 'absolute-form' | 'CONNECT' | 'two readings' | 'head over 16 KiB';

export interface Seen {
  /** `FORWARDED rule`, `DROPPED`, `ERROR`, in their order. */
  readonly decided: readonly string[];
  /** What the client was told, in its order: `404` is a server's. */
  readonly told: readonly string[];
  /** What went on to the server, as latin1; undefined: the proxy rewrites a head here (h2c), the kernel does not. */
  readonly toServer: string | undefined;
}

export interface KernelSeen extends Seen {
  readonly differs: Difference | undefined;
  /** Bytes of the stream before the message that differs. */
  readonly comparable: number;
  /** A fault within a body that has passed in part: the proxy cannot always say so. */
  readonly broken: string | undefined;
  readonly events: readonly TrialEvent[];
}

const notFound = 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n';

/** The server answers only when the session waits for it, and at the end. */
export function proxySeen(stream: Buffer, { matcher }: Policy, cuts: readonly number[] = []): Seen {
  const wire = new FakeWire<HttpMatcher>({ ingress: matcher });
  wire.open(openHttp1(wire));
  let answered = 0;
  const answer = () => {
    answered++;
    wire.from('server', notFound);
  };
  const places = [0, ...cuts, stream.length];
  for (let i = 1; i < places.length && wire.closed === undefined; i++) {
    while (wire.paused.client && wire.closed === undefined) answer();
    if (wire.closed === undefined) wire.from('client', stream.subarray(places[i - 1], places[i]));
  }
  while (wire.closed === undefined && (wire.paused.client || answered < forwarded(wire).length)) answer();
  return {
    decided: wire.records.filter(r => r.l7.type === 'REQUEST').map(r => (r.verdict === 'FORWARDED' ? `FORWARDED ${r.rule}` : r.verdict)),
    told: [...wire.sentText('client').matchAll(/HTTP\/1\.1 (\d+) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n(?:(?:Bad Request|Request Header Fields Too Large): ([^\r]*))?/g)]
      .map(([, status, head, reason]) => `${status}${head!.includes('connection: close') ? ' close' : ''}${reason === undefined ? '' : ` ${reason}`}`),
    toServer: wire.sent('server').toString('latin1'),
  };
}

const forwarded = (wire: FakeWire<HttpMatcher>) => wire.records.filter(r => r.l7.type === 'REQUEST' && r.verdict === 'FORWARDED');

export function kernelSeen(trial: HttpTrial, stream: Buffer, policy: Policy, cut: { readonly cuts?: readonly number[]; readonly piece?: number } = {}): KernelSeen {
  return seen(stream, policy, trial.requests(stream, { set: policy.number, ...cut }));
}

/** What a caller of the reader makes of it. */
function seen(stream: Buffer, { ids }: Policy, events: readonly TrialEvent[]): KernelSeen {
  const decided: string[] = [];
  const told: string[] = [];
  const passed: [number, number][] = [];
  let rewritten = false;
  let broken: string | undefined;
  let differs: Difference | undefined;
  /** The message under way: whether it passes, and what comes after it. */
  let passes = true;
  let inBody = false;
  let over = false;
  let from = 0;
  for (const event of events) {
    if (over) break;
    if (event.kind === 'fault') {
      differs = event.fault === 64 ? 'absolute-form' : event.fault === 65 ? 'CONNECT' : event.fault === -fault.headTooLarge ? 'head over 16 KiB' : undefined;
      if (differs) break;
      // The preface of HTTP/2 has a number of its own; the proxy that reads HTTP/1.1 finds a version that it does not know.
      const text = `${event.fault === -fault.tooManyFields ? 431 : 400} close ${faultText(event.fault === 66 ? fault.version : -event.fault)}`;
      if (inBody && passes) {
        broken = text;
        passed.push([from, event.at]);
      } else {
        decided.push('ERROR');
        told.push(text);
      }
      over = true;
      break;
    }
    if (event.kind === 'head') {
      from = behindEmptyLines(stream, from);
      if (((event.flags & httpFlag.twoReadings) !== 0) === kernelReadsTwice(lineAt(stream, from))) throw new Error(`two readings: ${event.flags}, of ${JSON.stringify(stream.toString('latin1'))}`);
      if (event.flags & httpFlag.twoReadings) {
        differs = 'two readings';
        break;
      }
      passes = event.passes !== 0n;
      inBody = (event.flags & httpFlag.chunked) !== 0 || event.length > 0;
      over = decide(event);
      if (over && inBody && passes) over = false;
    }
    if (event.kind === 'end') inBody = false;
    if (passes) passed.push([from, event.at]);
    from = event.at;
    if (event.kind === 'end' && passes && (event.flags & httpFlag.closes) !== 0) over = true;
  }
  // What has come of a body whose end has not.
  if (inBody && passes && !over && broken === undefined && differs === undefined) passed.push([from, stream.length]);
  return { decided, told, toServer: rewritten ? undefined : passed.map(([a, b]) => stream.toString('latin1', a, b)).join(''), differs, comparable: differs ? from : stream.length, broken, events };

  function decide(event: TrialEvent): boolean {
    const { flags } = event;
    if (event.passes === 0n) {
      const ends = (flags & httpFlag.closes) !== 0 || event.minor === 0 || ((flags & httpFlag.expects) !== 0 && inBody) || event.length > 1_048_576;
      decided.push('DROPPED');
      told.push(`403${ends ? ' close' : ''}`);
      return ends;
    }
    decided.push(`FORWARDED ${ids[trailingZeros(event.passes)]}`);
    told.push('404');
    if (flags & httpFlag.upgradeH2c) rewritten = true;
    return (flags & httpFlag.closes) !== 0;
  }
}

function lineAt(stream: Buffer, at: number): { readonly method: string; readonly path: string } {
  const [method, path] = stream.toString('latin1', at, stream.indexOf('\r', at)).split(' ');
  return { method: method!, path: path! };
}

function behindEmptyLines(stream: Buffer, at: number): number {
  let i = at;
  while (stream[i] === 13 && stream[i + 1] === 10) i += 2;
  return i;
}

function trailingZeros(mask: bigint): number {
  let bit = 0;
  while (((mask >> BigInt(bit)) & 1n) === 0n) bit++;
  return bit;
}

/** Undefined: alike. Else what the two saw; the proxy of the bytes that can be compared. */
export function unlike(kernel: KernelSeen, proxy: Seen): string | undefined {
  const { broken } = kernel;
  let expected = kernel.told;
  if (broken !== undefined) {
    // Said in place of the last answer, if that is the only one that is waited for; else the connection just ends. An answer to HEAD has no text.
    const last = proxy.told.at(-1);
    expected = last === broken || last === '400 close' ? [...kernel.told.slice(0, -1), last] : kernel.told.slice(0, proxy.told.length);
  }
  const problem = !same(kernel.decided, proxy.decided) ? 'decisions' : !same(expected, proxy.told) ? 'answers' : kernel.toServer !== undefined && kernel.toServer !== proxy.toServer ? 'bytes to the server' : undefined;
  return problem === undefined ? undefined : `${problem}: ${JSON.stringify({ kernel: { ...kernel, events: kernel.events.map(e => `${e.kind} ${e.at} ${e.flags} ${e.fault} ${e.passes}`) }, proxy }, undefined, 1)}`;
}

const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one, i) => one === b[i]);
