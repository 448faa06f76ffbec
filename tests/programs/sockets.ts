/**
 * Real sockets under the socket programs. Two namespaces, the "node" and a "pod", each with all backends on its own loopback device, so
 * that which backend a socket gets is the program's choice alone:
 *
 *     cgroup (sock_* attached)
 *       ├─ node   10.9.0.1 … 10.9.0.4, fd00:9::1 … fd00:9::4, each with a server on TCP and UDP 8080
 *       └─ pod    the same
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { BpfLink } from '../../src/ebpf/link.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { waitFor } from '../../src/std/async.ts';
import { cgroupRoot, createCgroup, openCgroup, removeCgroup } from '../../src/sys/cgroup.ts';
import { type Fd } from '../../src/sys/file.ts';
import { netnsCookie, openNetns, withNetns } from '../../src/sys/netns.ts';
import { allBut, type Maps, objectPath } from './harness.ts';
import { takeDownAfterThisProcess } from '../reaper.ts';

export type Place = 'node' | 'pod';
const places: readonly Place[] = ['node', 'pod'];

export interface SocketFamily {
  readonly name: string;
  /** Of the backends 1 to 4. */
  readonly backend: (number: number) => string;
  readonly service: string;
  readonly nodeAddress: string;
  readonly loopback: string;
  readonly unspecified: string;
}

export const socketFamilies: readonly SocketFamily[] = [
  { name: 'IPv4', backend: n => `10.9.0.${n}`, service: '10.96.0.9', nodeAddress: '10.9.0.100', loopback: '127.0.0.1', unspecified: '0.0.0.0' },
  { name: 'IPv6', backend: n => `fd00:9::${n}`, service: 'fd00:10:96::9', nodeAddress: 'fd00:9::100', loopback: '::1', unspecified: '::' },
];

export const backendPort = 8080;
export const protocolNumbers = { tcp: 6, udp: 17 } as const;
export type Protocol = keyof typeof protocolNumbers;
export const protocols: readonly Protocol[] = ['tcp', 'udp'];

/** bpf_attach_type of uapi/linux/bpf.h. */
const hooks = { connect4: 10, connect6: 11, post_bind4: 12, post_bind6: 13, sendmsg4: 14, sendmsg6: 15, recvmsg4: 19, recvmsg6: 20, getpeername4: 29, getpeername6: 30 } as const;

/** What every script may use. A reply is the address of the backend that answered. */
const PRELUDE = `
import socket, sys, errno, json, time
def family(host): return socket.AF_INET6 if ':' in host else socket.AF_INET
def make(kind, fam): s = socket.socket(fam, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM); s.settimeout(3); return s
def ask(kind, host, port, fam=None, peer=False):
    s = make(kind, fam or family(host))
    try:
        s.connect((host, port)); s.send(b'?')
        got = s.recv(100).decode()
        return got + ' ' + s.getpeername()[0] if peer else got
    except OSError as e: return errno.errorcode.get(e.errno, type(e).__name__)
    finally: s.close()
def say(s, host, port):
    try: s.sendto(b'?', (host, port)); data, peer = s.recvfrom(100); return data.decode() + ' ' + peer[0]
    except OSError as e: return errno.errorcode.get(e.errno, type(e).__name__)
def bind(kind, host, port):
    s = make(kind, family(host))
    try: s.bind((host, port)); return 'bound'
    except OSError as e: return errno.errorcode.get(e.errno, type(e).__name__)
    finally: s.close()
`;

const SERVER = `
import socket, select, sys
socks = []
for host in sys.argv[2:]:
    fam = socket.AF_INET6 if ':' in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(fam, kind); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((host, int(sys.argv[1])))
        if kind == socket.SOCK_STREAM: s.listen(64)
        socks.append(s)
print('ready', flush=True)
while True:
    for s in select.select(socks, [], [])[0]:
        try:
            if s.type == socket.SOCK_DGRAM: s.sendto(s.getsockname()[0].encode(), s.recvfrom(100)[1])
            elif s in socks and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): socks.append(s.accept()[0])
            else:
                if s.recv(100): s.send(s.getsockname()[0].encode())
                else: socks.remove(s); s.close()
        except OSError:
            if s in socks and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): socks.remove(s); s.close()
`;

