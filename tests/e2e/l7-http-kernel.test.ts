import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, promisify } from 'node:util';
import type { ClusterRecord } from '../../src/model/cluster.ts';
import type { L7KernelStatus } from '../../src/model/l7-kernel.ts';
import { eventually, namespaceYaml, podYaml, seesCheckout, TestCluster, type FlowJson } from './cluster.ts';
import { nginxPod, nodePod, serviceYaml } from './l7/servers.ts';
import { OutsideNetwork } from './outside.ts';

/**
 * HTTP rules that the kernel carries out, with real servers (nginx, Node, grpc-js) and clients (curl, Python, grpc-js).
 *
 *   node1: production/gateway (nginx, seed 01)  production/near   shop/orders (Node)  shop/cart (gRPC)  shop/near
 *   node2: production/frontend production/other                   shop/far
 */
const run = promisify(execFile);
const grpcMain = fileURLToPath(new URL('l7/grpc-main.ts', import.meta.url));

const cart = `---
apiVersion: v1
kind: Pod
metadata: { name: cart, namespace: shop, labels: { app: cart } }
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: node
      command: ${JSON.stringify([process.execPath, grpcMain, 'server', '50051'])}
      ports: [ { containerPort: 50051 } ]
      readinessProbe: { tcpSocket: { port: 50051 }, periodSeconds: 1 }
`;

const pods = [
  ...['production', 'shop'].map(namespaceYaml), cart,
  nginxPod('production', 'gateway', 'node1', { app: 'api-gateway' }, 8080), serviceYaml('production', 'gateway', 'api-gateway', 80, 8080),
  podYaml('production', 'near', 'node1', { app: 'frontend' }), podYaml('production', 'frontend', 'node2', { app: 'frontend' }), podYaml('production', 'other', 'node2', { app: 'other' }),
  nodePod('shop', 'orders', 'node1', { app: 'orders' }, 8080, process.execPath), serviceYaml('shop', 'orders', 'orders', 80, 8080, 30881),
  podYaml('shop', 'near', 'node1', { app: 'client' }), podYaml('shop', 'far', 'node2', { app: 'client' }),
].join('');

const orders = (where: 'kernel' | 'proxy') => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: orders, namespace: shop, annotations: { policy.cirri.io/l7-http: ${where} } }
spec:
  endpointSelector: { matchLabels: { app: orders } }
  ingress:
    - fromEntities: [ cluster, world ]
      toPorts:
        - ports: [ { port: "8080", protocol: TCP } ]
          rules:
            http:
              - { method: GET, path: "/(open|big|ws).*" }
              - { method: "PUT|POST", path: "/up", headers: [ "X-Shop: yes" ] }
              - { method: GET, path: "/host", host: "orders[.]example" }
`;

const cartPolicy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cart, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: cart } }
  ingress:
    - fromEndpoints: [ {} ]
      toPorts: [ { ports: [ { port: "50051", protocol: TCP } ], rules: { http: [ { method: POST, path: "/shop[.]Cart/.*" } ] } } ]
`;

/**
 * ADDRESS N LIFE: N connections ask for /open and /closed in turn, LIFE times each and then anew (0: for as long as they live), and come again
 * when they are cut off. A line of JSON each 50 ms.
 */
