/**
 * @cluster The conformance rig: our own cases and a handful of others by real probes, what a failure looks like, and that nothing
 * of the rig stays, also when it is interrupted.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { removeDeadRigs } from '../../src/cli/rig/rig.ts';
import { machineState } from '../e2e/machine.ts';

const root = join(import.meta.dirname, '../..');
const own = join(import.meta.dirname, 'own/connectivity.json');
const scratch = mkdtempSync(join(tmpdir(), 'cirri-rig-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const cluster = {
  namespaces: [{ name: 'red', labels: { team: 'red' } }, { name: 'blue', labels: { team: 'blue' } }],
  nodes: [{ name: 'left', ips: ['192.168.9.1'] }, { name: 'right', ips: ['192.168.9.2'] }],
  pods: [
    { namespace: 'red', name: 'a', labels: { app: 'a' }, ip: '192.168.1.1', node: 'left', ports: [{ name: 'web', port: 80, protocol: 'TCP' }] },
    { namespace: 'red', name: 'b', labels: { app: 'b' }, ip: '192.168.1.2', node: 'right', ports: [{ name: 'web', port: 81, protocol: 'TCP' }] },
    { namespace: 'blue', name: 'c', labels: { app: 'c' }, ip: '192.168.2.1', node: 'right', ports: [] },
    { namespace: 'blue', name: 'h', ip: '192.168.9.1', node: 'left', host_network: true },
  ],
  dns: { 'allowed.example.': ['203.0.113.5'] },
};

const probe = (from: string, to: string, port: number, protocol: string, expect: string) => ({ from: end(from), to: end(to), ...(protocol === 'ICMP' ? {} : { port }), protocol, expect });
const end = (text: string) => (text.endsWith('.') ? { fqdn: text } : text.includes('/') ? { pod: text } : /^[a-z]+$/.test(text) ? { node: text } : { ip: text });
const all = (from: string, to: string, expect: string) => [probe(from, to, 80, 'TCP', expect), probe(from, to, 53, 'UDP', expect), probe(from, to, 3868, 'SCTP', expect), probe(from, to, 0, 'ICMP', expect)];
const networkPolicy = (spec: object, name = 'p') => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace: 'red' }, spec });
const testCase = (id: string, policies: readonly object[], probes: readonly object[], change: object = {}) => ({ id, kind: 'connectivity', title: id, cluster: { ...cluster, ...change }, policies, probes });

const others = [
  testCase('open', [], [...all('red/a', 'blue/c', 'allow'), ...all('red/b', '198.51.100.7', 'allow').slice(0, 2), ...all('198.51.100.7', 'red/a', 'allow'), ...all('2001:db8::7', 'red/b', 'allow'), ...all('left', 'red/b', 'allow'), ...all('blue/h', 'red/a', 'allow')]),
  testCase('closed', [networkPolicy({ podSelector: {}, policyTypes: ['Ingress'] })], [...all('blue/c', 'red/a', 'deny'), ...all('blue/c', 'red/b', 'deny'), ...all('198.51.100.7', 'red/a', 'deny'), ...all('2001:db8::7', 'red/b', 'deny'), ...all('red/a', 'blue/c', 'allow')]),
  // The same pods with other labels: changed in place.
  testCase('relabelled', [networkPolicy({ podSelector: { matchLabels: { app: 'a' } }, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'green' } } }], ports: [{ port: 'web' }] }] })],
    [probe('blue/c', 'red/a', 80, 'TCP', 'allow'), probe('blue/c', 'red/a', 81, 'TCP', 'deny'), probe('red/b', 'red/a', 80, 'TCP', 'deny')],
    { namespaces: [{ name: 'red', labels: { team: 'red' } }, { name: 'blue', labels: { team: 'green' } }] }),
  testCase('groups of prefixes', [
    { apiVersion: 'cilium.io/v2', kind: 'CiliumCIDRGroup', metadata: { name: 'partners' }, spec: { externalCIDRs: ['198.51.100.0/24'] } },
    { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'groups', namespace: 'red' }, spec: { endpointSelector: {}, ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'partners' }] }] } },
  ], [probe('198.51.100.7', 'red/a', 80, 'TCP', 'allow'), probe('203.0.113.7', 'red/a', 80, 'TCP', 'deny'), probe('198.51.100.7', 'red/b', 80, 'TCP', 'allow'), probe('203.0.113.7', 'red/b', 80, 'TCP', 'deny')]),
  testCase('networks of pods', [{
    apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name: 'net' },
    spec: { tier: 'Admin', priority: 1, subject: { namespaces: { matchLabels: { team: 'red' } } }, egress: [{ action: 'Deny', to: [{ networks: ['192.168.2.0/24'] }] }] },
  }], [...all('red/a', 'blue/c', 'deny'), ...all('red/a', 'red/b', 'allow')]),
  testCase('names', [{
    apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'names', namespace: 'red' },
    spec: { endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: 'allowed.example' }], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }] },
  }], [probe('red/a', 'allowed.example.', 443, 'TCP', 'allow'), probe('red/a', 'allowed.example.', 80, 'TCP', 'deny')]),
  { id: 'a part', kind: 'label-selector', input: {}, expect: {} },
];

/** What it should say of expectations that are wrong, of which no rig may make a pass. */
const wrong = [
  testCase('should be denied', [], [probe('red/a', 'blue/c', 80, 'TCP', 'deny')]),
  testCase('should be allowed', [networkPolicy({ podSelector: {}, policyTypes: ['Egress'] })], [probe('red/a', 'blue/c', 80, 'TCP', 'allow')]),
  testCase('should be admitted', [networkPolicy({ podSelector: { matchLabels: { app: '!' } } })], [probe('red/a', 'blue/c', 80, 'TCP', 'allow')]),
  testCase('should have such a pod', [], [probe('red/nobody', 'blue/c', 80, 'TCP', 'allow')]),
  testCase('should have pods that the API takes', [], [probe('red/a', 'blue/c', 80, 'TCP', 'allow')], { pods: [...cluster.pods, { namespace: 'red', name: 'Capital', ip: '192.168.1.3' }] }),
  testCase('of a kind nobody serves', [{ apiVersion: 'example.org/v1', kind: 'Thing', metadata: { name: 't' } }], [probe('red/a', 'blue/c', 80, 'TCP', 'allow')]),
];

