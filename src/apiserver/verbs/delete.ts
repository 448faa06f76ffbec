import { asNumber, asObject, asString, isObject } from '../object.ts';
import type { Json, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { badRequest, conflict, forbidden, notFound } from '../status.ts';
import type { Entry } from '../store/entry.ts';
import { timestamp } from './context.ts';
import type { ApiContext } from './context.ts';
import { toServed } from './versions.ts';

/** meta/v1 DeleteOptions, from body and query. */
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun: boolean;
}

export function parseDeleteOptions(body: Json | undefined, query: URLSearchParams): DeleteOptions {
  if (body !== undefined && body !== null && !isObject(body)) throw badRequest('the body of a deletion must be DeleteOptions');
  const options = asObject(body) ?? {};
  const grace = asNumber(options['gracePeriodSeconds']) ?? (query.has('gracePeriodSeconds') ? Number(query.get('gracePeriodSeconds')) : undefined);
  if (grace !== undefined && (!Number.isInteger(grace) || grace < 0)) throw badRequest('gracePeriodSeconds must be a whole number of seconds, 0 or more');
  const policy = asString(options['propagationPolicy']) ?? query.get('propagationPolicy') ?? (options['orphanDependents'] === true ? 'Orphan' : undefined);
  if (policy !== undefined && !['Orphan', 'Background', 'Foreground'].includes(policy)) throw badRequest(`propagationPolicy "${policy}" is none of Orphan, Background, Foreground`);
  const preconditions = asObject(options['preconditions']);
  const uid = asString(preconditions?.['uid']);
  const resourceVersion = asString(preconditions?.['resourceVersion']);
  const dryRun = [...(Array.isArray(options['dryRun']) ? options['dryRun'] : []), ...query.getAll('dryRun')];
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }), ...(policy === undefined ? {} : { propagationPolicy: policy }),
    ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }), dryRun: dryRun.includes('All'),
  };
}

/**
 * Deletes or begins to. `gone` tells whether the object has left the store; otherwise it has a deletionTimestamp and waits
 * for its finalizers or its grace period, whose end the kubelet reports by deleting once more with 0 seconds.
 */
export function deleteObject(context: ApiContext, type: ResourceType, namespace: string | undefined, name: string, options: DeleteOptions): { object: KubeObject; gone: boolean } {
  const entry = context.store.get(type.collection, namespace ?? '', name);
  if (!entry) throw notFound(type, name);
  return deleteEntry(context, type, entry, options);
}

export function deleteEntry(context: ApiContext, type: ResourceType, entry: Entry, options: DeleteOptions): { object: KubeObject; gone: boolean } {
  const old = entry.object;
  if (options.uid && options.uid !== old.metadata.uid) {
    throw conflict(type, entry.name, `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${old.metadata.uid}`);
  }
  if (options.resourceVersion && options.resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(type, entry.name, `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion}`);
  }
  if (type.collection === 'namespaces' && permanent.has(entry.name)) throw forbidden(type, entry.name, 'this namespace may not be deleted');
  const grace = type.hooks.gracePeriodSeconds?.(old, options.gracePeriodSeconds) ?? 0;
  const finalizers = finalizersFor(old, options.propagationPolicy);
  const waits = grace > 0 || finalizers.length > 0 || type.collection === 'namespaces';
  const object = entry.copy();
  if (!waits) {
    if (!options.dryRun) {
      context.store.remove(type.collection, object);
      type.hooks.removed?.(object);
    }
    return { object: toServed(type, object), gone: true };
  }
  const alreadyShorter = old.metadata.deletionTimestamp !== undefined && (old.metadata.deletionGracePeriodSeconds ?? 0) <= grace;
  if (alreadyShorter && finalizers.length === (old.metadata.finalizers?.length ?? 0)) return { object: toServed(type, old), gone: false };
  if (!alreadyShorter) {
    object.metadata.deletionTimestamp = timestamp(new Date(context.now().getTime() + grace * 1000));
    object.metadata.deletionGracePeriodSeconds = grace;
    if (object.metadata.generation !== undefined) object.metadata.generation++;
  }
  if (finalizers.length > 0) object.metadata.finalizers = finalizers;
  if (type.collection === 'namespaces') object['status'] = { ...asObject(object['status']), phase: 'Terminating' };
  if (options.dryRun) return { object: toServed(type, object), gone: false };
  const written = context.store.put(type.collection, object);
  type.hooks.written?.(written.object);
  return { object: toServed(type, written.object), gone: false };
}

const permanent = new Set(['default', 'kube-system', 'kube-public']);

/** What propagationPolicy adds: the garbage collector removes these when dependents are gone or let go. */
function finalizersFor(old: KubeObject, policy: string | undefined): string[] {
  const present = (old.metadata.finalizers ?? []).filter(f => (f !== 'orphan' && f !== 'foregroundDeletion') || policy === undefined);
  if (policy === 'Orphan') return [...present, 'orphan'];
  if (policy === 'Foreground') return [...present, 'foregroundDeletion'];
  return present;
}
