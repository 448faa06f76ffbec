/**
 * Real traffic through the programs on real devices, in network namespaces of our own.
 *
 *   pod a ─┐                                           ┌─ pod c
 *          ├─ node 1 ── VXLAN over eth0 ── underlay ── ┤
 *   pod b ─┘                    (and the world)      node 2
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConntrackFlag, EndpointFlag, IpcacheFlag, RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import { flowEventCodec, type FlowEvent } from '../../src/datapath/generated/structs.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { BpfLink } from '../../src/ebpf/link.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { formatAddr, parseAddr, parsePrefix } from '../../src/std/ip.ts';
import { createCgroup, openCgroup, removeCgroup } from '../../src/sys/cgroup.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { type Maps, objectPath } from './harness.ts';
import { buildFrame, buildIp, macBytes } from './packet.ts';

const prefix = `cpt${process.pid % 100000}`;
const ns = (name: string): string => `${prefix}-${name}`;
const run = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const inside = (name: string, command: string): string => run(`ip netns exec ${ns(name)} ${command}`);

interface Pod { readonly name: string; readonly node: 1 | 2; readonly number: number; readonly identity: number; readonly id: number }
const pods: readonly Pod[] = [
  { name: 'a', node: 1, number: 10, identity: 1001, id: 101 },
  { name: 'b', node: 1, number: 11, identity: 1002, id: 102 },
  { name: 'c', node: 2, number: 20, identity: 1003, id: 103 },
];
const addressesOf = (pod: Pod): readonly [string, string] => [`10.244.${pod.node}.${pod.number}`, `fd00:10:244:${pod.node}::${pod.number}`];
const podMac = (pod: Pod): string => `02:00:00:00:0${pod.node}:${pod.number}`;
const hostMac = '02:00:00:00:00:fe';
/** The underlay's own address: no node, no pod. */
const world = ['172.30.0.1', 'fdc1::1'] as const;
const services = ['10.96.0.5', 'fd00:10:96::5'] as const;
const SERVICE_PORT = 80;
const BACKEND_PORT = 8080;

class Node {
  readonly number: 1 | 2;
  readonly maps: Maps;
  readonly #object: BpfObject;
  readonly #links: BpfLink[] = [];
  readonly cgroup: string;

