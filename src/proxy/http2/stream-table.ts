import type { Stream } from './stream.ts';

const buckets = 256;

/**
 * Open streams by number. A Map that streams come into and go from all the time makes a new table now and then, each reached from the
 * one before: once one of them is old, all later ones outlive their time, and their streams with them. This has one table for good.
 */
export class StreamTable {
  readonly #buckets: (Stream | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    let stream = this.#buckets[(id >>> 1) % buckets];
    while (stream !== undefined && stream.id !== id) stream = stream.next;
    return stream;
  }

  /** One that is not there yet. */
  add(stream: Stream): void {
    const bucket = (stream.id >>> 1) % buckets;
    while (this.#buckets.length <= bucket) this.#buckets.push(undefined);
    stream.next = this.#buckets[bucket];
    this.#buckets[bucket] = stream;
    this.#size++;
  }

  /** False: it was not there. */
  delete(stream: Stream): boolean {
    const bucket = (stream.id >>> 1) % buckets;
    let before: Stream | undefined;
    let at = this.#buckets[bucket];
    while (at !== undefined && at !== stream) {
      before = at;
      at = at.next;
    }
    if (at === undefined) return false;
    if (before === undefined) this.#buckets[bucket] = stream.next;
    else before.next = stream.next;
    stream.next = undefined;
    this.#size--;
    return true;
  }

  /** Those that are there now; they may go meanwhile. */
  all(): Stream[] {
    const streams: Stream[] = [];
    for (const first of this.#buckets) for (let stream = first; stream !== undefined; stream = stream.next) streams.push(stream);
    return streams.sort((a, b) => a.id - b.id);
  }

  clear(): void {
    this.#buckets.length = 0;
    this.#size = 0;
  }
}