export interface ServiceRowOptions {
  readonly id: number;
  readonly addr: string;
  readonly port?: number;
  readonly protocol?: Protocol;
  readonly scope?: number;
  readonly backends: readonly number[];
  readonly affinityTimeout?: number;
  readonly flags?: number;
  readonly type?: number;
}

export class SocketRig {
  readonly maps: Maps;
  readonly object!: BpfObject;
  readonly cgroup: string;
  readonly cookies!: Readonly<Record<Place, bigint>>;
  readonly #prefix = `east${process.pid % 100000}${randomUUID().slice(0, 2)}`;
  readonly #namespaces: Record<Place, Fd> = {} as Record<Place, Fd>;
  readonly #links: BpfLink[] = [];
  readonly #processes: ChildProcess[] = [];
  readonly #reaper: Disposable;

  private constructor() {
    this.#reaper = takeDownAfterThisProcess({ namespaces: places.map(place => `${this.#prefix}-${place}`), cgroups: [join(cgroupRoot(), this.#prefix)] });
    this.maps = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, BpfMap.create(spec as MapSpec<unknown, unknown>)])) as unknown as Maps;
    this.cgroup = createCgroup(this.#prefix);
    try {
      for (const place of places) this.#makeNamespace(place);
      this.cookies = { node: withNetns(this.netns('node'), netnsCookie), pod: withNetns(this.netns('pod'), netnsCookie) };
      this.object = this.load({});
      this.attach(this.object);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What could not be finished is undone; the rest is the caller's to `close`. */
  static async open(): Promise<SocketRig> {
    const rig = new SocketRig();
    try {
      await Promise.all(places.map(place => rig.serve(place, [1, 2, 3, 4])));
    } catch (error) {
      rig.close();
      throw error;
    }
    return rig;
  }

  netns(place: Place): number {
    return this.#namespaces[place].fd;
  }

  netnsPath(place: Place): string {
    return `/run/netns/${this.#prefix}-${place}`;
  }

  load(config: Record<string, unknown>): BpfObject {
    return BpfObject.load({
      path: objectPath, maps: this.maps as unknown as Record<string, BpfMap<never, never>>,
      config: { nodeIp4: parseAddr(socketFamilies[0]!.nodeAddress), nodeIp6: parseAddr(socketFamilies[1]!.nodeAddress), hostCookie: this.cookies.node, ...config },
      skip: allBut(name => name.startsWith('sock_')),
    });
  }

  /** The programs of this object take the place of those that are attached. */
  attach(object: BpfObject): void {
    using cgroup = openCgroup(this.cgroup);
    const names = Object.keys(hooks) as (keyof typeof hooks)[];
    names.forEach((hook, i) => {
      const program = object.program(`sock_${hook}`);
      const link = this.#links[i];
      if (link) link.update(program);
      else this.#links.push(BpfLink.attachCgroup({ program, cgroupFd: cgroup.fd, attachType: hooks[hook] }));
    });
  }

  #makeNamespace(place: Place): void {
    const name = `${this.#prefix}-${place}`;
    const addresses = socketFamilies.flatMap(family => [...[1, 2, 3, 4].map(family.backend), family.nodeAddress]);
    const commands = [`ip netns add ${name}`, `ip -n ${name} link set lo up`, ...addresses.map(address => `ip -n ${name} addr add ${address}/${address.includes(':') ? 128 : 32} dev lo`)];
    const made = spawnSync('sh', ['-ec', commands.join('\n')], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
    this.#namespaces[place] = openNetns(`/run/netns/${name}`);
  }

  /** Servers outside of the cgroup, on the backends' addresses. Resolves once they listen. */
  async serve(place: Place, backends: readonly number[]): Promise<ChildProcess> {
    const hosts = socketFamilies.flatMap(family => backends.map(family.backend));
    const server = spawn('ip', ['netns', 'exec', `${this.#prefix}-${place}`, 'python3', '-c', SERVER, String(backendPort), ...hosts], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#processes.push(server);
    await new Promise<void>((resolve, reject) => {
      server.stdout!.once('data', () => resolve());
      server.once('exit', code => reject(new Error(`the server ended with ${code}`)));
    });
    return server;
  }

  /** Runs a script inside; what it prints as JSON. */
  run<T = string>(place: Place, expression: string): T {
    const result = spawnSync('sh', ['-c', `echo $$ > ${this.cgroup}/cgroup.procs && exec nsenter --net=${this.netnsPath(place)} python3 -c "$0"`, `${PRELUDE}\nprint(json.dumps(${expression}))`], { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(result.stderr);
    return JSON.parse(result.stdout) as T;
  }

  /** A process inside that reads lines and answers each with a line of JSON; its sockets live on between them. */
  talk(place: Place): Conversation {
    const program = `${PRELUDE}\nimport traceback\nstate = {}\nfor line in sys.stdin:\n    try: print(json.dumps(eval(line)), flush=True)\n    except OSError as e: print(json.dumps(errno.errorcode.get(e.errno, type(e).__name__)), flush=True)`;
    const child = spawn('sh', ['-c', `echo $$ > ${this.cgroup}/cgroup.procs && exec nsenter --net=${this.netnsPath(place)} python3 -c "$0"`, program], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#processes.push(child);
    return new Conversation(child);
  }

  service(options: ServiceRowOptions): void {
    const { id, addr, port = 80, scope = 0, backends, affinityTimeout = 0, flags = 0, type = 0 } = options;
    backends.forEach((backend, slot) => {
      this.maps.serviceSlots.update({ service: id, slot }, { backend });
      if (affinityTimeout) this.maps.serviceMembers.update({ service: id, backend }, 1);
    });
    this.maps.serviceAddresses.update({ id }, { addr: parseAddr(addr), port });
    for (const protocol of options.protocol ? [options.protocol] : protocols) {
      this.maps.services.update({ addr: parseAddr(addr), port, protocol: protocolNumbers[protocol], scope }, { id, count: backends.length, affinityTimeout, maglev: 0, flags, type });
    }
  }

  backend(number: number, addr: string, state = 0): void {
    this.maps.backends.update({ id: number }, { addr: parseAddr(addr), port: backendPort, protocol: 6, state });
  }

  /** Empties what services are and what sockets have written; backends 1 to 4 are IPv4's, 11 to 14 IPv6's. */
  reset(): void {
    const { services, serviceSlots, serviceMembers, serviceAddresses, backends, affinities, socketServices, redirectExempt } = this.maps;
    for (const map of [services, serviceSlots, serviceMembers, serviceAddresses, backends, affinities, socketServices, redirectExempt] as unknown as BpfMap<unknown, unknown>[]) {
      for (const [key] of [...map.entries()]) map.delete(key);
    }
    socketFamilies.forEach((family, i) => [1, 2, 3, 4].forEach(n => this.backend(n + i * 10, family.backend(n))));
  }

  /** What sockets have noted: kind, address and port of the key, address and backend of the value. */
  notes(): string[] {
    return [...this.maps.socketServices.entries()].map(([key, value]) => `${key.kind ? 'choice' : 'peer'} ${formatAddr(key.addr)}:${key.port} ${formatAddr(value.addr)}:${value.port} ${value.backend}`);
  }

  close(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
    for (const link of this.#links) link.close();
    this.object?.close();
    for (const place of places) {
      this.#namespaces[place]?.close();
      spawnSync('ip', ['netns', 'del', `${this.#prefix}-${place}`]);
    }
    removeCgroup(this.cgroup, { kill: true });
    this.#reaper[Symbol.dispose]();
    for (const map of Object.values(this.maps)) map.close();
  }
}

/** Lines to a process and its answers, one at a time. */
export class Conversation {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];
  #rest = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.#waiting.shift()?.(line);
    });
    child.once('exit', () => this.#waiting.splice(0).forEach(resolve => resolve('"ended"')));
  }

  say<T = string>(expression: string): Promise<T> {
    this.#child.stdin!.write(`${expression}\n`);
    return new Promise(resolve => this.#waiting.push(line => resolve(JSON.parse(line) as T)));
  }

  /** Resolves once the process waits for a socket (poll, as Python's sockets with a timeout do). */
  async isBlocked(): Promise<void> {
    const waits = (): boolean => /poll|recv|skb/.test(readFileSync(`/proc/${this.#child.pid}/wchan`, 'utf8'));
    await waitFor('the process to wait for its socket', () => waits(), { everyMs: 2 });
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
