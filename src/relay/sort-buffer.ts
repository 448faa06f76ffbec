/** Something with the time at which it was seen. */
export interface Timed<T> {
  /** Since 1970, UTC. */
  readonly seconds: number;
  readonly nanos: number;
  readonly item: T;
}

export interface SortOptions {
  /** Streams go on for ever: a stream that says nothing has nothing to say. */
  readonly follow: boolean;
  /** How long a silent stream is waited for while it may still have history to tell. */
  readonly drainMs: number;
  /** With `follow`: how long something waits for what another stream may have seen before it. */
  readonly windowMs: number;
  /** So many wait of one stream; with more, its reader is told to stop. */
  readonly perStream: number;
}

interface Held<T> {
  readonly seconds: number;
  readonly nanos: number;
  readonly item: T;
  readonly arrivedAt: number;
}

class Stream<T> {
  readonly name: string;
  readonly openedAt: number;
  queue: Held<T>[] = [];
  at = 0;
  spoke = false;
  closed = false;
  silentSince: number;
  /** Of what came last: a stream is never put out of its own order. */
  seconds = 0;
  nanos = 0;

  constructor(name: string, now: number) {
    this.name = name;
    this.openedAt = now;
    this.silentSince = now;
  }

  get head(): Held<T> {
    return this.queue[this.at]!;
  }

  get length(): number {
    return this.queue.length - this.at;
  }

  shift(): Held<T> {
    const held = this.queue[this.at++]!;
    if (this.at === this.queue.length) {
      this.queue = [];
      this.at = 0;
    } else if (this.at >= 1024) {
      this.queue = this.queue.slice(this.at);
      this.at = 0;
    }
    return held;
  }
}

/**
 * Puts streams that are each in the order of time into one. What came first waits until every other open stream has told
 * something later, has ended, or has been silent for as long as it is worth waiting: so order is exact unless a stream is late,
 * and nothing waits for a stream that is gone. Pure: the clock is an argument, milliseconds that never go back.
 *
 *     stream a   1 · 4 · 9 ─┐
 *     stream b   2 · 3      ├─► 1 2 3 │ 4 9 wait until b says more, or says nothing for windowMs
 *     stream c   (ended)   ─┘
 */
export class SortBuffer<T> {
  readonly #options: SortOptions;
  readonly #streams = new Map<string, Stream<T>>();
  /** A binary heap of the streams that hold something, by their heads. */
  readonly #heap: Stream<T>[] = [];
  readonly #silent = new Set<Stream<T>>();

  constructor(options: SortOptions) {
    this.#options = options;
  }

  /** True when no stream is open and nothing is held. */
  get isDone(): boolean {
    return this.#streams.size === 0;
  }

  open(name: string, now: number): void {
    if (this.#streams.has(name)) throw new Error(`stream ${name} is open already`);
    const stream = new Stream<T>(name, now);
    this.#streams.set(name, stream);
    this.#silent.add(stream);
  }

  push(name: string, { seconds, nanos, item }: Timed<T>, now: number): void {
    const stream = this.#of(name);
    if (seconds > stream.seconds || (seconds === stream.seconds && nanos > stream.nanos)) {
      stream.seconds = seconds;
      stream.nanos = nanos;
    }
    stream.spoke = true;
    const held: Held<T> = { seconds: stream.seconds, nanos: stream.nanos, item, arrivedAt: now };
    stream.queue.push(held);
    if (stream.length > 1) return;
    this.#silent.delete(stream);
    this.#heap.push(stream);
    this.#up(this.#heap.length - 1);
  }

  /** What it holds is still given out. */
  close(name: string): void {
    const stream = this.#of(name);
    stream.closed = true;
    this.#silent.delete(stream);
    if (stream.length === 0) this.#streams.delete(name);
  }

  /** Whether the stream's reader should wait before it reads on. */
  isFull(name: string): boolean {
    const stream = this.#streams.get(name);
    return stream !== undefined && stream.length >= this.#options.perStream;
  }

  /** Everything that need not wait any longer, in order. */
  take(now: number): T[] {
    const out: T[] = [];
    let waitFor = this.#silentUntil();
    while (this.#heap.length > 0) {
      const stream = this.#heap[0]!;
      if (this.#releasedAt(stream, waitFor) > now) break;
      out.push(stream.shift().item);
      if (stream.length > 0) {
        this.#down(0);
        continue;
      }
      this.#dropTop();
      if (stream.closed) {
        this.#streams.delete(stream.name);
      } else {
        stream.silentSince = now;
        this.#silent.add(stream);
        waitFor = this.#silentUntil();
      }
    }
    return out;
  }

  /** When `take` will have something although nothing new comes; undefined when it will not. */
  nextAt(): number | undefined {
    return this.#heap.length === 0 ? undefined : this.#releasedAt(this.#heap[0]!, this.#silentUntil());
  }

  #of(name: string): Stream<T> {
    const stream = this.#streams.get(name);
    if (!stream || stream.closed) throw new Error(`stream ${name} is not open`);
    return stream;
  }

  /** Until when streams that say nothing are waited for; 0 when none is silent. */
  #silentUntil(): { readonly stream: number; readonly live: boolean } {
    let latest = 0;
    for (const stream of this.#silent) latest = Math.max(latest, this.#patienceEnd(stream));
    return { stream: latest, live: this.#silent.size > 0 && this.#options.follow };
  }

  #patienceEnd(stream: Stream<T>): number {
    const { follow, drainMs, windowMs } = this.#options;
    if (!follow) return stream.silentSince + drainMs;
    return stream.spoke ? stream.silentSince + windowMs : stream.openedAt + drainMs;
  }

  #releasedAt(stream: Stream<T>, wait: { readonly stream: number; readonly live: boolean }): number {
    if (this.#silent.size === 0) return 0;
    if (!wait.live) return wait.stream;
    // A full buffer of what is new must not wait: its reader has stopped.
    if (stream.length >= this.#options.perStream) return 0;
    return Math.max(wait.stream, stream.head.arrivedAt + this.#options.windowMs);
  }

  #before(a: Stream<T>, b: Stream<T>): boolean {
    const x = a.head;
    const y = b.head;
    return x.seconds !== y.seconds ? x.seconds < y.seconds : x.nanos < y.nanos;
  }

  #dropTop(): void {
    const last = this.#heap.pop()!;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down(0);
  }

  #up(from: number): void {
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#before(this.#heap[i]!, this.#heap[parent]!)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #down(from: number): void {
    let i = from;
    for (;;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < this.#heap.length && this.#before(this.#heap[child]!, this.#heap[least]!)) least = child;
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }

  #swap(i: number, j: number): void {
    const held = this.#heap[i]!;
    this.#heap[i] = this.#heap[j]!;
    this.#heap[j] = held;
  }
}
