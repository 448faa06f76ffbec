/** The naive evaluator's peers: who a `from…` or `to…` list means. */
import { parseAddr, parsePrefix, prefixHas, isIPv4 } from '../../src/std/ip.ts';
import { allHold, clusterKey, holds, namespaceKey, namespaceLabelPrefix, podLabels, requirements, reservedLabels } from './naive-labels.ts';
import type { Label, Requirement } from './naive-labels.ts';
import type { Asked } from './naive.ts';
import { clusterName, ofKind, podKey } from './objects.ts';
import type { CidrRule, CiliumEntry, CiliumPolicy, ClusterPeer, KubeObject, LabelSelector, NetworkPolicyPeer, Peer, Pod, ServiceRule } from './objects.ts';

/** The other end, as policies see it. */
export interface PeerView {
  readonly labels: readonly Label[];
  /** Outside the cluster only. */
  readonly address?: string;
  /** Of a pod, the one that is used here. */
  readonly podAddress?: string;
  /** All pods that no policy can tell from this one: those with the same labels. */
  readonly pods: readonly Pod[];
}

/** How the question is put: where the subject is, by which family, and whether nodes bear their labels. */
export interface Way { readonly subjectNode: string; readonly v6: boolean; readonly nodeLabels: boolean }

/** A node is `host` to its own pods and `remote-node` to everybody else's. */
export function viewPeer(objects: readonly KubeObject[], peer: Peer, { subjectNode, v6, nodeLabels }: Way): PeerView {
  if ('outside' in peer) return { labels: reservedLabels('world', isIPv4(parseAddr(peer.outside)) ? 'world-ipv4' : 'world-ipv6'), address: peer.outside, pods: [] };
  if ('node' in peer) return { labels: [...reservedLabels(peer.node === subjectNode ? 'host' : 'remote-node'), ...(nodeLabels ? labelsOfNode(objects, peer.node) : [])], pods: [] };
  if ('reserved' in peer) return { labels: peer.reserved === 'kube-apiserver' ? reservedLabels('kube-apiserver', 'remote-node') : reservedLabels(peer.reserved), pods: [] };
  const pods = ofKind(objects, 'Pod').filter(p => p.spec.hostNetwork !== true);
  const pod = pods.find(p => podKey(p) === peer.pod)!;
  const labels = podLabels(objects, pod);
  return { labels, podAddress: pod.status.podIPs[v6 ? 1 : 0]!.ip, pods: pods.filter(p => sameLabels(podLabels(objects, p), labels)) };
}

function labelsOfNode(objects: readonly KubeObject[], name: string): readonly Label[] {
  const own = ofKind(objects, 'Node').find(n => n.metadata.name === name)!.metadata.labels ?? {};
  return [{ source: 'k8s', key: clusterKey, value: clusterName }, ...Object.entries(own).map(([key, value]) => ({ source: 'node', key, value }))];
}

function sameLabels(a: readonly Label[], b: readonly Label[]): boolean {
  const text = (labels: readonly Label[]) => labels.map(l => `${l.key}=${l.value}`).sort().join(';');
  return text(a) === text(b);
}

const isPod = (view: PeerView): boolean => view.labels.some(l => l.source === 'k8s' && l.key === namespaceKey);
const has = (view: PeerView, key: string): boolean => view.labels.some(l => l.source === 'reserved' && l.key === key);
const isIn = (view: PeerView, key: string, value: string): boolean => view.labels.some(l => l.source === 'k8s' && l.key === key && l.value === value);

// ---- NetworkPolicy ----

export function networkPolicyPeer(peer: NetworkPolicyPeer, namespace: string, view: PeerView): boolean {
  if (peer.ipBlock) return inCidr(peer.ipBlock.cidr, peer.ipBlock.except ?? [], view);
  if (!isPod(view) || !allHold(requirements(peer.podSelector ?? {}, 'k8s'), view.labels)) return false;
  if (!peer.namespaceSelector) return isIn(view, namespaceKey, namespace);
  return allHold(requirements(peer.namespaceSelector, 'k8s').map(r => ({ ...r, key: namespaceLabelPrefix + r.key })), view.labels);
}

// ---- AdminNetworkPolicy and its kin ----

/** Pods by namespace and labels; what is no pod is never meant by them. */
export function clusterPods(peer: Pick<ClusterPeer, 'namespaces' | 'pods'>, labels: readonly Label[]): boolean {
  const inNamespaces = (selector: LabelSelector) => allHold(requirements(selector, 'k8s').map(r => ({ ...r, key: namespaceLabelPrefix + r.key })), labels);
  if (!labels.some(l => l.source === 'k8s' && l.key === namespaceKey)) return false;
  if (peer.namespaces) return inNamespaces(peer.namespaces);
  return peer.pods !== undefined && inNamespaces(peer.pods.namespaceSelector) && allHold(requirements(peer.pods.podSelector, 'k8s'), labels);
}

export function clusterPeer(peer: ClusterPeer, denies: boolean, nodeLabels: boolean, view: PeerView): boolean {
  if (peer.namespaces || peer.pods) return clusterPods(peer, view.labels);
  if (peer.nodes) return (has(view, 'host') || has(view, 'remote-node')) && onNodes(requirements(peer.nodes, 'node'), denies, nodeLabels, view);
  // Unlike Cilium's CIDRs these are compared with the addresses of pods too.
  return (peer.networks ?? []).some(cidr => inCidr(cidr, [], view) || (view.podAddress !== undefined && contains(cidr, view.podAddress)));
}

/** Where nodes do not bear their labels, a selector on them means nobody, in a deny rule every node. */
function onNodes(wanted: readonly Requirement[], denies: boolean, nodeLabels: boolean, view: PeerView): boolean {
  return nodeLabels ? allHold(wanted, view.labels) : denies || wanted.length === 0;
}

