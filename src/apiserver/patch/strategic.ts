import { cloneJson, equalJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';
import { fieldSchema } from '../schema/schema.ts';
import { badRequest } from '../status.ts';
import { orderItems } from './order.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const orderPrefix = '$setElementOrder/';
const deletePrefix = '$deleteFromPrimitiveList/';

/**
 * Strategic merge patch: a merge patch in which lists whose schema names a merge key merge item by item, with directives
 * for what a merge cannot say ($patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList).
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
export function applyStrategicPatch(original: Json | undefined, patch: Json, schema: Schema | undefined): Json {
  if (!isObject(patch)) throw badRequest('a strategic merge patch must be an object');
  return mergeObject(isObject(original) ? original : {}, patch, schema) ?? {};
}

function mergeObject(original: JsonObject, patch: JsonObject, schema: Schema | undefined): JsonObject | undefined {
  switch (patch[directive]) {
    case undefined: case 'merge': break;
    case 'replace': return withoutDirectives(patch);
    case 'delete': return undefined;
    default: throw badRequest(`unrecognized ${directive} directive ${JSON.stringify(patch[directive])}: it must be merge, replace or delete`);
  }
  const result: JsonObject = { ...original };
  retainOnly(result, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (key === directive || key === retainKeys || key.startsWith(orderPrefix) || key.startsWith(deletePrefix)) continue;
    if (value === null) delete result[key];
    else if (value !== undefined) setMerged(result, key, mergeField(result[key], value, fieldSchema(schema, key), listOf(patch, orderPrefix + key)));
  }
  for (const key of Object.keys(patch)) {
    if (key.startsWith(deletePrefix)) deleteValues(result, key.slice(deletePrefix.length), listOf(patch, key)!);
    if (key.startsWith(orderPrefix) && patch[key.slice(orderPrefix.length)] === undefined) {
      const field = key.slice(orderPrefix.length);
      const list = result[field];
      if (Array.isArray(list)) result[field] = reorder(list, list, listOf(patch, key)!, mergeKeyOf(fieldSchema(schema, field)));
    }
  }
  return result;
}

function setMerged(result: JsonObject, key: string, value: Json | undefined): void {
  if (value === undefined) delete result[key];
  else result[key] = value;
}

function mergeField(original: Json | undefined, patch: Json, schema: Schema | undefined, order: readonly Json[] | undefined): Json | undefined {
  const strategy = schema?.['x-kubernetes-patch-strategy']?.split(',') ?? [];
  if (isObject(patch)) {
    if (strategy.includes('replace')) return withoutDirectives(patch);
    return mergeObject(isObject(original) ? original : {}, patch, schema);
  }
  if (!Array.isArray(patch) || !strategy.includes('merge')) return withoutDirectives(patch);
  const before = Array.isArray(original) ? original : [];
  const mergeKey = mergeKeyOf(schema);
  const merged = mergeKey === undefined ? union(before, patch) : mergeItems(before, patch, mergeKey, schema!.items);
  return order ? reorder(merged, before, order, mergeKey) : merged;
}

function mergeKeyOf(schema: Schema | undefined): string | undefined {
  return schema?.['x-kubernetes-patch-merge-key'];
}

function union(before: readonly Json[], patch: readonly Json[]): Json[] {
  return [...before, ...patch.filter((value, i) => !before.some(b => equalJson(b, value)) && !patch.slice(0, i).some(p => equalJson(p, value)))];
}

function mergeItems(before: readonly Json[], patch: readonly Json[], mergeKey: string, itemSchema: Schema | undefined): Json[] {
  const items = patch.map(item => {
    if (!isObject(item)) throw badRequest(`a strategic merge patch needs objects with "${mergeKey}" in this list, not ${JSON.stringify(item)}`);
    return item;
  });
  if (items.some(item => item[directive] === 'replace')) {
    return items.filter(item => item[directive] !== 'replace' || Object.keys(item).length > 1).map(item => withoutDirectives(item));
  }
  let result: Json[] = [...before];
  for (const item of items) {
    if (item[directive] !== undefined && Object.keys(item).length === 1) continue;
    const key = item[mergeKey];
    if (key === undefined) throw badRequest(`map: ${JSON.stringify(item).slice(0, 200)} does not contain declared merge key: ${mergeKey}`);
    const index = result.findIndex(other => isObject(other) && equalJson(other[mergeKey], key));
    if (item[directive] === 'delete') {
      result = result.filter(other => !(isObject(other) && equalJson(other[mergeKey], key)));
    } else {
      const present = index < 0 ? {} : (result[index] as JsonObject);
      const merged = mergeObject(present, item, itemSchema)!;
      if (index < 0) result.push(merged);
      else result[index] = merged;
    }
  }
  return result;
}

/** With $retainKeys only the named fields stay: how a union (a volume's source, a strategy) changes its member. */
function retainOnly(result: JsonObject, patch: JsonObject): void {
  const keep = patch[retainKeys];
  if (keep === undefined) return;
  if (!Array.isArray(keep)) throw badRequest(`${retainKeys} must be a list of field names`);
  for (const key of Object.keys(patch)) {
    if (!key.startsWith('$') && patch[key] !== null && !keep.includes(key)) throw badRequest(`${retainKeys} does not name "${key}", which the patch sets`);
  }
  for (const key of Object.keys(result)) if (!keep.includes(key)) delete result[key];
}

function listOf(patch: JsonObject, key: string): readonly Json[] | undefined {
  const value = patch[key];
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw badRequest(`${key} must be a list`);
  return value;
}

function deleteValues(result: JsonObject, field: string, values: readonly Json[]): void {
  const list = result[field];
  if (Array.isArray(list)) result[field] = list.filter(item => !values.some(value => equalJson(value, item)));
}

function reorder(merged: readonly Json[], server: readonly Json[], order: readonly Json[], mergeKey: string | undefined): Json[] {
  return orderItems(merged, server, order, item => JSON.stringify(mergeKey !== undefined && isObject(item) ? item[mergeKey] ?? null : item));
}

/** A value that becomes part of the object as it is: directives inside it have done their work. */
function withoutDirectives(value: Json): Json & JsonObject;
function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) return value.filter(item => !(isObject(item) && item[directive] === 'delete')).map(item => withoutDirectives(item));
  if (!isObject(value)) return cloneJson(value);
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    if (key === directive || key === retainKeys || key.startsWith(orderPrefix) || key.startsWith(deletePrefix)) continue;
    if (inner !== undefined) result[key] = withoutDirectives(inner);
  }
  return result;
}
