/** Reads protocol buffers from untrusted bytes: every length is checked before use, every read moves on or throws. */
export class WireReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #position: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#position = start;
    this.#end = end;
  }

  /** A reader with nothing in it. */
  empty(): WireReader {
    return new WireReader(this.#buffer, 0, 0);
  }

  /** The tags of the fields in turn; the consumer reads or skips each value before it asks for the next. */
  *fields(): Generator<{ number: number; wireType: number; reader: WireReader }> {
    while (this.#position < this.#end) {
      const tag = this.#varint();
      const number = Number(tag >> 3n);
      if (number === 0) throw new Error('a field has number 0');
      yield { number, wireType: Number(tag & 7n), reader: this };
    }
  }

  bytes(): Buffer {
    const length = Number(this.#varint());
    if (length > this.#end - this.#position) throw new Error('a length points past the end');
    const start = this.#position;
    this.#position += length;
    return this.#buffer.subarray(start, this.#position);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  message(): WireReader {
    const inner = this.bytes();
    return new WireReader(inner, 0, inner.length);
  }

  integer(wireType: number): number {
    if (wireType !== 0) throw new Error(`an integer has wire type ${wireType}`);
    return Number(BigInt.asIntN(64, this.#varint()));
  }

  double(wireType: number): number {
    if (wireType !== 1 || this.#end - this.#position < 8) throw new Error('a number is not 8 bytes');
    this.#position += 8;
    return this.#buffer.readDoubleLE(this.#position - 8);
  }

  skip(wireType: number): void {
    switch (wireType) {
      case 0: this.#varint(); return;
      case 1: this.#advance(8); return;
      case 2: this.bytes(); return;
      case 5: this.#advance(4); return;
      default: throw new Error(`wire type ${wireType} is not known`);
    }
  }

  #advance(count: number): void {
    if (this.#end - this.#position < count) throw new Error('a value points past the end');
    this.#position += count;
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.#position >= this.#end) throw new Error('a number points past the end');
      const byte = this.#buffer[this.#position++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error('a number has more than 10 bytes');
  }
}
