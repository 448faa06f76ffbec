/**
 * HTTP/1.1 between a client and a server: each request is read and judged, then passes as it came, or is answered by the proxy.
 *
 *     client ─▶ head ─▶ judge ─▶ body ─▶ server          requests in flight wait in a queue;
 *     client ◀─ own answers and the server's, in order ◀─ server    an own answer is sent when its turn comes
 *
 * Whatever one of the two might read differently from us is refused, and the connection with it (docs/l7/http.md).
 */
import type { HttpMatcher } from '../../policy/l7-match.ts';
import { judge } from '../http/judge.ts';
import { httpLimits } from '../http/limits.ts';
import type { HttpLimits } from '../http/limits.ts';
import { recordAnswer, recordMalformed, recordRequest, traceIdOf } from '../http/record.ts';
import type { DrainStage, Session, Side, Wire } from '../protocol.ts';
import { AnswerSide } from './answer-side.ts';
import { answer, deniedAnswer } from './answers.ts';
import { Body } from './body.ts';
import { carriageReturn, lineFeed } from './bytes.ts';
import { type Exchange, Exchanges } from './exchange.ts';
import { fault, faultText } from './faults.ts';
import { type HeaderNames, headerNames, slot } from './fields.ts';
import { Gathered } from './gathered.ts';
import { type RequestHead, requestHead } from './request-head.ts';
import { rewriteHead } from './rewrite.ts';

export function openHttp1(wire: Wire<HttpMatcher>, limits: HttpLimits = httpLimits): Session {
  return new Http1Session(wire, limits);
}

const mostEmptyLines = 8;

/** What the next byte of the client is: of a head, of a body that passes or not, held back, or nothing any more. */
type Reading = 'head' | 'body' | 'swallow' | 'held' | 'over';

class Http1Session implements Session {
  readonly #wire: Wire<HttpMatcher>;
  readonly #limits: HttpLimits;
  readonly #exchanges = new Exchanges();
  readonly #answers: AnswerSide;
  #head: RequestHead;
  readonly #body: Body;
  readonly #gathered = new Gathered();
  #reading: Reading = 'head';
  /** What the reading will be after the body. */
  #afterBody: Reading = 'head';
  #emptyLines = 0;
  #sawReturn = false;
  #swallowed = 0;
  #paused = false;
  #clientEnded = false;
  #finished = false;
  #waking = false;
  #draining = false;
  #egress: HttpMatcher | undefined;
  #ingress: HttpMatcher | undefined;
  #names: HeaderNames;