// ---- Cilium ----

/** The peers of one entry: absent, or whether one of them is meant. */
export function ciliumPeers(asked: Pick<Asked, 'objects' | 'nodeLabels' | 'peer'>, policy: CiliumPolicy, entry: CiliumEntry, deny: boolean, subjectIsInit: boolean): 'absent' | boolean {
  const { objects, nodeLabels, peer: view } = asked;
  const answers: boolean[] = [];
  const ask = <T>(lists: readonly (readonly T[] | undefined)[], means: (item: T) => boolean, emptyIsAbsent = false) => {
    for (const list of lists) if (list && !(emptyIsAbsent && list.length === 0)) answers.push(list.some(means));
  };
  ask([entry.fromEndpoints, entry.toEndpoints], selector => endpointPeer(policy, selector, subjectIsInit, view));
  ask([entry.fromEntities, entry.toEntities], entity => entityPeer(entity, view));
  ask([entry.fromCIDR, entry.toCIDR], cidr => inCidr(cidr, [], view));
  ask([entry.fromCIDRSet, entry.toCIDRSet], rule => cidrRulePeer(objects, rule, view));
  ask([entry.fromNodes, entry.toNodes], selector => has(view, 'remote-node') && onNodes(requirements(selector), deny, nodeLabels, view)
    && (!nodeLabels || requirements(selector).length === 0 || isIn(view, clusterKey, clusterName)));
  ask([entry.toServices], service => servicePeer(objects, service, view), true);
  ask([entry.fromGroups, entry.toGroups], () => deny && entityPeer('world', view), true);
  ask([entry.toFQDNs], () => false, true);
  return answers.length === 0 ? 'absent' : answers.some(Boolean);
}

function endpointPeer(policy: CiliumPolicy, selector: LabelSelector, subjectIsInit: boolean, view: PeerView): boolean {
  const wanted = requirements(selector);
  if (!allHold(wanted, view.labels)) return false;
  if (wanted.some(r => r.source === 'reserved')) return true;
  // Selectors mean this cluster unless they name one.
  if (!wanted.some(r => r.key === clusterKey) && !isIn(view, clusterKey, clusterName)) return false;
  const onNamespaces = wanted.filter(r => (r.key === namespaceKey && (r.source === 'k8s' || r.source === 'any')) || r.key.startsWith(namespaceLabelPrefix));
  if (onNamespaces.length > 0) {
    // What has no namespace meets every negative requirement, and is not meant by it.
    return isPod(view) || !onNamespaces.every(r => r.operator === 'NotIn' || r.operator === 'DoesNotExist');
  }
  if (policy.kind === 'CiliumNetworkPolicy') return isIn(view, namespaceKey, policy.metadata.namespace!);
  return subjectIsInit || isPod(view);
}

const insideCluster = ['host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver'];

export function entityPeer(entity: string, view: PeerView): boolean {
  switch (entity) {
    case 'all': return true;
    case 'none': return false;
    case 'world': return has(view, 'world');
    case 'cluster': return insideCluster.some(name => has(view, name)) || isIn(view, clusterKey, clusterName);
    case 'cluster-mesh': return insideCluster.some(name => has(view, name)) || holds({ source: 'k8s', key: clusterKey, operator: 'Exists', values: [] }, view.labels);
    default: return has(view, entity);
  }
}

/** CIDRs select what lies outside the cluster: an address that is a pod's or a node's is never meant. */
export function inCidr(cidr: string, except: readonly string[], view: PeerView): boolean {
  if (view.address === undefined) return false;
  return contains(cidr, view.address) && !except.some(hole => contains(hole, view.address!));
}

function contains(cidr: string, address: string): boolean {
  const [network, addr] = [parsePrefix(cidr), parseAddr(address)];
  return cidr.includes(':') === address.includes(':') && prefixHas(network, addr);
}

function cidrRulePeer(objects: readonly KubeObject[], rule: CidrRule, view: PeerView): boolean {
  if (rule.cidr !== undefined) return inCidr(rule.cidr, rule.except ?? [], view);
  return ofKind(objects, 'CiliumCIDRGroup')
    .filter(group => (rule.cidrGroupRef !== undefined ? group.metadata.name === rule.cidrGroupRef : selectsObject(rule.cidrGroupSelector!, group.metadata.labels)))
    .some(group => group.spec.externalCIDRs.some(cidr => inCidr(cidr, rule.except ?? [], view)));
}

/** The pods behind a service; without a selector, the addresses of its slices as far as they lie outside. */
function servicePeer(objects: readonly KubeObject[], rule: ServiceRule, view: PeerView): boolean {
  return ofKind(objects, 'Service').filter(service => {
    const { name, namespace, labels } = service.metadata;
    const { k8sService: named, k8sServiceSelector: selected } = rule;
    if (named?.serviceName && named.serviceName === name && (!named.namespace || named.namespace === namespace)) return true;
    return selected !== undefined && (!selected.namespace || selected.namespace === namespace) && selectsObject(selected.selector, labels);
  }).some(service => {
    const selector = Object.entries(service.spec.selector ?? {});
    if (selector.length > 0) return isIn(view, namespaceKey, service.metadata.namespace!) && selector.every(([key, value]) => isIn(view, key, value));
    return ofKind(objects, 'EndpointSlice')
      .filter(slice => slice.metadata.namespace === service.metadata.namespace && slice.metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name)
      .some(slice => slice.endpoints.some(e => e.addresses.some(address => address === view.address)));
  });
}

function selectsObject(selector: LabelSelector, labels: Record<string, string> = {}): boolean {
  return allHold(requirements(selector), Object.entries(labels).map(([key, value]) => ({ source: 'k8s', key, value })));
}
