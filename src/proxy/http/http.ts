import type { L7Set } from '../../model/l7.ts';
import { compileHttpRules, type HttpMatcher } from '../../policy/l7-match.ts';
import { openHttp1 } from '../http1/session.ts';
import { preface } from '../http2/frame.ts';
import { openHttp2 } from '../http2/session.ts';
import type { DrainStage, Protocol, Session, Side, Wire } from '../protocol.ts';
import { type HttpLimits, httpLimits } from './limits.ts';

/** HTTP of either kind: what the client sends first says which. */
export const http: Protocol<Extract<L7Set, { readonly protocol: 'http' }>, HttpMatcher> = {
  compile: ({ rules }) => compileHttpRules(rules),
  open: wire => openHttp(wire),
};

/** With the headers that flows are to bear. */
export function httpTelling(headers: readonly string[]): typeof http {
  if (headers.length === 0) return http;
  const limits = { ...httpLimits, recordedHeaders: headers.map(name => name.toLowerCase()) };
  return { ...http, open: wire => openHttp(wire, limits) };
}

/** "PRI " is enough: no request of HTTP/1.1 begins with it (RFC 9113 §3.4). A preface that goes on otherwise is refused. */
const distinctBytes = 4;

export function openHttp(wire: Wire<HttpMatcher>, limits: HttpLimits = httpLimits): Session {
  return new HttpSession(wire, limits);
}

class HttpSession implements Session {
  readonly #wire: Wire<HttpMatcher>;
  readonly #limits: HttpLimits;
  #session: Session | undefined;
  /** How much of the preface has come, and nothing else. */
  #seen = 0;

  constructor(wire: Wire<HttpMatcher>, limits: HttpLimits) {
    this.#wire = wire;
    this.#limits = limits;
  }

  get idle(): boolean {
    return this.#session?.idle ?? this.#seen === 0;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#session) return this.#session.data(from, data, start, end);
    // A server that speaks first has nothing to say that HTTP knows of: HTTP/1.1 refuses it.
    if (from === 'server') return this.#begin(false).data(from, data, start, end);
    let at = start;
    while (at < end && this.#seen < distinctBytes && data[at] === preface[this.#seen]) {
      this.#seen++;
      at++;
    }
    if (this.#seen < distinctBytes && at === end) return this.#wire.wake(this.#limits.headMs);
    const session = this.#begin(this.#seen === distinctBytes);
    if (at < end || this.#seen === distinctBytes) session.data(from, data, at, end);
  }

  /** The session, with the bytes that it took to find out. */
  #begin(isHttp2: boolean): Session {
    const session = isHttp2 ? openHttp2(this.#wire, this.#limits) : openHttp1(this.#wire, this.#limits);
    this.#session = session;
    if (this.#seen > 0) session.data('client', Buffer.from(preface.subarray(0, this.#seen)), 0, this.#seen);
    return session;
  }

  ended(from: Side): void {
    (this.#session ?? this.#begin(false)).ended(from);
  }

  serverFailed(code: string): void {
    (this.#session ?? this.#begin(false)).serverFailed(code);
  }

  timeout(): void {
    if (this.#session) this.#session.timeout();
    else this.#begin(false);
  }

  drain(stage: DrainStage): void {
    this.#session?.drain?.(stage);
  }

  closed(): void {
    this.#session?.closed();
  }
}
