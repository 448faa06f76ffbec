import { isDeepStrictEqual } from 'node:util';
import type { Condition, Deployment, DeploymentStatus, Pod, PodTemplate, ReplicaSet, StringMap } from '../kube/types.ts';
import { contentHash, isFinished, ownedBy, scaled, withCondition } from './pods.ts';
import type { NewObject } from './collection.ts';

export const hashLabel = 'pod-template-hash';
const revisionKey = 'deployment.kubernetes.io/revision';
const desiredKey = 'deployment.kubernetes.io/desired-replicas';
const maxKey = 'deployment.kubernetes.io/max-replicas';
/** Annotations of a deployment that say nothing about its replica sets. */
const notInherited = new Set(['kubectl.kubernetes.io/last-applied-configuration', revisionKey, desiredKey, maxKey, 'deprecated.deployment.rollback.to']);

export interface DeploymentPlan {
  /** The replica set of the present template, where there is none yet. */
  readonly create: NewObject | undefined;
  /** Replica sets whose replicas or annotations change. */
  readonly change: readonly { readonly set: ReplicaSet; readonly replicas: number; readonly annotations: StringMap }[];
  /** Old ones beyond the history limit. */
  readonly remove: readonly ReplicaSet[];
  /** The deployment's own revision annotation. */
  readonly revision: string;
  readonly status: DeploymentStatus;
  /** When the progress deadline will have passed. */
  readonly againMs: number | undefined;
}

/**
 * The next step of a deployment, from its replica sets as they are. Each step only adds pods or only takes pods away, and
 * stays within replicas + maxSurge and replicas − maxUnavailable; the next step follows when the replica sets report.
 * `pods` are needed only to know, for Recreate, that the old ones are really gone.
 */
export function planDeployment(deployment: Deployment, sets: readonly ReplicaSet[], pods: readonly Pod[], nowMs: number): DeploymentPlan {
  const hash = contentHash(deployment.spec.template);
  const current = findCurrent(deployment, sets, hash);
  const old = sets.filter(s => s !== current).sort(byAge);
  const revision = String(currentRevision(current, old));
  const paused = deployment.spec.paused === true;
  const deleting = deployment.metadata.deletionTimestamp !== undefined;
  const counts = deleting ? new Map<ReplicaSet, number>() : paused ? resized(deployment, current, old) : nextCounts(deployment, current, old, pods);
  const firstReplicas = deployment.spec.strategy?.type === 'Recreate' ? (runsOld(old, pods) ? 0 : wantedOf(deployment)) : roomFor(deployment, old);
  const status = statusOf(deployment, current, old, !current && !paused, nowMs);
  return {
    create: current || paused || deleting ? undefined : newSet(deployment, hash, revision, firstReplicas),
    change: deleting ? [] : changesOf(deployment, current, [...old, ...(current ? [current] : [])], counts, revision),
    remove: deleting ? [] : beyondHistory(deployment, old),
    revision: current || !paused ? revision : (deployment.metadata.annotations?.[revisionKey] ?? '0'),
    ...status,
  };
}

/** Replica set made from this template: by its hash, or (made by another hand) by its content. */
function findCurrent(deployment: Deployment, sets: readonly ReplicaSet[], hash: string): ReplicaSet | undefined {
  const live = sets.filter(s => s.metadata.deletionTimestamp === undefined).sort(byAge);
  return live.find(s => s.metadata.labels?.[hashLabel] === hash)
    ?? live.find(s => isDeepStrictEqual(withoutHash(s.spec.template), withoutHash(deployment.spec.template)));
}

function withoutHash(template: PodTemplate): unknown {
  const { [hashLabel]: _, ...labels } = template.metadata?.labels ?? {};
  return JSON.parse(JSON.stringify({ ...template, metadata: { ...template.metadata, labels, creationTimestamp: undefined } }));
}

