import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { at } from './object.ts';
import type { JsonObject } from './object.ts';
import { TestServer } from './testing.ts';

/* AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy at the API: admitted and refused as upstream does. */

let api: TestServer;
before(async () => { api = await TestServer.start(); });
after(() => api[Symbol.asyncDispose]());

const group = '/apis/policy.networking.k8s.io';
const paths: Readonly<Record<string, string>> = {
  AdminNetworkPolicy: `${group}/v1alpha1/adminnetworkpolicies`, BaselineAdminNetworkPolicy: `${group}/v1alpha1/baselineadminnetworkpolicies`, ClusterNetworkPolicy: `${group}/v1alpha2/clusternetworkpolicies`,
};
const versions: Readonly<Record<string, string>> = { AdminNetworkPolicy: 'v1alpha1', BaselineAdminNetworkPolicy: 'v1alpha1', ClusterNetworkPolicy: 'v1alpha2' };
const object = (kind: string, spec: JsonObject, name = kind === 'BaselineAdminNetworkPolicy' ? 'default' : 'p'): JsonObject =>
  ({ apiVersion: `policy.networking.k8s.io/${versions[kind]}`, kind, metadata: { name }, spec });
const create = (body: JsonObject) => api.call('POST', `${paths[String(body['kind'])]}?dryRun=All`, body);

const everyone = { namespaces: {} };
const rule = (more: JsonObject = {}): JsonObject => ({ action: 'Deny', from: [everyone], ...more });
const egress = (to: JsonObject, more: JsonObject = {}): JsonObject => ({ priority: 1, subject: everyone, egress: [{ action: 'Deny', to: [to], ...more }] });
const anp = (more: JsonObject): JsonObject => ({ priority: 1, subject: everyone, ...more });
const cnp = (more: JsonObject): JsonObject => ({ tier: 'Admin', priority: 1, subject: everyone, ...more });

test('what upstream takes is taken', async () => {
  const accepted: readonly [string, JsonObject][] = [
    ['AdminNetworkPolicy', anp({ ingress: [rule({ name: 'r', ports: [{ portNumber: { protocol: 'TCP', port: 80 } }, { portRange: { start: 1, end: 9 } }, { namedPort: 'web' }] })] })],
    ['AdminNetworkPolicy', egress({ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'web' } } } }, { action: 'Pass' })],
    ['AdminNetworkPolicy', egress({ nodes: { matchExpressions: [{ key: 'zone', operator: 'Exists' }] } })],
    ['AdminNetworkPolicy', egress({ networks: ['10.0.0.0/8', 'fd00::/8'] })],
    ['AdminNetworkPolicy', egress({ domainNames: ['*.example.com', 'example.org'] }, { action: 'Allow' })],
    ['BaselineAdminNetworkPolicy', { subject: { pods: { namespaceSelector: {}, podSelector: {} } }, ingress: [rule()] }],
    ['ClusterNetworkPolicy', cnp({ tier: 'Baseline', ingress: [rule({ action: 'Accept', protocols: [{ tcp: { destinationPort: { number: 80 } } }, { udp: { destinationPort: { range: { start: 1, end: 9 } } } }, { destinationNamedPort: 'web' }] })] })],
    ['ClusterNetworkPolicy', cnp({ subject: { pods: { podSelector: {} } } })],
  ];
  for (const [kind, spec] of accepted) {
    const answer = await create(object(kind, spec));
    assert.equal(answer.code, 201, `${kind} ${JSON.stringify(spec)}: ${answer.text}`);
  }
});

