/** Writes protocol buffers by hand: fields in order, nothing that is empty (https://protobuf.dev/programming-guides/encoding). */
export class WireWriter {
  readonly #parts: Buffer[] = [];
  #size = 0;

  text(field: number, value: unknown): this {
    if (typeof value === 'string' && value !== '') this.#bytes(field, Buffer.from(value));
    return this;
  }

  flag(field: number, value: unknown): this {
    if (value === true) this.#push(Buffer.concat([varint((field << 3) | 0), varint(1)]));
    return this;
  }

  integer(field: number, value: unknown): this {
    if (typeof value === 'number' && value !== 0) this.#push(Buffer.concat([varint((field << 3) | 0), varint(value)]));
    return this;
  }

  double(field: number, value: unknown): this {
    if (typeof value !== 'number' || value === 0) return this;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#push(Buffer.concat([varint((field << 3) | 1), bytes]));
    return this;
  }

  message(field: number, inner: WireWriter): this {
    this.#bytes(field, inner.finish());
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#size);
  }

  #bytes(field: number, bytes: Buffer): void {
    this.#push(varint((field << 3) | 2));
    this.#push(varint(bytes.length));
    this.#push(bytes);
  }

  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#size += bytes.length;
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(Math.trunc(value)));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
