/**
 * Messages of the Kafka protocol as data: one line a field, in the order of the wire.
 *
 *     topics []?1+              an array, which may be null from version 1 on; its fields are the lines below, further in
 *       name string             int8 int16 int32 int64 bool string bytes uuid, []TYPE, [] and {} of fields
 *       topicId uuid 10+        versions that have the field: 10+, 0-7, 3
 *       errorCode int16 =-1     what is written when nobody says otherwise; else 0, "", [], null
 *
 * Tagged fields (KIP-482) are not named: they are skipped, or kept as they came.
 */

export type Primitive = 'int8' | 'int16' | 'int32' | 'int64' | 'bool' | 'string' | 'bytes' | 'uuid';

export interface Field {
  readonly name: string;
  readonly kind: Primitive | 'struct';
  readonly isArray: boolean;
  readonly from: number;
  readonly to: number;
  /** The first version in which it may be null. */
  readonly nullableFrom: number;
  readonly otherwise: number;
  readonly fields: readonly Field[];
}

export interface Schema {
  readonly fields: readonly Field[];
  /** The first version with compact lengths and tagged fields. */
  readonly flexibleFrom: number;
}

const primitives: readonly string[] = ['int8', 'int16', 'int32', 'int64', 'bool', 'string', 'bytes', 'uuid'] satisfies readonly Primitive[];

export function schema(flexibleFrom: number, text: string): Schema {
  const lines = text.split('\n').filter(line => line.trim() !== '');
  const depths = lines.map(line => line.length - line.trimStart().length);
  const fieldsFrom = (start: number, depth: number): { fields: Field[]; next: number } => {
    const fields: Field[] = [];
    let at = start;
    while (at < lines.length && depths[at] === depth) {
      const inner = at + 1 < lines.length && depths[at + 1]! > depth ? fieldsFrom(at + 1, depths[at + 1]!) : { fields: [], next: at + 1 };
      fields.push(fieldOf(lines[at]!.trim(), inner.fields));
      at = inner.next;
    }
    return { fields, next: at };
  };
  const { fields, next } = fieldsFrom(0, depths[0] ?? 0);
  if (next !== lines.length) throw new Error(`schema: line "${lines[next]}" stands at no depth`);
  return { fields, flexibleFrom };
}

function fieldOf(line: string, fields: readonly Field[]): Field {
  const match = /^(\w+) (\[\])?(\{\}|[a-z]+\d*)?(?:(\?)(?:(\d+)\+)?)?(?: (\d+)(?:(\+)|-(\d+))?)?(?: =(-?\d+))?$/.exec(line);
  if (!match) throw new Error(`schema: "${line}"`);
  const [, name, array, type, nullable, nullableFrom, from, open, to, otherwise] = match;
  const kind = type === undefined || type === '{}' ? 'struct' : type;
  if (kind !== 'struct' && !primitives.includes(kind)) throw new Error(`schema: type of "${line}"`);
  if ((kind === 'struct') !== fields.length > 0) throw new Error(`schema: fields of "${line}"`);
  const first = Number(from ?? 0);
  return {
    name: name!, kind: kind as Field['kind'], isArray: array !== undefined, fields,
    from: first, to: from === undefined || open ? Infinity : Number(to ?? from),
    nullableFrom: nullable ? Number(nullableFrom ?? 0) : Infinity,
    otherwise: Number(otherwise ?? 0),
  };
}
