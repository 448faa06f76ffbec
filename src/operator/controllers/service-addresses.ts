import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import type { Service } from '../../kube/types.ts';
import { allocateServiceIps, takenBy } from '../../lb/service-addresses.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { WorkQueue } from '../queue.ts';

/**
 * Completes services that the API server stored without addresses. The API server does this itself when it makes a service;
 * this is the net below (objects written past it, restored stores). One at a time: two at once could choose the same address.
 */
export function runServiceAddresses(context: Context): void {
  const { cluster, record, log, signal } = context;
  const events = context.eventsAs('service-controller');
  const queue = new WorkQueue({ name: 'service-addresses', handle, concurrency: 1, log, signal });
  enqueueOnChange(cluster.services.table, service => (isIncomplete(service) ? [objectKey(service)] : []), queue, signal);

  async function handle(key: string): Promise<void> {
    const service = cluster.services.get(key);
    if (!service || !isIncomplete(service)) return;
    const result = allocateServiceIps(service.spec, takenBy(cluster.services.table.rows(), service.metadata.uid), record);
    if ('errors' in result) {
      for (const error of result.errors) events.record(service, 'Warning', 'AllocationFailed', `${error.field}: ${error.message}`);
      log.warn('service without addresses', { service: key, errors: result.errors });
      return;
    }
    if (isDeepStrictEqual({ ...service.spec, ...result.spec }, service.spec)) return;
    await cluster.services.patch(service, { spec: result.spec }, { onlyIf: 'unchanged' });
  }
}

function isIncomplete(service: Service): boolean {
  const { type, clusterIP, clusterIPs, ipFamilies, ports } = service.spec;
  if (type === 'ExternalName') return false;
  const needsNodePorts = (type === 'NodePort' || (type === 'LoadBalancer' && service.spec.allocateLoadBalancerNodePorts !== false)) && (ports ?? []).some(p => !p.nodePort);
  return !clusterIP || !clusterIPs?.length || !ipFamilies?.length || needsNodePorts;
}
