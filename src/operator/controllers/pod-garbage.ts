import { objectKey } from '../../kube/reflector.ts';
import { resources } from '../../kube/resources.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { isFinished, isTerminating } from '../pods.ts';
import { WorkQueue } from '../queue.ts';

/** A node may be registering this very moment: its absence counts only after this time. */
const quarantineMs = 10_000;
/** Finished pods kept for people to look at. */
const keptFinished = 1_000;

/** Pods that no kubelet will ever clean up: their node is gone, or they never had one; and finished ones beyond a bound. */
export function runPodGarbage(context: Context): void {
  const { cluster, client, log, signal } = context;
  const missingSince = new Map<string, number>();
  const queue = new WorkQueue({ name: 'pod-garbage', handle, log, signal });
  enqueueOnChange(cluster.pods.table, pod => (pod.spec.nodeName || isTerminating(pod) ? [objectKey(pod)] : []), queue, signal);
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], { add: onNode }, signal);
  const trimFinished = new WorkQueue({ name: 'finished-pods', handle: trim, paceMs: 1_000, log, signal });
  enqueueOnChange(cluster.pods.table, pod => (isFinished(pod) ? ['*'] : []), trimFinished, signal);

  function onNode(name: string): void {
    if (cluster.nodes.get(name)) missingSince.delete(name);
    else for (const pod of cluster.podsByNode.get(name)) queue.add(objectKey(pod));
  }

  async function handle(key: string): Promise<number | void> {
    const pod = cluster.pods.get(key);
    if (!pod) return;
    const node = pod.spec.nodeName;
    if (!node) return isTerminating(pod) ? cluster.pods.delete(pod, { gracePeriodSeconds: 0 }) : undefined;
    if (cluster.nodes.get(node)) return;
    const since = missingSince.get(node) ?? context.now();
    missingSince.set(node, since);
    const left = since + quarantineMs - context.now();
    if (left > 0) return left;
    if (await client.get(resources.nodes, node)) return quarantineMs;
    log.info('pod of a node that is gone', { pod: key, node });
    await cluster.pods.delete(pod, { gracePeriodSeconds: 0 });
  }

  async function trim(): Promise<void> {
    const finished = [...cluster.pods.table.rows()].filter(p => isFinished(p) && !isTerminating(p));
    const surplus = finished.length - keptFinished;
    if (surplus <= 0) return;
    finished.sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1));
    for (const pod of finished.slice(0, surplus)) await cluster.pods.delete(pod, { gracePeriodSeconds: 0 });
  }
}
