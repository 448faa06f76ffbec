/**
 * Security identities: a number for a set of labels. Numbers are upstream's: reserved ones below 256, pods of the cluster
 * 256–65535, prefixes of this node from 16777216, remote nodes with labels from 33554432.
 */
import { LabelSet } from './labels.ts';
import type { Label } from './labels.ts';
import { formatPrefix, isIPv4, maskPrefix, parsePrefix, prefixContains } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';

export const reserved = {
  unknown: 0, host: 1, world: 2, unmanaged: 3, health: 4, init: 5, remoteNode: 6, kubeApiserver: 7, ingress: 8, worldIPv4: 9, worldIPv6: 10,
} as const;

export interface ReservedIdentity {
  readonly id: number;
  readonly name: string;
  readonly labels: LabelSet;
}

/**
 * Identities 1–10. The world of one family bears both its own label and `reserved:world`, as prefixes do, so that a rule
 * on the world means the same whether or not some policy happens to name a prefix in it.
 */
export const reservedIdentities: readonly ReservedIdentity[] = [
  reservedIdentity(reserved.host, 'host'),
  reservedIdentity(reserved.world, 'world'),
  reservedIdentity(reserved.unmanaged, 'unmanaged'),
  reservedIdentity(reserved.health, 'health'),
  reservedIdentity(reserved.init, 'init'),
  reservedIdentity(reserved.remoteNode, 'remote-node'),
  reservedIdentity(reserved.kubeApiserver, 'kube-apiserver', 'remote-node'),
  reservedIdentity(reserved.ingress, 'ingress'),
  reservedIdentity(reserved.worldIPv4, 'world-ipv4', 'world'),
  reservedIdentity(reserved.worldIPv6, 'world-ipv6', 'world'),
];

/** 'host' for 1; undefined for what is not reserved. */
export function reservedName(id: number): string | undefined {
  return reservedIdentities.find(r => r.id === id)?.name;
}

export type IdentityScope = 'reserved' | 'cluster' | 'prefix' | 'remote-node';

export const firstClusterIdentity = 256;
export const lastClusterIdentity = 65535;
export const firstPrefixIdentity = 1 << 24;
export const firstRemoteNodeIdentity = 2 << 24;

export function identityScope(id: number): IdentityScope {
  if (id < firstClusterIdentity) return 'reserved';
  if (id < firstPrefixIdentity) return 'cluster';
  return id < firstRemoteNodeIdentity ? 'prefix' : 'remote-node';
}

export const labelKeys = {
  namespace: 'io.kubernetes.pod.namespace',
  namespaceLabels: 'io.cilium.k8s.namespace.labels.',
  cluster: 'io.cilium.k8s.policy.cluster',
  serviceAccount: 'io.cilium.k8s.policy.serviceaccount',
} as const;

/** What of a pod decides its identity. */
export interface PodLabels {
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
}

/**
 * The labels of a pod's identity: its own that pass the filter, its namespace and that one's labels, its cluster and
 * service account. What the cluster says of a pod stands in keys that the pod's owner cannot write: such keys among the
 * pod's own labels are dropped, whatever the filter says.
 */
export function identityLabels(
  pod: PodLabels,
  namespaceLabels: Readonly<Record<string, string>>,
  clusterName: string,
  filter: LabelFilter = defaultLabelFilter,
): LabelSet {
  const labels: Label[] = [];
  for (const [key, value] of Object.entries(pod.labels ?? {})) {
    if (isClusterKey(key) || !isKubernetesLabel(key, value)) continue;
    labels.push({ source: 'k8s', key, value });
  }
  for (const [key, value] of Object.entries({ ...namespaceLabels, 'kubernetes.io/metadata.name': pod.namespace })) {
    if (isKubernetesLabel(key, value)) labels.push({ source: 'k8s', key: labelKeys.namespaceLabels + key, value });
  }
  labels.push({ source: 'k8s', key: labelKeys.namespace, value: pod.namespace });
  labels.push({ source: 'k8s', key: labelKeys.cluster, value: clusterName });
  labels.push({ source: 'k8s', key: labelKeys.serviceAccount, value: pod.serviceAccount ?? 'default' });
  return LabelSet.fromLabels(labels.filter(label => filter(label)));
}

