import type { KubeObject } from '../object.ts';
import { Collection } from './collection.ts';
import { Entry, entryKey } from './entry.ts';
import type { Change, ChangeType } from './entry.ts';
import type { Persistence } from './sqlite.ts';

/**
 * All objects, in memory and on disk. One revision counter for everything: it grows with every write and survives restarts.
 * A write is on disk before anybody sees it. Not asynchronous anywhere, so a read-check-write in one turn is atomic.
 */
export class Store {
  readonly #persistence: Persistence;
  readonly #collections = new Map<string, Collection>();
  readonly #deletions: ReadonlyMap<string, number>;
  #revision: number;
  #deferred: { collection: Collection; change: Change }[] | undefined;

  constructor(persistence: Persistence) {
    this.#persistence = persistence;
    const rows: { collection: string; entry: Entry }[] = [];
    const { revision, deletions } = persistence.load(row => {
      rows.push({ collection: row.collection, entry: new Entry(row.namespace, row.name, row.revision, row.json) });
    });
    this.#deletions = deletions;
    this.#revision = Math.max(1, revision);
    for (const { collection, entry } of rows) this.collection(collection).load(entry);
  }

  get revision(): number {
    return this.#revision;
  }

  collection(name: string): Collection {
    let collection = this.#collections.get(name);
    if (!collection) {
      collection = new Collection(name, this.#deletions.get(name) ?? 0);
      this.#collections.set(name, collection);
    }
    return collection;
  }

  collections(): Iterable<Collection> {
    return this.#collections.values();
  }

  get(collection: string, namespace: string, name: string): Entry | undefined {
    return this.#collections.get(collection)?.get(entryKey(namespace, name));
  }

  /** Creates or replaces. The object gets its resourceVersion here and must not be changed afterwards. */
  put(collection: string, object: KubeObject): Entry {
    return this.#write(collection, object, false);
  }

  remove(collection: string, object: KubeObject): Entry {
    return this.#write(collection, object, true);
  }

  #write(name: string, object: KubeObject, removal: boolean): Entry {
    const collection = this.collection(name);
    const revision = this.#revision + 1;
    object.metadata.resourceVersion = String(revision);
    const namespace = object.metadata.namespace ?? '';
    const entry = new Entry(namespace, object.metadata.name, revision, JSON.stringify(object), object);
    const previous = collection.get(entry.key);
    if (removal) this.#persistence.remove(name, namespace, entry.name, revision);
    else this.#persistence.put({ collection: name, namespace, name: entry.name, revision, json: entry.json });
    this.#revision = revision;
    const type: ChangeType = removal ? 'DELETED' : previous ? 'MODIFIED' : 'ADDED';
    const change: Change = { type, revision, entry, previous, lines: new Map() };
    if (this.#deferred) this.#deferred.push({ collection, change });
    else collection.apply(change);
    return entry;
  }

  /** Many writes as one commit. They become visible together at its end, or not at all; none may depend on another. */
  transaction(section: () => void): void {
    const before = this.#revision;
    this.#deferred = [];
    try {
      this.#persistence.transaction(section);
    } catch (error) {
      this.#revision = before;
      this.#deferred = undefined;
      throw error;
    }
    const deferred = this.#deferred;
    this.#deferred = undefined;
    for (const { collection, change } of deferred) collection.apply(change);
  }

  close(): void {
    this.#persistence.close();
  }
}
