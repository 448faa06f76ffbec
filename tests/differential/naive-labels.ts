/**
 * The naive evaluator's labels and selectors: what a pod, a node or an outside address bears, and whether a selector as it is
 * written holds. From the written semantics alone; nothing of the product is used here.
 */
import { clusterName, ofKind } from './objects.ts';
import type { KubeObject, LabelSelector, Pod } from './objects.ts';

export interface Label { readonly source: string; readonly key: string; readonly value: string }

export const namespaceKey = 'io.kubernetes.pod.namespace';
export const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.';
export const clusterKey = 'io.cilium.k8s.policy.cluster';
const serviceAccountKey = 'io.cilium.k8s.policy.serviceaccount';

/** Label prefixes that never become part of an identity, unless they begin with app.kubernetes.io. */
const ignored = [
  'io.kubernetes', 'kubernetes.io', 'k8s.io', 'topology.kubernetes.io', 'statefulset.kubernetes.io/pod-name', 'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-completion-index', 'batch.kubernetes.io/controller-uid', 'pod-template-generation', 'pod-template-hash',
  'controller-revision-hash', 'controller-uid', 'annotation', 'etcd_node',
];

/** The labels of a pod's identity. Keys with which the cluster describes a pod cannot be written by the pod's owner. */
export function podLabels(objects: readonly KubeObject[], pod: Pod): readonly Label[] {
  const namespace = pod.metadata.namespace!;
  const own = Object.entries(pod.metadata.labels ?? {})
    .filter(([key]) => !key.startsWith('io.cilium.k8s.') && !key.startsWith('io.kubernetes.pod.'))
    .filter(([key]) => key.startsWith('app.kubernetes.io') || !(ignored.some(prefix => key.startsWith(prefix)) || key.includes('beta.kubernetes.io')));
  const ofNamespace = ofKind(objects, 'Namespace').find(n => n.metadata.name === namespace)?.metadata.labels ?? {};
  return [
    ...own,
    ...Object.entries({ ...ofNamespace, 'kubernetes.io/metadata.name': namespace }).map(([key, value]) => [namespaceLabelPrefix + key, value] as const),
    [namespaceKey, namespace] as const,
    [clusterKey, clusterName] as const,
    [serviceAccountKey, pod.spec.serviceAccountName ?? 'default'] as const,
  ].map(([key, value]) => ({ source: 'k8s', key, value }));
}

export function reservedLabels(...keys: readonly string[]): readonly Label[] {
  return keys.map(key => ({ source: 'reserved', key, value: '' }));
}

export interface Requirement { readonly source: string; readonly key: string; readonly operator: string; readonly values: readonly string[] }

/** The requirements of a selector; a key is `[source:]key`, or a plain key with one source for all. */
export function requirements(selector: LabelSelector, plainSource?: string): readonly Requirement[] {
  const split = (text: string) => {
    if (plainSource !== undefined) return { source: plainSource, key: text };
    const colon = text.indexOf(':');
    return colon < 0 ? { source: 'any', key: text } : { source: text.slice(0, colon), key: text.slice(colon + 1) };
  };
  return [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({ ...split(key), operator: 'In', values: [value] })),
    ...(selector.matchExpressions ?? []).map(e => ({ ...split(e.key), operator: e.operator, values: e.values ?? [] })),
  ];
}

export function holds(requirement: Requirement, labels: readonly Label[]): boolean {
  const values = labels
    .filter(l => l.key === requirement.key && (requirement.source === 'any' || requirement.source === l.source))
    .map(l => l.value);
  const inValues = values.some(value => requirement.values.includes(value));
  switch (requirement.operator) {
    case 'In': return inValues;
    case 'NotIn': return !inValues;
    case 'Exists': return values.length > 0;
    default: return values.length === 0;
  }
}

export function allHold(list: readonly Requirement[], labels: readonly Label[]): boolean {
  return list.every(r => holds(r, labels));
}
