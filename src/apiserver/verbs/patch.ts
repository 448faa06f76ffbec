import { asObject, isObject } from '../object.ts';
import type { Json, KubeObject } from '../object.ts';
import { applyConfiguration } from '../patch/apply.ts';
import { applyJsonPatch } from '../patch/json.ts';
import { applyMergePatch } from '../patch/merge.ts';
import { applyStrategicPatch } from '../patch/strategic.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import { badRequest, conflict, notFound, unsupportedMediaType } from '../status.ts';
import { timestamp } from './context.ts';
import type { ApiContext, WriteOptions } from './context.ts';
import { decodeObject } from './decode.ts';
import { toServed } from './versions.ts';
import { createObject, updateObject } from './write.ts';

export const patchTypes = ['application/json-patch+json', 'application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml'] as const;

/** Patches an object, or with server-side apply creates it. */
export function patchObject(context: ApiContext, type: ResourceType, namespace: string | undefined, name: string, patch: Json | undefined, contentType: string, options: WriteOptions & { force: boolean }): { object: KubeObject; created: boolean } {
  const entry = context.store.get(type.collection, namespace ?? '', name);
  if (contentType === 'application/apply-patch+yaml') return applyObject(context, type, namespace, name, patch, entry && toServed(type, entry.object), options);
  if (options.force) throw badRequest('force: Forbidden: may not be specified for non-apply patch');
  if (!entry) throw notFound(type, name);
  const old = toServed(type, entry.object);
  const object = decodeObject(type, patched(type, old, patch, contentType), options);
  return { object: updateObject(context, type, old, object, options), created: false };
}

function patched(type: ResourceType, old: KubeObject, patch: Json | undefined, contentType: string): Json {
  switch (contentType) {
    case 'application/json-patch+json': return applyJsonPatch(old, patch);
    case 'application/merge-patch+json':
      if (!isObject(patch)) throw badRequest('a merge patch must be an object');
      return JSON.parse(JSON.stringify(applyMergePatch(old, patch))) as Json;
    case 'application/strategic-merge-patch+json':
      if (!type.strategic) throw unsupportedMediaType(contentType, patchTypes.filter(t => t !== contentType));
      if (!isObject(patch)) throw badRequest('a strategic merge patch must be an object');
      return JSON.parse(JSON.stringify(applyStrategicPatch(old, patch, type.schema))) as Json;
    default: throw unsupportedMediaType(contentType, patchTypes);
  }
}

function applyObject(context: ApiContext, type: ResourceType, namespace: string | undefined, name: string, body: Json | undefined, old: KubeObject | undefined, options: WriteOptions & { force: boolean }): { object: KubeObject; created: boolean } {
  if (!asObject(body)) throw badRequest('an applied configuration must be an object');
  const stated = asObject(body)!;
  if (!stated['apiVersion'] || !stated['kind']) throw badRequest('an applied configuration must have apiVersion and kind');
  const config = decodeObject(type, body, options);
  if (config.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  if (config.metadata.name && config.metadata.name !== name) throw badRequest(`the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`);
  config.metadata.name = name;
  if (namespace !== undefined) config.metadata.namespace ??= namespace;
  if (!old && ((options.subresource ?? '') !== '' || config.metadata.uid)) throw notFound(type, name);
  if (old && config.metadata.resourceVersion && config.metadata.resourceVersion !== old.metadata.resourceVersion) throw conflict(type, name);
  if (old && config.metadata.uid && config.metadata.uid !== old.metadata.uid) {
    throw conflict(type, name, `Precondition failed: UID in precondition: ${config.metadata.uid}, UID in object meta: ${old.metadata.uid}`);
  }
  const merged = applyConfiguration(type, old, config, {
    manager: options.fieldManager, apiVersion: apiVersionOf(type), subresource: options.subresource ?? '', time: timestamp(context.now()), force: options.force,
  });
  if (!old) return { object: createObject(context, type, namespace, merged, { ...options, fieldManager: '' }), created: true };
  return { object: updateObject(context, type, old, merged, { ...options, applied: true }), created: false };
}
