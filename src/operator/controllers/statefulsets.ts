import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import { enqueueOnChange, inParallel } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { controllerOf } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { planStatefulSet } from '../statefulset.ts';
import { claim, podLanes } from './replicasets.ts';

export function runStatefulSets(context: Context): void {
  const { cluster, log, signal } = context;
  const events = context.eventsAs('statefulset-controller');
  const queue = new WorkQueue({ name: 'statefulsets', handle, paceMs: 10, log, signal });
  enqueueOnChange(cluster.statefulSets.table, set => [objectKey(set)], queue, signal);
  enqueueOnChange(cluster.pods.table, pod => {
    const controller = controllerOf(pod);
    return controller?.kind === 'StatefulSet' ? [`${pod.metadata.namespace}/${controller.name}`] : [];
  }, queue, signal);

  async function handle(key: string): Promise<number | void> {
    const set = cluster.statefulSets.get(key);
    if (!set) return;
    const plan = planStatefulSet(set, await claim(context, set, set.spec.selector), context.now());
    await inParallel(plan.create, podLanes, async pod => {
      const made = await cluster.pods.create(pod);
      events.record(set, 'Normal', 'SuccessfulCreate', `create Pod ${made.metadata.name} in StatefulSet ${set.metadata.name} successful`);
    });
    await inParallel(plan.remove, podLanes, pod => cluster.pods.delete(pod));
    const now = cluster.statefulSets.get(key) ?? set;
    const after = planStatefulSet(set, cluster.podsByOwner.get(set.metadata.uid ?? ''), context.now());
    if (!isDeepStrictEqual({ ...now.status }, { ...now.status, ...after.status })) await cluster.statefulSets.patch(set, { status: after.status }, { subresource: 'status' });
    return after.againMs;
  }
}
