import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists } from '../../kube/errors.ts';
import type { KubeObject } from '../../kube/types.ts';
import { addrAt, formatAddr, parsePrefix } from '../../std/ip.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import type { Collection, NewObject } from '../collection.ts';
import { serviceNameLabel } from '../endpointslices.ts';
import { WorkQueue } from '../queue.ts';

/** The API server's port on the underlay: what the service `kubernetes` leads to. */
export const apiPort = 6443;

/** `default/kubernetes`: the way from pods to the API. No selector, so its endpoints are written here. */
export function runKubernetesService(context: Context): void {
  const { cluster, record, log, signal } = context;
  const key = 'default/kubernetes';
  const queue = new WorkQueue({ name: 'kubernetes-service', handle, paceMs: 50, log, signal });
  const whenIts = (o: KubeObject) => (o.metadata.namespace === 'default' && o.metadata.name === 'kubernetes' ? [key] : []);
  enqueueOnChange(cluster.services.table, whenIts, queue, signal);
  enqueueOnChange(cluster.endpointSlices.table, whenIts, queue, signal);
  enqueueOnChange(cluster.endpoints.table, whenIts, queue, signal);
  enqueueOnChange(cluster.namespaces.table, namespace => (namespace.metadata.name === 'default' ? [key] : []), queue, signal);
  queue.add(key);

  async function handle(): Promise<void> {
    const metadata = { name: 'kubernetes', namespace: 'default' };
    const clusterIP = formatAddr(addrAt(parsePrefix(record.serviceCidr4), 1));
    const ports = [{ name: 'https', port: 443, protocol: 'TCP', targetPort: apiPort }];
    await ensure(cluster.services, key, {
      apiVersion: 'v1', kind: 'Service', metadata: { ...metadata, labels: { component: 'apiserver', provider: 'kubernetes' } },
      spec: { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports, sessionAffinity: 'None' },
    }, []);
    const endpointPorts = [{ name: 'https', port: apiPort, protocol: 'TCP' }];
    await ensure(cluster.endpointSlices, key, {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { ...metadata, labels: { [serviceNameLabel]: 'kubernetes' } },
      addressType: 'IPv4', endpoints: [{ addresses: [record.underlay.host4], conditions: { ready: true } }], ports: endpointPorts,
    }, ['endpoints', 'ports']);
    await ensure(cluster.endpoints, key, {
      apiVersion: 'v1', kind: 'Endpoints', metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
      subsets: [{ addresses: [{ ip: record.underlay.host4 }], ports: endpointPorts }],
    }, ['subsets']);
  }
}

/** Creates the object, or puts the named fields right where they say something else. */
async function ensure<T extends KubeObject>(collection: Collection<T>, key: string, wanted: NewObject, fields: readonly string[]): Promise<void> {
  const existing = collection.get(key);
  if (existing) {
    const wrong = fields.filter(f => !isDeepStrictEqual(withoutDefaults(existing[f]), withoutDefaults(wanted[f])));
    if (wrong.length > 0) await collection.patch(existing, Object.fromEntries(wrong.map(f => [f, wanted[f]])));
    return;
  }
  try {
    await collection.create(wanted);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

function withoutDefaults(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null, (_, v: unknown) => (v === null ? undefined : v)) ?? 'null') as unknown;
}
