/** A node with pods in network namespaces of our own, its programs, and the socket to socket path on. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import { EndpointFlag, IpcacheFlag } from '../../src/datapath/generated/enums.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import type { ConntrackEntry } from '../../src/datapath/generated/structs.ts';
import { BpfLink } from '../../src/ebpf/link.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { attachMessageProgram } from '../../src/ebpf/sockets.ts';
import { parseAddr, parsePrefix } from '../../src/std/ip.ts';
import { cgroupRoot, createCgroup, openCgroup, removeCgroup } from '../../src/sys/cgroup.ts';
import { netnsCookie, openNetns, withNetns } from '../../src/sys/netns.ts';
import { allBut, type Maps, objectPath } from './harness.ts';
import { macBytes } from './packet.ts';
import { takeDownAfterThisProcess } from '../reaper.ts';

const prefix = `smap${process.pid % 100000}`;
const ns = (name: string): string => `${prefix}-${name}`;
const run = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const hostMac = '02:00:00:00:00:fe';
const ROUTER = ['10.244.1.1', 'fd00:10:244:1::1'] as const;
const HOST_ID = 1;

/** `number`: the last part of its addresses; ids are 100 more. */
export interface RigPod { readonly name: string; readonly number: number }
export const podA: RigPod = { name: 'a', number: 10 };
export const podB: RigPod = { name: 'b', number: 11 };
const pods: readonly RigPod[] = [podA, podB, { name: 'x', number: 12 }];
const namespaces = ['n', ...pods.map(pod => pod.name)];
export const addressesOf = (pod: RigPod): readonly [string, string] => [`10.244.1.${pod.number}`, `fd00:10:244:1::${pod.number}`];
const endpointId = (pod: RigPod): number => 100 + pod.number;
export const ingressSet = (pod: RigPod): number => 1000 + pod.number;

export const streamPath = fileURLToPath(new URL('../../build/cirri-stream', import.meta.url));

/** A program in a pod. `output` is all that it said. */
export interface Running {
  readonly child: ChildProcess;
  /** The next line, or undefined at the end. */
  line(): Promise<string | undefined>;
  readonly exit: Promise<number | null>;
}

export class SockmapRig {
  readonly maps: Maps;
  readonly #object: BpfObject;
  readonly #links: BpfLink[] = [];
  readonly #cgroup: string;
  readonly #children = new Set<ChildProcess>();
  readonly #reaper: Disposable;

  static build(): SockmapRig {
    SockmapRig.#removeNamespaces();
    const reaper = takeDownAfterThisProcess({ namespaces: namespaces.map(ns), cgroups: [join(cgroupRoot(), prefix)] });
    run(`ip netns add ${ns('n')}; ip -n ${ns('n')} link set lo up; ip -n ${ns('n')} addr add ${ROUTER[0]}/32 dev lo; ip -n ${ns('n')} -6 addr add ${ROUTER[1]}/128 dev lo`);
    for (const pod of pods) buildPod(pod);
    return new SockmapRig(reaper);
  }

