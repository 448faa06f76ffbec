import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import type { Node } from '../../kube/types.ts';
import { enqueueOnChange, inParallel } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { planDaemonSet } from '../daemonset.ts';
import { canonicalJson, controllerOf } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { claim, podLanes } from './replicasets.ts';

export function runDaemonSets(context: Context): void {
  const { cluster, log, signal } = context;
  const queue = new WorkQueue({ name: 'daemonsets', handle, paceMs: 10, log, signal });
  enqueueOnChange(cluster.daemonSets.table, set => [objectKey(set)], queue, signal);
  enqueueOnChange(cluster.pods.table, pod => {
    const controller = controllerOf(pod);
    return controller?.kind === 'DaemonSet' ? [`${pod.metadata.namespace}/${controller.name}`] : [];
  }, queue, signal);
  const seen = new Map<string, string>();
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], { add: onNode }, signal);

  /** Heartbeats change nodes all the time; only what decides where pods go concerns daemons. */
  function onNode(name: string): void {
    const node = cluster.nodes.get(name);
    const now = node ? placementOf(node) : undefined;
    if (seen.get(name) === now) return;
    if (now === undefined) seen.delete(name);
    else seen.set(name, now);
    for (const set of cluster.daemonSets.table.keys()) queue.add(set);
  }

  async function handle(key: string): Promise<number | void> {
    const set = cluster.daemonSets.get(key);
    if (!set) return;
    const plan = planDaemonSet(set, cluster.nodes.table.rows(), await claim(context, set, set.spec.selector), context.now());
    await inParallel(plan.create, podLanes, pod => cluster.pods.create(pod));
    await inParallel(plan.remove, podLanes, pod => cluster.pods.delete(pod));
    const now = cluster.daemonSets.get(key) ?? set;
    const after = planDaemonSet(set, cluster.nodes.table.rows(), cluster.podsByOwner.get(set.metadata.uid ?? ''), context.now());
    if (!isDeepStrictEqual({ ...now.status }, { ...now.status, ...after.status })) await cluster.daemonSets.patch(set, { status: after.status }, { subresource: 'status' });
    return after.againMs;
  }
}

export function placementOf(node: Node): string {
  const { metadata, spec, status } = node;
  return canonicalJson([metadata.uid, metadata.labels, spec, status?.allocatable, metadata.deletionTimestamp]);
}
