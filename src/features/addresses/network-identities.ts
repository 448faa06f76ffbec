import type { IpcacheEntry, IpcacheKey } from '../../datapath/generated/structs.ts';
import { firstPrefixIdentity, networkIdentityLabels, prefixFamily } from '../../model/identity.ts';
import type { LabelSet } from '../../model/labels.ts';
import { formatPrefix, maskPrefix, parsePrefix } from '../../std/ip.ts';

/** A pod as far as its addresses go. */
export interface NetworkPod {
  readonly key: string;
  readonly identity: number;
  readonly addresses: readonly string[];
}

export interface NetworkChanges {
  /** Called when the networks have changed. */
  readonly all: () => Iterable<NetworkPod>;
  readonly changed: readonly NetworkPod[];
  readonly gone: readonly string[];
}

export interface NetworkIdentityChange {
  readonly added: readonly (readonly [id: number, labels: LabelSet, identity: number])[];
  readonly removed: readonly number[];
}

interface Pair {
  readonly id: number;
  readonly identity: number;
  readonly network: string;
  users: number;
  /** The pod's, and with the network; undefined while the pod's identity is not known. */
  pod: LabelSet | undefined;
  labels: LabelSet | undefined;
}

/** The upper half of the numbers that stay on a node; prefixes have the lower one. */
const firstNetworkIdentity = firstPrefixIdentity + (1 << 23);

/**
 * Who a pod is as a destination, where `networks` of cluster-wide policies select pods by their addresses: one number for
 * each pair of a pod's identity and the longest of those networks that its address lies in, known to this node only. While no
 * policy has `networks` there are none. A change costs work for the pods that it concerns.
 */
export class NetworkIdentities {
  readonly #pairs = new Map<string, Pair>();
  readonly #ofPod = new Map<string, readonly string[]>();
  /** Of an earlier agent: number and identity by address. */
  readonly #adopted = new Map<string, { readonly id: number; readonly identity: number }>();
  /** Numbers of an earlier agent by pair, as soon as the networks are known. */
  readonly #adoptedPairs = new Map<string, number>();
  readonly #used = new Set<number>();
  #networks: ReadonlySet<string> = new Set();
  #lengths: Readonly<Record<'ipv4' | 'ipv6', readonly number[]>> = { ipv4: [], ipv6: [] };
  #current: string | undefined;
  #next = firstNetworkIdentity;
  #revision = 0;

  /** Counts changes of the networks: then every pod's address may have another number. */
  get revision(): number {
    return this.#revision;
  }

  adopt(entries: Iterable<readonly [IpcacheKey, Pick<IpcacheEntry, 'identity' | 'policyIdentity'>]>): void {
    for (const [key, { identity, policyIdentity }] of entries) {
      if (policyIdentity < firstNetworkIdentity) continue;
      this.#adopted.set(formatPrefix({ addr: key.addr, bits: key.prefixBits }), { id: policyIdentity, identity });
      this.#next = Math.max(this.#next, policyIdentity + 1);
    }
  }

