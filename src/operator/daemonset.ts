import type { DaemonSet, DaemonSetStatus, Node, Pod, Toleration } from '../kube/types.ts';
import type { NewObject } from './collection.ts';
import { matchesNodeAffinity, toleratesAll } from './placement.ts';
import { availableInMs, contentHash, isActive, isFinished, isReady, isTerminating, podFromTemplate, scaled } from './pods.ts';

export const revisionLabel = 'controller-revision-hash';

/** A daemon stays where other pods would be sent away (as upstream adds them). */
const daemonTolerations: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const hostNetworkToleration: Toleration = { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' };

export interface DaemonSetPlan {
  readonly create: readonly NewObject[];
  readonly remove: readonly Pod[];
  readonly status: DaemonSetStatus;
  readonly againMs: number | undefined;
}

/** One pod on each node that fits; in an update, at most maxUnavailable nodes at a time are without one. */
export function planDaemonSet(set: DaemonSet, nodes: Iterable<Node>, owned: readonly Pod[], nowMs: number): DaemonSetPlan {
  const hash = contentHash(set.spec.template);
  const byNode = groupByNode(owned);
  const create: NewObject[] = [];
  const remove: Pod[] = [];
  const serving: Pod[] = [];
  const outdated: Pod[] = [];
  let wanted = 0;
  let misscheduled = 0;
  for (const node of nodes) {
    const pods = byNode.get(node.metadata.name) ?? [];
    byNode.delete(node.metadata.name);
    if (!runsOn(set, node)) {
      misscheduled += pods.filter(p => !isFinished(p)).length > 0 ? 1 : 0;
      if (!staysOn(set, node)) remove.push(...pods.filter(p => !isTerminating(p)));
      continue;
    }
    wanted++;
    const live = pods.filter(isActive).sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1));
    // A finished daemon is replaced; two of them (by a race) are one too many.
    remove.push(...pods.filter(p => isFinished(p) && !isTerminating(p)), ...live.slice(1));
    if (live[0]) {
      serving.push(live[0]);
      if (live[0].metadata.labels?.[revisionLabel] !== hash) outdated.push(live[0]);
    } else if (!pods.some(isTerminating)) {
      create.push(daemonPod(set, node, hash));
    }
  }
  // Pods of nodes that are gone belong to the pod collector.
  const minReady = set.spec.minReadySeconds ?? 0;
  const waits = serving.map(p => availableInMs(p, minReady, nowMs));
  const available = waits.filter(ms => ms === 0).length;
  const deleting = set.metadata.deletionTimestamp !== undefined;
  return {
    create: deleting ? [] : create,
    remove: deleting ? [] : [...remove, ...toUpdate(set, outdated, wanted, wanted - available, minReady, nowMs)],
    status: {
      observedGeneration: set.metadata.generation ?? 0,
      currentNumberScheduled: serving.length,
      desiredNumberScheduled: wanted,
      numberMisscheduled: misscheduled,
      numberReady: serving.filter(isReady).length,
      updatedNumberScheduled: serving.length - outdated.length,
      numberAvailable: available,
      numberUnavailable: wanted - available,
    },
    againMs: waits.reduce<number | undefined>((least, ms) => (ms === undefined || ms === 0 ? least : Math.min(least ?? ms, ms)), undefined),
  };
}

function toUpdate(set: DaemonSet, outdated: readonly Pod[], wanted: number, unavailable: number, minReady: number, nowMs: number): Pod[] {
  if (set.spec.updateStrategy?.type === 'OnDelete') return [];
  const limit = Math.max(1, scaled(set.spec.updateStrategy?.rollingUpdate?.maxUnavailable, wanted, 1, 'up'));
  // An outdated pod that serves nobody costs nothing to replace.
  const idle = outdated.filter(p => availableInMs(p, minReady, nowMs) !== 0);
  const busy = outdated.filter(p => availableInMs(p, minReady, nowMs) === 0);
  return [...idle, ...busy.slice(0, Math.max(0, limit - unavailable))];
}

function groupByNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const groups = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = pod.spec.nodeName ?? '';
    groups.set(node, [...(groups.get(node) ?? []), pod]);
  }
  return groups;
}

function tolerationsOf(set: DaemonSet): readonly Toleration[] {
  const { tolerations = [], hostNetwork } = set.spec.template.spec;
  return [...tolerations, ...daemonTolerations, ...(hostNetwork ? [hostNetworkToleration] : [])];
}

function runsOn(set: DaemonSet, node: Node): boolean {
  return staysOn(set, node) && toleratesAll(node, tolerationsOf(set), ['NoSchedule', 'NoExecute']);
}

/** NoSchedule keeps new pods out but sends nobody away. */
function staysOn(set: DaemonSet, node: Node): boolean {
  const { nodeName } = set.spec.template.spec;
  if (nodeName !== undefined && nodeName !== node.metadata.name) return false;
  return matchesNodeAffinity(set.spec.template.spec, node) && toleratesAll(node, tolerationsOf(set), ['NoExecute']);
}

/** Bound to its node from the start: a daemon needs no scheduler. */
function daemonPod(set: DaemonSet, node: Node, hash: string): NewObject {
  return podFromTemplate(set, set.spec.template, `${set.metadata.name}-`, {
    labels: { [revisionLabel]: hash },
    spec: { nodeName: node.metadata.name, tolerations: tolerationsOf(set) },
  });
}
