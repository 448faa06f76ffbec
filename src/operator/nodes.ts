import type { Condition, Lease, Node, Pod, Taint } from '../kube/types.ts';
import { tolerates } from './placement.ts';

/** As kube-controller-manager's node-monitor-grace-period and default-unreachable-toleration-seconds. */
export const graceMs = 40_000;
export const evictionMs = 300_000;
const unreachable = 'node.kubernetes.io/unreachable';
const notReady = 'node.kubernetes.io/not-ready';
const lifecycleKeys = new Set([unreachable, notReady]);

/** What was last heard of a node, by this process's clock: the node's own clock is not believed. */
export interface Heartbeat {
  readonly renewTime: string | undefined;
  readonly heardMs: number;
}

/** A lease renewed, or a status written, since the last look is a sign of life. */
export function nextHeartbeat(before: Heartbeat | undefined, lease: Lease | undefined, node: Node, nowMs: number): Heartbeat {
  const stamp = `${lease?.spec.renewTime ?? ''} ${node.status?.conditions?.find(c => c.type === 'Ready')?.lastHeartbeatTime ?? ''}`;
  return before?.renewTime === stamp ? before : { renewTime: stamp, heardMs: nowMs };
}

export interface NodePlan {
  /** New conditions, when they are to change. */
  readonly conditions: readonly Condition[] | undefined;
  /** New taints, when they are to change. */
  readonly taints: readonly Taint[] | undefined;
  readonly alive: boolean;
  readonly againMs: number | undefined;
}

/** A node not heard of for 40 s is Unknown; one that is not ready is tainted so that nothing new comes and in time all leaves. */
export function planNode(node: Node, heartbeat: Heartbeat, nowMs: number): NodePlan {
  const silentMs = nowMs - heartbeat.heardMs;
  const alive = silentMs < graceMs;
  const conditions = alive ? undefined : asUnknown(node.status?.conditions ?? [], nowMs);
  const ready = (conditions ?? node.status?.conditions ?? []).find(c => c.type === 'Ready');
  return {
    conditions,
    taints: taintsFor(node, ready?.status, nowMs),
    alive,
    againMs: alive ? graceMs - silentMs : undefined,
  };
}

function asUnknown(conditions: readonly Condition[], nowMs: number): Condition[] | undefined {
  const at = timeText(nowMs);
  const unknown = (type: string): Condition => ({
    type, status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.', lastTransitionTime: at,
  });
  const list = conditions.some(c => c.type === 'Ready') ? conditions : [...conditions, { type: 'Ready', status: 'False' } as Condition];
  if (list.every(c => c.status === 'Unknown' || c.type === 'NetworkUnavailable')) return undefined;
  return list.map(c => (c.status === 'Unknown' || c.type === 'NetworkUnavailable' ? c : { ...c, ...unknown(c.type) }));
}

function taintsFor(node: Node, ready: string | undefined, nowMs: number): readonly Taint[] | undefined {
  const key = ready === 'True' ? undefined : ready === 'False' ? notReady : unreachable;
  const have = node.spec?.taints ?? [];
  const mine = have.filter(t => lifecycleKeys.has(t.key));
  const wanted = key === undefined ? [] : [
    { key, effect: 'NoSchedule' },
    { key, effect: 'NoExecute' },
  ];
  const same = mine.length === wanted.length && wanted.every(w => mine.some(t => t.key === w.key && t.effect === w.effect));
  if (same) return undefined;
  const others = have.filter(t => !lifecycleKeys.has(t.key));
  return [...others, ...wanted.map(w => ({ ...w, ...(w.effect === 'NoExecute' ? { timeAdded: timeText(nowMs) } : {}) }))];
}

/** When a pod must leave a node: ms from now (0: at once), or undefined when it may stay. Seconds count from the taint. */
export function evictInMs(pod: Pod, node: Node, nowMs: number): number | undefined {
  let soonest: number | undefined;
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== 'NoExecute') continue;
    const tolerations = (pod.spec.tolerations ?? []).filter(t => tolerates([t], taint));
    if (tolerations.some(t => t.tolerationSeconds === undefined)) continue;
    // Without admission's default tolerations, a node in trouble gets the five minutes that they would give.
    const defaultMs = lifecycleKeys.has(taint.key) ? evictionMs : 0;
    const seconds = tolerations.map(t => t.tolerationSeconds! * 1000);
    const graceMs = seconds.length > 0 ? Math.min(...seconds) : defaultMs;
    const since = Date.parse(taint.timeAdded ?? '') || nowMs;
    const left = Math.max(0, since + graceMs - nowMs);
    soonest = Math.min(soonest ?? left, left);
  }
  return soonest;
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