  constructor(number: 1 | 2) {
    this.number = number;
    this.maps = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, BpfMap.create(spec as MapSpec<unknown, unknown>)])) as unknown as Maps;
    const index = (device: string): number => Number(inside(`n${number}`, `cat /sys/class/net/${device}/ifindex`));
    this.#object = BpfObject.load({
      path: objectPath, maps: this.maps as unknown as Record<string, BpfMap<never, never>>,
      config: {
        nodeIp4: parseAddr(`172.30.0.1${number}`), nodeIp6: parseAddr(`fdc1::1${number}`), routerIp4: parseAddr(`10.244.${number}.1`), routerIp6: parseAddr(`fd00:10:244:${number}::1`),
        uplinkIfindex: index('eth0'), overlayIfindex: index('vx'), clusterId: 0, natPortMin: 61000, natPortMax: 65535, hostMac: macBytes(hostMac), masquerade: 1, policyMode: 0, audit: 0,
      },
    });
    this.cgroup = createCgroup(`${prefix}-n${number}`);
    this.#fill(index);
    this.#attach(index);
  }

  #fill(index: (device: string) => number): void {
    this.maps.runtime.update(0, { policyGeneration: 1, flags: 0 });
    for (const pod of pods) for (const address of addressesOf(pod)) {
      if (pod.node === this.number) {
        this.maps.endpoints.update({ addr: parseAddr(address) }, {
          ifindex: index(`v${pod.name}`), id: pod.id, identity: pod.identity, policyIdentity: 0, ingressSet: pod.id, egressSet: pod.id + 1000, mac: macBytes(podMac(pod)), hostMac: macBytes(hostMac), flags: EndpointFlag.Ready,
        });
        for (const set of [pod.id, pod.id + 1000]) this.policy(set, 1);
      } else {
        this.address(address, { identity: pod.identity, flags: IpcacheFlag.Cluster | IpcacheFlag.HasTunnel, tunnel: parseAddr(`172.30.0.1${pod.node}`) });
      }
    }
    const other = this.number === 1 ? 2 : 1;
    for (const own of [`172.30.0.1${this.number}`, `fdc1::1${this.number}`, `10.244.${this.number}.1`, `fd00:10:244:${this.number}::1`]) {
      this.maps.endpoints.update({ addr: parseAddr(own) }, { ifindex: 0, id: 1, identity: 1, policyIdentity: 0, ingressSet: 0, egressSet: 0, mac: new Uint8Array(6), hostMac: new Uint8Array(6), flags: EndpointFlag.Host | EndpointFlag.Ready });
    }
    for (const theirs of [`172.30.0.1${other}`, `fdc1::1${other}`]) this.address(theirs, { identity: 6, flags: IpcacheFlag.Cluster | IpcacheFlag.Node });
    for (const theirs of [`10.244.${other}.1`, `fd00:10:244:${other}::1`]) this.address(theirs, { identity: 6, flags: IpcacheFlag.Cluster | IpcacheFlag.Node | IpcacheFlag.HasTunnel, tunnel: parseAddr(`172.30.0.1${other}`) });
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

  policy(set: number, verdict: 1 | 2): void {
    this.maps.policyVerdicts.update({ prefixBits: 64, set, class: 0, protocol: 0, port: 0 }, { rule: set, shadowRule: 0, proxyPort: 0, verdict, match: 4, shadowVerdict: 0, flags: 0 });
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
    const netns = openNetns(`/run/netns/${ns(`n${this.number}`)}`);
    const tcx = (program: string, device: string, direction: 'ingress' | 'egress'): void => {
      const ifindex = index(device);
      this.#links.push(withNetns(netns.fd, () => BpfLink.attachTcx({ program: this.#object.program(program), ifindex, direction })));
    };
    for (const pod of pods.filter(pod => pod.node === this.number)) {
      tcx('from_pod', `v${pod.name}`, 'ingress');
      tcx('to_pod', `v${pod.name}`, 'egress');
    }
    tcx('from_network', 'eth0', 'ingress');
    tcx('to_network', 'eth0', 'egress');
    tcx('from_overlay', 'vx', 'ingress');
    tcx('to_overlay', 'vx', 'egress');
    netns.close();
    const cgroup = openCgroup(this.cgroup);
    const types: Readonly<Record<string, number>> = { connect4: 10, connect6: 11, sendmsg4: 14, sendmsg6: 15, recvmsg4: 19, recvmsg6: 20, getpeername4: 29, getpeername6: 30 };
    for (const [name, attachType] of Object.entries(types)) this.#links.push(BpfLink.attachCgroup({ program: this.#object.program(`sock_${name}`), cgroupFd: cgroup.fd, attachType }));
    cgroup.close();
  }

  /** What was told since the last time. */
  told(): { flows: FlowEvent[]; drops: FlowEvent[] } {
    const read = (map: BpfMap<unknown, unknown>): FlowEvent[] => {
      const events: FlowEvent[] = [];
      const ring = RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
      ring.drain((bytes, offset, length) => events.push(flowEventCodec.decode(new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length).slice())));
      ring.close();
      return events;
    };
    return { flows: read(this.maps.flowEvents as BpfMap<unknown, unknown>), drops: read(this.maps.dropEvents as BpfMap<unknown, unknown>) };
  }

  drops(): string {
    return [...this.maps.metrics.entriesPerCpu()].filter(([key, rows]) => key.reason && rows.some(row => row.packets > 0n)).map(([key, rows]) => `${key.reason}/${key.direction}:${rows.reduce((n, row) => n + row.packets, 0n)}`).join(' ');
  }

  close(): void {
    for (const link of this.#links) {
      link.detach();
      link.close();
    }
    this.#object.close();
    for (const map of Object.values(this.maps)) map.close();
    removeCgroup(this.cgroup, { kill: true });
  }
}

function buildUnderlay(): void {
  run(`ip netns add ${ns('u')}`);
  inside('u', 'sh -ec "ip link set lo up; ip link add br0 type bridge; ip link set br0 up; ip addr add 172.30.0.1/24 dev br0; ip -6 addr add fdc1::1/64 dev br0 nodad"');
}

