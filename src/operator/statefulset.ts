import type { Pod, StatefulSet, StatefulSetStatus } from '../kube/types.ts';
import type { NewObject } from './collection.ts';
import { revisionLabel } from './daemonset.ts';
import { availableInMs, contentHash, isFinished, isReady, isTerminating, podFromTemplate } from './pods.ts';

export interface StatefulSetPlan {
  readonly create: readonly NewObject[];
  readonly remove: readonly Pod[];
  readonly status: StatefulSetStatus;
  readonly againMs: number | undefined;
}

/**
 * The next step of a stateful set: pods name-0 … name-(n−1), made in order and each only when all before it are available
 * (OrderedReady), taken from the top, and replaced from the top down in an update. Parallel does the making and taking at once.
 */
export function planStatefulSet(set: StatefulSet, owned: readonly Pod[], nowMs: number): StatefulSetPlan {
  const hash = contentHash(set.spec.template);
  const updateRevision = `${set.metadata.name}-${hash}`;
  const start = set.spec.ordinals?.start ?? 0;
  const wanted = set.spec.replicas ?? 1;
  const minReady = set.spec.minReadySeconds ?? 0;
  const byOrdinal = new Map<number, Pod>();
  for (const pod of owned) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal !== undefined) byOrdinal.set(ordinal, pod);
  }
  const available = (pod: Pod | undefined) => pod !== undefined && !isTerminating(pod) && availableInMs(pod, minReady, nowMs) === 0;
  const steps = set.metadata.deletionTimestamp === undefined ? nextSteps() : { create: [], remove: [] };
  const live = [...byOrdinal.values()].filter(p => !isTerminating(p));
  const updated = live.filter(p => p.metadata.labels?.[revisionLabel] === updateRevision);
  const done = updated.length === wanted && live.length === wanted && updated.every(isReady);
  const currentRevision = done ? updateRevision : (set.status?.currentRevision || updateRevision);
  const waits = live.map(p => availableInMs(p, minReady, nowMs));
  return {
    ...steps,
    status: {
      observedGeneration: set.metadata.generation ?? 0,
      replicas: byOrdinal.size,
      readyReplicas: live.filter(isReady).length,
      availableReplicas: waits.filter(ms => ms === 0).length,
      currentReplicas: live.filter(p => p.metadata.labels?.[revisionLabel] === currentRevision).length,
      updatedReplicas: updated.length,
      currentRevision,
      updateRevision,
    },
    againMs: waits.reduce<number | undefined>((least, ms) => (ms === undefined || ms === 0 ? least : Math.min(least ?? ms, ms)), undefined),
  };

  function nextSteps(): Pick<StatefulSetPlan, 'create' | 'remove'> {
    const parallel = set.spec.podManagementPolicy === 'Parallel';
    const create: NewObject[] = [];
    const remove: Pod[] = [];
    for (let ordinal = start; ordinal < start + wanted; ordinal++) {
      const pod = byOrdinal.get(ordinal);
      if (pod && isFinished(pod) && !isTerminating(pod)) remove.push(pod);
      else if (!pod) create.push(statefulPod(set, ordinal, updateRevision));
      if (!parallel && !available(pod)) return { create, remove };
    }
    const surplus = [...byOrdinal].filter(([o]) => o < start || o >= start + wanted).sort(([a], [b]) => b - a);
    for (const [, pod] of surplus) {
      if (!isTerminating(pod)) remove.push(pod);
      if (!parallel) return { create, remove };
    }
    if (create.length > 0 || remove.length > 0 || surplus.length > 0) return { create, remove };
    const next = nextToUpdate();
    return { create, remove: next ? [next] : [] };
  }

  /** From the top, one at a time, and only while every newer one is available. */
  function nextToUpdate(): Pod | undefined {
    if (set.spec.updateStrategy?.type === 'OnDelete') return undefined;
    const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0;
    for (let ordinal = start + wanted - 1; ordinal >= Math.max(start, partition); ordinal--) {
      const pod = byOrdinal.get(ordinal);
      if (!pod || isTerminating(pod)) return undefined;
      if (pod.metadata.labels?.[revisionLabel] !== updateRevision) return pod;
      if (!available(pod)) return undefined;
    }
    return undefined;
  }
}

function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const match = /^(.*)-(\d+)$/.exec(pod.metadata.name);
  return match && match[1] === set.metadata.name ? Number(match[2]) : undefined;
}

/** Hostname and subdomain give it its name in the headless service's DNS. */
function statefulPod(set: StatefulSet, ordinal: number, revision: string): NewObject {
  const name = `${set.metadata.name}-${ordinal}`;
  return podFromTemplate(set, set.spec.template, name, {
    labels: { [revisionLabel]: revision, 'statefulset.kubernetes.io/pod-name': name, 'apps.kubernetes.io/pod-index': String(ordinal) },
    spec: { hostname: name, ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}) },
  });
}
