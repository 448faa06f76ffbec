import { mkdirSync } from 'node:fs';
import type { ClusterRecord, NodeRecord, StatePaths } from '../../model/cluster.ts';
import { parseAddr, parsePrefix } from '../../std/ip.ts';
import { cgroupRoot } from '../../sys/cgroup.ts';
import { isErrno } from '../../sys/errno.ts';
import { Netlink } from '../../sys/netlink.ts';
import { createNetns, openNetns, withNetns } from '../../sys/netns.ts';
import { writeSysctl } from '../../sys/sysctl.ts';
import type { Origin } from '../probe/helper.ts';

/**
 * What lies outside of the rig's cluster: a namespace on the underlay that has whichever addresses a case speaks of.
 *
 *     node1 ── 198.51.100.7 via .10 ──► INSTANCE0 (bridge) ──► INSTANCE-n0 ═ eth0 172.30.X.10, lo 198.51.100.7
 *     node1 ◄── 10.244.1.0/24 via .11 ─────────────────────────────────────┘
 *
 * Its names are an instance's, so that `cirri down` takes it with the rest.
 */
export class Outside {
  readonly origin: Origin;
  readonly #inside: Netlink;
  readonly #nodes: readonly { readonly netlink: Netlink; readonly uplink: number }[];
  readonly #gateways: { readonly ipv4: string; readonly ipv6: string };
  readonly #addresses = new Set<string>();

  constructor(record: ClusterRecord, paths: StatePaths) {
    const netns = `/run/netns/${record.instance}-outside`;
    const cgroup = `${cgroupRoot()}/${record.instance}/outside`;
    mkdirSync(cgroup, { recursive: true });
    this.origin = { label: 'outside', netns, cgroup };
    this.#gateways = { ipv4: record.underlay.host4.replace(/\.1$/, '.10'), ipv6: record.underlay.host6.replace(/::1$/, '::10') };
    createNetns(netns);
    this.#inside = this.#attach(record);
    this.#nodes = record.nodes.map(node => {
      using ns = openNetns(paths.node(node.name).netns);
      const netlink = Netlink.openIn(ns.fd);
      return { netlink, uplink: netlink.linkGet('eth0')!.index };
    });
  }

  /** Exactly these addresses, and the nodes' ways to them. */
  setAddresses(wanted: readonly string[]): void {
    for (const address of this.#addresses) if (!wanted.includes(address)) this.#remove(address);
    for (const address of wanted) if (!this.#addresses.has(address)) this.#add(address);
  }

  close(): void {
    this.#inside.close();
    for (const { netlink } of this.#nodes) netlink.close();
  }

  #attach(record: ClusterRecord): Netlink {
    using ns = openNetns(this.origin.netns);
    using host = Netlink.open();
    withNetns(ns.fd, () => sysctls.forEach(([key, value]) => writeSysctl(key, value)));
    const inside = Netlink.openIn(ns.fd);
    const device = `${record.instance}-n0`;
    host.vethCreate({ name: device, peerName: 'eth0', peerNetnsFd: ns.fd });
    host.linkSet(device, { master: host.linkGet(record.underlay.bridge)!.index, up: true });
    inside.linkSet('lo', { up: true });
    inside.linkSet('eth0', { up: true });
    const { index } = inside.linkGet('eth0')!;
    inside.addrAdd(index, { ...parsePrefix(record.underlay.prefix4), addr: parseAddr(this.#gateways.ipv4) });
    inside.addrAdd(index, { ...parsePrefix(record.underlay.prefix6), addr: parseAddr(this.#gateways.ipv6) }, { noDad: true });
    for (const node of record.nodes) for (const [cidr, via] of podRoutes(node)) inside.routeAdd({ destination: parsePrefix(cidr), index, gateway: parseAddr(via) });
    return inside;
  }

  #add(address: string): void {
    const addr = parseAddr(address);
    this.#inside.addrAdd(this.#inside.linkGet('lo')!.index, { addr, bits: 128 }, address.includes(':') ? { noDad: true } : {});
    this.#addresses.add(address);
    for (const { netlink, uplink } of this.#nodes) netlink.routeAdd({ destination: { addr, bits: 128 }, index: uplink, gateway: this.#gateway(address), replace: true });
  }

  #remove(address: string): void {
    const addr = parseAddr(address);
    this.#addresses.delete(address);
    this.#inside.addrDelete(this.#inside.linkGet('lo')!.index, { addr, bits: 128 });
    for (const { netlink } of this.#nodes) missingIsFine(() => netlink.routeDelete({ destination: { addr, bits: 128 } }));
  }

  #gateway(address: string): Uint8Array {
    return parseAddr(address.includes(':') ? this.#gateways.ipv6 : this.#gateways.ipv4);
  }
}

const sysctls: readonly (readonly [string, string])[] = [
  ['net/ipv6/conf/all/disable_ipv6', '0'], ['net/ipv6/conf/default/disable_ipv6', '0'], ['net/ipv6/conf/all/accept_dad', '0'],
  ['net/ipv6/conf/default/accept_dad', '0'], ['net/ipv6/conf/default/accept_ra', '0'], ['net/ipv4/conf/all/rp_filter', '0'], ['net/ipv4/conf/default/rp_filter', '0'],
];

function podRoutes(node: NodeRecord): readonly (readonly [cidr: string, via: string])[] {
  return [[node.podCidr4, node.underlay4], [node.podCidr6, node.underlay6]];
}

function missingIsFine(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}