function buildNode(number: 1 | 2): void {
  const node = ns(`n${number}`);
  run(`ip netns add ${node}; ip -n ${node} link add eth0 type veth peer name n${number} netns ${ns('u')}; ip -n ${ns('u')} link set n${number} master br0 up`);
  const other = number === 1 ? 2 : 1;
  for (const command of [
    'link set lo up', 'link set eth0 up', `addr add 172.30.0.1${number}/24 dev eth0`, `-6 addr add fdc1::1${number}/64 dev eth0 nodad`,
    'route add default via 172.30.0.1', '-6 route add default via fdc1::1', `addr add 10.244.${number}.1/32 dev lo`, `-6 addr add fd00:10:244:${number}::1/128 dev lo`,
    'link add vx type vxlan external dstport 8472 nolearning', 'link set vx arp off mtu 1450 up',
    `route add 10.244.${other}.0/24 dev vx src 10.244.${number}.1`, `-6 route add fd00:10:244:${other}::/64 dev vx src fd00:10:244:${number}::1`,
  ]) run(`ip -n ${node} ${command}`);
}

function buildPod(pod: Pod): void {
  const [v4, v6] = addressesOf(pod);
  const node = ns(`n${pod.node}`);
  run(`ip netns add ${ns(pod.name)}; ip -n ${ns(pod.name)} link add eth0 address ${podMac(pod)} mtu 1450 type veth peer name v${pod.name} netns ${node} address ${hostMac}`);
  for (const command of [`link set v${pod.name} mtu 1450 up`, `route add ${v4}/32 dev v${pod.name} src 10.244.${pod.node}.1`, `-6 route add ${v6}/128 dev v${pod.name} src fd00:10:244:${pod.node}::1`]) run(`ip -n ${node} ${command}`);
  for (const command of ['link set lo up', 'link set eth0 up', `addr add ${v4}/32 dev eth0`, `-6 addr add ${v6}/128 dev eth0 nodad`,
    `route add default via 10.244.${pod.node}.1 dev eth0 onlink`, `-6 route add default via fd00:10:244:${pod.node}::1 dev eth0 onlink`]) run(`ip -n ${ns(pod.name)} ${command}`);
}

const servers: ChildProcess[] = [];
/** Says over TCP and UDP whom it sees. */
function serve(where: string): void {
  servers.push(spawn('ip', ['netns', 'exec', ns(where), 'python3', '-c', `
import socket, threading
t = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(('::', ${BACKEND_PORT})); t.listen(64)
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.bind(('::', ${BACKEND_PORT}))
def udp():
    while True:
        data, peer = u.recvfrom(65535); u.sendto(peer[0].replace('::ffff:', '').encode() + b' ' + str(len(data)).encode(), peer)
threading.Thread(target=udp, daemon=True).start()
def talk(c, peer):
    total = 0
    while True:
        data = c.recv(65536)
        if not data: break
        total += len(data)
        if data.endswith(b'\\n'): c.sendall(peer[0].replace('::ffff:', '').encode() + b' ' + str(total).encode() + b'\\n'); total = 0
while True:
    c, peer = t.accept(); threading.Thread(target=talk, args=(c, peer), daemon=True).start()
`], { stdio: 'inherit' }));
}

const CLIENT = `
import socket, sys
kind, host, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM); s.settimeout(2)
try:
    if kind == 'connected':
        s.connect((host, port)); s.send(b'x' * size); print(s.recv(200).decode(), s.getpeername()[0])
    elif kind == 'tcp':
        s.connect((host, port)); s.sendall(b'x' * (size - 1) + b'\\n'); print(s.recv(200).decode().strip(), s.getpeername()[0])
    else:
        s.sendto(b'x' * size, (host, port)); data, peer = s.recvfrom(200); print(data.decode(), peer[0])
except Exception as e:
    print('failed', type(e).__name__)
`;

/** What the server saw, how much, and whom the client believes to have talked to. */
function ask(from: string, kind: 'tcp' | 'udp' | 'connected', host: string, port = BACKEND_PORT, o: { size?: number; cgroup?: string } = {}): string {
  const command = ['netns', 'exec', ns(from), 'python3', '-c', CLIENT, kind, host, String(port), String(o.size ?? 10)];
  const result = o.cgroup
    ? spawnSync('sh', ['-c', `echo $$ > ${o.cgroup}/cgroup.procs && exec ip "$@"`, 'sh', ...command], { encoding: 'utf8' })
    : spawnSync('ip', command, { encoding: 'utf8' });
  return result.stdout.trim() || result.stderr;
}

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

/** A VXLAN packet of our own making, from a namespace's own address to node 1. */
async function tunnelFrame(from: string, vni: number, frame: Uint8Array): Promise<{ flows: FlowEvent[]; drops: FlowEvent[] }> {
  const packet = Buffer.concat([Uint8Array.of(8, 0, 0, 0, vni >>> 16, vni >>> 8 & 255, vni & 255, 0), frame]).toString('hex');
  nodes[0]!.told();
  inside(from, `python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes.fromhex('${packet}'), ('172.30.0.11', 8472))"`);
  // The programs have run when the sender returns, unless its processor was taken away in between.
  for (let waited = 0; ; waited += 10) {
    const told = nodes[0]!.told();
    if (told.flows.length + told.drops.length > 0 || waited >= 300) return told;
    await sleep(10);
  }
}

