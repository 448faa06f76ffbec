import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { callLocal } from '../../src/cluster/local-api.ts';
import type { ProxyConnectionStatus, ProxyStatus } from '../../src/model/l7-proxy.ts';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

/** The layer 7 proxy between real pods: what is carried while processes are killed and restarted under it. */
const port = 8080;
const objects = [
  namespaceYaml('web'), podYaml('web', 'client', 'node1', { app: 'client' }), podYaml('web', 'near', 'node1', { app: 'server' }, port), podYaml('web', 'far', 'node2', { app: 'server' }, port),
].join('');

const rules = (path: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: server, namespace: web }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingress:
    - fromEndpoints: [ { matchLabels: { app: client } } ]
      toPorts: [ { ports: [ { port: "${port}", protocol: TCP } ], rules: { http: [ { method: GET, path: "${path}" } ] } } ]
`;

const denied = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cut, namespace: web }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingressDeny: [ { fromEndpoints: [ { matchLabels: { app: client } } ] } ]
`;

/** keep N ADDRESS: N connections ask again and again. fresh ADDRESS: a new connection for each question. A line of JSON each 100 ms or each question. */
const client = `
import asyncio, json, sys, time
mode, number, address, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
count = dict(ok=0, denied=0, failed=0, opened=0, why='')
async def ask(reader, writer, path):
    writer.write(f'GET {path} HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n'.encode())
    head = await asyncio.wait_for(reader.readuntil(b'\\r\\n\\r\\n'), 5 if mode == 'fresh' else 30)
    length = [int(l.split(b':')[1]) for l in head.split(b'\\r\\n') if l.lower().startswith(b'content-length')][0]
    await reader.readexactly(length)
    return int(head.split()[1])
async def keep():
    while True:
        try:
            reader, writer = await asyncio.open_connection(address, ${port})
            count['opened'] += 1
            while True:
                status = await ask(reader, writer, path)
                count['ok' if status == 200 else 'denied' if status == 403 else 'failed'] += 1
                await asyncio.sleep(0.002)
        except Exception as e: count['failed'] += 1; count['why'] = repr(e); await asyncio.sleep(0.05)
async def fresh():
    while True:
        start = time.time()
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(address, ${port}), 5)
            status = await ask(reader, writer, path)
            writer.close()
        except Exception as e: status = repr(e)
        print(json.dumps(dict(start=start, end=time.time(), status=status)), flush=True)
        await asyncio.sleep(0.005)
async def tell():
    while True: print(json.dumps(count), flush=True); await asyncio.sleep(0.1)
async def main():
    if mode == 'fresh': await fresh()
    await asyncio.gather(tell(), *[keep() for _ in range(number)])
asyncio.run(main())
`;

/** A body of 4 MB read slowly, then a request whose client sends FIN before the answer. */
const slow = `
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192); s.connect((sys.argv[1], ${port}))
s.sendall(b'GET /bytes/4000000 HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n')
time.sleep(1)
total = b''
while True:
    part = s.recv(65536)
    if not part: break
    total += part
body = total.split(b'\\r\\n\\r\\n', 1)[1]
h = socket.create_connection((sys.argv[1], ${port}))
h.sendall(b'GET /delay/200 HTTP/1.1\\r\\nHost: web\\r\\nConnection: close\\r\\n\\r\\n'); h.shutdown(socket.SHUT_WR)
answer = b''
while True:
    part = h.recv(65536)
    if not part: break
    answer += part
print(len(body), answer.split()[1].decode())
`;

/** As many connections as it is told, one after the other, with a request each; the client closes first. How often which answer came. */
const hasty = `
import collections, socket, sys
count = collections.Counter()
for _ in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], ${port}), 5)
    s.sendall(b'GET /public HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n')
    count[s.recv(65536)[9:12].decode()] += 1
    s.close()
print(dict(count))
`;

function startOfNode(): number {
  const startedAt = performance.now();
  spawnSync(process.execPath, ['-e', '0']);
  return Math.round(performance.now() - startedAt);
}

interface Counts {
  readonly ok: number;
  readonly denied: number;
  readonly failed: number;
  readonly opened: number;
  readonly why: string;
}

interface Question {
  readonly start: number;
  readonly end: number;
  readonly status: number | string;
}

