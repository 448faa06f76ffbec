import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import { formatAddr, formatPrefix, isIPv4, parseAddr, parsePrefix, type Prefix } from '../std/ip.ts';
import { isErrno } from '../sys/errno.ts';
import { mainTable, type RouteInfo } from '../sys/netlink-route.ts';
import { Netlink } from '../sys/netlink.ts';
import { createNetns, deleteNetns, isNetns, openNetns, withNetns } from '../sys/netns.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { hostDevice } from './record.ts';

/**
 *      host namespace                     node1's namespace
 *      INSTANCE0 (bridge, 172.30.X.1) ─── INSTANCE-n1 ═══ eth0 (172.30.X.11)
 *                                    └─── INSTANCE-n2 ═══ eth0 (172.30.X.12), node2's namespace
 *      172.31.X.0/24 over all nodes
 *
 * Makes what is missing and leaves what is there. Returns what it had to make, in words.
 */
export function ensureNetwork(record: ClusterRecord, paths: StatePaths): string[] {
  const made: string[] = [];
  using host = Netlink.open();
  const bridge = ensureBridge(host, record, made);
  for (const node of record.nodes) ensureNode(host, record, node, paths.node(node.name).netns, bridge, made);
  ensureLoadBalancerRoutes(host, record, bridge, made);
  return made;
}

function ensureBridge(host: Netlink, record: ClusterRecord, made: string[]): number {
  const { bridge, host4, host6, prefix4, prefix6 } = record.underlay;
  if (!host.linkGet(bridge)) {
    host.bridgeCreate({ name: bridge });
    made.push(`bridge ${bridge}`);
  }
  const { index, up } = host.linkGet(bridge)!;
  if (!up) host.linkSet(index, { up: true });
  addAddress(host, index, host4, prefix4);
  addAddress(host, index, host6, prefix6);
  return index;
}

function ensureNode(host: Netlink, record: ClusterRecord, node: NodeRecord, netns: string, bridge: number, made: string[]): void {
  if (!isNetns(netns)) {
    createNetns(netns);
    made.push(`network namespace of ${node.name}`);
  }
  using ns = openNetns(netns);
  using inside = Netlink.openIn(ns.fd);
  if (made.length > 0) withNetns(ns.fd, () => nodeSysctls.forEach(([key, value]) => writeSysctl(key, value)));
  const device = hostDevice(record.instance, node);
  if (!host.linkGet(device) || !inside.linkGet('eth0')) {
    // One half without the other is what a crash between two steps leaves.
    deleteLink(host, device);
    deleteLink(inside, 'eth0');
    host.vethCreate({ name: device, peerName: 'eth0', peerNetnsFd: ns.fd });
    made.push(`device of ${node.name}`);
  }
  const link = host.linkGet(device)!;
  if (link.master !== bridge || !link.up) host.linkSet(link.index, { master: bridge, up: true });
  const lo = inside.linkGet('lo')!;
  if (!lo.up) inside.linkSet(lo.index, { up: true });
  const eth0 = inside.linkGet('eth0')!;
  if (!eth0.up) inside.linkSet(eth0.index, { up: true });
  addAddress(inside, eth0.index, node.underlay4, record.underlay.prefix4);
  addAddress(inside, eth0.index, node.underlay6, record.underlay.prefix6);
  for (const [destination, gateway] of [['0.0.0.0/0', record.underlay.host4], ['::/0', record.underlay.host6]] as const) {
    ignoring('EEXIST', () => inside.routeAdd({ destination: parsePrefix(destination), index: eth0.index, gateway: parseAddr(gateway) }));
  }
}

/**
 * The host's way to the load balancer addresses: over every node, as a router has it that hears of them from all nodes (BGP with
 * ECMP). Any node may get any packet of a flow's start; the same client stays with the same node. They go with the bridge.
 */
