import type { IpcacheEntry, IpcacheKey } from '../../datapath/generated/structs.ts';
import { firstRemoteNodeIdentity, identityScope, labelKeys, reserved } from '../../model/identity.ts';
import { LabelSet, type Label } from '../../model/labels.ts';
import { formatPrefix, parsePrefix } from '../../std/ip.ts';

/** A node as policies see it. */
export interface LabelledNode {
  readonly name: string;
  readonly local: boolean;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface NodeIdentityChange {
  readonly changed: boolean;
  readonly added: readonly (readonly [number, LabelSet])[];
  readonly removed: readonly number[];
}

/**
 * Identities of nodes by their labels, where policies name labels of nodes: one number for each set of the labels that they
 * name, known to this node only. As long as no policy does, all other nodes are `remote-node`: a thousand nodes cost nothing.
 * A number stays with its labels, and over a restart with the address that the kernel's ipcache has it for.
 */
export class NodeIdentities {
  readonly #adopted = new Map<string, number>();
  readonly #byLabels = new Map<string, number>();
  readonly #byNode = new Map<string, number>();
  readonly #labels = new Map<number, LabelSet>();
  #next = firstRemoteNodeIdentity;
  #known = false;
  #revision = 0;

  /** Counts changes of what `of` says. */
  get revision(): number {
    return this.#revision;
  }

  adopt(entries: Iterable<readonly [IpcacheKey, Pick<IpcacheEntry, 'identity'>]>): void {
    for (const [key, { identity }] of entries) {
      if (identityScope(identity) !== 'remote-node') continue;
      this.#adopted.set(formatPrefix({ addr: key.addr, bits: key.prefixBits }), identity);
      this.#next = Math.max(this.#next, identity + 1);
      this.#revision++;
    }
  }

  /** `keys`: labels of nodes that policies name. The local node keeps its number; what it gets is labels. */
  set(nodes: readonly LabelledNode[], keys: ReadonlySet<string>, clusterName: string): NodeIdentityChange {
    const before = new Map(this.#labels);
    const was = [...this.#byNode].join();
    this.#known = true;
    this.#byNode.clear();
    this.#labels.clear();
    for (const node of keys.size === 0 ? [] : nodes) {
      const labels = nodeLabels(node, keys, clusterName);
      const id = node.local ? reserved.host : this.#byLabels.get(labels.toString()) ?? this.#number(node, before);
      if (!node.local) this.#byLabels.set(labels.toString(), id);
      this.#labels.set(id, labels);
      this.#byNode.set(node.name, id);
    }
    for (const [labels, id] of this.#byLabels) if (!this.#labels.has(id)) this.#byLabels.delete(labels);
    const added = [...this.#labels].filter(([id, labels]) => before.get(id)?.toString() !== labels.toString());
    const removed = [...before.keys()].filter(id => !this.#labels.has(id));
    if ([...this.#byNode].join() !== was || this.#adopted.size > 0) this.#revision++;
    this.#adopted.clear();
    return { changed: added.length + removed.length > 0, added, removed };
  }

  /** Who a node is at its addresses. */
  of(node: { readonly name: string; readonly local: boolean; readonly addresses: readonly string[] }): number {
    if (node.local) return reserved.host;
    // Until the nodes' labels have been read, the sets of an earlier agent are in force, and they know its numbers.
    return (this.#known ? this.#byNode.get(node.name) : this.#adoptedOf(node)) ?? reserved.remoteNode;
  }

  labels(id: number): LabelSet | undefined {
    return this.#labels.get(id);
  }

  entries(): Iterable<readonly [number, LabelSet]> {
    return this.#labels;
  }

  #number(node: LabelledNode, before: ReadonlyMap<number, LabelSet>): number {
    const adopted = this.#adoptedOf(node);
    return adopted === undefined || this.#labels.has(adopted) || before.has(adopted) ? this.#next++ : adopted;
  }

  #adoptedOf({ addresses }: { readonly addresses: readonly string[] }): number | undefined {
    return addresses.map(address => this.#adopted.get(formatPrefix(parsePrefix(address)))).find(id => id !== undefined);
  }
}

/** As upstream's with enable-node-selector-labels, of the labels that somebody asks for. */
function nodeLabels(node: LabelledNode, keys: ReadonlySet<string>, clusterName: string): LabelSet {
  const named = Object.entries(node.labels).filter(([key]) => keys.has(key)).map(([key, value]): Label => ({ source: 'node', key, value }));
  return LabelSet.fromLabels([{ source: 'reserved', key: node.local ? 'host' : 'remote-node', value: '' }, { source: 'k8s', key: labelKeys.cluster, value: clusterName }, ...named]);
}
