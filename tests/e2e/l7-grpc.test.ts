import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, type FlowJson, namespaceYaml, podYaml, seesCheckout, TestCluster } from './cluster.ts';

/**
 * gRPC methods in policies, with grpc-js at both ends.
 *
 *   node1: shop/cart (server)  shop/near        node2: shop/far (with egress rules of its own)
 */
const main = fileURLToPath(new URL('l7/grpc-main.ts', import.meta.url));
const cirri = fileURLToPath(new URL('../../cirri', import.meta.url));

const server = `---
apiVersion: v1
kind: Pod
metadata: { name: cart, namespace: shop, labels: { app: cart } }
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: node
      command: ${JSON.stringify([process.execPath, main, 'server', '50051'])}
      ports: [ { containerPort: 50051 } ]
      readinessProbe: { tcpSocket: { port: 50051 }, periodSeconds: 1 }
`;
const objects = [namespaceYaml('shop'), server, podYaml('shop', 'near', 'node1', { app: 'near' }), podYaml('shop', 'far', 'node2', { app: 'far' })].join('');

const ingress = (path: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cart, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: cart } }
  ingress:
    - fromEndpoints: [ {} ]
      toPorts: [ { ports: [ { port: "50051", protocol: TCP } ], rules: { http: [ { method: POST, path: "${path}" } ] } } ]
`;
const egress = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: far, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: far } }
  egress:
    - toEndpoints: [ { matchLabels: { app: cart } } ]
      toPorts: [ { ports: [ { port: "50051", protocol: TCP } ], rules: { http: [ { method: POST, path: "/shop[.](Cart|Admin)/(Unary|Bidi)" } ] } } ]
`;

interface L7Json {
  readonly traffic_direction?: string;
  readonly l7?: { readonly type?: string; readonly http?: { readonly method?: string; readonly url?: string; readonly protocol?: string; readonly code?: number } };
}

const denied = '7 Access denied';

