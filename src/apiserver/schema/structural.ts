import { isObject } from '../object.ts';
import type { Json } from '../object.ts';
import { forbiddenField, invalid, notSupported } from '../status.ts';
import type { FieldError } from '../status.ts';

type Kind = 'string' | 'number' | 'count' | 'boolean' | 'strings' | 'values' | 'schema' | 'schemas' | 'fields' | 'schemaOrBoolean' | 'any';

/** What a schema of a CustomResourceDefinition may say (apiextensions/v1 JSONSchemaProps), and in what form. */
const keywords: Readonly<Record<string, Kind>> = {
  type: 'string', description: 'string', title: 'string', format: 'string', pattern: 'string', default: 'any', example: 'any', externalDocs: 'any',
  nullable: 'boolean', enum: 'values', required: 'strings', minimum: 'number', maximum: 'number', exclusiveMinimum: 'boolean', exclusiveMaximum: 'boolean', multipleOf: 'number',
  minLength: 'count', maxLength: 'count', minItems: 'count', maxItems: 'count', uniqueItems: 'boolean', minProperties: 'count', maxProperties: 'count',
  properties: 'fields', additionalProperties: 'schemaOrBoolean', items: 'schema', allOf: 'schemas', anyOf: 'schemas', oneOf: 'schemas', not: 'schema',
  'x-kubernetes-preserve-unknown-fields': 'boolean', 'x-kubernetes-int-or-string': 'boolean', 'x-kubernetes-embedded-resource': 'boolean',
  'x-kubernetes-list-type': 'string', 'x-kubernetes-list-map-keys': 'strings', 'x-kubernetes-map-type': 'string', 'x-kubernetes-validations': 'any',
};

const types = ['object', 'array', 'string', 'integer', 'number', 'boolean'];
const deepest = 60;

/** Every place where a schema is not one that this server could work with. */
export function structuralErrors(schema: Json | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  checkSchema(schema, path, 0, errors);
  return errors.slice(0, 50);
}

function checkSchema(schema: Json | undefined, path: string, depth: number, errors: FieldError[]): void {
  if (!isObject(schema)) {
    errors.push(invalid(path, schema ?? null, 'must be a schema: an object'));
    return;
  }
  if (depth > deepest) {
    errors.push(forbiddenField(path, `schemas may not be nested more than ${deepest} levels deep`));
    return;
  }
  for (const [key, value] of Object.entries(schema)) {
    if (value === undefined) continue;
    const kind = Object.hasOwn(keywords, key) ? keywords[key] : undefined;
    if (!kind) errors.push(forbiddenField(`${path}.${key}`, key === '$ref' ? '$ref is not supported: write the schema out' : 'is not a keyword of structural schemas'));
    else checkKeyword(kind, value, `${path}.${key}`, depth, errors);
  }
  const { type, 'x-kubernetes-list-type': listType, 'x-kubernetes-list-map-keys': mapKeys } = schema;
  if (typeof type === 'string' && type !== '' && !types.includes(type)) errors.push(notSupported(`${path}.type`, type, types));
  if (listType !== undefined && !['atomic', 'set', 'map'].includes(String(listType))) errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ['atomic', 'set', 'map']));
  if (listType === 'map' && !(Array.isArray(mapKeys) && mapKeys.length > 0)) errors.push(invalid(`${path}.x-kubernetes-list-map-keys`, mapKeys ?? null, 'must name at least one key where the list type is map'));
}

function checkKeyword(kind: Kind, value: Json, path: string, depth: number, errors: FieldError[]): void {
  const wrong = (what: string) => errors.push(invalid(path, isObject(value) || Array.isArray(value) ? '…' : value, `must be ${what}`));
  switch (kind) {
    case 'any': return;
    case 'string': if (typeof value !== 'string') wrong('a text'); return;
    case 'number': if (typeof value !== 'number') wrong('a number'); return;
    case 'count': if (!Number.isInteger(value) || Number(value) < 0) wrong('a whole number, 0 or more'); return;
    case 'boolean': if (typeof value !== 'boolean') wrong('true or false'); return;
    case 'values': if (!Array.isArray(value)) wrong('a list'); return;
    case 'strings': if (!Array.isArray(value) || !value.every(v => typeof v === 'string')) wrong('a list of texts'); return;
    case 'schema': checkSchema(value, path, depth + 1, errors); return;
    case 'schemaOrBoolean': if (typeof value !== 'boolean') checkSchema(value, path, depth + 1, errors); return;
    case 'schemas':
      if (!Array.isArray(value)) wrong('a list of schemas');
      else value.forEach((inner, i) => checkSchema(inner, `${path}[${i}]`, depth + 1, errors));
      return;
    case 'fields':
      if (!isObject(value)) wrong('schemas by name');
      else for (const [name, inner] of Object.entries(value)) checkSchema(inner, `${path}[${name}]`, depth + 1, errors);
  }
}
