import { carriageReturn, lineFeed } from './bytes.ts';

/** A head that came in pieces. Its end is looked for in each byte once, however small the pieces. */
export class Gathered {
  #buffer: Buffer | undefined;
  #length = 0;
  #scanned = 0;

  get length(): number {
    return this.#length;
  }

  add(data: Buffer, start: number, end: number): void {
    const needed = this.#length + end - start;
    if (this.#buffer === undefined || this.#buffer.length < needed) {
      const grown = Buffer.allocUnsafe(Math.max(1024, needed * 2));
      this.#buffer?.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    data.copy(this.#buffer, this.#length, start, end);
    this.#length = needed;
  }

  /** Whether an empty line is there: with CR LF, or without, which then is a fault. */
  get whole(): boolean {
    const buffer = this.#buffer;
    if (buffer === undefined) return false;
    let i = this.#scanned;
    for (; i < this.#length; i++) {
      if (buffer[i] !== lineFeed) continue;
      if (i + 1 >= this.#length) break;
      if (buffer[i + 1] === lineFeed) return true;
      if (buffer[i + 1] !== carriageReturn) continue;
      if (i + 2 >= this.#length) break;
      if (buffer[i + 2] === lineFeed) return true;
    }
    this.#scanned = i;
    return false;
  }

  /** All of it; nothing is left. */
  take(): Buffer {
    const taken = this.#buffer === undefined ? Buffer.alloc(0) : this.#buffer.subarray(0, this.#length);
    this.clear();
    return taken;
  }

  clear(): void {
    this.#buffer = undefined;
    this.#length = this.#scanned = 0;
  }
}
