/** Ordered policies, audit and requests, as a user asks about them on files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const main = join(import.meta.dirname, '../main.ts');
const demo = join(import.meta.dirname, '../../cluster/manifests/demo.yaml');
const folder = mkdtempSync(join(tmpdir(), 'cirri-tiers-'));
after(() => rmSync(folder, { recursive: true }));

function cirri(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'policy', ...args], { encoding: 'utf8', cwd: folder, env: { ...process.env, CIRRI_STATE: join(folder, 'none'), NO_COLOR: '1' } });
  return { status, stdout, stderr, json: () => JSON.parse(stdout) as never };
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const guard = file('guard.yaml', `apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: { name: guard }
spec:
  priority: 10
  subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { tier: api } } } }
  ingress:
    - name: nobody
      action: Deny
      from: [{ namespaces: {} }]
`);

const requests = file('requests.yaml', `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: allow-frontend-to-api, namespace: demo }
spec:
  endpointSelector: { matchLabels: { tier: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { tier: frontend } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/items/.*", headers: ["X-Token: yes"] }] }
`);

const ask = ['--from', 'demo/frontend', '--to', 'demo/api', '--port', '8080'];

test('an admin policy is asked before the others; the change stands in it, in its own words', () => {
  const { stdout, status, stderr } = cirri('explain', '-f', demo, '-f', guard, ...ask);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /ingress of demo\/api: DENY — AdminNetworkPolicy guard \(priority 10, spec\.ingress\[0\] "nobody"\) denies .*, before any NetworkPolicy is asked\n +at .*guard\.yaml:8/);
  assert.match(stdout, /a rule that passes it on, before the one of AdminNetworkPolicy guard that denies it/);
  assert.match(stdout, /# added\n +- action: Pass\n/);
});

test('audit passes, is marked, and does not fail --exit-code', () => {
  const audited = file('audit.yaml', 'apiVersion: v1\nkind: Namespace\nmetadata: { name: demo, annotations: { policy.cirri.io/audit: "true" } }\n');
  const { stdout, status } = cirri('evaluate', '-f', demo, '-f', guard, '-f', audited, ...ask, '--exit-code');
  assert.equal(status, 0);
  assert.match(stdout, /demo\/frontend → demo\/api 8080\/TCP: AUDIT\n/);
  assert.match(stdout, /the denial is not enforced: namespace demo is in audit/);
  assert.equal((cirri('evaluate', '-f', demo, '-f', guard, '-f', audited, ...ask, '-o', 'json').json() as { verdict: string }).verdict, 'audit');
});

test('a request is asked of HTTP rules: the rule that lets it pass, or the field that kept it', () => {
  const http = (...more: readonly string[]) => cirri('evaluate', '-f', demo, '-f', requests, ...ask, '--exit-code', ...more);
  const token = ['-H', 'x-token: yes'];
  const passes = http('--http', 'GET /items/7', ...token);
  assert.deepEqual([passes.status, /: ALLOW\n/.test(passes.stdout), /the request passes/.test(passes.stdout)], [0, true, true], passes.stdout + passes.stderr);
  const refusals: readonly (readonly [readonly string[], RegExp])[] = [
    [['--http', 'GET /items/7'], /refused: header x-token: yes is wanted, and it is missing/], [['--http', 'PUT /items/7', ...token], /refused: method: PUT, not GET/],
    [['--http', 'GET /other', ...token], /refused: path: \/other, not /], [['--kafka', 'fetch topic=a'], /refused: HTTP is read there, and this is Kafka/],
  ];
  for (const [request, why] of refusals) {
    const refused = http(...request);
    assert.deepEqual([refused.status, why.test(refused.stdout)], [1, true], refused.stdout + refused.stderr);
  }
  const connection = http();
  assert.deepEqual([connection.status, /passes request by request: --http asks about one/.test(connection.stdout)], [0, true], connection.stdout);
  assert.match(http('--http', 'items').stderr, /"items" is no request/);
  assert.match(http('--http', 'GET /', '--dns', 'a.example').stderr, /--http and --dns are different requests/);
});

test('a kind of policy that nobody knows is said not to be counted', () => {
  const unknown = file('unknown.yaml', 'apiVersion: policy.networking.k8s.io/v2\nkind: GalaxyNetworkPolicy\nmetadata: { name: far }\n');
  assert.match(cirri('evaluate', '-f', demo, '-f', unknown, ...ask).stderr, /unknown\.yaml:2: GalaxyNetworkPolicy far is of a kind that is not known yet and not counted/);
});