/** What node 1 told about a datagram in the tunnel. */
async function tunnel(from: string, vni: number, inner: { source: string; destination: string; sourcePort: number }): Promise<{ flows: FlowEvent[]; drops: FlowEvent[] }> {
  const { flows, drops } = await tunnelFrame(from, vni, buildFrame({ ...inner, protocol: 'udp', destinationPort: 9999 }));
  const mine = (event: FlowEvent): boolean => event.sourcePort === inner.sourcePort;
  return { flows: flows.filter(mine), drops: drops.filter(mine) };
}

function ping(from: string, to: string): string {
  return spawnSync('ip', ['netns', 'exec', ns(from), 'python3', '-c', PING, to], { encoding: 'utf8' }).stdout.trim();
}

const nodes: Node[] = [];
before(async () => {
  buildUnderlay();
  buildNode(1);
  buildNode(2);
  for (const pod of pods) buildPod(pod);
  nodes.push(new Node(1), new Node(2));
  for (const where of ['a', 'b', 'c', 'u', 'n1', 'n2']) serve(where);
  await sleep(700);
});
after(() => {
  for (const server of servers) server.kill('SIGKILL');
  for (const node of nodes) {
    if (process.env['CIRRI_TEST_VERBOSE']) console.error(`node ${node.number}: drops ${node.drops()}`);
    node.close();
  }
  for (const name of ['a', 'b', 'c', 'n1', 'n2', 'u']) spawnSync('ip', ['netns', 'del', ns(name)]);
});

