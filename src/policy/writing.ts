/** How a peer and a port are written in a policy of each kind. */
import { reserved } from '../model/identity.ts';
import type { Step } from './connection.ts';
import { hostPrefix, identityOf, nodeOf } from './ends.ts';
import type { End } from './ends.ts';
import { minimalSelector } from './minimal-selector.ts';
import { isClusterPolicy } from './parse-cluster.ts';
import { protocolName } from './policy.ts';
import type { Policy } from './policy.ts';
import { entityIdentities } from './world.ts';
import type { World } from './world.ts';

/** A peer as a field of a rule and an entry of its list. */
export interface WrittenPeer { readonly field: string; readonly item: unknown }

type Target = Pick<Policy, 'kind' | 'namespace'>;

/** Rules for this peer and this port alone; several ways of writing it, or none. */
export function entriesFor(world: World, step: Step, policy: Target): readonly Record<string, unknown>[] {
  const ports = portsField(step, policy.kind);
  return ports === undefined ? [] : writtenPeers(world, step, policy).map(({ field, item }) => ({ [field]: [item], ...ports }));
}

function portsField(step: Step, kind: Policy['kind']): Record<string, unknown> | undefined {
  const port = writtenPort(step, kind);
  if (port === undefined) return undefined;
  if (kind === 'ClusterNetworkPolicy') return { protocols: [port] };
  if (kind === 'NetworkPolicy' || isClusterPolicy(kind)) return { ports: [port] };
  return isIcmp(step) ? { icmps: [{ fields: [port] }] } : { toPorts: [{ ports: [port] }] };
}

export function writtenPort(step: Step, kind: Policy['kind']): Record<string, unknown> | undefined {
  const { protocol, port } = step;
  const name = protocolName(protocol);
  if (isIcmp(step)) return kind.startsWith('Cilium') ? { family: protocol === 1 ? 'IPv4' : 'IPv6', type: port } : undefined;
  if (![6, 17, 132].includes(protocol)) return undefined;
  if (kind === 'ClusterNetworkPolicy') return { [name.toLowerCase()]: { destinationPort: { number: port } } };
  if (isClusterPolicy(kind)) return { portNumber: { protocol: name, port } };
  return { port: kind === 'NetworkPolicy' ? port : String(port), protocol: name };
}

function isIcmp({ protocol }: Step): boolean {
  return protocol === 1 || protocol === 58;
}

export function writtenPeers(world: World, step: Step, policy: Target): readonly WrittenPeer[] {
  const direction = step.direction === 'ingress' ? 'from' : 'to';
  const { peer } = step;
  if (isClusterPolicy(policy.kind)) return clusterPeer(world, step).map(item => ({ field: direction, item }));
  if (policy.kind === 'NetworkPolicy') return kubernetesPeer(world, peer, policy.namespace).map(item => ({ field: direction, item }));
  if (peer.type === 'pod') {
    const labels = minimalSelector(peer.pod, world.scenario.pods);
    const scope = peer.pod.namespace === policy.namespace ? {} : { 'k8s:io.kubernetes.pod.namespace': peer.pod.namespace };
    return [{ field: `${direction}Endpoints`, item: { matchLabels: { ...scope, ...labels } } }];
  }
  if (peer.type === 'identity' && peer.prefix !== undefined) {
    return [{ field: `${direction}CIDR`, item: hostPrefix(peer.prefix) }, { field: `${direction}CIDRSet`, item: { cidr: hostPrefix(peer.prefix) } }];
  }
  const entity = entityOf(world, step);
  return entity === undefined ? [] : [{ field: `${direction}Entities`, item: entity }];
}

function kubernetesPeer(world: World, peer: End, namespace: string | undefined): readonly unknown[] {
  if (peer.type === 'pod') {
    const podSelector = { matchLabels: minimalSelector(peer.pod, world.scenario.pods) };
    return [peer.pod.namespace === namespace ? { podSelector } : { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': peer.pod.namespace } }, podSelector }];
  }
  if (peer.type === 'identity' && peer.prefix !== undefined) return [{ ipBlock: { cidr: hostPrefix(peer.prefix) } }];
  if (peer.type === 'identity' && peer.identity === reserved.worldIPv4) return [{ ipBlock: { cidr: '0.0.0.0/0' } }];
  return [];
}

/** From outside nobody can be named; networks are also the pods in them. */
function clusterPeer(world: World, { peer, direction, end }: Step): readonly unknown[] {
  if (peer.type === 'pod') {
    return [{ pods: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': peer.pod.namespace } }, podSelector: { matchLabels: minimalSelector(peer.pod, world.scenario.pods) } } }];
  }
  if (direction === 'ingress') return [];
  if (peer.type === 'node') return [{ nodes: nodeSelector(world, nodeOf(peer, end)) }];
  if (peer.prefix !== undefined) return [{ networks: [hostPrefix(peer.prefix)] }];
  return peer.identity === reserved.worldIPv4 ? [{ networks: ['0.0.0.0/0'] }] : [];
}

/** By its name, where its labels hold it as they should. */
export function nodeSelector(world: World, name: string | undefined): { readonly matchLabels?: Readonly<Record<string, string>> } {
  const hostname = world.scenario.nodes.find(n => n.name === name)?.labels['kubernetes.io/hostname'];
  return hostname === undefined ? {} : { matchLabels: { 'kubernetes.io/hostname': hostname } };
}

function entityOf(world: World, { peer, direction, end }: Step): string | undefined {
  if (peer.type === 'node') return peer.local || (peer.node !== undefined && peer.node === nodeOf(end, peer)) ? 'host' : 'remote-node';
  const identity = identityOf(world, peer, direction);
  if (identity === reserved.world || identity === reserved.worldIPv4 || identity === reserved.worldIPv6) return 'world';
  return Object.entries(entityIdentities).find(([, id]) => id === identity)?.[0];
}
