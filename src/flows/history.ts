import type { Flow } from '../model/flow.ts';
import type { FlowPredicate } from './filter.ts';

/** The node's last flows, oldest overwritten first, and those who follow it. Bounded in every direction; what is lost is counted. */
export class FlowHistory {
  readonly capacity: number;
  readonly #slots: (Flow | undefined)[];
  readonly #followers = new Set<FlowFollower>();
  #next = 0;
  #seen = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#slots = new Array<Flow | undefined>(capacity);
  }

  /** Flows ever seen. */
  get seen(): number {
    return this.#seen;
  }

  /** Flows held now. */
  get size(): number {
    return Math.min(this.#seen, this.capacity);
  }

  get followers(): number {
    return this.#followers.size;
  }

  push(flow: Flow): void {
    this.#slots[this.#next] = flow;
    this.#next = (this.#next + 1) % this.capacity;
    this.#seen++;
    for (const follower of this.#followers) follower.offer(flow);
  }

  *newestFirst(): Generator<Flow> {
    for (let i = 1; i <= this.size; i++) yield this.#slots[(this.#next - i + this.capacity) % this.capacity]!;
  }

  *oldestFirst(): Generator<Flow> {
    const size = this.size;
    const start = (this.#next - size + this.capacity) % this.capacity;
    for (let i = 0; i < size; i++) yield this.#slots[(start + i) % this.capacity]!;
  }

  /** Begins at once: what is pushed between this call and the first `next()` waits in the queue. */
  follow(matches: FlowPredicate, signal: AbortSignal, queueLimit = 8192): FlowFollower {
    const follower = new FlowFollower(matches, queueLimit, () => this.#followers.delete(follower), signal);
    if (!signal.aborted) this.#followers.add(follower);
    return follower;
  }
}

/** One reader of new flows. A reader that is too slow loses the oldest ones and is told how many. */
export class FlowFollower implements AsyncIterableIterator<Flow> {
  readonly #matches: FlowPredicate;
  readonly #queueLimit: number;
  readonly #leave: () => void;
  readonly #signal: AbortSignal;
  #queue: Flow[] = [];
  #head = 0;
  #lost = 0;
  #waiting: (() => void) | undefined;
  #done = false;

  constructor(matches: FlowPredicate, queueLimit: number, leave: () => void, signal: AbortSignal) {
    this.#matches = matches;
    this.#queueLimit = queueLimit;
    this.#leave = leave;
    this.#signal = signal;
    if (signal.aborted) this.#done = true;
    else signal.addEventListener('abort', this.#end, { once: true });
  }

  offer(flow: Flow): void {
    if (!this.#matches(flow)) return;
    if (this.#queue.length - this.#head >= this.#queueLimit) {
      this.#head++;
      this.#lost++;
      if (this.#head > this.#queueLimit) this.#compact();
    }
    this.#queue.push(flow);
    this.#wake();
  }

  /** How many flows this reader has lost since it last asked. */
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
