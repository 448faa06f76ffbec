import { cloneJson, isObject } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import type { Schema } from '../schema/schema.ts';
import { ApiError } from '../status.ts';
import type { StatusCause } from '../status.ts';
import { compareObjects, fieldsOf, itemKey, partsOf, setKey, shapeOf } from './compare.ts';
import { FieldSet, childOf, difference, equalSets, intersection, memberPaths, union } from './fieldset.ts';
import { managedPart, readEntries, writeEntries } from './managed.ts';
import type { ManagerEntry, TrackOptions } from './managed.ts';
import { orderItems } from './order.ts';

/**
 * Server-side apply: merges a configuration into an object by the schema, takes away what this manager applied before and
 * no longer states, and refuses (409) to change what others own unless forced. Returns the merged object with its
 * managedFields; `config` becomes the object when there is none yet.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
export function applyConfiguration(type: ResourceType, old: KubeObject | undefined, config: KubeObject, options: TrackOptions & { force: boolean }): KubeObject {
  if (options.manager === '') throw new ApiError(422, 'Invalid', 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch');
  const stated = fieldsOf(managedPart(type, config, options.subresource), type.schema);
  const own: ManagerEntry = { manager: options.manager, operation: 'Apply', apiVersion: options.apiVersion, subresource: options.subresource, time: options.time, fields: stated };
  if (!old) {
    writeEntries(config, [own]);
    return config;
  }
  const entries = readEntries(old.metadata['managedFields']);
  const isOwn = (e: ManagerEntry) => e.operation === 'Apply' && e.manager === own.manager && e.subresource === own.subresource;
  const previous = entries.find(isOwn);
  const before = managedPart(type, old, options.subresource);
  const merged = mergeValue(before, managedPart(type, config, options.subresource), type.schema) as JsonObject;
  const { changed } = compareObjects(before, merged, type.schema);
  const others = entries.filter(e => !isOwn(e));
  const conflicts = others.map(entry => ({ entry, fields: intersection(entry.fields, changed) })).filter(c => !c.fields.isEmpty);
  if (conflicts.length > 0 && !options.force) throw conflictError(conflicts);
  const remaining = others.map(entry => ({ ...entry, fields: difference(entry.fields, changed) }));
  if (previous) prune(merged, previous.fields, stated, remaining.map(e => e.fields).reduce(union, new FieldSet()), type.schema);
  const result = overlay(old, merged, options.subresource);
  const time = previous && equalSets(previous.fields, stated) ? previous.time : own.time;
  writeEntries(result, [{ ...own, time }, ...remaining]);
  return result;
}

/** The whole object again: what has no owners comes from the old one. */
function overlay(old: KubeObject, merged: JsonObject, subresource: string): KubeObject {
  const base = cloneJson(old);
  const { metadata, ...rest } = cloneJson(merged);
  const kept: JsonObject = subresource === 'status' ? { ...base } : { apiVersion: base.apiVersion, kind: base.kind, ...(base['status'] === undefined ? {} : { status: base['status'] }) };
  const ownMetadata: JsonObject = { ...base.metadata };
  for (const key of ['labels', 'annotations', 'finalizers', 'ownerReferences', 'generateName']) delete ownMetadata[key];
  const restored = subresource === 'status' ? base.metadata : { ...ownMetadata, ...(isObject(metadata) ? metadata : {}) };
  return { ...kept, ...rest, metadata: restored } as KubeObject;
}

function mergeValue(live: Json | undefined, applied: Json, schema: Schema | undefined): Json {
  const shape = shapeOf(applied, schema);
  if (live === undefined || live === null || shape === 'atomic' || shapeOf(live, schema) !== shape) return cloneJson(applied);
  if (shape === 'fields') {
    const result: JsonObject = { ...(live as JsonObject) };
    for (const [key, part] of partsOf(applied, schema, shape)) {
      const name = key.slice(2);
      result[name] = mergeValue(result[name], part.value, part.schema);
    }
    return result;
  }
  const identity = (item: Json) => (shape === 'set' ? setKey(item) : itemKey(item, schema));
  const items = new Map((live as Json[]).map(item => [identity(item), item]));
  for (const item of applied as Json[]) items.set(identity(item), shape === 'set' ? item : mergeValue(items.get(identity(item)), item, schema?.items));
  return orderItems([...items.values()], live as Json[], applied as Json[], identity);
}

/** Removes what was applied before, is stated no more and belongs to nobody else. Returns whether anything is left. */
function prune(value: Json, last: FieldSet, stated: FieldSet, others: FieldSet, schema: Schema | undefined): boolean {
  const shape = shapeOf(value, schema);
  if (shape === 'atomic') return true;
  const parts = partsOf(value, schema, shape);
  const gone = new Set<string>();
  for (const key of new Set([...last.members, ...last.children.keys()])) {
    const part = parts.get(key);
    if (!part) continue;
    if (!stated.has(key) && !others.has(key) && last.members.has(key)) gone.add(key);
    else if (last.children.has(key) && !prune(part.value, childOf(last, key), childOf(stated, key), childOf(others, key), part.schema) && !stated.members.has(key) && !others.members.has(key)) gone.add(key);
  }
  if (gone.size > 0) removeParts(value, gone, shape, schema);
  return Array.isArray(value) ? value.length > 0 : Object.keys(value as JsonObject).length > 0;
}

function removeParts(value: Json, keys: ReadonlySet<string>, shape: 'fields' | 'items' | 'set', schema: Schema | undefined): void {
  if (shape === 'fields') {
    for (const key of keys) delete (value as JsonObject)[key.slice(2)];
    return;
  }
  const list = value as Json[];
  const kept = list.filter(item => !keys.has(shape === 'set' ? setKey(item) : itemKey(item, schema)));
  list.splice(0, list.length, ...kept);
}

function conflictError(conflicts: readonly { readonly entry: ManagerEntry; readonly fields: FieldSet }[]): ApiError {
  const causes: StatusCause[] = [];
  const lines: string[] = [];
  for (const { entry, fields } of conflicts) {
    const who = `conflict with "${entry.manager}"${entry.subresource ? ` with subresource "${entry.subresource}"` : ''} using ${entry.apiVersion}${entry.operation === 'Update' ? ` at ${entry.time}` : ''}`;
    for (const field of memberPaths(fields)) {
      causes.push({ reason: 'FieldManagerConflict', message: who, field });
      lines.push(`${who}: ${field}`);
    }
  }
  const message = lines.length === 1 ? `Apply failed with 1 conflict: ${lines[0]}` : `Apply failed with ${lines.length} conflicts: ${lines.join('\n- ').replace(/^/, '\n- ')}`;
  return new ApiError(409, 'Conflict', message, { causes });
}
