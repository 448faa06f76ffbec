import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { FlowPod } from '../flows/enrich.ts';
import type { Pod } from '../kube/types.ts';
import { workloadAnnotation, workloadFromText, workloadOf, type Workload } from '../kube/workload.ts';
import type { Table } from '../table/table.ts';

export interface PodNameSources {
  readonly endpoints: Table<Endpoint>;
  readonly ciliumEndpoints: Table<CiliumEndpoint>;
  /** This node's. */
  readonly pods: Table<Pod>;
}

interface Owner {
  readonly pod: FlowPod;
  readonly identity: number;
  /** Its row. */
  readonly key: string;
  isGone: boolean;
}

/** Pods that have gone and are still remembered: their last packets and the ends of their connections are seen after them. */
const rememberedPods = 4096;

/**
 * Whose address it is. Of an address the last two owners are known, as what the second sends may be read before what the first
 * sent; an identity or a local endpoint's number tells them apart.
 */
export class PodNames {
  readonly #sources: PodNameSources;
  readonly #byAddress = new Map<string, Owner[]>();
  readonly #byEndpoint = new Map<number, FlowPod>();
  readonly #addressesOf = new Map<string, readonly string[]>();
  readonly #endpointOf = new Map<string, number>();
  readonly #gone: (() => void)[] = [];
  readonly #local;
  readonly #remote;
  readonly #pods;

  constructor(sources: PodNameSources) {
    this.#sources = sources;
    this.#local = sources.endpoints.changes();
    this.#remote = sources.ciliumEndpoints.changes();
    this.#pods = sources.pods.changes();
  }

  /** Counts changes. */
  get revision(): number {
    const { endpoints, ciliumEndpoints, pods } = this.#sources;
    return endpoints.revision + ciliumEndpoints.revision + pods.revision;
  }

  pod(ip: string, identity = 0, endpoint = 0): FlowPod | undefined {
    this.#refresh();
    const known = endpoint === 0 ? undefined : this.#byEndpoint.get(endpoint);
    if (known) return known;
    const owners = this.#byAddress.get(ip);
    const last = owners?.at(-1);
    if (!last || identity === 0 || last.identity === identity) return last?.pod;
    // The owner before, or one whose labels have changed; not one that has gone when another is there already.
    return owners!.find(owner => owner.identity === identity)?.pod ?? (last.isGone ? undefined : last.pod);
  }

  #refresh(): void {
    if (this.#remote.pending) this.#takeRemote();
    if (this.#local.pending || this.#pods.pending) this.#takeLocal();
  }

  #takeRemote(): void {
    const { changed, deleted } = this.#remote.take();
    for (const key of deleted) this.#leave(`remote ${key}`);
    for (const object of changed) {
      const { namespace = '', name, annotations } = object.metadata;
      const addresses = (object.status?.networking.addressing ?? []).flatMap(pair => endpointAddresses(pair));
      this.#enter(`remote ${namespace}/${name}`, addresses, { pod: flowPod(namespace, name, workloadFromText(annotations?.[workloadAnnotation])), identity: object.status?.identity.id ?? 0 });
    }
  }

  #takeLocal(): void {
    const endpoints = this.#sources.endpoints;
    const { changed, deleted } = this.#local.take();
    for (const key of deleted) this.#leave(`local ${key}`);
    const touched = new Set(changed);
    const pods = new Set(this.#pods.take().changed.map(pod => `${pod.metadata.namespace}/${pod.metadata.name}`));
    if (pods.size > 0) for (const endpoint of endpoints.rows()) if (pods.has(`${endpoint.namespace}/${endpoint.podName}`)) touched.add(endpoint);
    for (const endpoint of touched) this.#takeEndpoint(endpoint);
  }

  #takeEndpoint(endpoint: Endpoint): void {
    const { endpoints, pods } = this.#sources;
    const key = `local ${endpoints.keyOf(endpoint)}`;
    if (endpoint.podName === '') {
      this.#leave(key);
      return;
    }
    const object = pods.get(`${endpoint.namespace}/${endpoint.podName}`);
    // A pod that was made again under the same name is another one.
    const workload = object && (endpoint.podUid === '' || object.metadata.uid === endpoint.podUid) ? workloadOf(object) : this.#workloadBefore(endpoint.id);
    const pod = flowPod(endpoint.namespace, endpoint.podName, workload);
    this.#byEndpoint.set(endpoint.id, pod);
    this.#endpointOf.set(key, endpoint.id);
    this.#enter(key, endpointAddresses(endpoint), { pod, identity: endpoint.identity });
  }

  #workloadBefore(endpoint: number): Workload | undefined {
    return this.#byEndpoint.get(endpoint)?.workloads?.[0];
  }

  #enter(key: string, addresses: readonly string[], { pod, identity }: Pick<Owner, 'pod' | 'identity'>): void {
    this.#addressesOf.set(key, addresses);
    for (const address of addresses) {
      const others = (this.#byAddress.get(address) ?? []).filter(owner => owner.key !== key);
      // Both tables say the same of this node's pods; the local one knows first, and knows more.
      const isKnownLocally = key.startsWith('remote ') && others.some(owner => owner.key.startsWith('local ') && !owner.isGone && owner.pod.name === pod.name && owner.pod.namespace === pod.namespace);
      if (!isKnownLocally) this.#byAddress.set(address, [...others.slice(-1), { pod, identity, key, isGone: false }]);
    }
  }

  #leave(key: string): void {
    const addresses = this.#addressesOf.get(key) ?? [];
    const endpoint = this.#endpointOf.get(key);
    this.#addressesOf.delete(key);
    this.#endpointOf.delete(key);
    const owners = addresses.flatMap(address => (this.#byAddress.get(address) ?? []).filter(owner => owner.key === key));
    for (const owner of owners) owner.isGone = true;
    this.#gone.push(() => {
      if (endpoint !== undefined) this.#byEndpoint.delete(endpoint);
      for (const address of addresses) {
        const left = (this.#byAddress.get(address) ?? []).filter(owner => !owners.includes(owner));
        if (left.length > 0) this.#byAddress.set(address, left);
        else this.#byAddress.delete(address);
      }
    });
    if (this.#gone.length > rememberedPods) this.#gone.shift()!();
  }
}

function flowPod(namespace: string, name: string, workload: Workload | undefined): FlowPod {
  return { namespace, name, ...(workload && { workloads: [workload] }) };
}