/** Keys with which the cluster describes a pod; a pod's own label of such a key is forged. */
function isClusterKey(key: string): boolean {
  return key.startsWith('io.cilium.k8s.') || key.startsWith('io.kubernetes.pod.');
}

/** What the API would have accepted: neither `:`, `=` nor `;` can enter a label's text and make it another label. */
function isKubernetesLabel(key: string, value: string): boolean {
  return /^[A-Za-z0-9._/-]+$/.test(key) && /^[A-Za-z0-9._-]*$/.test(value);
}

/** The identity number to try first for these labels, and then each following: 256–65535, round. */
export function* identityCandidates(labels: LabelSet): Generator<number> {
  const size = lastClusterIdentity - firstClusterIdentity + 1;
  const first = fnv1a(labels.toString()) % size;
  for (let i = 0; i < size; i++) yield firstClusterIdentity + ((first + i) % size);
}

/** 32-bit FNV-1a of the UTF-8 text, unsigned. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

const encoder = new TextEncoder();

// ---- the filter of identity-relevant labels ----

export type LabelFilter = (label: Label) => boolean;

/** Upstream's defaults, each a regular expression anchored at the start of the key; `!` excludes. */
const defaultFilterRules: readonly string[] = [
  'reserved:.*',
  'k8s:io\\.kubernetes\\.pod\\.namespace',
  'k8s:io\\.cilium\\.k8s\\.namespace\\.labels',
  'k8s:app\\.kubernetes\\.io',
  'k8s:io\\.cilium\\.k8s\\.policy\\.cluster',
  'k8s:io\\.cilium\\.k8s\\.policy\\.serviceaccount',
  '!io\\.kubernetes',
  '!kubernetes\\.io',
  '!k8s\\.io',
  '!topology\\.kubernetes\\.io',
  '!.*beta\\.kubernetes\\.io',
  '!statefulset\\.kubernetes\\.io/pod-name',
  '!apps\\.kubernetes\\.io/pod-index',
  '!batch\\.kubernetes\\.io/job-completion-index',
  '!batch\\.kubernetes\\.io/controller-uid',
  '!pod-template-generation',
  '!pod-template-hash',
  '!controller-revision-hash',
  '!controller-uid',
  '!annotation.*',
  '!etcd_node',
];

interface FilterRule { readonly source: string | undefined; readonly pattern: RegExp; readonly include: boolean }

/**
 * The filter of upstream's `--labels`: rules `[!][source:]regex`, longest match wins. A rule given by the user that
 * includes makes everything that no rule matches excluded; with exclusions only, everything else stays included. What
 * the cluster itself says of a pod (namespace, cluster, service account) cannot be filtered out by mistake: the defaults
 * stay unless a user's rule matches longer.
 */
export function createLabelFilter(userRules: readonly string[] = []): LabelFilter {
  const rules = [...defaultFilterRules, ...userRules].map(parseFilterRule);
  const includeUnmatched = !userRules.some(rule => !rule.startsWith('!'));
  const cache = new Map<string, boolean>();
  return label => {
    const id = `${label.source}:${label.key}`;
    let included = cache.get(id);
    if (included === undefined) {
      included = longestMatch(rules, label)?.include ?? includeUnmatched;
      if (cache.size < 10_000) cache.set(id, included);
    }
    return included;
  };
}

export const defaultLabelFilter: LabelFilter = createLabelFilter();

function parseFilterRule(text: string): FilterRule {
  const include = !text.startsWith('!');
  const body = include ? text : text.slice(1);
  const match = /^([a-z0-9]+):(.*)$/s.exec(body);
  return { source: match?.[1], pattern: new RegExp(`^(?:${match ? match[2]! : body})`), include };
}

function longestMatch(rules: readonly FilterRule[], label: Label): FilterRule | undefined {
  let best: FilterRule | undefined;
  let length = -1;
  for (const rule of rules) {
    if (rule.source !== undefined && rule.source !== label.source) continue;
    const match = rule.pattern.exec(label.key);
    if (match && match[0].length >= length) {
      best = rule;
      length = match[0].length;
    }
  }
  return best;
}

