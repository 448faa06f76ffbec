import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { ClusterRecord } from '../../src/model/cluster.ts';
import { eventually, namespaceYaml, podYaml, seesCheckout, TestCluster } from './cluster.ts';
import type { FlowJson } from './cluster.ts';
import { nginxPod, nodePod, serviceYaml } from './l7/servers.ts';
import { OutsideNetwork } from './outside.ts';

/**
 * HTTP rules with real servers (nginx, Node) and curl; seeds 01, 04 and 11 word for word.
 *
 *   node1: production/gateway  production/near  payments/pay  default/api (nginx)   loop/self (Node)
 *   node2: production/frontend production/other production/backend (Node)  checkout/checkout  default/frontend
 */
const run = promisify(execFile);

const pods = [
  ...['production', 'payments', 'checkout', 'loop'].map(namespaceYaml),
  nginxPod('production', 'gateway', 'node1', { app: 'api-gateway' }, 8080),
  nodePod('production', 'backend', 'node2', { app: 'backend-service' }, 3000, process.execPath),
  podYaml('production', 'near', 'node1', { app: 'frontend' }), podYaml('production', 'frontend', 'node2', { app: 'frontend' }), podYaml('production', 'other', 'node2', { app: 'other' }),
  nginxPod('payments', 'pay', 'node1', { app: 'payment-service' }, 8080), podYaml('checkout', 'checkout', 'node2', { app: 'checkout-service' }),
  nginxPod('default', 'api', 'node1', { app: 'api' }, 80), podYaml('default', 'frontend', 'node2', { app: 'frontend' }),
  nodePod('loop', 'self', 'node1', { app: 'self' }, 8080, process.execPath),
  serviceYaml('production', 'gateway', 'api-gateway', 80, 8080), serviceYaml('production', 'backend', 'backend-service', 3000, 3000),
  serviceYaml('payments', 'pay', 'payment-service', 8080, 8080), serviceYaml('default', 'api', 'api', 80, 80), serviceYaml('loop', 'self', 'self', 80, 8080, 30880),
].join('');

const loopPolicy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: self, namespace: loop }
spec:
  endpointSelector: { matchLabels: { app: self } }
  ingress:
    - fromEntities: [ cluster, host, world ]
      toPorts: [ { ports: [ { port: "8080", protocol: TCP } ], rules: { http: [ { method: GET, path: "/open.*", headerMatches: [ { name: X-Seen, value: policy, mismatch: REPLACE } ] } ] } } ]
`;

const backendPolicy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: backend, namespace: production }
spec:
  endpointSelector: { matchLabels: { app: backend-service } }
  ingress:
    - fromEndpoints: [ { matchLabels: { app: api-gateway } } ]
      toPorts: [ { ports: [ { port: "3000", protocol: TCP } ], rules: { http: [ { path: "/both/.*" } ] } } ]
`;

