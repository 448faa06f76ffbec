import { cloneJson, equalJson } from '../object.ts';
import type { JsonObject, Json, KubeObject } from '../object.ts';
import { trackUpdate } from '../patch/managed.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import { immutableMetadataErrors, metadataErrors } from '../schema/names.ts';
import { validateSchema } from '../schema/validate.ts';
import { applyDefaults } from '../schema/walk.ts';
import { alreadyExists, badRequest, conflict, forbidden, invalidObject, notFound } from '../status.ts';
import type { FieldError } from '../status.ts';
import { timestamp } from './context.ts';
import type { ApiContext, WriteOptions } from './context.ts';
import { toServed, toStored } from './versions.ts';

/** Creates an object that was decoded for `type`. Returns it as stored, in the client's version. */
export function createObject(context: ApiContext, type: ResourceType, namespace: string | undefined, object: KubeObject, options: WriteOptions): KubeObject {
  const { metadata } = object;
  if (metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  placeInNamespace(type, object, namespace);
  const generated = !metadata.name && metadata.generateName ? metadata.generateName : undefined;
  if (generated) metadata.name = generateName(generated);
  Object.assign(metadata, { uid: context.uid(), creationTimestamp: timestamp(context.now()), generation: type.hooks.generationFields?.length === 0 ? undefined : 1 });
  for (const key of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink'] as const) delete metadata[key];
  const managed = metadata['managedFields'];
  if (type.statusSubresource && !keepsStatus.has(type.collection)) delete object['status'];
  completeObject(type, object, undefined);
  requireNamespace(context, type, namespace);
  const taken = context.store.get(type.collection, metadata.namespace ?? '', metadata.name ?? '');
  if (taken) throw alreadyExists(type, metadata.name, taken.object.metadata.deletionTimestamp !== undefined);
  const undo = prepare(type, object, undefined, options);
  try {
    admit(context, type, object, undefined, options);
    metadata['managedFields'] = managed as Json;
    trackUpdate(type, {}, object, trackOptions(context, type, options));
    if (!options.dryRun) {
      object = toServed(type, context.store.put(type.collection, toStored(type, object)).object);
      type.hooks.written?.(object);
    } else undo();
    return object;
  } catch (error) {
    undo();
    throw error;
  }
}

/** Kinds whose creators report a status with the object itself: kubelets register their node this way. */
const keepsStatus = new Set(['nodes']);

/** Replaces an object. `object` was decoded for `type`; `old` is the stored one in the same version. Writes nothing when nothing changes. */
export function updateObject(context: ApiContext, type: ResourceType, old: KubeObject, object: KubeObject, options: WriteOptions & { applied?: boolean }): KubeObject {
  const { metadata } = object;
  if (metadata.name !== undefined && metadata.name !== old.metadata.name) throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${old.metadata.name})`);
  placeInNamespace(type, object, old.metadata.namespace);
  if (metadata.uid && metadata.uid !== old.metadata.uid) {
    throw conflict(type, old.metadata.name, `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${old.metadata.uid}`);
  }
  if (metadata.resourceVersion && metadata.resourceVersion !== old.metadata.resourceVersion) throw conflict(type, old.metadata.name);
  keepSystemMetadata(metadata, old.metadata);
  keepOtherHalf(type, object, old, options.subresource ?? '');
  completeObject(type, object, old);
  const undo = prepare(type, object, old, options);
  try {
    bumpGeneration(type, object, old);
    admit(context, type, object, old, options);
    if (!options.applied) trackUpdate(type, old, object, trackOptions(context, type, options));
    if (sameApartFromManagedTimes(object, old)) {
      undo();
      return old;
    }
    if (options.dryRun) {
      undo();
      return object;
    }
    return storeUpdate(context, type, object);
  } catch (error) {
    undo();
    throw error;
  }
}

/** Stores an update; one that removes the last finalizer of a deleted object removes the object. */
function storeUpdate(context: ApiContext, type: ResourceType, object: KubeObject): KubeObject {
  const stored = toStored(type, object);
  const finished = object.metadata.deletionTimestamp && !object.metadata.finalizers?.length && (object.metadata.deletionGracePeriodSeconds ?? 0) === 0;
  if (finished && !holdsBack(object)) {
    const entry = context.store.remove(type.collection, stored);
    type.hooks.removed?.(entry.object);
    return toServed(type, entry.object);
  }
  const entry = context.store.put(type.collection, stored);
  type.hooks.written?.(entry.object);
  return toServed(type, entry.object);
}

/** A namespace stays until its own finalizers (spec.finalizers) are gone too. */
function holdsBack(object: KubeObject): boolean {
  const spec = object['spec'] as JsonObject | undefined;
  return object.kind === 'Namespace' && Array.isArray(spec?.['finalizers']) && spec['finalizers'].length > 0;
}

function trackOptions(context: ApiContext, type: ResourceType, options: WriteOptions) {
  return { manager: options.fieldManager, apiVersion: apiVersionOf(type), subresource: options.subresource ?? '', time: timestamp(context.now()) };
}

function placeInNamespace(type: ResourceType, object: KubeObject, namespace: string | undefined): void {
  const stated = object.metadata.namespace;
  if (!type.namespaced) {
    delete object.metadata.namespace;
    return;
  }
  if (namespace === undefined) throw badRequest(`${type.kind} is a namespaced resource: name a namespace`);
  if (stated && stated !== namespace) throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  object.metadata.namespace = namespace;
}

const suffixLetters = 'bcdfghjklmnpqrstvwxz2456789';

function generateName(prefix: string): string {
  let suffix = '';
  for (let i = 0; i < 5; i++) suffix += suffixLetters[Math.floor(Math.random() * suffixLetters.length)];
  return prefix.slice(0, 58) + suffix;
}

function requireNamespace(context: ApiContext, type: ResourceType, namespace: string | undefined): void {
  if (!type.namespaced || namespace === undefined) return;
  const entry = context.store.get('namespaces', '', namespace);
  if (!entry) throw notFound({ group: '', plural: 'namespaces' }, namespace);
  if (entry.object.metadata.deletionTimestamp) {
    throw forbidden(type, '', `unable to create new content in namespace ${namespace} because it is being terminated`);
  }
}

/**
 * Fills in defaults. The schema's own come first and then the schema is checked, so that the hooks of the kind meet only
 * fields that are what the schema says.
 */
function completeObject(type: ResourceType, object: KubeObject, old: KubeObject | undefined): void {
  applyDefaults(object, type.schema);
  const errors: FieldError[] = [...metadataErrors(object, type.nameRule), ...(old ? immutableMetadataErrors(object, old) : [])];
  // The last finalizer must come off even where the schema has become stricter since.
  const leaving = old?.metadata.deletionTimestamp !== undefined && equalJson({ ...object, metadata: undefined }, { ...old, metadata: undefined });
  if (!leaving) errors.push(...validateSchema(object, type.schema));
  if (errors.length > 0) throw invalidObject(type, object.metadata.name ?? '', errors);
  type.hooks.setDefaults?.(object, old);
}

function prepare(type: ResourceType, object: KubeObject, old: KubeObject | undefined, options: WriteOptions): () => void {
  const taken = type.hooks.prepare?.(object, old, { dryRun: options.dryRun });
  let done = false;
  return () => {
    if (!done) taken?.undo();
    done = true;
  };
}

function admit(context: ApiContext, type: ResourceType, object: KubeObject, old: KubeObject | undefined, options: WriteOptions): void {
  const errors = type.hooks.validate?.(object, old) ?? [];
  if (errors.length > 0) throw invalidObject(type, object.metadata.name ?? '', errors);
  for (const warning of type.hooks.warnings?.(object) ?? []) options.warn(warning);
  // What was admitted stays admitted: labels and finalizers of an older policy can change under a stricter engine. Its
  // annotations say how it acts, and count.
  if (old && object.metadata.generation === old.metadata.generation && equalJson(object.metadata.annotations ?? {}, old.metadata.annotations ?? {})) return;
  const { errors: findings, warnings } = context.validate(object, old);
  if (findings.length > 0) {
    throw invalidObject(type, object.metadata.name, findings.map(f => ({
      field: f.path, reason: 'FieldValueInvalid', message: `Invalid value: ${f.message}${f.mend ? `; ${f.mend}` : ''}`,
    })));
  }
  for (const warning of warnings) options.warn(warning);
}

function keepSystemMetadata(metadata: JsonObject, old: JsonObject): void {
  for (const key of ['name', 'uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation', 'resourceVersion', 'generateName']) {
    if (old[key] === undefined) delete metadata[key];
    else metadata[key] = old[key];
  }
  delete metadata['selfLink'];
  if (metadata['managedFields'] === undefined) metadata['managedFields'] = cloneJson(old['managedFields']);
}

/** A write to the object leaves status alone, a write to status leaves the rest alone. */
function keepOtherHalf(type: ResourceType, object: KubeObject, old: KubeObject, subresource: string): void {
  if (subresource === 'status') {
    for (const key of new Set([...Object.keys(object), ...Object.keys(old)])) {
      if (key === 'status' || key === 'metadata') continue;
      object[key] = cloneJson(old[key]);
      if (object[key] === undefined) delete object[key];
    }
    const managed = object.metadata['managedFields'];
    if (type.custom) object.metadata = { ...cloneJson(old.metadata), managedFields: managed };
  } else if (type.statusSubresource) {
    if (old['status'] === undefined) delete object['status'];
    else object['status'] = cloneJson(old['status']);
  }
}

function bumpGeneration(type: ResourceType, object: KubeObject, old: KubeObject): void {
  const fields = type.hooks.generationFields;
  if (fields?.length === 0) return;
  const changed = fields
    ? fields.some(field => !equalJson(object[field], old[field]))
    : [...new Set([...Object.keys(object), ...Object.keys(old)])].some(
      key => key !== 'metadata' && key !== 'apiVersion' && !(key === 'status' && type.statusSubresource) && !equalJson(object[key], old[key]));
  if (changed) object.metadata.generation = (old.metadata.generation ?? 0) + 1;
}

/** A write that changes nothing but the time of its manager's entry is no write. */
function sameApartFromManagedTimes(object: KubeObject, old: KubeObject): boolean {
  const strip = (o: KubeObject) => ({
    ...o,
    metadata: { ...o.metadata, resourceVersion: undefined, managedFields: ((o.metadata['managedFields'] ?? []) as JsonObject[]).map(e => ({ ...e, time: undefined })) },
  });
  return equalJson(strip(object), strip(old));
}

/** The stored object in the client's version; 404 when there is none. */
export function getObject(context: ApiContext, type: ResourceType, namespace: string | undefined, name: string): KubeObject {
  const entry = context.store.get(type.collection, namespace ?? '', name);
  if (!entry) throw notFound(type, name);
  return toServed(type, entry.object);
}
