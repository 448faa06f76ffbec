import type { KubeObject } from './types.ts';

export interface Workload {
  readonly kind: string;
  readonly name: string;
}

/** Jobs of a CronJob are called after the minute that they were due in (batch/v1). */
const cronJobName = /^(.+)-\d{8,10}$/;

/**
 * Who runs a pod, from the pod alone: its controller, or the Deployment or CronJob behind that one, which names its ReplicaSets
 * and Jobs by a rule. Undefined for a pod that nobody runs; the kubelet's own pods belong to their node, which is no workload.
 */
export function workloadOf(pod: KubeObject): Workload | undefined {
  const owner = pod.metadata.ownerReferences?.find(reference => reference.controller === true);
  if (owner === undefined || owner.kind === 'Node') return undefined;
  const { kind, name } = owner;
  if (kind === 'ReplicaSet') {
    const hash = pod.metadata.labels?.['pod-template-hash'];
    if (hash && name.endsWith(`-${hash}`)) return { kind: 'Deployment', name: name.slice(0, -hash.length - 1) };
  }
  if (kind === 'Job') {
    const cronJob = cronJobName.exec(name)?.[1];
    if (cronJob !== undefined) return { kind: 'CronJob', name: cronJob };
  }
  return { kind, name };
}

/** On CiliumEndpoints, `KIND/NAME`: other nodes do not see the pod. */
export const workloadAnnotation = 'cirri.io/workload';

export function workloadText({ kind, name }: Workload): string {
  return `${kind}/${name}`;
}

export function workloadFromText(text: string | undefined): Workload | undefined {
  const slash = text?.indexOf('/') ?? -1;
  return slash > 0 ? { kind: text!.slice(0, slash), name: text!.slice(slash + 1) } : undefined;
}