  /** Takes the present networks and what has changed of the pods. `labelsOf`: of a pod's identity, undefined while unknown. */
  refresh(networks: readonly string[], pods: NetworkChanges, labelsOf: (identity: number) => LabelSet | undefined): NetworkIdentityChange {
    const before = new Map([...this.#pairs.values()].filter(pair => pair.labels).map(pair => [pair.id, pair.labels!] as const));
    const isNew = this.#takeNetworks(networks);
    if (isNew) for (const key of [...this.#ofPod.keys()]) this.#setPod(key, []);
    for (const key of pods.gone) this.#setPod(key, []);
    if (this.#networks.size > 0) for (const pod of isNew ? pods.all() : pods.changed) this.#setPod(pod.key, this.#pairsOf(pod));
    return this.#relabel(before, labelsOf);
  }

  /** The number that egress policy sees for a pod at an address; undefined: its own. */
  of(identity: number, address: string): number | undefined {
    if (this.#current === undefined) {
      const adopted = this.#adopted.get(hostPrefix(address));
      return adopted?.identity === identity ? adopted.id : undefined;
    }
    const network = this.#networkOf(address);
    const pair = network === undefined ? undefined : this.#pairs.get(`${identity} ${network}`);
    // Without labels the engine does not know it, and it would be judged as nobody.
    return pair?.labels && pair.id;
  }

  labels(id: number): LabelSet | undefined {
    return [...this.#pairs.values()].find(pair => pair.id === id)?.labels;
  }

  /** The numbers that stand for pods of this identity. */
  refined(identity: number): readonly Pair[] {
    return [...this.#networks].flatMap(network => this.#pairs.get(`${identity} ${network}`) ?? []).filter(pair => pair.labels);
  }

  *entries(): Generator<readonly [number, LabelSet]> {
    for (const { id, labels } of this.#pairs.values()) if (labels) yield [id, labels];
  }

  #takeNetworks(networks: readonly string[]): boolean {
    const wanted = networks.map(text => formatPrefix(parsePrefix(text))).sort();
    const text = wanted.join();
    if (text === this.#current) return false;
    this.#current = text;
    this.#revision++;
    this.#networks = new Set(wanted);
    const lengths = { ipv4: new Set<number>(), ipv6: new Set<number>() };
    for (const prefix of wanted.map(parsePrefix)) lengths[prefixFamily(prefix)].add(prefix.bits);
    const longestFirst = (set: ReadonlySet<number>) => [...set].sort((a, b) => b - a);
    this.#lengths = { ipv4: longestFirst(lengths.ipv4), ipv6: longestFirst(lengths.ipv6) };
    for (const [address, { id, identity }] of this.#adopted) {
      const network = this.#networkOf(address);
      if (network !== undefined && !this.#adoptedPairs.has(`${identity} ${network}`)) this.#adoptedPairs.set(`${identity} ${network}`, id);
    }
    this.#adopted.clear();
    return true;
  }

  #networkOf(address: string): string | undefined {
    const { addr, bits } = parsePrefix(address);
    for (const length of this.#lengths[prefixFamily({ addr, bits })]) {
      const network = formatPrefix(maskPrefix({ addr, bits: length }));
      if (this.#networks.has(network)) return network;
    }
    return undefined;
  }

  #pairsOf({ identity, addresses }: NetworkPod): string[] {
    const networks = addresses.map(address => this.#networkOf(address)).filter(network => network !== undefined);
    return [...new Set(networks)].map(network => `${identity} ${network}`);
  }

  #setPod(key: string, pairs: readonly string[]): void {
    for (const text of pairs) {
      const [identity, network] = text.split(' ') as [string, string];
      const pair = this.#pairs.get(text) ?? { id: this.#number(text), identity: Number(identity), network, users: 0, pod: undefined, labels: undefined };
      pair.users++;
      this.#pairs.set(text, pair);
    }
    for (const text of this.#ofPod.get(key) ?? []) this.#pairs.get(text)!.users--;
    if (pairs.length > 0) this.#ofPod.set(key, pairs);
    else this.#ofPod.delete(key);
  }

  #number(pair: string): number {
    const adopted = this.#adoptedPairs.get(pair);
    const id = adopted === undefined || this.#used.has(adopted) ? this.#next++ : adopted;
    this.#used.add(id);
    return id;
  }

  #relabel(before: ReadonlyMap<number, LabelSet>, labelsOf: (identity: number) => LabelSet | undefined): NetworkIdentityChange {
    const added: (readonly [number, LabelSet, number])[] = [];
    for (const [text, pair] of this.#pairs) {
      if (pair.users === 0) {
        this.#pairs.delete(text);
        continue;
      }
      const labels = labelsOf(pair.identity);
      if (labels !== pair.pod) {
        pair.pod = labels;
        pair.labels = labels && networkIdentityLabels(labels, pair.network);
      }
      if (pair.labels && before.get(pair.id)?.toString() !== pair.labels.toString()) added.push([pair.id, pair.labels, pair.identity]);
    }
    const present = new Set([...this.#pairs.values()].filter(pair => pair.labels).map(pair => pair.id));
    return { added, removed: [...before.keys()].filter(id => !present.has(id)) };
  }
}

/** Canonical, as one address. */
function hostPrefix(address: string): string {
  return formatPrefix(parsePrefix(address));
}
