import type { HeaderMutation } from '../../policy/l7-match.ts';
import { Field, FieldKind, Indexing, kindOfName, kindWithValue, lastPseudo } from './field.ts';
import { ownField } from './static-table.ts';

/** The fields as policy wants them. Pseudo-headers stay where they are, and Host is `:authority`. What comes out may be malformed. */
export function mutate(fields: readonly Field[], mutations: readonly HeaderMutation[]): Field[] {
  let result = [...fields];
  for (const { op, name, value = '' } of mutations) {
    const isName = (field: Field) => field.name === name || (field.kind === FieldKind.authority && name === 'host') || (field.kind === FieldKind.host && name === ':authority');
    if (op === 'replace' && isPseudo(name, result)) result = result.map(field => (isName(field) ? made(field.name, value) : field));
    else {
      if (op !== 'add') result = result.filter(field => !isName(field));
      if (op !== 'delete') result.push(made(name, value));
    }
  }
  return result;
}

function isPseudo(name: string, fields: readonly Field[]): boolean {
  const kind = kindOfName(name);
  if (kind === FieldKind.host) return fields.some(field => field.kind === FieldKind.authority || field.kind === FieldKind.host);
  return kind !== FieldKind.regular && kind <= lastPseudo;
}

/** Never indexed: values of rules may come from Secrets. */
function made(name: string, value: string): Field {
  const { staticName, staticIndex, kind } = ownField(name, value);
  return new Field(name, value, Indexing.never, kindWithValue(kind === FieldKind.invalid ? kind : kindOfName(name), value), staticName, staticIndex);
}
