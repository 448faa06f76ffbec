import { asObjects, asString, at } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import { ageOf } from './age.ts';
import type { Column } from './column.ts';
import { ageColumn, column, nameColumn, none, number, wide } from './common.ts';

const statuses = (pod: KubeObject, list: string) => asObjects(at(pod, 'status', list));

const sidecars = (pod: KubeObject) => new Set(asObjects(at(pod, 'spec', 'initContainers')).filter(c => c['restartPolicy'] === 'Always').map(c => c['name']));

function ready(pod: KubeObject): string {
  const sides = sidecars(pod);
  const counted = [...statuses(pod, 'containerStatuses'), ...statuses(pod, 'initContainerStatuses').filter(s => sides.has(s['name']))];
  const total = asObjects(at(pod, 'spec', 'containers')).length + sides.size;
  return `${counted.filter(s => s['ready'] === true && at(s, 'state', 'running') !== undefined).length}/${total}`;
}

/** One word for the state of a pod: the worst that can be said of its containers, else its phase. */
export function podStatus(pod: KubeObject): string {
  const phase = asString(at(pod, 'status', 'reason')) ?? asString(at(pod, 'status', 'phase')) ?? 'Unknown';
  const gated = asObjects(at(pod, 'status', 'conditions')).some(c => c['type'] === 'PodScheduled' && c['reason'] === 'SchedulingGated');
  const initial = initStatus(pod);
  let status = initial ?? containerStatus(pod) ?? (gated ? 'SchedulingGated' : phase);
  if (status === 'Completed' && initial === undefined && statuses(pod, 'containerStatuses').some(s => s['ready'] === true && at(s, 'state', 'running') !== undefined)) {
    const isReady = asObjects(at(pod, 'status', 'conditions')).some(c => c['type'] === 'Ready' && c['status'] === 'True');
    status = isReady ? 'Running' : 'NotReady';
  }
  if (!pod.metadata.deletionTimestamp) return status;
  return at(pod, 'status', 'reason') === 'NodeLost' ? 'Unknown' : 'Terminating';
}

/** The init container that holds the pod up, as `Init:0/2` or `Init:Error`. */
function initStatus(pod: KubeObject): string | undefined {
  const all = statuses(pod, 'initContainerStatuses');
  const total = asObjects(at(pod, 'spec', 'initContainers')).length;
  const sides = sidecars(pod);
  for (const [i, status] of all.entries()) {
    if (at(status, 'state', 'terminated', 'exitCode') === 0) continue;
    if (sides.has(status['name']) && status['started'] === true) continue;
    const terminated = at(status, 'state', 'terminated');
    if (terminated) return `Init:${terminationText(terminated as JsonObject)}`;
    const waiting = asString(at(status, 'state', 'waiting', 'reason'));
    return waiting && waiting !== 'PodInitializing' ? `Init:${waiting}` : `Init:${i}/${total}`;
  }
  return undefined;
}

function containerStatus(pod: KubeObject): string | undefined {
  let found: string | undefined;
  for (const status of statuses(pod, 'containerStatuses').reverse()) {
    const waiting = asString(at(status, 'state', 'waiting', 'reason'));
    const terminated = at(status, 'state', 'terminated');
    if (waiting) found = waiting;
    else if (terminated) found = terminationText(terminated as JsonObject);
  }
  return found;
}

function terminationText(terminated: JsonObject): string {
  const reason = asString(terminated['reason']);
  if (reason) return reason;
  return terminated['signal'] ? `Signal:${String(terminated['signal'])}` : `ExitCode:${String(terminated['exitCode'] ?? 0)}`;
}

/** `3 (5m ago)`: how often containers were started again, and when last. */
function restarts(pod: KubeObject, now: Date): string {
  const sides = sidecars(pod);
  const counted = [...statuses(pod, 'containerStatuses'), ...statuses(pod, 'initContainerStatuses').filter(s => sides.has(s['name']))];
  const count = counted.reduce((sum, s) => sum + number(s, 'restartCount'), 0);
  const last = counted.map(s => asString(at(s, 'lastState', 'terminated', 'finishedAt')) ?? '').sort().at(-1);
  return count > 0 && last ? `${count} (${ageOf(last, now)} ago)` : String(count);
}

function readinessGates(pod: KubeObject): string {
  const gates = asObjects(at(pod, 'spec', 'readinessGates'));
  if (gates.length === 0) return none;
  const conditions = asObjects(at(pod, 'status', 'conditions'));
  return `${gates.filter(g => conditions.some(c => c['type'] === g['conditionType'] && c['status'] === 'True')).length}/${gates.length}`;
}

export const podColumns: readonly Column[] = [
  nameColumn,
  column('Ready', 'Containers that are ready, of all.', ready),
  column('Status', 'State of the pod.', podStatus),
  column('Restarts', 'How often containers were started again.', restarts),
  ageColumn,
  wide('IP', 'Address of the pod.', o => asString(at(o, 'status', 'podIP')) || none),
  wide('Node', 'Node that the pod is on.', o => asString(at(o, 'spec', 'nodeName')) || none),
  wide('Nominated Node', 'Node that the pod is meant for.', o => asString(at(o, 'status', 'nominatedNodeName')) || none),
  wide('Readiness Gates', 'Conditions that count for readiness.', readinessGates),
];