// ---- prefixes ----

export type Family = 'ipv4' | 'ipv6';

/** ::/0 holds the IPv4-mapped addresses in the 16-byte form and must not be taken to contain them. */
export function prefixFamily(prefix: Prefix): Family {
  return prefix.bits >= 96 && isIPv4(prefix.addr) ? 'ipv4' : 'ipv6';
}

/** True where `inner` lies within `outer` and both are of one family. */
export function cidrContains(outer: Prefix, inner: Prefix): boolean {
  return prefixFamily(outer) === prefixFamily(inner) && prefixContains(outer, inner);
}

/**
 * The labels of a prefix's identity: `cidr:` of the prefix and of each of `allPrefixes` that contains it, and the world's.
 * IPv6 is written with `-` for `:` as label keys require (`cidr:fd00--0/8`). For many prefixes use `cidrLabeller`.
 */
export function cidrIdentityLabels(prefix: string, allPrefixes: Iterable<string> = []): LabelSet {
  return cidrLabeller(allPrefixes)(prefix);
}

/** `cidrIdentityLabels` for many prefixes: each is looked up under the lengths that occur, not compared with all others. */
export function cidrLabeller(allPrefixes: Iterable<string>): (prefix: string) => LabelSet {
  const known = new Set<string>();
  const lengths = { ipv4: new Set<number>(), ipv6: new Set<number>() };
  for (const text of allPrefixes) {
    const prefix = parsePrefix(text);
    known.add(formatPrefix(prefix));
    lengths[prefixFamily(prefix)].add(prefix.bits);
  }
  return text => {
    const own = parsePrefix(text);
    const family = prefixFamily(own);
    const labels: Label[] = [cidrLabel(own), { source: 'reserved', key: 'world', value: '' }, { source: 'reserved', key: `world-${family}`, value: '' }];
    for (const bits of lengths[family]) {
      const wider = bits < own.bits ? maskPrefix({ addr: own.addr, bits }) : undefined;
      if (wider && known.has(formatPrefix(wider))) labels.push(cidrLabel(wider));
    }
    return LabelSet.fromLabels(labels);
  };
}

function cidrLabel(prefix: Prefix): Label {
  return { source: 'cidr', key: prefixKey(prefix), value: '' };
}

function prefixKey(prefix: Prefix): string {
  const [addr, bits] = formatPrefix(prefix).split('/') as [string, string];
  return `${addr.replace(/^:/, '0:').replace(/:$/, ':0').replaceAll(':', '-')}/${bits}`;
}

/**
 * A pod's labels and the network that its address lies in: its identity as a destination, on one node, where `networks` of
 * AdminNetworkPolicies tell pods apart by their addresses.
 */
export function networkIdentityLabels(pod: LabelSet, network: string): LabelSet {
  return LabelSet.fromLabels([...pod.labels(), { source: 'network', key: prefixKey(parsePrefix(network)), value: '' }]);
}

export function identityNetwork(labels: LabelSet): Prefix | undefined {
  const [key] = labels.keysOf('network');
  return key === undefined ? undefined : parsePrefix(key.replaceAll('-', ':'));
}

/** The longest prefix among an identity's `cidr:` labels: the one that it stands for. */
export function identityPrefix(labels: LabelSet): Prefix | undefined {
  let longest: Prefix | undefined;
  for (const key of labels.keysOf('cidr')) {
    const prefix = parsePrefix(key.replaceAll('-', ':'));
    if (!longest || prefix.bits > longest.bits) longest = prefix;
  }
  return longest;
}

/** True for identities outside the cluster: the only ones that CIDR peers select. */
export function isWorld(labels: LabelSet): boolean {
  return labels.has('reserved', 'world') || labels.has('reserved', 'world-ipv4') || labels.has('reserved', 'world-ipv6');
}

function reservedIdentity(id: number, name: string, ...more: readonly string[]): ReservedIdentity {
  return { id, name, labels: LabelSet.of([name, ...more].map(key => `reserved:${key}`)) };
}
