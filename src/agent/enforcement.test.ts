import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import type { Identity } from '../features/identities/allocate.ts';
import type { KubeObject } from '../kube/types.ts';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from '../policy/compile.ts';
import type { Policy } from '../policy/policy.ts';
import { Table } from '../table/table.ts';
import { Enforcement } from './enforcement.ts';
import { EngineChanges } from './engine-changes.ts';
import { PolicyInputs } from './policy-inputs.ts';
import { tableInputs } from './testing.ts';
import { subjectKey } from './regenerate.ts';

/* Objects in → revisions of policies → passes of the agent → what is said of each object. The kernel's part is played by a list of failures. */

const endpoint = (id: number, app: string): Endpoint => ({
  id, containerId: `c${id}`, interfaceName: 'eth0', netns: '', namespace: 'shop', podName: `${app}-${id}`, podUid: '', hostInterface: '', ifindex: id,
  mac: '', hostMac: '', ipv4: `10.244.1.${id}`, labels: [`k8s:app=${app}`, 'k8s:io.kubernetes.pod.namespace=shop'], identity: 300 + id, namedPorts: [], createdAt: '',
});

function world() {
  const inputs = tableInputs();
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const engine = new PolicyEngine();
  const changes = new EngineChanges(engine);
  let compiled = 0;
  const policies = new PolicyInputs({
    inputs, engine: Object.assign(changes, { upsertPolicy: (given: Policy) => { compiled++; EngineChanges.prototype.upsertPolicy.call(changes, given); } }),
    identities: new Table<Identity>('identities', i => String(i.id)), prefixes: new PrefixIdentities(), isSynced: () => true, clusterName: 'default',
  });
  const failures = new Map<string, { message: string }>();
  const rowErrors: { key: string; state: string; error: string }[] = [];
  const loaded = new Set<string>();
  let synced = true;
  const enforcement = new Enforcement({ endpoints, failures: () => failures, rowErrors: () => rowErrors, hasSets: e => loaded.has(subjectKey(e)), host: () => ({ labels: LabelSet.of(['reserved:host', 'k8s:zone=a']), hasSets: true }), isSynced: () => synced });
  return {
    endpoints, failures, rowErrors, loaded, policies, enforcement, engine,
    compiles: () => compiled,
    setSynced: (value: boolean) => { synced = value; },
    apply: (object: KubeObject) => inputs.ciliumNetworkPolicies.table.upsert(object),
    pass() {
      policies.refresh();
      for (const e of endpoints.rows()) if (!failures.has(subjectKey(e))) loaded.add(subjectKey(e));
      enforcement.passed(policies.revision);
    },
    applyClusterwide: (object: KubeObject) => inputs.ciliumClusterwideNetworkPolicies.table.upsert(object),
    ofAddress: (address: string) => policies.report(v => enforcement.of(v, policies.versions())).find(row => row.address === address),
    of: (name: string) => policies.report(v => enforcement.of(v, policies.versions())).find(row => row.address === `CiliumNetworkPolicy/shop/${name}`),
  };
}

const cnp = (name: string, generation: number, app: string, more: object = {}): KubeObject => ({
  apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy',
  metadata: { name, namespace: 'shop', uid: `u-${name}`, generation, resourceVersion: String(100 + generation) },
  spec: { endpointSelector: { matchLabels: { app } }, ingress: [{}], ...more },
});

test('a version is enforced after the pass that loaded it, not before', () => {
  const w = world();
  w.endpoints.upsert(endpoint(1, 'web'));
  w.apply(cnp('p', 1, 'web'));
  w.policies.refresh();
  assert.deepEqual([w.of('p')?.enforced, w.of('p')?.error], [false, 'not loaded into the kernel yet']);
  w.pass();
  assert.deepEqual(w.of('p'), { address: 'CiliumNetworkPolicy/shop/p', uid: 'u-p', generation: 1, resourceVersion: '101', errors: [], conditions: w.policies.versions()[0]?.policy.conditions, enforced: true });
});

test('a pass that failed is said of what it was to load, until one succeeds', () => {
  const w = world();
  w.apply(cnp('old', 1, 'web'));
  w.pass();
  w.apply(cnp('new', 1, 'web'));
  w.policies.refresh();
  w.enforcement.failed('no memory');
  assert.deepEqual([w.of('old')?.enforced, w.of('new')?.enforced, w.of('new')?.pending, w.of('new')?.error], [true, false, undefined, 'a pass of the agent failed: no memory']);
  w.pass();
  assert.equal(w.of('new')?.enforced, true);
});

