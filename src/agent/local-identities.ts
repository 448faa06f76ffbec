import type { NetworkIdentities, NetworkPod } from '../features/addresses/network-identities.ts';
import type { LabelledNode, NodeIdentities } from '../features/addresses/node-identities.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { remotePod, type CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import { objectKey } from '../kube/reflector.ts';
import type { Node } from '../kube/types.ts';
import { reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { NamedPorts } from '../policy/compile.ts';
import type { Changes, Table } from '../table/table.ts';
import type { EngineChanges } from './engine-changes.ts';
import type { NodeLabelKeys } from './node-label-keys.ts';
import { Overlap } from './overlap.ts';

export interface LocalIdentitiesOptions {
  readonly nodes: readonly Omit<LabelledNode, 'labels'>[];
  readonly ownNodeAddress: string;
  readonly clusterName: string;
}

export interface LocalIdentitiesDependencies {
  readonly nodes: Table<Node>;
  readonly endpoints: Table<Endpoint>;
  readonly ciliumEndpoints: Table<CiliumEndpoint>;
  readonly identities: Table<Identity>;
  readonly engine: Pick<EngineChanges, 'upsertIdentity' | 'removeIdentity' | 'networkPrefixes'>;
  readonly nodeIdentities: NodeIdentities;
  readonly networkIdentities: NetworkIdentities;
  readonly namedPorts: (identity: number) => readonly NamedPorts[];
  /** Whether every endpoint has the sets of the pass before. */
  readonly allFlipped: () => boolean;
}

/**
 * Identities that only this node knows and that follow from what policies say: nodes by the labels that policies name, and
 * pods as destinations by the networks that they name. The engine hears of them before a row of the kernel bears them.
 */
export class LocalIdentities {
  readonly #options: LocalIdentitiesOptions;
  readonly #deps: LocalIdentitiesDependencies;
  readonly #nodeChanges: Changes<Node>;
  readonly #endpointChanges: Changes<Endpoint>;
  readonly #remoteChanges: Changes<CiliumEndpoint>;
  readonly #identityChanges: Changes<Identity>;
  readonly #nodeKeys = new Overlap();
  readonly #networks = new Overlap();
  #keysRevision = -1;

  constructor(options: LocalIdentitiesOptions, dependencies: LocalIdentitiesDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#nodeChanges = dependencies.nodes.changes();
    this.#endpointChanges = dependencies.endpoints.changes();
    this.#remoteChanges = dependencies.ciliumEndpoints.changes();
    this.#identityChanges = dependencies.identities.changes();
  }

  /** Call after the engine has the policies and identities. */
  refresh(nodeKeys: Pick<NodeLabelKeys, 'revision' | 'keys'>, renamed: ReadonlySet<number>): void {
    this.#takeNodes(nodeKeys);
    this.#takeNetworks();
    for (const identity of renamed) this.#rename(identity);
  }

  /** True while numbers tell more apart than the policies ask for, for the sake of sets that were in force before: one pass more is needed. */
  get settling(): boolean {
    return this.#nodeKeys.settling || this.#networks.settling;
  }

  /** Labels of a number of either kind. */
  labels(id: number): LabelSet | undefined {
    return this.#deps.nodeIdentities.labels(id) ?? this.#deps.networkIdentities.labels(id);
  }

  *entries(): Generator<readonly [number, LabelSet]> {
    yield* this.#deps.nodeIdentities.entries();
    yield* this.#deps.networkIdentities.entries();
  }

  #takeNodes({ revision, keys }: Pick<NodeLabelKeys, 'revision' | 'keys'>): void {
    if (revision === this.#keysRevision && !this.#nodeChanges.pending && !this.#nodeKeys.settling) return;
    this.#keysRevision = revision;
    this.#nodeChanges.take();
    const nodes = this.#options.nodes.map((node): LabelledNode => ({ ...node, labels: this.#deps.nodes.get(node.name)?.metadata.labels ?? {} }));
    const { added, removed } = this.#deps.nodeIdentities.set(nodes, this.#nodeKeys.take(keys, this.#deps.allFlipped()), this.#options.clusterName);
    for (const id of removed) this.#deps.engine.removeIdentity(id);
    for (const [id, labels] of added) this.#deps.engine.upsertIdentity(id, labels);
  }

  #takeNetworks(): void {
    const { engine, networkIdentities, endpoints, ciliumEndpoints } = this.#deps;
    const local = this.#endpointChanges.take();
    const remote = this.#remoteChanges.take();
    this.#identityChanges.take();
    const { added, removed } = networkIdentities.refresh([...this.#networks.take(engine.networkPrefixes(), this.#deps.allFlipped())], {
      all: () => [...[...endpoints.rows()].map(localNetworkPod), ...[...ciliumEndpoints.rows()].flatMap(row => this.#remoteNetworkPod(row))],
      changed: [...local.changed.map(localNetworkPod), ...remote.changed.flatMap(row => this.#remoteNetworkPod(row))],
      gone: [...local.deleted.map(localKey), ...remote.deleted.map(remoteKey)],
    }, id => this.#labelsOf(id));
    for (const id of removed) engine.removeIdentity(id);
    for (const [id, labels, identity] of added) engine.upsertIdentity(id, labels, this.#deps.namedPorts(identity));
  }

  /** The ports that a pod gives names to are its ports as a destination too. */
  #rename(identity: number): void {
    for (const { id, labels } of this.#deps.networkIdentities.refined(identity)) if (labels) this.#deps.engine.upsertIdentity(id, labels, this.#deps.namedPorts(identity));
  }

  #remoteNetworkPod(object: CiliumEndpoint): NetworkPod[] {
    const pod = remotePod(object, { ownNodeAddress: this.#options.ownNodeAddress, tunnel: false });
    return pod ? [{ key: remoteKey(objectKey(object)), identity: pod.identity, addresses: pod.addresses }] : [];
  }

  #labelsOf(id: number): LabelSet | undefined {
    return this.#deps.identities.get(String(id))?.labels ?? reservedIdentities.find(identity => identity.id === id)?.labels;
  }
}

const localKey = (key: string): string => `local ${key}`;
const remoteKey = (key: string): string => `remote ${key}`;

function localNetworkPod(endpoint: Endpoint): NetworkPod {
  return { key: localKey(endpointKey(endpoint)), identity: endpoint.identity, addresses: endpointAddresses(endpoint) };
}
