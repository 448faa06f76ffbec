import { reserved } from '../../model/identity.ts';
import type { Changes, Table } from '../../table/table.ts';
import { AddressBook, ranks, type AddressRow, type ClaimInput } from './book.ts';

/** A node as far as addresses go. */
export interface NodeAddresses {
  readonly name: string;
  readonly local: boolean;
  readonly underlay: readonly string[];
  readonly routers: readonly string[];
  /** Where the tunnel to this node ends; undefined with native routing and for the local node. */
  readonly tunnel?: string;
}

/** A pod's addresses and who it is. */
export interface PodAddresses {
  readonly addresses: readonly string[];
  readonly identity: number;
  /** RFC 3339; the later of two claims to an address wins. */
  readonly since: string;
  readonly tunnel?: string;
}

export interface AddressSourcesOptions {
  /** Ranges of the cluster's pods: an address in them that nobody claims is unknown (identity 0), not world. */
  readonly clusterPrefixes: readonly string[];
  readonly apiServers: readonly string[];
  readonly nodes: readonly NodeAddresses[];
  readonly dualStack: boolean;
}

export interface AddressSourcesDependencies<Local, Remote> {
  readonly local: Table<Local>;
  readonly localPod: (row: Local) => PodAddresses;
  readonly remote: Table<Remote>;
  /** Undefined for objects of this very node, and for what is not an endpoint (yet). */
  readonly remotePod: (row: Remote) => PodAddresses | undefined;
  /** Identities that policies know: an address waits for its identity, or it would be judged as nobody's. */
  readonly isKnown: (identity: number) => boolean;
  readonly identities: { changes(): Pick<Changes<{ readonly id: number }>, 'take' | 'pending'> };
  readonly prefixes: { readonly revision: number; entries(): Iterable<readonly [prefix: string, identity: number]> };
  /** Without it every other node is `remote-node`. */
  readonly nodeIdentities?: { readonly revision: number; of(node: { readonly name: string; readonly local: boolean; readonly addresses: readonly string[] }): number };
  /** Without it a pod is the same as a destination. */
  readonly networkIdentities?: { readonly revision: number; of(identity: number, address: string): number | undefined };
}

/** Keeps the address book level with its tables; a change costs work for what it names. */
export class AddressSources<Local, Remote> {
  readonly #options: AddressSourcesOptions;
  readonly #deps: AddressSourcesDependencies<Local, Remote>;
  readonly #book = new AddressBook();
  readonly #local: Changes<Local>;
  readonly #remote: Changes<Remote>;
  readonly #identities: Pick<Changes<{ readonly id: number }>, 'take' | 'pending'>;
  /** Remote pods by the identity that they wait for. */
  readonly #waiting = new Map<number, Set<string>>();
  #prefixRevision = -1;
  #nodeRevision = -1;
  #networkRevision = 0;

  constructor(options: AddressSourcesOptions, dependencies: AddressSourcesDependencies<Local, Remote>) {
    this.#options = options;
    this.#deps = dependencies;
    this.#local = dependencies.local.changes();
    this.#remote = dependencies.remote.changes();
    this.#identities = dependencies.identities.changes();
    this.#book.set('static', staticClaims(options));
  }

  /** What has changed: rows to write now, and prefixes to remove once nothing is judged by them any more. */
  take(): { readonly rows: readonly AddressRow[]; readonly gone: readonly string[] } {
    this.#takePrefixes();
    this.#takeNodes();
    this.#takeNetworks();
    this.#takeRemote();
    this.#takeLocal();
    return this.#book.take();
  }

  #takePrefixes(): void {
    const { prefixes } = this.#deps;
    if (prefixes.revision === this.#prefixRevision) return;
    this.#prefixRevision = prefixes.revision;
    this.#book.set('policies', [...prefixes.entries()].map(([address, identity]) => ({ address, identity, cluster: false, node: false, rank: ranks.policy })));
  }

