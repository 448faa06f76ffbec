/** protobuf's wire format, for what is written too often for a general encoder. */

/** Wire types that proto3 uses. */
const varintType = 0;
const fixed64Type = 1;
const bytesType = 2;
const fixed32Type = 5;

/** The tag of a field of length-delimited values, and of one of varints. */
export const bytesTag = (field: number): number => (field << 3) | bytesType;
export const varintTag = (field: number): number => (field << 3) | varintType;

/**
 * Writes a message from its end to its start: a submessage's length is known when it is written, so nothing is moved or
 * measured twice, and lengths have their shortest form. Fields are written in falling order, so that they stand in rising order.
 */
export class BackwardWriter {
  #buffer = Buffer.allocUnsafeSlow(16 * 1024);
  /** What was written begins here. */
  #at = this.#buffer.length;

  reset(): void {
    this.#at = this.#buffer.length;
  }

  /** Bytes written; remember it before a submessage, for `close`. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  /** What was written, until the next `reset`. */
  finish(): Uint8Array {
    return this.#buffer.subarray(this.#at);
  }

  /** A copy of what was written since `length` was `mark`. */
  copyFrom(mark: number): Uint8Array {
    return Uint8Array.from(this.#buffer.subarray(this.#at, this.#buffer.length - mark));
  }

  /** Forgets what was written since `length` was `mark`. */
  rewind(mark: number): void {
    this.#at = this.#buffer.length - mark;
  }

  /** Ends the submessage whose fields were written since `length` was `mark`. */
  close(tag: number, mark: number): void {
    const length = this.#buffer.length - this.#at - mark;
    if (length < 0x80 && tag < 0x80 && this.#at >= 2) {
      this.#buffer[--this.#at] = length;
      this.#buffer[--this.#at] = tag;
      return;
    }
    this.varint(length);
    this.varint(tag);
  }

  varint(value: number): void {
    if (this.#at < 10) this.#room(10);
    const buffer = this.#buffer;
    if (value < 0x80) buffer[--this.#at] = value;
    else if (value < 0x4000) {
      buffer[--this.#at] = value >>> 7;
      buffer[--this.#at] = value | 0x80;
    } else if (value < 0x200000) {
      buffer[--this.#at] = value >>> 14;
      buffer[--this.#at] = (value >>> 7) | 0x80;
      buffer[--this.#at] = value | 0x80;
    } else if (value < 0x80000000) {
      if (value >= 0x10000000) buffer[--this.#at] = value >>> 28;
      buffer[--this.#at] = value < 0x10000000 ? value >>> 21 : (value >>> 21) | 0x80;
      buffer[--this.#at] = (value >>> 14) | 0x80;
      buffer[--this.#at] = (value >>> 7) | 0x80;
      buffer[--this.#at] = value | 0x80;
    } else this.#longVarint(value);
  }

  #longVarint(value: number): void {
    let size = 1;
    for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) size++;
    this.#at -= size;
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.#buffer[at++] = (rest % 128) | 0x80;
    this.#buffer[at] = rest;
  }

  /** A number field, left out when it is 0. What is beyond 2^53 is written as 2^53; negative numbers as int32 and int64 have them. */
  number(tag: number, value: number | undefined): void {
    if (value === undefined || value === 0) return;
    if (value > 0 && value < 0x80 && tag < 0x80 && this.#at >= 2) {
      this.#buffer[--this.#at] = value;
      this.#buffer[--this.#at] = tag;
      return;
    }
    if (value < 0 || !(value <= Number.MAX_SAFE_INTEGER)) return this.bigint(tag, value < 0 ? BigInt(Math.trunc(value)) : BigInt(Number.MAX_SAFE_INTEGER));
    this.varint(value);
    this.varint(tag);
  }

  /** A 64-bit number field, left out when it is 0. */
  bigint(tag: number, value: bigint | undefined): void {
    if (value === undefined || value === 0n) return;
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.#raw(Uint8Array.from(bytes));
    this.varint(tag);
  }

  flag(tag: number, value: boolean | undefined): void {
    if (value === true) this.number(tag, 1);
  }

  /** A string field, left out when it is empty. */
  string(tag: number, text: string | undefined): void {
    if (text !== undefined && text !== '') this.element(tag, text);
  }

  /** A string in a list: there even when it is empty. */
  element(tag: number, text: string): void {
    const { length } = text;
    const mark = this.length;
    this.#room(length * 3);
    if (length > 96 || !this.#ascii(text)) {
      const size = Buffer.byteLength(text);
      this.#at -= size;
      this.#buffer.write(text, this.#at, size, 'utf8');
    }
    this.close(tag, mark);
  }

  strings(tag: number, texts: readonly string[] | undefined): void {
    if (texts === undefined) return;
    for (let i = texts.length - 1; i >= 0; i--) this.element(tag, texts[i]!);
  }

  /** Bytes as they are: fields that were encoded before. */
  raw(bytes: Uint8Array): void {
    this.#raw(bytes);
  }

  #raw(bytes: Uint8Array): void {
    const { length } = bytes;
    this.#room(length);
    this.#at -= length;
    if (length <= 48) {
      const buffer = this.#buffer;
      for (let i = 0, at = this.#at; i < length; i++) buffer[at + i] = bytes[i]!;
    } else this.#buffer.set(bytes, this.#at);
  }

  /** Writes the text if all of it is ASCII: for short texts faster than a call into the runtime. */
  #ascii(text: string): boolean {
    const buffer = this.#buffer;
    const start = this.#at - text.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      buffer[start + i] = code;
    }
    this.#at = start;
    return true;
  }

  #room(bytes: number): void {
    if (this.#at >= bytes) return;
    const written = this.length;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, (written + bytes) * 2));
    this.#buffer.copy(larger, larger.length - written, this.#at);
    this.#buffer = larger;
    this.#at = larger.length - written;
  }
}

/** A tree of field numbers: which fields are kept; `undefined` below a number keeps all of that field. */
export type FieldTree = ReadonlyMap<number, FieldTree | undefined>;

/** The message without the fields that the tree does not name. Throws RangeError on bytes that are no message. */
export function pruneMessage(bytes: Uint8Array, tree: FieldTree): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { field, wireType, start, valueStart, end } of fieldsOf(bytes)) {
    if (!tree.has(field)) continue;
    const below = tree.get(field);
    if (below === undefined || wireType !== bytesType) {
      parts.push(bytes.subarray(start, end));
      continue;
    }
    const value = pruneMessage(bytes.subarray(valueStart, end), below);
    parts.push(varintBytes(bytesTag(field)), varintBytes(value.length), value);
  }
  return Buffer.concat(parts);
}

/** Each field of a message: where it stands with its tag, and where its value does. Throws RangeError on bytes that are no message. */
export function* fieldsOf(bytes: Uint8Array): Generator<{ readonly field: number; readonly wireType: number; readonly start: number; readonly valueStart: number; readonly end: number }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      if (at >= bytes.length || shift > 2 ** 63) throw new RangeError('a number that has no end');
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const start = at;
    const tag = varint();
    const wireType = tag & 7;
    let valueStart = at;
    if (wireType === varintType) varint();
    else if (wireType === fixed64Type) at += 8;
    else if (wireType === fixed32Type) at += 4;
    else if (wireType === bytesType) {
      const length = varint();
      valueStart = at;
      at += length;
    } else throw new RangeError(`wire type ${wireType}`);
    if (at > bytes.length) throw new RangeError('a field that is longer than its message');
    yield { field: Math.floor(tag / 8), wireType, start, valueStart, end: at };
  }
}

function varintBytes(value: number): Uint8Array {
  const writer: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) writer.push((value % 128) | 0x80);
  writer.push(value);
  return Uint8Array.from(writer);
}
