import type { NodeMaps } from '../datapath/maps.ts';
import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import { listAddresses, monotonicSeconds, type AddressIdentities } from '../features/names/addresses.ts';
import type { DnsNames } from '../features/names/names.ts';
import type { NameRow } from '../flows/name-cache.ts';
import type { ConntrackRow } from '../model/kernel-reports.ts';
import type { NameCacheRow, NameSelectorRow } from '../model/names.ts';
import type { Policy } from '../policy/policy.ts';
import type { Table } from '../table/table.ts';
import type { Enforced, PolicyVersion } from './enforcement.ts';
import type { Routes } from './server.ts';

export interface FqdnRoutesParts {
  readonly names: Pick<DnsNames, 'patterns' | 'walk' | 'entries' | 'automaton'> & { readonly engine: { nameSelectors(): readonly string[]; fqdnSelectors(): readonly string[] } };
  /** What flows have learned. */
  readonly cache: { rows(): Iterable<NameRow> };
  readonly addresses: NodeMaps['nameAddresses'];
  readonly endpoints: Table<Endpoint>;
  readonly policies: { versions(): readonly PolicyVersion[] };
}

/** `/v1/fqdn/cache` and `/v1/fqdn/names`. `connections`: those that live. */
export function fqdnRoutes({ names, flows, opened, endpoints, policies, connections }: Pick<FqdnRoutesParts, 'names' | 'endpoints' | 'policies'> & {
  readonly flows: { readonly names: FqdnRoutesParts['cache'] };
  readonly opened: { readonly maps: Pick<NodeMaps, 'nameAddresses'> };
  readonly connections: () => Promise<readonly ConntrackRow[]>;
}): Routes {
  const parts: FqdnRoutesParts = { names, cache: flows.names, addresses: opened.maps.nameAddresses, endpoints, policies };
  return {
    '/v1/fqdn/cache': async () => nameCacheRows(parts, await connections()),
    '/v1/fqdn/names': () => nameSelectorRows(parts),
  };
}

/** What pods were told, with what policy makes of it. `connections`: those that live. */
export function nameCacheRows(parts: Omit<FqdnRoutesParts, 'policies'>, connections: readonly Pick<ConntrackRow, 'source' | 'destination'>[], nowSeconds = monotonicSeconds(), nowMs = Date.now()): NameCacheRow[] {
  const inKernel = new Map<string, AddressIdentities>([...listAddresses(parts.addresses, nowSeconds)].map(row => [`${row.endpoint} ${row.ip}`, row] as const));
  const pods = new Map([...parts.endpoints.rows()].map(endpoint => [endpoint.id, endpoint] as const));
  const uses = countPairs(connections);
  const rowOf = (endpoint: number, ip: string, name: string | undefined, ttlEndSeconds: number, known: AddressIdentities | undefined): NameCacheRow[] => {
    const pod = pods.get(endpoint);
    const count = (pod ? endpointAddresses(pod) : []).reduce((sum, own) => sum + (uses.get(`${own} ${ip}`) ?? 0), 0);
    const identities = known?.identities.map(slot => slot.identity).sort((a, b) => a - b) ?? [];
    const end = Math.max(ttlEndSeconds, ...(known?.identities.map(slot => slot.expiresS) ?? []));
    const ttlSeconds = Math.max(0, Math.ceil(end - nowSeconds));
    if (ttlSeconds === 0 && count === 0) return [];
    return [{
      endpoint, ...(pod && pod.podName !== '' && { namespace: pod.namespace, pod: pod.podName }), ...(name !== undefined && { name }), ip,
      source: ttlSeconds > 0 ? 'lookup' : 'connection', ttlSeconds, expires: new Date(nowMs + (end - nowSeconds) * 1000).toISOString(),
      identities, selectors: [...new Set(identities.flatMap(id => parts.names.patterns(id) ?? []))].sort(), connections: count,
    }];
  };
  const rows: NameCacheRow[] = [];
  const named = new Set<string>();
  for (const { endpoint, name, ip, ttlEndNs } of parts.cache.rows()) {
    const key = `${endpoint} ${ip}`;
    named.add(key);
    rows.push(...rowOf(endpoint, ip, name, ttlEndNs / 1e9, inKernel.get(key)));
  }
  for (const [key, row] of inKernel) if (!named.has(key)) rows.push(...rowOf(row.endpoint, row.ip, undefined, 0, row));
  return rows;
}

