import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newRecord } from './record.ts';
import type { ContainerRecord, PodRecord } from './record.ts';
import { podStatus, qosClass, terminalPhase } from './status.ts';
import type { Container, Pod, PodSpec } from './types.ts';

const now = new Date('2026-11-20T12:00:00.000Z');
const pod = (spec: Partial<PodSpec>, status?: Pod['status']): Pod => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n', uid: 'u' }, spec: { containers: [{ name: 'a' }], ...spec }, ...(status ? { status } : {}) });
const run = (name: string, more: Partial<ContainerRecord> = {}): ContainerRecord => ({
  name, attempt: 0, id: `id-${name}`, state: 'running', pid: 1, pidStart: 1, shimPid: 1, shimStart: 1, startedAt: '2026-11-20T11:00:00.5Z', end: undefined, last: undefined, restartCount: 0,
  backoffMs: 0, restartAt: 0, ready: true, started: true, killReason: undefined, ...more,
});
const ended = (name: string, exitCode: number): ContainerRecord => run(name, { state: 'exited', ready: false, started: false, end: { exitCode, reason: exitCode ? 'Error' : 'Completed' } });
const recordOf = (p: Pod, containers: ContainerRecord[], more: Partial<PodRecord> = {}): PodRecord => ({ ...newRecord(p, now), containers: Object.fromEntries(containers.map(c => [c.name, c])), ...more });
const statusOf = (p: Pod, containers: ContainerRecord[], more: Partial<PodRecord> = {}) => podStatus({ pod: p, record: recordOf(p, containers, more), waiting: new Map(), hostIPs: ['172.30.1.11'], now, stopping: false });

test('a pod is Pending until a main container has run', () => {
  const p = pod({ initContainers: [{ name: 'i' }] });
  assert.equal(statusOf(p, []).phase, 'Pending');
  assert.equal(statusOf(p, [run('i')]).phase, 'Pending');
  assert.equal(statusOf(p, [run('i')]).containerStatuses![0]!.state.waiting!.reason, 'PodInitializing');
  assert.equal(statusOf(p, [ended('i', 0), run('a')]).phase, 'Running');
});

test('it is Ready when all containers are, also while it is being deleted, and not when it has ended for good', () => {
  const p = pod({ containers: [{ name: 'a' }, { name: 'b' }] });
  const ready = (s: ReturnType<typeof statusOf>) => s.conditions!.find(c => c.type === 'Ready')!;
  assert.equal(ready(statusOf(p, [run('a'), run('b')])).status, 'True');
  const one = ready(statusOf(p, [run('a'), run('b', { ready: false })]));
  assert.deepEqual([one.status, one.message], ['False', 'containers with unready status: [b]']);
  const deleted = { ...p, metadata: { ...p.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.equal(ready(statusOf(deleted, [run('a'), run('b')])).status, 'True', 'who is dismissed may still serve');
  const stopping = podStatus({ pod: p, record: recordOf(p, [run('a'), run('b')]), waiting: new Map(), hostIPs: [], now, stopping: true });
  assert.equal(ready(stopping).status, 'False');
});

test('a readiness gate holds it back until its condition is true', () => {
  const gates = { readinessGates: [{ conditionType: 'x/y' }] };
  assert.equal(statusOf(pod(gates), [run('a')]).conditions!.find(c => c.type === 'Ready')!.reason, 'ReadinessGatesNotReady');
  const open = statusOf(pod(gates, { conditions: [{ type: 'x/y', status: 'True' }] }), [run('a')]);
  assert.equal(open.conditions!.find(c => c.type === 'Ready')!.status, 'True');
  assert.ok(open.conditions!.some(c => c.type === 'x/y'), 'the conditions of others are kept');
});

test('a condition keeps its time while it stays as it is', () => {
  const before = [{ type: 'Ready', status: 'True' as const, lastTransitionTime: '2026-01-01T00:00:00Z' }];
  assert.equal(statusOf(pod({}, { conditions: before }), [run('a')]).conditions!.find(c => c.type === 'Ready')!.lastTransitionTime, '2026-01-01T00:00:00Z');
  assert.equal(statusOf(pod({}, { conditions: before }), [run('a', { ready: false })]).conditions!.find(c => c.type === 'Ready')!.lastTransitionTime, '2026-11-20T12:00:00Z');
});

test('what a pod has come to, by restart policy', () => {
  const phase = (restartPolicy: string, codes: number[], extra: Container[] = []) => {
    const p = pod({ restartPolicy, containers: codes.map((_, i) => ({ name: `c${i}` })), initContainers: extra });
    return terminalPhase(p, recordOf(p, codes.flatMap((code, i) => (code < 0 ? [] : [ended(`c${i}`, code)]))));
  };
  assert.equal(phase('Always', [0]), undefined);
  assert.equal(phase('Never', [0, 0]), 'Succeeded');
  assert.equal(phase('Never', [0, 1]), 'Failed');
  assert.equal(phase('Never', [0, -1]), undefined);
  assert.equal(phase('OnFailure', [0, 1]), undefined);
  assert.equal(phase('OnFailure', [0, 0]), 'Succeeded');
});

test('an init container that failed for good fails the pod', () => {
  const p = pod({ restartPolicy: 'Never', initContainers: [{ name: 'i' }] });
  assert.equal(terminalPhase(p, recordOf(p, [ended('i', 2)])), 'Failed');
});

test('a waiting container shows its end as the last state', () => {
  const p = pod({});
  const status = podStatus({ pod: p, record: recordOf(p, [ended('a', 9)]), waiting: new Map([['a', { reason: 'CrashLoopBackOff' }]]), hostIPs: [], now, stopping: false });
  assert.deepEqual(status.containerStatuses![0]!.state, { waiting: { reason: 'CrashLoopBackOff' } });
  assert.equal(status.containerStatuses![0]!.lastState.terminated!.exitCode, 9);
});

test('classes of service', () => {
  const of = (resources: Container['resources']) => qosClass(pod({ containers: [resources ? { name: 'a', resources } : { name: 'a' }] }));
  assert.equal(of(undefined), 'BestEffort');
  assert.equal(of({ limits: { cpu: '1', memory: '1Gi' } }), 'Guaranteed');
  assert.equal(of({ requests: { cpu: '1' } }), 'Burstable');
});
