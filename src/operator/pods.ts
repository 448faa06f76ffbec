import { createHash } from 'node:crypto';
import type { Condition, KubeObject, ObjectMeta, OwnerReference, Pod, PodTemplate, StringMap } from '../kube/types.ts';
import type { NewObject } from './collection.ts';

/** Facts about pods that several controllers ask. */
export function podCondition(pod: Pod, type: string): Condition | undefined {
  return pod.status?.conditions?.find(c => c.type === type);
}

export function isReady(pod: Pod): boolean {
  return podCondition(pod, 'Ready')?.status === 'True';
}

/** Succeeded or Failed: it will never run again. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** Counts toward its owner's replicas. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isTerminating(pod);
}

/** Ready for at least `minReadySeconds`: then 0; otherwise ms until it could be, or undefined when that depends on a change. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const ready = podCondition(pod, 'Ready');
  if (ready?.status !== 'True') return undefined;
  if (minReadySeconds <= 0) return 0;
  const since = Date.parse(ready.lastTransitionTime ?? '');
  return Number.isNaN(since) ? undefined : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

export function controllerOf(object: { readonly metadata: ObjectMeta }): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(r => r.controller === true);
}

export function ownedBy(owner: KubeObject): OwnerReference {
  const { apiVersion, kind, metadata: { name, uid } } = owner;
  return { apiVersion, kind, name, uid: uid ?? '', controller: true, blockOwnerDeletion: true };
}

/** A pod of the template that belongs to `owner`; `name` ends with '-' where the API is to complete it. */
export function podFromTemplate(
  owner: KubeObject, template: PodTemplate, name: string, more: { readonly labels?: StringMap; readonly spec?: object } = {},
): NewObject {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(name.endsWith('-') ? { generateName: name } : { name }),
      namespace: owner.metadata.namespace,
      labels: { ...labels, ...more.labels },
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [ownedBy(owner)],
    },
    spec: { ...template.spec, ...more.spec },
  };
}

/** Letters and digits that make no words, as upstream's names use them. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Ten safe characters that stand for a template (or anything JSON): equal content, equal hash, whatever the order of keys. */
export function contentHash(value: unknown): string {
  const bytes = createHash('sha256').update(canonicalJson(value)).digest();
  let out = '';
  for (let i = 0; i < 10; i++) out += alphabet[bytes.readUInt16LE(i * 2) % alphabet.length];
  return out;
}

export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v)) return v;
    return Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)));
  }) ?? 'null';
}

/** An int, or a percentage of `of`, as maxSurge (rounded up) and maxUnavailable (down) are given. */
export function scaled(value: number | string | undefined, of: number, fallback: number | string, round: 'up' | 'down'): number {
  const given = value ?? fallback;
  if (typeof given === 'number') return given;
  const percent = /^(\d+)%$/.exec(given);
  if (!percent) return /^\d+$/.test(given) ? Number(given) : 0;
  const exact = (Number(percent[1]) * of) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

/** The conditions with this one in it; its transition time changes only with its status. */
export function withCondition(conditions: readonly Condition[] | undefined, next: Condition, nowText: string): Condition[] {
  const list = [...(conditions ?? [])];
  const at = list.findIndex(c => c.type === next.type);
  const old = list[at];
  const same = old?.status === next.status;
  const merged: Condition = { ...next, lastTransitionTime: same ? (old.lastTransitionTime ?? nowText) : nowText };
  if (at < 0) list.push(merged);
  else list[at] = merged;
  return list;
}
