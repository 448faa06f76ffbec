/**
 * JSON into a buffer, for lines that are written for every request: short ASCII strings and integers cost a fraction here of what
 * JSON.stringify and a copy of its text do. Who writes sees to it that there is room.
 */
export class LineWriter {
  at = 0;
  readonly #buffer: Buffer;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** ASCII, as it is. */
  text(text: string): void {
    const buffer = this.#buffer;
    let at = this.at;
    for (let i = 0; i < text.length; i++) buffer[at++] = text.charCodeAt(i);
    this.at = at;
  }

  bytes(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** A number ≥ 0, without its fraction. */
  integer(value: number): void {
    let rest = Math.floor(value);
    let digits = 1;
    for (let limit = 10; limit <= rest; limit *= 10) digits++;
    const buffer = this.#buffer;
    let at = (this.at += digits);
    // In pieces of nine digits: small integers divide fast.
    while (rest >= 1e9) {
      const high = Math.floor(rest / 1e9);
      let low = (rest - high * 1e9) | 0;
      for (let i = 0; i < 9; i++) {
        const next = (low / 10) | 0;
        buffer[--at] = 0x30 + low - next * 10;
        low = next;
      }
      rest = high;
    }
    let small = rest | 0;
    do {
      const next = (small / 10) | 0;
      buffer[--at] = 0x30 + small - next * 10;
      small = next;
    } while (small > 0);
  }

  /** With its quotes. */
  string(text: string): void {
    const buffer = this.#buffer;
    let at = this.at;
    buffer[at++] = 0x22;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      // Quote, backslash, controls and what is not ASCII: rare, and JSON's business.
      if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) {
        return this.json(JSON.stringify(text));
      }
      buffer[at++] = code;
    }
    buffer[at++] = 0x22;
    this.at = at;
  }

  /** Any text, as UTF-8. */
  json(text: string): void {
    this.at += this.#buffer.write(text, this.at);
  }
}
