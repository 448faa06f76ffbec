import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import { matchesMap } from '../../kube/selector.ts';
import type { EndpointSlice, Pod, Service } from '../../kube/types.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { desiredEndpoints, managedBy, managedByLabel, planSlices, sameEndpoints, serviceNameLabel } from '../endpointslices.ts';
import { preferenceOf, zoneLabel, zoneShares } from '../topology-hints.ts';
import { WorkQueue } from '../queue.ts';
import { TableIndex } from '../../kube/tableindex.ts';

/** Endpoint slices, and the older Endpoints, of every service that has a selector. */
export function runEndpoints(context: Context): void {
  const { cluster, log, signal } = context;
  const zones = new Map<string, string | undefined>();
  let shares = zoneShares(cluster.nodes.table.rows());
  const slices = new TableIndex(cluster.endpointSlices.table, serviceOf);
  // A rollout changes pods many times a second; each of its steps reaches the slices within this time.
  const queue = new WorkQueue({ name: 'endpoints', handle, paceMs: 30, log, signal });
  const older = new WorkQueue({ name: 'legacy-endpoints', handle: handleOlder, paceMs: 200, concurrency: 4, log, signal });
  const both = { add: (key: string) => { queue.add(key); older.add(key); } };
  enqueueOnChange(cluster.services.table, service => [objectKey(service)], both, signal);
  enqueueOnChange(cluster.pods.table, servicesOf, both, signal);
  enqueueOnChange(cluster.endpointSlices.table, serviceOf, queue, signal);
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], { add: onNode }, signal);

  /** Nodes report every few seconds; only where they are, and how large their zones are, concerns endpoints. */
  function onNode(name: string): void {
    const zone = cluster.nodes.get(name)?.metadata.labels?.[zoneLabel];
    const known = zones.has(name);
    if (known && zones.get(name) !== zone) for (const pod of cluster.podsByNode.get(name)) for (const key of servicesOf(pod)) queue.add(key);
    if (cluster.nodes.get(name)) zones.set(name, zone);
    else zones.delete(name);
    const sizes = zoneShares(cluster.nodes.table.rows());
    if (isDeepStrictEqual(sizes, shares)) return;
    shares = sizes;
    for (const service of cluster.services.table.rows()) if (preferenceOf(service) === 'auto') queue.add(objectKey(service));
  }

  function servicesOf(pod: Pod): string[] {
    return cluster.servicesByNamespace.get(pod.metadata.namespace ?? '').filter(s => selects(s, pod)).map(objectKey);
  }

  function podsOf(service: Service): Pod[] {
    return cluster.podsByNamespace.get(service.metadata.namespace ?? '').filter(p => selects(service, p));
  }

  async function handle(key: string): Promise<void> {
    const service = cluster.services.get(key);
    if (!service || !isManaged(service)) return;
    const plan = planSlices(service, podsOf(service), slices.get(key), name => cluster.nodes.get(name), shares);
    const created = plan.create.map(s => cluster.endpointSlices.create(s));
    const updated = plan.update.map(s => cluster.endpointSlices.update(s));
    await Promise.all([...created, ...updated]);
    // Last: what moved into another slice must stand there before it leaves this one.
    await Promise.all(plan.remove.map(s => cluster.endpointSlices.delete(s)));
  }

  async function handleOlder(key: string): Promise<void> {
    const service = cluster.services.get(key);
    const existing = cluster.endpoints.get(key);
    if (!service) return existing?.metadata.labels?.['endpoints.kubernetes.io/managed-by'] ? cluster.endpoints.delete(existing) : undefined;
    if (!isManaged(service)) return;
    const wanted = desiredEndpoints(service, podsOf(service));
    if (!existing) await cluster.endpoints.create(wanted);
    else if (!sameEndpoints(existing, wanted)) await cluster.endpoints.patch(existing, { metadata: { labels: (wanted.metadata as { labels: object }).labels }, subsets: wanted['subsets'] });
  }
}

function isManaged(service: Service): boolean {
  return service.spec.selector !== undefined && Object.keys(service.spec.selector).length > 0 && service.spec.type !== 'ExternalName' && service.metadata.deletionTimestamp === undefined;
}

function selects(service: Service, pod: Pod): boolean {
  return isManaged(service) && matchesMap(service.spec.selector!, pod.metadata.labels);
}

/** The service of a slice that this controller made. */
function serviceOf(slice: EndpointSlice): string[] {
  const { labels, namespace } = slice.metadata;
  return labels?.[managedByLabel] === managedBy ? [`${namespace}/${labels[serviceNameLabel] ?? ''}`] : [];
}
