/** Peers that name other objects, resolved to selectors and prefixes: services and CIDR groups. */
import { cidrContains, labelKeys } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { inNamespace } from './parse-selector.ts';
import type { CidrGroupPeer, Rule, ServicePeer } from './policy.ts';
import { PrefixCover } from './prefix-cover.ts';
import { PrefixOrder } from './prefix-order.ts';

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

export interface ResolvedCidr {
  readonly cidr: string;
  readonly except: readonly string[];
  /** Pods by their addresses too. */
  readonly pods: boolean;
}

/** OR of both lists; two empty lists are nobody. */
export type ResolvedPeers = 'any' | { readonly selectors: readonly EndpointSelector[]; readonly cidrs: readonly ResolvedCidr[] };

/** Where the services and groups that peers name are found. */
export interface NamedObjects {
  services(peer: ServicePeer): readonly Service[];
  groups(peer: CidrGroupPeer): readonly CidrGroup[];
}

export function resolvePeers(peers: Rule['peers'], objects: NamedObjects): ResolvedPeers {
  if (peers === 'any') return 'any';
  const selectors: EndpointSelector[] = [];
  const cidrs: ResolvedCidr[] = [];
  for (const peer of peers) {
    if (peer.type === 'selector') selectors.push(peer.selector);
    else if (peer.type === 'cidr') cidrs.push({ cidr: peer.cidr, except: peer.except, pods: peer.pods ?? false });
    else if (peer.type === 'cidr-group') for (const cidr of groupPrefixes(peer, objects.groups(peer))) cidrs.push(cidr);
    else {
      for (const service of objects.services(peer)) {
        if (service.selector && Object.keys(service.selector).length > 0) selectors.push(servicePods(service));
        else for (const cidr of service.addresses ?? []) cidrs.push({ cidr, except: [], pods: false });
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

export function selectsGroup(peer: Pick<CidrGroupPeer, 'name' | 'selector'>, group: CidrGroup): boolean {
  return peer.name !== undefined ? group.name === peer.name : peer.selector!.matches(group.labels);
}

/** An exception cuts a hole into the group's wider prefixes and takes away the narrower ones. */
function groupPrefixes(peer: CidrGroupPeer, groups: readonly CidrGroup[]): readonly ResolvedCidr[] {
  const holes = peer.except.map(parsePrefix);
  const [cover, order] = [new PrefixCover(holes), new PrefixOrder(holes.map(hole => [hole, hole] as const))];
  return groups
    .flatMap(group => group.cidrs.map(text => ({ text, cidr: parsePrefix(text) })))
    .filter(({ cidr }) => !cover.covers(cidr))
    .map(({ text, cidr }) => ({ cidr: text, pods: false, except: [...order.within(cidr)].filter(hole => cidrContains(cidr, hole)).map(formatPrefix) }));
}
