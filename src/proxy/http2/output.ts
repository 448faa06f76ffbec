/** Bytes gathered for one side, so that one call of a session is one write. */
export class Output {
  #buffer = Buffer.allocUnsafeSlow(4096);
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
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#length);
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
    if (this.#buffer.length > 65_536) this.#buffer = Buffer.allocUnsafeSlow(4096);
  }
}
