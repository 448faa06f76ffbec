/** Buffers that no connection needs between two calls: they are all the same size. */
export const pooledBytes = 16_384 + 9;
const pool: Buffer[] = [];
const pooledMost = 16;

/** Of `pooledBytes`. */
export function takeBuffer(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(pooledBytes);
}

export function returnBuffer(buffer: Buffer): void {
  if (buffer.length === pooledBytes && pool.length < pooledMost) pool.push(buffer);
}

const empty = Buffer.alloc(0);

/** Bytes gathered for one side, so that one call of a session is one write. Has no memory while it is empty. */
export class Output {
  #buffer: Buffer = empty;
  #length = 0;

  get buffer(): Buffer {
    return this.#buffer;
  }

  get length(): number {
    return this.#length;
  }

  /** Room for `bytes` more; returns where they begin. Write to `buffer`, then `advance` to the end. */
  reserve(bytes: number): number {
    const needed = this.#length + bytes;
    if (this.#buffer.length === 0) this.#buffer = takeBuffer();
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#length);
      returnBuffer(this.#buffer);
      this.#buffer = larger;
    }
    return this.#length;
  }

  advance(to: number): void {
    this.#length = to;
  }

  append(data: Buffer, start: number, end: number): void {
    const length = end - start;
    const at = this.reserve(length);
    // A call into Buffer costs more than a few bytes do.
    if (length > 64) data.copy(this.#buffer, at, start, end);
    else for (let i = 0; i < length; i++) this.#buffer[at + i] = data[start + i]!;
    this.#length = at + length;
  }

  clear(): void {
    this.#length = 0;
    returnBuffer(this.#buffer);
    this.#buffer = empty;
  }
}
