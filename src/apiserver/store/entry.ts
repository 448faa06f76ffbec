import type { KubeObject } from '../object.ts';

/** One version of one object: never changed, only replaced. The JSON text is what clients get; the object is parsed when somebody looks inside. */
export class Entry {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly json: string;
  #object: KubeObject | undefined;

  constructor(namespace: string, name: string, revision: number, json: string, object?: KubeObject) {
    this.key = entryKey(namespace, name);
    this.namespace = namespace;
    this.name = name;
    this.revision = revision;
    this.json = json;
    this.#object = object;
  }

  /** Not to be changed by anyone. */
  get object(): KubeObject {
    return (this.#object ??= JSON.parse(this.json) as KubeObject);
  }

  /** A copy to work on. */
  copy(): KubeObject {
    return JSON.parse(this.json) as KubeObject;
  }
}

export function entryKey(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** One change of a collection. `lines` caches what watchers are sent, so that an event is serialised once for all of them. */
export interface Change {
  readonly type: ChangeType;
  readonly revision: number;
  readonly entry: Entry;
  readonly previous: Entry | undefined;
  readonly lines: Map<string, Buffer>;
}
