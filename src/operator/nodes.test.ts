import test from 'node:test';
import assert from 'node:assert/strict';
import type { Lease, Node, Pod } from '../kube/types.ts';
import { evictInMs, graceMs, nextHeartbeat, planNode } from './nodes.ts';

const node = (status: 'True' | 'False' | 'Unknown', taints: Node['spec']['taints'] = []): Node => ({
  apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' }, spec: { taints: [...taints] }, status: { conditions: [{ type: 'Ready', status }] },
});
const lease = (renewTime: string): Lease => ({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'a' }, spec: { renewTime } });

test('a renewed lease is a sign of life by the clock of the one who hears it', () => {
  const first = nextHeartbeat(undefined, lease('long ago'), node('True'), 1_000);
  assert.equal(nextHeartbeat(first, lease('long ago'), node('True'), 9_000).heardMs, 1_000);
  assert.equal(nextHeartbeat(first, lease('renewed'), node('True'), 9_000).heardMs, 9_000);
});

test('a node is Unknown and tainted after 40 s of silence, and clean again when it is back', () => {
  const heartbeat = { renewTime: 'x', heardMs: 0 };
  assert.deepEqual(planNode(node('True'), heartbeat, 10_000), { conditions: undefined, taints: undefined, alive: true, againMs: graceMs - 10_000 });
  const lost = planNode(node('True'), heartbeat, graceMs);
  assert.equal(lost.conditions![0]!.status, 'Unknown');
  assert.deepEqual(lost.taints!.map(t => `${t.key} ${t.effect}`), ['node.kubernetes.io/unreachable NoSchedule', 'node.kubernetes.io/unreachable NoExecute']);
  const still = planNode({ ...node('Unknown', lost.taints!), status: { conditions: lost.conditions! } }, heartbeat, graceMs + 1);
  assert.deepEqual([still.conditions, still.taints], [undefined, undefined]);
  const other = { key: 'mine', effect: 'NoSchedule' };
  assert.deepEqual(planNode(node('True', [...lost.taints!, other]), { renewTime: 'y', heardMs: 90_000 }, 90_000).taints, [other]);
  assert.equal(planNode(node('False'), { renewTime: 'y', heardMs: 90_000 }, 90_000).taints![0]!.key, 'node.kubernetes.io/not-ready');
});

test('pods leave a lost node after five minutes or after the time they tolerate, and some never', () => {
  const pod = (tolerations: object[]) => ({ spec: { tolerations, containers: [] } }) as unknown as Pod;
  const key = 'node.kubernetes.io/unreachable';
  const lost = node('Unknown', [{ key, effect: 'NoExecute', timeAdded: '1970-01-01T00:00:01Z' }]);
  assert.equal(evictInMs(pod([]), lost, 2_000), 299_000);
  assert.equal(evictInMs(pod([{ key, operator: 'Exists', tolerationSeconds: 5 }]), lost, 7_000), 0);
  assert.equal(evictInMs(pod([{ key, operator: 'Exists' }]), lost, 999_000), undefined);
  assert.equal(evictInMs(pod([]), node('True', [{ key: 'drain', effect: 'NoExecute' }]), 0), 0);
});
