import { ConnectionFault, ErrorCode } from './error.ts';
import { Field, Indexing, kindOfName, kindWithValue } from './field.ts';
import { huffmanDecode } from './huffman.ts';
import { LiteralCache, literalEnd } from './literal-cache.ts';
import { staticLength, staticNames, staticTable } from './static-table.ts';

/** SETTINGS_HEADER_TABLE_SIZE where none was sent (RFC 9113 §6.5.2); we never send another. */
export const tableSizeLimit = 4096;
/** An entry has at least 32 octets. */
const slots = 128;

/** What is refused rather than kept: octets by RFC 7541 §4.1, and fields. */
export interface ListLimits {
  readonly octets: number;
  readonly fields: number;
}

/**
 * Reads header blocks (RFC 7541) of one direction of one connection. Everything that a block must not have is a ConnectionFault
 * with COMPRESSION_ERROR, after which nothing of the connection can be read.
 */
export class HpackDecoder {
  readonly #limits: ListLimits;
  readonly #literals = new LiteralCache();
  readonly #ring: (Field | undefined)[] = new Array<Field | undefined>(slots).fill(undefined);
  #newest = 0;
  #count = 0;
  #size = 0;
  /** Of the list that was decoded last (RFC 7541 §4.1). */
  octets = 0;
  readonly #allowed: number;
  #limit: number;
  #data: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  #scratch = Buffer.alloc(0);

  constructor(limits: ListLimits, tableSize = tableSizeLimit) {
    this.#limits = limits;
    this.#allowed = tableSize;
    this.#limit = tableSize;
  }

  /** Octets in the dynamic table. */
  get tableSize(): number {
    return this.#size;
  }

  /** The dynamic table, newest first. */
  get table(): Field[] {
    return Array.from({ length: this.#count }, (_, i) => this.#ring[(this.#newest - i + slots) % slots]!);
  }

  /**
   * A whole block, data[start, end), as fields. Undefined when the list is over the limits: then it was read to its end, so that the
   * table is as it must be, and the next blocks can be read.
   */
  decode(data: Buffer, start: number, end: number): Field[] | undefined {
    this.#data = data;
    this.#at = start;
    this.#end = end;
    const fields: Field[] = [];
    let octets = 0;
    let count = 0;
    this.octets = 0;
    let updates = 0;
    while (this.#at < end) {
      const byte = data[this.#at]!;
      if ((byte & 0xe0) === 0x20) {
        if (count > 0 || ++updates > 2) throw fault('a change of the table\'s size that is not at the beginning of a block');
        this.#resize(this.#integer(5));
        continue;
      }
      const field = byte & 0x80 ? this.#entry(this.#integer(7)) : this.#literal(byte);
      octets += field.size;
      if (++count <= this.#limits.fields && octets <= this.#limits.octets) fields.push(field);
    }
    this.octets = octets;
    return count > this.#limits.fields || octets > this.#limits.octets ? undefined : fields;
  }

  #literal(first: number): Field {
    const start = this.#at;
    const indexing = first & 0x40 ? Indexing.indexed : first & 0x10 ? Indexing.never : Indexing.without;
    const index = this.#integer(first & 0x40 ? 6 : 4);
    const end = indexing !== Indexing.never && index <= staticLength ? literalEnd(this.#data, start, this.#at, this.#end, index === 0) : -1;
    const known = end > 0 ? this.#literals.find(this.#data, start, end) : undefined;
    if (known !== undefined) this.#at = end;
    const field = known ?? this.#readLiteral(indexing, index);
    if (end > 0 && known === undefined) this.#literals.keep(this.#data, start, end, field);
    if (indexing === Indexing.indexed) this.#insert(field);
    return field;
  }

  #readLiteral(indexing: number, index: number): Field {
    let name: string;
    let nameKind: number;
    let staticName: number;
    if (index > 0) {
      const entry = this.#entry(index);
      ({ name, staticName } = entry);
      nameKind = kindOfName(name);
    } else {
      name = this.#string();
      nameKind = kindOfName(name);
      staticName = staticNames.get(name) ?? 0;
    }
    const value = this.#string();
    return new Field(name, value, indexing, kindWithValue(nameKind, value), staticName);
  }

  #entry(index: number): Field {
    if (index === 0) throw fault('index 0');
    if (index <= staticLength) return staticTable[index]!;
    const back = index - staticLength - 1;
    if (back >= this.#count) throw fault(`index ${index}, which no table has`);
    return this.#ring[(this.#newest - back + slots) % slots]!;
  }

  #insert(field: Field): void {
    const { size } = field;
    while (this.#count > 0 && this.#size + size > this.#limit) this.#evict();
    if (size > this.#limit) return;
    this.#newest = (this.#newest + 1) % slots;
    this.#ring[this.#newest] = field;
    this.#count++;
    this.#size += size;
  }

  #evict(): void {
    const oldest = (this.#newest - this.#count + 1 + slots) % slots;
    this.#size -= this.#ring[oldest]!.size;
    this.#ring[oldest] = undefined;
    this.#count--;
  }

  #resize(limit: number): void {
    if (limit > this.#allowed) throw fault(`a table of ${limit} octets, of ${this.#allowed} allowed`);
    this.#limit = limit;
    while (this.#size > limit) this.#evict();
  }

  /** RFC 7541 §5.1. No number in a block can be over its length or the tables' size, so four bytes after the prefix are enough. */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw fault('a number of more than five bytes');
  }

  #byte(): number {
    if (this.#at >= this.#end) throw fault('a block that ends within a field');
    return this.#data[this.#at++]!;
  }

  #string(): string {
    const huffman = (this.#at < this.#end ? this.#data[this.#at]! : 0) & 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    if (length > this.#end - start) throw fault('a string that is longer than its block');
    this.#at = start + length;
    if (!huffman) return text(this.#data, start, start + length);
    if (this.#scratch.length < length * 2) this.#scratch = Buffer.allocUnsafeSlow(Math.max(1024, length * 2));
    return text(this.#scratch, 0, huffmanDecode(this.#data, start, start + length, this.#scratch));
  }
}

/** A call into Buffer costs more than a few characters do. */
const shortText = 12;

function text(data: Buffer, start: number, end: number): string {
  if (end - start > shortText) return data.toString('latin1', start, end);
  let result = '';
  for (let at = start; at < end; at++) result += String.fromCharCode(data[at]!);
  return result;
}

function fault(message: string): ConnectionFault {
  return new ConnectionFault(ErrorCode.compression, message);
}
