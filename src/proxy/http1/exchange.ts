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

/** First in, first out, without moving what is in it. */
export class Exchanges {
  #list: (Exchange | undefined)[] = [];
  #first = 0;

  get length(): number {
    return this.#list.length - this.#first;
  }

  get front(): Exchange | undefined {
    return this.#list[this.#first];
  }

  get last(): Exchange | undefined {
    return this.#list.at(-1);
  }

  push(exchange: Exchange): void {
    this.#list.push(exchange);
  }

  shift(): void {
    this.#list[this.#first++] = undefined;
    if (this.#first === this.#list.length) {
      this.#list.length = 0;
      this.#first = 0;
    } else if (this.#first > 1024) {
      this.#list = this.#list.slice(this.#first);
      this.#first = 0;
    }
  }
}
