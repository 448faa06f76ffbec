import type { Field, Schema } from './schema.ts';

export type Value = number | bigint | boolean | string | Buffer | null | Struct | readonly Value[];

/** Strings are binary (one character a byte), so that comparing and writing them again changes nothing. */
export interface Struct {
  readonly [name: string]: Value;
}

/** Bytes that are no message of this schema. */
export class KafkaFault extends Error {}

/** The bytes end within the message. */
export class KafkaCut extends KafkaFault {}

/** Tagged fields as they came, written again as they are: under this name in a struct. */
export const tags = '#tags';

/** All arrays of one message together: more than clients send, and what an object for each of them takes can be borne. */
const maxElements = 100_000;

export class Cursor {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  #elements: number;

  constructor(bytes: Buffer, at: number, end: number, elements = maxElements) {
    this.#elements = elements;
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** Moves over so many bytes and says where they began. */
  take(length: number): number {
    const at = this.at;
    if (length > this.end - at) throw new KafkaCut('the message ends within a field');
    this.at = at + length;
    return at;
  }

  int8(): number {
    return this.bytes.readInt8(this.take(1));
  }

  int16(): number {
    return this.bytes.readInt16BE(this.take(2));
  }

  int32(): number {
    return this.bytes.readInt32BE(this.take(4));
  }

  /** Unsigned, 7 bits a byte, the lowest first, at most 32 bits. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.take(1)]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new KafkaFault('a length of more than 32 bits');
  }

  /** Of strings, bytes and arrays: -1 is null. */
  length(compact: boolean, wide: boolean): number {
    if (compact) return this.varint() - 1;
    const length = wide ? this.int32() : this.int16();
    if (length < -1) throw new KafkaFault('a negative length');
    return length;
  }

  text(length: number): string {
    const at = this.take(length);
    return this.bytes.toString('latin1', at, at + length);
  }

  elements(count: number): void {
    if (count > this.end - this.at) throw new KafkaCut('the message ends within a list');
    this.#elements -= count;
    if (this.#elements < 0) throw new KafkaFault('too many elements');
  }

  /** Over tagged fields; gives their bytes, with the count. */
  tagged(): Buffer {
    const start = this.at;
    const count = this.varint();
    this.elements(count);
    let last = -1;
    for (let i = 0; i < count; i++) {
      const tag = this.varint();
      if (tag <= last) throw new KafkaFault('tagged fields out of order');
      last = tag;
      this.take(this.varint());
    }
    return this.bytes.subarray(start, this.at);
  }
}

/** The whole of [cursor.at, cursor.end): what is left over is a fault. Byte fields are views. */
export function readMessage(schema: Schema, version: number, cursor: Cursor): Struct {
  const struct = readStruct(schema.fields, version, version >= schema.flexibleFrom, cursor);
  if (cursor.at !== cursor.end) throw new KafkaFault('bytes after the message');
  return struct;
}

function readStruct(fields: readonly Field[], version: number, flexible: boolean, cursor: Cursor): Struct {
  const struct: Record<string, Value> = {};
  for (const field of fields) {
    if (version >= field.from && version <= field.to) struct[field.name] = readField(field, version, flexible, cursor);
  }
  if (flexible) {
    const kept = cursor.tagged();
    if (kept.length > 1) struct[tags] = kept;
  }
  return struct;
}

function readField(field: Field, version: number, flexible: boolean, cursor: Cursor): Value {
  if (!field.isArray) return readOne(field, version, flexible, cursor, version >= field.nullableFrom);
  const count = cursor.length(flexible, true);
  if (count < 0) return nullOf(field, version >= field.nullableFrom);
  cursor.elements(count);
  const values: Value[] = [];
  for (let i = 0; i < count; i++) values.push(readOne(field, version, flexible, cursor, false));
  return values;
}

function readOne(field: Field, version: number, flexible: boolean, cursor: Cursor, nullable: boolean): Value {
  switch (field.kind) {
    case 'int8': return cursor.int8();
    case 'int16': return cursor.int16();
    case 'int32': return cursor.int32();
    case 'int64': return cursor.bytes.readBigInt64BE(cursor.take(8));
    case 'bool': return cursor.int8() !== 0;
    case 'uuid': return cursor.text(16);
    case 'string': {
      const length = cursor.length(flexible, false);
      return length < 0 ? nullOf(field, nullable) : cursor.text(length);
    }
    case 'bytes': {
      const length = cursor.length(flexible, true);
      if (length < 0) return nullOf(field, nullable);
      const at = cursor.take(length);
      return cursor.bytes.subarray(at, at + length);
    }
    case 'struct':
      // Only a single struct that may be null has a byte before it.
      if (nullable && cursor.int8() < 0) return null;
      return readStruct(field.fields, version, flexible, cursor);
  }
}

function nullOf(field: Field, nullable: boolean): null {
  if (!nullable) throw new KafkaFault(`${field.name} is null`);
  return null;
}

/** Grows; `done` gives what was written. */
export class Writer {
  #bytes = Buffer.allocUnsafe(512);
  #length = 0;

  room(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }

  int8(value: number): void {
    const at = this.room(1);
    this.#bytes.writeInt8(value, at);
  }

  int16(value: number): void {
    const at = this.room(2);
    this.#bytes.writeInt16BE(value, at);
  }

  int32(value: number): void {
    const at = this.room(4);
    this.#bytes.writeInt32BE(value, at);
  }

  int64(value: bigint): void {
    const at = this.room(8);
    this.#bytes.writeBigInt64BE(value, at);
  }

  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      const at = this.room(1);
      this.#bytes[at] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 128);
    }
    const at = this.room(1);
    this.#bytes[at] = rest;
  }

