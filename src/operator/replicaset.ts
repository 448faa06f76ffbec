import { matchesSelector } from '../kube/selector.ts';
import type { KubeObject, LabelSelector, Pod, ReplicaSet, ReplicaSetStatus } from '../kube/types.ts';
import { availableInMs, controllerOf, isActive, isFinished, isReady, isTerminating, podCondition } from './pods.ts';

/** Which pods are an owner's, which are to become or to stop being so. */
export interface Claim {
  readonly owned: readonly Pod[];
  /** Match the selector and belong to nobody. */
  readonly adopt: readonly Pod[];
  /** Owned, but their labels match no longer. */
  readonly release: readonly Pod[];
}

/** `pods` are the namespace's. An owner on its way out adopts nothing. */
export function claimPods(owner: KubeObject, selector: LabelSelector, pods: Iterable<Pod>): Claim {
  const owned: Pod[] = [];
  const adopt: Pod[] = [];
  const release: Pod[] = [];
  for (const pod of pods) {
    const controller = controllerOf(pod);
    const matches = matchesSelector(selector, pod.metadata.labels);
    if (controller?.uid === owner.metadata.uid) (matches || isTerminating(pod) ? owned : release).push(pod);
    else if (controller === undefined && matches && isActive(pod) && owner.metadata.deletionTimestamp === undefined) adopt.push(pod);
  }
  return { owned, adopt, release };
}

export interface ReplicaSetPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
  readonly status: ReplicaSetStatus;
  /** When a pod may become available by time alone. */
  readonly againMs: number | undefined;
}

/** What a replica set wants done, from its own pods (adopted ones included). */
export function planReplicaSet(set: ReplicaSet, owned: readonly Pod[], nowMs: number): ReplicaSetPlan {
  const active = owned.filter(isActive);
  const wanted = set.spec.replicas ?? 1;
  const surplus = active.length - wanted;
  const deleting = set.metadata.deletionTimestamp !== undefined;
  const { available, againMs } = countAvailable(active, set.spec.minReadySeconds ?? 0, nowMs);
  return {
    create: deleting ? 0 : Math.max(0, -surplus),
    remove: deleting || surplus <= 0 ? [] : leastMissed(active).slice(0, surplus),
    status: {
      replicas: active.length,
      fullyLabeledReplicas: active.filter(p => matchesSelector({ matchLabels: set.spec.template.metadata?.labels ?? {} }, p.metadata.labels)).length,
      readyReplicas: active.filter(isReady).length,
      availableReplicas: available,
      observedGeneration: set.metadata.generation ?? 0,
    },
    againMs,
  };
}

export function countAvailable(pods: readonly Pod[], minReadySeconds: number, nowMs: number): { available: number; againMs: number | undefined } {
  let available = 0;
  let againMs: number | undefined;
  for (const pod of pods) {
    const ms = availableInMs(pod, minReadySeconds, nowMs);
    if (ms === 0) available++;
    else if (ms !== undefined) againMs = Math.min(againMs ?? ms, ms);
  }
  return { available, againMs };
}

/**
 * Pods in the order in which their loss would be felt least, as upstream ranks them: not scheduled, not running, not ready,
 * cheap by annotation, crowded on their node, ready for the shortest time, restarted most, youngest.
 */
export function leastMissed(pods: readonly Pod[]): Pod[] {
  const perNode = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec.nodeName ?? '';
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: Pod): readonly number[] => [
    pod.spec.nodeName ? 1 : 0,
    isFinished(pod) ? 0 : pod.status?.phase === 'Running' ? 2 : 1,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0) || 0,
    -(perNode.get(pod.spec.nodeName ?? '') ?? 0),
    isReady(pod) ? -Date.parse(podCondition(pod, 'Ready')?.lastTransitionTime ?? '0') || 0 : 0,
    -(pod.status?.containerStatuses?.reduce((n, c) => Math.max(n, c.restartCount), 0) ?? 0),
    -Date.parse(pod.metadata.creationTimestamp ?? '0') || 0,
  ];
  return pods
    .map(pod => ({ pod, rank: rank(pod) }))
    .sort((a, b) => compareRanks(a.rank, b.rank) || (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1))
    .map(({ pod }) => pod);
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
