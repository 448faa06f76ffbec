import { judge, type Judgement } from '../http/judge.ts';
import { newFacts, recordMalformed, recordRequest } from '../http/record.ts';
import { fieldsTooLarge } from './answer.ts';
import { ConnectionFault, ErrorCode } from './error.ts';
import type { Exchange } from './exchange.ts';
import { requestFacts } from './facts.ts';
import type { Field } from './field.ts';
import { Half } from './half.ts';
import { listLimits, maxKeptOctets, maxStreams } from './limits.ts';
import { readRequest, type RequestHead, trailerFault } from './message.ts';
import { mutate } from './mutate.ts';
import { Setting, type Settings } from './settings.ts';
import { Stream } from './stream.ts';

/** What the client sends: requests are decided here, before the server sees anything of them. */
export class ClientHalf extends Half {
  constructor(exchange: Exchange) {
    super(exchange, 'client');
  }

  protected idle(id: number): boolean {
    return id % 2 === 0 || id > this.exchange.lastStream;
  }

  protected block(id: number, endStream: boolean, fields: Field[] | undefined, octets: number): void {
    const { exchange } = this;
    if (id % 2 === 0) throw new ConnectionFault(ErrorCode.protocol, 'a stream of the client with an even number');
    if (id <= exchange.lastStream) return this.#trailers(id, endStream, fields);
    exchange.lastStream = id;
    if (id > exchange.finalStream || exchange.streams.size + exchange.refused.size >= maxStreams || exchange.keptOctets + octets > maxKeptOctets) {
      exchange.countReset();
      return exchange.reset('client', id, ErrorCode.refusedStream);
    }
    if (fields === undefined) {
      this.#tellMalformed();
      return exchange.answer(id, undefined, fieldsTooLarge, endStream);
    }
    const head = readRequest(fields, exchange.extendedConnect);
    if (typeof head === 'string' || (endStream && head.contentLength > 0)) {
      this.#tellMalformed();
      exchange.countReset();
      return exchange.reset('client', id, ErrorCode.protocol);
    }
    this.#request(id, endStream, head, octets);
  }

  #request(id: number, endStream: boolean, head: RequestHead, octets: number): void {
    const { exchange } = this;
    const judgement = judge(exchange.wire.layers(), head);
    const facts = requestFacts(head, exchange.limits, exchange.wire.now());
    if (!judgement.passes) return exchange.deny(id, head, facts, judgement, endStream);
    const fields = judgement.mutations.length === 0 ? head.fields : mutate(head.fields, judgement.mutations);
    // A rule that would make another request of it than can be sent.
    if (fields !== head.fields && typeof readRequest(fields, exchange.extendedConnect) === 'string') return exchange.deny(id, head, facts, refusal(judgement), endStream);
    exchange.headers('server', id, fields, endStream);
    recordRequest(exchange.wire, facts, judgement);
    const stream = new Stream(id, head, facts, judgement);
    stream.clientDone = endStream;
    stream.octets = octets;
    exchange.keptOctets += octets;
    exchange.streams.add(stream);
  }

  #tellMalformed(): void {
    const { egress, ingress } = this.exchange.wire.layers();
    recordMalformed(this.exchange.wire, newFacts({ method: '', origin: '', path: '', protocol: 'HTTP/2', askedUs: this.exchange.wire.now() }), [...(egress ? ['EGRESS' as const] : []), ...(ingress ? ['INGRESS' as const] : [])]);
  }

  #trailers(id: number, endStream: boolean, fields: Field[] | undefined): void {
    const { exchange } = this;
    const stream = exchange.streams.get(id);
    // Of a stream that was denied, or reset by the other side, when this was on its way.
    if (stream === undefined) {
      exchange.swallow(id, 0, endStream);
      return exchange.control('client');
    }
    if (stream.clientDone) return exchange.refuse(stream, ErrorCode.streamClosed, 'client');
    if (!endStream || fields === undefined || stream.clientLeft > 0 || this.#badTrailers(fields)) return exchange.refuse(stream, ErrorCode.protocol, 'client');
    exchange.headers('server', id, fields, true);
    this.ends(stream);
  }

  #badTrailers(fields: readonly Field[]): boolean {
    const { egress, ingress } = this.exchange.wire.layers();
    return trailerFault(fields, egress?.headerNames) !== undefined || trailerFault(fields, ingress?.headerNames) !== undefined;
  }

  protected body(stream: Stream, octets: number, endStream: boolean): boolean {
    const { clientLeft } = stream;
    if (stream.clientDone) this.exchange.refuse(stream, ErrorCode.streamClosed, 'client');
    else if (clientLeft >= 0 && (octets > clientLeft || (endStream && octets < clientLeft))) this.exchange.refuse(stream, ErrorCode.protocol, 'client');
    else {
      if (clientLeft > 0) stream.clientLeft = clientLeft - octets;
      return true;
    }
    return false;
  }

  protected override closedBody(id: number, octets: number, endStream: boolean): void {
    this.exchange.swallow(id, octets, endStream);
  }

  protected ends(stream: Stream): void {
    stream.clientDone = true;
    if (stream.serverDone) this.exchange.gone(stream);
  }

  protected wasReset(stream: Stream): void {
    if (!stream.serverDone) this.exchange.countReset();
  }

  protected window(octets: number): number {
    return this.exchange.clientWindowGrows(octets);
  }

  protected room(octets: number): boolean {
    if (octets > this.exchange.serverWindow) throw new ConnectionFault(ErrorCode.flowControl, 'more DATA than the server takes');
    return true;
  }

  protected taken(octets: number): void {
    this.exchange.serverWindow -= octets;
  }

  protected settings({ initialWindowSize }: Settings): void {
    if (initialWindowSize !== undefined) this.exchange.clientStreamWindow = initialWindowSize;
  }

  protected firstSettings(): readonly (readonly [number, number])[] {
    return [[Setting.enablePush, 0], [Setting.maxHeaderListSize, listLimits.octets]];
  }

  /** The first is that of our own settings. */
  #ownAcknowledged = false;

  protected override acknowledged(): void {
    if (this.#ownAcknowledged) return super.acknowledged();
    this.#ownAcknowledged = true;
  }

  protected goaway(data: Buffer, start: number, end: number): void {
    this.exchange.passGoaway('server', data, start, end);
  }
}

function refusal(judgement: Judgement): Judgement {
  return { passes: false, opinions: judgement.opinions.map(opinion => ({ ...opinion, passes: false })), mutations: [] };
}
