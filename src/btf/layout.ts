/** What a BTF type is as data: sizes, offsets, byte orders, with the C declarations' detours resolved. Pure. */
import type { Btf, BtfType, Member } from './btf.ts';
import { BtfError } from './error.ts';

export type Layout =
  | { readonly kind: 'number'; readonly size: 1 | 2 | 4 | 8; readonly signed: boolean; readonly bigEndian: boolean }
  | { readonly kind: 'bool' }
  | { readonly kind: 'bytes'; readonly size: number }
  | { readonly kind: 'text'; readonly size: number }
  | { readonly kind: 'array'; readonly element: Layout; readonly length: number }
  | StructLayout;

export interface StructLayout {
  readonly kind: 'struct';
  /** The C name: the tag, or a typedef's. Empty for an anonymous one. */
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly layout: Layout;
  /** Named padding: written as zero and not shown. */
  readonly padding: boolean;
}

/** How deep a walk is, and how many types it may still meet: types that contain each other twice over would never end. */
interface Walk {
  readonly depth: number;
  readonly budget: { left: number };
}

const DEPTH_LIMIT = 32;
const TYPE_LIMIT = 10_000;

export function layoutOf(btf: Btf, id: number, from: Walk = { depth: 0, budget: { left: TYPE_LIMIT } }): Layout {
  const walk = deeper(from, id);
  const { type, typedefs } = btf.resolve(id);
  switch (type.kind) {
    case 'int':
      if (type.isBool) return { kind: 'bool' };
      return { kind: 'number', size: numberSize(type.size), signed: type.signed, bigEndian: typedefs.some(name => /^__be(16|32|64)$/.test(name)) };
    case 'enum':
      return { kind: 'number', size: numberSize(type.size), signed: type.values.some(v => v.value < 0n), bigEndian: false };
    case 'pointer':
      return { kind: 'number', size: 8, signed: false, bigEndian: false };
    case 'array':
      return arrayLayout(btf, type, walk);
    case 'struct':
      return structLayout(btf, type, typedefs, walk);
    case 'union':
      return { kind: 'bytes', size: type.size };
    default:
      throw new BtfError(`type ${id} (${type.kind}) has no size`);
  }
}

export function sizeOf(layout: Layout): number {
  switch (layout.kind) {
    case 'bool': return 1;
    case 'array': return sizeOf(layout.element) * layout.length;
    default: return layout.size;
  }
}

/** One line that is equal for equal layouts and for no others: what a map's layout hash is taken over. */
export function describeLayout(layout: Layout): string {
  switch (layout.kind) {
    case 'number': return `${layout.bigEndian ? 'be' : layout.signed ? 's' : 'u'}${layout.size * 8}`;
    case 'bool': return 'bool';
    case 'bytes': return `u8[${layout.size}]`;
    case 'text': return `char[${layout.size}]`;
    case 'array': return `${describeLayout(layout.element)}[${layout.length}]`;
    case 'struct': return `${layout.name}:${layout.size}{${layout.fields.map(f => `${f.name}@${f.offset}:${describeLayout(f.layout)}`).join(',')}}`;
  }
}

/** The bytes between and after the fields. */
export function holesOf(layout: StructLayout): { offset: number; size: number }[] {
  const holes: { offset: number; size: number }[] = [];
  let end = 0;
  for (const field of [...layout.fields].sort((a, b) => a.offset - b.offset)) {
    if (field.offset > end) holes.push({ offset: end, size: field.offset - end });
    end = Math.max(end, field.offset + sizeOf(field.layout));
  }
  if (end < layout.size) holes.push({ offset: end, size: layout.size - end });
  return holes;
}

function arrayLayout(btf: Btf, type: Extract<BtfType, { kind: 'array' }>, walk: Walk): Layout {
  const element = btf.resolve(type.element).type;
  if (element.kind === 'int' && element.size === 1 && !element.isBool) {
    // `char` is text, `__u8` and `signed char` are bytes; clang gives plain char the name alone.
    return { kind: element.name === 'char' ? 'text' : 'bytes', size: type.length };
  }
  return { kind: 'array', element: layoutOf(btf, type.element, walk), length: type.length };
}

function structLayout(btf: Btf, type: Extract<BtfType, { kind: 'struct' | 'union' }>, typedefs: readonly string[], walk: Walk): Layout {
  const fields = type.members.flatMap(member => fieldsOf(btf, member, type, walk));
  const [only] = fields;
  // `struct addr { union { __u8 bytes[16]; __be32 words[4]; }; }` is its bytes, whatever other views of them it offers.
  if (type.members.length === 1 && type.members[0]!.name === '' && only?.layout.kind === 'bytes' && only.layout.size === type.size) return only.layout;
  return { kind: 'struct', name: type.name || typedefs.at(-1) || '', size: type.size, fields };
}

/** Anonymous structs are part of their parent; of an anonymous union the first member speaks for all. */
function fieldsOf(btf: Btf, member: Member, parent: { name: string; size: number }, walk: Walk): Field[] {
  const where = `${member.name || '(anonymous)'} of struct ${parent.name || '(anonymous)'}`;
  if (member.bitSize > 0 || member.bitOffset % 8 !== 0) throw new BtfError(`field ${where} is a bit-field`, { mend: 'use a flags field with an enum of its bits' });
  const offset = member.bitOffset / 8;
  if (member.name !== '') return [checked({ name: member.name, offset, layout: layoutOf(btf, member.type, walk), padding: isPadding(member.name) }, parent)];
  const { type } = btf.resolve(member.type);
  if (type.kind !== 'struct' && type.kind !== 'union') throw new BtfError(`field ${where} has no name`);
  const inside = deeper(walk, member.type);
  const members = type.kind === 'struct' ? type.members : type.members.slice(0, 1);
  return members.flatMap(inner => fieldsOf(btf, inner, type, inside)).map(field => checked({ ...field, offset: field.offset + offset }, parent));
}

function deeper(walk: Walk, id: number): Walk {
  if (walk.depth >= DEPTH_LIMIT || walk.budget.left-- <= 0) throw new BtfError(`type ${id} contains itself, or too much`);
  return { depth: walk.depth + 1, budget: walk.budget };
}

function checked(field: Field, parent: { name: string; size: number }): Field {
  if (field.offset + sizeOf(field.layout) > parent.size) throw new BtfError(`field ${field.name} reaches beyond struct ${parent.name}`);
  return field;
}

function isPadding(name: string): boolean {
  return /^(_.*|(pad|padding|reserved)\d*)$/.test(name);
}

function numberSize(size: number): 1 | 2 | 4 | 8 {
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8) throw new BtfError(`an integer of ${size} bytes`);
  return size;
}
