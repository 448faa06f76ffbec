import { type Field, Indexing } from './field.ts';
import { tableSizeLimit } from './hpack-decoder.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import type { Output } from './output.ts';
import { staticLength } from './static-table.ts';

/** An entry has at least 32 octets. */
const slots = 128;
/** What is shorter is written as it is: the code would save a few bytes and cost more than writing them. */
const huffmanFrom = 48;

/**
 * Writes header blocks (RFC 7541) of one direction of one connection. A field is written as its sender wrote it: what was to be
 * indexed is indexed, what never was is not. Fields are known by the object, which belongs to one decoder and one encoder.
 */
export class HpackEncoder {
  /** The entry inserted as number n is at n % slots; numbers begin at 1. */
  readonly #ring: (Field | undefined)[] = new Array<Field | undefined>(slots).fill(undefined);
  #inserted = 0;
  #count = 0;
  #size = 0;
  #limit = tableSizeLimit;
  /** The smallest limit since the last block, which the next one must begin with. */
  #told = -1;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. Of what is more than 4,096 no use is made. */
  set tableSize(octets: number) {
    const limit = Math.min(octets, tableSizeLimit);
    if (limit === this.#limit) return;
    this.#limit = limit;
    this.#told = this.#told < 0 ? limit : Math.min(this.#told, limit);
    while (this.#size > limit) this.#evict();
  }

  encode(fields: readonly Field[], out: Output): void {
    if (this.#told >= 0) this.#tell(out);
    for (let i = 0; i < fields.length; i++) this.#field(fields[i]!, out);
  }

  #tell(out: Output): void {
    if (this.#told < this.#limit) writeInteger(out, 0x20, 5, this.#told);
    writeInteger(out, 0x20, 5, this.#limit);
    this.#told = -1;
  }

  #field(field: Field, out: Output): void {
    if (field.staticIndex > 0) return writeInteger(out, 0x80, 7, field.staticIndex);
    if (field.indexing !== Indexing.indexed) return writeLiteral(out, field.indexing === Indexing.never ? 0x10 : 0, 4, field);
    const back = this.#inserted - field.slot;
    if (field.slot > 0 && back < this.#count && this.#ring[field.slot % slots] === field) return writeInteger(out, 0x80, 7, staticLength + 1 + back);
    const { size } = field;
    if (size > this.#limit) return writeLiteral(out, 0, 4, field);
    writeLiteral(out, 0x40, 6, field);
    while (this.#size + size > this.#limit) this.#evict();
    field.slot = ++this.#inserted;
    this.#ring[field.slot % slots] = field;
    this.#count++;
    this.#size += size;
  }

  #evict(): void {
    const oldest = (this.#inserted - this.#count + 1) % slots;
    this.#size -= this.#ring[oldest]!.size;
    this.#ring[oldest] = undefined;
    this.#count--;
  }
}

function writeLiteral(out: Output, pattern: number, prefix: number, field: Field): void {
  writeInteger(out, pattern, prefix, field.staticName);
  if (field.staticName === 0) writeString(out, field.name);
  writeString(out, field.value);
}

function writeInteger(out: Output, pattern: number, prefix: number, value: number): void {
  let at = out.reserve(6);
  const { buffer } = out;
  const mask = (1 << prefix) - 1;
  if (value < mask) {
    buffer[at] = pattern | value;
    return out.advance(at + 1);
  }
  buffer[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) buffer[at++] = (rest & 0x7f) | 0x80;
  buffer[at++] = rest;
  out.advance(at);
}

function writeString(out: Output, text: string): void {
  const { length } = text;
  if (length >= huffmanFrom) {
    const coded = huffmanLength(text);
    if (coded < length) {
      writeInteger(out, 0x80, 7, coded);
      const at = out.reserve(coded);
      return out.advance(huffmanEncode(text, out.buffer, at));
    }
  }
  writeInteger(out, 0, 7, length);
  const at = out.reserve(length);
  const { buffer } = out;
  if (length > 24) buffer.write(text, at, 'latin1');
  else for (let i = 0; i < length; i++) buffer[at + i] = text.charCodeAt(i);
  out.advance(at + length);
}
