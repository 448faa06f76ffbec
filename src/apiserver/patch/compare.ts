import { equalJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { fieldSchema } from '../schema/schema.ts';
import type { Schema } from '../schema/schema.ts';
import { FieldSet } from './fieldset.ts';

/** How a value merges: as one piece, field by field, or item by item. */
export type Shape = 'atomic' | 'fields' | 'items' | 'set';

/** What the schema says about a value; without a word from it objects merge by field and lists are one piece. */
export function shapeOf(value: Json, schema: Schema | undefined): Shape {
  if (Array.isArray(value)) {
    const type = schema?.['x-kubernetes-list-type'];
    if (type === 'map') return value.every(isObject) && hasUniqueKeys(value, schema) ? 'items' : 'atomic';
    return type === 'set' ? 'set' : 'atomic';
  }
  if (!isObject(value)) return 'atomic';
  return schema?.['x-kubernetes-map-type'] === 'atomic' || schema?.format === 'quantity' ? 'atomic' : 'fields';
}

/** Some lists may hold items with the same key (env): then no item can be told from another, and the list is one piece. */
function hasUniqueKeys(list: Json[], schema: Schema | undefined): boolean {
  return list.length < 2 || !schema?.duplicatesAllowed || new Set(list.map(item => itemKey(item, schema))).size === list.length;
}

/** The path element of a list item: its keys, with the schema's defaults for those that are left out. */
export function itemKey(item: Json, schema: Schema | undefined): string {
  const keys: JsonObject = {};
  for (const key of [...(schema?.['x-kubernetes-list-map-keys'] ?? [])].sort()) {
    const value = isObject(item) ? item[key] : undefined;
    const filled = value ?? schema?.items?.properties?.[key]?.default;
    if (filled !== undefined) keys[key] = filled;
  }
  return `k:${JSON.stringify(keys)}`;
}

export const setKey = (item: Json): string => `v:${JSON.stringify(item)}`;

/** The children of a value that does not merge as one piece, by path element. */
export function partsOf(value: Json, schema: Schema | undefined, shape: Shape): Map<string, { value: Json; schema: Schema | undefined; declared: boolean }> {
  const parts = new Map<string, { value: Json; schema: Schema | undefined; declared: boolean }>();
  if (shape === 'fields') {
    for (const [key, inner] of Object.entries(value as JsonObject)) {
      if (inner !== undefined) parts.set(`f:${key}`, { value: inner, schema: fieldSchema(schema, key), declared: schema?.properties !== undefined && Object.hasOwn(schema.properties, key) });
    }
  } else if (shape === 'items') {
    for (const item of value as Json[]) parts.set(itemKey(item, schema), { value: item, schema: schema?.items, declared: false });
  } else if (shape === 'set') {
    for (const item of value as Json[]) parts.set(setKey(item), { value: item, schema: undefined, declared: false });
  }
  return parts;
}

/** The fields that a configuration states: leaves, list items, map entries and empty containers. */
export function fieldsOf(value: Json, schema: Schema | undefined): FieldSet {
  const set = new FieldSet();
  for (const [key, part] of partsOf(value, schema, shapeOf(value, schema))) {
    const child = fieldsOf(part.value, part.schema);
    if (child.isEmpty || !part.declared) set.members.add(key);
    set.attach(key, child);
  }
  return set;
}

/** As `fieldsOf`, with the containers themselves: what appears or vanishes as a whole. */
function everythingIn(value: Json, schema: Schema | undefined): FieldSet {
  const set = new FieldSet();
  for (const [key, part] of partsOf(value, schema, shapeOf(value, schema))) {
    set.members.add(key);
    set.attach(key, everythingIn(part.value, part.schema));
  }
  return set;
}

export interface Comparison { readonly changed: FieldSet; readonly removed: FieldSet }

/** What differs between two objects: fields that came or changed, and fields that went. */
export function compareObjects(before: Json, after: Json, schema: Schema | undefined): Comparison {
  const changed = new FieldSet();
  const removed = new FieldSet();
  compareInto(before, after, schema, changed, removed);
  return { changed, removed };
}

function compareInto(before: Json, after: Json, schema: Schema | undefined, changed: FieldSet, removed: FieldSet): void {
  const old = partsOf(before, schema, shapeOf(before, schema));
  const now = partsOf(after, schema, shapeOf(after, schema));
  for (const [key, part] of now) {
    const previous = old.get(key);
    if (!previous) {
      changed.members.add(key);
      changed.attach(key, everythingIn(part.value, part.schema));
    } else if (previous.value !== part.value) {
      const shape = shapeOf(part.value, part.schema);
      if (shape === 'atomic' || shape !== shapeOf(previous.value, part.schema)) {
        if (!equalJson(previous.value, part.value)) changed.members.add(key);
      } else {
        const below = new FieldSet();
        const gone = new FieldSet();
        compareInto(previous.value, part.value, part.schema, below, gone);
        changed.attach(key, below);
        removed.attach(key, gone);
      }
    }
  }
  for (const [key, part] of old) {
    if (now.has(key)) continue;
    removed.members.add(key);
    removed.attach(key, everythingIn(part.value, part.schema));
  }
}
