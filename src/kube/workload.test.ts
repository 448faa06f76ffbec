import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from './types.ts';
import { workloadFromText, workloadOf, workloadText } from './workload.ts';

function pod(kind: string, name: string, labels: Record<string, string> = {}, controller = true): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n', labels, ownerReferences: [{ apiVersion: 'apps/v1', kind, name, uid: 'u', controller }] } };
}

test('the workload behind a pod: the Deployment by its ReplicaSet, the CronJob by its Job, else the controller itself', () => {
  assert.deepEqual(workloadOf(pod('ReplicaSet', 'web-5d4', { 'pod-template-hash': '5d4' })), { kind: 'Deployment', name: 'web' });
  assert.deepEqual(workloadOf(pod('ReplicaSet', 'web-5d4')), { kind: 'ReplicaSet', name: 'web-5d4' }, 'made by hand');
  assert.deepEqual(workloadOf(pod('ReplicaSet', '-5d4', { 'pod-template-hash': '5d4x' })), { kind: 'ReplicaSet', name: '-5d4' });
  assert.deepEqual(workloadOf(pod('Job', 'backup-28391520')), { kind: 'CronJob', name: 'backup' });
  assert.deepEqual(workloadOf(pod('Job', 'backup-2')), { kind: 'Job', name: 'backup-2' });
  assert.deepEqual(workloadOf(pod('StatefulSet', 'db')), { kind: 'StatefulSet', name: 'db' });
  assert.deepEqual(workloadOf(pod('DaemonSet', 'log')), { kind: 'DaemonSet', name: 'log' });
});

test('a pod that nobody runs, that is not controlled, or that is the kubelet\'s own has none', () => {
  assert.equal(workloadOf({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } }), undefined);
  assert.equal(workloadOf(pod('ReplicaSet', 'web', {}, false)), undefined);
  assert.equal(workloadOf(pod('Node', 'node1')), undefined);
});

test('the text of a workload reads as the workload', () => {
  assert.deepEqual(workloadFromText(workloadText({ kind: 'Deployment', name: 'web' })), { kind: 'Deployment', name: 'web' });
  for (const text of [undefined, '', 'web', '/web']) assert.equal(workloadFromText(text), undefined);
});