interface Report {
  readonly files: readonly { readonly file: string; readonly by: string; readonly passed: number; readonly failed: number; readonly skipped: number; readonly assertions: number; readonly skipReasons: Record<string, number>; readonly notPassed: readonly { readonly id: string; readonly failures: readonly string[] }[] }[];
}

function caseFile(name: string, cases: readonly object[]): string {
  const file = join(scratch, name);
  writeFileSync(file, JSON.stringify({ meta: { source: 'test' }, cases }));
  return file;
}

interface Run {
  readonly code: unknown;
  readonly stderr: string;
  of(file: string, by: string): Report['files'][number];
}

function conformance(...args: readonly string[]): Promise<Run> {
  return new Promise(resolve => execFile(join(root, 'cirri'), ['conformance', '-o', 'json', ...args], { timeout: 600_000, maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
    resolve({ code: error?.code ?? 0, stderr, of: (file, by) => (JSON.parse(stdout) as Report).files.find(f => f.file === file && f.by === by)! });
  }));
}

test('our own cases hold between real pods, with native routing, and engine and datapath agree', async () => {
  const { code, stderr, of } = await conformance('--both', '--routing', 'native', own);
  assert.equal(code, 0, stderr);
  for (const by of ['engine', 'datapath']) assert.deepEqual(of(own, by).notPassed, [], by);
  assert.equal(of(own, 'datapath').passed, 10);
  assertGone(stderr);
});

test('every kind of end and protocol, changes in place, admin networks; wrong expectations fail with what was seen', async () => {
  const [good, bad] = [caseFile('good.json', others), caseFile('bad.json', wrong)];
  const { code, stderr, of } = await conformance('--both', good, bad);
  assert.equal(code, 1, stderr);
  assert.deepEqual(of(good, 'datapath').notPassed, []);
  assert.equal(of(good, 'datapath').passed, 6);
  assert.equal(of(good, 'datapath').assertions, 22 + 20 + 3 + 4 + 8 + 1);
  assert.match(Object.keys(of(good, 'datapath').skipReasons).join(), /^not enforced yet, fails closed: .*names/);

  const failures = new Map(of(bad, 'datapath').notPassed.map(({ id, failures: texts }) => [id, texts.join('\n')]));
  assert.deepEqual([...failures.keys()], ['should be denied', 'should be allowed', 'should be admitted', 'should have such a pod', 'should have pods that the API takes']);
  assert.match(failures.get('should be denied')!, /red\/a → blue\/c 80\/TCP: expected deny, got an answer/);
  assert.match(failures.get('should be allowed')!, /expected allow, got dropped on node1: Policy denied \(red\/p \(default deny\), egress\)/);
  assert.match(failures.get('should be admitted')!, /is invalid: spec\.podSelector/);
  assert.match(failures.get('should have such a pod')!, /cannot be run: no pod red\/nobody/);
  assert.match(failures.get('should have pods that the API takes')!, /"Capital" is invalid/);
  assert.deepEqual(of(bad, 'datapath').skipReasons, { 'the API does not know Thing (example.org/v1)': 1 });
  assertGone(stderr);
});

test('an interrupted run says so and leaves nothing', async () => {
  const { code, stderr } = await interrupted('SIGINT');
  assert.equal(code, 1, stderr);
  assert.match(stderr, /ended by SIGINT/);
  assertGone(stderr);
});

test('what a killed run leaves, the next one removes', async () => {
  const { stderr } = await interrupted('SIGKILL');
  assert.deepEqual(await removeDeadRigs(), [instanceOf(stderr)]);
  assertGone(stderr);
});

/** A run that gets the signal when its cluster stands and the first case is under way. */
async function interrupted(signal: NodeJS.Signals): Promise<{ code: unknown; stderr: string }> {
  const child = spawn(join(root, 'cirri'), ['conformance', '--datapath', own], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    const before = stderr;
    stderr += chunk.toString('utf8');
    if (!before.includes('case 1 of') && stderr.includes('case 1 of')) child.kill(signal);
  });
  const code = await new Promise(resolve => child.on('close', resolve));
  assert.match(stderr, /case 1 of 10/);
  return { code, stderr };
}

function instanceOf(stderr: string): string {
  const instance = /\(instance (\w+)\)/.exec(stderr)?.[1];
  assert.ok(instance, stderr);
  return instance;
}

function assertGone(stderr: string): void {
  const { tables, ...left } = machineState(instanceOf(stderr));
  assert.deepEqual({ tables, ...left, pins: [] }, { tables: '', namespaces: [], links: [], mounts: [], cgroups: [], processes: [], pins: [], sysctls: [], state: [] });
}
