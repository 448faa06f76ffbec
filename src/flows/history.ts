import type { Flow } from '../model/flow.ts';
import type { FlowConsumer, FlowView } from './consumer.ts';
import type { FlowPredicate } from './filter.ts';

/** A record kept as the kernel wrote it, and what it reads as. `index` counts all records of this life. */
export type NameRecord = (bytes: DataView, at: number, length: number, index: number) => Flow;

/** Room for one record: `struct connection_event` (bpf/lib/events.h), the longest. */
const slotSize = 152;
const slotWords = slotSize / 4;

/**
 * The node's last flows, oldest overwritten first, and those who follow it. Bounded in every direction; what is lost is counted.
 *
 * A busy node has tens of thousands of new connections a second, and to put a name to a record costs a hundred times what it
 * costs to keep it. So records are kept as they came and become flows when somebody asks, or in quiet turns (`nameSome`),
 * soon enough for the names of their time. Followers get theirs at once.
 */
export class FlowHistory {
  readonly capacity: number;
  readonly #name: NameRecord;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #bytes: DataView<ArrayBuffer>;
  readonly #lengths: Uint8Array;
  /** Of each slot's record: nanoseconds of the monotonic clock, exact for 104 days of uptime and within 2 ns for 208. */
  readonly #times: Float64Array;
  readonly #flows: (Flow | undefined)[];
  /** Place in time → slot: differs from the identity only where records came out of order. */
  readonly #slots: Uint32Array;
  readonly #followers = new Set<FlowFollower>();
  readonly #consumers = new Set<FlowConsumer>();
  /** The ring that the last record came from, as words. */
  #source: Int32Array = new Int32Array(0);
  #sourceBuffer: ArrayBufferLike | undefined;
  #seen = 0;
  /** Records before this one have been named, or are gone. */
  #named = 0;
  /** Records before this one are in order and have been told to followers. */
  #settled = 0;
  #lastTime = 0;
  #isMixed = false;

  constructor(capacity: number, name: NameRecord) {
    this.capacity = capacity;
    this.#name = name;
    this.#words = new Int32Array(capacity * slotWords);
    this.#bytes = new DataView(this.#words.buffer);
    this.#lengths = new Uint8Array(capacity);
    this.#times = new Float64Array(capacity);
    this.#flows = new Array<Flow | undefined>(capacity);
    this.#slots = Uint32Array.from({ length: capacity }, (_, i) => i);
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

  /** Keeps a record. `timeNs` is its own; records of one turn may come in any order until `settle`. */
  push(record: DataView, at: number, length: number, timeNs: number): void {
    // A turn larger than the history: nothing is overwritten before the followers have it.
    if (this.#seen - this.#settled === this.capacity) this.settle();
    const place = this.#seen % this.capacity;
    const slot = this.#slots[place]!;
    const kept = Math.min(length, slotSize);
    const to = slot * slotSize;
    const from = record.byteOffset + at;
    if (record.buffer !== this.#sourceBuffer) this.#openSource(record.buffer);
    if (from % 4 === 0 && kept % 4 === 0) {
      // All that the kernel's rings hold: a dozen times faster than byte by byte.
      const [words, source, first, last] = [this.#words, this.#source, to >> 2, kept >> 2];
      for (let i = 0; i < last; i++) words[first + i] = source[(from >> 2) + i]!;
    } else {
      for (let i = 0; i < kept; i++) this.#bytes.setUint8(to + i, record.getUint8(at + i));
    }
    this.#lengths[slot] = kept;
    this.#times[slot] = timeNs;
    this.#flows[slot] = undefined;
    if (timeNs < this.#lastTime) this.#isMixed = true;
    this.#lastTime = timeNs;
    this.#seen++;
  }

  /** Ends a turn: what came in it is put in the order of time and told to the followers. */
  settle(): void {
    const first = Math.max(this.#settled, this.#seen - this.capacity);
    if (this.#isMixed) this.#sort(first);
    this.#isMixed = false;
    this.#settled = this.#seen;
    if (this.#followers.size + this.#consumers.size === 0) return;
    for (let index = first; index < this.#seen; index++) {
      const flow = this.#flow(index);
      for (const follower of this.#followers) follower.offer(flow);
      for (const consumer of this.#consumers) consumer.flow(viewOf(flow));
    }
    for (const consumer of this.#consumers) consumer.settle?.();
  }

  consume(consumer: FlowConsumer): () => void {
    this.#consumers.add(consumer);
    return () => void this.#consumers.delete(consumer);
  }

  /** Names up to `limit` of the records that nobody has asked for yet. */
  nameSome(limit: number): void {
    this.#named = Math.max(this.#named, this.#seen - this.capacity);
    const end = Math.min(this.#seen, this.#named + limit);
    while (this.#named < end) this.#flow(this.#named++);
  }

  *newestFirst(): Generator<Flow> {
    for (let index = this.#seen - 1; index >= this.#seen - this.size; index--) yield this.#flow(index);
  }

  *oldestFirst(): Generator<Flow> {
    for (let index = this.#seen - this.size; index < this.#seen; index++) yield this.#flow(index);
  }

  /** Begins at once: what is pushed between this call and the first `next()` waits in the queue. */
  follow(matches: FlowPredicate, signal: AbortSignal, queueLimit = 8192): FlowFollower {
    const follower = new FlowFollower(matches, queueLimit, () => this.#followers.delete(follower), signal);
    if (!signal.aborted) this.#followers.add(follower);
    return follower;
  }

  #openSource(buffer: ArrayBufferLike): void {
    this.#sourceBuffer = buffer;
    this.#source = new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }

  #flow(index: number): Flow {
    const slot = this.#slots[index % this.capacity]!;
    return (this.#flows[slot] ??= this.#name(this.#bytes, slot * slotSize, this.#lengths[slot]!, index));
  }

  #sort(first: number): void {
    const slots: number[] = [];
    for (let index = first; index < this.#seen; index++) slots.push(this.#slots[index % this.capacity]!);
    slots.sort((a, b) => this.#times[a]! - this.#times[b]!);
    slots.forEach((slot, i) => { this.#slots[(first + i) % this.capacity] = slot; });
    const last = slots.at(-1);
    if (last !== undefined) this.#lastTime = this.#times[last]!;
  }
}

function viewOf(flow: Flow): FlowView {
  return { ...flow, seconds: Math.floor(Date.parse(flow.time) / 1000), nanos: Number(flow.time.slice(20, 29)), packetless: false };
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
