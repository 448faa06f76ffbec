import { isNotFound } from '../../kube/errors.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { Resource } from '../../kube/resources.ts';
import type { KubeObject, OwnerReference } from '../../kube/types.ts';
import { enqueueOnChange, inParallel } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { Collection } from '../collection.ts';
import { finalizerStep, foregroundFinalizer, garbageStep, orphanFinalizer } from '../garbage.ts';
import type { OwnerState } from '../garbage.ts';
import { WorkQueue } from '../queue.ts';
import { TableIndex } from '../../kube/tableindex.ts';

const rememberedGone = 10_000;

/**
 * Deletes what belongs only to owners that are gone, in the way in which the owner was deleted (background, foreground,
 * orphan). That an owner is gone is believed only of the API itself: tables may lag behind.
 */
export function runGarbage(context: Context, more: readonly Collection<KubeObject>[] = []): void {
  const { client, log, signal } = context;
  const collections = [...context.cluster.all, ...more];
  const byPlural = new Map(collections.map(c => [c.resource.plural, c]));
  const dependentsOf = collections.map(c => ({ collection: c, index: new TableIndex(c.table, o => (o.metadata.ownerReferences ?? []).map(r => r.uid)) }));
  const gone = new Set<string>();
  const kinds = new Map<string, Promise<Resource | undefined>>();
  /** Owners whose own end waits for their dependents: uid → queue key. */
  const waiting = new Map<string, string>();
  const queue = new WorkQueue({ name: 'garbage', handle, concurrency: 16, log, signal });
  for (const collection of collections) {
    const plural = collection.resource.plural;
    enqueueOnChange(collection.table, o => (concerns(o) ? [`${plural}|${objectKey(o)}`] : []), queue, signal);
    // An object that changes or goes is news for those that belong to it.
    enqueueOnChange(collection.table, o => [o.metadata.uid ?? ''], { add: uid => onOwner(collection, uid) }, signal);
    // And a dependent that goes is news for an owner that waits for it.
    enqueueOnChange(collection.table, o => (o.metadata.ownerReferences ?? []).map(r => r.uid), { add: onDependent }, signal);
  }

  function concerns(object: KubeObject): boolean {
    return (object.metadata.ownerReferences ?? []).length > 0 || hasDeletionFinalizer(object);
  }

  function onOwner(collection: Collection<KubeObject>, uid: string): void {
    for (const { collection: other, object } of allDependents(uid)) {
      const owner = object.metadata.ownerReferences?.find(r => r.uid === uid);
      const row = owner && collection.get(keyOfOwner(object, owner, collection.resource));
      if (!row || row.metadata.uid !== uid || row.metadata.deletionTimestamp !== undefined) queue.add(`${other.resource.plural}|${objectKey(object)}`);
    }
  }

  function onDependent(ownerUid: string): void {
    const key = waiting.get(ownerUid);
    if (key !== undefined) queue.add(key);
  }

  function* allDependents(uid: string): Generator<{ collection: Collection<KubeObject>; object: KubeObject }> {
    for (const { collection, index } of dependentsOf) for (const object of index.get(uid)) yield { collection, object };
  }

  async function handle(key: string): Promise<void> {
    const bar = key.indexOf('|');
    const collection = byPlural.get(key.slice(0, bar))!;
    const object = collection.get(key.slice(bar + 1));
    if (!object) return;
    await finalize(collection, object);
    const references = object.metadata.ownerReferences ?? [];
    if (references.length === 0) return;
    const states = new Map<string, OwnerState>();
    for (const reference of references) states.set(reference.uid, await ownerState(object, reference));
    const step = garbageStep(object, reference => states.get(reference.uid)!);
    if (step.action === 'delete') {
      log.debug('owner gone', { kind: object.kind, object: objectKey(object) });
      await collection.delete(object, { propagationPolicy: step.policy });
    } else if (step.action === 'detach') {
      await collection.patch(object, { metadata: { ownerReferences: step.ownerReferences } }, { onlyIf: 'unchanged' });
    }
  }

  async function finalize(collection: Collection<KubeObject>, object: KubeObject): Promise<void> {
    if (!hasDeletionFinalizer(object)) return;
    const uid = object.metadata.uid ?? '';
    const dependents = [...allDependents(uid)];
    waiting.set(uid, `${collection.resource.plural}|${objectKey(object)}`);
    const step = finalizerStep(object, dependents.map(d => d.object));
    if (step.action === 'finish') {
      waiting.delete(uid);
      await collection.patch(object, { metadata: { finalizers: step.finalizers.length > 0 ? step.finalizers : null } }, { onlyIf: 'unchanged' });
    } else if (step.action === 'wait-for-dependents') {
      for (const d of dependents) queue.add(`${d.collection.resource.plural}|${objectKey(d.object)}`);
    } else if (step.action === 'orphan-dependents') {
      await inParallel(dependents, 8, d => {
        const ownerReferences = (d.object.metadata.ownerReferences ?? []).filter(r => r.uid !== uid);
        return d.collection.patch(d.object, { metadata: { ownerReferences } }, { onlyIf: 'unchanged' });
      });
      onDependent(uid);
    }
  }

  async function ownerState(object: KubeObject, reference: OwnerReference): Promise<OwnerState> {
    if (gone.has(reference.uid)) return 'gone';
    const known = collections.find(c => c.resource.kind === reference.kind && c.resource.group === groupOf(reference));
    const row = known?.get(keyOfOwner(object, reference, known.resource));
    if (row?.metadata.uid === reference.uid) return isWaiting(row) ? 'waiting' : 'present';
    const resource = known?.resource ?? (await discover(reference));
    // What cannot be looked up is not known to be gone.
    if (!resource) return 'present';
    const live = await client.get(resource, reference.name, resource.namespaced ? object.metadata.namespace : undefined);
    if (live?.metadata.uid === reference.uid) return isWaiting(live) ? 'waiting' : 'present';
    gone.add(reference.uid);
    if (gone.size > rememberedGone) gone.delete(gone.values().next().value!);
    return 'gone';
  }

  /** The resource of a kind that is not reflected here: custom kinds. */
  function discover(reference: OwnerReference): Promise<Resource | undefined> {
    const id = `${reference.apiVersion}/${reference.kind}`;
    let found = kinds.get(id);
    if (!found) {
      kinds.set(id, found = lookUp(reference));
      // An answer of none, or a failure, is asked again next time.
      found.then(r => r ?? kinds.delete(id), () => kinds.delete(id));
    }
    return found;
  }

  async function lookUp(reference: OwnerReference): Promise<Resource | undefined> {
    const path = reference.apiVersion.includes('/') ? `/apis/${reference.apiVersion}` : `/api/${reference.apiVersion}`;
    try {
      const list = (await client.raw('GET', path)) as { resources?: { name: string; kind: string; namespaced: boolean }[] };
      const entry = list.resources?.find(r => r.kind === reference.kind && !r.name.includes('/'));
      const version = reference.apiVersion.split('/').at(-1)!;
      return entry && { group: groupOf(reference), version, plural: entry.name, kind: entry.kind, namespaced: entry.namespaced };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

function groupOf(reference: OwnerReference): string {
  const slash = reference.apiVersion.indexOf('/');
  return slash < 0 ? '' : reference.apiVersion.slice(0, slash);
}

/** Owners live in the namespace of what they own, or in none. */
function keyOfOwner(object: KubeObject, reference: OwnerReference, resource: Resource): string {
  return resource.namespaced ? `${object.metadata.namespace}/${reference.name}` : reference.name;
}

function hasDeletionFinalizer(object: KubeObject): boolean {
  const finalizers = object.metadata.finalizers ?? [];
  return object.metadata.deletionTimestamp !== undefined && (finalizers.includes(foregroundFinalizer) || finalizers.includes(orphanFinalizer));
}

function isWaiting(owner: KubeObject): boolean {
  return owner.metadata.deletionTimestamp !== undefined && (owner.metadata.finalizers ?? []).includes(foregroundFinalizer);
}