describe('the layer 7 proxy in a cluster', () => {
  const cluster = new TestCluster('x');
  const children: ChildProcess[] = [];
  const addresses = new Map<string, string>();

  function runClient(mode: 'keep' | 'fresh', number: number, server: string, path: string): { readonly lines: unknown[]; stop(): void } {
    const child = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', 'web/client', '--', 'python3', '-c', client, mode, String(number), addresses.get(server)!, path], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    const lines: unknown[] = [];
    createInterface({ input: child.stdout! }).on('line', line => lines.push(JSON.parse(line)));
    return { lines, stop: () => void child.kill('SIGTERM') };
  }

  const counts = (run: { readonly lines: unknown[] }) => run.lines.at(-1) as Counts | undefined;
  const questions = (run: { readonly lines: unknown[] }) => run.lines as Question[];
  const more = async (run: { readonly lines: unknown[] }, number: number) => {
    const before = counts(run)?.ok ?? 0;
    await eventually(`${number} more requests`, 30_000, async () => ((counts(run)?.ok ?? 0) >= before + number ? undefined : `${JSON.stringify(counts(run))}`));
  };
  const proxyStatus = async (node: string) => (await callLocal<ProxyStatus>(cluster.paths.node(node).proxySocket, '/v1/status'))!;
  /** Its number, once it stands by. */
  const spareOf = async (node: string) => {
    let pid: number | undefined;
    await eventually('a spare stands by', 30_000, async () => ((pid = (await proxyStatus(node).catch(() => undefined))?.spare?.pid) === undefined ? 'not yet' : undefined));
    return pid!;
  };
  const connectionsOf = async (node: string) => (await callLocal<{ connections: ProxyConnectionStatus[] }>(cluster.paths.node(node).proxySocket, '/v1/connections'))!.connections;
  const ask = async (server: string, path: string) => (await cluster.cirri('exec', 'web/client', '--', 'curl', '-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', `http://${addresses.get(server)}:${port}${path}`)).stdout;

  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply(objects);
    await cluster.podsReady('web');
    const pods = JSON.parse((await cluster.cirri('get', 'pods', '-n', 'web', '-o', 'json')).stdout) as { items: { metadata: { name: string }; status: { podIP: string } }[] };
    for (const pod of pods.items) addresses.set(pod.metadata.name, pod.status.podIP);
    await cluster.apply(rules('/(public|bytes|delay).*'));
    await eventually('the rules hold', 20_000, async () => ((await ask('near', '/private')) === '403' && (await ask('far', '/private')) === '403' ? undefined : 'not yet'));
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await cluster.stop();
  });

  test('what the rules allow passes under the client\'s address, on one node and across two; the rest is 403', async () => {
    for (const server of ['near', 'far']) {
      assert.equal(await ask(server, '/public'), '200');
      assert.equal(await ask(server, '/other'), '403');
      const { stdout } = await cluster.cirri('exec', 'web/client', '--', 'curl', '-s', '-m', '5', `http://${addresses.get(server)}:${port}/public`);
      assert.equal((JSON.parse(stdout) as { peer: string }).peer, addresses.get('client'));
    }
    const flows = await cluster.observe('--type', 'l7', '--verdict', 'DROPPED', '--last', '5');
    assert.ok(flows.length > 0);
  });

  test('a slow reader gets all of its 4 MB, and a client that has sent its FIN gets its answer', async () => {
    for (const server of ['near', 'far']) {
      const { stdout, stderr } = await cluster.cirri('exec', 'web/client', '--', 'python3', '-c', slow, addresses.get(server)!);
      assert.equal(stdout.trim(), '4000000 200', stderr);
    }
  });

  test('a client with a new connection for each request is served beyond the ports that there are between it and the server', async () => {
    const { stdout, stderr } = await cluster.cirri('exec', 'web/client', '--', 'python3', '-c', hasty, addresses.get('near')!, '8000');
    assert.equal(stdout.trim(), "{'200': 8000}", stderr);
  });

  test('restarted under load: not one request fails, and no client has to connect again', async () => {
    const run = runClient('keep', 20, 'near', '/public');
    await more(run, 500);
    const before = await proxyStatus('node1');
    for (let round = 0; round < 2; round++) {
      const { code, stderr } = await cluster.cirri('proxy', 'restart', '--node', 'node1');
      assert.equal(code, 0, stderr);
      await more(run, 500);
    }
    const now = await proxyStatus('node1');
    assert.notEqual(now.pid, before.pid);
    assert.ok(now.takenOver >= 20, `${now.takenOver} taken over`);
    run.stop();
    const { failed, opened, denied: refused, why } = counts(run)!;
    assert.deepEqual({ failed, opened, refused, why }, { failed: 0, opened: 20, refused: 0, why: '' });
  });

  test('kill -9 of the agent: nobody notices', async () => {
    const run = runClient('keep', 10, 'near', '/public');
    await more(run, 200);
    process.kill(cluster.pidOf('agent-node1'), 'SIGKILL');
    await more(run, 1000);
    assert.equal(await ask('near', '/private'), '403');
    run.stop();
    assert.deepEqual([counts(run)!.failed, counts(run)!.opened, counts(run)!.denied], [0, 10, 0]);
    await eventually('the agent is back and hears the proxy', 30_000, async () => ((await cluster.cirri('status', '-v')).stdout.match(/on +L7Proxy/g)?.length === 2 ? undefined : 'not yet'));
  });

  test('kill -9 of the proxy: its connections end, the spare takes the next ones before any process could have started, and nothing passes unasked', async t => {
    const allowed = runClient('fresh', 1, 'near', '/public');
    const refused = runClient('fresh', 1, 'near', '/private');
    await eventually('both ask', 20_000, async () => (allowed.lines.length > 20 && refused.lines.length > 20 ? undefined : 'not yet'));
    const [gaps, starts]: [number[], number[]] = [[], []];
    for (let round = 0; round < 5; round++) {
      const spare = await spareOf('node1');
      const old = cluster.pidOf('proxy-node1');
      assert.notEqual(spare, old);
      const at = Date.now() / 1000;
      process.kill(old, 'SIGKILL');
      const served = () => questions(allowed).find(question => question.start >= at && question.status === 200);
      await eventually('it is served again', 20_000, async () => (served() ? undefined : `last: ${JSON.stringify(allowed.lines.at(-1))}`));
      gaps.push(Math.round((served()!.end - at) * 1000));
      await eventually('the supervisor knows', 20_000, async () => (cluster.pidOf('proxy-node1') === spare ? undefined : `${cluster.pidOf('proxy-node1')}`));
      await eventually('the spare says so itself', 20_000, async () => ((await proxyStatus('node1').catch(() => undefined))?.pid === spare ? undefined : 'not yet'));
      starts.push(startOfNode());
    }
    t.diagnostic(`from the kill to the first answer: ${gaps.join(', ')} ms; a start of Node that does nothing: ${starts.join(', ')} ms`);
    assert.deepEqual(questions(refused).filter(question => question.status === 200), []);
    assert.ok(questions(refused).some(question => question.status === 403));
    // Whoever has to start a process needs several times that; a busy machine makes both longer.
    assert.ok(Math.min(...gaps) < 50 + 2 * Math.max(...starts), `${gaps.join(', ')} ms`);
    for (const run of [allowed, refused]) run.stop();
  });

  test('kill -9 of the proxy and of its spare, and of the supervisor: it comes back all the same', async () => {
    const spare = await spareOf('node1');
    const proxy = cluster.pidOf('proxy-node1');
    for (const pid of [spare, proxy]) process.kill(pid, 'SIGKILL');
    await eventually('a new one answers', 20_000, async () => ((await ask('near', '/public')) === '200' && (await ask('near', '/private')) === '403' ? undefined : 'not yet'));
    const next = await spareOf('node1');
    assert.notEqual(next, spare);
    const [supervisor, second] = [cluster.pidOf('supervisor'), cluster.pidOf('proxy-node1')];
    for (const pid of [supervisor, second]) process.kill(pid, 'SIGKILL');
    // Nobody is there to tell it: it sees the end itself.
    await eventually('the spare goes on', 20_000, async () => ((await proxyStatus('node1').catch(() => undefined))?.pid === next ? undefined : 'not yet'));
    assert.equal(await ask('near', '/public'), '200');
    const { code, stderr } = await cluster.cirri('up');
    assert.equal(code, 0, stderr);
    assert.equal(cluster.pidOf('proxy-node1'), next);
    await spareOf('node1');
    assert.equal((await proxyStatus('node1')).pid, next);
  });

  test('a thousand connections at once; when policy cuts their client off, idle ones are reset too', async () => {
    const run = runClient('keep', 1000, 'near', '/public');
    await eventually('a thousand are open', 60_000, async () => {
      const { connections } = await proxyStatus('node1');
      return connections >= 1000 ? undefined : `${connections}, ${JSON.stringify(counts(run))}`;
    });
    await more(run, 2000);
    assert.equal(counts(run)!.failed, 0, counts(run)!.why);
    run.stop();
    await eventually('they have ended', 30_000, async () => ((await connectionsOf('node1')).length === 0 ? undefined : 'not yet'));
    const idle = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', 'web/client', '--', 'python3', '-c', `
import socket
s = socket.create_connection(('${addresses.get('near')}', ${port})); s.sendall(b'GET /public HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n'); print(s.recv(9999)[:12].decode(), flush=True)
try: print('end' if s.recv(1) == b'' else 'data', flush=True)
except ConnectionResetError: print('reset', flush=True)`], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(idle);
    const heard: string[] = [];
    createInterface({ input: idle.stdout! }).on('line', line => heard.push(line));
    await eventually('it has its answer', 20_000, async () => (heard[0] === 'HTTP/1.1 200' ? undefined : heard.join()));
    assert.equal((await connectionsOf('node1')).length, 1);
    await cluster.with(denied, [], async () => {
      await eventually('the idle connection is reset', 20_000, async () => (heard[1] === 'reset' ? undefined : heard.join()));
      await eventually('the proxy carries none of its connections any more', 20_000, async () => {
        const { length } = await connectionsOf('node1');
        return length === 0 ? undefined : `${length}`;
      });
    });
  });
});
