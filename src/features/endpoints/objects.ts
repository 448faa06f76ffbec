import type { KubeClient } from '../../kube/client.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { resources } from '../../kube/resources.ts';
import type { KubeObject, Pod } from '../../kube/types.ts';
import { workloadAnnotation, workloadOf, workloadText } from '../../kube/workload.ts';
import type { Table } from '../../table/table.ts';
import { endpointAddresses, type Endpoint } from './endpoint.ts';

/** The status of a CiliumEndpoint as far as this project writes and reads it. */
export interface CiliumEndpointStatus {
  readonly id: number;
  readonly identity: { readonly id: number; readonly labels: readonly string[] };
  readonly networking: {
    readonly addressing: readonly { readonly ipv4?: string; readonly ipv6?: string }[];
    readonly node: string;
  };
  readonly state: 'ready';
  readonly 'named-ports'?: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
}

export interface CiliumEndpoint extends KubeObject {
  readonly status?: CiliumEndpointStatus;
}

/**
 * What other nodes learn of an endpoint: its addresses, its identity, where it lives, and who runs its pod. Pods without a name
 * have none.
 */
export function endpointObject(endpoint: Endpoint, nodeAddress: string, pod?: KubeObject): CiliumEndpoint {
  // A pod that was made again under the same name is another one.
  const workload = pod && (endpoint.podUid === '' || pod.metadata.uid === endpoint.podUid) ? workloadOf(pod) : undefined;
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumEndpoint',
    metadata: {
      name: endpoint.podName,
      namespace: endpoint.namespace,
      ...(workload && { annotations: { [workloadAnnotation]: workloadText(workload) } }),
      ...(endpoint.podUid === '' ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: endpoint.podName, uid: endpoint.podUid }] }),
    },
    status: {
      id: endpoint.id,
      identity: { id: endpoint.identity, labels: endpoint.labels },
      networking: {
        addressing: [{ ...(endpoint.ipv4 ? { ipv4: endpoint.ipv4 } : {}), ...(endpoint.ipv6 ? { ipv6: endpoint.ipv6 } : {}) }],
        node: nodeAddress,
      },
      state: 'ready',
      ...(endpoint.namedPorts.length > 0 ? { 'named-ports': endpoint.namedPorts } : {}),
    },
  };
}

/**
 * Makes this node's CiliumEndpoints equal to its endpoints: level-triggered, against what the API was last seen to hold.
 * A pod that was made again under the same name on another node belongs to that node: its object is left alone.
 */
export async function publishEndpoints(
  options: { readonly nodeAddress: string },
  dependencies: { readonly client: KubeClient; readonly local: Table<Endpoint>; readonly pods: Table<Pod>; readonly published: Table<CiliumEndpoint> },
): Promise<void> {
  const { client, local, pods, published } = dependencies;
  const wanted = new Map<string, CiliumEndpoint>();
  for (const endpoint of local.rows()) {
    if (endpoint.podName === '') continue;
    const key = `${endpoint.namespace}/${endpoint.podName}`;
    wanted.set(key, endpointObject(endpoint, options.nodeAddress, pods.get(key)));
  }
  const work: Promise<void>[] = [];
  for (const [key, object] of wanted) {
    const present = published.get(key);
    if (present && sameStatus(present, object)) continue;
    work.push(present ? overwrite(client, object) : create(client, object));
  }
  for (const object of published.rows()) {
    const mine = object.status?.networking.node === options.nodeAddress;
    if (mine && !wanted.has(`${object.metadata.namespace}/${object.metadata.name}`)) work.push(remove(client, object));
  }
  const results = await Promise.allSettled(work);
  const failed = results.find(result => result.status === 'rejected');
  if (failed) throw failed.reason;
}

function sameStatus(present: CiliumEndpoint, wanted: CiliumEndpoint): boolean {
  const owner = (object: CiliumEndpoint) => object.metadata.ownerReferences?.[0]?.uid;
  const facts = (object: CiliumEndpoint) => JSON.stringify([
    object.status?.id, object.status?.identity, object.status?.networking.node,
    object.status?.networking.addressing.map(a => [a.ipv4, a.ipv6]), owner(object), object.metadata.annotations?.[workloadAnnotation],
  ]);
  return facts(present) === facts(wanted);
}

async function create(client: KubeClient, object: CiliumEndpoint): Promise<void> {
  try {
    await client.create(resources.ciliumEndpoints, object);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    await overwrite(client, object);
  }
}

async function overwrite(client: KubeClient, object: CiliumEndpoint): Promise<void> {
  await client.patch(resources.ciliumEndpoints, object.metadata.name, object.metadata.namespace, {
    metadata: { ownerReferences: object.metadata.ownerReferences ?? null, annotations: { [workloadAnnotation]: object.metadata.annotations?.[workloadAnnotation] ?? null } }, status: object.status,
  }, { type: 'merge' });
}

/** With preconditions: never the object of the same name that another node has made since. */
async function remove(client: KubeClient, object: CiliumEndpoint): Promise<void> {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  await client.delete(resources.ciliumEndpoints, name, namespace, {
    preconditions: { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  });
}

/** A pod of another node, for the ipcache; undefined for this node's own, which the endpoints speak for. */
export function remotePod(object: CiliumEndpoint, options: { readonly ownNodeAddress: string; readonly tunnel: boolean }): { readonly addresses: readonly string[]; readonly identity: number; readonly since: string; readonly tunnel?: string } | undefined {
  const status = object.status;
  if (!status || status.networking.node === options.ownNodeAddress) return undefined;
  return {
    addresses: status.networking.addressing.flatMap(pair => endpointAddresses(pair)),
    identity: status.identity.id,
    since: object.metadata.creationTimestamp ?? '',
    ...(options.tunnel ? { tunnel: status.networking.node } : {}),
  };
}
