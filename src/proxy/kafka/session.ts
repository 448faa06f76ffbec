import type { Session, Side, Wire } from '../protocol.ts';
import { KafkaCut, KafkaFault } from './codec.ts';
import { decide } from './decide.ts';
import { KafkaError } from './deny.ts';
import { Held } from './held.ts';
import { ApiKey, namesTopics } from './messages.ts';
import { readHeader, readProduceStart } from './request.ts';
import type { ProduceStart, RequestHeader, Topics } from './request.ts';
import { errorIn } from './rewrite.ts';
import type { Rewrite } from './rewrite.ts';
import { recordAnswer, recordFault, recordRequest } from './record.ts';
import type { RequestFacts } from './record.ts';
import { judge } from './rules.ts';
import type { KafkaRules } from './rules.ts';

/** Brokers take this much (`socket.request.max.bytes`). */
const maxRequestBytes = 104_857_600;
/** What is kept of one message until it can be judged or rewritten. */
const maxHeldBytes = 16_777_216;
/** A request longer than this is not kept when its beginning is enough to judge it; the rest of a response longer than this passes unread. */
const longBytes = 65_536;
/** A response up to this is read for its error. */
const readBytes = 16_384;
/** Requests in flight, and bytes of refusals that wait for their turn, until the client is not read any more. */
const maxPending = 1024;
const maxWaitingBytes = 1_048_576;

/** A request whose answer the client waits for, in the order of requests. */
type Pending = {
  readonly facts: RequestFacts;
  readonly message: RequestHeader['message'];
  readonly rewrite?: Rewrite | undefined;
  /** Ours: it waits for those before it. */
  readonly answer?: Buffer;
};

/**
 * One connection of a Kafka client. Each request is judged before its first byte goes on; a refusal takes its place among the
 * responses, which have the order of their requests.
 */
export class KafkaSession implements Session {
  readonly #wire: Wire<KafkaRules>;
  readonly #pending: Pending[] = [];
  #waitingBytes = 0;
  /** Bytes of a message that has not come whole. */
  readonly #held: Record<Side, Held | undefined> = { client: undefined, server: undefined };
  /** Of the response that goes through now. */
  #responseLeft = 0;
  #isPaused = false;
  #isClosed = false;

  constructor(wire: Wire<KafkaRules>) {
    this.#wire = wire;
  }

