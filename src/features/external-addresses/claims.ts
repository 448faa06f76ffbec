import type { ExternalClaim, ExternalGrounds } from '../../ipam/external-addresses.ts';
import type { AddressRequest } from '../../ipam/service-addresses.ts';
import { poolRanges, type Family, type PoolSpec, type ServicePool } from '../../ipam/service-pool.ts';
import { objectKey } from '../../kube/reflector.ts';
import { matchesSelector } from '../../kube/selector.ts';
import type { KubeObject, LabelSelector, Node, Service } from '../../kube/types.ts';
import type { ClusterRecord } from '../../model/cluster.ts';
import { parsePrefix } from '../../std/ip.ts';

/** Says on a service whether it has the addresses that it asks for. */
export const requestSatisfied = 'cilium.io/IPAMRequestSatisfied';
/** Names, on a service, the external addresses at which it is served: what it has it keeps, whoever names them later. */
export const addressesHeld = 'cirri.io/ExternalAddressesHeld';
/** Classes whose services get addresses here. */
const ourClasses = new Set(['io.cilium/l2-announcer', 'io.cilium/bgp-control-plane']);

/** Whether a service is given addresses here: of type LoadBalancer, and of no class or of one of ours. */
export function isOurLoadBalancer({ spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && (spec.loadBalancerClass === undefined || ourClasses.has(spec.loadBalancerClass));
}

export function requestOf(service: Service): AddressRequest {
  const { metadata: { name, namespace = '', labels }, spec } = service;
  const sharingKey = annotation(service, 'lbipam.cilium.io/sharing-key', 'io.cilium/lb-ipam-sharing-key');
  return {
    key: objectKey(service),
    namespace,
    labels: { ...labels, 'io.kubernetes.service.namespace': namespace, 'io.kubernetes.service.name': name },
    families: (spec.ipFamilies ?? ['IPv4']) as readonly Family[],
    wanted: [...new Set([...listOf(annotation(service, 'lbipam.cilium.io/ips', 'io.cilium/lb-ipam-ips')), ...(spec.loadBalancerIP ? [spec.loadBalancerIP] : [])])],
    ...(sharingKey ? { sharingKey } : {}),
    shareWith: listOf(annotation(service, 'lbipam.cilium.io/sharing-cross-namespace', 'io.cilium/lb-ipam-sharing-cross-namespace')),
    ports: (spec.ports ?? []).map(port => `${port.port}/${port.protocol ?? 'TCP'}`),
    externalTrafficPolicy: spec.externalTrafficPolicy ?? 'Cluster',
    selector: Object.entries(spec.selector ?? {}).map(([key, value]) => `${key}=${value}`).sort().join(),
  };
}

export function poolOf(object: KubeObject): ServicePool {
  const spec = (object.spec ?? {}) as PoolSpec & { readonly serviceSelector?: LabelSelector };
  const selector = spec.serviceSelector;
  return {
    name: object.metadata.name,
    createdAt: object.metadata.creationTimestamp ?? '',
    disabled: spec.disabled === true,
    ...poolRanges(spec),
    selects: labels => selector === undefined || matchesSelector(selector, labels),
  };
}

export function ingressOf(service: Service): string[] {
  return (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip ? [ip] : []));
}

/** What the service claims; undefined where it claims nothing. */
export function claimOf(service: Service): ExternalClaim | undefined {
  const externalIPs = service.spec.type === 'ExternalName' ? [] : service.spec.externalIPs ?? [];
  const ingress = service.spec.type === 'LoadBalancer' ? ingressOf(service) : [];
  if (externalIPs.length === 0 && ingress.length === 0) return undefined;
  const assigned = isOurLoadBalancer(service) && service.status?.conditions?.some(({ type }) => type === requestSatisfied) === true;
  const held = service.status?.conditions?.find(({ type, status }) => type === addressesHeld && status === 'True')?.message?.split(', ') ?? [];
  return { request: requestOf(service), createdAt: service.metadata.creationTimestamp ?? '', externalIPs, ingress, assigned, held };
}

/** What is nobody's to claim, whatever objects say. */
export function clusterGrounds(record: Pick<ClusterRecord, 'clusterCidr4' | 'clusterCidr6' | 'serviceCidr4' | 'serviceCidr6' | 'settings'>): ExternalGrounds {
  const range = (what: string, text: string) => ({ what, prefix: parsePrefix(text) });
  return {
    clusterRanges: [
      range('the pods\' addresses', record.clusterCidr4), range('the pods\' addresses', record.clusterCidr6),
      range('the service range', record.serviceCidr4), range('the service range', record.serviceCidr6),
    ],
    allowed: record.settings.externalIPs.allowed.map(parsePrefix),
  };
}

/** Addresses of nodes and of the API server, with their owners' names. */
export function nodeOwners(record: Pick<ClusterRecord, 'nodes' | 'underlay'>, nodes: Iterable<Node>): (readonly [string, string])[] {
  const fromObjects = [...nodes].flatMap(({ metadata: { name }, status }) => (status?.addresses ?? []).map(({ address }) => [address, `node ${name}`] as const));
  const fromRecord = record.nodes.flatMap(node => [node.underlay4, node.underlay6, node.routerIp4, node.routerIp6].map(address => [address, `node ${node.name}`] as const));
  return [...fromObjects, ...fromRecord, [record.underlay.host4, 'the API server'], [record.underlay.host6, 'the API server']];
}

/** Our annotation's value, by its present name or the older one. */
function annotation({ metadata: { annotations } }: Service, name: string, older: string): string | undefined {
  return annotations?.[name] ?? annotations?.[older];
}

function listOf(text: string | undefined): string[] {
  return (text ?? '').split(',').map(part => part.trim()).filter(Boolean);
}

