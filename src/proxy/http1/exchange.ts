import type { Opinion } from '../http/judge.ts';
import type { RequestFacts } from '../http/record.ts';
import type { HttpFacts } from '../protocol.ts';

/** A request that waits for its answer, from the server or from the proxy itself, with what is told of it: one object for each request. */
export class Exchange implements RequestFacts {
  readonly method: string;
  readonly origin: string;
  readonly path: string;
  readonly protocol: HttpFacts['protocol'];
  readonly headers: RequestFacts['headers'];
  readonly traceId: string | undefined;
  toldFrame = 0;
  toldAt = 0;
  toldOpinions: HttpFacts['toldOpinions'] = undefined;
  opinions: readonly Opinion[] = none;
  /** The proxy's own answer, sent when its turn comes. */
  own: Buffer | undefined = undefined;
  /** Of the own answer. */
  status = 0;
  startUs: number;
  isHead = false;
  /** CONNECT, or a wish for another protocol: the bytes after it are held until the server has answered. */
  tunnel: 'connect' | 'upgrade' | undefined = undefined;
  /** The connection ends with the answer. */
  closes = false;

  constructor(method: string, origin: string, path: string, protocol: HttpFacts['protocol'], headers: RequestFacts['headers'], traceId: string | undefined, startUs: number) {
    this.method = method;
    this.origin = origin;
    this.path = path;
    this.protocol = protocol;
    this.headers = headers;
    this.traceId = traceId;
    this.startUs = startUs;
  }
}

const none: readonly never[] = Object.freeze([]);

/** First in, first out, in a ring that grows to what a client sends ahead. */
export class Exchanges {
  /** The last one that ended: while there is one, V8 keeps what it has compiled for them (`Worker`). */
  static kept: Exchange | undefined;
  #ring: (Exchange | undefined)[] = [undefined, undefined];
  #first = 0;
  length = 0;

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
    Exchanges.kept = this.#ring[this.#first];
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
