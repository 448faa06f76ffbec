import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { TestingAuthority } from '../../src/proxy/tls/testing-certificates.ts';
import { eventually, namespaceYaml, podYaml, seesCheckout, TestCluster } from './cluster.ts';
import type { FlowJson } from './cluster.ts';

/**
 * Names of servers at a client's egress, and TLS that ends at the node of a server.
 *
 *   node1: tls/web (443 with TLS, 80 in the clear)
 *   node2: tls/client (egress to 443: serverNames)  tls/other (as it likes)
 */
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

interface ConnectJson {
  readonly verdict: string;
  readonly l7?: { readonly http?: { readonly method?: string; readonly url?: string; readonly code?: number } };
}

const policies = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: tls }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [ { matchLabels: { app: web } } ]
      toPorts: [ { ports: [ { port: "443", protocol: TCP } ], serverNames: [ "shop.test", "**.cdn.test" ] } ]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: opened, namespace: tls }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - fromEndpoints: [ { matchLabels: { app: client } } ]
      toPorts: [ { ports: [ { port: "443", protocol: TCP } ] } ]
    - fromEndpoints: [ { matchLabels: { app: other } } ]
      toPorts:
        - ports: [ { port: "80", protocol: TCP } ]
          terminatingTLS: { secret: { namespace: tls, name: shop } }
          rules: { http: [ { method: GET, path: "/public.*" } ] }
        - ports: [ { port: "443", protocol: TCP } ]
          terminatingTLS: { secret: { namespace: tls, name: shop } }
          originatingTLS: { secret: { namespace: tls, name: authority } }
          rules: { http: [ { method: GET, path: "/public.*" } ] }
`;

describe('TLS rules in a cluster of two nodes', () => {
  const cluster = new TestCluster('s');
  const authority = new TestingAuthority('ca', '/var/tmp'); // a pod's /tmp is its own
  const shop = authority.issue('shop.test', '*.cdn.test');
  let web = '';

  before(async () => {
    await cluster.start('--no-demo');
    const secret = (name: string, entries: Readonly<Record<string, string>>) => `---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: tls }
stringData: ${JSON.stringify(entries)}
`;
    const server = `---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: tls, labels: { app: web } }
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: server
      command: ["${process.execPath}", "${file('l7/tls-server-main.ts')}", "${shop.certificateFile}", "${shop.keyFile}", "443", "80"]
      ports: [ { containerPort: 443 }, { containerPort: 80 } ]
      readinessProbe: { tcpSocket: { port: 443 }, periodSeconds: 1 }
