/** One stream's requests as the kernel's reader finds them, and as the proxy's does, in lines that are the same where both agree. What the kernel refuses and the proxy does not has its own faults here. */
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
import { httpFlag } from '../programs/http-trial.ts';
import type { HttpTrial, TrialEvent } from '../programs/http-trial.ts';

const headBytes = 16_384;
const rulesAt = 288;
const kernelOnly = { absoluteForm: 64, connect: 65, http2: 66 } as const;

/** Rules as both have them. */
export interface LoadedRules {
  readonly tables: Buffer;
  readonly matcher: HttpMatcher;
  readonly set: number;
}

/** Undefined: the kernel does not take these. */
export function loadRules(trial: HttpTrial, list: readonly HttpL7Rule[], set: number): LoadedRules | undefined {
  const compiled = compileHttpTables(list);
  if ('unfit' in compiled) return undefined;
  trial.put(set, compiled.tables);
  return { tables: compiled.tables, matcher: compileHttpRules(list), set };
}

/** `head PLACE rule`, `denied` or `two readings`, flags; `end PLACE`; `fault NUMBER`. */
export type Line = string;

const kept = httpFlag.isHead | httpFlag.closes | httpFlag.expects | httpFlag.upgrade | httpFlag.upgradeH2c | httpFlag.chunked | httpFlag.twoReadings;

function headLine(at: number, flags: number, length: number, minor: number, rule: number): Line {
  return `head ${at} ${flags & httpFlag.twoReadings ? 'two readings' : rule === 0 ? 'denied' : `rule ${rule}`} flags ${flags & kept} length ${length} HTTP/1.${minor}`;
}

export function byKernel(events: readonly TrialEvent[], tables: Buffer): Line[] {
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
export function byProxy(bytes: Buffer, matcher: HttpMatcher): Line[] {
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