const keeper = `
import asyncio, json, sys
address, number, life = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
count = dict(ok=0, denied=0, wrong=0, cut=0, opened=0, why='')
async def ask(reader, writer, path):
    writer.write(f'GET {path} HTTP/1.1\\r\\nHost: shop\\r\\n\\r\\n'.encode())
    head = await asyncio.wait_for(reader.readuntil(b'\\r\\n\\r\\n'), 10)
    length = [int(l.split(b':')[1]) for l in head.split(b'\\r\\n') if l.lower().startswith(b'content-length')]
    if length: await reader.readexactly(length[0])
    else:
        while (size := int((await reader.readuntil(b'\\r\\n')).strip(), 16)) or True:
            await reader.readexactly(size + 2)
            if size == 0: break
    return int(head.split()[1])
async def keep():
    while True:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 8080), 10)
            count['opened'] += 1
            left = life
            while left != 1 or life == 0:
                left -= 1
                for path, status, name in (('/open', 200, 'ok'), ('/closed', 403, 'denied')):
                    found = await ask(reader, writer, path)
                    if found == status: count[name] += 1
                    else: count['wrong'] += 1; count['why'] = f'{path} {found}'
                    await asyncio.sleep(0.005)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError) as e: count['cut'] += 1; await asyncio.sleep(0.02)
        except Exception as e: count['wrong'] += 1; count['why'] = repr(e); await asyncio.sleep(0.05)
async def tell():
    while True: print(json.dumps(count), flush=True); await asyncio.sleep(0.05)
async def main(): await asyncio.gather(tell(), *[keep() for _ in range(number)])
asyncio.run(main())
`;

interface Counts {
  readonly ok: number;
  readonly denied: number;
  readonly wrong: number;
  readonly cut: number;
  readonly opened: number;
  readonly why: string;
}

interface L7Json {
  readonly traffic_direction?: string;
  readonly ingress_denied_by?: readonly { readonly name: string }[];
  readonly cirri?: { readonly in_kernel?: boolean };
  readonly l7?: { readonly type: string; readonly latency_ns?: string; readonly http?: { readonly code?: number; readonly method?: string; readonly url?: string; readonly protocol?: string } };
}

