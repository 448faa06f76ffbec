import type { Opinion } from '../http/judge.ts';
import type { RequestFacts } from '../http/record.ts';
import type { HttpFacts } from '../protocol.ts';

/** What a head asks for; `minor` of its version. */
export interface Asked {
  readonly method: string;
  readonly origin: string;
  readonly path: string;
  readonly minor: number;
  readonly isHead: boolean;
}

const nothing: Asked = { method: '', origin: '', path: '', minor: 1, isHead: false };

/**
 * A request that waits for its answer, from the server or from the proxy itself, with what is told of it. When it has been answered, the
 * connection's next request is written over it: nothing is made for each.
 */
export class Exchange implements RequestFacts {
  method = '';
  origin = '';
  path = '';
  protocol: HttpFacts['protocol'] = 'HTTP/1.1';
  headers: RequestFacts['headers'] = undefined;
  traceId: string | undefined = undefined;
  toldFrame = 0;
  toldAt = 0;
  toldOpinions: HttpFacts['toldOpinions'] = undefined;
  opinions: readonly Opinion[] = none;
  /** The proxy's own answer, sent when its turn comes. */
  own: Buffer | undefined = undefined;
  /** Of the own answer. */
  status = 0;
  /** No small integers, ever: V8 keeps these apart. */
  askedUs = 0.5;
  answeredUs = 0.5;
  isHead = false;
  /** CONNECT, or a wish for another protocol: the bytes after it are held until the server has answered. */
  tunnel: 'connect' | 'upgrade' | undefined = undefined;
  /** The connection ends with the answer. */
  closes = false;

  /** As a new one. */
  begin({ method, origin, path, minor, isHead }: Asked): void {
    this.method = method;
    this.origin = origin;
    this.path = path;
    this.protocol = minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
    this.headers = undefined;
    this.traceId = undefined;
    this.toldFrame = 0;
    this.toldAt = 0;
    this.toldOpinions = undefined;
    this.opinions = none;
    this.own = undefined;
    this.status = 0;
    this.askedUs = this.answeredUs = 0.5;
    this.isHead = isHead;
    this.tunnel = undefined;
    this.closes = false;
  }
}

const none: readonly never[] = Object.freeze([]);

/** First in, first out, in a ring that grows to what a client sends ahead. */
export class Exchanges {
  /** The last one that ended: while there is one, V8 keeps what it has compiled for them (`Worker`). */
  static kept: Exchange | undefined;
  #ring: (Exchange | undefined)[] = [undefined, undefined];
  #first = 0;
  /** Has been answered. */
  #spare: Exchange | undefined;
  length = 0;

  /** One for the next request, undefined: for one that cannot be read. Valid until it is taken off the queue and another one is asked for. */
  next(asked: Asked | undefined): Exchange {
    const exchange = this.#spare ?? new Exchange();
    this.#spare = undefined;
    exchange.begin(asked ?? nothing);
    return exchange;
  }

  get front(): Exchange | undefined {
    return this.#ring[this.#first];
  }

  get last(): Exchange | undefined {
    return this.length === 0 ? undefined : this.#ring[(this.#first + this.length - 1) & (this.#ring.length - 1)];
  }

  push(exchange: Exchange): void {
    if (this.length === this.#ring.length) this.#grow();
    this.#ring[(this.#first + this.length++) & (this.#ring.length - 1)] = exchange;
  }

  shift(): void {
    const ended = this.#ring[this.#first];
    if (ended) {
      // A connection that waits keeps no texts.
      ended.path = '';
      ended.headers = ended.traceId = undefined;
    }
    this.#spare = Exchanges.kept = ended;
    this.#ring[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#ring.length - 1);
    this.length--;
  }

  #grow(): void {
    const { length } = this.#ring;
    this.#ring = Array.from({ length: 2 * length }, (_, i) => (i < length ? this.#ring[(this.#first + i) & (length - 1)] : undefined));
    this.#first = 0;
  }
}
