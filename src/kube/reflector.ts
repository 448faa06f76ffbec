import { backoffMs, delay } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import { silentLogger } from '../std/log.ts';
import type { Logger } from '../std/log.ts';
import { Table } from '../table/table.ts';
import type { KubeClient } from './client.ts';
import { isExpired, KubeError } from './errors.ts';
import type { Resource } from './resources.ts';
import type { KubeObject, WatchEvent } from './types.ts';

export interface ReflectOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly resource: Resource;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal: AbortSignal;
  readonly log?: Logger;
  readonly random?: () => number;
  /** What to keep of an object, where thousands are held and few fields are read. Must keep `metadata.uid` and `resourceVersion`. */
  readonly keep?: (object: KubeObject) => KubeObject;
}

/** A collection of the API as a table of this process. */
export interface Reflector<T extends KubeObject> {
  /** Keyed by `objectKey`. Keeps what it has while the API is away. */
  readonly table: Table<T>;
  /** Resolves after the first list. Never rejects; the signal ends the wait. */
  readonly synced: Promise<void>;
  /** How it stands with the API now. */
  readonly state: ReflectorState;
  /**
   * Takes in what the API has just answered to this process's own write, so that the writer sees it before the watch tells.
   * Whatever is older than what the table already knows is ignored, here and when the watch brings it later.
   */
  observe(object: T): void;
  /** The same for an object that the API has just said is gone. */
  forget(object: T): void;
}

export interface ReflectorState {
  readonly connected: boolean;
  /** Milliseconds since the epoch of the last answer or event. */
  readonly lastContact: number | undefined;
  readonly error: string | undefined;
  /** Changes that a watch has told of; `known` are those that this process's own write had answered before. */
  readonly received: Readonly<Record<'create' | 'update' | 'delete' | 'known', number>>;
}

