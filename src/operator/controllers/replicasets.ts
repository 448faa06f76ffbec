import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import { matchesSelector } from '../../kube/selector.ts';
import type { KubeObject, LabelSelector, Pod, ReplicaSet } from '../../kube/types.ts';
import { enqueueOnChange, inParallel, ownedAndOrphans } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { controllerOf, ownedBy, podFromTemplate } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { claimPods, planReplicaSet } from '../replicaset.ts';

/** Requests under way at once for one owner: enough to make 200 pods in well under a second. */
export const podLanes = 16;

export function runReplicaSets(context: Context): void {
  const { cluster, log, signal } = context;
  const events = context.eventsAs('replicaset-controller');
  const queue = new WorkQueue({ name: 'replicasets', handle, paceMs: 10, log, signal });
  enqueueOnChange(cluster.replicaSets.table, set => [objectKey(set)], queue, signal);
  enqueueOnChange(cluster.pods.table, pod => setsOf(pod), queue, signal);

  function setsOf(pod: Pod): string[] {
    const controller = controllerOf(pod);
    if (controller) return controller.kind === 'ReplicaSet' ? [`${pod.metadata.namespace}/${controller.name}`] : [];
    return [...cluster.replicaSets.table.rows()]
      .filter(s => s.metadata.namespace === pod.metadata.namespace && matchesSelector(s.spec.selector, pod.metadata.labels)).map(objectKey);
  }

  async function handle(key: string): Promise<number | void> {
    const set = cluster.replicaSets.get(key);
    if (!set) return;
    const plan = planReplicaSet(set, await claim(context, set, set.spec.selector), context.now());
    await createPods(set, plan.create);
    await removePods(set, plan.remove);
    const now = cluster.replicaSets.get(key) ?? set;
    const after = planReplicaSet(set, cluster.podsByOwner.get(set.metadata.uid ?? ''), context.now());
    if (!isDeepStrictEqual({ ...now.status }, after.status)) await cluster.replicaSets.patch(set, { status: after.status }, { subresource: 'status' });
    return after.againMs;
  }

  async function createPods(set: ReplicaSet, count: number): Promise<void> {
    await inParallel(new Array<undefined>(count).fill(undefined), podLanes, async () => {
      try {
        const pod = await cluster.pods.create(podFromTemplate(set, set.spec.template, `${set.metadata.name}-`));
        events.record(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
      } catch (error) {
        events.record(set, 'Warning', 'FailedCreate', `Error creating: ${String(error)}`);
        throw error;
      }
    });
  }

  async function removePods(set: ReplicaSet, pods: readonly Pod[]): Promise<void> {
    await inParallel(pods, podLanes, async pod => {
      await cluster.pods.delete(pod);
      events.record(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
    });
  }
}

/** The pods of an owner, after adopting what matches and belongs to nobody and letting go of what matches no longer. */
export async function claim(context: Context, owner: KubeObject, selector: LabelSelector): Promise<Pod[]> {
  const { pods, podsByOwner } = context.cluster;
  const { owned, adopt, release } = claimPods(owner, selector, ownedAndOrphans(podsByOwner, owner));
  const adopted: Pod[] = [];
  await inParallel(adopt, podLanes, async pod => {
    const ownerReferences = [...(pod.metadata.ownerReferences ?? []), ownedBy(owner)];
    adopted.push(await pods.patch(pod, { metadata: { ownerReferences } }, { onlyIf: 'unchanged' }));
  });
  await inParallel(release, podLanes, pod => {
    const ownerReferences = (pod.metadata.ownerReferences ?? []).filter(r => r.uid !== owner.metadata.uid);
    return pods.patch(pod, { metadata: { ownerReferences } }, { onlyIf: 'unchanged' });
  });
  return [...owned, ...adopted];
}
