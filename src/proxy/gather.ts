import { type Stable, stable } from '../sys/memory.ts';

const roomBytes = 64 << 10;

/**
 * What a session sends to one side within one call, to be written at once at its end: neighbouring pieces of what was read stay where
 * they are, anything else is copied together.
 */
export class Gather {
  /** Where it stands, for write(2): valid until the next read. */
  address = 0;
  length = 0;
  readonly #source: Stable;
  readonly #sourceBuffer: Buffer;
  readonly #room: Stable = stable(roomBytes);
  readonly #buffer: Buffer = Buffer.from(this.#room.bytes.buffer);
  #copied = false;

  /** The memory that is read into, and the buffer over it that sessions are given. */
  constructor(source: Stable, sourceBuffer: Buffer) {
    this.#source = source;
    this.#sourceBuffer = sourceBuffer;
  }

  /** False when there is no room: write what is there first. */
  add(data: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (data === this.#sourceBuffer) {
      const at = this.#source.address + start;
      if (this.length === 0) {
        this.address = at;
        this.length = length;
        this.#copied = false;
        return true;
      }
      if (!this.#copied && at === this.address + this.length) {
        this.length += length;
        return true;
      }
    }
    if (this.length + length > roomBytes) return false;
    if (!this.#copied) {
      if (this.length > 0) this.#buffer.set(this.#source.bytes.subarray(this.address - this.#source.address, this.address - this.#source.address + this.length));
      this.address = this.#room.address;
      this.#copied = true;
    }
    data.copy(this.#buffer, this.length, start, end);
    this.length += length;
    return true;
  }

  /** From byte `at` on as a view, to be copied. */
  rest(at: number): Uint8Array {
    const memory = this.#copied ? this.#room : this.#source;
    const start = this.address - memory.address;
    return memory.bytes.subarray(start + at, start + this.length);
  }

  clear(): void {
    this.length = 0;
    this.#copied = false;
  }
}
