import { asObjects, asString, isObject } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { compareObjects } from './compare.ts';
import { FieldSet, difference, equalSets, fromFieldsV1, toFieldsV1, union } from './fieldset.ts';

/** Who owns which fields: one entry of metadata.managedFields, with its fields as a set. */
export interface ManagerEntry {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly fields: FieldSet;
}

export interface TrackOptions { readonly manager: string; readonly apiVersion: string; readonly subresource: string; readonly time: string }

const unmanagedMetadata = ['name', 'namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'managedFields', 'selfLink'];

/** The part of an object whose fields have owners: without what the server keeps, and without the half that this write cannot reach. */
export function managedPart(type: ResourceType, object: JsonObject, subresource: string): JsonObject {
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
  const result: JsonObject = subresource === 'status' ? (rest['status'] === undefined ? {} : { status: rest['status'] }) : rest;
  if (subresource !== 'status' && type.statusSubresource) delete result['status'];
  if (!isObject(metadata) || (subresource === 'status' && type.custom)) return result;
  const kept: JsonObject = { ...metadata };
  for (const key of unmanagedMetadata) delete kept[key];
  return Object.keys(kept).length > 0 ? { metadata: kept, ...result } : result;
}

/**
 * After a plain write: its manager owns what it changed, nobody owns any longer what others set before it or what is gone.
 * Changes metadata.managedFields of `object`. Without a manager (an apply has done its own bookkeeping) nothing happens.
 */
export function trackUpdate(type: ResourceType, old: JsonObject, object: KubeObject, options: TrackOptions): void {
  if (options.manager === '') return;
  const { changed, removed } = compareObjects(managedPart(type, old, options.subresource), managedPart(type, object, options.subresource), type.schema);
  if (changed.isEmpty && removed.isEmpty) return;
  const lost = union(changed, removed);
  const entries = readEntries(object.metadata['managedFields']);
  const isOwn = (e: ManagerEntry) => e.operation === 'Update' && e.manager === options.manager && e.apiVersion === options.apiVersion && e.subresource === options.subresource;
  const own = entries.find(isOwn);
  const fields = union(difference(own?.fields ?? new FieldSet(), removed), changed);
  const time = own && equalSets(own.fields, fields) ? own.time : options.time;
  writeEntries(object, [
    ...entries.filter(e => !isOwn(e)).map(e => ({ ...e, fields: difference(e.fields, lost) })),
    { ...options, operation: 'Update', time, fields },
  ]);
}

export function readEntries(managedFields: Json | undefined): ManagerEntry[] {
  return asObjects(managedFields).filter(e => e['fieldsV1'] !== undefined).map(e => ({
    manager: asString(e['manager']) ?? '', operation: e['operation'] === 'Apply' ? 'Apply' : 'Update', apiVersion: asString(e['apiVersion']) ?? '',
    subresource: asString(e['subresource']) ?? '', time: asString(e['time']) ?? '', fields: fromFieldsV1(e['fieldsV1']),
  }));
}

/** Entries that own nothing are dropped; applied ones stand first, as upstream sorts them. */
export function writeEntries(object: KubeObject, entries: readonly ManagerEntry[]): void {
  const kept = entries.filter(e => !e.fields.isEmpty).sort((a, b) => order(a) - order(b) || (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  if (kept.length === 0) {
    delete object.metadata['managedFields'];
    return;
  }
  object.metadata['managedFields'] = kept.map(e => ({
    manager: e.manager, operation: e.operation, apiVersion: e.apiVersion, time: e.time, fieldsType: 'FieldsV1', fieldsV1: toFieldsV1(e.fields),
    ...(e.subresource === '' ? {} : { subresource: e.subresource }),
  }));
}

const order = (entry: ManagerEntry): number => (entry.operation === 'Apply' ? 0 : 1);
