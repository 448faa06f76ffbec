import test from 'node:test';
import assert from 'node:assert/strict';
import type { Node, Pod } from '../kube/types.ts';
import { Placements, placePod, tolerates } from './placement.ts';

function node(name: string, { labels = {}, taints = [] as { key: string; value?: string; effect: string }[], pods = '110', unschedulable = false } = {}): Node {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } }, spec: { taints, unschedulable }, status: { allocatable: { pods } } };
}

function pod(name: string, spec: object = {}, owner?: string): Pod {
  const ownerReferences = owner === undefined ? [] : [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'n', labels: { app: owner ?? name }, ownerReferences }, spec: { containers: [], ...spec } };
}

const chosen = (p: Pod, nodes: Node[], placements = new Placements()) => placePod(p, nodes, placements);

test('pods of one owner are spread, whatever else runs there', () => {
  const placements = new Placements();
  const nodes = [node('a'), node('b'), node('c')];
  for (let i = 0; i < 4; i++) placements.put(`other${i}`, pod(`other${i}`), 'a');
  for (let i = 0; i < 9; i++) {
    const decision = placePod(pod(`w${i}`, {}, 'web'), nodes, placements);
    assert.ok('node' in decision);
    placements.put(`w${i}`, pod(`w${i}`, {}, 'web'), decision.node);
  }
  assert.deepEqual(['a', 'b', 'c'].map(n => placements.siblingsOn(n, 'web')), [3, 3, 3]);
  placements.put('w0', undefined);
  assert.equal(['a', 'b', 'c'].reduce((n, x) => n + placements.siblingsOn(x, 'web'), 0), 8);
});

test('taints, selectors, cordons and capacity keep pods out, and the reason counts them', () => {
  const nodes = [node('a', { taints: [{ key: 'gpu', value: 'yes', effect: 'NoSchedule' }] }), node('b', { unschedulable: true }), node('c', { pods: '0' }), node('d', { labels: { disk: 'ssd' } })];
  assert.deepEqual(chosen(pod('p', { nodeSelector: { disk: 'hdd' }, tolerations: [{ key: 'gpu', operator: 'Exists' }, { key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] }), nodes),
    { reason: "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector." });
  assert.deepEqual(chosen(pod('p'), nodes), { node: 'd' });
  assert.deepEqual(chosen(pod('p'), nodes.slice(0, 3)), { reason: '0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were unschedulable.' });
  assert.deepEqual(chosen(pod('p'), []), { reason: '0/0 nodes are available: no nodes.' });
});

test('required affinity and anti-affinity, host ports and hard spread are kept', () => {
  const placements = new Placements();
  const nodes = [node('a', { labels: { zone: '1' } }), node('b', { labels: { zone: '1' } }), node('c', { labels: { zone: '2' } })];
  placements.put('db', pod('db'), 'a');
  const near = { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } }] } } };
  assert.deepEqual(chosen(pod('p', near), nodes, placements), { node: 'a' });
  const far = { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', labelSelector: { matchLabels: { app: 'db' } } }] } } };
  assert.deepEqual(chosen(pod('p', far), nodes, placements), { node: 'c' });
  const port = { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80 }] }] };
  for (const n of ['a', 'b']) placements.put(`port ${n}`, pod('x', port), n);
  assert.deepEqual(chosen(pod('p', port), nodes, placements), { node: 'c' });
  const spread = { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'p' } } }] };
  placements.put('p1', pod('p'), 'a');
  assert.deepEqual(chosen(pod('p', spread), nodes, placements), { node: 'c' });
});

test('a toleration without a key needs Exists, and an empty effect stands for all', () => {
  const taint = { key: 'k', value: 'v', effect: 'NoExecute' };
  assert.equal(tolerates([{ operator: 'Exists' }], taint), true);
  assert.equal(tolerates([{ value: 'v' }], taint), false);
  assert.equal(tolerates([{ key: 'k', value: 'v' }], taint), true);
  assert.equal(tolerates([{ key: 'k', operator: 'Exists', effect: 'NoSchedule' }], taint), false);
});