function ensureLoadBalancerRoutes(host: Netlink, record: ClusterRecord, bridge: number, made: string[]): void {
  const families = [
    { destination: parsePrefix(record.loadBalancerCidr4), gateways: record.nodes.map(node => parseAddr(node.underlay4)) },
    { destination: parsePrefix(record.loadBalancerCidr6), gateways: record.nodes.map(node => parseAddr(node.underlay6)) },
  ];
  const present = host.routeList({ table: mainTable });
  for (const { destination, gateways } of families) {
    const known = present.filter(route => formatPrefix(route.destination) === formatPrefix(destination));
    if (waysOf(known) === gateways.map(formatAddr).sort().join()) continue;
    // An IPv6 route of one nexthop is not replaced by one of several, it joins them: what is there goes first.
    for (const _ of known) ignoring('ESRCH', () => host.routeDelete({ destination }));
    host.routeAdd({ destination, nexthops: gateways.map(gateway => ({ index: bridge, gateway })) });
    made.push(`route to ${formatPrefix(destination)}`);
  }
}

function waysOf(routes: readonly RouteInfo[]): string {
  return routes.flatMap(route => [...(route.gateway ? [route.gateway] : []), ...(route.nexthops ?? []).map(nexthop => nexthop.gateway)]).map(formatAddr).sort().join();
}

const nodeSysctls: readonly (readonly [string, string])[] = [
  ['net/ipv6/conf/all/disable_ipv6', '0'],
  ['net/ipv6/conf/default/disable_ipv6', '0'],
  // Addresses are given out once, by us: waiting a second for somebody else to claim one helps nobody.
  ['net/ipv6/conf/all/accept_dad', '0'],
  ['net/ipv6/conf/default/accept_dad', '0'],
  ['net/ipv6/conf/default/accept_ra', '0'],
  ['net/ipv4/conf/all/rp_filter', '0'],
  ['net/ipv4/conf/default/rp_filter', '0'],
  ['net/ipv4/ip_forward', '1'],
  ['net/ipv6/conf/all/forwarding', '1'],
  ['net/ipv4/ping_group_range', '0 2147483647'],
];

/** The address with the length of the prefix it lies in. */
function addAddress(netlink: Netlink, index: number, address: string, within: string): void {
  const addr = parseAddr(address);
  const prefix: Prefix = { addr, bits: parsePrefix(within).bits };
  ignoring('EEXIST', () => netlink.addrAdd(index, prefix, isIPv4(addr) ? {} : { noDad: true }));
}

/** Removes every device and namespace of an instance, also those no record speaks of. Returns what went. */
export function removeNetwork(found: { readonly links: readonly string[]; readonly namespaces: readonly string[] }): string[] {
  using host = Netlink.open();
  const gone = found.links.filter(name => deleteLink(host, name)).map(name => `device ${name}`);
  for (const path of found.namespaces) {
    deleteNetns(path);
    gone.push(`namespace ${path}`);
  }
  return gone;
}

/** Devices in the host's namespace that are named for the instance. */
export function linksOf(instance: string): string[] {
  using host = Netlink.open();
  const own = new RegExp(`^${instance}(0|-n\\d+)$`);
  return host.linkList().map(link => link.name).filter(name => own.test(name));
}

/** Addresses and routes of the host, as text: what a new cluster must keep clear of. */
export function hostPrefixes(): string[] {
  using host = Netlink.open();
  return [...host.addrList().map(a => a.prefix), ...host.routeList().map(r => r.destination)].map(formatLoose);
}

/** True where the host has a default route of that family. */
export function hasDefaultRoute(family: 4 | 6): boolean {
  using host = Netlink.open();
  const bits = family === 4 ? 96 : 0;
  return host.routeList({ table: 254 }).some(route => route.destination.bits === bits && isIPv4(route.destination.addr) === (family === 4) && route.gateway !== undefined);
}

function formatLoose(prefix: Prefix): string {
  if (!isIPv4(prefix.addr)) return '';
  return `${[...prefix.addr.subarray(12)].join('.')}/${prefix.bits - 96}`;
}

function deleteLink(netlink: Netlink, name: string): boolean {
  return ignoring('ENODEV', () => {
    netlink.linkDelete(name);
    return true;
  }) ?? false;
}

function ignoring<T>(errno: string, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (isErrno(error, errno)) return undefined;
    throw error;
  }
}
