import type { KubeClient } from '../../kube/client.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { resources } from '../../kube/resources.ts';
import type { KubeObject } from '../../kube/types.ts';
import { identityCandidates } from '../../model/identity.ts';
import { LabelSet } from '../../model/labels.ts';
import { CirriError } from '../../std/errors.ts';
import type { Table } from '../../table/table.ts';

/** A number and the labels that it stands for, cluster-wide (CiliumIdentity) or of this node (CIDRs). */
export interface Identity {
  readonly id: number;
  readonly labels: LabelSet;
}

/** CiliumIdentity keeps labels as a map from `source:key` to value. */
interface CiliumIdentity extends KubeObject {
  readonly 'security-labels': Readonly<Record<string, string>>;
}

export function identityFromObject(object: KubeObject): Identity | undefined {
  const id = Number(object.metadata.name);
  const labels = (object as CiliumIdentity)['security-labels'];
  if (!Number.isInteger(id) || id < 256 || id > 65_535 || !labels) return undefined;
  return { id, labels: LabelSet.of(Object.entries(labels).map(([key, value]) => `${key}=${value}`)) };
}

/**
 * Identity numbers without a leader: the first number to try follows from the labels, the next ones in a fixed order. Who
 * creates the CiliumIdentity first owns the number; who loses the race reads it and, if it carries the same labels, uses
 * it. So equal labels end at one number on every node, and again after a restart with an empty store.
 */
export class IdentityAllocator {
  readonly #client: KubeClient;
  readonly #known: Table<Identity>;
  readonly #byLabels = new Map<string, number>();
  readonly #labelsOf = new Map<string, string>();
  readonly #inFlight = new Map<string, Promise<Identity>>();
  readonly #changes;

  constructor(dependencies: { readonly client: KubeClient; readonly known: Table<Identity> }) {
    this.#client = dependencies.client;
    this.#known = dependencies.known;
    this.#changes = this.#known.changes();
  }

  /** The number in use for these labels, if this node has heard of it. */
  lookup(labels: LabelSet): Identity | undefined {
    this.#refresh();
    const id = this.#byLabels.get(labels.toString());
    return id === undefined ? undefined : this.#known.get(String(id));
  }

  /** Finds or creates the identity. Rejects when the API cannot be reached and the labels are new. */
  async allocate(labels: LabelSet): Promise<Identity> {
    const known = this.lookup(labels);
    if (known) return known;
    const key = labels.toString();
    const running = this.#inFlight.get(key) ?? this.#create(labels).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, running);
    return running;
  }

  async #create(labels: LabelSet): Promise<Identity> {
    for (const id of identityCandidates(labels)) {
      const taken = this.#known.get(String(id));
      if (taken) {
        if (taken.labels.toString() === labels.toString()) return taken;
        continue;
      }
      const identity = await this.#claim(id, labels);
      if (!identity) continue;
      this.#known.upsert(identity);
      return identity;
    }
    throw new CirriError('ERR_IDENTITIES_EXHAUSTED', 'no identity number between 256 and 65535 is free', {
      mend: 'delete unused CiliumIdentity objects, or exclude labels that differ for each pod from identities',
    });
  }

  async #claim(id: number, labels: LabelSet): Promise<Identity | undefined> {
    try {
      await this.#client.create(resources.ciliumIdentities, identityObject(id, labels));
      return { id, labels };
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const owner = await this.#client.get(resources.ciliumIdentities, String(id));
      const found = owner && identityFromObject(owner);
      return found?.labels.toString() === labels.toString() ? found : undefined;
    }
  }

  #refresh(): void {
    const { changed, deleted } = this.#changes.take();
    for (const key of deleted) {
      const labels = this.#labelsOf.get(key);
      this.#labelsOf.delete(key);
      if (labels !== undefined && this.#byLabels.get(labels) === Number(key)) this.#byLabels.delete(labels);
    }
    for (const identity of changed) {
      const key = identity.labels.toString();
      this.#labelsOf.set(String(identity.id), key);
      const current = this.#byLabels.get(key);
      // Two numbers for one set of labels (possible after deletions): all nodes settle on the lower.
      if (current === undefined || identity.id < current || !this.#known.has(String(current))) this.#byLabels.set(key, identity.id);
    }
  }
}

function identityObject(id: number, labels: LabelSet): KubeObject {
  const entries = labels.array.map(text => {
    const at = text.indexOf('=');
    return at < 0 ? [text, ''] as const : [text.slice(0, at), text.slice(at + 1)] as const;
  });
  const kubernetes = Object.fromEntries(entries
    .filter(([key]) => key === 'k8s:io.kubernetes.pod.namespace')
    .map(([key, value]) => [key.slice('k8s:'.length), value]));
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumIdentity',
    metadata: { name: String(id), labels: kubernetes },
    'security-labels': Object.fromEntries(entries),
  };
}