`;
    await cluster.apply(seesCheckout([
      namespaceYaml('tls'), secret('shop', { 'tls.crt': shop.certificate, 'tls.key': shop.key }), secret('authority', { 'ca.crt': authority.certificate }),
      server, podYaml('tls', 'client', 'node2', { app: 'client' }), podYaml('tls', 'other', 'node2', { app: 'other' }),
    ].join('')));
    await cluster.podsReady('tls');
    web = (await cluster.kubectl('get', 'pod', 'web', '-n', 'tls', '-o', 'jsonpath={.status.podIP}')).stdout;
    await cluster.apply(policies);
    for (const name of ['names', 'opened']) {
      const waited = await cluster.kubectl('wait', '-n', 'tls', '--for=condition=Enforced', `cnp/${name}`, '--timeout=20s');
      assert.equal(waited.code, 0, waited.stderr + (await cluster.kubectl('get', 'cnp', name, '-n', 'tls', '-o', 'yaml')).stdout);
    }
  });
  after(async () => {
    try {
      await cluster.stop();
    } finally {
      authority[Symbol.dispose]();
    }
  });

  /** What curl printed, or its error. */
  async function curl(pod: string, name: string, port: number, path: string, ...more: string[]): Promise<string> {
    const { stdout, stderr } = await cluster.cirri('exec', `tls/${pod}`, '--', 'curl', '-sS', '--max-time', '8', '--cacert', authority.certificateFile, '--resolve', `${name}:${port}:${web}`, ...more, `https://${name}:${port}${path}`);
    return stdout || stderr;
  }

  test('serverNames: the names that are listed, end to end with the server\'s own certificate', async () => {
    assert.equal(await curl('client', 'shop.test', 443, '/any'), '2.0 /any\n');
    assert.equal(await curl('client', 'a.cdn.test', 443, '/any', '--http1.1'), '1.1 /any\n');
    assert.match(await curl('client', 'evil.test', 443, '/any', '-k'), /access denied/i);
    const plain = await cluster.cirri('exec', 'tls/client', '--', 'curl', '-sS', '--max-time', '8', `http://${web}:443/`);
    assert.notEqual(plain.code, 0, plain.stdout);
  });

  test('terminatingTLS: requests within TLS are judged, the server sees them in the clear, from the pod\'s address', async () => {
    assert.equal(await curl('other', 'shop.test', 80, '/public/in-the-clear'), '1.1 /public/in-the-clear\n');
    assert.match(await curl('other', 'shop.test', 80, '/private'), /Access denied/);
    const other = (await cluster.kubectl('get', 'pod', 'other', '-n', 'tls', '-o', 'jsonpath={.status.podIP}')).stdout;
    const log = await cluster.logWith('tls/web', `${other} /public/in-the-clear`);
    assert.ok(!log.includes('/private'), log);
  });

  test('terminatingTLS and originatingTLS: HTTP/2 from end to end, judged', async () => {
    assert.equal(await curl('other', 'shop.test', 443, '/public'), '2.0 /public\n');
    assert.match(await curl('other', 'shop.test', 443, '/private'), /Access denied/);
    assert.match(await curl('other', 'a.cdn.test', 443, '/public', '--http1.1'), /1\.1 \/public/);
    assert.doesNotMatch(await curl('other', 'evil.test', 443, '/public', '-k'), /public/, 'the server has no certificate for this name');
  });

  test('observe tells of the names, and of the requests within', async () => {
    await eventually('all are told', 20_000, async () => {
      const flows = await cluster.observe('--type', 'l7', '--last', '500') as (FlowJson & ConnectJson)[];
      const has = (verdict: string, method: string, url: RegExp) => flows.some(flow => flow.verdict === verdict && flow.l7?.http?.method === method && url.test(flow.l7.http.url ?? ''));
      const holds = has('FORWARDED', 'CONNECT', /^\/\/shop\.test$/) && has('DROPPED', 'CONNECT', /^\/\/evil\.test$/) && has('FORWARDED', 'GET', /in-the-clear/) && has('DROPPED', 'GET', /private/);
      return holds ? undefined : JSON.stringify(flows.map(flow => [flow.verdict, flow.l7?.http?.method, flow.l7?.http?.url]).slice(-40));
    });
  });

  test('the proxy is replaced while clients ask on one connection each: no request fails, within TLS of either HTTP', async () => {
    const asking = [['80', '--http1.1'], ['443', '--http2']].map(async ([port, version]) => {
      const { stdout } = await cluster.cirri('exec', 'tls/other', '--', 'curl', '-sS', version!, '--max-time', '100', '--rate', '3000/m', '--cacert', authority.certificateFile, '--resolve', `shop.test:${port}:${web}`, '-o', '/dev/null', '-w', '%{http_code}\\n', `https://shop.test:${port}/public/[1-400]`);
      return stdout.trim().split('\n');
    });
    const pids = async () => (JSON.parse((await cluster.cirri('proxy', 'status', '-o', 'json')).stdout) as { pid: number; connections: number }[]);
    await eventually('both ask', 20_000, async () => ((await pids()).reduce((sum, { connections }) => sum + connections, 0) >= 2 ? undefined : 'not yet'));
    const before = await pids();
    const restarted = await cluster.cirri('proxy', 'restart');
    assert.equal(restarted.code, 0, restarted.stderr);
    for (const codes of await Promise.all(asking)) assert.deepEqual(codes, Array.from({ length: 400 }, () => '200'));
    const after = await pids();
    assert.ok(after.every(({ pid }) => !before.some(old => old.pid === pid)));
  });

  test('a Secret that goes: nothing passes any more', async () => {
    assert.equal((await cluster.kubectl('delete', 'secret', 'shop', '-n', 'tls')).code, 0);
    await eventually('new connections are refused', 20_000, async () => {
      const said = await curl('other', 'shop.test', 80, '/public');
      return said.includes('/public\n') ? said : undefined;
    });
  });
});
