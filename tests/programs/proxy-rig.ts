/**
 * A layer 7 proxy that knows no protocol, on a node of the rig: what it is given it passes on, as the client, to whom the client asked.
 *
 * Its listening sockets are made here, put into `proxy_listeners` and inherited by a process of its own, in which they live on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type ProxyConnection, type ProxyConnectionKey } from '../../src/datapath/generated/structs.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { bind, closeSocket, level, listen, setOption, setTransparent, socketOption, tcpSocket } from '../../src/sys/net.ts';
import { openNetns, withNetns } from '../../src/sys/netns.ts';
import { type Rig, type RigNode, run } from './rig.ts';

export const MARK_FROM_PROXY = 0xa00;
const ROUTES = ['rule add fwmark 0x200/0xf00 lookup 2004 pref 100', 'route add local default dev lo table 2004'];

export interface ProxyOptions {
  /** As many listening sockets for each family. */
  readonly workers?: number;
}

export class RigProxy {
  readonly #node: RigNode;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  #told: (() => void) | undefined;

  private constructor(node: RigNode, process: ChildProcess) {
    this.#node = node;
    this.#process = process;
    createInterface(process.stdout!).on('line', line => {
      this.#lines.push(line);
      this.#told?.();
    });
  }

  /** What makes marked packets local, as the agent has it on each node. */
  static prepare(rig: Rig, node: 1 | 2): void {
    for (const what of ROUTES) for (const family of ['-4', '-6']) run(`ip ${family} -n ${rig.ns(`n${node}`)} ${what}`);
    rig.inside(`n${node}`, 'sh -ec "echo 10000 29999 > /proc/sys/net/ipv4/ip_local_port_range"');
  }

  static async start(rig: Rig, node: RigNode, o: ProxyOptions = {}): Promise<RigProxy> {
    using netns = openNetns(`/run/netns/${rig.ns(`n${node.number}`)}`);
    const fds = withNetns(netns.fd, () => Array.from({ length: 2 * (o.workers ?? 1) }, (_, row) => listening(row % 2 ? 6 : 4)));
    const child = spawn('ip', ['netns', 'exec', rig.ns(`n${node.number}`), 'python3', '-u', '-c', PROXY, String(fds.length)], { stdio: ['ignore', 'pipe', 'inherit', ...fds] });
    const proxy = new RigProxy(node, child);
    await once(child, 'spawn');
    fds.forEach((fd, row) => {
      node.maps.proxyListeners.update(row, BigInt(fd));
      closeSocket(fd);
    });
    return proxy;
  }

  /** The next so many things that it says: accepted CLIENT SERVER, carried CLIENT SERVER BYTES, failed CLIENT SERVER WHY. */
  async says(count: number): Promise<readonly string[]> {
    while (this.#lines.length < count) {
      const told = Promise.withResolvers<void>();
      this.#told = told.resolve;
      await told.promise;
    }
    return this.#lines.splice(0, count);
  }

  /** All that was said and not asked for. */
  forget(): readonly string[] {
    return this.#lines.splice(0);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async kill(): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }

  rows(): readonly (ProxyConnection & { readonly ends: string })[] {
    return [...this.#node.maps.proxyConnections.entries()].map(([key, row]) => ({ ...row, ends: endsOf(key) }));
  }
}

const endsOf = (key: ProxyConnectionKey): string => `${formatAddr(key.client)} ${formatAddr(key.server)}:${key.serverPort}`;

function listening(family: 4 | 6): number {
  const fd = tcpSocket(family);
  setTransparent(fd, family);
  setOption(fd, level.socket, socketOption.mark, MARK_FROM_PROXY, 'marking a listening socket');
  if (bind(fd, { addr: parseAddr(family === 4 ? '127.0.0.1' : '::1'), port: 0 }) || listen(fd, 128)) throw new Error('a listening socket could not be made');
  return fd;
}

/** Connections are threads, each way one; FIN is handed on as FIN, a reset as a reset. */
const PROXY = `
import os, socket, struct, sys, threading
def name(a): return a[0].replace('::ffff:', '')
def reset(*sockets):
    for s in sockets:
        try: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
        except OSError: pass
def own(server, client):
    for _ in range(3):
        s = socket.socket(server.family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, 36, ${MARK_FROM_PROXY})
        s.setsockopt(*((socket.IPPROTO_IP, 19) if s.family == socket.AF_INET else (socket.IPPROTO_IPV6, 75)), 1)
        s.setsockopt(socket.IPPROTO_IP, 24, 1); s.setsockopt(socket.IPPROTO_IP, 51, 29999 << 16 | 16384)
        s.bind((client[0], 0)); s.settimeout(1)
        try: s.connect(server.getsockname()[:2]); s.settimeout(None); return s
        except TimeoutError: s.close()
    raise ConnectionError('nobody there')
def pump(a, b, count=[0]):
    try:
        while True:
            data = a.recv(65536)
            if not data: b.shutdown(socket.SHUT_WR); return
            count[0] += len(data); b.sendall(data)
    except OSError: reset(a, b)
def carry(c, peer):
    try: s = own(c, peer)
    except OSError as e: print('failed', name(peer), name(c.getsockname()), type(e).__name__); reset(c); return
    count = [0]; there = threading.Thread(target=pump, args=(c, s, count)); there.start(); pump(s, c); there.join()
    print('carried', name(peer), name(c.getsockname()), count[0]); c.close(); s.close()
def serve(fd):
    listener = socket.socket(fileno=fd); listener.setblocking(True)
    while True:
        c, peer = listener.accept(); c.setblocking(True)
        print('accepted', name(peer), name(c.getsockname()))
        threading.Thread(target=carry, args=(c, peer), daemon=True).start()
threads = [threading.Thread(target=serve, args=(3 + i,)) for i in range(int(sys.argv[1]))]
for t in threads: t.start()
`;
