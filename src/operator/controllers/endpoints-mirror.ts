import { objectKey } from '../../kube/reflector.ts';
import { TableIndex } from '../../kube/tableindex.ts';
import type { EndpointSlice } from '../../kube/types.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { managedByLabel, serviceNameLabel } from '../endpointslices.ts';
import { isMirrored, mirroredBy, planMirror } from '../endpoints-mirror.ts';
import { WorkQueue } from '../queue.ts';

/** Endpoints that somebody wrote for a service without a selector, told again as slices: slices are all that nodes read. */
export function runEndpointsMirror(context: Context): void {
  const { cluster, log, signal } = context;
  const slices = new TableIndex(cluster.endpointSlices.table, serviceOf);
  const queue = new WorkQueue({ name: 'endpoints-mirror', handle, paceMs: 30, log, signal });
  enqueueOnChange(cluster.endpoints.table, endpoints => [objectKey(endpoints)], queue, signal);
  enqueueOnChange(cluster.services.table, service => [objectKey(service)], queue, signal);
  enqueueOnChange(cluster.endpointSlices.table, serviceOf, queue, signal);

  async function handle(key: string): Promise<void> {
    const endpoints = cluster.endpoints.get(key);
    const service = cluster.services.get(key);
    const existing = slices.get(key);
    if (!endpoints || !service || !isMirrored(endpoints, service)) {
      await Promise.all(existing.map(slice => cluster.endpointSlices.delete(slice)));
      return;
    }
    const plan = planMirror(endpoints, service, existing);
    await Promise.all([...plan.create.map(slice => cluster.endpointSlices.create(slice)), ...plan.update.map(slice => cluster.endpointSlices.update(slice))]);
    await Promise.all(plan.remove.map(slice => cluster.endpointSlices.delete(slice)));
  }
}

function serviceOf({ metadata: { labels, namespace } }: EndpointSlice): string[] {
  return labels?.[managedByLabel] === mirroredBy ? [`${namespace}/${labels[serviceNameLabel] ?? ''}`] : [];
}