test('what upstream refuses is refused, with the field', async () => {
  const refused: readonly [string, JsonObject, RegExp][] = [
    ['AdminNetworkPolicy', { subject: everyone }, /spec\.priority/],
    ['AdminNetworkPolicy', anp({ priority: 1001 }), /spec\.priority/],
    ['AdminNetworkPolicy', anp({ subject: {} }), /spec\.subject/],
    ['AdminNetworkPolicy', anp({ subject: { ...everyone, pods: { namespaceSelector: {}, podSelector: {} } } }), /spec\.subject/],
    ['AdminNetworkPolicy', anp({ ingress: [rule({ action: 'Accept' })] }), /spec\.ingress\[0\]\.action/],
    ['AdminNetworkPolicy', anp({ ingress: [{ from: [everyone] }] }), /spec\.ingress\[0\]\.action/],
    ['AdminNetworkPolicy', anp({ ingress: [rule({ from: [] })] }), /spec\.ingress\[0\]\.from/],
    ['AdminNetworkPolicy', anp({ ingress: [rule({ from: [{ networks: ['10.0.0.0/8'] }] })] }), /spec\.ingress\[0\]\.from\[0\]/],
    ['AdminNetworkPolicy', anp({ ingress: Array.from({ length: 101 }, () => rule()) }), /spec\.ingress/],
    ['AdminNetworkPolicy', anp({ ingress: [rule({ ports: [{ portNumber: { port: 80 }, namedPort: 'web' }] })] }), /spec\.ingress\[0\]\.ports\[0\]/],
    ['AdminNetworkPolicy', anp({ ingress: [rule({ ports: [{ portRange: { start: 9, end: 9 } }] })] }), /portRange/],
    ['AdminNetworkPolicy', egress({ networks: ['10.0.0.0/33'] }), /spec\.egress\[0\]\.to\[0\]\.networks\[0\]/],
    ['AdminNetworkPolicy', egress({ domainNames: ['example.com'] }), /domainNames/],
    ['AdminNetworkPolicy', egress({ networks: ['10.0.0.0/8'] }, { ports: [{ namedPort: 'web' }] }), /spec\.egress\[0\]\.to\[0\]\.networks: .*only pods have ports with names/],
    ['BaselineAdminNetworkPolicy', { subject: everyone, ingress: [rule({ action: 'Pass' })] }, /spec\.ingress\[0\]\.action/],
    ['ClusterNetworkPolicy', cnp({ tier: 'Normal' }), /spec\.tier/],
    ['ClusterNetworkPolicy', cnp({ ingress: [rule({ action: 'Allow' })] }), /spec\.ingress\[0\]\.action/],
    ['ClusterNetworkPolicy', cnp({ ingress: Array.from({ length: 26 }, () => rule()) }), /spec\.ingress/],
    ['ClusterNetworkPolicy', cnp({ ingress: [rule({ protocols: [{ tcp: {}, udp: {} }] })] }), /protocols\[0\]/],
  ];
  for (const [kind, spec, field] of refused) {
    const answer = await create(object(kind, spec));
    assert.equal(answer.code, 422, `${kind} ${JSON.stringify(spec).slice(0, 200)}`);
    assert.match(answer.text, field);
  }
  const named = await create(object('BaselineAdminNetworkPolicy', { subject: everyone }, 'other'));
  assert.equal(named.code, 422);
  assert.match(named.text, /must be named \\"default\\"/);
});

test('status is a part of its own, the table has upstream\'s columns, and cnp stays CiliumNetworkPolicy', async () => {
  const path = paths['ClusterNetworkPolicy']!;
  await api.ok('POST', path, object('ClusterNetworkPolicy', cnp({}), 'kept'));
  const status = { conditions: [{ type: 'Enforced', status: 'True' }], nodes: { n1: { enforcing: true, ok: true, observedGeneration: 1 } } };
  await api.ok('PATCH', `${path}/kept/status`, { status, spec: { priority: 7 } }, { 'content-type': 'application/merge-patch+json' });
  const kept = await api.ok('GET', `${path}/kept`);
  assert.deepEqual([at(kept, 'spec', 'priority'), at(kept, 'status', 'nodes', 'n1', 'enforcing'), kept.metadata.generation], [1, true, 1]);
  const table = await api.call('GET', path, undefined, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  const columns = at(table.body, 'columnDefinitions') as { name: string; priority: number }[];
  assert.deepEqual(columns.filter(c => c.priority === 0).map(c => c.name), ['Name', 'Tier', 'Priority', 'Age']);
  const resources = async (version: string) => (at((await api.call('GET', version)).body, 'resources') as { name: string; shortNames?: string[] }[]).filter(r => !r.name.includes('/')).map(r => [r.name, r.shortNames ?? []]);
  assert.deepEqual(await resources(`${group}/v1alpha1`), [['adminnetworkpolicies', ['anp']], ['baselineadminnetworkpolicies', ['banp']]]);
  assert.deepEqual(await resources(`${group}/v1alpha2`), [['clusternetworkpolicies', []]]);
});

const folder = join(import.meta.dirname, '../../../shared/conformance/examples');

test('published manifests are admitted and refused as their sources do', { skip: existsSync(folder) ? false : '../shared/conformance/examples is not there' }, async t => {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { path: string; kinds: string[]; valid: boolean }[];
  const wrong: string[] = [];
  let count = 0;
  for (const example of index.filter(e => e.kinds.some(kind => paths[kind]))) {
    const bodies = parseAllDocuments(readFileSync(join(folder, example.path), 'utf8')).map(d => d.toJS() as JsonObject | null).flatMap(body => (body?.['kind'] === 'List' ? body['items'] as JsonObject[] : body ? [body] : []));
    const answers = await Promise.all(bodies.filter(body => paths[String(body['kind'])]).map(body => create(body)));
    count += answers.length;
    const refused = answers.filter(answer => answer.code !== 201);
    if ((refused.length === 0) !== example.valid) wrong.push(`${example.path}: ${example.valid ? refused[0]!.text.slice(0, 300) : 'admitted'}`);
  }
  t.diagnostic(`${count} objects`);
  // Whether two policies may have one priority, and whether there may be two of a name, one object cannot say.
  const acrossObjects = ['invalid/np-guard/anp_bad_path_test_1/anps.yaml', 'invalid/np-guard/banp_bad_path_test_1/banps.yaml'];
  assert.deepEqual(wrong.filter(line => !acrossObjects.some(path => line.startsWith(`${path}: admitted`))), []);
});
