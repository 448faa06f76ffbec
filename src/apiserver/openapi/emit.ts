import { cloneJson } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';

export type Dialect = 'v2' | 'v3';

const copied = ['format', 'enum', 'pattern', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf', 'minLength', 'maxLength', 'minItems', 'maxItems', 'uniqueItems', 'minProperties', 'maxProperties', 'required'] as const;
const extensions = ['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-list-type', 'x-kubernetes-list-map-keys', 'x-kubernetes-map-type', 'x-kubernetes-patch-strategy', 'x-kubernetes-patch-merge-key'] as const;

/** Scalars with a name of their own, as upstream writes them in each dialect. */
const scalars: Readonly<Record<string, Readonly<Record<Dialect, JsonObject>>>> = {
  quantity: { v2: { type: 'string' }, v3: { oneOf: [{ type: 'string' }, { type: 'number' }] } },
  'int-or-string': { v2: { type: 'string', format: 'int-or-string' }, v3: { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] } },
};

/** Writes schemas in one dialect of OpenAPI and gathers the named types that they refer to. */
export class Emitter {
  readonly #dialect: Dialect;
  readonly #prefix: string;
  readonly definitions = new Map<string, JsonObject>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
    this.#prefix = dialect === 'v2' ? '#/definitions/' : '#/components/schemas/';
  }

  reference(name: string): JsonObject {
    return { $ref: this.#prefix + name };
  }

  /** Adds a type under its name, with whatever it refers to. */
  define(name: string, schema: Schema, extra: JsonObject = {}): void {
    const present = this.definitions.get(name);
    if (present) {
      Object.assign(present, extra);
      return;
    }
    const made: JsonObject = {};
    this.definitions.set(name, made);
    Object.assign(made, this.#body(schema), extra);
  }

  /** A schema in place: a reference where the type has a name. */
  emit(schema: Schema): JsonObject {
    const name = schema.typeName;
    if (name === undefined) return this.#body(schema);
    const reference = this.reference(name);
    if (Object.hasOwn(schema, 'typeName')) {
      this.define(name, schema);
      return reference;
    }
    // A field's own words about the type stay with the field: the type itself is its prototype.
    this.define(name, Object.getPrototypeOf(schema) as Schema);
    const own: JsonObject = {};
    if (Object.hasOwn(schema, 'description') && schema.description !== undefined) own['description'] = schema.description;
    for (const key of extensions) if (Object.hasOwn(schema, key) && schema[key] !== undefined) own[key] = cloneJson(schema[key]) as Json;
    if (this.#dialect === 'v2') return { ...own, ...reference };
    if (Object.hasOwn(schema, 'default') && schema.default !== undefined) own['default'] = cloneJson(schema.default);
    return Object.keys(own).length === 0 ? reference : { allOf: [reference], ...own };
  }

  #body(schema: Schema): JsonObject {
    const v3 = this.#dialect === 'v3';
    const scalar = schema['x-kubernetes-int-or-string'] ? scalars[schema.format === 'quantity' ? 'quantity' : 'int-or-string'] : undefined;
    const result: JsonObject = {};
    if (schema.description) result['description'] = schema.description;
    if (scalar) return { ...result, ...cloneJson(scalar[this.#dialect]), ...(v3 ? {} : {}) };
    if (schema.type) result['type'] = schema.type;
    for (const key of copied) if (schema[key] !== undefined) result[key] = cloneJson(schema[key]) as Json;
    for (const key of extensions) if (schema[key] !== undefined) result[key] = cloneJson(schema[key]) as Json;
    if (v3 && schema.default !== undefined) result['default'] = cloneJson(schema.default);
    if (v3 && schema.nullable) result['nullable'] = true;
    if (schema.properties) result['properties'] = Object.fromEntries(Object.entries(schema.properties).map(([key, field]) => [key, this.emit(field)]));
    if (schema.items) result['items'] = this.emit(schema.items);
    if (typeof schema.additionalProperties === 'object') result['additionalProperties'] = this.emit(schema.additionalProperties);
    // Version 2 knows no alternatives: kubectl's validation would take them for something else.
    if (v3) for (const key of ['allOf', 'anyOf', 'oneOf'] as const) if (schema[key]) result[key] = schema[key].map(part => this.#body(part));
    if (v3 && schema.not) result['not'] = this.#body(schema.not);
    return result;
  }
}
