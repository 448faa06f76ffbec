/**
 * Connections through a proxy on the node: whom each end sees, that nothing passes beside it, and that what was opened before it came
 * comes again. rig.ts has the picture, proxy-rig.ts the proxy.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { ConntrackFlag, ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { addService, NODE_PORT } from './external.ts';
import { RigProxy } from './proxy-rig.ts';
import { addressesOf, BACKEND_PORT, client, pods, Rig, SERVICE_PORT, services, world } from './rig.ts';

const [a, b, c] = [pods[0]!, pods[1]!, pods[2]!];
const EGRESS = 1000;
const NO_PROXY = 234;

interface Way {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly port: number;
  /** Node and set of those that want the proxy; each node has its proxy. */
  readonly sets: readonly (readonly [node: 1 | 2, set: number])[];
  /** Whom the server sees. */
  readonly seen: string;
}

for (const tunnel of [true, false]) {
  describe(tunnel ? 'through the tunnel' : 'native routing', { timeout: 240_000 }, () => {
    const rig = new Rig({ ns: `cpr${tunnel ? 't' : 'n'}${process.pid % 10000}`, tunnel });
    let proxies: RigProxy[] = [];

    const startProxies = async (workers = 1): Promise<void> => {
      proxies = await Promise.all(rig.nodes.map(node => RigProxy.start(rig, node, { workers })));
    };
    const killProxies = async (): Promise<void> => {
      await Promise.all(proxies.map(proxy => proxy.kill()));
      proxies = [];
    };
    const redirect = (sets: Way['sets'], l7: number | undefined): void => {
      for (const [node, set] of sets) rig.nodes[node - 1]!.redirect(set, l7);
      for (const node of rig.nodes) node.commit();
    };
    /** Entries of the node that have all of these flags. */
    const entries = (node: 1 | 2, flags: number): number => [...rig.nodes[node - 1]!.maps.conntrack.entries()].filter(([, entry]) => (entry.flags & flags) === flags).length;
    /** The proxy's own connections that were answered, by when they began: one that gets an earlier one's port gets its entry's place. */
    const legs = (node: 1 | 2): Set<string> => new Set([...rig.nodes[node - 1]!.maps.conntrack.entries()]
      .filter(([, { flags, replyPackets }]) => flags & ConntrackFlag.ProxyLeg && replyPackets > 0n).map(([key, { startedNs }]) => `${key.lowPort} ${key.highPort} ${startedNs}`));
    const drops = (node: 1 | 2, reason: number): number => [...rig.nodes[node - 1]!.drops().matchAll(new RegExp(`(?:^| )${reason}/\\d:(\\d+)`, 'g'))].reduce((sum, [, count]) => sum + Number(count), 0);

    before(async () => {
      await rig.start();
      for (const node of [1, 2] as const) RigProxy.prepare(rig, node);
      await startProxies();
    });
    after(async () => {
      await killProxies();
      rig[Symbol.dispose]();
    });

    [0, 1].forEach(i => {
      const [atA, atB, atC] = pods.map(pod => addressesOf(pod)[i]!) as [string, string, string];
      const nodeAt = i ? 'fdc1::11' : '172.30.0.11';
      const egress = [1, a.id + EGRESS] as const;
      const ways: readonly Way[] = [
        { name: 'a neighbour, rules at the server', from: 'a', to: atB, port: BACKEND_PORT, sets: [[1, b.id]], seen: atA },
        { name: 'a neighbour, rules at the client', from: 'a', to: atB, port: BACKEND_PORT, sets: [egress], seen: atA },
        { name: 'a neighbour, rules at both', from: 'a', to: atB, port: BACKEND_PORT, sets: [egress, [1, b.id]], seen: atA },
        { name: 'another node, rules at the client', from: 'a', to: atC, port: BACKEND_PORT, sets: [egress], seen: atA },
        { name: 'another node, rules at the server', from: 'a', to: atC, port: BACKEND_PORT, sets: [[2, c.id]], seen: atA },
        { name: 'another node, rules at both, two proxies', from: 'a', to: atC, port: BACKEND_PORT, sets: [egress, [2, c.id]], seen: atA },
        { name: 'a service, packet by packet', from: 'a', to: services[i]!, port: SERVICE_PORT, sets: [egress], seen: atA },
        { name: 'the world', from: 'a', to: world[i]!, port: BACKEND_PORT, sets: [egress], seen: nodeAt },
        { name: 'its own node, as which the proxy comes', from: 'a', to: nodeAt, port: BACKEND_PORT, sets: [egress], seen: nodeAt },
        { name: 'a client outside', from: 'client', to: nodeAt, port: NODE_PORT, sets: [[1, b.id]], seen: client[i]! },
        { name: 'the node to a pod elsewhere', from: 'n1', to: atC, port: BACKEND_PORT, sets: [[2, c.id]], seen: i ? 'fd00:10:244:1::1' : '10.244.1.1' },
      ];

      describe(i ? 'IPv6' : 'IPv4', () => {
        before(() => addService(rig.nodes[0]!, { addr: nodeAt, port: NODE_PORT, id: 100 + i, flags: ServiceFlag.Routable, backends: [atB] }));

        for (const way of ways) {
          test(way.name, async () => {
            redirect(way.sets, 7);
            const carrier = way.sets[0]![0];
            const before = legs(carrier);
            assert.equal(rig.ask(way.from, 'tcp', way.to, way.port), `${way.seen} 10 ${way.to}`);
            if (way.to !== nodeAt || way.from !== 'a') assert.equal([...legs(carrier)].filter(leg => !before.has(leg)).length, 1, 'one connection of the proxy\'s own');
            // More than the buffers on the way hold, each way.
            assert.equal(rig.ask(way.from, 'tcp', way.to, way.port, { size: 3 << 20 }), `${way.seen} ${3 << 20} ${way.to}`);
            assert.equal(rig.ask(way.from, 'fetch', way.to, way.port, { size: 3 << 20 }), `got ${3 << 20} ${way.to}`);
            redirect(way.sets, undefined);
          });
        }

        // Clients wait two seconds on each way: one family for each kind of routing.
        if (tunnel === (i === 0)) test('nobody listens: nothing arrives, on any way, and then it does', async () => {
          await killProxies();
          for (const way of ways) {
            redirect(way.sets, 7);
            const carrier = way.sets[0]![0], before = drops(carrier, NO_PROXY);
            assert.equal(rig.ask(way.from, 'tcp', way.to, way.port), 'failed TimeoutError', way.name);
            assert.ok(drops(carrier, NO_PROXY) > before, `${way.name}: ${rig.nodes[carrier - 1]!.drops()}`);
            redirect(way.sets, undefined);
          }
          await startProxies(2);
          for (const way of ways) {
            redirect(way.sets, 7);
            assert.equal(rig.ask(way.from, 'tcp', way.to, way.port), `${way.seen} 10 ${way.to}`, way.name);
            redirect(way.sets, undefined);
          }
        });

        test('FIN and RST are handed on, and a port that nobody listens at refuses', async () => {
          const sets = [[1, b.id]] as const, { conntrack } = rig.nodes[0]!.maps;
          for (const [key] of [...conntrack.entries()]) conntrack.delete(key);
          redirect(sets, 7);
          assert.equal(talk(rig, 'a', HALF_CLOSE, atB), `${atA} 10|end`);
          assert.equal(talk(rig, 'a', RESET, atB), `${atA} 10`);
          assert.equal(talk(rig, 'a', HALF_CLOSE, atB, 9), 'ConnectionResetError');
          // Both legs are over on both sides: what is left lives for ten seconds.
          const over = ConntrackFlag.ForwardClosing | ConntrackFlag.ReplyClosing;
          for (const leg of [ConntrackFlag.Proxied, ConntrackFlag.ProxyLeg]) await until(() => entries(1, leg) === entries(1, leg | over));
          redirect(sets, undefined);
        });

        test('a client may use its port again at once', () => {
          redirect([[1, b.id]], 7);
          assert.equal(talk(rig, 'a', SAME_PORT, atB), `${atA} 10|`.repeat(5));
          redirect([[1, b.id]], undefined);
        });
      });
    });

    test('a pod to itself by way of a service is not asked, nor held up', () => {
      redirect([[2, c.id], [2, c.id + EGRESS]], 7);
      for (const node of rig.nodes) for (const i of [0, 1]) addService(node, { addr: services[i]!, port: SERVICE_PORT, id: 1 + i, flags: 0, backends: [addressesOf(c)[i]!] });
      for (const i of [0, 1]) assert.equal(rig.ask('c', 'tcp', services[i]!, SERVICE_PORT), `${services[i]} 10 ${services[i]}`);
      redirect([[2, c.id], [2, c.id + EGRESS]], undefined);
    });
  });
}

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < end, 'it did not come to pass within twenty seconds');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

