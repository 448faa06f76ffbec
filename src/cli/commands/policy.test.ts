/** The policy commands as a user calls them, on files: no cluster is needed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const main = join(import.meta.dirname, '../main.ts');
const demo = join(import.meta.dirname, '../../cluster/manifests/demo.yaml');
const folder = mkdtempSync(join(tmpdir(), 'cirri-policy-'));
after(() => rmSync(folder, { recursive: true }));

function cirri(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder, env: { ...process.env, CIRRI_STATE: join(folder, 'none'), NO_COLOR: '1' } });
  return { status, stdout, stderr, json: () => JSON.parse(stdout) as never };
}

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const openPolicy = file('open.yaml', `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: allow-frontend-to-api, namespace: demo }
spec:
  endpointSelector: { matchLabels: { tier: api } }
  ingress:
    - fromEndpoints:
        - matchLabels: { tier: fronted }
`);

test('evaluate: both ends, the rule that decides, file and line', () => {
  const allowed = cirri('policy', 'evaluate', '-f', demo, '--from', 'demo/frontend', '--to', 'service demo/api', '--port', '80', '--exit-code');
  assert.equal(allowed.status, 0, allowed.stderr);
  assert.match(allowed.stdout, /demo\/frontend → demo\/api 8080\/TCP: ALLOW/);
  assert.match(allowed.stdout, /demo\.yaml:83/);
  const denied = cirri('policy', 'evaluate', '-f', demo, '--from', 'world', '--to', 'demo/api', '--port', '8080', '--exit-code', '-o', 'json');
  assert.equal(denied.status, 1);
  assert.equal((denied.json() as { verdict: string }).verdict, 'deny');
});

test('explain: the nearest rule, its field, and a change that was tried', () => {
  const { stdout, status, stderr } = cirri('policy', 'explain', '-f', demo, '--from', 'demo/stranger', '--to', 'demo/api', '--port', '8080');
  assert.equal(status, 0, stderr);
  assert.match(stdout, /spec\.ingress\[0\]\.fromEndpoints\[0\]\.matchLabels\[tier\] \(.*demo\.yaml:85\): wants tier=frontend; demo\/stranger has no tier/);
  assert.match(stdout, /# added\n +- matchLabels:\n +app: stranger/);
  assert.match(stdout, /it changes nothing else/);
});

test('explain and evaluate without a question ask for one, not for a cluster', () => {
  assert.match(cirri('policy', 'explain').stderr, /explain what\?\n +→ --from NS\/POD --to NS\/POD --port 80, or the id of a flow/);
  assert.match(cirri('policy', 'evaluate', '--from', 'a/b').stderr, /from whom, and to whom\?/);
});

test('explain takes a flow as observe prints it, also after the pod has gone', () => {
  const labels = (app: string, more: readonly string[] = []) => ['k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=demo', 'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=default', 'k8s:io.kubernetes.pod.namespace=demo', `k8s:app=${app}`, ...more];
  const flow = { flow: { time: '2026-01-01T00:00:00.000000000Z', uuid: 'n-1', verdict: 'DROPPED', IP: { source: '10.244.1.2', destination: '10.244.2.2', ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40000, destination_port: 8080, flags: { SYN: true } } }, source: { identity: 300, namespace: 'demo', pod_name: 'stranger-1', labels: labels('stranger') }, destination: { identity: 301, namespace: 'demo', pod_name: 'api-1', labels: labels('api', ['k8s:tier=api']) }, Type: 'L3_L4', node_name: 'n', traffic_direction: 'INGRESS', is_reply: false }, node_name: 'n', time: '2026-01-01T00:00:00.000000000Z' };
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'policy', 'explain', '-', '-f', demo], { encoding: 'utf8', input: `${JSON.stringify(flow)}\n`, env: { ...process.env, NO_COLOR: '1' } });
  assert.match(stdout, /DROPPED on n[\s\S]*demo\/stranger → demo\/api 8080\/TCP: DENY/, stderr);
});

test('get: the list, a policy in words, what applies to a pod', () => {
  assert.match(cirri('policy', 'get', '-f', demo).stdout, /✓ CiliumNetworkPolicy\/demo\/allow-frontend-to-api \(.*demo\.yaml:\d+, 1 pods\)/);
  assert.match(cirri('policy', 'get', 'allow-frontend-to-api', '-n', 'demo', '-f', demo).stdout, /closes ingress by default\n +allows ingress from endpoints tier=frontend in demo on port 8080\/TCP/);
  assert.match(cirri('policy', 'get', 'demo/api', '-f', demo).stdout, /1\. always allowed:[\s\S]*2\. allowed:[\s\S]*3\. all else is denied:/);
  assert.equal(cirri('policy', 'get', 'demo/nobody', '-f', demo).status, 1);
});

test('matrix: a table, JSON, and pictures that stand alone', () => {
  assert.match(cirri('policy', 'matrix', '-f', demo).stdout, /demo\/frontend +8080\/TCP +all/);
  cirri('policy', 'matrix', '-f', demo, '--svg', 'm.svg', '--html', 'm.html');
  const [svg, html] = ['m.svg', 'm.html'].map(name => readFileSync(join(folder, name), 'utf8')) as [string, string];
  assert.match(svg, /^<svg [\s\S]*<title>demo\/frontend → demo\/api: 8080\/TCP<\/title>[\s\S]*<\/svg>\n$/);
  for (const text of [svg, html]) assert.ok(!/(?:src|href)=|url\(|@import|fetch\(/.test(text), 'asks for nothing from elsewhere');
  assert.match(html, /ingress: CiliumNetworkPolicy demo\/allow-frontend-to-api puts the endpoint into default deny/);
  const { connections } = cirri('policy', 'matrix', '-f', demo, '-o', 'json').json() as { connections: { from: string; to: string; ports: string[] }[] };
  assert.deepEqual(connections.filter(c => c.to === 'demo/api').map(c => [c.from, c.ports]), [['demo/frontend', ['8080/TCP']]]);
});

test('matrix of a large cluster: by namespace, as text and as a picture', () => {
  const many = file('many.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [
    ...['a', 'b', 'c'].flatMap(namespace => Array.from({ length: 25 }, (_, i) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: `p${i}`, namespace, labels: { app: `p${i}` } }, spec: { containers: [] } }))),
    { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'own', namespace: 'a' }, spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }, { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'c' } }, podSelector: { matchLabels: { app: 'p0' } } }] }] } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'c' } },
  ] }));
  const { stdout, stderr } = cirri('policy', 'matrix', '-f', many, '--svg', 'many.svg');
  assert.match(stdout, /^$/, stderr);
  const text = cirri('policy', 'matrix', '-f', many).stdout;
  assert.match(text, /\na +a +all\n[\s\S]*\nc +a +25 of 625 pairs on some port\n/);
  assert.doesNotMatch(text, /\nb +a /);
  assert.match(readFileSync(join(folder, 'many.svg'), 'utf8'), /<title>c → a: 25 of 625 pairs<\/title>/);
});

test('diff: nothing from itself, gained and lost from another, and the exit code', () => {
  const same = cirri('policy', 'diff', demo, demo, '--exit-code');
  assert.deepEqual([same.status, same.stdout], [0, 'no connection gained or lost\n']);
  const lost = cirri('policy', 'diff', '-f', demo, '-', openPolicy, '--exit-code');
  assert.deepEqual([lost.status, lost.stdout], [1, '- demo/frontend → demo/api: 8080/TCP\n']);
});

test('lint: place, consequence, mend, and exit codes', () => {
  assert.equal(cirri('policy', 'lint', '-f', demo, '--strict').status, 0);
  const { status, stdout } = cirri('policy', 'lint', '-f', demo, '-f', openPolicy);
  assert.equal(status, 1);
  assert.match(stdout, /open\.yaml:8: warning CiliumNetworkPolicy\/demo\/allow-frontend-to-api spec\.ingress\[0\]\.fromEndpoints\[0\] \[peer-matches-nothing\]\n.*\n +→ did you mean tier=frontend\?/);
  assert.match(stdout, /\[duplicate\]/);
});

test('test: exit code, TAP and JUnit; a policy that would be refused stops the run', () => {
  const good = file('good.policy-test.yaml', `cluster: ${demo}\ntests:\n  - { from: demo/frontend, to: demo/api, port: 8080, expect: allow, by: demo/allow-frontend-to-api }\n`);
  const bad = file('bad.policy-test.yaml', `cluster: ${demo}\ntests:\n  - { from: demo/stranger, to: demo/api, port: 8080, expect: allow }\n`);
  assert.equal(cirri('policy', 'test', good).status, 0);
  const failed = cirri('policy', 'test', '--tap', '--junit', 'r.xml', good, bad);
  assert.equal(failed.status, 1);
  assert.match(failed.stdout, /1\.\.2\nok 1 [\s\S]*not ok 2/);
  assert.match(readFileSync(join(folder, 'r.xml'), 'utf8'), /tests="2" failures="1"/);
  const invalid = file('invalid.policy-test.yaml', `cluster: ${demo}\npolicies:\n  - apiVersion: cilium.io/v2\n    kind: CiliumNetworkPolicy\n    metadata: { name: x }\n    spec:\n      endpointSelector: {}\n      ingres: [{}]\ntests:\n  - { from: world, to: demo/api, port: 1, expect: deny }\n`);
  const refused = cirri('policy', 'test', invalid);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /invalid\.policy-test\.yaml:\d+: CiliumNetworkPolicy\/default\/x is invalid: spec\.ingres: unknown field/);
});

test('what cannot be counted is said: invalid policies, no pods', () => {
  const odd = file('odd.yaml', 'apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: { name: a }\nspec: {}\n');
  assert.match(cirri('policy', 'matrix', '-f', demo, '-f', odd).stderr, /odd\.yaml:4: AdminNetworkPolicy\/\/a is invalid and not counted: spec\./);
  assert.match(cirri('policy', 'matrix', '-f', openPolicy).stderr, /there are no pods in what was read\n +→ add files with pods/);
});

test('conformance: counts, differences and exit code', () => {
  const cases = file('cases.json', JSON.stringify({ meta: { source: 'here' }, cases: [
    { id: 'good', kind: 'parse-label', input: { string: 'k8s:a=b' }, expect: { label: 'k8s:a=b' } }, { id: 'bad', kind: 'parse-label', input: { string: 'k8s:a=b' }, expect: { label: 'k8s:a=c' } }, { id: 'other', kind: 'gateway-http' },
  ] }));
  const { status, stdout } = cirri('conformance', cases);
  assert.equal(status, 1);
  assert.match(stdout, /cases\.json: 1 passed, 1 failed, 1 skipped \(1 assertions\)\n +bad\n +expected "k8s:a=c", got "k8s:a=b"\nin all: 1 passed, 1 failed, 1 skipped/);
  assert.match(cirri('conformance', '--only', 'g*', '--only', 'o?her', cases).stdout, /cases\.json: 1 passed, 0 failed, 1 skipped/);
  assert.match(cirri('conformance', '--limit', '1', cases).stdout, /cases\.json: 1 passed, 0 failed, 0 skipped/);
  assert.match(cirri('conformance', '--only', 'goo', cases).stderr, /no case matches goo/);
  assert.match(cirri('conformance', '--engine', '--both', cases).stderr, /--engine goes with neither/);
  assert.match(cirri('conformance', '--datapath', '--routing', 'bridge', cases).stderr, /--routing must be tunnel or native/);
  // Nothing in the file is about connections: no cluster is made.
  assert.match(cirri('conformance', '--datapath', cases).stdout, /cases\.json: 0 passed, 0 failed, 3 skipped/);
});
