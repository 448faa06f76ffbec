import { equalJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { duplicate, invalid, notSupported, required, typeInvalid } from '../status.ts';
import type { FieldError } from '../status.ts';
import { fieldSchema } from './schema.ts';
import type { Schema } from './schema.ts';
import { formatProblem } from './formats.ts';

const mostErrors = 50;

/** Checks a value against its schema and names every field that is wrong, worded as upstream words CRD validation. */
export function validateSchema(value: Json | undefined, schema: Schema, path = ''): FieldError[] {
  const errors: FieldError[] = [];
  check(value, schema, path, errors);
  return errors;
}

function check(value: Json | undefined, schema: Schema, path: string, errors: FieldError[]): void {
  if (errors.length >= mostErrors || value === undefined) return;
  if (value === null) {
    if (!schema.nullable && schema.type) errors.push(typeInvalid(path, null, `${path} in body must be of type ${schema.type}: "null"`));
    return;
  }
  if (!checkType(value, schema, path, errors)) return;
  if (schema.enum && !schema.enum.some(allowed => equalJson(allowed, value))) {
    errors.push(notSupported(path, value, schema.enum));
    return;
  }
  if (typeof value === 'string') checkString(value, schema, path, errors);
  else if (typeof value === 'number') checkNumber(value, schema, path, errors);
  else if (Array.isArray(value)) checkArray(value, schema, path, errors);
  else if (isObject(value)) checkObject(value, schema, path, errors);
  checkCombinations(value, schema, path, errors);
}

/** The JSON name of a value's type; integers count as numbers too. */
function typeOf(value: Json): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function checkType(value: Json, schema: Schema, path: string, errors: FieldError[]): boolean {
  const actual = typeOf(value);
  if (schema['x-kubernetes-int-or-string']) {
    const fits = actual === 'integer' || actual === 'string' || (actual === 'number' && schema.format === 'quantity');
    if (!fits) errors.push(typeInvalid(path, value, `${path} in body must be of type integer or string: "${actual}"`));
    return fits;
  }
  if (!schema.type) return true;
  if (actual === schema.type || (schema.type === 'number' && actual === 'integer')) return true;
  errors.push(typeInvalid(path, actual === 'object' || actual === 'array' ? actual : value, `${path} in body must be of type ${schema.type}: "${actual}"`));
  return false;
}

function checkString(value: string, schema: Schema, path: string, errors: FieldError[]): void {
  if (schema.maxLength !== undefined && value.length > schema.maxLength) {
    errors.push({ field: path, reason: 'FieldValueTooLong', message: `Too long: may not be more than ${schema.maxLength} bytes` });
  }
  if (schema.minLength !== undefined && value.length < schema.minLength) {
    errors.push(invalid(path, value, `${path} in body should be at least ${schema.minLength} chars long`));
  }
  if (schema.pattern !== undefined && !pattern(schema.pattern).test(value)) {
    errors.push(invalid(path, value, `${path} in body should match '${schema.pattern}'`));
  }
  if (schema.format) {
    const problem = formatProblem(schema.format, value);
    if (problem) errors.push(invalid(path, value, problem));
  }
}

const patterns = new Map<string, RegExp>();

/** Patterns are RE2 upstream; JavaScript's syntax is a superset in all that CRDs use. One that does not compile matches nothing it could refuse. */
function pattern(text: string): RegExp {
  let found = patterns.get(text);
  if (!found) {
    // RE2 writes one-letter classes without braces (\PC), and flags in front.
    const flags = /^\(\?i\)/.test(text) ? 'iu' : 'u';
    try {
      found = new RegExp(text.replace(/^\(\?i\)/, '').replaceAll(/\\([pP])([A-Z])/g, '\\$1{$2}'), flags);
    } catch {
      try {
        found = new RegExp(text);
      } catch {
        found = /(?:)/;
      }
    }
    patterns.set(text, found);
  }
  return found;
}

function checkNumber(value: number, schema: Schema, path: string, errors: FieldError[]): void {
  const { minimum, maximum } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum)) {
    errors.push(invalid(path, value, `${path} in body should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`));
  }
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum)) {
    errors.push(invalid(path, value, `${path} in body should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`));
  }
  if (schema.multipleOf !== undefined && !Number.isInteger(value / schema.multipleOf)) {
    errors.push(invalid(path, value, `${path} in body should be a multiple of ${schema.multipleOf}`));
  }
  if (schema.format === 'int32' && (value > 0x7fffffff || value < -0x80000000)) {
    errors.push(invalid(path, value, `${path} in body must fit into 32 bits`));
  }
}