/** `namespace/name`, or `name` for what has no namespace. */
export function objectKey(object: { readonly metadata: { readonly namespace?: string; readonly name: string } }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/**
 * List, then watch from there; again and again. A watch that ends or breaks goes on from the last version seen; only a version
 * that the API no longer remembers (410) leads to a new list, which is compared with the table: objects that are as they
 * were wake nobody, objects that are gone are deleted, nothing is ever deleted and added again.
 *
 *     list ──replaceAll──► table ◄──upsert/delete── watch ──(ended, lost)──► watch from the last version
 *      ▲                                              │
 *      └──────────────────── 410 ─────────────────────┘
 */
export function reflect<T extends KubeObject>(options: ReflectOptions): Reflector<T> {
  const table = new Table<T>(options.resource.plural, objectKey);
  const reflection = new Reflection<T>(options, table);
  void reflection.run();
  return {
    table,
    synced: table.whenSynced(),
    state: reflection.state,
    observe: object => reflection.observe(object),
    forget: object => reflection.forget(object),
  };
}

/** The API ends each watch after 5 to 10 minutes, as client-go asks: all at once would be a herd. */
const watchSeconds = { least: 300, most: 600 };

class Reflection<T extends KubeObject> {
  readonly state = { connected: false, lastContact: undefined as number | undefined, error: undefined as string | undefined, received: { create: 0, update: 0, delete: 0, known: 0 } };
  readonly #options: ReflectOptions;
  readonly #table: Table<T>;
  readonly #firstList: { synced(): void };
  readonly #log: Logger;
  #version: string | undefined;
  #failures = 0;

  constructor(options: ReflectOptions, table: Table<T>) {
    this.#options = options;
    this.#table = table;
    this.#firstList = table.producer('list');
    this.#log = (options.log ?? silentLogger).with({ reflector: options.resource.plural });
  }

  async run(): Promise<void> {
    const { signal, random } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        await this.#watch(this.#version!);
      } catch (error) {
        if (signal.aborted) return;
        const waitMs = this.#onError(error);
        await delay(Math.max(waitMs, backoffMs(this.#failures - 1, { maxMs: 10_000, ...(random ? { random } : {}) })), signal).catch(() => {});
      }
    }
    this.state.connected = false;
  }

  observe(object: T): void {
    // At or below the watch's version, the watch has told of it, and perhaps of its end.
    if (!isNewer(object.metadata.resourceVersion, this.#version) || this.#isStale(object)) return;
    this.#table.upsert(this.#keep(object));
  }

  forget(object: T): void {
    const key = objectKey(object);
    if (this.#table.get(key)?.metadata.uid === object.metadata.uid) this.#table.delete(key);
  }

  #keep(object: T): T {
    return slim((this.#options.keep?.(object) ?? object) as T);
  }

  async #list(): Promise<void> {
    const { client, resource } = this.#options;
    const list = await client.list<T>(resource, this.#options);
    const version = list.metadata.resourceVersion ?? '0';
    // A row newer than the list is a write of this process that the list could not know: the watch will tell of it.
    const known = (row: T) => !isNewer(row.metadata.resourceVersion, version);
    this.#table.replaceAll(list.items.map(item => this.#unlessKnown(this.#keep(item))), known);
    this.#contact();
    this.#version = version;
    this.#firstList.synced();
  }

  async #watch(from: string): Promise<void> {
    const { client, resource, random = Math.random } = this.#options;
    const timeoutSeconds = Math.round(watchSeconds.least + random() * (watchSeconds.most - watchSeconds.least));
    const startedAt = performance.now();
    for await (const events of client.watch<T>(resource, { ...this.#options, resourceVersion: from, timeoutSeconds })) {
      this.#contact();
      this.#apply(events);
    }
    // An API that ends every watch at once must not make this a busy loop.
    if (performance.now() - startedAt < 1_000 && this.#version === from) throw new Error('the watch ended at once');
  }

  #apply(events: readonly WatchEvent<T>[]): void {
    // One write per run of the same kind: many events of a burst, one wake-up. Order within a key is kept.
    let upserts: T[] = [];
    let deletes: string[] = [];
    const flush = () => {
      if (upserts.length > 0) this.#table.upsert(...upserts);
      if (deletes.length > 0) this.#table.delete(...deletes);
      upserts = [];
      deletes = [];
    };
    for (const { type, object } of events) {
      if (object.metadata.resourceVersion) this.#version = object.metadata.resourceVersion;
      if (type === 'ADDED' || type === 'MODIFIED') {
        if (deletes.length > 0) flush();
        if (this.#isStale(object) || this.#table.get(objectKey(object))?.metadata.resourceVersion === object.metadata.resourceVersion) this.state.received.known++;
        else this.state.received[type === 'ADDED' ? 'create' : 'update']++;
        if (!this.#isStale(object)) upserts.push(this.#keep(object));
      } else if (type === 'DELETED') {
        if (upserts.length > 0) flush();
        this.state.received.delete++;
        deletes.push(objectKey(object));
      }
    }
    flush();
  }

  /** The row in place where it is the same version of the same object, or a later one: then comparing costs nothing. */
  #unlessKnown(object: T): T {
    const known = this.#table.get(objectKey(object));
    const same = known !== undefined && known.metadata.uid === object.metadata.uid
      && known.metadata.resourceVersion === object.metadata.resourceVersion && object.metadata.resourceVersion !== undefined;
    return same || this.#isStale(object) ? known! : object;
  }

  /** True when the table holds a later version of the same object. */
  #isStale(object: T): boolean {
    const known = this.#table.get(objectKey(object));
    return known !== undefined && known.metadata.uid === object.metadata.uid && isNewer(known.metadata.resourceVersion, object.metadata.resourceVersion);
  }

  #contact(): void {
    if (!this.state.connected && this.#failures > 0) this.#log.info('connected again', { failures: this.#failures });
    this.#failures = 0;
    this.state.connected = true;
    this.state.error = undefined;
    this.state.lastContact = Date.now();
  }

  /** Decides what the next round starts with. Returns ms that the API asked to wait. */
  #onError(error: unknown): number {
    const answered = error instanceof KubeError && error.status !== 0;
    if (isExpired(error)) {
      this.#version = undefined;
      this.#failures = Math.max(1, this.#failures);
      this.#log.debug('relist: the version is too old');
      return 0;
    }
    this.#failures++;
    if (this.#failures === 1) this.#log.warn('lost the API, keeping what is known', { error: errorText(error) });
    this.state.connected = false;
    this.state.error = errorText(error);
    // A version that the API keeps refusing (a store put back to an older day) is mended by a list only.
    if (answered && this.#failures >= 2) this.#version = undefined;
    return error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
  }
}

/**
 * True where version `a` is later than `b`. Versions are decimal numbers in every API server there is, and comparable since
 * Kubernetes 1.35 by contract; what is not a number is never newer, and then only the watch is believed.
 */
function isNewer(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a > b : a.length > b.length;
}

/** Field ownership is long and nobody here reads it. */
function slim<T extends KubeObject>(object: T): T {
  if (object.metadata['managedFields'] === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
