import { CniError, cniErrorCode } from '../features/endpoints/cni.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { PodIdentity } from '../features/endpoints/manager.ts';
import type { IdentityAllocator } from '../features/identities/allocate.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import type { Namespace, Pod } from '../kube/types.ts';
import { identityLabels, reserved, reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { errorText } from '../std/errors.ts';
import { waitFor } from '../std/async.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from '../table/table.ts';

export interface IdentifyDependencies {
  readonly client: KubeClient;
  readonly pods: Table<Pod>;
  readonly namespaces: Table<Namespace>;
  readonly allocator: IdentityAllocator;
  readonly clusterName: string;
  readonly log: Logger;
}

/** The labels that decide a pod's identity, or undefined when its namespace is not known (yet). */
export function podIdentityLabels(pod: Pod, dependencies: Pick<IdentifyDependencies, 'namespaces' | 'clusterName'>): LabelSet | undefined {
  const namespace = dependencies.namespaces.get(pod.metadata.namespace ?? '');
  if (!namespace) return undefined;
  return identityLabels(
    { namespace: pod.metadata.namespace ?? '', labels: pod.metadata.labels ?? {}, serviceAccount: pod.spec?.serviceAccountName ?? 'default' },
    namespace.metadata.labels ?? {},
    dependencies.clusterName,
  );
}

export function podNamedPorts(pod: Pod): Endpoint['namedPorts'] {
  return (pod.spec?.containers ?? []).flatMap(container => (container.ports ?? [])
    .filter(port => port.name !== undefined)
    .map(port => ({ name: port.name ?? '', protocol: port.protocol ?? 'TCP', port: port.containerPort })));
}

/**
 * Who the pod of a CNI ADD is. The runtime may be faster than the watch: then the API is asked. A sandbox without a pod's
 * name (a bare CNI call) has the identity "init", to which only policies for `reserved:init` speak.
 */
export async function identifyPod(namespace: string, podName: string, dependencies: IdentifyDependencies): Promise<PodIdentity> {
  if (podName === '') {
    const init = reservedIdentities.find(identity => identity.id === reserved.init)!;
    return { identity: init.id, labels: init.labels, podUid: '', namedPorts: [] };
  }
  try {
    const pod = dependencies.pods.get(`${namespace}/${podName}`) ?? await dependencies.client.get<Pod>(resources.pods, podName, namespace);
    if (!pod) throw new CniError(cniErrorCode.invalidEnvironment, `the API knows no pod ${namespace}/${podName}`);
    const labels = podIdentityLabels(pod, dependencies)
      ?? await waitFor(`namespace ${namespace}`, () => podIdentityLabels(pod, dependencies), { timeoutMs: 5_000 });
    const { id } = await dependencies.allocator.allocate(labels);
    return { identity: id, labels, podUid: pod.metadata.uid ?? '', namedPorts: podNamedPorts(pod) };
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw new CniError(cniErrorCode.tryAgainLater, `the identity of ${namespace}/${podName} is not known yet: ${errorText(error)}`, {
      mend: 'the runtime tries again by itself; see whether the Kubernetes API answers', cause: error,
    });
  }
}

/** Endpoints whose pod or namespace has got other labels since take their new identity. */
export async function refreshIdentities(endpoints: Table<Endpoint>, dependencies: IdentifyDependencies): Promise<void> {
  for (const endpoint of [...endpoints.rows()]) {
    const pod = dependencies.pods.get(`${endpoint.namespace}/${endpoint.podName}`);
    const labels = pod && podIdentityLabels(pod, dependencies);
    if (!pod || !labels || sameTexts(labels.array, endpoint.labels)) continue;
    const { id } = await dependencies.allocator.allocate(labels);
    // The endpoint may have gone, or changed, while the API was asked.
    const current = endpoints.get(`${endpoint.containerId}/${endpoint.interfaceName}`);
    if (current !== endpoint) continue;
    dependencies.log.info('identity changed', { pod: `${endpoint.namespace}/${endpoint.podName}`, from: endpoint.identity, to: id });
    endpoints.upsert({ ...endpoint, identity: id, labels: labels.array, namedPorts: podNamedPorts(pod) });
  }
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