function newSet(deployment: Deployment, hash: string, revision: string, replicas: number): NewObject {
  const { selector, template, minReadySeconds } = deployment.spec;
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace,
      labels,
      annotations: annotationsOf(deployment, revision),
      ownerReferences: [ownedBy(deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds ? { minReadySeconds } : {}),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

function annotationsOf(deployment: Deployment, revision: string | undefined): StringMap {
  const own = Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !notInherited.has(key));
  return { ...Object.fromEntries(own), ...(revision === undefined ? {} : { [revisionKey]: revision }), ...sizeAnnotations(deployment) };
}

function sizeAnnotations(deployment: Deployment): StringMap {
  const wanted = wantedOf(deployment);
  return { [desiredKey]: String(wanted), [maxKey]: String(wanted + limitsOf(deployment).surge) };
}

/** The highest revision there is, or one above all others for a template that has just become current (again). */
function currentRevision(current: ReplicaSet | undefined, old: readonly ReplicaSet[]): number {
  const highestOld = old.reduce((highest, s) => Math.max(highest, revisionOf(s)), 0);
  const own = current ? revisionOf(current) : 0;
  return own > highestOld ? own : highestOld + 1;
}

function revisionOf(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.[revisionKey] ?? 0) || 0;
}

// How many replicas each set is to have

function nextCounts(deployment: Deployment, current: ReplicaSet | undefined, old: readonly ReplicaSet[], pods: readonly Pod[]): ReadonlyMap<ReplicaSet, number> {
  if (isResize(deployment, current, old)) return resized(deployment, current, old);
  if (!current) return new Map();
  if (deployment.spec.strategy?.type === 'Recreate') return recreate(deployment, current, old, pods);
  const up = rollUp(deployment, current, old);
  return up.size > 0 ? up : rollDown(deployment, current, old);
}

/** True when a set with pods still has another total in mind than the deployment has now. */
function isResize(deployment: Deployment, current: ReplicaSet | undefined, old: readonly ReplicaSet[]): boolean {
  const wanted = String(wantedOf(deployment));
  return [...old, ...(current ? [current] : [])].some(s => {
    const noted = s.metadata.annotations?.[desiredKey];
    return replicasOf(s) > 0 && noted !== undefined && noted !== wanted;
  });
}

/** A change of size alone: the one set with pods takes it; several share it in proportion, so that a rollout keeps its balance. */
function resized(deployment: Deployment, current: ReplicaSet | undefined, old: readonly ReplicaSet[]): ReadonlyMap<ReplicaSet, number> {
  const wanted = wantedOf(deployment);
  const all = [...(current ? [current] : []), ...old.toReversed()];
  const running = all.filter(s => replicasOf(s) > 0);
  const single = running.length === 0 ? current : running.length === 1 ? running[0] : undefined;
  if (single) return new Map([[single, wanted]]);
  if (current && wanted > 0 && isComplete(current, wanted)) return new Map(old.map(s => [s, 0]));
  const total = running.reduce((sum, s) => sum + replicasOf(s), 0);
  const limit = wanted === 0 ? 0 : wanted + (deployment.spec.strategy?.type === 'Recreate' ? 0 : limitsOf(deployment).surge);
  return shareOut(running, total, limit);
}

function shareOut(sets: readonly ReplicaSet[], total: number, limit: number): ReadonlyMap<ReplicaSet, number> {
  const counts = new Map<ReplicaSet, number>();
  let left = limit;
  for (const set of sets) {
    const share = Math.min(left, Math.round((replicasOf(set) * limit) / total));
    counts.set(set, share);
    left -= share;
  }
  const first = sets[0];
  if (first && left > 0) counts.set(first, counts.get(first)! + left);
  return counts;
}

function recreate(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[], pods: readonly Pod[]): ReadonlyMap<ReplicaSet, number> {
  if (old.some(s => replicasOf(s) > 0)) return new Map(old.map(s => [s, 0]));
  return runsOld(old, pods) ? new Map() : new Map([[current, wantedOf(deployment)]]);
}

/** Pods of old sets, the ones that are still terminating too. */
function runsOld(old: readonly ReplicaSet[], pods: readonly Pod[]): boolean {
  const uids = new Set(old.map(s => s.metadata.uid));
  return pods.some(p => !isFinished(p) && p.metadata.ownerReferences?.some(r => uids.has(r.uid)));
}

