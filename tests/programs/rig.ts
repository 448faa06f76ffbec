/**
 * Real traffic through the programs on real devices, in network namespaces of one's own.
 *
 *   pod a ─┐                                                              ┌─ pod c
 *          ├─ node 1 ── VXLAN or bare, over eth0 ── underlay u ────────── ┤
 *   pod b ─┘                                        │                   node 2
 *                                                 client
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EndpointFlag, IpcacheFlag, RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { BpfLink } from '../../src/ebpf/link.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { parseAddr, parsePrefix } from '../../src/std/ip.ts';
import { cgroupRoot, createCgroup, openCgroup, removeCgroup } from '../../src/sys/cgroup.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { allBut, type Maps, objectPath, readTold, type Told } from './harness.ts';
import { macBytes } from './packet.ts';
import { takeDownAfterThisProcess } from '../reaper.ts';

export const run = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

export interface Pod { readonly name: string; readonly node: 1 | 2; readonly number: number; readonly identity: number; readonly id: number }
export const pods: readonly Pod[] = [
  { name: 'a', node: 1, number: 10, identity: 1001, id: 101 },
  { name: 'b', node: 1, number: 11, identity: 1002, id: 102 },
  { name: 'c', node: 2, number: 20, identity: 1003, id: 103 },
];
export const addressesOf = (pod: Pod): readonly [string, string] => [`10.244.${pod.node}.${pod.number}`, `fd00:10:244:${pod.node}::${pod.number}`];
const podMac = (pod: Pod): string => `02:00:00:00:0${pod.node}:${pod.number}`;
/** Of the node's uplink and of all its ends of pods' devices. */
const hostMacOf = (node: 1 | 2): string => `02:00:00:00:0${node}:fe`;
/** The underlay's own address: no node, no pod. */
export const world = ['172.30.0.1', 'fdc1::1'] as const;
/** Somebody behind the underlay, whose router it is. */
export const client = ['192.0.2.9', '2001:db8::9'] as const;
export const services = ['10.96.0.5', 'fd00:10:96::5'] as const;
export const SERVICE_PORT = 80;
export const BACKEND_PORT = 8080;

/** Each a namespace, with a server. */
const places = ['a', 'b', 'c', 'client', 'n1', 'n2', 'u'] as const;

/** `ns` names the namespaces: it must be this test's own. With `tunnel` false nodes reach each other's pods by the bare underlay. */
export interface RigOptions {
  readonly ns: string;
  readonly tunnel?: boolean;
  readonly config?: Readonly<Record<string, unknown>>;
  /** XDP on the nodes' uplinks; then everybody finishes the checksums of what he sends, as XDP sees them in a real network. */
  readonly xdp?: 'generic' | 'native';
  /** Pods whose HTTP is read in the kernel, where a set says so. */
  readonly http?: readonly string[];
}

export class Rig implements Disposable {
  readonly tunnel: boolean;
  readonly config: Readonly<Record<string, unknown>>;
  readonly xdp: 'generic' | 'native' | undefined;
  readonly http: readonly string[];
  readonly nodes: RigNode[] = [];
  readonly #prefix: string;
  readonly #servers: ChildProcess[] = [];
  #reaper: Disposable | undefined;

  constructor(o: RigOptions) {
    this.#prefix = o.ns;
    this.tunnel = o.tunnel ?? true;
    this.config = o.config ?? {};
    this.xdp = o.xdp;
    this.http = o.http ?? [];
  }