test('rules of two policies that cannot hold together: neither is in force as written, until one goes', () => {
  const w = world();
  const reading = (name: string, rules: object, generation = 1) => cnp(name, generation, 'web', { ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules }] }] });
  w.apply(reading('a', { http: [{}] }));
  w.apply(reading('b', { kafka: [{}] }));
  const compile = () => w.engine.compile({ labels: LabelSet.of(['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop']), namedPorts: new Map() }, 'ingress');
  w.pass();
  compile();
  for (const name of ['a', 'b']) {
    assert.equal(w.of(name)?.enforced, false);
    assert.match(w.of(name)?.error ?? '', /^cannot merge conflicting L7 parsers \(http\/kafka\): CiliumNetworkPolicy shop\/a .* and CiliumNetworkPolicy shop\/b /);
  }
  w.apply(reading('b', { http: [{ method: 'GET' }] }, 2));
  w.pass();
  compile();
  assert.deepEqual(['a', 'b'].map(name => w.of(name)?.enforced), [true, true]);
});

test('before the first lists nothing is said to be enforced', () => {
  const w = world();
  w.setSynced(false);
  w.apply(cnp('p', 1, 'web'));
  w.pass();
  assert.equal(w.of('p')?.enforced, false);
});

test('what does not fit concerns the policies that came since the sets in force, and only those that select the subject', () => {
  const w = world();
  w.endpoints.upsert(endpoint(1, 'web'), endpoint(2, 'db'));
  w.apply(cnp('old', 1, 'web'));
  w.pass();
  w.apply(cnp('new', 1, 'web'));
  w.apply(cnp('elsewhere', 1, 'db'));
  w.failures.set(subjectKey(endpoint(1, 'web')), { message: 'needs 9 more entries' });
  w.pass();
  assert.deepEqual([w.of('old')?.enforced, w.of('new')?.enforced, w.of('new')?.error, w.of('elsewhere')?.enforced], [true, false, 'needs 9 more entries', true]);
  w.pass();
  assert.equal(w.of('new')?.enforced, false, 'another pass alone changes nothing');
  w.failures.clear();
  w.pass();
  assert.equal(w.of('new')?.enforced, true);
});

test('a pod without any sets, or whose row the kernel refused, is said of every policy that selects it', () => {
  const w = world();
  w.apply(cnp('p', 1, 'web'));
  w.pass();
  w.endpoints.upsert(endpoint(1, 'web'));
  w.failures.set(subjectKey(endpoint(1, 'web')), { message: 'full' });
  w.pass();
  assert.deepEqual([w.of('p')?.enforced, w.of('p')?.error], [false, 'full']);
  w.failures.clear();
  w.rowErrors.push({ key: '10.244.1.1', state: 'error', error: 'full at 1' });
  w.pass();
  assert.match(w.of('p')?.error ?? '', /10\.244\.1\.1 could not be written: full at 1/);
});

test('what the node itself could not load is said of the policies for nodes, not of those for pods', () => {
  const w = world();
  w.failures.set('host', { message: 'full' });
  w.apply(cnp('pods', 1, 'web'));
  w.applyClusterwide({ ...cnp('nodes', 1, 'x'), metadata: { name: 'nodes', uid: 'n', generation: 1 }, spec: { nodeSelector: { matchLabels: { zone: 'a' } }, ingress: [{ fromEntities: ['cluster'] }] } });
  w.pass();
  assert.deepEqual([w.of('pods')?.enforced, w.ofAddress('CiliumClusterwideNetworkPolicy//nodes')?.error], [true, 'full']);
});

test('an invalid update leaves the version before it in force and says so', () => {
  const w = world();
  w.apply(cnp('p', 1, 'web'));
  w.pass();
  w.apply(cnp('p', 2, 'web', { ingress: [{ fromEndpoint: [] }] }));
  w.pass();
  const row = w.of('p');
  assert.deepEqual([row?.generation, row?.enforced], [2, false]);
  assert.match(row?.error ?? '', /spec\.ingress\[0\]\.fromEndpoint.*; the version before it stays in force/);
  assert.equal(w.policies.versions().length, 1);
});

test('a change of an object\'s status compiles nothing; one of its annotations does', () => {
  const w = world();
  w.apply(cnp('p', 1, 'web'));
  w.pass();
  const before = w.compiles();
  const object = cnp('p', 1, 'web');
  w.apply({ ...object, metadata: { ...object.metadata, resourceVersion: '900' }, status: { nodes: {} } });
  w.pass();
  assert.equal(w.compiles(), before);
  assert.deepEqual([w.of('p')?.resourceVersion, w.of('p')?.enforced], ['900', true]);
  w.apply({ ...object, metadata: { ...object.metadata, resourceVersion: '901', annotations: { 'policy.cirri.io/mode': 'audit' } } });
  w.pass();
  assert.equal(w.compiles(), before + 1);
});

test('a report says in which way a policy acts, where it is not simply in force', () => {
  const w = world();
  const object = cnp('p', 1, 'web');
  w.apply({ ...object, metadata: { ...object.metadata, annotations: { 'policy.cirri.io/mode': 'shadow', 'policy.cirri.io/established': 'keep' } } });
  w.pass();
  assert.deepEqual([w.of('p')?.mode, w.of('p')?.keepEstablished, w.of('p')?.tier], ['shadow', true, undefined]);
});