describe('gRPC in a cluster of two nodes', () => {
  const cluster = new TestCluster('q');
  let address = '';

  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply(seesCheckout(objects));
    await cluster.podsReady('shop');
    address = `${(await cluster.kubectl('get', 'pod', 'cart', '-n', 'shop', '-o', 'jsonpath={.status.podIP}')).stdout}:50051`;
    await cluster.apply(ingress('/shop[.]Cart/.*'));
    await cluster.apply(egress);
    for (const name of ['cart', 'far']) {
      const waited = await cluster.kubectl('wait', '-n', 'shop', '--for=condition=Enforced', `cnp/${name}`, '--timeout=20s');
      assert.equal(waited.code, 0, waited.stderr);
    }
  });
  after(() => cluster.stop());

  async function calls(pod: string): Promise<Record<string, string>> {
    const { stdout, stderr } = await cluster.cirri('exec', pod, '--', process.execPath, main, 'client', address);
    assert.notEqual(stdout, '', stderr + cluster.logs());
    return JSON.parse(stdout) as Record<string, string>;
  }

  const holdStream = () => spawn(cirri, ['exec', 'shop/near', '--', process.execPath, main, 'hold', address], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });

  test('methods that the server\'s policy names work, the others get PERMISSION_DENIED, on one channel', async () => {
    assert.deepEqual(await calls('shop/near'), {
      'shop.Cart/Unary': '0 30000', 'shop.Cart/ServerStream': '0 200000', 'shop.Cart/ClientStream': '0 5', 'shop.Cart/Bidi': '0 90000',
      'shop.Admin/Unary': denied, 'shop.Admin/ServerStream': denied, 'shop.Admin/ClientStream': denied, 'shop.Admin/Bidi': denied,
    });
  });

  test('from another node, both ends\' rules must let a call pass', async () => {
    assert.deepEqual(await calls('shop/far'), {
      'shop.Cart/Unary': '0 30000', 'shop.Cart/ServerStream': denied, 'shop.Cart/ClientStream': denied, 'shop.Cart/Bidi': '0 90000',
      'shop.Admin/Unary': denied, 'shop.Admin/ServerStream': denied, 'shop.Admin/ClientStream': denied, 'shop.Admin/Bidi': denied,
    });
  });

  test('the server sees the pods\' addresses, and no call that was denied', async () => {
    for (const pod of ['near', 'far']) {
      const ip = (await cluster.kubectl('get', 'pod', pod, '-n', 'shop', '-o', 'jsonpath={.status.podIP}')).stdout;
      assert.doesNotMatch(await cluster.logWith('shop/cart', `/shop.Cart/Unary ${ip}:`), /shop\.Admin/);
    }
  });

  test('observe tells of both kinds', async () => {
    await eventually('calls that passed and calls that were denied, at the end that decided', 20_000, async () => {
      const flows = (await cluster.observe('--type', 'l7', '--last', '200')) as (FlowJson & L7Json)[];
      const told = flows.map(({ verdict, traffic_direction, l7 }) => `${verdict} ${traffic_direction} ${l7?.type} ${l7?.http?.method} ${l7?.http?.url?.replace(/^http:\/\/[^/]*/, '')} ${l7?.http?.protocol} ${l7?.http?.code ?? ''}`.trim());
      const wanted = [
        'FORWARDED INGRESS REQUEST POST /shop.Cart/Unary HTTP/2', 'FORWARDED INGRESS RESPONSE POST /shop.Cart/Unary HTTP/2 200',
        'DROPPED INGRESS REQUEST POST /shop.Admin/Unary HTTP/2', 'FORWARDED INGRESS RESPONSE POST /shop.Admin/Unary HTTP/2 403',
        'FORWARDED EGRESS REQUEST POST /shop.Cart/Bidi HTTP/2', 'DROPPED EGRESS REQUEST POST /shop.Cart/ServerStream HTTP/2',
      ];
      const missing = wanted.filter(line => !told.includes(line));
      return missing.length === 0 ? undefined : `missing:\n${missing.join('\n')}\ntold:\n${[...new Set(told)].join('\n')}`;
    });
    const { stdout } = await cluster.cirri('observe', '--type', 'l7', '--last', '200');
    assert.match(stdout, /http-request.*DROPPED.*HTTP\/2 POST http:\/\/.*\/shop\.Admin\/Unary/);
  });

  test('proxies are replaced under load: no call fails, and a stream that runs goes on', async () => {
    const child = holdStream();
    try {
      const lines = createInterface({ input: child.stdout });
      assert.equal(String(await once(lines, 'line', { signal: AbortSignal.timeout(10_000) })), 'begun');
      let ended = false;
      lines.on('line', () => { ended = true; });
      const loads = ['shop/near', 'shop/far'].map(pod => cluster.cirri('exec', pod, '--', process.execPath, main, 'many', address, '6'));
      for (let i = 0; i < 2; i++) {
        const restarted = await cluster.cirri('proxy', 'restart');
        assert.equal(restarted.code, 0, restarted.stderr);
      }
      for (const { stdout, stderr } of await Promise.all(loads)) {
        const counts = JSON.parse(stdout || '{}') as Record<string, number>;
        assert.deepEqual(Object.keys(counts), ['0 30000'], stdout + stderr);
        assert.ok(counts['0 30000']! > 20, stdout);
      }
      assert.equal(ended, false);
    } finally {
      child.kill();
    }
  });

  test('a stream that runs ends when policy does not let it pass any more', async () => {
    const child = holdStream();
    try {
      const lines = createInterface({ input: child.stdout });
      assert.equal(String(await once(lines, 'line', { signal: AbortSignal.timeout(10_000) })), 'begun');
      const ended = once(lines, 'line', { signal: AbortSignal.timeout(20_000) });
      await cluster.apply(ingress('/shop[.]Cart/Unary'));
      assert.match(String(await ended), /^ended 1 /);
    } finally {
      child.kill();
    }
    assert.equal((await calls('shop/near'))['shop.Cart/Unary'], '0 30000');
  });
});
