import { createEventRecorder } from '../kube/events.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import type { Resource } from '../kube/resources.ts';
import type {
  DaemonSet, Deployment, EndpointSlice, Endpoints, Job, KubeObject, Lease, Namespace, Node, Pod, ReplicaSet, Service, StatefulSet,
} from '../kube/types.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';
import { Collection } from './collection.ts';
import { controllerOf } from './pods.ts';
import type { WorkQueue } from './queue.ts';
import { TableIndex } from '../kube/tableindex.ts';

/** What every controller is given. */
export interface Context {
  readonly client: KubeClient;
  readonly record: ClusterRecord;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly now: () => number;
  readonly cluster: Cluster;
  /** A recorder that speaks as this component. */
  readonly eventsAs: (component: string) => EventRecorder;
}

/** All collections that controllers read, each reflected once, with the indices that they share. */
export class Cluster {
  readonly pods: Collection<Pod>;
  readonly nodes: Collection<Node>;
  readonly leases: Collection<Lease>;
  readonly namespaces: Collection<Namespace>;
  readonly services: Collection<Service>;
  readonly endpoints: Collection<Endpoints>;
  readonly endpointSlices: Collection<EndpointSlice>;
  readonly deployments: Collection<Deployment>;
  readonly replicaSets: Collection<ReplicaSet>;
  readonly daemonSets: Collection<DaemonSet>;
  readonly statefulSets: Collection<StatefulSet>;
  readonly jobs: Collection<Job>;
  readonly serviceAccounts: Collection<KubeObject>;
  readonly configMaps: Collection<KubeObject>;
  readonly secrets: Collection<KubeObject>;
  readonly loadBalancerPools: Collection<KubeObject>;
  readonly localRedirectPolicies: Collection<KubeObject>;
  readonly all: readonly Collection<KubeObject>[];

  /** By the uid of the controlling owner; pods of nobody under `orphans NAMESPACE`. */
  readonly podsByOwner: TableIndex<Pod>;
  readonly podsByNamespace: TableIndex<Pod>;
  readonly podsByNode: TableIndex<Pod>;
  readonly replicaSetsByOwner: TableIndex<ReplicaSet>;
  readonly servicesByNamespace: TableIndex<Service>;

  constructor(dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger }) {
    const all: Collection<KubeObject>[] = [];
    const collect = <T extends KubeObject>(resource: Resource): Collection<T> => {
      const collection = new Collection<T>(resource, dependencies);
      all.push(collection as unknown as Collection<KubeObject>);
      return collection;
    };
    this.pods = collect(resources.pods);
    this.nodes = collect(resources.nodes);
    this.leases = collect(resources.leases);
    this.namespaces = collect(resources.namespaces);
    this.services = collect(resources.services);
    this.endpoints = collect(resources.endpoints);
    this.endpointSlices = collect(resources.endpointSlices);
    this.deployments = collect(resources.deployments);
    this.replicaSets = collect(resources.replicaSets);
    this.daemonSets = collect(resources.daemonSets);
    this.statefulSets = collect(resources.statefulSets);
    this.jobs = collect(resources.jobs);
    this.serviceAccounts = collect(resources.serviceAccounts);
    this.configMaps = collect(resources.configMaps);
    this.secrets = collect(resources.secrets);
    this.loadBalancerPools = collect(resources.ciliumLoadBalancerIpPools);
    this.localRedirectPolicies = collect(resources.ciliumLocalRedirectPolicies);
    this.all = all;
    this.podsByOwner = new TableIndex(this.pods.table, ownerKey);
    this.podsByNamespace = new TableIndex(this.pods.table, pod => [pod.metadata.namespace ?? '']);
    this.podsByNode = new TableIndex(this.pods.table, pod => (pod.spec.nodeName ? [pod.spec.nodeName] : []));
    this.replicaSetsByOwner = new TableIndex(this.replicaSets.table, ownerKey);
    this.servicesByNamespace = new TableIndex(this.services.table, service => [service.metadata.namespace ?? '']);
  }

  async whenSynced(): Promise<void> {
    await Promise.all(this.all.map(c => c.synced));
  }
}

function ownerKey(object: KubeObject): string[] {
  const controller = controllerOf(object);
  return [controller?.uid ?? `orphans ${object.metadata.namespace ?? ''}`];
}

/** The objects of an owner and those of nobody beside it: what a claim chooses from. */
export function ownedAndOrphans<T>(index: TableIndex<T>, owner: KubeObject): T[] {
  return [...index.get(owner.metadata.uid ?? ''), ...index.get(`orphans ${owner.metadata.namespace ?? ''}`)];
}

/**
 * Puts keys into a queue for every row that changes: those that the row leads to now, and those it led to before.
 * Ends with the signal.
 */
export function enqueueOnChange<R>(table: Table<R>, keysOf: (row: R) => readonly string[], queue: Pick<WorkQueue, 'add'>, signal: AbortSignal): void {
  // The rows and not their keys: where a row leads to may depend on what came after it, as the service did that selects a pod.
  const before = new Map<string, R>();
  let marked = false;
  const changes = table.changes(() => {
    if (marked) return;
    marked = true;
    queueMicrotask(take);
  });
  function take(): void {
    marked = false;
    if (signal.aborted) return changes.stop();
    const { changed, deleted } = changes.take();
    const add = (row: R | undefined) => row !== undefined && keysOf(row).forEach(key => queue.add(key));
    for (const primary of deleted) {
      add(before.get(primary));
      before.delete(primary);
    }
    for (const row of changed) {
      const primary = table.keyOf(row);
      add(before.get(primary));
      add(row);
      before.set(primary, row);
    }
  }
  take();
}

/** Runs `task` for every item, `width` at a time. After a failure no more are begun; the first failure is thrown at the end. */
export async function inParallel<T>(items: readonly T[], width: number, task: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const lane = async () => {
    while (next < items.length && !failure) {
      try {
        await task(items[next++]!);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  if (failure) throw failure.error;
}

export function createContext(
  options: { readonly client: KubeClient; readonly record: ClusterRecord; readonly signal: AbortSignal; readonly log: Logger; readonly now?: () => number },
): Context {
  const { client, record, signal, log, now = Date.now } = options;
  return {
    client, record, signal, log, now,
    cluster: new Cluster({ client, signal, log }),
    eventsAs: component => createEventRecorder({ client, component, signal, log, now }),
  };
}