  ns(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  uses(program: string): boolean {
    if (program.startsWith('http_')) return this.http.length > 0 && program !== 'http_trial';
    if (program.endsWith('_overlay')) return this.tunnel;
    if (program === 'xdp_uplink') return this.xdp !== undefined;
    return !program.startsWith('sockmap_');
  }

  inside(name: string, command: string): string {
    return run(`ip netns exec ${this.ns(name)} ${command}`);
  }

  /** Builds everything, with an answering server at each place; what fails in between is taken down by dispose. */
  async start(): Promise<void> {
    this.#reaper = takeDownAfterThisProcess({ namespaces: places.map(name => this.ns(name)), cgroups: ['n1', 'n2'].map(name => join(cgroupRoot(), this.ns(name))) });
    this.#buildUnderlay();
    this.#buildNode(1);
    this.#buildNode(2);
    for (const pod of pods) this.#buildPod(pod);
    for (const number of [1, 2] as const) this.nodes.push(new RigNode(this, number));
    if (this.xdp) for (const where of ['a', 'b', 'c', 'client', 'n1', 'n2']) execFileSync('ip', ['netns', 'exec', this.ns(where), 'python3', '-c', FINISH_CHECKSUMS]);
    await Promise.all(places.map(where => this.#serve(where)));
  }

  [Symbol.dispose](): void {
    for (const server of this.#servers) server.kill('SIGKILL');
    for (const node of this.nodes) {
      if (process.env['CIRRI_TEST_VERBOSE']) console.error(`node ${node.number}: drops ${node.drops()}`);
      node[Symbol.dispose]();
    }
    for (const name of places) spawnSync('ip', ['netns', 'del', this.ns(name)]);
    this.#reaper?.[Symbol.dispose]();
  }

  #buildUnderlay(): void {
    run(`ip netns add ${this.ns('u')}; ip netns add ${this.ns('client')}; ip -n ${this.ns('u')} link add outside type veth peer name eth0 netns ${this.ns('client')}`);
    this.inside('u', 'sh -ec "ip link set lo up; ip link add br0 type bridge; ip link set br0 up; ip addr add 172.30.0.1/24 dev br0; ip -6 addr add fdc1::1/64 dev br0 nodad"');
    this.inside('u', 'sh -ec "ip link set outside up; ip addr add 192.0.2.1/24 dev outside; ip -6 addr add 2001:db8::1/64 dev outside nodad; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"');
    this.inside('client', 'sh -ec "ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.9/24 dev eth0; ip -6 addr add 2001:db8::9/64 dev eth0 nodad; ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1"');
  }

  #buildNode(number: 1 | 2): void {
    const node = this.ns(`n${number}`);
    run(`ip netns add ${node}; ip -n ${node} link add eth0 address ${hostMacOf(number)} type veth peer name n${number} netns ${this.ns('u')}; ip -n ${this.ns('u')} link set n${number} master br0 up`);
    // As the agent does: the kernel's FIB answers XDP only where it forwards.
    this.inside(`n${number}`, 'sh -ec "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"');
    const other = number === 1 ? 2 : 1;
    for (const command of [
      'link set lo up', 'link set eth0 up', `addr add 172.30.0.1${number}/24 dev eth0`, `-6 addr add fdc1::1${number}/64 dev eth0 nodad`,
      'route add default via 172.30.0.1', '-6 route add default via fdc1::1', `addr add 10.244.${number}.1/32 dev lo`, `-6 addr add fd00:10:244:${number}::1/128 dev lo nodad`,
      ...this.tunnel ? ['link add vx type vxlan external dstport 8472 nolearning', 'link set vx arp off mtu 1450 up'] : [],
      ...this.tunnel
        ? [`route add 10.244.${other}.0/24 dev vx src 10.244.${number}.1`, `-6 route add fd00:10:244:${other}::/64 dev vx src fd00:10:244:${number}::1`]
        : [`route add 10.244.${other}.0/24 via 172.30.0.1${other} src 10.244.${number}.1`, `-6 route add fd00:10:244:${other}::/64 via fdc1::1${other} src fd00:10:244:${number}::1`],
    ]) run(`ip -n ${node} ${command}`);
  }

  #buildPod(pod: Pod): void {
    const [v4, v6] = addressesOf(pod);
    const node = this.ns(`n${pod.node}`);
    run(`ip netns add ${this.ns(pod.name)}; ip -n ${this.ns(pod.name)} link add eth0 address ${podMac(pod)} mtu 1450 type veth peer name v${pod.name} netns ${node} address ${hostMacOf(pod.node)}`);
    for (const command of [`link set v${pod.name} mtu 1450 up`, `route add ${v4}/32 dev v${pod.name} src 10.244.${pod.node}.1`, `-6 route add ${v6}/128 dev v${pod.name} src fd00:10:244:${pod.node}::1`]) run(`ip -n ${node} ${command}`);
    for (const command of ['link set lo up', 'link set eth0 up', `addr add ${v4}/32 dev eth0`, `-6 addr add ${v6}/128 dev eth0 nodad`,
      `route add default via 10.244.${pod.node}.1 dev eth0 onlink`, `-6 route add default via fd00:10:244:${pod.node}::1 dev eth0 onlink`]) run(`ip -n ${this.ns(pod.name)} ${command}`);
  }

  /** Says over TCP and UDP whom it sees. */
  async #serve(where: string): Promise<void> {
    const server = spawn('ip', ['netns', 'exec', this.ns(where), 'python3', '-c', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#servers.push(server);
    await once(createInterface(server.stdout!), 'line');
  }

  /** What the server saw, how much, and whom the client believes to have talked to. `fetch`: how much came back over TCP. */
  ask(from: string, kind: 'tcp' | 'fetch' | 'udp' | 'connected-udp' | 'several-udp' | 'v6only-tcp' | 'v6only-udp', host: string, port = BACKEND_PORT, o: { size?: number; cgroup?: string } = {}): string {
    const command = ['netns', 'exec', this.ns(from), 'python3', '-c', CLIENT, kind, host, String(port), String(o.size ?? 10)];
    const result = o.cgroup
      ? spawnSync('sh', ['-c', `echo $$ > ${o.cgroup}/cgroup.procs && exec ip "$@"`, 'sh', ...command], { encoding: 'utf8' })
      : spawnSync('ip', command, { encoding: 'utf8' });
    return result.stdout.trim() || result.stderr;
  }

  ping(from: string, to: string): string {
    return spawnSync('ip', ['netns', 'exec', this.ns(from), 'python3', '-c', PING, to], { encoding: 'utf8' }).stdout.trim();
  }
}

export class RigNode {
  readonly number: 1 | 2;
  readonly maps: Maps;
  readonly #object: BpfObject;
  readonly #links: BpfLink[] = [];
  readonly #rig: Rig;
  readonly cgroup: string;

  constructor(rig: Rig, number: 1 | 2) {
    this.#rig = rig;
    this.number = number;
    this.maps = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, BpfMap.create(spec as MapSpec<unknown, unknown>)])) as unknown as Maps;
    const index = (device: string): number => Number(rig.inside(`n${number}`, `cat /sys/class/net/${device}/ifindex`));
    this.#object = BpfObject.load({
      path: objectPath, maps: this.maps as unknown as Record<string, BpfMap<never, never>>,
      config: {
        nodeIp4: parseAddr(`172.30.0.1${number}`), nodeIp6: parseAddr(`fdc1::1${number}`), routerIp4: parseAddr(`10.244.${number}.1`), routerIp6: parseAddr(`fd00:10:244:${number}::1`),
        uplinkIfindex: index('eth0'), overlayIfindex: rig.tunnel ? index('vx') : 0, clusterId: 0, natPortMin: 61000, natPortMax: 65535, hostMac: macBytes(hostMacOf(number)), masquerade: 1, policyMode: 0, audit: 0, orderedStores: process.arch === 'x64' ? 1 : 0, ...rig.config,
      },
      skip: allBut(name => rig.uses(name)),
    });
    this.cgroup = createCgroup(rig.ns(`n${number}`));
    this.#fill(index);
    this.#attach(index);
    this.readHttpHere(rig.http.length > 0);
  }

  #fill(index: (device: string) => number): void {
    this.maps.runtime.update(0, { policyGeneration: 1, flags: 0 });
    for (const pod of pods) for (const [i, address] of addressesOf(pod).entries()) {
      if (pod.node === this.number) {
        this.maps.endpoints.update({ addr: parseAddr(address) }, {
          ifindex: index(`v${pod.name}`), id: pod.id, identity: pod.identity, policyIdentity: 0, ingressSet: pod.id, egressSet: pod.id + 1000, mac: macBytes(podMac(pod)), hostMac: macBytes(hostMacOf(this.number)), flags: EndpointFlag.Ready | (this.#rig.http.includes(pod.name) ? EndpointFlag.Http : 0), other: parseAddr(addressesOf(pod)[1 - i]!),
        });
        for (const set of [pod.id, pod.id + 1000]) this.policy(set, 1);
      } else {
        this.address(address, { identity: pod.identity, ...this.#way(pod.node) });
      }
    }
    const other = this.number === 1 ? 2 : 1;
    for (const own of [`172.30.0.1${this.number}`, `fdc1::1${this.number}`, `10.244.${this.number}.1`, `fd00:10:244:${this.number}::1`]) {
      this.maps.endpoints.update({ addr: parseAddr(own) }, { ifindex: 0, id: 1, identity: 1, policyIdentity: 0, ingressSet: 0, egressSet: 0, mac: new Uint8Array(6), hostMac: new Uint8Array(6), flags: EndpointFlag.Host | EndpointFlag.Ready, other: new Uint8Array(16) });
    }
    for (const theirs of [`172.30.0.1${other}`, `fdc1::1${other}`]) this.address(theirs, { identity: 6, flags: IpcacheFlag.Cluster | IpcacheFlag.Node });
    for (const theirs of [`10.244.${other}.1`, `fd00:10:244:${other}::1`]) this.address(theirs, { identity: 6, ...this.#way(other, IpcacheFlag.Node) });
    this.address('10.244.0.0/16', { identity: 0, flags: IpcacheFlag.Cluster });
    this.address('fd00:10:244::/48', { identity: 0, flags: IpcacheFlag.Cluster });
    this.address('0.0.0.0/0', { identity: 9, flags: 0 });
    this.address('::/0', { identity: 10, flags: 0 });
    services.forEach((service, i) => {
      for (const protocol of [6, 17]) this.maps.services.update({ addr: parseAddr(service), port: SERVICE_PORT, protocol, scope: 0 }, { id: i + 1, count: 1, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      this.maps.serviceSlots.update({ service: i + 1, slot: 0 }, { backend: i + 1 });
      this.maps.backends.update({ id: i + 1 }, { addr: parseAddr(addressesOf(pods[2]!)[i]!), port: BACKEND_PORT, protocol: 6, state: 0 });
      this.maps.serviceAddresses.update({ id: i + 1 }, { addr: parseAddr(service), port: SERVICE_PORT });
    });
  }

  #way(node: 1 | 2, flags = 0): { flags: number; tunnel?: Uint8Array } {
    return this.#rig.tunnel ? { flags: flags | IpcacheFlag.Cluster | IpcacheFlag.HasTunnel, tunnel: parseAddr(`172.30.0.1${node}`) } : { flags: flags | IpcacheFlag.Cluster };
  }

  policy(set: number, verdict: 1 | 2): void {
    this.maps.policyVerdicts.update({ prefixBits: 64, set, class: 0, protocol: 0, port: 0 }, { rule: set, shadowRule: 0, l7: 0, verdict, match: 4, shadowVerdict: 0, flags: 0 });
  }

  redirected(set: number): boolean {
    return this.maps.policyVerdicts.lookup({ prefixBits: 80, set, class: 0, protocol: 6, port: 0 })?.verdict === 3;
  }

  /** All TCP of the set is the proxy's, under a layer 7 set; undefined takes it back. */
  redirect(set: number, l7: number | undefined): void {
    const key = { prefixBits: 80, set, class: 0, protocol: 6, port: 0 };
    if (l7 === undefined) this.maps.policyVerdicts.delete(key);
    else this.maps.policyVerdicts.update(key, { rule: set, shadowRule: 0, l7, verdict: 3, match: 4, shadowVerdict: 0, flags: 0 });
  }

  /** Whether segments of connections whose HTTP is read are read where they are forwarded, or at the pod's device. */
  readHttpHere(here: boolean): void {
    if (here) this.maps.httpReaders.update(0, this.#object.program('http_to_pod').fd);
    else this.maps.httpReaders.delete(0);
  }

  commit(): void {
    const { policyGeneration, flags } = this.maps.runtime.lookup(0)!;
    this.maps.runtime.update(0, { policyGeneration: policyGeneration + 1, flags });
  }

  /** Puts the node itself under policy: what may come in, what may go out; undefined takes it back. */
  hostPolicy(verdicts: { readonly ingress: 1 | 2; readonly egress: 1 | 2 } | undefined): void {
    const [ingressSet, egressSet] = verdicts ? [2001, 2002] : [0, 0];
    if (verdicts) {
      this.policy(ingressSet, verdicts.ingress);
      this.policy(egressSet, verdicts.egress);
    }
    this.maps.runtime.update(0, { ...this.maps.runtime.lookup(0)!, flags: verdicts ? RuntimeFlag.HostPolicy : 0 });
    for (const [key, row] of [...this.maps.endpoints.entries()]) if (row.flags & EndpointFlag.Host) this.maps.endpoints.update(key, { ...row, ingressSet, egressSet });
    this.commit();
  }

  address(text: string, entry: { identity: number; flags: number; tunnel?: Uint8Array }): void {
    const { addr, bits } = parsePrefix(text);
    this.maps.ipcache.update({ prefixBits: bits, addr }, { policyIdentity: 0, tunnel: new Uint8Array(16), ...entry });
  }

  #attach(index: (device: string) => number): void {
    const netns = openNetns(`/run/netns/${this.#rig.ns(`n${this.number}`)}`);
    const tcx = (program: string, device: string, direction: 'ingress' | 'egress'): void => {
      const ifindex = index(device);
      this.#links.push(withNetns(netns.fd, () => BpfLink.attachTcx({ program: this.#object.program(program), ifindex, direction })));
    };
    for (const pod of pods.filter(pod => pod.node === this.number)) {
      // Links queue up: these come first.
      if (this.#rig.http.includes(pod.name)) {
        tcx('http_from_pod', `v${pod.name}`, 'ingress');
        tcx('http_to_pod', `v${pod.name}`, 'egress');
      }
      tcx('from_pod', `v${pod.name}`, 'ingress');
      tcx('to_pod', `v${pod.name}`, 'egress');
    }
    const mode = this.#rig.xdp, eth0 = index('eth0');
    if (mode) this.#links.push(withNetns(netns.fd, () => BpfLink.attachXdp({ program: this.#object.program('xdp_uplink'), ifindex: eth0, mode })));
    tcx('from_network', 'eth0', 'ingress');
    tcx('to_network', 'eth0', 'egress');
    if (this.#rig.tunnel) {
      tcx('from_overlay', 'vx', 'ingress');
      tcx('to_overlay', 'vx', 'egress');
    }
    this.#links.push(BpfLink.attachSkLookup({ program: this.#object.program('socket_of_proxy'), netnsFd: netns.fd }));
    netns.close();
    const cgroup = openCgroup(this.cgroup);
    const types: Readonly<Record<string, number>> = { connect4: 10, connect6: 11, sendmsg4: 14, sendmsg6: 15, recvmsg4: 19, recvmsg6: 20, getpeername4: 29, getpeername6: 30 };
    for (const [name, attachType] of Object.entries(types)) this.#links.push(BpfLink.attachCgroup({ program: this.#object.program(`sock_${name}`), cgroupFd: cgroup.fd, attachType }));
    cgroup.close();
  }

  /** Packets that took XDP's short way: to backends, to clients. */
  xdpPackets(): readonly [number, number] {
    const sum = (way: number): number => Number((this.maps.xdpPackets.lookupPerCpu(way) ?? []).reduce((total, count) => total + count, 0n));
    return [sum(0), sum(1)];
  }

  /** What was told since the last time. */
  told(): Told {
    const open = (map: BpfMap<never, never>): RingBuffer => RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
    const rings = { flows: open(this.maps.flowEvents as never), drops: open(this.maps.dropEvents as never), names: open(this.maps.nameEvents as never) };
    const told = readTold(rings);
    for (const ring of Object.values(rings)) ring.close();
    return told;
  }

  drops(): string {
    return [...this.maps.metrics.entriesPerCpu()].filter(([key, rows]) => key.reason && rows.some(row => row.packets > 0n)).map(([key, rows]) => `${key.reason}/${key.direction}:${rows.reduce((n, row) => n + row.packets, 0n)}`).join(' ');
  }

  [Symbol.dispose](): void {
    for (const link of this.#links) {
      link.detach();
      link.close();
    }
    this.#object.close();
    for (const map of Object.values(this.maps)) map.close();
    removeCgroup(this.cgroup, { kill: true });
  }
}

/** What `ethtool -K eth0 tx off` does: ETHTOOL_STXCSUM by SIOCETHTOOL. */
const FINISH_CHECKSUMS = `
import ctypes, fcntl, socket, struct
value = ctypes.create_string_buffer(struct.pack('II', 0x17, 0))
fcntl.ioctl(socket.socket(), 0x8946, struct.pack('16sP16x', b'eth0', ctypes.addressof(value)))
`;

const SERVER = `
import socket, threading
t = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(('::', ${BACKEND_PORT})); t.listen(64)
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(('::', ${BACKEND_PORT}))
def udp():
    while True:
        data, peer = u.recvfrom(65535); u.sendto(peer[0].replace('::ffff:', '').encode() + b' ' + str(len(data)).encode(), peer)
threading.Thread(target=udp, daemon=True).start(); print('ready', flush=True)
def talk(c, peer):
    total = 0
    while True:
        try: data = c.recv(65536)
        except ConnectionResetError: break
        if not data: break
        total += len(data)
        if data.startswith(b'bye'): break
        if data.startswith(b'give '): c.sendall(b'y' * int(data[5:]))
        elif data.endswith(b'\\n'): c.sendall(peer[0].replace('::ffff:', '').encode() + b' ' + str(total).encode() + b'\\n'); total = 0
    c.close()
while True:
    c, peer = t.accept(); threading.Thread(target=talk, args=(c, peer), daemon=True).start()
`;

const CLIENT = `
import socket, sys
kind, host, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
if kind.startswith('v6only-'): only, kind = 1, kind.replace('v6only-', '').replace('udp', 'connected-udp')
else: only = 0
s = socket.socket(family, socket.SOCK_STREAM if kind in ('tcp', 'fetch') else socket.SOCK_DGRAM); s.settimeout(2)
if only: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
try:
    if kind == 'tcp':
        s.connect((host, port)); s.sendall(b'x' * (size - 1) + b'\\n'); print(s.recv(200).decode().strip(), s.getpeername()[0])
    elif kind == 'fetch':
        s.connect((host, port)); s.sendall(b'give %d\\n' % size); got = 0
        while got < size:
            data = s.recv(65536)
            if not data: break
            got += len(data)
        print('got', got, s.getpeername()[0])
    elif kind == 'several-udp':
        s.connect((host, port))
        for _ in range(10): s.send(b'x' * size); data = s.recv(200)
        print(data.decode(), s.getpeername()[0])
    elif kind == 'connected-udp':
        s.connect((host, port)); s.send(b'x' * size); print(s.recv(200).decode(), s.getpeername()[0])
    else:
        s.sendto(b'x' * size, (host, port)); data, peer = s.recvfrom(200); print(data.decode(), peer[0])
except Exception as e:
    print('failed', type(e).__name__)
`;

/** One echo request; the kernel fills in the identifier and the checksum. */
const PING = `
import socket, sys
host = sys.argv[1]; v6 = ':' in host
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 58 if v6 else 1); s.settimeout(2); s.connect((host, 0))
p = bytearray([128 if v6 else 8, 0, 0, 0, 0x12, 0x34, 0, 1]) + b'abcdefgh'
if not v6:
    n = sum(int.from_bytes(p[i:i+2], 'big') for i in range(0, len(p), 2)); n = (n & 0xffff) + (n >> 16); p[2:4] = (~n & 0xffff).to_bytes(2, 'big')
s.send(p)
try:
    while True:
        d = s.recv(200); d = d if v6 else d[20:]
        if d[0] == (129 if v6 else 0) and d[4:6] == b'\\x12\\x34': print('answered'); break
except Exception as e: print('failed', type(e).__name__)
`;
