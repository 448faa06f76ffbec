import { asArray, at, cloneJson } from './object.ts';
import type { KubeObject } from './object.ts';
import type { ApiContext } from './verbs/context.ts';
import { deleteEntry } from './verbs/delete.ts';
import { updateObject } from './verbs/write.ts';

/**
 * Empties namespaces that are being deleted and lets them go when nothing is left: what upstream's namespace controller
 * does. Changes mark, one turn of the loop looks at every terminating namespace.
 */
export class NamespaceContents {
  readonly #context: ApiContext;
  readonly #unwatch: (() => void)[] = [];
  readonly #terminating = new Set<string>();
  #watched = new Set<string>();
  #marked = false;
  #stopped = false;

  constructor(context: ApiContext) {
    this.#context = context;
    const namespaces = context.store.collection('namespaces');
    const note = (object: KubeObject) => {
      if (!object.metadata.deletionTimestamp) return;
      this.#terminating.add(object.metadata.name);
      this.#mark();
    };
    this.#unwatch.push(namespaces.watch(change => {
      if (change.type === 'DELETED') this.#terminating.delete(change.entry.name);
      else note(change.entry.object);
    }));
    for (const entry of namespaces.values()) note(entry.object);
  }

  stop(): void {
    this.#stopped = true;
    for (const unwatch of this.#unwatch) unwatch();
  }

  #mark(): void {
    if (this.#marked || this.#stopped) return;
    this.#marked = true;
    setImmediate(() => {
      this.#marked = false;
      if (!this.#stopped) for (const name of this.#terminating) this.#empty(name);
    });
  }

  #empty(namespace: string): void {
    let left = 0;
    const seen = new Set<string>();
    for (const type of this.#context.registry.all()) {
      if (!type.namespaced || seen.has(type.collection)) continue;
      seen.add(type.collection);
      const collection = this.#context.store.collection(type.collection);
      this.#watchDeletions(type.collection);
      for (const entry of [...collection.values()]) {
        if (entry.namespace !== namespace) continue;
        if (entry.object.metadata.deletionTimestamp) left++;
        else if (!deleteEntry(this.#context, type, entry, { dryRun: false, propagationPolicy: 'Background' }).gone) left++;
      }
    }
    if (left === 0) this.#release(namespace);
  }

  /** What waits for a finalizer or a kubelet brings the loop back when it goes. */
  #watchDeletions(collection: string): void {
    if (this.#watched.has(collection)) return;
    this.#watched.add(collection);
    this.#unwatch.push(this.#context.store.collection(collection).watch(change => {
      if (change.type === 'DELETED' && this.#terminating.has(change.entry.namespace)) this.#mark();
    }));
  }

  #release(namespace: string): void {
    const entry = this.#context.store.get('namespaces', '', namespace);
    const type = this.#context.registry.find('', 'v1', 'namespaces');
    if (!entry || !type) return;
    const finalizers = asArray(at(entry.object, 'spec', 'finalizers')).filter(f => f !== 'kubernetes');
    const object = { ...cloneJson(entry.object), spec: { finalizers } };
    updateObject(this.#context, type, entry.object, object, { dryRun: false, fieldManager: 'cirri-apiserver', fieldValidation: 'Ignore', warn: () => {} });
  }
}
