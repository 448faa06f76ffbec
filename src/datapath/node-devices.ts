import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { overlayOverhead } from '../model/mtu.ts';
import { localPorts } from '../model/settings.ts';
import type { Netlink } from '../sys/netlink.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { parseAddr, parsePrefix } from '../std/ip.ts';

export const overlayName = 'cirri_vxlan';
export const uplinkName = 'eth0';
/** Linux's VXLAN default; also upstream's. */
const overlayPort = 8472;

export interface NodeDevices {
  readonly uplinkIndex: number;
  /** 0 with native routing. */
  readonly overlayIndex: number;
  readonly uplinkMac: string;
  /** Of a virtual device, as netlink calls it (`veth`). */
  readonly uplinkKind: string | undefined;
  readonly uplinkMtu: number;
  /** For pods' devices. */
  readonly podMtu: number;
}

/** Makes what a node needs once: the overlay device, the router's addresses, forwarding. Run again, it changes nothing. */
export function ensureNodeDevices(netlink: Netlink, node: NodeRecord, routing: 'tunnel' | 'native'): NodeDevices {
  for (const [name, value] of nodeSysctls) writeSysctl(name, value);
  ensureProxyRoutes(netlink);
  const uplink = netlink.linkGet(uplinkName);
  if (!uplink) throw new Error(`node ${node.name} has no device ${uplinkName}`);
  const routers = [parsePrefix(node.routerIp4), parsePrefix(node.routerIp6)];
  if (routing === 'native') {
    const lo = netlink.linkGet('lo');
    if (lo) for (const router of routers) ignoreExists(() => netlink.addrAdd(lo.index, router, { noDad: true }));
    return { uplinkIndex: uplink.index, overlayIndex: 0, uplinkMac: uplink.mac, uplinkKind: uplink.kind, uplinkMtu: uplink.mtu, podMtu: uplink.mtu };
  }
  const podMtu = uplink.mtu - overlayOverhead;
  if (!netlink.linkGet(overlayName)) {
    netlink.vxlanCreate({ name: overlayName, port: overlayPort, collectMetadata: true, mtu: podMtu });
  }
  const overlay = netlink.linkGet(overlayName);
  if (!overlay) throw new Error(`device ${overlayName} is gone right after it was made`);
  // No ARP on the overlay: the programs know where everything is; the receiver takes frames by address, not by MAC.
  netlink.linkSet(overlay.index, { arp: false, up: true, mtu: podMtu });
  for (const router of routers) ignoreExists(() => netlink.addrAdd(overlay.index, router, { noDad: true }));
  return { uplinkIndex: uplink.index, overlayIndex: overlay.index, uplinkMac: uplink.mac, uplinkKind: uplink.kind, uplinkMtu: uplink.mtu, podMtu };
}

const nodeSysctls: readonly (readonly [string, string])[] = [
  ['net/ipv4/ip_forward', '1'],
  ['net/ipv6/conf/all/forwarding', '1'],
  // The programs check sources (anti-spoofing) and know more than the routing table does.
  ['net/ipv4/conf/all/rp_filter', '0'],
  ['net/ipv4/conf/default/rp_filter', '0'],
  // Else the way back to a packet's sender is asked for with the packet's mark, and a packet marked for the proxy would come from this node itself.
  ['net/ipv4/conf/all/src_valid_mark', '0'],
  // Below the node ports (30000) and the ports that masquerade uses (32768 and up): the three never meet.
  ['net/ipv4/ip_local_port_range', localPorts.join(' ')],
  // The proxy has some thousand ports from a client to a server, and each connection that it ends first would keep one for a minute. After a
  // second it may be used again: timestamps tell the old connection's packets from the new one's (RFC 6191; IPv6 too).
  ['net/ipv4/tcp_tw_reuse', '1'],
];

/** MARK_TO_PROXY and MARK_MASK of bpf/lib/proxy.h; the table is Cilium's for the same. The local table, asked before, has only the node's own addresses. */
const toProxy = { mark: 0x200, mask: 0xf00, table: 2004, priority: 100 } as const;

/** Packets that the programs mark for the layer 7 proxy are delivered here, whoever they are addressed to. */
export function ensureProxyRoutes(netlink: Netlink): void {
  const lo = netlink.linkGet('lo');
  if (!lo) throw new Error('the node has no device lo');
  netlink.linkSet(lo.index, { up: true });
  for (const [family, everything] of [[4, '0.0.0.0/0'], [6, '::/0']] as const) {
    netlink.routeAdd({ destination: parsePrefix(everything), index: lo.index, table: toProxy.table, type: 'local', replace: true });
    ignoreExists(() => netlink.ruleAdd({ family, ...toProxy }));
  }
}

/** How the node's own stack reaches another node's pods. */
export function remoteNodeRoutes(self: NodeRecord, other: NodeRecord, devices: NodeDevices): Parameters<Netlink['routeAdd']>[0][] {
  const families = [
    { destination: other.podCidr4, source: self.routerIp4, gateway: other.underlay4 },
    { destination: other.podCidr6, source: self.routerIp6, gateway: other.underlay6 },
  ];
  return families.map(({ destination, source, gateway }) => devices.overlayIndex === 0
    ? { destination: parsePrefix(destination), index: devices.uplinkIndex, gateway: parseAddr(gateway), source: parseAddr(source), replace: true }
    : { destination: parsePrefix(destination), index: devices.overlayIndex, source: parseAddr(source), scopeLink: true, replace: true });
}

/**
 * What the node's own programs send to a service address that does not exist is refused here and does not leave the machine. The
 * same for load balancer addresses: a router sends them all here, and a node that sent one back would send it round for ever.
 */
export function serviceRangeRoutes(record: Pick<ClusterRecord, 'serviceCidr4' | 'serviceCidr6' | 'loadBalancerCidr4' | 'loadBalancerCidr6'>): Parameters<Netlink['routeAdd']>[0][] {
  const ranges = [record.serviceCidr4, record.serviceCidr6, record.loadBalancerCidr4, record.loadBalancerCidr6];
  return ranges.map(cidr => ({ destination: parsePrefix(cidr), type: 'unreachable', replace: true }));
}

function ignoreExists(run: () => void): void {
  try {
    run();
  } catch (error) {
    if ((error as { errno?: string }).errno !== 'EEXIST') throw error;
  }
}
