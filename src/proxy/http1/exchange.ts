import type { Opinion } from '../http/judge.ts';
import type { RequestFacts } from '../http/record.ts';

/** A request that waits for its answer, from the server or from the proxy itself. */
export interface Exchange {
  /** The proxy's own answer, sent when its turn comes. */
  readonly own: Buffer | undefined;
  readonly status: number;
  readonly facts: RequestFacts;
  readonly opinions: readonly Opinion[];
  readonly startUs: number;
  readonly isHead: boolean;
  /** CONNECT, or a wish for another protocol: the bytes after it are held until the server has answered. */
  readonly tunnel: 'connect' | 'upgrade' | undefined;
  /** The connection ends with the answer. */
  closes: boolean;
}

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