  constructor(wire: Wire<HttpMatcher>, limits: HttpLimits) {
    this.#wire = wire;
    this.#limits = limits;
    this.#names = headerNames(limits.recordedHeaders);
    this.#head = requestHead(this.#names, limits.headerFields);
    this.#body = new Body(limits);
    this.#answers = new AnswerSide(wire, limits, this.#exchanges, {
      answered: () => this.#pump(),
      refused: () => this.#release(),
      tunnel: () => this.#tunnel(),
      over: () => this.#finish(),
      endsHere: () => this.#endsHere(),
    });
  }

  get idle(): boolean {
    return this.#reading === 'head' && this.#gathered.length === 0 && !this.#sawReturn && this.#exchanges.length === 0 && this.#answers.idle && !this.#finished;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#finished) return;
    if (from === 'server') this.#answers.data(data, start, end);
    else {
      this.#requests(data, start, end);
      this.#pump();
    }
  }

  ended(from: Side): void {
    if (this.#finished) return;
    if (from === 'client') {
      this.#clientEnded = true;
      if (this.#exchanges.length === 0) this.#wire.close('written');
      else this.#wire.end('server');
      return;
    }
    this.#answers.ended();
    this.#wire.close('written');
  }

  serverFailed(code: string): void {
    if (!this.#finished) this.#answers.failed(code);
  }

  timeout(): void {
    this.#waking = false;
    if (this.#finished) return;
    if (this.#reading === 'swallow') return this.#swallowNoMore();
    if (this.#gathered.length === 0 || this.#reading === 'held') return;
    this.#reading = 'over';
    this.#gathered.clear();
    this.#own(this.#next(undefined), 408, answer(408, 'Request Timeout', 'Request Timeout\r\n', true));
    this.#pump();
  }

  closed(): void {
    this.#gathered.clear();
    this.#answers.release();
  }

  /** A client may send its next request whenever it has an answer: so it is told with an answer that it is the last. */
  drain(stage: DrainStage): void {
    if (stage === 'rest' || this.#finished) return;
    this.#draining = this.#answers.draining = true;
    if (stage === 'close' && this.idle) this.#finish();
  }

  /** Nothing of another request has come: the answer that is to be sent can be the last. */
  #endsHere(): boolean {
    if (this.#reading !== 'head' || this.#gathered.length > 0 || this.#sawReturn || this.#exchanges.length > 1) return false;
    this.#reading = 'over';
    return true;
  }

  /** Bytes of the client; what passes of one call is sent in as few pieces as there are. */
  #requests(data: Buffer, start: number, end: number): void {
    if (this.#reading === 'held' || this.#gathered.length > 0) {
      this.#gathered.add(data, start, end);
      if (this.#reading === 'held') return;
      if (!this.#gathered.whole) return this.#tooLarge(this.#gathered.length);
      const all = this.#gathered.take();
      return this.#requests(all, 0, all.length);
    }
    let i = start;
    let unsent = start;
    while (i < end) {
      const reading = this.#reading as Reading;
      if (reading === 'over') return this.#flush(data, unsent, i);
      if (reading === 'held') {
        this.#flush(data, unsent, i);
        return this.#gathered.add(data, i, end);
      }
      if (reading !== 'head') {
        const passes = reading === 'body';
        const after = this.#body.feed(data, i, end, this.#names);
        if (this.#body.fault < 0) {
          if (passes) this.#flush(data, unsent, after);
          return passes ? this.#brokenBody(this.#body.fault) : this.#malformed(this.#body.fault);
        }
        if (passes) i = after;
        else {
          this.#swallow(after - i);
          i = unsent = after;
        }
        if (this.#body.done && this.#reading === reading) this.#bodyDone();
        continue;
      }
      if (this.#isEmptyLine(data[i]!)) {
        this.#flush(data, unsent, i);
        unsent = ++i;
        continue;
      }
      if (this.#sawReturn || this.#emptyLines > mostEmptyLines) {
        this.#flush(data, unsent, i);
        return this.#malformed(this.#sawReturn ? fault.method : fault.emptyLines);
      }
      this.#useNames();
      const after = this.#head.parse(data, i, end);
      if (after > 0 && after - i <= this.#limits.headBytes) {
        this.#emptyLines = 0;
        unsent = this.#decide(data, unsent, i, after);
        i = after;
        continue;
      }
      this.#flush(data, unsent, i);
      if (after < 0) return this.#malformed(after);
      this.#gathered.add(data, i, end);
      return this.#tooLarge(after > 0 ? Infinity : end - i);
    }
    this.#flush(data, unsent, i);
    if (this.#reading === 'body') this.#splice();
  }

  /** Servers skip empty lines before a request; they are taken out, so that nobody has to. */
  #isEmptyLine(byte: number): boolean {
    if (!this.#sawReturn && byte === carriageReturn) return (this.#sawReturn = true);
    if (!this.#sawReturn || byte !== lineFeed) return false;
    this.#sawReturn = false;
    this.#emptyLines++;
    return true;
  }

  #useNames(): void {
    const { egress, ingress } = this.#wire.layers();
    if (egress === this.#egress && ingress === this.#ingress) return;
    this.#egress = egress;
    this.#ingress = ingress;
    this.#names = headerNames([...this.#limits.recordedHeaders, ...(egress?.headerNames ?? []), ...(ingress?.headerNames ?? [])]);
    this.#head = requestHead(this.#names, this.#limits.headerFields);
  }

  /** The request with its head in data[at, after): from where bytes wait to be sent then. */
  #decide(data: Buffer, unsent: number, at: number, after: number): number {
    const head = this.#head;
    const judgement = judge(this.#wire.layers(), head);
    const exchange = this.#exchange();
    if (judgement.malformed) {
      this.#flush(data, unsent, at);
      this.#malformed(fault.path, exchange);
      return after;
    }
    exchange.opinions = judgement.opinions;
    recordRequest(this.#wire, exchange, judgement);
    this.#body.begin(head.contentLength, head.chunked);
    if (!judgement.passes) {
      this.#flush(data, unsent, at);
      this.#refuse(exchange);
      return after;
    }
    const tunnel = head.isConnect ? 'connect' : head.upgrade ? 'upgrade' : undefined;
    exchange.tunnel = tunnel;
    exchange.closes = head.closes;
    this.#exchanges.push(exchange);
    this.#afterBody = tunnel ? 'held' : head.closes ? 'over' : 'head';
    this.#reading = this.#body.done ? this.#afterBody : 'body';
    this.#pauseOrNot();
    if (judgement.mutations.length === 0 && !head.upgradeH2c) {
      if (this.#reading === 'over' || this.#reading === 'held') {
        this.#flush(data, unsent, after);
        return after;
      }
      return unsent;
    }
    this.#flush(data, unsent, at);
    const rewritten = rewriteHead(data.subarray(at, after), judgement.mutations, head.upgradeH2c);
    this.#wire.send('server', rewritten, 0, rewritten.length);
    return after;
  }

  /** Of the head that was just read. */
  #exchange(): Exchange {
    const { fields } = this.#head;
    const exchange = this.#next(this.#head);
    if (fields.has(slot.traceparent)) exchange.traceId = traceIdOf(fields.value(slot.traceparent));
    if (this.#limits.recordedHeaders.length > 0) exchange.headers = this.#recordedHeaders();
    return exchange;
  }

  /** Undefined: of what could not be read. */
  #next(asked: RequestHead | undefined): Exchange {
    const exchange = this.#exchanges.next(asked);
    exchange.askedUs = this.#wire.now();
    return exchange;
  }

  #recordedHeaders(): readonly { readonly key: string; readonly value: string }[] {
    return this.#limits.recordedHeaders.flatMap(key => {
      const value = this.#head.header(key);
      return value === undefined ? [] : [{ key, value }];
    });
  }

  /** 403, in its turn. Its body is read and thrown away, and the connection goes on, where it is known what the client will send. */
  #refuse(exchange: Exchange): void {
    const head = this.#head;
    const closes = this.#draining || head.closes || head.minor === 0 || head.isConnect || (head.expects && !this.#body.done) || head.contentLength > this.#limits.swallowedBytes;
    exchange.own = deniedAnswer(closes, head.isHead);
    exchange.status = 403;
    exchange.closes = closes;
    this.#exchanges.push(exchange);
    this.#swallowed = 0;
    this.#afterBody = 'head';
    this.#reading = closes ? 'over' : this.#body.done ? 'head' : 'swallow';
    if (this.#reading === 'swallow') this.#wakeIn(this.#limits.headMs);
    this.#pauseOrNot();
  }

  #swallow(bytes: number): void {
    this.#swallowed += bytes;
    if (this.#swallowed > this.#limits.swallowedBytes) this.#swallowNoMore();
  }

  /** The answer has been given, or stands last in the queue: the connection ends after it. */
  #swallowNoMore(): void {
    this.#reading = 'over';
    const last = this.#exchanges.last;
    if (last === undefined) this.#finish();
    else last.closes = true;
  }

  #bodyDone(): void {
    this.#reading = this.#afterBody;
    this.#pauseOrNot();
  }

  #malformed(code: number, exchange = this.#next(undefined)): void {
    const { egress, ingress } = this.#wire.layers();
    const opinions = [...(egress ? ['EGRESS' as const] : []), ...(ingress ? ['INGRESS' as const] : [])].map(direction => ({ direction, passes: false, rule: 0, notes: [] }));
    const [status, reason] = code === fault.headTooLarge || code === fault.tooManyFields ? [431, 'Request Header Fields Too Large'] as const : [400, 'Bad Request'] as const;
    recordMalformed(this.#wire, exchange, opinions.map(o => o.direction));
    exchange.opinions = opinions;
    this.#reading = 'over';
    this.#gathered.clear();
    this.#own(exchange, status, answer(status, reason, `${reason}: ${faultText(code)}\r\n`, true));
  }

  /** Half of it has passed, and nothing may follow. Told to the client if its answer has not begun. */
  #brokenBody(code: number): void {
    this.#reading = 'over';
    if (!this.#answers.insteadOfOnly(400, 'Bad Request', `Bad Request: ${faultText(code)}\r\n`)) this.#wire.close('once');
  }

  /** The last answer of the connection. */
  #own(exchange: Exchange, status: number, own: Buffer): void {
    exchange.own = own;
    exchange.status = status;
    exchange.isHead = false;
    exchange.closes = true;
    this.#exchanges.push(exchange);
  }

  #tooLarge(length: number): void {
    if (length > this.#limits.headBytes) return this.#malformed(fault.headTooLarge);
    this.#wakeIn(this.#limits.headMs);
  }

  /** Own answers whose turn it is. */
  #pump(): void {
    for (let front = this.#exchanges.front; front?.own !== undefined && !this.#finished; front = this.#exchanges.front) {
      this.#wire.send('client', front.own, 0, front.own.length);
      front.answeredUs = this.#wire.now();
      recordAnswer(this.#wire, front, front.opinions, front.status);
      this.#exchanges.shift();
      if (front.closes) return this.#finish();
    }
    if (this.#waking && this.#gathered.length === 0 && this.#reading !== 'swallow' && !this.#finished) this.#wakeIn(0);
    this.#pauseOrNot();
    if (this.#clientEnded && this.#exchanges.length === 0) this.#wire.close('written');
  }

  #wakeIn(ms: number): void {
    // A head that goes on coming in pieces keeps the timer of its first piece.
    if (ms > 0 && this.#waking) return;
    this.#waking = ms > 0;
    this.#wire.wake(ms);
  }

  /** The server did not change the protocol: what was held are requests. */
  #release(): void {
    if (this.#afterBody === 'held') this.#afterBody = 'head';
    if (this.#reading !== 'held') return;
    this.#reading = 'head';
    const held = this.#gathered.take();
    this.#requests(held, 0, held.length);
    this.#pump();
  }

  /** From here on the two speak what they like. */
  #tunnel(): void {
    const held = this.#gathered.take();
    this.#wire.send('server', held, 0, held.length);
    this.#reading = 'over';
    if (this.#paused) this.#wire.pause('client', false);
    this.#wire.passAll();
  }

  /** The last answer is on its way. */
  #finish(): void {
    this.#finished = true;
    this.#reading = 'over';
    this.#wire.close('written');
  }

  #pauseOrNot(): void {
    const { pipelined } = this.#limits;
    const wanted = !this.#finished && (this.#reading === 'held' || (this.#paused ? this.#exchanges.length > pipelined / 2 : this.#exchanges.length >= pipelined));
    if (wanted === this.#paused) return;
    this.#paused = wanted;
    this.#wire.pause('client', wanted);
  }

  #splice(): void {
    const bytes = this.#body.passable - 1;
    if (bytes < this.#limits.spliceBytes) return;
    this.#body.passed(bytes);
    this.#wire.pass('client', bytes);
  }

  #flush(data: Buffer, from: number, to: number): void {
    if (to > from) this.#wire.send('server', data, from, to);
  }
}