  #takeNodes(): void {
    const { nodeIdentities } = this.#deps;
    const revision = nodeIdentities?.revision ?? 0;
    if (revision === this.#nodeRevision) return;
    this.#nodeRevision = revision;
    const of = (node: NodeAddresses) => nodeIdentities?.of({ ...node, addresses: [...node.underlay, ...node.routers] }) ?? (node.local ? reserved.host : reserved.remoteNode);
    this.#book.set('nodes', this.#options.nodes.flatMap(node => nodeClaims(node, of(node))));
  }

  /** Other networks: every pod's address may be another destination now. */
  #takeNetworks(): void {
    const { networkIdentities, local, remote } = this.#deps;
    if (!networkIdentities || networkIdentities.revision === this.#networkRevision) return;
    this.#networkRevision = networkIdentities.revision;
    for (const row of local.rows()) this.#setLocal(row);
    for (const row of remote.rows()) this.#setRemote(remote.keyOf(row), row);
  }

  #takeLocal(): void {
    const { changed, deleted } = this.#local.take();
    for (const key of deleted) this.#book.set(`local ${key}`, []);
    for (const row of changed) this.#setLocal(row);
  }

  #setLocal(row: Local): void {
    const { local, localPod } = this.#deps;
    this.#book.set(`local ${local.keyOf(row)}`, this.#podClaims(localPod(row), ranks.localPod));
  }

  #takeRemote(): void {
    const { remote } = this.#deps;
    const { changed, deleted } = this.#remote.take();
    for (const key of deleted) this.#book.set(`remote ${key}`, []);
    for (const row of changed) this.#setRemote(remote.keyOf(row), row);
    if (!this.#identities.pending) return;
    for (const { id } of this.#identities.take().changed) {
      const keys = this.#waiting.get(id);
      this.#waiting.delete(id);
      for (const key of keys ?? []) this.#setRemote(key, remote.get(key));
    }
  }

  #setRemote(key: string, row: Remote | undefined): void {
    const pod = row === undefined ? undefined : this.#deps.remotePod(row);
    const known = pod !== undefined && this.#deps.isKnown(pod.identity);
    this.#book.set(`remote ${key}`, known ? this.#podClaims(pod, ranks.remotePod) : []);
    if (!pod || known) return;
    const waiting = this.#waiting.get(pod.identity) ?? new Set<string>();
    this.#waiting.set(pod.identity, waiting.add(key));
  }

  #podClaims({ addresses, identity, since, tunnel }: PodAddresses, rank: number): ClaimInput[] {
    return addresses.map(address => {
      const policyIdentity = this.#deps.networkIdentities?.of(identity, address);
      return { address, identity, cluster: true, node: false, rank, since, ...(policyIdentity === undefined ? {} : { policyIdentity }), ...(tunnel === undefined ? {} : { tunnel }) };
    });
  }
}

function staticClaims(options: AddressSourcesOptions): ClaimInput[] {
  const plain = { cluster: false, node: false };
  return [
    { address: '0.0.0.0/0', identity: options.dualStack ? reserved.worldIPv4 : reserved.world, rank: ranks.world, ...plain },
    { address: '::/0', identity: options.dualStack ? reserved.worldIPv6 : reserved.world, rank: ranks.world, ...plain },
    ...options.clusterPrefixes.map(address => ({ address, identity: reserved.unknown, cluster: true, node: false, rank: ranks.cluster })),
    // No pod and no node: what pods send there leaves with the node's address, as to the world.
    ...options.apiServers.map(address => ({ address, identity: reserved.kubeApiserver, rank: ranks.apiServer, ...plain })),
  ];
}

function nodeClaims(node: NodeAddresses, identity: number): ClaimInput[] {
  const claim = (address: string): ClaimInput => ({ address, identity, cluster: true, node: true, rank: ranks.node });
  return [
    ...node.underlay.map(claim),
    ...node.routers.map(address => ({ ...claim(address), ...(node.tunnel === undefined ? {} : { tunnel: node.tunnel }) })),
  ];
}
