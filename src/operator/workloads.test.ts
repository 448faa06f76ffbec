import test from 'node:test';
import assert from 'node:assert/strict';
import type { DaemonSet, Job, Node, Pod, ReplicaSet, StatefulSet } from '../kube/types.ts';
import { planDaemonSet, revisionLabel } from './daemonset.ts';
import { garbageStep, finalizerStep } from './garbage.ts';
import { planJob } from './job.ts';
import { contentHash, scaled } from './pods.ts';
import { claimPods, leastMissed, planReplicaSet } from './replicaset.ts';
import { planStatefulSet } from './statefulset.ts';

const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c' }] } };

function pod(name: string, { ready = true, node = 'a', labels = { app: 'x' }, owner = 'o', ...more }: { ready?: boolean; node?: string; labels?: Record<string, string>; owner?: string | undefined; phase?: string; deleted?: boolean; created?: string } = {}): Pod {
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name, namespace: 'n', uid: name, labels, creationTimestamp: more.created ?? '2026-01-01T00:00:00Z', ...(more.deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
      ...(owner ? { ownerReferences: [{ apiVersion: 'v1', kind: 'K', name: owner, uid: owner, controller: true }] } : {}),
    },
    spec: { containers: [], ...(node ? { nodeName: node } : {}) },
    status: { phase: more.phase ?? 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:00:00Z' }] },
  };
}

const owner = (kind: string, spec: object) => ({ apiVersion: 'apps/v1', kind, metadata: { name: 'o', namespace: 'n', uid: 'o', generation: 3 }, spec: { selector: { matchLabels: { app: 'x' } }, template, ...spec } });

test('a replica set counts what runs, replaces what ends and takes the least missed first', () => {
  const set = owner('ReplicaSet', { replicas: 3 }) as ReplicaSet;
  const plan = planReplicaSet(set, [pod('a'), pod('b', { phase: 'Failed' }), pod('c', { deleted: true })], 0);
  assert.deepEqual([plan.create, plan.remove.length, plan.status.replicas, plan.status.readyReplicas], [2, 0, 1, 1]);
  const many = [pod('a'), pod('b', { ready: false }), pod('c', { node: '' }), pod('d', { node: 'b' }), pod('e')];
  assert.deepEqual(leastMissed(many).map(p => p.metadata.name), ['c', 'b', 'a', 'e', 'd']);
  assert.deepEqual(planReplicaSet(set, many, 0).remove.map(p => p.metadata.name), ['c', 'b']);
});

test('pods are adopted and released by their labels', () => {
  const set = owner('ReplicaSet', { replicas: 3 }) as ReplicaSet;
  const { owned, adopt, release } = claimPods(set, set.spec.selector, [pod('mine'), pod('lost', { labels: {} }), pod('free', { owner: '' }), pod('other', { owner: 'someone' })]);
  assert.deepEqual([owned, adopt, release].map(list => list.map(p => p.metadata.name)), [['mine'], ['free'], ['lost']]);
});

test('minReadySeconds makes a ready pod available only later, and says when to look again', () => {
  const set = owner('ReplicaSet', { replicas: 1, minReadySeconds: 30 }) as ReplicaSet;
  const at = Date.parse('2026-01-01T00:00:10Z');
  const plan = planReplicaSet(set, [pod('a')], at);
  assert.deepEqual([plan.status.readyReplicas, plan.status.availableReplicas, plan.againMs], [1, 0, 20_000]);
});

test('a stateful set goes up in order, down from the top, and updates from the top one at a time', () => {
  const set = owner('StatefulSet', { replicas: 3, serviceName: 'o' }) as StatefulSet;
  const current = { app: 'x', [revisionLabel]: `o-${contentHash(template)}` };
  const member = (n: number, more = {}) => pod(`o-${n}`, { labels: current, ...more });
  const names = (plan: { create: readonly { metadata: object }[]; remove: readonly Pod[] }) => [plan.create.map(p => (p.metadata as { name: string }).name), plan.remove.map(p => p.metadata.name)];
  assert.deepEqual(names(planStatefulSet(set, [], 0)), [['o-0'], []]);
  assert.deepEqual(names(planStatefulSet(set, [member(0, { ready: false })], 0)), [[], []]);
  assert.deepEqual(names(planStatefulSet(set, [member(0), member(2)], 0)), [['o-1'], []]);
  assert.deepEqual(names(planStatefulSet(set, [0, 1, 2, 3, 4].map(n => member(n)), 0)), [[], ['o-4']]);
  const old = { labels: { app: 'x', [revisionLabel]: 'o-old' } };
  assert.deepEqual(names(planStatefulSet(set, [member(0, old), member(1, old), member(2, old)], 0)), [[], ['o-2']]);
  assert.deepEqual(names(planStatefulSet(set, [member(0, old), member(1, old), member(2, { ready: false })], 0)), [[], []]);
  const parallel = owner('StatefulSet', { replicas: 3, podManagementPolicy: 'Parallel' }) as StatefulSet;
  assert.deepEqual(names(planStatefulSet(parallel, [], 0)), [['o-0', 'o-1', 'o-2'], []]);
});

