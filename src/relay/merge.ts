import { Signal } from '../std/async.ts';
import { SortBuffer, type Timed } from './sort-buffer.ts';

export interface MergeOptions {
  readonly follow: boolean;
  /** Upstream's sort-buffer-len-max: of each stream, while history is told. */
  readonly bufferLength?: number;
  /** Upstream's sort-buffer-drain-timeout. */
  readonly drainMs?: number;
  /** What is new waits so long for the other nodes'. Agents read their rings every 5 ms. */
  readonly windowMs?: number;
}

/** Of each stream that is followed: what 40,000 flows/s are in the window. */
const followLength = 4096;

/**
 * Streams of many nodes as one, in the order of time, in batches. Streams may be added while it runs. Whoever reads slowly holds
 * up the streams' readers, and with them their servers, which count what they leave out.
 */
export class Merge<T> {
  readonly #buffer: SortBuffer<T>;
  readonly #wake = new Signal();
  /** Told at once, before everything that waits to be sorted. */
  #urgent: T[] = [];
  #room: (() => void)[] = [];
  #open = 0;
  #expected = 0;

  constructor(options: MergeOptions) {
    const { follow, bufferLength = 100, drainMs = 1000, windowMs = 100 } = options;
    this.#buffer = new SortBuffer({ follow, drainMs, windowMs, perStream: follow ? Math.max(bufferLength, followLength) : bufferLength });
  }

  /** Reads a stream to its end. Rejects as it does; what it had told before is given out in its place. */
  async add(name: string, stream: AsyncIterable<readonly Timed<T>[]>, signal: AbortSignal): Promise<void> {
    this.#buffer.open(name, performance.now());
    this.#open++;
    const leave = () => this.#wakeReaders();
    signal.addEventListener('abort', leave, { once: true });
    try {
      for await (const batch of stream) {
        if (signal.aborted) return;
        const now = performance.now();
        for (const item of batch) this.#buffer.push(name, item, now);
        this.#wake.mark();
        while (this.#buffer.isFull(name) && !signal.aborted) await new Promise<void>(resolve => this.#room.push(resolve));
      }
    } finally {
      signal.removeEventListener('abort', leave);
      this.#buffer.close(name);
      this.#open--;
      this.#wake.mark();
    }
  }

  /** Given out with the next batch, ahead of what is sorted. */
  tell(item: T): void {
    this.#urgent.push(item);
    this.#wake.mark();
  }

  /** The merge does not end while somebody holds it: a stream may yet be added. Call the result to let go. */
  hold(): () => void {
    this.#expected++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#expected--;
      this.#wake.mark();
    };
  }

  /** Ends when every stream has and nobody holds the merge, or with the signal. */
  async *batches(signal: AbortSignal): AsyncGenerator<T[], void, undefined> {
    while (!signal.aborted) {
      const now = performance.now();
      const batch = this.#take(now);
      if (batch.length > 0) {
        yield batch;
        continue;
      }
      if (this.#open === 0 && this.#expected === 0 && this.#buffer.isDone) return;
      const nextAt = this.#buffer.nextAt();
      await this.#wake.wait({ signal, ...(nextAt !== undefined && { timeoutMs: Math.max(1, Math.ceil(nextAt - now)) }) });
      // What came with the same read is given out in one batch.
      await new Promise(resolve => setImmediate(resolve));
    }
  }

  #take(now: number): T[] {
    const sorted = this.#buffer.take(now);
    const urgent = this.#urgent;
    this.#urgent = [];
    if (sorted.length > 0) this.#wakeReaders();
    return urgent.length === 0 ? sorted : [...urgent, ...sorted];
  }

  #wakeReaders(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const resolve of waiting) resolve();
  }
}
