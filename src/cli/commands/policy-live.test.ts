/** Policy commands that ask the agents, as a user calls them: a real API server, and agents on real sockets. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { flowToJson } from '../../flows/jsonpb.ts';
import type { Flow } from '../../model/flow.ts';
import { readScenario, type ScenarioObject } from '../../policy/scenario.ts';
import { rulesOf } from '../../policy/usage.ts';
import { World } from '../../policy/world.ts';
import { TestCluster } from './testing.ts';

const pod = (name: string, ip: string) => ({
  kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name } }, spec: { nodeName: 'node1', containers: [{ name: 'c', image: 'busybox:1', ports: [{ containerPort: 5432, name: 'pg' }] }] }, status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
});
const cnp = (name: string, spec: object, annotations: Record<string, string> = {}) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop', annotations }, spec });
const fromWeb = { endpointSelector: { matchLabels: { app: 'db' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }] };
const objects = [
  { kind: 'Namespace', metadata: { name: 'shop' } }, pod('web', '10.244.1.2'), pod('db', '10.244.1.3'), pod('job', '10.244.1.4'),
  cnp('db', { endpointSelector: { matchLabels: { app: 'db' } }, ingress: [{ fromEndpoints: [{}] }] }),
  cnp('db-strict', { endpointSelector: { matchLabels: { app: 'db' } }, ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'job' } }] }] }, { 'policy.cirri.io/mode': 'shadow' }),
  cnp('quiet', { endpointSelector: { matchLabels: { app: 'job' } }, ingress: [{ fromEndpoints: [{}] }] }, { 'policy.cirri.io/mode': 'shadow' }),
  cnp('nobody', { endpointSelector: { matchLabels: { app: 'gone' } }, ingress: [{}] }),
];
const ruleAddress = 'CiliumNetworkPolicy/shop/db/spec.ingress[0]';
const world = new World(readScenario(objects.map(object => ({ object: object as unknown as ScenarioObject, place: () => '' }))));
const ruleId = [...rulesOf(world).values()].find(info => info.address === ruleAddress)!.id;
const labels = ['k8s:app=job', 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop', 'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=default', 'k8s:io.kubernetes.pod.namespace=shop'];

const count = (node: number, more: object = {}) => ({ rule: ruleId, address: ruleAddress, packets: 10 * node, bytes: 2048 * node, connections: node, lastHit: `2026-01-0${node}T00:00:00.000Z`, ...more });
const shadowRow = (node: number) => ({
  rule: 5, address: 'CiliumNetworkPolicy/shop/db-strict/spec.ingressDeny[0]', policy: { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'db-strict' }, verdict: 'deny', direction: 'ingress', endpoint: 'shop/db',
  peer: { identity: 300 + node, labels }, protocol: 6, port: 5432, connections: 2 * node, packets: 4 * node, bytes: 100, lastHit: `2026-01-0${node}T00:00:00.000Z`,
});
const connection = (source: string, sourcePort: number, bytes: number) => ({
  protocol: 6, source, sourcePort, destination: '10.244.1.3', destinationPort: 5432, sourceIdentity: 1, destinationIdentity: 2, sourceEndpoint: source === '10.244.1.4' ? 'shop/job' : 'shop/web', destinationEndpoint: 'shop/db',
  forwardPackets: 3, replyPackets: 3, bytes, closing: false, host: false,
});
const flow: Flow = {
  id: 'node1-abc-1', time: '2026-01-01T00:00:00.000000000Z', nodeName: 'node1', verdict: 'DROPPED', type: 'drop', dropReason: 'Policy denied', dropReasonCode: 133, direction: 'INGRESS', isReply: false, ipVersion: 'IPv4', protocol: 'TCP',
  source: { ip: '10.244.1.4', identity: 300, id: 0, namespace: 'shop', podName: 'job', labels }, destination: { ip: '10.244.1.3', identity: 301, id: 1, namespace: 'shop', podName: 'db', labels: [] }, sourcePort: 40_000, destinationPort: 5432, summary: 'TCP Flags: SYN',
};

const report = (enforced: boolean) => ({ address: 'CiliumNetworkPolicy/shop/db-strict', mode: 'shadow', errors: [], conditions: [], enforced, ...(!enforced && { error: 'not loaded into the kernel yet' }) });

const shadowRows = [shadowRow(2)];

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start(objects, {
    node1: { '/v1/policies': [report(true)], '/v1/policy/stats': [count(1)], '/v1/policy/shadow': [shadowRow(1)], '/v1/conntrack': [connection('10.244.1.4', 40_000, 9000), connection('10.244.1.2', 41_000, 100)], flows: [flow] },
    node2: { '/v1/policies': [report(false)], '/v1/policy/stats': [count(2), { rule: 77, packets: 1, bytes: 1, connections: 1 }], '/v1/policy/shadow': shadowRows, '/v1/conntrack': [connection('10.244.1.4', 40_000, 8000)] },
  });
});
after(() => cluster[Symbol.asyncDispose]());

test('get: each policy, how it acts, and on which nodes it is in force', async () => {
  const { stdout, stderr } = await cluster.cirri('policy', 'get');
  assert.match(stdout, /✗ CiliumNetworkPolicy\/shop\/db-strict \(in shadow, watched on 1 of 2 nodes\)\n +not in force on node2: not loaded into the kernel yet\n/, stderr);
});

test('stats: counters of all nodes, sorted, one policy, unused rules, modes', async () => {
  const all = await cluster.cirri('policy', 'stats');
  assert.match(all.stdout, /^packets +bytes +connections +last hit +rule\n30 +6 KiB +3 +\d+d ago +CiliumNetworkPolicy shop\/db \(spec\.ingress\[0\]\) allows ingress/, all.stderr);
  assert.match(all.stdout, /rule 77, of a policy that is gone or changed/);
  const json = (await cluster.cirri('policy', 'stats', 'shop/db', '-o', 'json')).json() as { address: string; policies: string[]; packets: number; connections: number; lastHit?: string }[];
  assert.deepEqual(json.map(use => use.policies), json.map(() => ['CiliumNetworkPolicy/shop/db']));
  assert.deepEqual([json[0]!.address, json[0]!.packets, json[0]!.connections, json[0]!.lastHit], [ruleAddress, 30, 3, '2026-01-02T00:00:00.000Z']);
  const unused = (await cluster.cirri('policy', 'stats', '--unused')).stdout;
  assert.match(unused, /CiliumNetworkPolicy\/shop\/nobody selects no pod/);
  assert.ok(!unused.includes('db-strict (spec.ingress[0])'), 'a shadow decides nothing, used or not');
  assert.match((await cluster.cirri('policy', 'stats', '--sort', 'size')).stderr, /--sort size: known are packets, bytes, connections, last-hit, rule/);
  assert.match((await cluster.cirri('policy', 'stats', 'shop/bd')).stderr, /there is no policy shop\/bd\n +→ did you mean shop\/db\?/);
});

test('shadow: the list with totals; one policy by endpoint, peer and port; nothing differed, and since when', async () => {
  const list = await cluster.cirri('policy', 'shadow');
  assert.match(list.stdout, /CiliumNetworkPolicy\/shop\/db-strict +\d+s ago +1 +6 connections +0 connections +\d+d ago\nCiliumNetworkPolicy\/shop\/quiet +\d+s ago +1 +0 connections +0 connections +-/, list.stderr);
  const one = await cluster.cirri('policy', 'shadow', 'shop/db-strict', '--exit-code');
  assert.match(one.stdout, /in shadow since 20\d\d-.*\n +would +endpoint +peer +ports +connections +packets +last +rule\n +deny +shop\/db +from shop\/job +5432\/TCP +6 +12 +\d+d ago +spec\.ingressDeny\[0\]/);
  assert.equal(one.status, 1);
  assert.match((await cluster.cirri('policy', 'shadow', 'quiet', '-n', 'shop')).stdout, /in shadow since 20.*\n +nothing differed: every connection of the 1 pod that it selects was decided since then/);
  const wrong = await cluster.cirri('policy', 'shadow', 'shop/db');
  assert.deepEqual([wrong.status, /shop\/db is not in shadow: its mode is enforce\n +→ put it there with the annotation/.test(wrong.stderr)], [1, true]);
  const { source, policies } = (await cluster.cirri('policy', 'shadow', 'shop/db-strict', '-o', 'json')).json() as { source: string; policies: { wouldDeny: object; wouldAllow: object; differences: object[] }[] };
  assert.deepEqual([source, policies[0]!.wouldDeny, policies[0]!.wouldAllow, policies[0]!.differences.length], ['kernel', { differences: 1, connections: 6, lastHit: '2026-01-02T00:00:00.000Z' }, { differences: 0, connections: 0 }, 1]);
});

test('shadow --watch says what is seen from then on, until it is interrupted', { timeout: 60_000 }, async () => {
  const watching = cluster.follow('policy', 'shadow', 'shop/db-strict', '--watch');
  await watching.until(/deny +shop\/db +from shop\/job +5432\/TCP +6 /);
  shadowRows[0] = { ...shadowRows[0]!, packets: shadowRows[0]!.packets + 3 };
  await watching.until(/\n\S+ CiliumNetworkPolicy\/shop\/db-strict would deny ingress of shop\/db from shop\/job 5432\/TCP: 3 packets more/);
  assert.equal(await watching.interrupt(), 0);
  shadowRows[0] = shadowRow(2);
});

test('shadow --offline computes it from the cluster\'s objects instead', async () => {
  const { stdout, stderr } = await cluster.cirri('policy', 'shadow', 'shop/db-strict', '--offline');
  assert.match(stdout, /deny +shop\/db +from shop\/job +all TCP, all UDP, all SCTP, all ICMP, all ICMPv6 +spec\.ingressDeny\[0\]/, stderr);
});

test('diff --live: which established connections a change would cut, and which new ones it denies', async () => {
  const file = cluster.file('db.yaml', `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: db, namespace: shop }\nspec: ${JSON.stringify(fromWeb)}\n`);
  const cut = await cluster.cirri('policy', 'diff', '--live', '-f', file, '--exit-code');
  assert.equal(cut.status, 1, cut.stderr);
  assert.match(cut.stdout, /^1 established connection would end, of 2 that are open now:\n +shop\/job \(10\.244\.1\.4\):40000 → shop\/db \(10\.244\.1\.3\):5432\/TCP, 9 KiB so far\n +ingress: CiliumNetworkPolicy shop\/db puts/);
  assert.match(cut.stdout, /\nnew connections:\n- shop\/job → shop\/db: all/);
  const keep = cluster.file('keep.yaml', `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: db, namespace: shop, annotations: { policy.cirri.io/established: keep } }\nspec: ${JSON.stringify(fromWeb)}\n`);
  const kept = (await cluster.cirri('policy', 'diff', '--live', '-', keep, '-o', 'json')).json() as { established: { total: number; ends: object[]; kept: { from: string; bytes: number; deniedAt: string }[] }; lost: object[] };
  assert.deepEqual([kept.established.total, kept.established.ends.length, kept.established.kept.map(c => [c.from, c.bytes, c.deniedAt])], [2, 0, [['shop/job', 9000, 'ingress']]]);
  assert.equal((await cluster.cirri('policy', 'diff', '--live', '--without', 'shop/nobody', '--exit-code')).status, 0);
  assert.match((await cluster.cirri('policy', 'diff')).stderr, /what is to be compared\?/);
});

test('explain takes the id that observe shows; a flow that is gone is said to be gone', async () => {
  const flows = cluster.file('flows.json', `${JSON.stringify(flowToJson(flow))}\n`);
  const observed = (await cluster.cirri('observe', '--verdict', 'DROPPED', '--input-file', flows)).stdout;
  const shown = /\[flow (.*)\]\n$/.exec(observed)?.[1];
  assert.equal(shown, flow.id, observed);
  for (const id of [shown!, `[flow ${shown}]`]) assert.match((await cluster.cirri('policy', 'explain', id)).stdout, /DROPPED \(Policy denied\) on node1[\s\S]*shop\/job → shop\/db 5432\/TCP/);
  assert.match((await cluster.cirri('policy', 'explain', 'node1-zzz-1')).stderr, /flow node1-zzz-1 is gone: neither the nodes' newest flows nor their history have it/);
  assert.match((await cluster.cirri('policy', 'explain', 'nonsense')).stderr, /no node has a flow nonsense/);
});