test('a daemon set has one pod a node that it tolerates, and updates one node at a time', () => {
  const set = owner('DaemonSet', {}) as DaemonSet;
  const node = (name: string, taint?: string): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: taint ? { taints: [{ key: taint, effect: 'NoSchedule' }] } : {} });
  const nodes = [node('a'), node('b'), node('c', 'node.kubernetes.io/unschedulable'), node('d', 'gpu')];
  const first = planDaemonSet(set, nodes, [], 0);
  assert.deepEqual(first.create.map(p => (p['spec'] as { nodeName: string }).nodeName), ['a', 'b', 'c']);
  const old = ['a', 'b', 'c'].map(n => pod(n, { node: n, labels: { app: 'x', [revisionLabel]: 'old' } }));
  const update = planDaemonSet(set, nodes, old, 0);
  assert.equal(update.remove.length, 1);
  assert.deepEqual([update.status.desiredNumberScheduled, update.status.updatedNumberScheduled], [3, 0]);
  assert.equal(planDaemonSet(set, nodes, [old[0]!, old[1]!], 0).remove.length, 0, 'one node is without already');
});

test('a job gives up after too many failures', () => {
  const job = owner('Job', { backoffLimit: 1 }) as Job;
  assert.equal(planJob(job, [pod('a', { phase: 'Failed' })], 0).create.length, 1);
  const over = planJob(job, [pod('a', { phase: 'Failed' }), pod('b', { phase: 'Failed' })], 0);
  assert.deepEqual([over.create.length, over.status.conditions![0]!.reason], [0, 'BackoffLimitExceeded']);
});

test('garbage: kept while one owner is there, detached from the gone, deleted as the owner was', () => {
  const child = { ...pod('c', { owner: '' }), metadata: { name: 'c', ownerReferences: ['a', 'b'].map(uid => ({ apiVersion: 'v1', kind: 'K', name: uid, uid, blockOwnerDeletion: true })) } };
  const stepWith = (a: 'present' | 'waiting' | 'gone', b: 'present' | 'waiting' | 'gone') => garbageStep(child, r => (r.uid === 'a' ? a : b));
  assert.equal(stepWith('present', 'present').action, 'keep');
  assert.deepEqual(stepWith('present', 'gone'), { action: 'detach', ownerReferences: [child.metadata.ownerReferences[0]] });
  assert.deepEqual(stepWith('gone', 'gone'), { action: 'delete', policy: 'Background' });
  assert.deepEqual(stepWith('gone', 'waiting'), { action: 'delete', policy: 'Foreground' });
  const dying = { ...child, metadata: { name: 'o', uid: 'a', deletionTimestamp: 'x', finalizers: ['foregroundDeletion', 'other'] } };
  assert.equal(finalizerStep(dying, [child]).action, 'wait-for-dependents');
  assert.deepEqual(finalizerStep(dying, []), { action: 'finish', finalizers: ['other'] });
});

test('percentages are rounded up or down; hashes do not see the order of keys', () => {
  assert.deepEqual([scaled('25%', 10, 0, 'up'), scaled('25%', 10, 0, 'down'), scaled(undefined, 4, '25%', 'up'), scaled(3, 10, 0, 'up')], [3, 2, 1, 3]);
  assert.equal(contentHash({ a: 1, b: [1, 2] }), contentHash({ b: [1, 2], a: 1 }));
  assert.notEqual(contentHash({ a: 1 }), contentHash({ a: 2 }));
});
