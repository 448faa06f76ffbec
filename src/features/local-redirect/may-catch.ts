import { specialRanges, type ExternalGrounds } from '../../ipam/external-addresses.ts';
import { rangeHas, type ServicePool } from '../../ipam/service-pool.ts';
import { addrToBigint, formatAddr, formatPrefix, parsePrefix, prefixHas, type Addr } from '../../std/ip.ts';

export interface CatchGrounds {
  readonly grounds: ExternalGrounds;
  /** `settings.localRedirectPolicies.addressMatcherCIDRs`. */
  readonly allowed: readonly string[];
  /** Addresses of nodes and of the API server, with their owners. */
  readonly owners: Iterable<readonly [address: string, owner: string]>;
  readonly pools: readonly ServicePool[];
}

/**
 * Why a policy's addressMatcher may not name an address; undefined where it may. Whoever may write policies in one namespace
 * would otherwise catch every pod's traffic to any service, node or site (CVE-2026-53935). Pure.
 */
export function catchRefusal(addr: Addr, { grounds, allowed, owners, pools }: CatchGrounds): string | undefined {
  const address = formatAddr(addr);
  const special = specialRanges.find(({ what, prefix }) => what !== 'link-local' && prefixHas(prefix, addr));
  if (special) return `${address} is ${special.what}`;
  const cluster = grounds.clusterRanges.find(({ prefix }) => prefixHas(prefix, addr));
  if (cluster) return `${address} lies in ${cluster.what} of the cluster (${formatPrefix(cluster.prefix)}); for a service use serviceMatcher, in its own namespace`;
  for (const [other, owner] of owners) if (other === address) return `${address} is an address of ${owner}`;
  const number = addrToBigint(addr);
  const pool = pools.find(({ ranges }) => ranges.some(range => rangeHas(range, number)));
  if (pool) return `${address} is a load balancer address (pool ${pool.name})`;
  if (allowed.some(text => prefixHas(parsePrefix(text), addr))) return undefined;
  return `${address} lies in none of the prefixes that may be caught (${allowed.join(', ') || 'none'}); the cluster's operator widens them with the setting localRedirectPolicies.addressMatcherCIDRs`;
}
