import { KafkaFault } from './codec.ts';

/** Of all connections of the process. */
const maxTotalBytes = 67_108_864;
let totalBytes = 0;

/** What has come of a message that is not whole. Grows by doubling, up to what is needed. */
export class Held {
  bytes: Buffer;
  length: number;
  /** From how many bytes on it can be read. */
  readonly needed: number;
  #counted = 0;

  private constructor(bytes: Buffer, length: number, needed: number) {
    this.bytes = bytes;
    this.length = length;
    this.needed = needed;
    this.#count();
  }

  static of(bytes: Buffer, start: number, end: number, needed: number): Held {
    const room = Buffer.allocUnsafe(Math.max(end - start, Math.min(needed, 4096)));
    bytes.copy(room, 0, start, end);
    return new Held(room, end - start, needed);
  }

  /** The same bytes, of which more are needed than was known. */
  static again(bytes: Buffer, length: number, needed: number): Held {
    return new Held(bytes, length, needed);
  }

  add(data: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(length, Math.min(2 * this.bytes.length, this.needed)));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
      this.#count();
    }
    data.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  /** Held no more. */
  release(): void {
    totalBytes -= this.#counted;
    this.#counted = 0;
  }

  #count(): void {
    const more = this.bytes.length - this.#counted;
    if (totalBytes + more > maxTotalBytes) throw new KafkaFault('too much is held for all connections');
    totalBytes += more;
    this.#counted += more;
  }
}

/** Bytes held now, of all connections. */
export function heldBytes(): number {
  return totalBytes;
}
