import type { DeleteOptions, KubeClient } from '../kube/client.ts';
import { reflect } from '../kube/reflector.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { Resource } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';

/** An object to be: name or generateName, and what the API fills in left out. */
export type NewObject = { readonly apiVersion: string; readonly kind: string; readonly metadata: object; readonly [field: string]: unknown };

/**
 * All objects of one kind: a table to read, and writes that the table shows as soon as they are answered. A controller that
 * has just created twenty pods counts twenty pods, however far behind the watch is.
 */
export class Collection<T extends KubeObject> {
  readonly resource: Resource;
  readonly table: Table<T>;
  readonly synced: Promise<void>;
  readonly #client: KubeClient;
  readonly #reflector: Reflector<T>;

  constructor(resource: Resource, dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger }) {
    this.resource = resource;
    this.#client = dependencies.client;
    this.#reflector = reflect<T>({ resource, ...dependencies });
    this.table = this.#reflector.table;
    this.synced = this.#reflector.synced;
  }

  get(key: string): T | undefined {
    return this.table.get(key);
  }

  async create(object: NewObject): Promise<T> {
    return this.#seen(await this.#client.create(this.resource, object as KubeObject as T));
  }

  async update(object: T): Promise<T> {
    return this.#seen(await this.#client.update(this.resource, object));
  }

  /** A merge patch (RFC 7396); with `onlyIf`, refused (409) when the object has changed since that version. */
  async patch(object: T, change: object, options: { readonly subresource?: string; readonly onlyIf?: 'unchanged' } = {}): Promise<T> {
    const { name, namespace, resourceVersion } = object.metadata;
    const body = options.onlyIf ? withVersion(change, resourceVersion) : change;
    const subresource = options.subresource === undefined ? {} : { subresource: options.subresource };
    return this.#seen(await this.#client.patch<T>(this.resource, name, namespace, body, { type: 'merge', ...subresource }));
  }

  /** Never deletes another object of the same name. */
  async delete(object: T, options: Omit<DeleteOptions, 'preconditions'> = {}): Promise<void> {
    const { name, namespace, uid } = object.metadata;
    const preconditions = uid === undefined ? {} : { preconditions: { uid } };
    const path = { ...options, ...preconditions };
    const answer = await this.#client.remove<T>(this.resource, name, namespace, path);
    if (answer?.metadata?.deletionTimestamp === undefined) this.#reflector.forget(object);
    else this.#seen(answer);
  }

  #seen(object: T): T {
    this.#reflector.observe(object);
    return object;
  }
}

function withVersion(change: object, resourceVersion: string | undefined): object {
  return { ...change, metadata: { ...(change as { metadata?: object }).metadata, resourceVersion } };
}
