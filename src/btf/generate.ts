/**
 * TypeScript from an object's BTF: interfaces and codecs, enums with their names, map specs. The object is the source of
 * truth for every layout that kernel and agent share. Deterministic: equal objects give equal text. Pure.
 */
import { type Btf, type BtfType, parseBtf } from './btf.ts';
import { type Elf, parseElf } from './elf.ts';
import { BtfError } from './error.ts';
import { type Field, type Layout, type StructLayout, holesOf, layoutOf, sizeOf } from './layout.ts';
import { type MapDefinition, mapDefinitions } from './maps.ts';
import { camelCase, enumConstantNames, pascalCase } from './names.ts';

export type GeneratedFiles = Readonly<Record<'structs.ts' | 'enums.ts' | 'maps.ts' | 'config.ts', string>>;

const HEADER = '// Generated from build/cirri.bpf.o by tools/generate.ts. Do not edit: change the C and generate again.\n';
/** The variable whose struct names every type that user space needs and no map does. */
const CATALOGUE = 'catalogue';
const PER_CPU_TYPES = new Set([5, 6, 10, 21]);

export function generateFromObject(bytes: Uint8Array): GeneratedFiles {
  return generate(btfOf(parseElf(bytes)));
}

export function btfOf(elf: Elf): Btf {
  const section = elf.section('.BTF');
  if (!section) throw new BtfError('the object has no BTF', { mend: 'compile with -g' });
  return parseBtf(section.data);
}

export function generate(btf: Btf): GeneratedFiles {
  const maps = mapDefinitions(btf).map(nameAnonymousSides);
  const config = variableLayout(btf, 'config');
  const structs = new Map<string, StructLayout>();
  for (const map of maps) for (const side of [map.key, map.value, map.inner?.key, map.inner?.value]) collect(side, structs);
  for (const field of catalogueFields(btf)) collect(field.layout, structs);
  if (config) for (const field of config.fields) collect(field.layout, structs);
  const sorted = [...structs.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    'structs.ts': structsFile(sorted),
    'enums.ts': enumsFile(catalogueEnums(btf)),
    'maps.ts': mapsFile(maps),
    'config.ts': configFile(config),
  };
}

// -- what is generated ----------------------------------------------------------------------------------------------------

function variableLayout(btf: Btf, name: string): StructLayout | undefined {
  const variable = btf.variable(name);
  const layout = variable && layoutOf(btf, variable.type);
  return layout?.kind === 'struct' ? layout : undefined;
}

function catalogueFields(btf: Btf): readonly Field[] {
  return variableLayout(btf, CATALOGUE)?.fields ?? [];
}

type EnumType = Extract<BtfType, { kind: 'enum' }>;