  private constructor(reaper: Disposable) {
    this.#reaper = reaper;
    this.maps = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, BpfMap.create(spec as MapSpec<unknown, unknown>)])) as unknown as Maps;
    this.#object = BpfObject.load({
      path: objectPath, maps: this.maps as unknown as Record<string, BpfMap<never, never>>,
      config: {
        nodeIp4: parseAddr('172.30.0.11'), nodeIp6: parseAddr('fdc1::11'), routerIp4: parseAddr(ROUTER[0]), routerIp6: parseAddr(ROUTER[1]), uplinkIfindex: 1, overlayIfindex: 0,
        clusterId: 0, natPortMin: 61000, natPortMax: 65535, hostMac: macBytes(hostMac), masquerade: 1, policyMode: 0, audit: 0,
      },
      skip: allBut(name => name.endsWith('_pod') && !name.startsWith('http_') || name.startsWith('sockmap_')),
    });
    this.#cgroup = createCgroup(prefix);
    this.#fill();
    this.#attach();
  }

  static #removeNamespaces(): void {
    for (const name of namespaces) run(`ip netns del ${ns(name)} 2>/dev/null || true`);
  }

  #fill(): void {
    this.maps.runtime.update(0, { policyGeneration: 1, flags: 0 });
    for (const pod of pods) {
      const index = Number(run(`ip netns exec ${ns('n')} cat /sys/class/net/v${pod.name}/ifindex`));
      for (const address of addressesOf(pod)) this.maps.endpoints.update({ addr: parseAddr(address) }, {
        ifindex: index, id: endpointId(pod), identity: 1000 + pod.number, policyIdentity: 0, ingressSet: ingressSet(pod), egressSet: 2000 + pod.number,
        mac: macBytes(podMac(pod)), hostMac: macBytes(hostMac), flags: EndpointFlag.Ready, other: new Uint8Array(16),
      });
      for (const set of [ingressSet(pod), 2000 + pod.number]) this.policy(set, 1);
      this.maps.namespaceEndpoints.update({ cookie: this.#cookie(pod.name), endpoint: endpointId(pod) }, 1);
    }
    for (const own of ROUTER) this.maps.endpoints.update({ addr: parseAddr(own) }, { ifindex: 0, id: HOST_ID, identity: 1, policyIdentity: 0, ingressSet: 0, egressSet: 0, mac: new Uint8Array(6), hostMac: new Uint8Array(6), flags: EndpointFlag.Host | EndpointFlag.Ready, other: new Uint8Array(16) });
    this.maps.namespaceEndpoints.update({ cookie: this.#cookie('n'), endpoint: HOST_ID }, 1);
    for (const [everything, identity] of [['0.0.0.0/0', 9], ['::/0', 10]] as const) {
      const { addr, bits } = parsePrefix(everything);
      this.maps.ipcache.update({ prefixBits: bits, addr }, { identity, policyIdentity: 0, flags: 0, tunnel: new Uint8Array(16) });
    }
    for (const cluster of ['10.244.0.0/16', 'fd00:10:244::/48']) {
      const { addr, bits } = parsePrefix(cluster);
      this.maps.ipcache.update({ prefixBits: bits, addr }, { identity: 0, policyIdentity: 0, flags: IpcacheFlag.Cluster, tunnel: new Uint8Array(16) });
    }
  }

  #cookie(name: string): bigint {
    using netns = openNetns(`/run/netns/${ns(name)}`);
    return withNetns(netns.fd, netnsCookie);
  }

  #attach(): void {
    using node = openNetns(`/run/netns/${ns('n')}`);
    for (const pod of pods) for (const [program, direction] of [['from_pod', 'ingress'], ['to_pod', 'egress']] as const) {
      const ifindex = Number(run(`ip netns exec ${ns('n')} cat /sys/class/net/v${pod.name}/ifindex`));
      this.#links.push(withNetns(node.fd, () => BpfLink.attachTcx({ program: this.#object.program(program), ifindex, direction })));
    }
    attachMessageProgram(this.maps.sockets, this.#object.program('sockmap_gate'));
    this.on();
    using cgroup = openCgroup(this.#cgroup);
    this.#links.push(BpfLink.attachCgroup({ program: this.#object.program('sockmap_sockops'), cgroupFd: cgroup.fd, attachType: 3 }));
  }

  on(): void {
    this.maps.messagePrograms.update(0, this.#object.program('sockmap_message').fd);
  }

  off(): void {
    this.maps.messagePrograms.delete(0);
  }

  policy(set: number, verdict: 1 | 2): void {
    this.maps.policyVerdicts.update({ prefixBits: 64, set, class: 0, protocol: 0, port: 0 }, { rule: set, shadowRule: 0, l7: 0, verdict, match: 4, shadowVerdict: 0, flags: 0 });
  }

  commit(): void {
    const { policyGeneration, flags } = this.maps.runtime.lookup(0)!;
    this.maps.runtime.update(0, { policyGeneration: policyGeneration + 1, flags });
  }

  /** Runs a command in a pod ('n': on the node), in the node's cgroup. */
  start(where: string, command: readonly string[], input: 'ignore' | 'pipe' = 'ignore'): Running {
    const child = spawn('sh', ['-c', `echo $$ > ${this.#cgroup}/cgroup.procs && exec ip netns exec ${ns(where)} "$@"`, 'sh', ...command], { stdio: [input, 'pipe', 'inherit'] });
    this.#children.add(child);
    const lines: string[] = [];
    let ended = false;
    let wake = () => {};
    const reader = createInterface({ input: child.stdout! });
    reader.on('line', line => { lines.push(line); wake(); });
    reader.on('close', () => { ended = true; wake(); });
    return {
      child,
      exit: new Promise(resolve => child.once('close', code => { this.#children.delete(child); resolve(code); })),
      line: async () => {
        while (lines.length === 0 && !ended) await new Promise<void>(resolve => { wake = resolve; });
        return lines.shift();
      },
    };
  }

  /** Packets that the pod's device has carried out of the pod. */
  packetsFrom(pod: RigPod): number {
    return Number(run(`ip netns exec ${ns('n')} cat /sys/class/net/v${pod.name}/statistics/rx_packets`));
  }

  /** Messages that a pod has sent directly in its connections to a port: their entries count those and packets, the device packets alone. */
  direct(port: number, from: RigPod, packetsBefore: number): number {
    return this.connections(port).reduce((sum, entry) => sum + Number(entry.forwardPackets), 0) - (this.packetsFrom(from) - packetsBefore);
  }

  /** The entries of the connections to this port. */
  connections(port: number): ConntrackEntry[] {
    return [...this.maps.conntrack.entries()].filter(([key]) => key.lowPort === port || key.highPort === port).map(([, entry]) => entry);
  }

  /** Rows of sockets that are there. */
  joined(): number {
    return [this.maps.socketPairs, this.maps.joinedSockets].reduce((sum, map) => sum + map.count(), 0);
  }

  namespace(where: string): string {
    return ns(where);
  }

  exec(where: string, command: string): string {
    return run(`ip netns exec ${ns(where)} ${command}`);
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const link of this.#links) {
      link.detach();
      link.close();
    }
    this.#object.close();
    for (const map of Object.values(this.maps)) map.close();
    removeCgroup(this.#cgroup, { kill: true });
    SockmapRig.#removeNamespaces();
    this.#reaper[Symbol.dispose]();
  }
}

const podMac = (pod: RigPod): string => `02:00:00:00:01:${pod.number}`;

function buildPod(pod: RigPod): void {
  const [v4, v6] = addressesOf(pod);
  const node = ns('n');
  run(`ip netns add ${ns(pod.name)}; ip -n ${ns(pod.name)} link add eth0 address ${podMac(pod)} mtu 1450 type veth peer name v${pod.name} netns ${node} address ${hostMac}`);
  for (const command of [`link set v${pod.name} mtu 1450 up`, `route add ${v4}/32 dev v${pod.name} src ${ROUTER[0]}`, `-6 route add ${v6}/128 dev v${pod.name} src ${ROUTER[1]}`]) run(`ip -n ${node} ${command}`);
  for (const command of ['link set lo up', 'link set eth0 up', `addr add ${v4}/32 dev eth0`, `-6 addr add ${v6}/128 dev eth0 nodad`,
    `route add default via ${ROUTER[0]} dev eth0 onlink`, `-6 route add default via ${ROUTER[1]} dev eth0 onlink`]) run(`ip -n ${ns(pod.name)} ${command}`);
}
