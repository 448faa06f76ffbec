/**
 * BPF ring buffers, read where the kernel writes them (kernel/bpf/ringbuf.c): a page with the consumer's position, a page with
 * the producer's, and the data mapped twice in a row, so that a record is never split. No copy, no call, no allocation a record.
 *
 *   consumer page | producer page | data | the same data
 */
import { type Mapping, mapShared, pageSize } from '../sys/file.ts';

const BUSY = 0x80000000;
const DISCARDED = 0x40000000;
const HEADER = 8;
const RELEASE_EVERY = 1024;

export type OnRecord = (bytes: DataView, offset: number, length: number) => void;

/** One reader a ring: the position lives in the map. Programs that submit with BPF_RB_NO_WAKEUP leave the timing to the reader. */
export class RingBuffer {
  readonly #consumerMapping: Mapping;
  readonly #producerMapping: Mapping;
  #consumer: BigUint64Array;
  /** The low half of the producer's position is enough: positions differ by less than the ring's size. */
  #producer: Int32Array;
  #headers: Int32Array;
  #data: DataView;
  readonly #mask: number;
  readonly #dataAt: number;
  #position: bigint;
  #closed = false;

  private constructor(fd: number, size: number) {
    this.#consumerMapping = mapShared({ fd, length: pageSize, writable: true, what: 'ring buffer position' });
    try {
      this.#producerMapping = mapShared({ fd, length: pageSize + 2 * size, offset: pageSize, writable: false, what: 'ring buffer data' });
    } catch (error) {
      this.#consumerMapping.unmap();
      throw error;
    }
    this.#consumer = new BigUint64Array(this.#consumerMapping.buffer, 0, 1);
    this.#producer = new Int32Array(this.#producerMapping.buffer, 0, 2);
    this.#headers = new Int32Array(this.#producerMapping.buffer, pageSize);
    this.#data = new DataView(this.#producerMapping.buffer);
    this.#dataAt = pageSize;
    this.#mask = size - 1;
    this.#position = Atomics.load(this.#consumer, 0);
  }

  /** `maxEntries` is the ring's size in bytes. Goes on where the last reader stopped. */
  static open(map: { readonly fd: number; readonly maxEntries: number }): RingBuffer {
    return new RingBuffer(map.fd, map.maxEntries);
  }

  /** Bytes that fit, headers included. */
  get size(): number {
    return this.#mask + 1;
  }

  /** Bytes that wait, headers included: two loads, for a timer to ask. */
  pending(): number {
    if (this.#closed) return 0;
    return (Atomics.load(this.#producer, 0) - Number(BigInt.asIntN(32, this.#position))) >>> 0;
  }

  /**
   * Hands out what waits, up to `limit` records, and returns their number. The view is valid, and `offset` and `length` inside
   * it, until the callback returns: after that the kernel may write there. A callback that throws has had its record.
   */
  drain(onRecord: OnRecord, limit = Number.POSITIVE_INFINITY): number {
    if (this.#closed) return 0;
    const start = this.#position;
    const low = Number(BigInt.asUintN(32, start));
    const available = (Atomics.load(this.#producer, 0) - low) >>> 0;
    let read = 0;
    let records = 0;
    try {
      while (read < available && records < limit) {
        const at = (low + read) & this.#mask;
        const header = Atomics.load(this.#headers, at >> 2);
        if (header & BUSY) break; // reserved, not yet submitted: later records wait behind it
        const length = header & ~(BUSY | DISCARDED);
        read += (length + HEADER + 7) & ~7;
        if (header & DISCARDED) continue;
        records++;
        onRecord(this.#data, this.#dataAt + at + HEADER, length);
        // The kernel gets its room back now and then, not only at the end of a long turn.
        if (records % RELEASE_EVERY === 0) this.#release(start, read);
      }
    } finally {
      this.#release(start, read);
    }
    return records;
  }

  #release(start: bigint, read: number): void {
    this.#position = start + BigInt(read);
    Atomics.store(this.#consumer, 0, this.#position);
  }

  /** Unmaps. The views that a callback kept must not be used after. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#consumer = new BigUint64Array(1);
    this.#producer = new Int32Array(2);
    this.#headers = new Int32Array(0);
    this.#data = new DataView(new ArrayBuffer(0));
    this.#consumerMapping.unmap();
    this.#producerMapping.unmap();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
