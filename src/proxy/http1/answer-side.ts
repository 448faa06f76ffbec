/** The server's half of a session: whose answer it is, where it ends, and what it means for the connection. */
import type { HeaderMutation, HttpMatcher } from '../../policy/l7-match.ts';
import type { HttpLimits } from '../http/limits.ts';
import { recordAnswer } from '../http/record.ts';
import type { Wire } from '../protocol.ts';
import { type AnswerHead, answerHead } from './answer-head.ts';
import { answer } from './answers.ts';
import { Body } from './body.ts';
import type { Exchange, Exchanges } from './exchange.ts';
import { fault } from './faults.ts';
import { Gathered } from './gathered.ts';
import { rewriteHead } from './rewrite.ts';

export interface AnswerEvents {
  /** The first of the queue has been answered and is gone. */
  answered(): void;
  /** A wish for another protocol was not granted. */
  refused(): void;
  /** It was: all that the server has sent is on its way to the client. */
  tunnel(): void;
  /** The connection ends with the answer that is now complete. */
  over(): void;
  /** While it drains: whether the connection may end with the answer whose head is here. Then no more requests are read. */
  endsHere(): boolean;
}

const lastAnswer: readonly HeaderMutation[] = [{ op: 'delete', name: 'keep-alive' }, { op: 'replace', name: 'connection', value: 'close' }];

/** Answers before the answer: more of them is no server's doing. */
const mostInterim = 64;

export class AnswerSide {
  /** The connection is to end with an answer that says so. */
  draining = false;
  readonly #wire: Wire<HttpMatcher>;
  readonly #limits: HttpLimits;
  readonly #exchanges: Exchanges;
  readonly #events: AnswerEvents;
  readonly #head: AnswerHead;
  readonly #body: Body;
  readonly #gathered = new Gathered();
  #inBody = false;
  /** Part of the present answer is on its way: nothing else can be said in its place. */
  #begun = false;
  #interim = 0;
  #answered = 0;

  constructor(wire: Wire<HttpMatcher>, limits: HttpLimits, exchanges: Exchanges, events: AnswerEvents) {
    this.#wire = wire;
    this.#limits = limits;
    this.#exchanges = exchanges;
    this.#events = events;
    this.#head = answerHead(limits.headerFields);
    this.#body = new Body(limits);
  }

  get idle(): boolean {
    return !this.#inBody && this.#gathered.length === 0;
  }

  release(): void {
    this.#gathered.clear();
  }

