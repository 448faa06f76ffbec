/**
 * Policy that changes under running connections: what the proxy is told, and who is reset. And who may not pass for the proxy.
 * rig.ts has the picture, proxy-rig.ts the proxy.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConntrackFlag, Direction, ObservationPoint, PolicyVerdictKind, ProxyConnectionFlag } from '../../src/datapath/generated/enums.ts';
import { formatAddr } from '../../src/std/ip.ts';
import type { Trace } from './harness.ts';
import { RigProxy } from './proxy-rig.ts';
import { addressesOf, BACKEND_PORT, pods, Rig, SERVICE_PORT, services } from './rig.ts';

const [a, b] = [pods[0]!, pods[1]!];
const EGRESS = 1000;

/** A client that stays: says "open", and for each line what it got for it. */
class Client implements Disposable {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(rig: Rig, from: string, host: string, port: number) {
    this.#process = spawn('ip', ['netns', 'exec', rig.ns(from), 'python3', '-u', '-c', CLIENT, host, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
  }

  async says(): Promise<string> {
    return String((await this.#lines.next()).value);
  }

  ask(): Promise<string> {
    this.#process.stdin!.write('ask\n');
    return this.says();
  }

  async gone(): Promise<void> {
    const exit = once(this.#process, 'exit');
    this.#process.stdin!.end();
    await exit;
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}

const CLIENT = `
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); s.settimeout(5)
try:
    s.connect((host, port)); print('open')
    for line in sys.stdin:
        s.sendall(b'x' * 9 + b'\\n'); print(s.recv(100).decode().strip())
except OSError as e: print(type(e).__name__)
`;

describe('policy changes', { timeout: 240_000 }, () => {
  const rig = new Rig({ ns: `cpc${process.pid % 10000}` });
  let proxy: RigProxy;
  const node = (): Rig['nodes'][number] => rig.nodes[0]!;
  const change = (set: number, l7: number | undefined): void => {
    if (l7 !== undefined || node().redirected(set)) node().redirect(set, l7);
    node().commit();
  };
  const flagsOf = (flags: number): number => [...node().maps.conntrack.entries()].filter(([, entry]) => (entry.flags & flags) === flags).length;

  before(async () => {
    await rig.start();
    for (const number of [1, 2] as const) RigProxy.prepare(rig, number);
    proxy = await RigProxy.start(rig, node());
  });
  after(async () => {
    await proxy.kill();
    rig[Symbol.dispose]();
  });

  beforeEach(() => {
    node().policy(b.id, 1);
    change(b.id, undefined);
    change(a.id + EGRESS, undefined);
  });

  for (const i of [0, 1]) {
    const family = i ? 'IPv6' : 'IPv4';
    const [atA, atB] = [addressesOf(a)[i]!, addressesOf(b)[i]!];
    /** By the clients' ports: the last packet of a connection that ends while policy changes writes its row once more. */
    let earlier: ReadonlySet<number> = new Set();
    const row = (): ReturnType<RigProxy['rows']>[number] => proxy.rows().find(one => one.ends === `${atA} ${atB}:${BACKEND_PORT}` && !earlier.has(one.clientPort))!;
    const forget = (): void => { earlier = new Set(proxy.rows().map(one => one.clientPort)); };
    /** The proxy says when a connection ends, too, and may say it late. */
    const accepted = (): number => proxy.said().filter(line => line.startsWith('accepted ')).length;

    test(`${family}: the proxy is told who they are, and at the next packet what holds now`, async () => {
      forget();
      change(b.id, 7);
      using client = new Client(rig, 'a', atB, BACKEND_PORT);
      assert.equal(await client.says(), 'open');
      assert.equal(await client.ask(), `${atA} 10`);
      const { policyGeneration } = node().maps.runtime.lookup(0)!;
      const first = row();
      assert.deepEqual({ ...first, ends: undefined, clientPort: undefined }, {
        ends: undefined, clientPort: undefined, generation: policyGeneration, flags: 0, sourceIdentity: a.identity, destinationIdentity: b.identity, sourceEndpoint: a.id, destinationEndpoint: b.id,
        egressL7: 0, ingressL7: 7, egressRule: a.id + EGRESS, ingressRule: b.id, service: 0,
      });
      change(a.id + EGRESS, 8);
      change(b.id, 9);
      assert.equal(await client.ask(), `${atA} 10`);
      assert.deepEqual([row().egressL7, row().ingressL7, row().generation], [8, 9, policyGeneration + 2]);
      change(a.id + EGRESS, undefined);
      change(b.id, undefined);
      assert.equal(await client.ask(), `${atA} 10`, 'it stays the proxy\'s when nobody asks for layer 7 any more');
      assert.deepEqual([row().egressL7, row().ingressL7, row().flags], [0, 0, 0]);
      await client.gone();
    });

    test(`${family}: a denial revokes both legs, the proxy is told, and the client is reset`, async () => {
      forget();
      change(b.id, 7);
      using client = new Client(rig, 'a', atB, BACKEND_PORT);
      assert.equal(await client.says(), 'open');
      assert.equal(await client.ask(), `${atA} 10`);
      node().redirect(b.id, undefined);
      node().policy(b.id, 2);
      node().commit();
      assert.equal(await client.ask(), 'ConnectionResetError');
      assert.equal(row().flags, ProxyConnectionFlag.Revoked);
      assert.equal(row().generation, node().maps.runtime.lookup(0)!.policyGeneration);
      assert.ok(flagsOf(ConntrackFlag.Proxied | ConntrackFlag.Revoked) > 0);
    });

    for (const [way, host, port] of [['direct', atB, BACKEND_PORT], ['by way of a service', services[i]!, SERVICE_PORT]] as const) {
      test(`${family}: opened before the rules, ${way}: reset at its next packet, and opened again through the proxy`, async () => {
        using client = new Client(rig, 'a', host, port);
        assert.equal(await client.says(), 'open');
        assert.match(await client.ask(), / 10$/);
        const before = accepted();
        change(a.id + EGRESS, 7);
        assert.equal(await client.ask(), 'ConnectionResetError');
        assert.equal(accepted(), before, 'the proxy had no part in it');
        assert.match(rig.ask('a', 'tcp', host, port), / 10 /);
        assert.equal(accepted() > before, true);
      });
    }

    test(`${family}: opened before the rules, from another node: reset in the server's name, which that node believes`, async () => {
      using client = new Client(rig, 'c', atB, BACKEND_PORT);
      assert.equal(await client.says(), 'open');
      assert.match(await client.ask(), / 10$/);
      change(b.id, 7);
      assert.equal(await client.ask(), 'ConnectionResetError');
    });

    test(`${family}: told once: the verdict "redirect", the packet to the proxy, the end`, async () => {
      change(b.id, 7);
      node().told();
      assert.equal(rig.ask('a', 'tcp', atB), `${atA} 10 ${atB}`);
      // The client has closed; what the node's ends say to each other then may take a moment.
      const ended = (told: readonly Trace[]): boolean => told.some(flow => flow.totals);
      const told = node().told(), traces = [...told.traces];
      for (let tries = 0; tries < 100 && !ended(traces); tries++) {
        await sleep(20);
        traces.push(...node().told().traces);
      }
      const client = told.flows[0]!.sourcePort;
      for (const flow of [...told.flows, ...traces]) assert.equal(flow.sourcePort === BACKEND_PORT ? flow.destinationPort : flow.sourcePort, client, 'the client\'s connection, and no other');
      assert.deepEqual(told.flows.map(flow => [flow.direction, flow.verdict, flow.rule]), [[Direction.Egress, PolicyVerdictKind.Allow, a.id + EGRESS], [Direction.Ingress, PolicyVerdictKind.Redirect, b.id]]);
      assert.equal(traces[0]!.reasonOrPoint, ObservationPoint.ToProxy);
      assert.equal(traces.filter(flow => flow.totals).length, 1);
    });

    test(`${family}: a pod's mark is nothing: it is judged, and cannot pass for the proxy`, () => {
      node().policy(b.id, 2);
      node().commit();
      for (const mark of ['0xa00', '0x200']) {
        const { stdout } = spawnSync('ip', ['netns', 'exec', rig.ns('a'), 'python3', '-c', MARKED, atB, mark], { encoding: 'utf8' });
        assert.equal(stdout.trim(), 'TimeoutError', mark);
      }
    });

    test(`${family}: what the proxy's mark does not let out: no SYN under a port of a client's, none that policy denies`, () => {
      // The proxy itself has none of these ports: nothing of it is in TIME_WAIT there.
      const before = node().drops();
      const { stdout } = spawnSync('ip', ['netns', 'exec', rig.ns('n1'), 'python3', '-c', AS_PROXY, atA, atB, '40000'], { encoding: 'utf8' });
      assert.equal(stdout.trim(), 'TimeoutError');
      node().policy(b.id, 2);
      node().commit();
      const denied = spawnSync('ip', ['netns', 'exec', rig.ns('n1'), 'python3', '-c', AS_PROXY, atA, atB, '29990'], { encoding: 'utf8' });
      assert.equal(denied.stdout.trim(), 'TimeoutError');
      assert.notEqual(node().drops(), before);
      node().policy(b.id, 1);
      node().commit();
      const allowed = spawnSync('ip', ['netns', 'exec', rig.ns('n1'), 'python3', '-c', AS_PROXY, atA, atB, '29991'], { encoding: 'utf8' });
      assert.equal(allowed.stdout.trim(), 'open');
    });
  }

  test('ends and ports that a connection of the proxy has are nobody else\'s', async () => {
    for (const [key] of [...node().maps.conntrack.entries()]) node().maps.conntrack.delete(key);
    const [atA, atB] = [addressesOf(a)[0]!, addressesOf(b)[0]!];
    using client = new Client(rig, 'a', atB, BACKEND_PORT);
    assert.equal(await client.says(), 'open');
    // An earlier connection, of the other family, may have had something to say yet.
    const entry = [...node().maps.conntrack.entries()].find(([key]) => [key.low, key.high].some(addr => formatAddr(addr) === atA));
    assert.ok(entry);
    const port = entry[0].lowPort === BACKEND_PORT ? entry[0].highPort : entry[0].lowPort;
    const taken = spawnSync('ip', ['netns', 'exec', rig.ns('n1'), 'python3', '-c', AS_PROXY, atA, atB, String(port)], { encoding: 'utf8' });
    assert.equal(taken.stdout.trim(), 'TimeoutError');
    assert.match(node().drops(), /235\//);
    assert.equal(await client.ask(), `${atA} 10`, 'the pod\'s goes on');
  });
});

const MARKED = `
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET); s.settimeout(1.5); s.setsockopt(socket.SOL_SOCKET, 36, int(sys.argv[2], 16))
try: s.connect((sys.argv[1], ${BACKEND_PORT})); print('open')
except OSError as e: print(type(e).__name__)
`;
const AS_PROXY = `
import socket, sys
client, server, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
v6 = ':' in client
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET); s.settimeout(1.5); s.setsockopt(socket.SOL_SOCKET, 36, 0xa00)
s.setsockopt(*((socket.IPPROTO_IPV6, 75) if v6 else (socket.IPPROTO_IP, 19)), 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((client, port))
try: s.connect((server, ${BACKEND_PORT})); print('open')
except OSError as e: print(type(e).__name__)
`;