describe('HTTP rules in the kernel, in a cluster of two nodes', () => {
  const cluster = new TestCluster('v');
  const children: ChildProcess[] = [];
  let record: ClusterRecord;

  before(async () => {
    await cluster.start('--no-demo', '--set', 'l7.http=kernel');
    record = JSON.parse(readFileSync(cluster.paths.clusterJson, 'utf8')) as ClusterRecord;
    await cluster.apply(seesCheckout(pods));
    await cluster.podsReady('production', 'shop');
    await cluster.apply('seeds/01-api-gateway-policy.yaml');
    await enforced('production/api-gateway-policy');
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await cluster.stop();
  });

  async function enforced(name: string): Promise<void> {
    const [namespace, policy] = name.split('/');
    const waited = await cluster.kubectl('wait', '-n', namespace!, '--for=condition=Enforced', `cnp/${policy}`, '--timeout=20s');
    assert.equal(waited.code, 0, waited.stderr);
  }

  /** Codes of several requests over one curl; 000: no answer. */
  async function codes(pod: string, ...requests: readonly (readonly string[])[]): Promise<string[]> {
    const args = requests.flatMap((request, i) => [...(i === 0 ? [] : ['--next']), '-s', '-o', '/dev/null', '-w', '%{http_code}\\n', '--max-time', '5', ...request]);
    const { stdout } = await cluster.cirri('exec', pod, '--', 'curl', ...args);
    return stdout.trim().split('\n');
  }
  const serverLog = async (pod: string) => (await cluster.kubectl('logs', '-n', ...(pod.split('/') as [string, string]))).stdout;
  const addressesOf = async (pod: string) => {
    const [namespace, name] = pod.split('/');
    return (await cluster.kubectl('get', 'pod', name!, '-n', namespace!, '-o', 'jsonpath={.status.podIPs[*].ip}')).stdout.split(' ');
  };
  const addressOf = async (pod: string) => (await addressesOf(pod)).find(address => !address.includes(':'))!;
  const l7 = (...flags: string[]) => cluster.observe('--type', 'l7', '--last', '500', ...flags) as Promise<(FlowJson & L7Json)[]>;
  const kernelStatus = async () => (JSON.parse((await cluster.cirri('proxy', 'sets', '--node', 'node1', '-o', 'json')).stdout) as L7KernelStatus[])[0]!;
  const carriedOut = (wanted: string, pod: string) => eventually(`${pod} is carried out by the ${wanted}`, 20_000, async () => {
    const { pods: carried, failedPods, sets } = await kernelStatus();
    assert.deepEqual([failedPods, sets.filter(set => set.reason !== undefined)], [[], []]);
    return carried.includes(pod) === (wanted === 'kernel') ? undefined : JSON.stringify(carried);
  });

  function keep(pod: string, address: string, number: number, life = 0): { counts(): Counts | undefined; stop(): void } {
    const child = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', pod, '--', 'python3', '-c', keeper, address, String(number), String(life)], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    let last: Counts | undefined;
    createInterface({ input: child.stdout }).on('line', line => { last = JSON.parse(line) as Counts; });
    return { counts: () => last, stop: () => void child.kill('SIGTERM') };
  }
  const more = async (client: { counts(): Counts | undefined }, number: number) => {
    const before = client.counts()?.denied ?? 0;
    await eventually(`${number} more of each`, 60_000, async () => ((client.counts()?.denied ?? 0) >= before + number ? undefined : `only ${JSON.stringify(client.counts())}`));
  };

  test('seed 01 without a proxy: what it allows passes from both nodes, everything else is 403 and does not reach the server', async () => {
    await carriedOut('kernel', 'production/gateway');
    const base = 'http://gateway.production';
    for (const client of ['production/near', 'production/frontend']) {
      assert.deepEqual(await codes(client,
        [`${base}/api/v1/products`], [`${base}/api/v1/products/7?x=y`], ['-H', 'Content-Type: application/json', '-d', '{}', `${base}/api/v1/orders`],
        [`${base}/api/v1/product`], ['-d', '{}', `${base}/api/v1/orders`], ['-H', 'Content-Type: application/json; charset=utf-8', '-d', '{}', `${base}/api/v1/orders`],
        ['-X', 'DELETE', `${base}/api/v1/products`], ['--path-as-is', `${base}/api/v1/products/../../../admin`], [`${base}/api/v1/orders`], [`${base}/api/v1/products/last`],
      ), ['200', '200', '200', '403', '403', '403', '403', '403', '403', '200'], client);
      // The server sees the pod's address; it writes of a request when the client has its answer.
      const log = await cluster.logWith('production/gateway', `${await addressOf(client)} "GET /api/v1/products/last HTTP/1.1" 200`);
      assert.ok(!log.includes('admin') && !log.includes('DELETE') && !log.includes('charset'), log);
    }
    const refused = await cluster.cirri('exec', 'production/near', '--', 'curl', '-s', '-i', '--max-time', '5', `${base}/admin`);
    assert.match(refused.stdout, /^HTTP\/1\.1 403 Forbidden\r\n[^]*\r\n\r\nAccess denied\r\n$/);
    assert.deepEqual(await codes('production/other', [`${base}/api/v1/products`]), ['000'], 'whoever is not selected does not get through');
  });

  test('observe tells of what passed and of what was refused, and that the kernel carried it', async () => {
    await codes('production/near', ['-H', 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'http://gateway.production/api/v1/products/told'], ['http://gateway.production/told']);
    await eventually('both requests and both answers', 20_000, async () => {
      const flows = (await l7('--to-pod', 'production/gateway')).concat(await l7('--from-pod', 'production/gateway')).filter(f => f.l7?.http?.url?.includes('told'));
      const of = (path: string, type: string) => flows.find(f => f.l7!.type === type && f.l7!.http!.url === `http://gateway.production${path}`);
      const [passed, answered, refused, denied] = [of('/api/v1/products/told', 'REQUEST'), of('/api/v1/products/told', 'RESPONSE'), of('/told', 'REQUEST'), of('/told', 'RESPONSE')];
      const holds = passed?.verdict === 'FORWARDED' && answered?.l7!.http!.code === 200 && Number(answered.l7!.latency_ns) > 0 && refused?.verdict === 'DROPPED' && refused.ingress_denied_by?.[0]?.name === 'api-gateway-policy' && denied?.l7!.http!.code === 403
        && [passed, answered, refused, denied].every(flow => flow.cirri?.in_kernel === true && flow.traffic_direction === 'INGRESS');
      return holds ? undefined : JSON.stringify(flows);
    });
    const { stdout } = await cluster.cirri('observe', '--type', 'l7', '--last', '100');
    assert.match(stdout, /http-request.*FORWARDED.*GET http:\/\/gateway\.production\/api\/v1\/products\/told\) \[kernel\]/);
    assert.match(stdout, /http-request.*DROPPED.*GET http:\/\/gateway\.production\/told\) \[kernel\]/);
    const traced = (await l7('--to-pod', 'production/gateway')).find(f => f.l7?.http?.url?.endsWith('/products/told')) as { trace_context?: { parent?: { trace_id?: string } } } | undefined;
    assert.equal(traced?.trace_context?.parent?.trace_id, '4bf92f3577b34da6a3ce929d0e0e4736');
  });

  test('status counts them and names the pods', async () => {
    const { stdout } = await cluster.cirri('status', '-v');
    assert.match(stdout, /on +L7Kernel: 1 set for 1 pod; \d+ connections?, [1-9]\d* requests, [1-9]\d* denied/);
    const { pods: carried, sets, counts } = await kernelStatus();
    assert.deepEqual(carried, ['production/gateway']);
    assert.deepEqual(sets.filter(set => set.wanted === 'kernel').map(set => [set.rules, set.place]), [[2, 'kernel']]);
    assert.ok(counts.requests > counts.denied && counts.denied > 0 && counts.faults === 0, JSON.stringify(counts));
  });

  test('methods, hosts, headers, bodies of 30 MB each way, and another protocol after the decision', async () => {
    await cluster.apply(orders('kernel'));
    await enforced('shop/orders');
    await carriedOut('kernel', 'shop/orders');
    const base = `http://${await addressOf('shop/orders')}:8080`;
    for (const client of ['shop/near', 'shop/far']) {
      assert.deepEqual(await codes(client,
        [`${base}/open`], [`${base}/host`], ['-H', 'Host: orders.example', `${base}/host`], ['-d', 'x', `${base}/up`], ['-H', 'X-Shop: yes', '-d', 'x', `${base}/up`], ['-H', 'X-Shop: no', '-d', 'x', `${base}/up`], ['-I', `${base}/open`],
      ), ['200', '403', '200', '403', '200', '403', '403'], client);
      const up = await cluster.cirri('exec', client, '--', 'sh', '-c', `head -c 31457280 /dev/zero | curl -s --max-time 30 -H 'X-Shop: yes' -H 'Expect:' --data-binary @- ${base}/up`);
      assert.match(up.stdout, /"bytes":31457280/, up.stderr);
      const chunked = await cluster.cirri('exec', client, '--', 'sh', '-c', `head -c 3145728 /dev/zero | curl -s --max-time 30 -H 'X-Shop: yes' -H 'Expect:' -T - ${base}/up`);
      assert.match(chunked.stdout, /"bytes":3145728/, chunked.stderr);
      const down = await cluster.cirri('exec', client, '--', 'sh', '-c', `curl -s --max-time 30 ${base}/big | sha256sum`);
      assert.equal(down.stdout.split(' ')[0], createHash('sha256').update(Buffer.alloc(30 << 20, 'cirri')).digest('hex'));
      const program = `const s = require('net').connect(8080, '${await addressOf('shop/orders')}'); let t = ''; s.write('GET /ws HTTP/1.1\\r\\nHost: a\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); s.on('data', d => { if (t === '') s.write('no HTTP\\n'); t += d; if (t.includes('no HTTP')) { console.log(t); process.exit(0); } }); setTimeout(() => process.exit(1), 5000);`;
      const echoed = await cluster.cirri('exec', client, '--', process.execPath, '-e', program);
      assert.match(echoed.stdout, /^HTTP\/1\.1 101 [^]*no HTTP/, echoed.stderr);
    }
  });

  test('the same over IPv6, from another node, and from the world through a node port', async () => {
    const six = (await addressesOf('shop/orders')).find(address => address.includes(':'))!;
    for (const client of ['shop/near', 'shop/far']) assert.deepEqual(await codes(client, ['-g', `http://[${six}]:8080/open`], ['-g', `http://[${six}]:8080/closed`], ['-g', `http://[${six}]:8080/open`]), ['200', '403', '200'], client);
    const { client } = new OutsideNetwork(record, cluster.paths);
    for (const { underlay4 } of record.nodes) {
      const { stdout } = await run('nsenter', [`--net=${client.netns}`, 'curl', '-s', '--max-time', '5', '-o', '/dev/null', '-o', '/dev/null', '-w', '%{http_code} ', `http://${underlay4}:30881/open`, `http://${underlay4}:30881/closed`]);
      assert.equal(stdout, '200 403 ', underlay4);
    }
  });

  test('from the kernel to the proxy and back while clients run: nothing is answered wrongly, and connections come again', async () => {
    const address = await addressOf('shop/orders');
    const clients = [keep('shop/near', address, 5, 20), keep('shop/far', address, 5, 20)];
    for (const client of clients) await more(client, 50);
    const near = await addressOf('shop/near');
    for (const where of ['proxy', 'kernel', 'proxy', 'kernel'] as const) {
      await cluster.apply(orders(where));
      await enforced('shop/orders');
      await carriedOut(where, 'shop/orders');
      for (const client of clients) await more(client, 50);
      await eventually(`flows say ${where}`, 20_000, async () => {
        const last = (await l7('--to-pod', 'shop/orders', '--last', '1')).at(-1);
        return (last?.cirri?.in_kernel === true) === (where === 'kernel') ? undefined : JSON.stringify(last);
      });
      await eventually(`connections are listed as carried by the ${where}`, 20_000, async () => {
        const listed = (JSON.parse((await cluster.cirri('proxy', 'connections', '--node', 'node1', '-o', 'json')).stdout) as { client: string; server: string; place: string; state: string; ingressSet: number }[])
          .filter(connection => connection.server === `${address}:8080` && connection.client.startsWith(`${near}:`) && connection.state !== 'ended');
        return listed.length > 0 && listed.every(connection => connection.place === where && connection.ingressSet > 0) ? undefined : JSON.stringify(listed);
      });
    }
    for (const client of clients) {
      const counts = client.counts()!;
      client.stop();
      assert.deepEqual([counts.wrong, counts.why], [0, ''], JSON.stringify(counts));
      // What the kernel carries is cut off when the proxy is to; what the proxy carries stays with it until it ends.
      assert.ok(counts.cut <= 2 * 5, JSON.stringify(counts));
    }
  });

  test('a connection from before the policy is reset at its next request, and comes again under the rules', async () => {
    await cluster.delete(orders('kernel'));
    const address = await addressOf('shop/orders');
    await eventually('nothing restricts it', 20_000, async () => ((await codes('shop/near', [`http://${address}:8080/closed`]))[0] === '200' ? undefined : 'it does'));
    const client = keep('shop/near', address, 3);
    await eventually('it gets 200 for everything', 20_000, async () => ((client.counts()?.wrong ?? 0) > 20 ? undefined : `only ${JSON.stringify(client.counts())}`));
    await cluster.apply(orders('kernel'));
    await enforced('shop/orders');
    await more(client, 20);
    const before = client.counts()!;
    await more(client, 20);
    const counts = client.counts()!;
    client.stop();
    assert.deepEqual([counts.cut, counts.opened, counts.wrong], [3, 6, before.wrong], JSON.stringify(counts));
  });

  test('kill -9 of the agent: nobody notices, and the next one takes over', async () => {
    const client = keep('shop/far', await addressOf('shop/orders'), 5);
    await more(client, 20);
    const before = await kernelStatus();
    process.kill(cluster.pidOf('agent-node1'), 'SIGKILL');
    await more(client, 100);
    await eventually('the agent is back', 30_000, async () => ((await cluster.cirri('status', '-v')).stdout.match(/on +L7Kernel/g)?.length === 1 ? undefined : 'not yet'));
    await more(client, 50);
    client.stop();
    const { wrong, cut, opened } = client.counts()!;
    assert.deepEqual([wrong, cut, opened], [0, 0, 5]);
    await eventually('it carries out the same', 20_000, async () => {
      const now = await kernelStatus();
      return isDeepStrictEqual([now.pods, now.sets], [before.pods, before.sets]) ? undefined : JSON.stringify({ now, before });
    });
  });

  test('headers in flows are asked for: the proxy carries everything until they are not, and the status says why', async () => {
    const client = keep('shop/near', await addressOf('shop/orders'), 3);
    await more(client, 20);
    const asked = await cluster.cirri('config', 'set', 'l7.headers=user-agent');
    assert.equal(asked.code, 0, asked.stderr);
    await eventually('nothing is carried out in the kernel', 30_000, async () => {
      const { unable, pods: carried, sets } = await kernelStatus();
      return /l7\.headers/.test(unable ?? '') && carried.length === 0 && sets.every(set => set.place === 'proxy') ? undefined : JSON.stringify({ unable, carried, sets });
    });
    assert.match((await cluster.cirri('status', '-v')).stdout, /degraded L7Kernel: .*l7\.headers is set/);
    await more(client, 20);
    const { wrong, cut } = client.counts()!;
    client.stop();
    assert.deepEqual([wrong, cut], [0, 3], 'what the kernel carried comes again');
    const taken = await cluster.cirri('config', 'set', 'l7.headers=');
    assert.equal(taken.code, 0, taken.stderr);
    await carriedOut('kernel', 'shop/orders');
  });

  test('gRPC to a port whose rules the kernel carries out is refused, and the flow says so', async () => {
    await cluster.apply(cartPolicy);
    await enforced('shop/cart');
    await carriedOut('kernel', 'shop/cart');
    const address = `${await addressOf('shop/cart')}:50051`;
    const { stdout, stderr } = await cluster.cirri('exec', 'shop/near', '--', process.execPath, grpcMain, 'client', address);
    assert.notEqual(stdout, '', stderr);
    for (const [method, result] of Object.entries(JSON.parse(stdout) as Record<string, string>)) assert.match(result, /^14 /, `${method}: UNAVAILABLE`);
    assert.doesNotMatch(await serverLog('shop/cart'), /shop\.Cart/);
    await eventually('a flow says so', 20_000, async () => {
      const flows = await l7('--to-pod', 'shop/cart');
      return flows.some(flow => flow.verdict === 'ERROR' && flow.cirri?.in_kernel === true) ? undefined : JSON.stringify(flows);
    });
    await cluster.apply(cartPolicy.replace('namespace: shop }', 'namespace: shop, annotations: { policy.cirri.io/l7-http: proxy } }'));
    await enforced('shop/cart');
    await carriedOut('proxy', 'shop/cart');
    const again = await cluster.cirri('exec', 'shop/near', '--', process.execPath, grpcMain, 'client', address);
    assert.match((JSON.parse(again.stdout) as Record<string, string>)['shop.Cart/Unary'] ?? '', /^0 /, 'by the proxy it is understood');
  });

  test('without the policy the programs go with the last connection, and with a pod everything of it', async () => {
    const links = () => readdirSync(cluster.paths.node('node1').links).filter(pin => pin.includes('-http-'));
    assert.ok(links().length >= 4, links().join(' '));
    await cluster.delete(orders('kernel'));
    await cluster.delete(cartPolicy);
    await eventually('only the gateway has programs', 60_000, async () => (links().length === 2 ? undefined : links().join(' ')));
    await cluster.kubectl('delete', 'pod', '-n', 'production', 'gateway', '--wait=true');
    await eventually('nothing is left', 20_000, async () => (links().length === 0 ? undefined : links().join(' ')));
    await eventually('nor is it said that something were', 20_000, async () => {
      const { pods: carried } = await kernelStatus();
      return carried.length === 0 ? undefined : carried.join();
    });
  });
});
