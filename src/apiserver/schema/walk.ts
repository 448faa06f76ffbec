import { cloneJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { fieldSchema, preservesUnknown } from './schema.ts';
import type { Schema } from './schema.ts';

/**
 * Removes what the schema does not know, nulls that it does not allow and zeros that say nothing, in place. Returns the paths of the unknown
 * fields, for `fieldValidation` (Kubernetes drops them too, since protobuf could not carry them).
 */
export function prune(object: JsonObject, schema: Schema): string[] {
  const unknown: string[] = [];
  pruneValue(object, schema, '', unknown);
  return unknown;
}

function pruneValue(value: Json | undefined, schema: Schema, path: string, unknown: string[]): void {
  if (Array.isArray(value)) {
    if (!schema.items) return;
    for (let i = 0; i < value.length; i++) pruneValue(value[i], schema.items, `${path}[${i}]`, unknown);
    return;
  }
  if (!isObject(value)) return;
  const embedded = schema['x-kubernetes-embedded-resource'] === true;
  for (const key of Object.keys(value)) {
    const field = fieldSchema(schema, key);
    const fieldPath = path ? `${path}.${key}` : key;
    if (field) {
      // Reports keep their zeros: what an observer counted is worth saying.
      const empty = (value[key] === 0 || value[key] === false) && !fieldPath.startsWith('status.');
      if ((value[key] === null && !acceptsNull(field)) || (empty && schema.zeroMeansAbsent?.includes(key))) delete value[key];
      else pruneValue(value[key], field, fieldPath, unknown);
    } else if (!preservesUnknown(schema) && isStructured(schema) && !(embedded && embeddedKeys.has(key))) {
      unknown.push(fieldPath);
      delete value[key];
    }
  }
}

const embeddedKeys = new Set(['apiVersion', 'kind', 'metadata']);

/** A schema without any word on its fields (a bare `type: object` of a CRD) prunes them all, one without type none. */
function isStructured(schema: Schema): boolean {
  return schema.type === 'object' || schema.properties !== undefined;
}

function acceptsNull(schema: Schema): boolean {
  return schema.nullable === true || (schema.type === undefined && preservesUnknown(schema) && !schema['x-kubernetes-int-or-string']);
}

/** Fills in the defaults that the schema declares, in place. */
export function applyDefaults(value: Json | undefined, schema: Schema): void {
  if (Array.isArray(value)) {
    if (schema.items && hasDefaults(schema.items)) for (const item of value) applyDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  const properties = schema.properties;
  if (properties) {
    for (const [key, field] of defaultedFields(schema, properties)) {
      if (value[key] === undefined && field.default !== undefined) value[key] = cloneJson(field.default);
      if (value[key] !== undefined) applyDefaults(value[key], field);
    }
  }
  if (typeof schema.additionalProperties === 'object' && hasDefaults(schema.additionalProperties)) {
    for (const key of Object.keys(value)) {
      if (!properties || !Object.hasOwn(properties, key)) applyDefaults(value[key], schema.additionalProperties);
    }
  }
}

const defaulted = new WeakMap<object, readonly (readonly [string, Schema])[]>();

/** The fields that have a default or contain one: most branches of a pod have none, and the walk skips them. */
function defaultedFields(schema: Schema, properties: { readonly [name: string]: Schema }): readonly (readonly [string, Schema])[] {
  // The declared type of a reference is its prototype, shared by all who refer to it: the properties object is the key.
  const known = defaulted.get(properties);
  if (known) return known;
  const fields = Object.entries(properties).filter(([, field]) => field.default !== undefined || hasDefaults(field));
  defaulted.set(properties, fields);
  return fields;
}

const answers = new WeakMap<object, boolean>();

function hasDefaults(schema: Schema, above: readonly object[] = []): boolean {
  const key = schema.properties ?? schema.items ?? (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined);
  if (!key || above.includes(key)) return false;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const below = [...above, key];
  const inside = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items ? [schema.items] : []),
    ...(typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []),
  ];
  const answer = inside.some(field => field.default !== undefined || hasDefaults(field, below));
  // Inside a cycle the answer "none" may only mean "not yet seen"; it is kept for the outermost schema alone.
  if (answer || above.length === 0) answers.set(key, answer);
  return answer;
}
