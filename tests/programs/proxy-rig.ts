/**
 * A layer 7 proxy that knows no protocol, on a node of the rig: what it is given it passes on, as the client, to whom the client asked.
 *
 * Its listening sockets are made here, put into `proxy_listeners` and inherited by a process of its own, in which they live on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ProxyConnection, type ProxyConnectionKey } from '../../src/datapath/generated/structs.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { bind, closeSocket, level, listen, setOption, setTransparent, socketOption, tcpSocket } from '../../src/sys/net.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { type Rig, type RigNode, run } from './rig.ts';

export const MARK_FROM_PROXY = 0xa00;
/** Of the proxy's own connections. Those above it, up to PROXY_PORT_MAX of bpf/lib/proxy.h, are for tests that pass for the proxy. */
const LAST_PORT = 29_899;
const ROUTES = ['rule add fwmark 0x200/0xf00 lookup 2004 pref 100', 'route add local default dev lo table 2004'];

export interface ProxyOptions {
  /** As many listening sockets for each family. */
  readonly workers?: number;
}

export class RigProxy {
  readonly #node: RigNode;
  readonly #process: ChildProcess;
  /** What it says goes into a file: whoever waits for a pipe's reader, as rig.ask() is not one, would wait. */
  readonly #log: string;

  private constructor(node: RigNode, process: ChildProcess, log: string) {
    this.#node = node;
    this.#process = process;
    this.#log = log;
  }

  /** What makes marked packets local, as the agent has it on each node. */
  static prepare(rig: Rig, node: 1 | 2): void {
    for (const what of ROUTES) for (const family of ['-4', '-6']) run(`ip ${family} -n ${rig.ns(`n${node}`)} ${what}`);
    rig.inside(`n${node}`, 'sh -ec "echo 10000 29999 > /proc/sys/net/ipv4/ip_local_port_range"');
  }

  static async start(rig: Rig, node: RigNode, o: ProxyOptions = {}): Promise<RigProxy> {
    using netns = openNetns(`/run/netns/${rig.ns(`n${node.number}`)}`);
    const fds = withNetns(netns.fd, () => Array.from({ length: 2 * (o.workers ?? 1) }, (_, row) => listening(row % 2 ? 6 : 4)));
    const path = join(tmpdir(), `${rig.ns(`n${node.number}`)}-proxy.log`), log = openSync(path, 'w');
    const child = spawn('ip', ['netns', 'exec', rig.ns(`n${node.number}`), 'python3', '-u', '-c', PROXY, String(fds.length), `172.30.0.1${node.number}`, `fdc1::1${node.number}`], { stdio: ['ignore', log, 'inherit', ...fds] });
    const proxy = new RigProxy(node, child, path);
    await once(child, 'spawn');
    closeSync(log);
    fds.forEach((fd, row) => {
      node.maps.proxyListeners.update(row, BigInt(fd));
      closeSocket(fd);
    });
    return proxy;
  }