  length(value: number, compact: boolean, wide: boolean): void {
    if (compact) this.varint(value + 1);
    else if (wide) this.int32(value);
    else this.int16(value);
  }

  text(value: string): void {
    const at = this.room(value.length);
    this.#bytes.write(value, at, 'latin1');
  }

  raw(value: Uint8Array): void {
    const at = this.room(value.length);
    this.#bytes.set(value, at);
  }

  /** The four bytes at `at` say how many come after them. */
  sizeAt(at: number): void {
    this.#bytes.writeInt32BE(this.#length - at - 4, at);
  }

  done(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** What `struct` does not name is written as the schema says. */
export function writeMessage(schema: Schema, version: number, struct: Struct, writer: Writer): void {
  writeStruct(schema.fields, version, version >= schema.flexibleFrom, struct, writer);
}

function writeStruct(fields: readonly Field[], version: number, flexible: boolean, struct: Struct, writer: Writer): void {
  for (const field of fields) {
    if (version >= field.from && version <= field.to) writeField(field, version, flexible, struct[field.name], writer);
  }
  if (!flexible) return;
  const kept = struct[tags];
  if (kept instanceof Buffer) writer.raw(kept);
  else writer.varint(0);
}

function writeField(field: Field, version: number, flexible: boolean, value: Value | undefined, writer: Writer): void {
  const nullable = version >= field.nullableFrom;
  if (!field.isArray) return writeOne(field, version, flexible, value, writer, nullable);
  if ((value === null || value === undefined) && nullable) return writer.length(-1, flexible, true);
  const values = Array.isArray(value) ? (value as readonly Value[]) : [];
  writer.length(values.length, flexible, true);
  for (const item of values) writeOne(field, version, flexible, item, writer, false);
}

function writeOne(field: Field, version: number, flexible: boolean, value: Value | undefined, writer: Writer, nullable: boolean): void {
  switch (field.kind) {
    case 'int8': return writer.int8(Number(value ?? field.otherwise));
    case 'int16': return writer.int16(Number(value ?? field.otherwise));
    case 'int32': return writer.int32(Number(value ?? field.otherwise));
    case 'int64': return writer.int64(BigInt((value as bigint | number | undefined) ?? field.otherwise));
    case 'bool': return writer.int8(value ? 1 : 0);
    case 'uuid': return writer.text(typeof value === 'string' ? value : '\0'.repeat(16));
    case 'string':
      if (typeof value !== 'string' && nullable) return writer.length(-1, flexible, false);
      writer.length(typeof value === 'string' ? value.length : 0, flexible, false);
      return writer.text(typeof value === 'string' ? value : '');
    case 'bytes':
      if (!(value instanceof Uint8Array) && nullable) return writer.length(-1, flexible, true);
      writer.length(value instanceof Uint8Array ? value.length : 0, flexible, true);
      return value instanceof Uint8Array ? writer.raw(value) : undefined;
    case 'struct': {
      const isThere = typeof value === 'object' && value !== null;
      if (nullable) writer.int8(isThere ? 1 : -1);
      if (!nullable || isThere) writeStruct(field.fields, version, flexible, (value ?? {}) as Struct, writer);
    }
  }
}
