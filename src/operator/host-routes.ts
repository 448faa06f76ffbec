import type { Endpoint, EndpointSlice, Service } from '../kube/types.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { formatAddr, formatPrefix, isAddr, isIPv4, parseAddr, parsePrefix, prefixHas } from '../std/ip.ts';
import { isErrno } from '../sys/errno.ts';
import { mainTable } from '../sys/netlink-route.ts';
import { Netlink } from '../sys/netlink.ts';

/** Host prefix → the nodes' addresses that lead there, sorted. */
export type LocalRoutes = ReadonlyMap<string, readonly string[]>;

/** A service of type LoadBalancer that only nodes with an endpoint of it answer for. */
export function isLocalLoadBalancer({ spec }: Service): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

/**
 * The routes that a router would have of such services: only over nodes that have an endpoint which serves, as BGP speakers on
 * the nodes would announce, and as load balancers learn by the health check port. A service without any has none. Pure.
 */
export function localRoutes(services: readonly Service[], slicesOf: (service: Service) => readonly EndpointSlice[], record: Pick<ClusterRecord, 'nodes' | 'loadBalancerCidr4' | 'loadBalancerCidr6'>): LocalRoutes {
  const ranges = [record.loadBalancerCidr4, record.loadBalancerCidr6].map(parsePrefix);
  const routes = new Map<string, Set<string>>();
  for (const service of services) {
    const here = new Set(slicesOf(service).flatMap(({ endpoints }) => (endpoints ?? []).filter(isServing).map(({ nodeName }) => nodeName)));
    const nodes = record.nodes.filter(({ name }) => here.has(name));
    for (const { ip } of service.status?.loadBalancer?.ingress ?? []) {
      if (!ip || !isAddr(ip) || nodes.length === 0) continue;
      const addr = parseAddr(ip);
      // Others' addresses are others' to route.
      if (!ranges.some(range => prefixHas(range, addr))) continue;
      const prefix = formatPrefix({ addr, bits: 128 });
      // Services that share an address and have policy Local have the same pods.
      const ways = routes.get(prefix) ?? new Set();
      for (const node of nodes) ways.add(isIPv4(addr) ? node.underlay4 : node.underlay6);
      routes.set(prefix, ways);
    }
  }
  return new Map([...routes].map(([prefix, ways]) => [prefix, [...ways].sort()]));
}

/** One on its way out still has its connections, which must go on reaching its node. */
function isServing({ conditions }: Endpoint): boolean {
  return (conditions?.ready ?? true) || (conditions?.serving === true && conditions.terminating === true);
}

/** Makes the routes of single load balancer addresses over the bridge these, and no others. Returns what it changed, in words. */
export function applyLocalRoutes(wanted: LocalRoutes, record: Pick<ClusterRecord, 'underlay' | 'loadBalancerCidr4' | 'loadBalancerCidr6'>): string[] {
  using netlink = Netlink.open();
  const index = netlink.linkGet(record.underlay.bridge)?.index;
  if (index === undefined) return [];
  const ranges = [record.loadBalancerCidr4, record.loadBalancerCidr6].map(parsePrefix);
  const present = new Map<string, string[]>();
  for (const { destination, gateway, nexthops = [] } of netlink.routeList({ table: mainTable })) {
    if (destination.bits !== 128 || !ranges.some(range => prefixHas(range, destination.addr))) continue;
    const ways = [...(gateway ? [gateway] : []), ...nexthops.map(nexthop => nexthop.gateway)].map(formatAddr);
    const prefix = formatPrefix(destination);
    present.set(prefix, [...(present.get(prefix) ?? []), ...ways].sort());
  }
  const changed: string[] = [];
  for (const [prefix, ways] of present) {
    if (wanted.get(prefix)?.join() === ways.join()) continue;
    ignoreMissing(() => netlink.routeDelete({ destination: parsePrefix(prefix) }));
    if (!wanted.has(prefix)) changed.push(`removed ${prefix}`);
  }
  for (const [prefix, ways] of wanted) {
    if (present.get(prefix)?.join() === ways.join()) continue;
    netlink.routeAdd({ destination: parsePrefix(prefix), nexthops: ways.map(way => ({ index, gateway: parseAddr(way) })), replace: true });
    changed.push(`${prefix} via ${ways.join(', ')}`);
  }
  return changed;
}

function ignoreMissing(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
