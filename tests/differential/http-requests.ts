/** Bytes of a client read as src/proxy/http1 reads them: where requests begin and end, which of them rules allow, and which bytes are a body's data. */
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { Body } from '../../src/proxy/http1/body.ts';
import { HeaderNames } from '../../src/proxy/http1/fields.ts';
import { fault } from '../../src/proxy/http1/faults.ts';
import { RequestHead } from '../../src/proxy/http1/request-head.ts';
import { httpLimits } from '../../src/proxy/http/limits.ts';
import { judge } from '../../src/proxy/http/judge.ts';

export interface ReadRequest {
  readonly start: number;
  /** Behind its head. */
  readonly head: number;
  /** Behind its body; undefined: more is to come. */
  end: number | undefined;
  readonly method: string;
  readonly path: string;
  readonly allowed: boolean;
  readonly isHead: boolean;
  readonly minor: number;
  readonly closes: boolean;
  readonly expects: boolean;
  readonly upgrade: boolean;
  readonly upgradeH2c: boolean;
  readonly hasBody: boolean;
}

export interface ReadStream {
  readonly requests: readonly ReadRequest[];
  /** Places of data in bodies: from, to. */
  readonly data: readonly (readonly [number, number])[];
  /** Of src/proxy/http1/faults.ts; 0: none. */
  readonly fault: number;
  readonly at: number;
}

const mostEmptyLines = 8;

/**
 * `tunnelAfter`: index of the request behind which bytes are no HTTP any more. Nothing is read behind a request that closes, unless `goesOn`: a
 * server may read on all the same.
 */
export function readRequests(bytes: Buffer, matcher: HttpMatcher, tunnelAfter = Infinity, goesOn = false): ReadStream {
  const names = new HeaderNames(matcher.headerNames);
  const head = new RequestHead(names, httpLimits.headerFields);
  const requests: ReadRequest[] = [];
  const data: [number, number][] = [];
  let at = 0;
  for (let empty = 0; at < bytes.length && requests.length <= tunnelAfter;) {
    if (bytes[at] === 13 && (at + 1 === bytes.length || bytes[at + 1] === 10) && empty <= mostEmptyLines) {
      if (at + 1 === bytes.length) break;
      at += 2;
      empty++;
      continue;
    }
    if (empty > mostEmptyLines) return { requests, data, fault: fault.emptyLines, at };
    empty = 0;
    const after = head.parse(bytes, at, bytes.length);
    if (after < 0) return { requests, data, fault: after, at };
    if (after === 0) break;
    const judgement = judge({ egress: matcher }, head);
    if (judgement.malformed) return { requests, data, fault: fault.path, at };
    const body = new Body(httpLimits);
    body.begin(head.contentLength, head.chunked);
    const request: ReadRequest = {
      start: at, head: after, end: undefined, method: head.method, path: head.path, allowed: judgement.passes, isHead: head.isHead, minor: head.minor, closes: head.closes, expects: head.expects,
      upgrade: head.upgrade || head.isConnect, upgradeH2c: head.upgradeH2c, hasBody: !body.done,
    };
    requests.push(request);
    at = after;
    while (at < bytes.length && !body.done) {
      const free = body.passable;
      const to = free > 0 ? Math.min(bytes.length, at + free) : at + 1;
      const next = body.feed(bytes, at, to, names);
      if (body.fault !== 0) return { requests, data, fault: body.fault, at: next };
      if (free > 0) data.push([at, next]);
      at = next;
    }
    if (!body.done) break;
    request.end = at;
    if (head.closes && !goesOn) break;
  }
  return { requests, data, fault: 0, at };
}