  /** What it said: accepted CLIENT SERVER; carried CLIENT SERVER BYTES, failed or broke CLIENT SERVER ERRNO. */
  said(): readonly string[] {
    return readFileSync(this.#log, 'utf8').split('\n').slice(0, -1);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async kill(): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
    unlinkSync(this.#log);
  }

  rows(): readonly (ProxyConnection & { readonly ends: string; readonly clientPort: number })[] {
    return [...this.#node.maps.proxyConnections.entries()].map(([key, row]) => ({ ...row, ends: endsOf(key), clientPort: key.clientPort }));
  }
}

const endsOf = (key: ProxyConnectionKey): string => `${formatAddr(key.client)} ${formatAddr(key.server)}:${key.serverPort}`;

/** A socket as the proxy's, on the loopback device. */
export function listening(family: 4 | 6): number {
  const fd = tcpSocket(family);
  setTransparent(fd, family);
  setOption(fd, level.socket, socketOption.mark, MARK_FROM_PROXY, 'marking a listening socket');
  if (bind(fd, { addr: parseAddr(family === 4 ? '127.0.0.1' : '::1'), port: 0 }) || listen(fd, 128)) throw new Error('a listening socket could not be made');
  return fd;
}

/** One loop. FIN is handed on as FIN, a reset as a reset; what the other side does not take waits, and so does its sender. */
const PROXY = `
import selectors, socket, struct, sys, time
loop = selectors.DefaultSelector(); ROOM = 1 << 18
def name(a): return a[0].replace('::ffff:', '')
class Side:
    def __init__(self, s): self.s, self.out, self.ended, self.shut, self.other = s, b'', False, False, None
class Carried:
    def __init__(self, c, peer):
        self.peer, self.server, self.count, self.tries = peer, c.getsockname(), 0, 0
        self.client = Side(c); self.own = None; self.connect()
    def say(self, what, more): print(what, name(self.peer), name(self.server), more)
    def connect(self):
        s = socket.socket(self.client.s.family, socket.SOCK_STREAM); s.setblocking(False); self.tries += 1; self.since = time.monotonic()
        s.setsockopt(socket.SOL_SOCKET, 36, ${MARK_FROM_PROXY})
        s.setsockopt(*((socket.IPPROTO_IP, 19) if s.family == socket.AF_INET else (socket.IPPROTO_IPV6, 75)), 1)
        s.setsockopt(socket.IPPROTO_IP, 24, 1); s.setsockopt(socket.IPPROTO_IP, 51, ${LAST_PORT} << 16 | 16384)
        # What talks to the node itself stays on its loopback device, where nobody else's address is at home.
        if name(self.server) not in sys.argv[2:]: s.bind((self.peer[0], 0))
        s.connect_ex(self.server[:2])
        self.own = Side(s); self.own.other, self.client.other = self.client, self.own; waiting.add(self)
        loop.register(s, selectors.EVENT_WRITE, (self.connected, self.own))
    def connected(self, side, mask):
        waiting.discard(self); error = side.s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error: return self.over('failed', error)
        loop.unregister(side.s)
        for one in (self.client, self.own): loop.register(one.s, selectors.EVENT_READ, (self.ready, one))
    def ready(self, side, mask):
        try:
            if mask & selectors.EVENT_READ and len(side.other.out) < ROOM:
                data = side.s.recv(65536); side.ended = not data; side.other.out += data
                if side is self.client: self.count += len(data)
            for one in (side, side.other):
                if one.out: one.out = one.out[one.s.send(one.out):]
                if not one.out and one.other.ended and not one.shut: one.shut = True; one.s.shutdown(socket.SHUT_WR)
        except BlockingIOError: pass
        except OSError as e: return self.over('broke', e.errno)
        if self.client.shut and self.own.shut: return self.over('carried', self.count)
        for one in (self.client, self.own):
            events = (0 if one.ended or len(one.other.out) >= ROOM else selectors.EVENT_READ) | (selectors.EVENT_WRITE if one.out else 0)
            if one.s in loop.get_map(): loop.unregister(one.s)
            if events: loop.register(one.s, events, (self.ready, one))
    def over(self, what, more):
        waiting.discard(self)
        for one in (self.client, self.own):
            if one.s in loop.get_map(): loop.unregister(one.s)
            if what != 'carried': one.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            one.s.close()
        self.say(what, more)
    def late(self, now):
        if now - self.since < 0.5: return
        waiting.discard(self)
        if self.tries == 3: return self.over('failed', 110)
        loop.unregister(self.own.s); self.own.s.close(); self.connect()
def accept(listener, mask):
    c, peer = listener.accept(); c.setblocking(False); print('accepted', name(peer), name(c.getsockname())); Carried(c, peer)
waiting = set()
for i in range(int(sys.argv[1])):
    listener = socket.socket(fileno=3 + i); listener.setblocking(False); loop.register(listener, selectors.EVENT_READ, (accept, listener))
while True:
    for key, mask in loop.select(0.1):
        # One event may have ended another's connection.
        if loop.get_map().get(key.fd) is key or key.fileobj in loop.get_map(): key.data[0](key.data[1], mask)
    for one in list(waiting): one.late(time.monotonic())
`;