describe('HTTP rules in a cluster of two nodes', () => {
  const cluster = new TestCluster('h');
  let record: ClusterRecord;

  before(async () => {
    await cluster.start('--no-demo', '--set', 'l7.headers=user-agent');
    record = JSON.parse(readFileSync(cluster.paths.clusterJson, 'utf8')) as ClusterRecord;
    await cluster.apply(seesCheckout(pods));
    await cluster.podsReady('production', 'payments', 'checkout', 'loop', 'default');
    for (const seed of ['01-api-gateway-policy', '04-payment-service-l7']) await cluster.apply(`seeds/${seed}.yaml`);
    await cluster.apply('seeds/11-allow-frontend-api.yaml', '-n', 'default');
    await cluster.apply(loopPolicy);
    for (const name of ['production/api-gateway-policy', 'payments/payment-service-l7', 'default/allow-frontend-api', 'loop/self']) {
      const [namespace, policy] = name.split('/');
      const waited = await cluster.kubectl('wait', '-n', namespace!, '--for=condition=Enforced', `cnp/${policy}`, '--timeout=20s');
      assert.equal(waited.code, 0, waited.stderr + (await cluster.kubectl('get', 'cnp', policy!, '-n', namespace!, '-o', 'yaml')).stdout);
    }
  });
  after(() => cluster.stop());

  /** Codes of several requests over one curl; 000: no answer. */
  async function codes(pod: string, ...requests: readonly (readonly string[])[]): Promise<string[]> {
    const args = requests.flatMap((request, i) => [...(i === 0 ? [] : ['--next']), '-s', '-o', '/dev/null', '-w', '%{http_code}\\n', '--max-time', '5', ...request]);
    const { stdout } = await cluster.cirri('exec', pod, '--', 'curl', ...args);
    return stdout.trim().split('\n');
  }
  const addressOf = async (pod: string) => {
    const [namespace, name] = pod.split('/');
    return (await cluster.kubectl('get', 'pod', name!, '-n', namespace!, '-o', 'jsonpath={.status.podIP}')).stdout;
  };
  const l7 = (...flags: string[]) => cluster.observe('--type', 'l7', '--last', '500', ...flags) as Promise<(FlowJson & L7Json)[]>;

  test('seed 01: products may be read and orders posted as JSON, from the same node and from the other one', async () => {
    const base = 'http://gateway.production';
    for (const client of ['production/near', 'production/frontend']) {
      assert.deepEqual(await codes(client,
        [`${base}/api/v1/products`], [`${base}/api/v1/products/7?x=y`], ['-H', 'Content-Type: application/json', '-d', '{}', `${base}/api/v1/orders`],
        [`${base}/api/v1/product`], ['-d', '{}', `${base}/api/v1/orders`], ['-H', 'Content-Type: application/json; charset=utf-8', '-d', '{}', `${base}/api/v1/orders`],
        ['-X', 'DELETE', `${base}/api/v1/products`], ['--path-as-is', `${base}/api/v1/products/../../../admin`], [`${base}/api/v1/orders`],
      ), ['200', '200', '200', '403', '403', '403', '403', '403', '403'], client);
      // The server sees the pod's address.
      const log = await cluster.logWith('production/gateway', `${await addressOf(client)} "GET /api/v1/products/7?x=y HTTP/1.1" 200`);
      assert.ok(!log.includes('admin') && !log.includes('DELETE') && !log.includes('charset'), log);
    }
    assert.deepEqual(await codes('production/other', [`${base}/api/v1/products`]), ['000'], 'whoever is not selected does not get to the proxy');
  });

  test('seed 01, egress: GET and POST to the backend, nothing else', async () => {
    const base = `http://${await addressOf('production/backend')}:3000`;
    assert.deepEqual(await codes('production/gateway', [`${base}/a`], ['-d', 'abc', `${base}/b`], ['-X', 'PUT', '-d', 'abc', `${base}/c`], ['-X', 'DELETE', `${base}/d`]), ['200', '200', '403', '403']);
    const log = await cluster.logWith('production/backend', `${await addressOf('production/gateway')} POST /b`);
    assert.ok(!log.includes('/c') && !log.includes('/d'), log);
    await eventually('the refusal is told with its direction', 20_000, async () => {
      const flows = await l7('--from-pod', 'production/gateway', '--verdict', 'DROPPED');
      return flows.some(f => f.traffic_direction === 'EGRESS' && f.l7?.http?.method === 'PUT') ? undefined : JSON.stringify(flows);
    });
  });

  test('rules at both ends, on two nodes: each refuses what it does not let pass, and what both let pass arrives', async () => {
    const base = `http://${await addressOf('production/backend')}:3000`;
    await cluster.with(backendPolicy, [], async () => {
      const waited = await cluster.kubectl('wait', '-n', 'production', '--for=condition=Enforced', 'cnp/backend', '--timeout=20s');
      assert.equal(waited.code, 0, waited.stderr);
      assert.deepEqual(await codes('production/gateway', [`${base}/both/1`], ['-d', 'x', `${base}/both/2`], ['-X', 'PUT', '-d', 'x', `${base}/both/3`], [`${base}/egress/4`]), ['200', '200', '403', '403']);
      const log = await cluster.logWith('production/backend', `${await addressOf('production/gateway')} GET /both/1`);
      assert.ok(!log.includes('/both/3') && !log.includes('/egress/4'), log);
      await eventually('each refusal is told by the end that refused', 20_000, async () => {
        const dropped = (await l7('--to-pod', 'production/backend', '--verdict', 'DROPPED')).map(f => `${f.traffic_direction} ${f.l7?.http?.url?.split('/').at(-1)}`);
        return dropped.includes('EGRESS 3') && dropped.includes('INGRESS 4') && !dropped.includes('INGRESS 3') ? undefined : dropped.join();
      });
    });
  });

  test('30 MB each way, and another protocol after the decision', async () => {
    const address = await addressOf('production/backend');
    const up = await cluster.cirri('exec', 'production/gateway', '--', 'sh', '-c', `head -c 31457280 /dev/zero | curl -s --max-time 30 -H 'Expect:' --data-binary @- http://${address}:3000/up`);
    assert.match(up.stdout, /"bytes":31457280/);
    const down = await cluster.cirri('exec', 'production/gateway', '--', 'sh', '-c', `curl -s --max-time 30 http://${address}:3000/big | sha256sum`);
    assert.equal(down.stdout.split(' ')[0], createHash('sha256').update(Buffer.alloc(30 << 20, 'cirri')).digest('hex'));
    const program = `const s = require('net').connect(3000, '${address}'); let t = ''; s.write('GET /ws HTTP/1.1\\r\\nHost: a\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); s.on('data', d => { if (t === '') s.write('no HTTP\\n'); t += d; if (t.includes('no HTTP')) { console.log(t); process.exit(0); } }); setTimeout(() => process.exit(1), 5000);`;
    const echoed = await cluster.cirri('exec', 'production/gateway', '--', process.execPath, '-e', program);
    assert.match(echoed.stdout, /^HTTP\/1\.1 101 [^]*no HTTP/, echoed.stderr);
  });

  test('seed 04: payments may be read and made', async () => {
    const base = 'http://pay.payments:8080/api/v1';
    assert.deepEqual(await codes('checkout/checkout', [`${base}/payments/1`], ['-d', '{}', `${base}/payments`], [`${base}/payments`], ['-d', '{}', `${base}/payments?x=1`], ['-X', 'PUT', `${base}/payments/1`]), ['200', '200', '403', '403', '403']);
    await cluster.logWith('payments/pay', `${await addressOf('checkout/checkout')} "POST /api/v1/payments HTTP/1.1" 200`);
  });

  test('seed 11: only GET below /api/v1/', async () => {
    const base = 'http://api.default';
    assert.deepEqual(await codes('default/frontend', [`${base}/api/v1/x`], [`${base}/api/v1`], ['-X', 'POST', `${base}/api/v1/x`], [`${base}/`]), ['200', '403', '403', '403']);
  });

  test('the same over IPv6', async () => {
    const addresses = async (pod: string, namespace: string) => (await cluster.kubectl('get', 'pod', pod, '-n', namespace, '-o', 'jsonpath={.status.podIPs[*].ip}')).stdout.split(' ');
    const server = (await addresses('gateway', 'production')).find(a => a.includes(':'))!;
    const base = `http://[${server}]:8080/api/v1`;
    for (const client of ['near', 'frontend']) {
      assert.deepEqual(await codes(`production/${client}`, ['-g', `${base}/products/six`], ['-g', `${base}/orders`], ['-g', '-X', 'DELETE', `${base}/products/six`]), ['200', '403', '403'], client);
      const own = (await addresses(client, 'production')).find(a => a.includes(':'))!;
      await cluster.logWith('production/gateway', `${own} "GET /api/v1/products/six HTTP/1.1" 200`);
    }
  });

  test('observe tells of what passed and of what was refused, with status and latency', async () => {
    await codes('default/frontend', ['http://api.default/api/v1/told'], ['http://api.default/told']);
    await eventually('both requests and both answers', 20_000, async () => {
      const flows = (await l7('--to-pod', 'default/api')).concat(await l7('--from-pod', 'default/api')).filter(f => f.l7?.http?.url?.includes('told'));
      const of = (path: string, type: string) => flows.find(f => f.l7!.type === type && f.l7!.http!.url!.endsWith(path));
      const [passed, answered, refused, denied] = [of('/api/v1/told', 'REQUEST'), of('/api/v1/told', 'RESPONSE'), of('default/told', 'REQUEST'), of('default/told', 'RESPONSE')];
      const holds = passed?.verdict === 'FORWARDED' && answered?.l7!.http!.code === 200 && Number(answered.l7!.latency_ns) > 0 && refused?.verdict === 'DROPPED' && denied?.l7!.http!.code === 403;
      return holds ? undefined : JSON.stringify(flows);
    });
    const told = (await l7('--to-pod', 'default/api')).find(f => f.l7?.http?.url?.endsWith('/api/v1/told'));
    assert.match(told?.l7?.http?.headers?.find(h => h.key === 'user-agent')?.value ?? '', /^curl/);
    const { stdout } = await cluster.cirri('observe', '--type', 'l7', '--last', '100');
    assert.match(stdout, /http-request.*DROPPED.*GET http:\/\/api\.default\/told/);
    assert.match(stdout, /http-response.*FORWARDED.*403/);
  });

  test('a pod to itself through a service, the host to a pod, and the world through a node port', async () => {
    const echoOf = async (file: string, args: readonly string[]) => {
      const { stdout } = await run(file, [...args, '-s', '-w', '\n%{http_code}', '--max-time', '5'], { env: cluster.env }).catch((error: { stdout: string }) => error);
      const lines = stdout.trim().split('\n');
      return { code: lines.at(-1), body: lines[0]! };
    };
    const own = await cluster.cirri('exec', 'loop/self', '--', 'curl', '-s', '--max-time', '5', 'http://self.loop/open', 'http://self.loop/closed');
    assert.match(own.stdout, /"url":"\/open".*\n.*"url":"\/closed"/, 'nobody asks what a pod says to itself, as upstream');

    const address = await addressOf('loop/self');
    const host = (node: string, path: string) => echoOf('nsenter', [`--net=${cluster.paths.node(node).netns}`, 'curl', `http://${address}:8080${path}`]);
    assert.deepEqual([(await host('node1', '/open')).code, (await host('node1', '/closed')).code], ['200', '200'], 'nor what a node says to its own pods');
    assert.deepEqual([(await host('node2', '/open')).code, (await host('node2', '/closed')).code], ['200', '403'], 'another node is asked');

    const { client } = new OutsideNetwork(record, cluster.paths);
    for (const { underlay4 } of record.nodes) {
      const world = (path: string) => echoOf('nsenter', [`--net=${client.netns}`, 'curl', '-H', 'X-Seen: forged', `http://${underlay4}:30880${path}`]);
      const { code, body } = await world('/open');
      assert.equal(code, '200', underlay4);
      assert.equal((JSON.parse(body) as { headers: Record<string, string> }).headers['x-seen'], 'policy', 'the header is mended on its way');
      assert.equal((await world('/closed')).code, '403', underlay4);
    }
  });
});

interface L7Json {
  readonly traffic_direction?: string;
  readonly l7?: { readonly type: string; readonly latency_ns?: string; readonly http?: { readonly code?: number; readonly method?: string; readonly url?: string; readonly headers?: readonly { readonly key: string; readonly value: string }[] } };
}
