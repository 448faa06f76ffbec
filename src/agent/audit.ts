import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { Namespace, Pod } from '../kube/types.ts';

/** On a Namespace or a Pod: what policies deny there passes, and is reported with the verdict AUDIT. */
export const auditAnnotation = 'policy.cirri.io/audit';

/** Who asked for it. */
export type AuditReason = 'cluster' | 'namespace' | 'pod';

export interface AuditSources {
  /** `cirri up --audit`. */
  readonly cluster: boolean;
  readonly pods: { get(key: string): Pod | undefined };
  readonly namespaces: { get(key: string): Namespace | undefined };
}

/** Why an endpoint is in audit mode; undefined when it is not. */
export function auditReason({ namespace, podName }: Pick<Endpoint, 'namespace' | 'podName'>, { cluster, pods, namespaces }: AuditSources): AuditReason | undefined {
  const asks = (object: Namespace | Pod | undefined) => object?.metadata.annotations?.[auditAnnotation] === 'true';
  if (cluster) return 'cluster';
  if (asks(namespaces.get(namespace))) return 'namespace';
  return asks(pods.get(`${namespace}/${podName}`)) ? 'pod' : undefined;
}

/** In words for the status: who is in audit on this node, each once. */
export function auditNames(endpoints: Iterable<Pick<Endpoint, 'namespace' | 'podName'>>, sources: AuditSources): { readonly cluster: boolean; readonly namespaces: readonly string[]; readonly pods: readonly string[] } {
  const namespaces = new Set<string>();
  const pods = new Set<string>();
  for (const endpoint of sources.cluster ? [] : endpoints) {
    const reason = auditReason(endpoint, sources);
    if (reason === 'namespace') namespaces.add(endpoint.namespace);
    if (reason === 'pod') pods.add(`${endpoint.namespace}/${endpoint.podName}`);
  }
  return { cluster: sources.cluster, namespaces: [...namespaces].sort(), pods: [...pods].sort() };
}