function rollUp(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): ReadonlyMap<ReplicaSet, number> {
  const wanted = wantedOf(deployment);
  const have = replicasOf(current);
  if (have > wanted) return new Map([[current, wanted]]);
  const next = Math.min(wanted, have + Math.max(0, roomFor(deployment, [...old, current])));
  return next === have ? new Map() : new Map([[current, next]]);
}

/** How many pods may still be made. For a first set: how many it starts with. */
function roomFor(deployment: Deployment, sets: readonly ReplicaSet[]): number {
  const wanted = wantedOf(deployment);
  const total = sets.reduce((sum, s) => sum + replicasOf(s), 0);
  return Math.min(wanted, Math.max(0, wanted + limitsOf(deployment).surge - total));
}

/** Old pods go, the broken ones first, as long as enough pods are available. */
function rollDown(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): ReadonlyMap<ReplicaSet, number> {
  const counts = new Map<ReplicaSet, number>();
  const running = old.filter(s => replicasOf(s) > 0);
  const least = wantedOf(deployment) - limitsOf(deployment).unavailable;
  const total = replicasOf(current) + running.reduce((sum, s) => sum + replicasOf(s), 0);
  const notYet = replicasOf(current) - availableOf(current);
  let budget = total - least - notYet;
  for (const set of running) {
    const broken = Math.min(Math.max(0, replicasOf(set) - availableOf(set)), Math.max(0, budget));
    if (broken > 0) counts.set(set, replicasOf(set) - broken);
    budget -= broken;
  }
  let spare = availableOf(current) + running.reduce((sum, s) => sum + Math.min(availableOf(s), replicasOf(s)), 0) - least;
  for (const set of running) {
    const have = counts.get(set) ?? replicasOf(set);
    const taken = Math.min(have, Math.max(0, spare), Math.max(0, budget));
    if (taken > 0) counts.set(set, have - taken);
    spare -= taken;
    budget -= taken;
  }
  return counts;
}

function limitsOf(deployment: Deployment): { surge: number; unavailable: number } {
  if (deployment.spec.strategy?.type === 'Recreate') return { surge: 0, unavailable: 0 };
  const { maxSurge, maxUnavailable } = deployment.spec.strategy?.rollingUpdate ?? {};
  const wanted = wantedOf(deployment);
  const surge = scaled(maxSurge, wanted, '25%', 'up');
  const unavailable = Math.min(wanted, scaled(maxUnavailable, wanted, '25%', 'down'));
  // Both zero (by rounding) could never move.
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

function changesOf(
  deployment: Deployment, current: ReplicaSet | undefined, sets: readonly ReplicaSet[], counts: ReadonlyMap<ReplicaSet, number>, revision: string,
): DeploymentPlan['change'] {
  return sets.flatMap(set => {
    const replicas = counts.get(set) ?? replicasOf(set);
    const wanted = set === current ? annotationsOf(deployment, revision) : replicas > 0 || counts.has(set) ? sizeAnnotations(deployment) : {};
    const annotations = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => set.metadata.annotations?.[key] !== value));
    return replicas === replicasOf(set) && Object.keys(annotations).length === 0 ? [] : [{ set, replicas, annotations }];
  });
}

function beyondHistory(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const idle = old.filter(s => replicasOf(s) === 0 && (s.status?.replicas ?? 0) === 0 && s.metadata.deletionTimestamp === undefined
    && (s.status?.observedGeneration ?? 0) >= (s.metadata.generation ?? 0));
  return idle.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, idle.length - limit));
}

// Status