function talk(rig: Rig, from: string, script: string, host: string, port = BACKEND_PORT): string {
  const { stdout, stderr } = spawnSync('ip', ['netns', 'exec', rig.ns(from), 'python3', '-c', `${CONNECT}${script}`, host, String(port)], { encoding: 'utf8', timeout: 30_000 });
  return stdout.trim() || stderr;
}

const CONNECT = `
import socket, struct, sys
host, port = sys.argv[1], int(sys.argv[2])
def connect(own=0):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); s.settimeout(5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if own: s.bind(('', own))
    s.connect((host, port)); return s
`;
/** Who is reset between what he sends and his end gets ENOTCONN for this, and hears of the reset when he reads. */
const HALF_CLOSE = `
import errno
try:
    s = connect(); s.sendall(b'x' * 9 + b'\\n'); got = b''
    try: s.shutdown(socket.SHUT_WR)
    except OSError as e:
        if e.errno != errno.ENOTCONN: raise
    while True:
        data = s.recv(100)
        if not data: break
        got += data
    print(got.decode().strip() + '|end')
except OSError as e: print(type(e).__name__)
`;
const RESET = `
s = connect(); s.sendall(b'x' * 9 + b'\\n'); print(s.recv(100).decode().strip())
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()
`;
/**
 * The server closes first, so that the proxy has the connection's ends in TIME_WAIT. The port is none that the kernel gives to those who
 * ask for any: one of them, in TIME_WAIT itself, would be in the way.
 */
const SAME_PORT = `
said = ''
for _ in range(5):
    s = connect(4567); s.sendall(b'x' * 9 + b'\\n'); said += s.recv(100).decode().strip() + '|'
    s.sendall(b'bye'); said += s.recv(100).decode(); s.close()
print(said)
`;