/** The names and patterns of all policies in force. */
export function nameSelectorRows({ names, cache, policies }: FqdnRoutesParts): NameSelectorRow[] {
  const fqdns = new Set(names.engine.fqdnSelectors());
  const leftOut = new Set(names.automaton?.leftOut);
  const seen = namesBySelector(names, cache.rows());
  const users = selectorUsers(policies.versions().map(version => version.policy));
  const identities = new Map<string, number[]>();
  for (const [id, labels] of names.entries()) for (const pattern of labels.keysOf('fqdn')) identities.set(pattern, [...(identities.get(pattern) ?? []), id]);
  return names.engine.nameSelectors().map(selector => {
    const used = users.get(selector);
    return {
      selector, use: [...(fqdns.has(selector) ? ['toFQDNs' as const] : []), ...(used?.dns ? ['rules.dns' as const] : [])], policies: [...(used?.policies ?? [])].sort(),
      names: [...(seen.get(selector) ?? [])].map(([name, ips]) => ({ name, ips: [...ips].sort() })).sort((a, b) => (a.name < b.name ? -1 : 1)),
      identities: fqdns.has(selector) ? [...(identities.get(selector) ?? [])].sort((a, b) => a - b) : [], ...(leftOut.has(selector) && { leftOut: true as const }),
    };
  });
}

/** Why a policy is not enforced as it is written: its names match nothing. Undefined when there is room for all of them. */
export function namesWithoutRoom(policy: Policy, leftOut: readonly string[] = []): Enforced | undefined {
  if (leftOut.length === 0) return undefined;
  const without = new Set(leftOut);
  const names = [...new Set([...selectorsOf(policy)].map(({ selector }) => selector))].filter(selector => without.has(selector));
  if (names.length === 0) return undefined;
  return { enforced: false, error: `there is no room for ${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more names` : ''} beside the other names and patterns of policies: what they would allow is denied` };
}

function countPairs(connections: readonly Pick<ConntrackRow, 'source' | 'destination'>[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { source, destination } of connections) counts.set(`${source} ${destination}`, (counts.get(`${source} ${destination}`) ?? 0) + 1);
  return counts;
}

function namesBySelector(names: FqdnRoutesParts['names'], rows: Iterable<NameRow>): Map<string, Map<string, Set<string>>> {
  const ips = new Map<string, Set<string>>();
  for (const { name, ip } of rows) ips.set(name, (ips.get(name) ?? new Set()).add(ip));
  const bySelector = new Map<string, Map<string, Set<string>>>();
  for (const [name, addresses] of ips) {
    for (const selector of names.walk(name)) bySelector.set(selector, (bySelector.get(selector) ?? new Map<string, Set<string>>()).set(name, addresses));
  }
  return bySelector;
}

interface SelectorUse {
  readonly policies: Set<string>;
  dns: boolean;
}

function selectorUsers(policies: readonly Policy[]): Map<string, SelectorUse> {
  const users = new Map<string, SelectorUse>();
  for (const policy of policies) {
    for (const { selector, dns } of selectorsOf(policy)) {
      const use = users.get(selector) ?? { policies: new Set(), dns: false };
      users.set(selector, use);
      use.policies.add(`${policy.kind} ${policy.namespace === undefined ? '' : `${policy.namespace}/`}${policy.name}`);
      use.dns ||= dns;
    }
  }
  return users;
}

function* selectorsOf({ specs }: Policy): Generator<{ readonly selector: string; readonly dns: boolean }> {
  for (const rule of specs.flatMap(spec => spec.rules)) {
    for (const peer of rule.peers === 'any' ? [] : rule.peers) {
      if (peer.type === 'selector') for (const { source, key } of peer.selector.requirements) if (source === 'fqdn') yield { selector: key, dns: false };
    }
    if (rule.l7?.protocol === 'dns') for (const { pattern } of rule.l7.rules) yield { selector: pattern, dns: true };
  }
}
