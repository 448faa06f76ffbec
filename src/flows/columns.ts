import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { layout } from './decode.ts';
import { EventType } from './event.ts';
import type { KnownRule } from './known.ts';
import type { L7Saying } from './l7-saying.ts';

/** Room for one record: `struct connection_event` (bpf/lib/events.h), the longest of the fixed ones. */
export const slotSize = 152;
export const slotWords = slotSize / 4;

/** Bits of a record's flags (bpf/lib/events.h, enum event_flag). */
export const flag = { reply: 1, ipv6: 2, encrypted: 4, audit: 8, shadow: 16, end: 32, packetless: 64 } as const;

/** How whoever read an L7 record decided, where the kernel's numbers have no word for it; by number. 0: ask the record itself. */
export const l7Verdicts = [undefined, 'FORWARDED', 'DROPPED', 'REDIRECTED', 'ERROR', 'AUDIT'] as const;
export type L7Verdict = NonNullable<(typeof l7Verdicts)[number]>;

/** In `l7Marks`, beside the verdict's number. */
export const l7Mark = { verdict: 7, inKernel: 8, trace: 16 } as const;

/**
 * Flows as columns: the kernel's words as they came, the wall clock, and references to what was known at the moment of the
 * flow. A slot is written over when its turn comes; what it referred to is never changed.
 */
export class Columns {
  readonly words: Int32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the record that are valid. */
  readonly lengths: Uint8Array;
  /** Nanoseconds of the monotonic clock, exact for 104 days of uptime and within 2 ns for 208. */
  readonly times: Float64Array;
  readonly seconds: Float64Array;
  readonly nanos: Uint32Array;
  /** Counts the flows of this life: tells two of the same nanosecond apart. */
  readonly sequences: Float64Array;
  readonly sources: (FlowEndpoint | undefined)[];
  readonly destinations: (FlowEndpoint | undefined)[];
  /** Valid where the record has a rule. */
  readonly rules: (KnownRule | undefined)[];
  /** Valid where `mayHaveService`. */
  readonly services: (Flow['service'] | undefined)[];
  /** Valid in L7 records, as all below. */
  readonly sayings: (L7Saying | undefined)[];
  /** Since the request, nanoseconds; -1: the saying has it, or nobody knows. */
  readonly l7Latencies: Float64Array;
  /** The verdict's number and bits of `l7Mark`. */
  readonly l7Marks: Uint8Array;
  /** 0 for none. */
  readonly proxyPorts: Uint16Array;
  /** Valid where the mark says so. */
  readonly traceIds: (string | undefined)[];
  /** The ring that the last record came from, as words. */
  #source = new Int32Array(0);
  #sourceBuffer: ArrayBufferLike | undefined;

  constructor(slots: number) {
    this.words = new Int32Array(slots * slotWords);
    this.bytes = new Uint8Array(this.words.buffer);
    this.lengths = new Uint8Array(slots);
    this.times = new Float64Array(slots);
    this.seconds = new Float64Array(slots);
    this.nanos = new Uint32Array(slots);
    this.sequences = new Float64Array(slots);
    const column = <T>() => new Array<T | undefined>(slots).fill(undefined);
    this.sources = column();
    this.destinations = column();
    this.rules = column();
    this.services = column();
    this.sayings = column();
    this.l7Latencies = new Float64Array(slots);
    this.l7Marks = new Uint8Array(slots);
    this.proxyPorts = new Uint16Array(slots);
    this.traceIds = column();
  }

  /** Copies a record of the kernel's. `length` may be more than what is kept. */
  write(slot: number, record: DataView, at: number, length: number): void {
    const kept = Math.min(length, slotSize);
    const from = record.byteOffset + at;
    if (record.buffer !== this.#sourceBuffer) this.#openSource(record.buffer);
    if (from % 4 === 0 && kept % 4 === 0) {
      // All that the kernel's rings hold: a dozen times faster than byte by byte.
      const words = this.words;
      const source = this.#source;
      let to = slot * slotWords;
      let word = from >> 2;
      const end = word + (kept >> 2);
      for (; word + 4 <= end; word += 4, to += 4) {
        words[to] = source[word]!;
        words[to + 1] = source[word + 1]!;
        words[to + 2] = source[word + 2]!;
        words[to + 3] = source[word + 3]!;
      }
      for (; word < end; word++, to++) words[to] = source[word]!;
    } else {
      for (let i = 0, to = slot * slotSize; i < kept; i++) this.bytes[to + i] = record.getUint8(at + i);
    }
    this.lengths[slot] = kept;
    const first = slot * slotWords;
    this.times[slot] = (this.words[first + 1]! >>> 0) * 0x1_0000_0000 + (this.words[first]! >>> 0);
  }

  /** What a slot says of layer 7. Whoever writes an L7 record says it. */
  writeL7(slot: number, saying: L7Saying, latencyNs: number, mark: number, proxyPort: number, traceId: string | undefined): void {
    this.sayings[slot] = saying;
    this.l7Latencies[slot] = latencyNs;
    this.l7Marks[slot] = traceId === undefined ? mark : mark | l7Mark.trace;
    this.proxyPorts[slot] = proxyPort;
    if (traceId !== undefined) this.traceIds[slot] = traceId;
  }

  isL7(slot: number): boolean {
    return this.bytes[slot * slotSize + layout.type] === EventType.l7;
  }

  /** Where a service was translated; and of drops, which may have it as their destination still. */
  mayHaveService(slot: number): boolean {
    return this.bytes[slot * slotSize + layout.type] === EventType.drop || this.hasService(slot);
  }

  byte(slot: number, offset: number): number {
    return this.bytes[slot * slotSize + offset]!;
  }

  /** Two bytes in the order of the network. */
  port(slot: number, offset: number): number {
    const at = slot * slotSize + offset;
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  uint32(slot: number, offset: number): number {
    return this.words[slot * slotWords + (offset >> 2)]! >>> 0;
  }

  /** Exact up to 2^53. */
  uint64(slot: number, offset: number): number {
    return this.uint32(slot, offset + 4) * 0x1_0000_0000 + this.uint32(slot, offset);
  }

  hasService(slot: number): boolean {
    const at = slot * slotWords + layout.service / 4;
    const { words } = this;
    // The unspecified address of either family.
    return words[at] !== 0 || words[at + 1] !== 0 || words[at + 3] !== 0;
  }

  #openSource(buffer: ArrayBufferLike): void {
    this.#sourceBuffer = buffer;
    this.#source = new Int32Array(buffer, 0, buffer.byteLength >> 2) as Int32Array<ArrayBuffer>;
  }
}
