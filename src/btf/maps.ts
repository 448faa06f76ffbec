/** The map definitions of an object's `.maps` section (libbpf's BTF-defined maps). Pure. */
import { createHash } from 'node:crypto';
import type { Btf, BtfType, Member } from './btf.ts';
import { BtfError } from './error.ts';
import { type Layout, describeLayout, layoutOf } from './layout.ts';

export interface MapDefinition {
  readonly name: string;
  readonly type: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Undefined for maps without, as ring buffers. */
  readonly key: Layout | undefined;
  readonly value: Layout | undefined;
  /** Of a map of maps: what the maps in it look like. Its values are descriptors when written, ids when read. */
  readonly inner?: MapDefinition;
  /** 8 hex digits: equal where type, flags, size and both layouts are. */
  readonly layoutHash: string;
}

/** In the order of their names. Throws BtfError for a definition it does not know. */
export function mapDefinitions(btf: Btf): MapDefinition[] {
  const section = btf.section('.maps');
  if (!section) return [];
  return section.variables.map(entry => readDefinition(btf, entry.type)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function readDefinition(btf: Btf, id: number): MapDefinition {
  const variable = btf.type(id);
  if (variable.kind !== 'variable') throw new BtfError(`entry ${id} of .maps is not a variable`);
  return readStruct(btf, variable.type, variable.name);
}

function readStruct(btf: Btf, id: number, name: string): MapDefinition {
  const { type } = btf.resolve(id);
  if (type.kind !== 'struct') throw new BtfError(`map ${name} is not defined by a struct`);
  const member = (wanted: string) => type.members.find(m => m.name === wanted);
  const number = (wanted: string) => numberOf(btf, member(wanted), name) ?? 0;
  const values = member('values');
  const inner = values && readStruct(btf, innerOf(btf, values, name), type.name || `${name}_inner`);
  const definition = {
    name,
    type: number('type'),
    maxEntries: number('max_entries'),
    flags: number('map_flags'),
    key: sideOf(btf, member('key'), number('key_size')),
    value: inner ? descriptor : sideOf(btf, member('value'), number('value_size')),
    ...(inner && { inner }),
  };
  return { ...definition, layoutHash: hashOf(definition) };
}

const descriptor: Layout = { kind: 'number', size: 4, signed: false, bigEndian: false };

/** `__array(values, struct inner)` is declared as `struct inner *values[]`. */
function innerOf(btf: Btf, member: Member, map: string): number {
  const { type: array } = btf.resolve(member.type);
  const pointer = array.kind === 'array' ? btf.resolve(array.element).type : undefined;
  const target = pointer?.kind === 'pointer' ? pointer.type : undefined;
  if (target === undefined || btf.resolve(target).type.kind !== 'struct') throw new BtfError(`map ${map} holds something that is not a map, which is not generated`);
  return target;
}

/** `__uint(name, n)` is declared as `int (*name)[n]`. */
function numberOf(btf: Btf, member: Member | undefined, map: string): number | undefined {
  if (!member) return undefined;
  const array = pointee(btf, member);
  if (array.kind !== 'array') throw new BtfError(`${member.name} of map ${map} is not a number`);
  return array.length;
}

/** `__type(key, T)` is declared as `T *key`; `key_size` alone leaves plain bytes. */
function sideOf(btf: Btf, member: Member | undefined, size: number): Layout | undefined {
  if (!member) return size > 0 ? { kind: 'bytes', size } : undefined;
  const { type } = btf.resolve(member.type);
  if (type.kind !== 'pointer') throw new BtfError(`${member.name} of a map is not a type`);
  return layoutOf(btf, type.type);
}

function pointee(btf: Btf, member: Member): BtfType {
  const { type } = btf.resolve(member.type);
  if (type.kind !== 'pointer') throw new BtfError(`${member.name} of a map is not a pointer`);
  return btf.resolve(type.type).type;
}

function hashOf(map: Omit<MapDefinition, 'layoutHash'>): string {
  const side = (layout: Layout | undefined) => (layout ? describeLayout(layout) : '-');
  const text = `type ${map.type} flags ${map.flags} max ${map.maxEntries} key ${side(map.key)} value ${side(map.value)}${map.inner ? ` of ${map.inner.layoutHash}` : ''}`;
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