[0, 1].forEach(i => {
  describe(`traffic over ${i ? 'IPv6' : 'IPv4'}`, () => {
    const [a, b, c] = pods.map(pod => addressesOf(pod)[i]!) as [string, string, string];

    for (const kind of ['tcp', 'udp'] as const) {
      test(`${kind}: pod to pod on one node`, () => assert.equal(ask('a', kind, b), `${a} 10 ${b}`));
      test(`${kind}: pod to pod on another node, through the tunnel`, () => assert.equal(ask('a', kind, c), `${a} 10 ${c}`));
      test(`${kind}: pod to the world takes the node's address`, () => assert.equal(ask('a', kind, world[i]!), `${i ? 'fdc1::11' : '172.30.0.11'} 10 ${world[i]}`));
      test(`${kind}: pod to its node`, () => assert.match(ask('a', kind, i ? 'fdc1::11' : '172.30.0.11'), new RegExp(`^${a} 10 `)));
      test(`${kind}: pod to another node takes its own node's address`, () => assert.match(ask('a', kind, i ? 'fdc1::12' : '172.30.0.12'), new RegExp(`^${i ? 'fdc1::11' : '172.30.0.11'} 10 `)));
      test(`${kind}: node to its pod`, () => assert.match(ask('n1', kind, a), / 10 /));
      test(`${kind}: node to another node's pod`, () => assert.equal(ask('n1', kind, c), `${i ? 'fd00:10:244:1::1' : '10.244.1.1'} 10 ${c}`));
      test(`${kind}: pod to a service, packet by packet`, () => assert.equal(ask('a', kind, services[i]!, SERVICE_PORT), `${a} 10 ${services[i]}`));
      test(`${kind}: pod to itself by way of a service`, () => assert.equal(ask('c', kind, services[i]!, SERVICE_PORT), `${services[i]} 10 ${services[i]}`));
      test(`${kind}: pod to a service, at the socket`, () => assert.equal(ask('a', kind, services[i]!, SERVICE_PORT, { cgroup: nodes[0]!.cgroup }), `${a} 10 ${services[i]}`));
    }
    test('a megabyte through the tunnel', () => assert.match(ask('a', 'tcp', c, BACKEND_PORT, { size: 1 << 20 }), new RegExp(`^${a} `)));
    test('datagrams in fragments: neighbour, tunnel, world', () => {
      assert.equal(ask('a', 'udp', b, BACKEND_PORT, { size: 4000 }), `${a} 4000 ${b}`);
      assert.equal(ask('a', 'udp', c, BACKEND_PORT, { size: 4000 }), `${a} 4000 ${c}`);
      assert.equal(ask('a', 'udp', world[i]!, BACKEND_PORT, { size: 4000 }), `${i ? 'fdc1::11' : '172.30.0.11'} 4000 ${world[i]}`);
    });
    test('ping: neighbour, tunnel, world, node', () => {
      for (const to of [b, c, world[i]!, i ? 'fdc1::11' : '172.30.0.11']) assert.equal(ping('a', to), 'answered', to);
    });
    test('a closed port answers: neighbour and service', () => {
      assert.equal(ask('a', 'tcp', b, 9), 'failed ConnectionRefusedError');
      assert.equal(ask('a', 'tcp', c, 9), 'failed ConnectionRefusedError');
    });
    test('a service without backends refuses at the socket', () => {
      nodes[0]!.maps.services.update({ addr: parseAddr(services[i]!), port: 81, protocol: 6, scope: 0 }, { id: 99, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      assert.equal(ask('a', 'tcp', services[i]!, 81, { cgroup: nodes[0]!.cgroup }), 'failed ConnectionRefusedError');
    });
    test('a service without backends refuses packet by packet: TCP by a reset, datagrams by an ICMP error', () => {
      for (const protocol of [6, 17]) nodes[0]!.maps.services.update({ addr: parseAddr(services[i]!), port: 82, protocol, scope: 0 }, { id: 98, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      assert.equal(ask('a', 'tcp', services[i]!, 82), 'failed ConnectionRefusedError');
      assert.equal(ask('a', 'connected', services[i]!, 82), 'failed ConnectionRefusedError');
    });
    test('the tunnel: the identity is the sender\'s, and nobody else can use it', async () => {
      const told = async (from: string, vni: number, source: string, sourcePort: number): Promise<unknown[]> => {
        const { flows, drops } = await tunnel(from, vni, { source, destination: a, sourcePort });
        return [...flows.map(flow => `identity ${flow.sourceIdentity}`), ...drops.map(drop => drop.reasonOrPoint)];
      };
      const remoteRouter = i ? 'fd00:10:244:2::1' : '10.244.2.1';
      assert.deepEqual(await told('n2', 1003, c, 101), ['identity 1003']);
      assert.deepEqual(await told('n2', 6, remoteRouter, 102), ['identity 6']);
      assert.deepEqual(await told('n2', 6, c, 103), [132], 'a pod is no remote node');
      assert.deepEqual(await told('n2', 1003, b, 104), [132], "this node's own pod does not come through the tunnel");
      assert.deepEqual(await told('n2', 1, c, 105), [171], 'the host is here');
      assert.deepEqual(await told('n2', 0, c, 106), [171]);
      assert.deepEqual(await told('u', 1003, c, 107), [224], 'the underlay is no node');
    });
    test('a node that has a number by its labels is judged by it, though the tunnel says only that it is a node', () => {
      const router = i ? 'fd00:10:244:1::1' : '10.244.1.1';
      const row = (identity: number) => nodes[1]!.address(router, { identity, flags: IpcacheFlag.Cluster | IpcacheFlag.Node | IpcacheFlag.HasTunnel, tunnel: parseAddr('172.30.0.11') });
      const labelled = (2 << 24) + 5;
      row(labelled);
      nodes[1]!.maps.policyClasses.update({ set: 103, identity: labelled }, { class: 7 });
      nodes[1]!.maps.policyVerdicts.update({ prefixBits: 64, set: 103, class: 7, protocol: 0, port: 0 }, { rule: 777, shadowRule: 0, proxyPort: 0, verdict: 2, match: 4, shadowVerdict: 0, flags: 0 });
      nodes[1]!.commit();
      assert.equal(ask('n1', 'tcp', c), 'failed TimeoutError');
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`, 'a pod of that node is not the node');
      row(6);
      nodes[1]!.commit();
      assert.equal(ask('n1', 'tcp', c), `${router} 10 ${c}`);
    });
    test('V6 through the tunnel: nobody is this node, whatever the identity says, and nobody comes from nowhere', async () => {
      const reasons = async (vni: number, source: string, sourcePort: number) => (await tunnel('n2', vni, { source, destination: a, sourcePort })).drops.map(drop => drop.reasonOrPoint);
      const own = i ? ['fdc1::11', 'fd00:10:244:1::1'] : ['172.30.0.11', '10.244.1.1'];
      const nowhere = i ? ['::1', 'ff02::1'] : ['127.0.0.1', '0.0.0.0', '224.0.0.1'];
      let port = 200;
      for (const source of [...own, ...nowhere]) for (const vni of [1, 6, 1003]) assert.deepEqual(await reasons(vni, source, port++), [132], `${source} ${vni}`);
    });
    test('an ICMP error through the tunnel is part of the connection, not of whoever reports it: it revokes nothing', async () => {
      assert.equal(ask('c', 'udp', a), `${c} 10 ${a}`);
      const entryOf = () => [...nodes[0]!.maps.conntrack.entries()].find(([key, entry]) => key.protocol === 17 && entry.sourceIdentity === 1003 && (formatAddr(key.low) === a ? key.lowPort : formatAddr(key.high) === a ? key.highPort : 0) === BACKEND_PORT);
      const [key] = entryOf()!;
      const clientPort = formatAddr(key.low) === c ? key.lowPort : key.highPort;
      const remoteRouter = i ? 'fd00:10:244:2::1' : '10.244.2.1';
      // A remote node itself may not talk to a.
      nodes[0]!.maps.policyClasses.update({ set: pods[0]!.id, identity: 6 }, { class: 9 });
      nodes[0]!.maps.policyVerdicts.update({ prefixBits: 64, set: pods[0]!.id, class: 9, protocol: 0, port: 0 }, { rule: 888, shadowRule: 0, proxyPort: 0, verdict: 2, match: 4, shadowVerdict: 0, flags: 0 });
      nodes[0]!.commit();
      const body = buildIp({ source: a, destination: c, protocol: 'udp', sourcePort: BACKEND_PORT, destinationPort: clientPort });
      const { drops } = await tunnelFrame('n2', 6, buildFrame({ source: remoteRouter, destination: a, protocol: 'icmp', icmp: { type: i ? 2 : 3, code: i ? 0 : 4, body } }));
      assert.deepEqual(drops.map(drop => [drop.reasonOrPoint, drop.rule]), []);
      assert.equal(entryOf()![1].flags & ConntrackFlag.Revoked, 0);
      assert.equal(entryOf()![1].sourceIdentity, 1003);
      nodes[0]!.maps.policyClasses.delete({ set: pods[0]!.id, identity: 6 });
    });
    test('host policy: the node with pods elsewhere, other nodes and the world, each way; its own pods always answer it', () => {
      const [node, router, otherNode] = i ? ['fdc1::11', 'fd00:10:244:1::1', 'fdc1::12'] : ['172.30.0.11', '10.244.1.1', '172.30.0.12'];
      const heard = (from: string, to: string): boolean => / 10 /.test(ask(from, 'tcp', to));
      const out = (): boolean[] => [c, otherNode, world[i]!].map(to => heard('n1', to));
      const into = (): boolean[] => ([['c', router], ['n2', node], ['u', node], ['b', node]] as const).map(([from, to]) => heard(from, to));
      const none = (answers: boolean[]): boolean => !answers.includes(true), all = (answers: boolean[]): boolean => !answers.includes(false);
      nodes[0]!.hostPolicy({ ingress: 2, egress: 1 });
      assert.ok(all(out()), 'what it may open is answered');
      assert.ok(none(into()));
      for (const to of [c, world[i]!]) assert.match(ask('n1', 'udp', to, BACKEND_PORT, { size: 4000 }), / 4000 /, 'fragments follow their first');
      nodes[0]!.hostPolicy({ ingress: 1, egress: 2 });
      assert.ok(none(out()));
      assert.ok(all(into()), 'what it may answer goes out');
      nodes[0]!.hostPolicy({ ingress: 2, egress: 2 });
      assert.ok(heard('n1', a), 'its own pods');
      assert.match(ask('n1', 'udp', a, BACKEND_PORT, { size: 4000 }), / 4000 /, 'in fragments, too');
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`, 'the tunnel goes on');
      assert.equal(ask('a', 'tcp', world[i]!), `${node} 10 ${world[i]}`, 'and so do masqueraded pods');
      nodes[0]!.hostPolicy(undefined);
      assert.ok(all([...out(), ...into()]));
    });
    test("the receiver's policy holds across nodes", () => {
      nodes[1]!.policy(103, 2);
      nodes[1]!.commit();
      assert.equal(ask('a', 'tcp', c), 'failed TimeoutError');
      nodes[1]!.policy(103, 1);
      nodes[1]!.commit();
      assert.equal(ask('a', 'tcp', c), `${a} 10 ${c}`);
    });
  });
});