  get idle(): boolean {
    return this.#pending.length === 0 && this.#responseLeft === 0 && !this.#held.client && !this.#held.server;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    try {
      this.#take(from, data, start, end);
    } catch (error) {
      if (!(error instanceof KafkaFault)) throw error;
      this.#giveUp(from);
    }
  }

  ended(from: Side): void {
    if (this.#isClosed) return;
    if (from === 'client' && !this.#held.client) return this.#wire.end('server');
    this.#close();
  }

  serverFailed(): void {
    if (!this.#isClosed) this.#close();
  }

  timeout(): void {}

  closed(): void {
    this.#isClosed = true;
    this.#held.client?.release();
    this.#held.server?.release();
    this.#held.client = this.#held.server = undefined;
    this.#pending.length = 0;
  }

  #take(from: Side, data: Buffer, start: number, end: number): void {
    const held = this.#held[from];
    if (!held) return this.#walk(from, data, start, end, false);
    held.add(data, start, end);
    if (held.length < held.needed) return;
    this.#held[from] = undefined;
    held.release();
    this.#walk(from, held.bytes, 0, held.length, true);
  }

  /** Whole messages go on, what is left is kept. */
  #walk(from: Side, bytes: Buffer, start: number, end: number, isOwn: boolean): void {
    let at = start;
    while (at < end && !this.#isClosed) {
      const taken = from === 'client' ? this.#fromClient(bytes, at, end) : this.#fromServer(bytes, at, end);
      if (taken < 0) {
        this.#held[from] = at === 0 && isOwn ? Held.again(bytes, end, -taken) : Held.of(bytes, at, end, -taken);
        return;
      }
      at += taken;
    }
  }

  /** How many bytes were taken; negative: how many there must be before it is tried again. */
  #fromClient(bytes: Buffer, at: number, end: number): number {
    if (end - at < 4) return -4;
    const size = bytes.readInt32BE(at);
    if (size < 10 || size > maxRequestBytes) throw new KafkaFault(`a request of ${size} bytes`);
    const whole = 4 + size;
    if (end - at >= whole) {
      this.#request(bytes, at, at + whole);
      return whole;
    }
    if (size > longBytes) {
      if (this.#beginning(bytes, at, end)) {
        this.#wire.send('server', bytes, at, end);
        this.#wire.pass('client', whole - (end - at));
        return end - at;
      }
      if (end - at <= longBytes) return -(end - at + 1);
      if (whole > maxHeldBytes) throw new KafkaFault(`a request of ${size} bytes that cannot be judged by its beginning`);
    }
    return -whole;
  }

  /** True when so much of a long request is enough to let it pass: whatever comes after cannot name another topic. */
  #beginning(bytes: Buffer, at: number, end: number): boolean {
    try {
      const header = readHeader(bytes, at + 4, end);
      const { apiKey, apiVersion, message, body } = header;
      if (apiKey === ApiKey.apiVersions || apiKey === ApiKey.saslHandshake) return false;
      const produce = apiKey === ApiKey.produce && message ? readProduceStart(message, apiVersion, bytes, body, end) : undefined;
      const topics = topicsAtStart(apiKey, produce);
      const judgement = judge(this.#wire.layers(), header, topics);
      if (!judgement.passes) return false;
      const facts = recordRequest(this.#wire, header, topics, judgement, 0, false);
      if (produce?.acks !== 0) this.#push({ facts, message });
      return true;
    } catch (error) {
      if (error instanceof KafkaCut) return false;
      throw error;
    }
  }

  #request(bytes: Buffer, at: number, end: number): void {
    const layers = this.#wire.layers();
    const header = readHeader(bytes, at + 4, end);
    const { judgement, topics, outcome } = decide(layers, header, bytes, at + 4, end);
    const errorCode = outcome.kind === 'refuse' ? outcome.errorCode : KafkaError.topicAuthorizationFailed;
    const facts = recordRequest(this.#wire, header, topics, judgement, errorCode, outcome.kind === 'pass');
    const { message } = header;
    switch (outcome.kind) {
      case 'close': return this.#close();
      case 'refuse':
        if (outcome.answer) this.#push({ facts, message, answer: outcome.answer });
        return;
      case 'pass':
        if (outcome.hasAnswer) this.#push({ facts, message, rewrite: outcome.rewrite });
        if (outcome.instead) this.#wire.send('server', outcome.instead, 0, outcome.instead.length);
        else this.#wire.send('server', bytes, at, end);
    }
  }

  #push(pending: Pending): void {
    this.#pending.push(pending);
    this.#waitingBytes += pending.answer?.length ?? 0;
    this.#answer();
    this.#pace();
  }

  /** Refusals whose turn it is. */
  #answer(): void {
    while (this.#responseLeft === 0) {
      const answer = this.#pending[0]?.answer;
      if (!answer) return;
      this.#waitingBytes -= answer.length;
      this.#pending.shift();
      this.#wire.send('client', answer, 0, answer.length);
    }
  }

  #pace(): void {
    const isFull = this.#pending.length >= (this.#isPaused ? maxPending / 2 : maxPending) || this.#waitingBytes > maxWaitingBytes;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    this.#wire.pause('client', isFull);
  }

  #fromServer(bytes: Buffer, at: number, end: number): number {
    if (this.#responseLeft > 0) return this.#rest(bytes, at, end);
    if (end - at < 8) return -8;
    const size = bytes.readInt32BE(at);
    const pending = this.#pending[0];
    if (size < 4 || !pending || bytes.readInt32BE(at + 4) !== pending.facts.header.correlationId) throw new KafkaFault('a response that nobody asked for');
    const whole = 4 + size;
    const isWhole = end - at >= whole;
    if (pending.rewrite) {
      if (whole > maxHeldBytes) throw new KafkaFault(`a response of ${size} bytes that has to be rewritten`);
      if (!isWhole) return -whole;
      const instead = pending.rewrite(bytes.subarray(at, at + whole));
      this.#wire.send('client', instead, 0, instead.length);
      this.#responded(undefined);
      return whole;
    }
    if (isWhole) {
      this.#wire.send('client', bytes, at, at + whole);
      const { message, facts: { header } } = pending;
      this.#responded(message && whole <= readBytes ? errorIn(message, header.apiVersion, bytes.subarray(at, at + whole)) : undefined);
      return whole;
    }
    this.#responseLeft = whole;
    return this.#rest(bytes, at, end);
  }

  /** The last byte always comes to us: so it is known when the response is over, and the next may follow. */
  #rest(bytes: Buffer, at: number, end: number): number {
    const count = Math.min(this.#responseLeft, end - at);
    this.#wire.send('client', bytes, at, at + count);
    this.#responseLeft -= count;
    if (this.#responseLeft === 0) this.#responded(undefined);
    else if (this.#responseLeft > longBytes) {
      this.#wire.pass('server', this.#responseLeft - 1);
      this.#responseLeft = 1;
    }
    return count;
  }

  #responded(errorCode: number | undefined): void {
    const { facts } = this.#pending.shift()!;
    recordAnswer(this.#wire, facts, errorCode);
    this.#answer();
    this.#pace();
  }

  #giveUp(from: Side): void {
    const { ingress, egress } = this.#wire.layers();
    recordFault(this.#wire, ingress || !egress ? 'INGRESS' : 'EGRESS', from === 'client' ? 'REQUEST' : 'RESPONSE');
    this.#close();
  }

  #close(): void {
    this.#isClosed = true;
    this.#wire.close('written');
  }
}

function topicsAtStart(apiKey: number, produce: ProduceStart | undefined): Topics {
  if (produce?.onlyTopic !== undefined) return { kind: 'named', names: [produce.onlyTopic] };
  return { kind: namesTopics(apiKey) ? 'hidden' : 'none' };
}
