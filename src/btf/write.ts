/** Values of a layout that is known at run time only, as the config of an object that was just read. Pure. */
import { BtfError } from './error.ts';
import type { Layout, StructLayout } from './layout.ts';
import { sizeOf } from './layout.ts';
import { camelCase } from './names.ts';

/** Writes the named fields of a struct and leaves the others as they are. Throws BtfError for a field that it does not have. */
export function writeFields(layout: StructLayout, view: DataView, at: number, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    const field = layout.fields.find(f => camelCase(f.name) === name && !f.padding);
    if (!field) throw new BtfError(`struct ${layout.name} has no field ${name}`, { mend: `it has ${layout.fields.filter(f => !f.padding).map(f => camelCase(f.name)).join(', ')}` });
    writeValue(field.layout, view, at + field.offset, value, `${layout.name}.${name}`);
  }
}

function writeValue(layout: Layout, view: DataView, at: number, value: unknown, where: string): void {
  switch (layout.kind) {
    case 'number':
      return writeNumber(layout, view, at, value, where);
    case 'bool':
      if (typeof value !== 'boolean') throw mismatch(where, 'a boolean');
      return view.setUint8(at, value ? 1 : 0);
    case 'bytes':
      if (!(value instanceof Uint8Array) || value.length !== layout.size) throw mismatch(where, `${layout.size} bytes`);
      return new Uint8Array(view.buffer, view.byteOffset).set(value, at);
    case 'text': {
      const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : undefined;
      if (!bytes || bytes.length >= layout.size) throw mismatch(where, `a text of less than ${layout.size} bytes`);
      const into = new Uint8Array(view.buffer, view.byteOffset + at, layout.size).fill(0);
      return into.set(bytes);
    }
    case 'array':
      if (!Array.isArray(value) || value.length !== layout.length) throw mismatch(where, `an array of ${layout.length}`);
      return value.forEach((element, i) => writeValue(layout.element, view, at + i * sizeOf(layout.element), element, `${where}[${i}]`));
    case 'struct':
      if (typeof value !== 'object' || value === null) throw mismatch(where, 'an object');
      return writeFields(layout, view, at, value as Record<string, unknown>);
  }
}

function writeNumber(layout: Extract<Layout, { kind: 'number' }>, view: DataView, at: number, value: unknown, where: string): void {
  // A flag is 0 or 1 in C; a boolean is the natural way to give one.
  const number = typeof value === 'boolean' ? Number(value) : value;
  if (typeof number !== 'bigint' && (typeof number !== 'number' || !Number.isInteger(number))) throw mismatch(where, 'an integer');
  const bits = layout.size * 8;
  const big = BigInt(number);
  const fits = layout.signed ? BigInt.asIntN(bits, big) === big : BigInt.asUintN(bits, big) === big;
  if (!fits) throw mismatch(where, `an integer of ${bits} bits`);
  const little = !layout.bigEndian;
  switch (layout.size) {
    case 1: return view.setUint8(at, Number(BigInt.asUintN(8, big)));
    case 2: return view.setUint16(at, Number(BigInt.asUintN(16, big)), little);
    case 4: return view.setUint32(at, Number(BigInt.asUintN(32, big)), little);
    case 8: return view.setBigUint64(at, BigInt.asUintN(64, big), little);
  }
}

function mismatch(where: string, wanted: string): BtfError {
  return new BtfError(`${where} takes ${wanted}`);
}
