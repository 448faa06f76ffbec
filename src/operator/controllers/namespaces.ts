import { isAlreadyExists } from '../../kube/errors.ts';
import type { KubeObject } from '../../kube/types.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import type { Collection, NewObject } from '../collection.ts';
import { WorkQueue } from '../queue.ts';

const rootCaName = 'kube-root-ca.crt';

/** What every namespace has from its first moment: the service account `default` and the cluster's CA. */
export function runNamespaces(context: Context, rootCa: string | undefined): void {
  const { cluster, log, signal } = context;
  const queue = new WorkQueue({ name: 'namespaces', handle, log, signal });
  enqueueOnChange(cluster.namespaces.table, namespace => [namespace.metadata.name], queue, signal);
  enqueueOnChange(cluster.serviceAccounts.table, o => (o.metadata.name === 'default' ? [o.metadata.namespace ?? ''] : []), queue, signal);
  enqueueOnChange(cluster.configMaps.table, o => (o.metadata.name === rootCaName ? [o.metadata.namespace ?? ''] : []), queue, signal);

  async function handle(name: string): Promise<void> {
    const namespace = cluster.namespaces.get(name);
    if (!namespace || namespace.metadata.deletionTimestamp !== undefined || namespace.status?.phase === 'Terminating') return;
    await ensure(cluster.serviceAccounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } });
    if (rootCa === undefined) return;
    const data = { 'ca.crt': rootCa };
    const existing = cluster.configMaps.get(`${name}/${rootCaName}`);
    if (!existing) await ensure(cluster.configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: rootCaName, namespace: name }, data });
    else if ((existing['data'] as typeof data | undefined)?.['ca.crt'] !== rootCa) await cluster.configMaps.patch(existing, { data });
  }
}

async function ensure(collection: Collection<KubeObject>, object: NewObject & { readonly metadata: { readonly name: string; readonly namespace: string } }): Promise<void> {
  if (collection.get(`${object.metadata.namespace}/${object.metadata.name}`)) return;
  try {
    await collection.create(object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
