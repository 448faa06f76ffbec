import type { Flow } from '../model/flow.ts';
import type { FlowPredicate } from './filter.ts';

/** One reader of new flows, with a queue of its own. A reader that is too slow loses the oldest ones and is told how many. */
export class FlowFollower implements AsyncIterableIterator<Flow> {
  readonly matches: FlowPredicate;
  readonly #queueLimit: number;
  readonly #leave: () => void;
  readonly #signal: AbortSignal;
  #queue: Flow[] = [];
  #head = 0;
  #lost = 0;
  #waiting: (() => void) | undefined;
  #done = false;

  constructor(matches: FlowPredicate, queueLimit: number, leave: () => void, signal: AbortSignal) {
    this.matches = matches;
    this.#queueLimit = queueLimit;
    this.#leave = leave;
    this.#signal = signal;
    if (signal.aborted) this.#done = true;
    else signal.addEventListener('abort', this.#end, { once: true });
  }

  /** A flow that matches. */
  offer(flow: Flow): void {
    if (this.#queue.length - this.#head >= this.#queueLimit) {
      this.#head++;
      this.#lost++;
      if (this.#head > this.#queueLimit) this.#compact();
    }
    this.#queue.push(flow);
    this.#wake();
  }

  /** How many flows this reader has lost since it last asked: all of them before what is queued now. */
  takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** Everything queued now; waits for one flow when there is none. Empty only at the end. */
  async nextBatch(): Promise<Flow[]> {
    if (this.#head === this.#queue.length && !this.#done) {
      await new Promise<void>(resolve => {
        this.#waiting = resolve;
      });
    }
    const batch = this.#head === 0 ? this.#queue : this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    return batch;
  }

  async next(): Promise<IteratorResult<Flow>> {
    while (this.#head === this.#queue.length) {
      if (this.#done) return { done: true, value: undefined };
      await new Promise<void>(resolve => {
        this.#waiting = resolve;
      });
    }
    const value = this.#queue[this.#head++]!;
    if (this.#head === this.#queue.length) this.#compact();
    return { done: false, value };
  }

  async return(): Promise<IteratorResult<Flow>> {
    this.#end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #end = (): void => {
    this.#done = true;
    this.#leave();
    this.#signal.removeEventListener('abort', this.#end);
    this.#wake();
  };

  #compact(): void {
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
}