function statusOf(
  deployment: Deployment, current: ReplicaSet | undefined, old: readonly ReplicaSet[], creating: boolean, nowMs: number,
): { status: DeploymentStatus; againMs: number | undefined } {
  const sets = [...old, ...(current ? [current] : [])];
  const sum = (of: (set: ReplicaSet) => number) => sets.reduce((n, s) => n + of(s), 0);
  const available = sum(availableOf);
  const counts = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(s => s.status?.replicas ?? 0),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum(s => s.status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(replicasOf) - available),
  };
  const nowText = new Date(nowMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  const progress = progressOf(deployment, current, counts, creating, nowMs, nowText);
  const enough = available >= wantedOf(deployment) - limitsOf(deployment).unavailable;
  const conditions = withCondition(progress.conditions, {
    type: 'Available',
    status: enough ? 'True' : 'False',
    reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
    message: enough ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
    lastUpdateTime: enough === isTrue(deployment, 'Available') ? (conditionOf(deployment, 'Available')?.lastUpdateTime ?? nowText) : nowText,
  }, nowText);
  return { status: { ...counts, conditions }, againMs: progress.againMs };
}

type Counts = Omit<DeploymentStatus, 'conditions'>;

function progressOf(
  deployment: Deployment, current: ReplicaSet | undefined, counts: Counts, creating: boolean, nowMs: number, nowText: string,
): { conditions: readonly Condition[]; againMs: number | undefined } {
  const before = deployment.status;
  const old = conditionOf(deployment, 'Progressing');
  const set = (status: Condition['status'], reason: string, message: string, moved: boolean) => withCondition(before?.conditions, {
    type: 'Progressing', status, reason, message, lastUpdateTime: moved || old?.reason !== reason ? nowText : (old?.lastUpdateTime ?? nowText),
  }, nowText);
  if (deployment.spec.paused) return { conditions: set('Unknown', 'DeploymentPaused', 'Deployment is paused', false), againMs: undefined };
  const name = current?.metadata.name ?? '';
  const moved = (['updatedReplicas', 'readyReplicas', 'availableReplicas'] as const).some(k => (counts[k] ?? 0) > (before?.[k] ?? 0))
    || (before?.replicas ?? 0) - (before?.updatedReplicas ?? 0) > (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0)
    || deployment.metadata.generation !== before?.observedGeneration;
  const wanted = wantedOf(deployment);
  if (!creating && counts.updatedReplicas === wanted && counts.replicas === wanted && counts.availableReplicas === wanted) {
    return { conditions: set('True', 'NewReplicaSetAvailable', `ReplicaSet "${name}" has successfully progressed.`, false), againMs: undefined };
  }
  if (creating) return { conditions: set('True', 'NewReplicaSetCreated', 'Created a new replica set.', true), againMs: undefined };
  const deadlineMs = (deployment.spec.progressDeadlineSeconds ?? 600) * 1000;
  const since = Date.parse(old?.lastUpdateTime ?? '') || nowMs;
  const settled = old?.reason === 'NewReplicaSetAvailable' && !moved;
  // A finished rollout that loses a pod is not a rollout that makes no progress.
  if (settled) return { conditions: before?.conditions ?? [], againMs: undefined };
  if (!moved && old !== undefined && nowMs - since >= deadlineMs) {
    return { conditions: set('False', 'ProgressDeadlineExceeded', `ReplicaSet "${name}" has timed out progressing.`, false), againMs: undefined };
  }
  return {
    conditions: set('True', 'ReplicaSetUpdated', `ReplicaSet "${name}" is progressing.`, moved),
    againMs: Math.max(1_000, (moved ? nowMs : since) + deadlineMs - nowMs + 1_000),
  };
}

function conditionOf(deployment: Deployment, type: string): Condition | undefined {
  return deployment.status?.conditions?.find(c => c.type === type);
}

function isTrue(deployment: Deployment, type: string): boolean {
  return conditionOf(deployment, type)?.status === 'True';
}

function isComplete(set: ReplicaSet, wanted: number): boolean {
  return replicasOf(set) === wanted && availableOf(set) === wanted;
}

function wantedOf(deployment: Deployment): number {
  return deployment.spec.replicas ?? 1;
}

function replicasOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

function availableOf(set: ReplicaSet): number {
  return set.status?.availableReplicas ?? 0;
}

function byAge(a: ReplicaSet, b: ReplicaSet): number {
  return (a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1
    : (a.metadata.creationTimestamp ?? '') > (b.metadata.creationTimestamp ?? '') ? 1
    : a.metadata.name < b.metadata.name ? -1 : 1;
}
