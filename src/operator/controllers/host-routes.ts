import { objectKey } from '../../kube/reflector.ts';
import { TableIndex } from '../../kube/tableindex.ts';
import type { EndpointSlice } from '../../kube/types.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { serviceNameLabel } from '../endpointslices.ts';
import { isLocalLoadBalancer, localRoutes, type LocalRoutes } from '../host-routes.ts';
import { WorkQueue } from '../queue.ts';

const againMs = 30_000;

/**
 * The part of the router between the host and the nodes, for services with externalTrafficPolicy Local. `apply` makes the routes;
 * without it (on a cluster whose router is another's) nothing is done.
 */
export function runHostRoutes(context: Context, apply: ((routes: LocalRoutes) => readonly string[]) | undefined): void {
  if (!apply) return;
  const { cluster, record, log, signal } = context;
  const slices = new TableIndex(cluster.endpointSlices.table, ownerOf);
  const concerned = new TableIndex(cluster.services.table, service => (isLocalLoadBalancer(service) ? ['local'] : []));
  const queue = new WorkQueue({ name: 'host-routes', handle, paceMs: 50, log, signal });
  enqueueOnChange(cluster.services.table, service => (isLocalLoadBalancer(service) ? ['all'] : []), queue, signal);
  enqueueOnChange(cluster.endpointSlices.table, slice => (isConcerned(slice) ? ['all'] : []), queue, signal);
  queue.add('all');

  function isConcerned(slice: EndpointSlice): boolean {
    const service = cluster.services.get(ownerOf(slice)[0] ?? '');
    return service !== undefined && isLocalLoadBalancer(service);
  }

  function handle(): Promise<number | undefined> {
    const routes = localRoutes(concerned.get('local'), service => slices.get(objectKey(service)), record);
    const changed = apply!(routes);
    if (changed.length > 0) log.info('routes to load balancer addresses', { changed: changed.slice(0, 20) });
    // They go with the bridge, when somebody takes it away: nothing tells of that.
    return Promise.resolve(routes.size > 0 ? againMs : undefined);
  }
}

function ownerOf({ metadata: { namespace, labels } }: EndpointSlice): string[] {
  return [`${namespace ?? ''}/${labels?.[serviceNameLabel] ?? ''}`];
}
