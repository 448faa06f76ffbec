/** The little of ELF (System V ABI, 64-bit little-endian) that a BPF object needs: sections and symbols. Pure. */
import { BtfError } from './error.ts';

export interface Section {
  readonly name: string;
  readonly type: number;
  /** Empty for sections without contents, as .bss. */
  readonly data: Uint8Array;
  readonly link: number;
}

export interface ElfSymbol {
  readonly name: string;
  readonly value: number;
  readonly size: number;
  /** Index into the sections; large for absolute and common symbols. */
  readonly section: number;
}

export interface Elf {
  readonly sections: readonly Section[];
  readonly symbols: readonly ElfSymbol[];
  section(name: string): Section | undefined;
}

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const NAME_LIMIT = 4096;

/** Throws BtfError for anything that is not such a file. The sections' data are views into `bytes`. */
export function parseElf(bytes: Uint8Array): Elf {
  const file = new Reader(bytes, 'the ELF file');
  if (bytes.length < 64 || file.u32(0) !== 0x464c457f) throw new BtfError('not an ELF file');
  if (file.u8(4) !== 2 || file.u8(5) !== 1) throw new BtfError('not a 64-bit little-endian ELF file');
  const tableAt = file.u64(40);
  const entrySize = file.u16(58);
  const count = file.u16(60);
  if (entrySize < 64) throw new BtfError(`section headers of ${entrySize} bytes`);
  const headers = Array.from({ length: count }, (_, i) => readHeader(file, tableAt + i * entrySize));
  const names = headers[file.u16(62)];
  const sections = headers.map(h => ({ name: names ? textAt(names.data, h.nameAt) : '', type: h.type, data: h.data, link: h.link }));
  return { sections, symbols: readSymbols(sections), section: name => sections.find(s => s.name === name) };
}

/** Bounds-checked reads, so that a wrong offset is an error that says where. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get length(): number {
    return this.#view.byteLength;
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#checked(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#checked(at, 2), true);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#checked(at, 4), true);
  }

  i32(at: number): number {
    return this.#view.getInt32(this.#checked(at, 4), true);
  }

  /** As a number; what passes 2^53 is out of every file's bounds anyway. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(this.#checked(at, 8), true));
  }

  slice(at: number, size: number): Uint8Array {
    this.#checked(at, size);
    return this.#bytes.subarray(at, at + size);
  }

  #checked(at: number, size: number): number {
    if (at + size > this.#view.byteLength) throw new BtfError(`${this.#what} ends before offset ${at + size}`);
    return at;
  }
}

/** The NUL-terminated text in a string table. */
export function textAt(table: Uint8Array, at: number): string {
  if (at >= table.length) throw new BtfError(`a name lies at ${at} in a string table of ${table.length} bytes`);
  const text = table.subarray(at, at + NAME_LIMIT);
  const end = text.indexOf(0);
  if (end < 0) throw new BtfError(`the name at ${at} of a string table does not end`);
  return Buffer.from(text.subarray(0, end)).toString('utf8');
}

function readHeader(file: Reader, at: number): { nameAt: number; type: number; data: Uint8Array; link: number } {
  const type = file.u32(at + 4);
  const offset = file.u64(at + 24);
  const size = type === SHT_NOBITS ? 0 : file.u64(at + 32);
  return { nameAt: file.u32(at), type, data: file.slice(offset, size), link: file.u32(at + 40) };
}

function readSymbols(sections: readonly Section[]): ElfSymbol[] {
  const table = sections.find(s => s.type === SHT_SYMTAB);
  if (!table) return [];
  const names = sections[table.link];
  if (!names) throw new BtfError('the symbol table names no string table');
  const reader = new Reader(table.data, 'the symbol table');
  return Array.from({ length: Math.floor(table.data.length / 24) }, (_, i) => ({
    name: textAt(names.data, reader.u32(i * 24)),
    section: reader.u16(i * 24 + 6),
    value: reader.u64(i * 24 + 8),
    size: reader.u64(i * 24 + 16),
  }));
}
