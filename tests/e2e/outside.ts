import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { Origin } from '../../src/cli/probe/helper.ts';
import type { ClusterRecord, StatePaths } from '../../src/model/cluster.ts';
import { cgroupRoot } from '../../src/sys/cgroup.ts';
import { createNetns, openNetns, withNetns } from '../../src/sys/netns.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';

/**
 * Clients outside of the cluster, a router away: nobody here is a node or a pod, and everything they learn of the cluster comes
 * as packets.
 *
 *   INSTANCE-outside            INSTANCE-router                          the bridge
 *   eth0 192.0.2.10  ────────── eth1 192.0.2.1   eth0 172.30.X.9 ═══════ nodes: 192.0.2.0/24 via .9
 *        192.0.2.20 (narrow: the router's way to it takes 1,300 bytes)
 *
 * The router sends the ranges of external and load balancer addresses to the node that it is told. IPv6 is the same with
 * 2001:db8:9::/64. The names are the instance's, so `cirri down` takes all of it.
 */
export class OutsideNetwork {
  readonly client: Origin;
  readonly router: Origin;
  readonly #record: ClusterRecord;

  constructor(record: ClusterRecord, paths: StatePaths) {
    this.#record = record;
    this.client = origin(record.instance, 'outside');
    this.router = origin(record.instance, 'router');
    this.#makeRouter();
    this.#makeClient();
    for (const node of record.nodes) {
      for (const [prefix, via] of [[outside.prefix4, this.#router4], [outside.prefix6, this.#router6]] as const) ipIn(paths.node(node.name).netns, 'route', 'replace', prefix, 'via', via, 'dev', 'eth0');
    }
    this.sendTo(record.nodes[0]!.name);
  }

  /** The router's way to these addresses, else to all external and load balancer addresses of the tests, is this node from now on. */
  sendTo(node: string, ranges: readonly string[] = [...external.ranges4, ...external.ranges6]): void {
    const { underlay4, underlay6 } = this.#record.nodes.find(one => one.name === node)!;
    for (const range of ranges) ipIn(this.router.netns, 'route', 'replace', range, 'via', range.includes(':') ? underlay6 : underlay4);
  }

  /** The router knows the pods' own addresses too, until the test ends: with native routing they may be seen outside. */
  routePods(t: TestContext): void {
    const routes = this.#record.nodes.flatMap(node => [[node.podCidr4, node.underlay4], [node.podCidr6, node.underlay6]] as const);
    for (const [prefix, via] of routes) ipIn(this.router.netns, 'route', 'replace', prefix, 'via', via);
    t.after(() => routes.forEach(([prefix]) => ipIn(this.router.netns, 'route', 'del', prefix)));
  }

  get #router4(): string {
    return this.#record.underlay.host4.replace(/\.1$/, '.9');
  }

  get #router6(): string {
    return this.#record.underlay.host6.replace(/::1$/, '::9');
  }

  #makeRouter(): void {
    const { instance, underlay } = this.#record;
    const { netns } = this.router;
    const device = `${instance}-n0`;
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nameOf(netns));
    ip('link', 'set', device, 'master', underlay.bridge, 'up');
    ipIn(netns, 'link', 'set', 'lo', 'up');
    ipIn(netns, 'link', 'set', 'eth0', 'up');
    ipIn(netns, 'addr', 'add', `${this.#router4}/24`, 'dev', 'eth0');
    ipIn(netns, 'addr', 'add', `${this.#router6}/64`, 'dev', 'eth0', 'nodad');
  }

  #makeClient(): void {
    const [near, far] = [this.client.netns, this.router.netns];
    ipIn(far, 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', nameOf(near));
    for (const [netns, device] of [[far, 'eth1'], [near, 'eth0'], [near, 'lo']] as const) ipIn(netns, 'link', 'set', device, 'up');
    ipIn(far, 'addr', 'add', `${outside.router4}/24`, 'dev', 'eth1');
    ipIn(far, 'addr', 'add', `${outside.router6}/64`, 'dev', 'eth1', 'nodad');
    for (const address of [outside.wide4, outside.other4, outside.narrow4, external.plain4]) ipIn(near, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    for (const address of [outside.wide6, outside.other6, outside.narrow6, external.plain6]) ipIn(near, 'addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad');
    // Without a source of its own a packet is from the wide address.
    ipIn(near, 'route', 'replace', 'default', 'via', outside.router4, 'src', outside.wide4);
    ipIn(near, '-6', 'route', 'replace', 'default', 'via', outside.router6, 'src', outside.wide6);
    for (const narrow of [outside.narrow4, outside.narrow6]) ipIn(far, 'route', 'replace', narrow, 'dev', 'eth1', 'mtu', 'lock', '1300');
  }
}

export const outside = {
  prefix4: '192.0.2.0/24', router4: '192.0.2.1', wide4: '192.0.2.10', other4: '192.0.2.11', narrow4: '192.0.2.20',
  prefix6: '2001:db8:9::/64', router6: '2001:db8:9::1', wide6: '2001:db8:9::10', other6: '2001:db8:9::11', narrow6: '2001:db8:9::20',
} as const;

/** What the router sends to a node: pools of load balancer addresses, and externalIPs. */
export const external = {
  pool4: '203.0.113.0/25', pool6: '2001:db8:1b::/120', lb4: '203.0.113.10', lb6: '2001:db8:1b::10',
  /** The client's, where pods shall keep theirs. */
  plain4: '192.0.2.130', plain6: '2001:db8:9::8001', unmasqueraded4: '192.0.2.128/25', unmasqueraded6: '2001:db8:9::8000/113',
  ip4: '198.51.100.7', ip6: '2001:db8:e::7',
  ranges4: ['203.0.113.0/24', '198.51.100.0/24'], ranges6: ['2001:db8:1b::/64', '2001:db8:e::/64'],
} as const;

function origin(instance: string, name: string): Origin {
  const netns = `/run/netns/${instance}-${name}`;
  const cgroup = `${cgroupRoot()}/${instance}/${name}`;
  mkdirSync(cgroup, { recursive: true });
  createNetns(netns);
  using ns = openNetns(netns);
  withNetns(ns.fd, () => sysctls.forEach(([key, value]) => writeSysctl(key, value)));
  return { label: name, netns, cgroup };
}

const sysctls: readonly (readonly [string, string])[] = [
  ['net/ipv6/conf/all/disable_ipv6', '0'], ['net/ipv6/conf/default/disable_ipv6', '0'], ['net/ipv6/conf/all/accept_dad', '0'], ['net/ipv6/conf/default/accept_dad', '0'],
  ['net/ipv6/conf/default/accept_ra', '0'], ['net/ipv4/conf/all/rp_filter', '0'], ['net/ipv4/conf/default/rp_filter', '0'], ['net/ipv4/ip_forward', '1'], ['net/ipv6/conf/all/forwarding', '1'],
  // All that it says of a packet too big shall be heard, however many tests ask at once.
  ['net/ipv4/icmp_ratelimit', '0'], ['net/ipv6/icmp/ratelimit', '0'],
];

export function ipIn(netns: string, ...args: string[]): string {
  return ip('-n', nameOf(netns), ...args);
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function nameOf(netns: string): string {
  return netns.slice('/run/netns/'.length);
}