function catalogueEnums(btf: Btf): EnumType[] {
  const variable = btf.variable(CATALOGUE);
  const type = variable && btf.resolve(variable.type).type;
  if (type?.kind !== 'struct') return [];
  const enums = type.members.map(m => btf.resolve(m.type).type).filter(t => t.kind === 'enum');
  return enums.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function collect(layout: Layout | undefined, into: Map<string, StructLayout>): void {
  if (layout?.kind === 'array') return collect(layout.element, into);
  if (layout?.kind !== 'struct') return;
  if (layout.name === '') throw new BtfError('an anonymous struct is used as a field or in an array', { mend: 'give the struct a name' });
  into.set(layout.name, layout);
  for (const field of layout.fields) collect(field.layout, into);
}

function nameAnonymousSides(map: MapDefinition): MapDefinition {
  const named = (layout: Layout | undefined, suffix: string) => (layout?.kind === 'struct' && layout.name === '' ? { ...layout, name: `${map.name}_${suffix}` } : layout);
  return { ...map, key: named(map.key, 'key'), value: named(map.value, 'value') };
}

// -- files ----------------------------------------------------------------------------------------------------------------

function structsFile(structs: readonly StructLayout[]): string {
  const body = structs.map(structText).join('\n');
  return HEADER + importCodec(body, ['zero']) + `\n${body}`;
}

function configFile(config: StructLayout | undefined): string {
  if (!config) return `${HEADER}export {};\n`;
  const body = structText(config);
  const used = [...new Set(body.match(/\b[a-z]\w*Codec\b/g))].filter(name => name !== codecName(config.name) && name !== 'defineCodec').sort();
  const imports = used.length > 0 ? `import { ${used.join(', ')} } from './structs.ts';\n` : '';
  return `${HEADER}${importCodec(body, ['zero'])}${imports}\n${body}`;
}

function importCodec(body: string, optional: readonly string[]): string {
  const helpers = ['defineCodec', 'readBytes', 'readText', 'writeBytes', 'writeText', ...optional].filter(name => body.includes(`${name}(`) || body.includes(`${name}<`));
  return `import { type Codec, ${helpers.sort().join(', ')} } from '../../ebpf/codec.ts';\n`;
}

function enumsFile(enums: readonly EnumType[]): string {
  return `${HEADER}\n${enums.map(enumText).join('\n')}`;
}

function mapsFile(maps: readonly MapDefinition[]): string {
  const sides = maps.flatMap(map => [map.key, map.value, ...(map.inner ? [map.inner.key, map.inner.value] : [])]);
  const structs = [...new Set(sides.filter(s => s?.kind === 'struct').map(s => s.name))].sort();
  const codecs = [...new Set(sides.filter(s => s?.kind !== 'struct').map(s => sideCodec(s).replace(/\(.*/, '')))].sort();
  const imports = [
    codecs.length > 0 ? `import { ${codecs.join(', ')} } from '../../ebpf/codec.ts';` : '',
    "import type { MapSpec } from '../../ebpf/map.ts';",
    structs.length > 0 ? `import {\n${structs.map(name => `  type ${pascalCase(name)}, ${codecName(name)},\n`).join('')}} from './structs.ts';` : '',
  ];
  const list = maps.map(map => `  ${camelCase(map.name)},\n`).join('');
  return `${HEADER}${imports.filter(Boolean).join('\n')}\n\n${maps.map(mapText).join('\n')}\nexport const maps = {\n${list}} as const;\n`;
}

function mapText(map: MapDefinition): string {
  return [
    `const ${camelCase(map.name)}: MapSpec<${sideType(map.key)}, ${sideType(map.value)}${innerType(map)}> = {`,
    `  name: '${map.name}', type: ${map.type}, maxEntries: ${map.maxEntries}, flags: ${map.flags},`,
    `  key: ${sideCodec(map.key)}, value: ${sideCodec(map.value)}, perCpu: ${PER_CPU_TYPES.has(map.type)}, layoutHash: '${map.layoutHash}',`,
    ...(map.inner ? [`  inner: { name: '${map.inner.name}', type: ${map.inner.type}, maxEntries: ${map.inner.maxEntries}, flags: ${map.inner.flags}, key: ${sideCodec(map.inner.key)}, value: ${sideCodec(map.inner.value)}, perCpu: false, layoutHash: '${map.inner.layoutHash}' },`] : []),
    '};\n',
  ].join('\n');
}

function innerType({ inner }: MapDefinition): string {
  return inner && sideType(inner.value) !== 'number' ? `, ${sideType(inner.value)}` : '';
}

function sideType(side: Layout | undefined): string {
  return side ? typeText(side) : 'undefined';
}

function sideCodec(side: Layout | undefined): string {
  if (!side) return 'emptyCodec';
  switch (side.kind) {
    case 'struct': return codecName(side.name);
    case 'bytes': return `bytesCodec(${side.size})`;
    case 'number':
      if (!side.bigEndian && (!side.signed || side.size >= 4)) return `${side.signed ? 'i' : 'u'}${side.size * 8}Codec`;
  }
  throw new BtfError(`a map's key or value is a bare ${side.kind}`, { mend: 'wrap it in a named struct' });
}

function enumText(type: EnumType): string {
  const name = pascalCase(type.name);
  const constants = enumConstantNames(type.values.map(v => v.name));
  const values = type.values.map((v, i) => `  ${pascalCase(constants[i]!)}: ${v.value},\n`).join('');
  const seen = new Set<bigint>();
  const names = type.values.map((v, i) => {
    if (seen.has(v.value)) return '';
    seen.add(v.value);
    return `  ${v.value < 0n ? `'${v.value}'` : v.value}: '${constants[i]}',\n`;
  });
  return [
    `/** enum ${type.name} */`,
    `export const ${name} = {\n${values}} as const;`,
    `export type ${name} = (typeof ${name})[keyof typeof ${name}];`,
    `export const ${camelCase(type.name)}Name: Readonly<Record<number, string>> = {\n${names.join('')}};\n`,
  ].join('\n');
}

// -- structs --------------------------------------------------------------------------------------------------------------

function structText(layout: StructLayout): string {
  const name = pascalCase(layout.name);
  const shown = layout.fields.filter(field => !field.padding);
  const fields = shown.map(f => `  readonly ${camelCase(f.name)}: ${typeText(f.layout)};\n`).join('');
  const zeroed = [...holesOf(layout), ...layout.fields.filter(f => f.padding).map(f => ({ offset: f.offset, size: sizeOf(f.layout) }))];
  const writes = [...shown.map(f => ({ at: f.offset, text: writeText(f.layout, f.offset, `value.${camelCase(f.name)}`) })), ...zeroed.map(h => ({ at: h.offset, text: `zero(view, ${plus(h.offset)}, ${h.size})` }))];
  const lines = writes.sort((a, b) => a.at - b.at).map(w => `    ${w.text};\n`).join('');
  const reads = shown.map(f => `    ${camelCase(f.name)}: ${readText(f.layout, f.offset)},\n`).join('');
  return [
    `/** struct ${layout.name}, ${layout.size} bytes */`,
    `export interface ${name} {\n${fields}}\n`,
    `export const ${codecName(layout.name)}: Codec<${name}> = defineCodec<${name}>(`,
    `  ${layout.size},`,
    `  (view, at, value) => {\n${lines}  },`,
    `  (view, at) => ({\n${reads}  }),`,
    ');\n',
  ].join('\n');
}

function typeText(layout: Layout): string {
  switch (layout.kind) {
    case 'number': return layout.size === 8 ? 'bigint' : 'number';
    case 'bool': return 'boolean';
    case 'bytes': return 'Uint8Array';
    case 'text': return 'string';
    case 'array': return `readonly ${typeText(layout.element)}[]`;
    case 'struct': return pascalCase(layout.name);
  }
}

function writeText(layout: Layout, offset: number, value: string, at = plus(offset)): string {
  switch (layout.kind) {
    case 'number': return `view.set${accessor(layout)}(${at}, ${value}${order(layout)})`;
    case 'bool': return `view.setUint8(${at}, ${value} ? 1 : 0)`;
    case 'bytes': return `writeBytes(view, ${at}, ${value}, ${layout.size})`;
    case 'text': return `writeText(view, ${at}, ${value}, ${layout.size})`;
    case 'array': return `for (let i = 0; i < ${layout.length}; i++) ${writeText(flat(layout.element), offset, `${value}[i]!`, `${plus(offset)} + i * ${sizeOf(layout.element)}`)}`;
    case 'struct': return `${codecName(layout.name)}.write(view, ${at}, ${value})`;
  }
}

function readText(layout: Layout, offset: number, at = plus(offset)): string {
  switch (layout.kind) {
    case 'number': return `view.get${accessor(layout)}(${at}${order(layout)})`;
    case 'bool': return `view.getUint8(${at}) !== 0`;
    case 'bytes': return `readBytes(view, ${at}, ${layout.size})`;
    case 'text': return `readText(view, ${at}, ${layout.size})`;
    case 'array': return `Array.from({ length: ${layout.length} }, (_, i) => ${readText(flat(layout.element), offset, `${plus(offset)} + i * ${sizeOf(layout.element)}`)})`;
    case 'struct': return `${codecName(layout.name)}.read(view, ${at})`;
  }
}

function flat(element: Layout): Layout {
  if (element.kind === 'array') throw new BtfError('an array of arrays', { mend: 'wrap the inner array in a named struct' });
  return element;
}

function accessor(layout: Extract<Layout, { kind: 'number' }>): string {
  const big = layout.size === 8 ? 'Big' : '';
  return `${big}${layout.signed ? 'Int' : 'Uint'}${layout.size * 8}`;
}

function order(layout: Extract<Layout, { kind: 'number' }>): string {
  return layout.size === 1 ? '' : `, ${!layout.bigEndian}`;
}

function plus(offset: number): string {
  return offset === 0 ? 'at' : `at + ${offset}`;
}

function codecName(structName: string): string {
  return `${camelCase(structName)}Codec`;
}
