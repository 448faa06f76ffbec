/** Peers that name other objects, resolved to selectors and prefixes: services and CIDR groups. */
import { cidrContains, labelKeys } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { inNamespace } from './parse-selector.ts';
import type { CidrGroupPeer, CidrPeer, Rule, ServicePeer } from './policy.ts';

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly labels: LabelSet;
  /** The pods behind it; absent or empty: none, then `addresses` count. */
  readonly selector?: Readonly<Record<string, string>>;
  /** Addresses of its EndpointSlices. They are taken as prefixes outside the cluster, so they never reach pods. */
  readonly addresses?: readonly string[];
}

export interface CidrGroup {
  readonly name: string;
  readonly labels: LabelSet;
  readonly cidrs: readonly string[];
}

/** OR of both lists; two empty lists are nobody. */
export type ResolvedPeers = 'any' | { readonly selectors: readonly EndpointSelector[]; readonly cidrs: readonly Pick<CidrPeer, 'cidr' | 'except'>[] };

export function resolvePeers(peers: Rule['peers'], services: readonly Service[], groups: readonly CidrGroup[]): ResolvedPeers {
  if (peers === 'any') return 'any';
  const selectors: EndpointSelector[] = [];
  const cidrs: Pick<CidrPeer, 'cidr' | 'except'>[] = [];
  for (const peer of peers) {
    if (peer.type === 'selector') selectors.push(peer.selector);
    else if (peer.type === 'cidr') cidrs.push(peer);
    else if (peer.type === 'cidr-group') cidrs.push(...groupPrefixes(peer, groups));
    else {
      for (const service of services.filter(s => selectsService(peer, s))) {
        if (service.selector && Object.keys(service.selector).length > 0) selectors.push(servicePods(service));
        else cidrs.push(...(service.addresses ?? []).map(cidr => ({ cidr, except: [] })));
      }
    }
  }
  return { selectors, cidrs };
}

export function selectsService(peer: Pick<ServicePeer, 'namespace' | 'name' | 'selector'>, service: Service): boolean {
  if (peer.namespace !== undefined && peer.namespace !== service.namespace) return false;
  if (peer.name !== undefined) return peer.name === service.name;
  return peer.selector !== undefined && peer.selector.matches(service.labels);
}

function servicePods(service: Service): EndpointSelector {
  const requirements = Object.entries(service.selector ?? {}).map(([key, value]) => ({ source: 'k8s', key, operator: 'In' as const, values: [value] }));
  return EndpointSelector.of([...requirements.filter(r => r.key !== labelKeys.namespace), inNamespace(service.namespace)]);
}

/** An exception cuts a hole into the group's wider prefixes and takes away the narrower ones. */
function groupPrefixes(peer: CidrGroupPeer, groups: readonly CidrGroup[]): readonly Pick<CidrPeer, 'cidr' | 'except'>[] {
  return groups
    .filter(group => (peer.name !== undefined ? group.name === peer.name : peer.selector!.matches(group.labels)))
    .flatMap(group => group.cidrs.map(cidr => ({ cidr, except: peer.except.filter(hole => overlap(parsePrefix(cidr), parsePrefix(hole))) })));
}

function overlap(a: Prefix, b: Prefix): boolean {
  return cidrContains(a, b) || cidrContains(b, a);
}
