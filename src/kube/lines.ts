/**
 * Splits a byte stream into lines without ever cutting a UTF-8 character: bytes are searched for '\n' and only whole lines
 * become text. A long line that comes in many chunks is joined once, so the cost stays linear.
 */
export class LineSplitter {
  #parts: Buffer[] = [];
  #held = 0;
  readonly #maxBytes: number;

  constructor(maxBytes = 64 * 1024 * 1024) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that this chunk completes, without their ends; empty lines are left out. Throws when a line grows past the bound. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const line = this.#take(chunk.subarray(start, end));
      if (line !== '') lines.push(line);
      start = end + 1;
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
    return lines;
  }

  /** What came after the last line end: a stream that was cut. */
  get rest(): string {
    return Buffer.concat(this.#parts).toString('utf8');
  }

  #take(tail: Buffer): string {
    if (this.#parts.length === 0) return tail.toString('utf8');
    const whole = Buffer.concat([...this.#parts, tail]);
    this.#parts = [];
    this.#held = 0;
    return whole.toString('utf8');
  }

  #hold(part: Buffer): void {
    this.#held += part.length;
    if (this.#held > this.#maxBytes) throw new Error(`a line of more than ${this.#maxBytes} bytes`);
    this.#parts.push(part);
  }
}