function checkArray(value: Json[], schema: Schema, path: string, errors: FieldError[]): void {
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    errors.push({ field: path, reason: 'FieldValueInvalid', message: `Too many: ${value.length}: must have at most ${schema.maxItems} items` });
  }
  if (schema.minItems !== undefined && value.length < schema.minItems) {
    errors.push(invalid(path, value.length, `${path} in body should have at least ${schema.minItems} items`));
  }
  if (schema.items) for (let i = 0; i < value.length; i++) check(value[i], schema.items, `${path}[${i}]`, errors);
  if (schema.duplicatesAllowed) return;
  if (schema.uniqueItems || schema['x-kubernetes-list-type'] === 'set') checkUnique(value, undefined, path, errors);
  else if (schema['x-kubernetes-list-type'] === 'map') checkUnique(value, schema['x-kubernetes-list-map-keys'], path, errors);
}

function checkUnique(value: Json[], keys: readonly string[] | undefined, path: string, errors: FieldError[]): void {
  if (value.length < 2) return;
  const seen = new Set<string>();
  value.forEach((item, i) => {
    const identity = keys ? keys.map(key => (isObject(item) ? item[key] ?? null : null)) : item;
    const text = JSON.stringify(identity);
    if (seen.has(text)) errors.push(duplicate(`${path}[${i}]`, keys && isObject(item) ? Object.fromEntries(keys.map(k => [k, item[k]])) : item));
    seen.add(text);
  });
}

function checkObject(value: JsonObject, schema: Schema, path: string, errors: FieldError[]): void {
  const below = (key: string) => (path ? `${path}.${key}` : key);
  for (const key of schema.required ?? []) if (value[key] === undefined) errors.push(required(below(key)));
  let count = 0;
  for (const key in value) {
    if (value[key] === undefined) continue;
    count++;
    const field = fieldSchema(schema, key);
    if (field) check(value[key], field, schema.properties && Object.hasOwn(schema.properties, key) ? below(key) : `${path}.${key}`, errors);
  }
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    errors.push({ field: path, reason: 'FieldValueInvalid', message: `Too many: ${count}: must have at most ${schema.maxProperties} items` });
  }
  if (schema.minProperties !== undefined && count < schema.minProperties) {
    errors.push(invalid(path, count, `${path} in body should have at least ${schema.minProperties} properties`));
  }
}

function checkCombinations(value: Json, schema: Schema, path: string, errors: FieldError[]): void {
  for (const part of schema.allOf ?? []) check(value, part, path, errors);
  if (schema.anyOf && !schema.anyOf.some(part => matches(value, part, path))) {
    const nearest = schema.anyOf.map(part => validateSchema(value, part, path)).sort((a, b) => a.length - b.length)[0];
    errors.push(...(nearest ?? []));
  }
  if (schema.oneOf) {
    const matching = schema.oneOf.filter(part => matches(value, part, path)).length;
    if (matching !== 1) {
      errors.push(invalid(path, isObject(value) || Array.isArray(value) ? typeOf(value) : value, `"${path}" must validate one and only one schema (oneOf). Found ${matching === 0 ? 'none' : String(matching)} valid`));
    }
  }
  if (schema.not && matches(value, schema.not, path)) errors.push(invalid(path, typeOf(value), `"${path}" must not validate the schema (not)`));
}

function matches(value: Json, schema: Schema, path: string): boolean {
  return validateSchema(value, schema, path).length === 0;
}