  data(data: Buffer, start: number, end: number): void {
    if (this.#gathered.length > 0) {
      this.#gathered.add(data, start, end);
      if (!this.#gathered.whole) return this.#tooLarge(this.#gathered.length);
      const all = this.#gathered.take();
      return this.data(all, 0, all.length);
    }
    let i = start;
    let unsent = start;
    while (i < end) {
      if (this.#inBody) {
        i = this.#body.feed(data, i, end);
        if (this.#body.fault < 0) {
          this.#flush(data, unsent, i);
          return this.#wire.close('written');
        }
        if (!this.#body.done) continue;
        // Before anything else is said to the client, and before the session says it.
        this.#flush(data, unsent, i);
        unsent = i;
        if (!this.#complete()) return;
        continue;
      }
      const front = this.#exchanges.front;
      if (front === undefined || front.own !== undefined) return this.#broken(fault.unasked);
      const after = this.#head.parse(data, i, end);
      if (after < 0) return this.#broken(after);
      if (after === 0 || after - i > this.#limits.headBytes) {
        this.#flush(data, unsent, i);
        this.#gathered.add(data, i, end);
        return this.#tooLarge(after > 0 ? Infinity : end - i);
      }
      const found = this.#take(front);
      if (found < 0) {
        this.#flush(data, unsent, i);
        return this.#broken(found);
      }
      if (found === final && this.draining && !front.closes && this.#events.endsHere()) {
        front.closes = true;
        this.#flush(data, unsent, i);
        const head = rewriteHead(data.subarray(i, after), lastAnswer, false);
        this.#wire.send('client', head, 0, head.length);
        unsent = after;
      }
      i = after;
      if (found === opened) {
        this.#flush(data, unsent, end);
        this.#exchanges.shift();
        return this.#events.tunnel();
      }
      if (found === final && !this.#body.done) continue;
      this.#flush(data, unsent, i);
      unsent = i;
      if (found === final && !this.#complete()) return;
    }
    this.#flush(data, unsent, i);
    if (this.#inBody) this.#splice();
  }

  /** The server sends no more. */
  ended(): void {
    const front = this.#exchanges.front;
    if (front === undefined || front.own !== undefined || this.#begun) return;
    // As without a proxy, a client whose connection had served before sees it end, and may ask again elsewhere.
    if (this.#answered === 0) this.#insteadOf(front, 502, 'Bad Gateway');
  }

  failed(code: string): void {
    const front = this.#exchanges.front;
    const refused = code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'ETIMEDOUT' || code === 'EADDRNOTAVAIL';
    if (front !== undefined && front.own === undefined && !this.#begun && this.#answered === 0) {
      this.#insteadOf(front, refused ? 503 : 502, refused ? 'Service Unavailable' : 'Bad Gateway');
      this.#events.over();
    } else this.#wire.close(this.#begun ? 'once' : 'written');
  }

  /** In place of the server's answer to the one request that waits, if none of it is on its way. */
  insteadOfOnly(status: number, reason: string, text: string): boolean {
    const front = this.#exchanges.front;
    if (front === undefined || front.own !== undefined || this.#exchanges.length > 1 || this.#begun) return false;
    this.#insteadOf(front, status, reason, text);
    this.#events.over();
    return true;
  }

  /** What the head that was just read is: `final`, `interim`, `opened`, or a fault. */
  #take(front: Exchange): number {
    const { status, chunked, contentLength } = this.#head;
    if (status < 200) {
      if (chunked || contentLength > 0) return fault.bodyForbidden;
      if (status === 101) return front.tunnel === 'upgrade' ? this.#open(front) : fault.unasked;
      return ++this.#interim > mostInterim ? fault.unasked : interim;
    }
    if (front.tunnel === 'connect' && status < 300) return this.#open(front);
    if (status === 204 && (chunked || contentLength > 0)) return fault.bodyForbidden;
    this.#begun = true;
    this.#note(front, status);
    const bodiless = front.isHead || status === 204 || status === 304;
    const untilClose = !bodiless && !chunked && contentLength < 0;
    this.#body.begin(bodiless || contentLength < 0 ? 0 : contentLength, !bodiless && chunked, untilClose);
    if (this.#head.closes || untilClose) front.closes = true;
    this.#inBody = !this.#body.done;
    return final;
  }

  #open(front: Exchange): number {
    this.#note(front, this.#head.status);
    return opened;
  }

  #note(front: Exchange, status: number): void {
    front.answeredUs = this.#wire.now();
    recordAnswer(this.#wire, front, front.opinions, status);
  }

  /** False: the connection is over, and nothing more is read. */
  #complete(): boolean {
    // By the time that others have heard of it, it may be another request.
    const { closes, tunnel } = this.#exchanges.front!;
    this.#exchanges.shift();
    this.#inBody = this.#begun = false;
    this.#interim = 0;
    this.#answered++;
    if (closes) {
      this.#events.over();
      return false;
    }
    this.#events.answered();
    if (tunnel !== undefined) this.#events.refused();
    return true;
  }

  #broken(_code: number): void {
    const front = this.#exchanges.front;
    if (front === undefined || front.own !== undefined || this.#begun) return this.#wire.close('written');
    this.#insteadOf(front, 502, 'Bad Gateway');
    this.#events.over();
  }

  #insteadOf(front: Exchange, status: number, reason: string, text = `${reason}\r\n`): void {
    const own = answer(status, reason, text, true, front.isHead);
    this.#wire.send('client', own, 0, own.length);
    this.#note(front, status);
    this.#exchanges.shift();
  }

  #tooLarge(length: number): void {
    if (length > this.#limits.headBytes) this.#broken(fault.headTooLarge);
  }

  #splice(): void {
    const bytes = this.#body.passable - 1;
    if (bytes < this.#limits.spliceBytes) return;
    this.#body.passed(bytes);
    this.#wire.pass('server', bytes);
  }

  #flush(data: Buffer, from: number, to: number): void {
    if (to > from) this.#wire.send('client', data, from, to);
  }
}

const final = 1;
const interim = 2;
const opened = 3;
