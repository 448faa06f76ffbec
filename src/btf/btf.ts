/** BTF, the type information of BPF objects and the kernel (Documentation/bpf/btf.rst). Pure. */
import { Reader, textAt } from './elf.ts';
import { BtfError } from './error.ts';

export interface Member {
  /** Empty for an anonymous struct or union. */
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 for anything that is not a bit-field. */
  readonly bitSize: number;
}

export type BtfType =
  | { readonly kind: 'void' }
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean; readonly isBool: boolean }
  | { readonly kind: 'array'; readonly element: number; readonly length: number }
  | { readonly kind: 'struct' | 'union'; readonly name: string; readonly size: number; readonly members: readonly Member[] }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number; readonly values: readonly { readonly name: string; readonly value: bigint }[] }
  | { readonly kind: 'pointer' | 'volatile' | 'const' | 'restrict' | 'typeTag'; readonly type: number }
  | { readonly kind: 'typedef'; readonly name: string; readonly type: number }
  | { readonly kind: 'variable'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly { readonly type: number; readonly offset: number; readonly size: number }[] }
  | { readonly kind: 'function'; readonly name: string; readonly type: number }
  | { readonly kind: 'other'; readonly name: string };

const MAGIC = 0xeb9f;
/** Longer chains of typedefs and qualifiers are a loop. */
const CHAIN_LIMIT = 64;

export class Btf {
  /** By id; 0 is void. */
  readonly types: readonly BtfType[];

  constructor(types: readonly BtfType[]) {
    this.types = types;
  }

  type(id: number): BtfType {
    const type = this.types[id];
    if (!type) throw new BtfError(`type ${id} of ${this.types.length}`);
    return type;
  }

  /** Behind qualifiers and typedefs, with the names of the typedefs passed on the way, outermost first. */
  resolve(id: number): { type: BtfType; typedefs: readonly string[] } {
    const typedefs: string[] = [];
    let type = this.type(id);
    for (let i = 0; i < CHAIN_LIMIT; i++) {
      if (type.kind === 'typedef') typedefs.push(type.name);
      else if (type.kind !== 'const' && type.kind !== 'volatile' && type.kind !== 'restrict' && type.kind !== 'typeTag') return { type, typedefs };
      type = this.type(type.type);
    }
    throw new BtfError(`type ${id} leads in a circle`);
  }

  section(name: string): Extract<BtfType, { kind: 'section' }> | undefined {
    return this.types.find(t => t.kind === 'section' && t.name === name) as Extract<BtfType, { kind: 'section' }> | undefined;
  }

  variable(name: string): Extract<BtfType, { kind: 'variable' }> | undefined {
    return this.types.find(t => t.kind === 'variable' && t.name === name) as Extract<BtfType, { kind: 'variable' }> | undefined;
  }
}

/** Reads a .BTF section. Throws BtfError. */
export function parseBtf(bytes: Uint8Array): Btf {
  const header = new Reader(bytes, 'the BTF header');
  if (header.u16(0) !== MAGIC) throw new BtfError('not BTF, or of the other byte order');
  const headerLength = header.u32(4);
  const types = header.slice(headerLength + header.u32(8), header.u32(12));
  const strings = header.slice(headerLength + header.u32(16), header.u32(20));
  return new Btf(readTypes(types, strings));
}

function readTypes(bytes: Uint8Array, strings: Uint8Array): BtfType[] {
  const reader = new Reader(bytes, 'the BTF types');
  const name = (at: number) => (at === 0 ? '' : textAt(strings, at));
  const result: BtfType[] = [{ kind: 'void' }];
  for (let at = 0; at < bytes.length; ) {
    const info = reader.u32(at + 4);
    const count = info & 0xffff;
    const head: Head = { name: name(reader.u32(at)), kind: (info >>> 24) & 31, flag: info >>> 31 === 1, count, size: reader.u32(at + 8) };
    const { type, length } = readType(reader, at + 12, head, name);
    result.push(type);
    at += 12 + length;
  }
  return result;
}

/** The 12 bytes that every type begins with; `size` is a type's id for the kinds that refer to one. */
interface Head {
  readonly name: string;
  readonly kind: number;
  readonly flag: boolean;
  readonly count: number;
  readonly size: number;
}

function readType(r: Reader, at: number, head: Head, name: (at: number) => string): { type: BtfType; length: number } {
  const each = <T>(size: number, read: (at: number) => T): T[] => {
    r.slice(at, head.count * size); // before the array: a wrong count is an error, not an allocation
    return Array.from({ length: head.count }, (_, i) => read(at + i * size));
  };
  switch (head.kind) {
    case 1: {
      const encoding = (r.u32(at) >> 24) & 15;
      return { type: { kind: 'int', name: head.name, size: head.size, signed: (encoding & 1) !== 0, isBool: (encoding & 4) !== 0 }, length: 4 };
    }
    case 3:
      return { type: { kind: 'array', element: r.u32(at), length: r.u32(at + 8) }, length: 12 };
    case 4:
    case 5:
      return { type: { kind: head.kind === 4 ? 'struct' : 'union', name: head.name, size: head.size, members: each(12, m => readMember(r, m, head.flag, name)) }, length: head.count * 12 };
    case 6:
      return { type: { kind: 'enum', name: head.name, size: head.size, values: each(8, v => ({ name: name(r.u32(v)), value: BigInt(head.flag ? r.i32(v + 4) : r.u32(v + 4)) })) }, length: head.count * 8 };
    case 19:
      return { type: { kind: 'enum', name: head.name, size: head.size, values: each(12, v => ({ name: name(r.u32(v)), value: wide(r, v + 4, head.flag) })) }, length: head.count * 12 };
    case 13:
      return { type: { kind: 'other', name: 'function prototype' }, length: head.count * 8 };
    case 14:
      return { type: { kind: 'variable', name: head.name, type: head.size }, length: 4 };
    case 15:
      return { type: { kind: 'section', name: head.name, variables: each(12, v => ({ type: r.u32(v), offset: r.u32(v + 4), size: r.u32(v + 8) })) }, length: head.count * 12 };
    case 17:
      return { type: { kind: 'other', name: 'declaration tag' }, length: 4 };
    default:
      return { type: readReference(head), length: 0 };
  }
}

function readReference(head: Head): BtfType {
  const type = head.size;
  switch (head.kind) {
    case 2: return { kind: 'pointer', type };
    case 7: return { kind: 'other', name: head.name };
    case 8: return { kind: 'typedef', name: head.name, type };
    case 9: return { kind: 'volatile', type };
    case 10: return { kind: 'const', type };
    case 11: return { kind: 'restrict', type };
    case 12: return { kind: 'function', name: head.name, type };
    case 16: return { kind: 'other', name: head.name };
    case 18: return { kind: 'typeTag', type };
    default: throw new BtfError(`BTF kind ${head.kind} is not known`, { mend: 'the object was built by a newer compiler than this reader knows' });
  }
}

function readMember(r: Reader, at: number, hasBitfields: boolean, name: (at: number) => string): Member {
  const offset = r.u32(at + 8);
  return {
    name: name(r.u32(at)),
    type: r.u32(at + 4),
    bitOffset: hasBitfields ? offset & 0xffffff : offset,
    bitSize: hasBitfields ? offset >>> 24 : 0,
  };
}

function wide(r: Reader, at: number, signed: boolean): bigint {
  const value = (BigInt(r.u32(at + 4)) << 32n) | BigInt(r.u32(at));
  return signed ? BigInt.asIntN(64, value) : value;
}
