import { isNotFound } from '../../kube/errors.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { Node, Pod } from '../../kube/types.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { Placements, placePod } from '../placement.ts';
import { isFinished, isTerminating, podCondition, withCondition } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { timeText } from '../nodes.ts';
import { placementOf } from './daemonsets.ts';

/**
 * Gives every pod without a node the best one. Decisions are made one after the other, each seeing all before it (also those
 * that the API has not confirmed); bindings run beside each other. A pod that fits nowhere waits for a change of the nodes or
 * for a pod to go, never for a clock.
 */
export function runScheduler(context: Context): void {
  const { cluster, client, log, signal } = context;
  const events = context.eventsAs('default-scheduler');
  const placements = new Placements();
  /** Decided here, not yet seen in the table. */
  const assumed = new Map<string, { readonly uid: string | undefined; readonly node: string }>();
  const unschedulable = new Set<string>();
  const nodes = new Map<string, { readonly node: Node; readonly placement: string }>();
  let turn = 0;
  const queue = new WorkQueue({ name: 'scheduler', handle, concurrency: 32, log, signal });
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], { add: onNode }, signal);
  enqueueOnChange(cluster.pods.table, pod => [objectKey(pod)], { add: onPod }, signal);

  function onNode(name: string): void {
    const node = cluster.nodes.get(name);
    const before = nodes.get(name);
    if (!node) nodes.delete(name);
    else {
      const placement = placementOf(node);
      nodes.set(name, { node, placement });
      if (before?.placement === placement) return;
    }
    retryAll();
  }

  function onPod(key: string): void {
    const pod = cluster.pods.get(key);
    const guess = assumed.get(key);
    if (pod && guess && pod.metadata.uid === guess.uid && !pod.spec.nodeName) return;
    assumed.delete(key);
    placements.put(key, pod);
    if (!pod) unschedulable.delete(key);
    if (!pod || isFinished(pod)) return retryAll();
    if (waits(pod)) queue.add(key);
  }

  function retryAll(): void {
    for (const key of unschedulable) queue.add(key);
    unschedulable.clear();
  }

  async function handle(key: string): Promise<void> {
    const pod = cluster.pods.get(key);
    if (!pod || !waits(pod) || assumed.has(key)) return;
    const decision = placePod(pod, rotated(), placements);
    if ('reason' in decision) {
      unschedulable.add(key);
      return report(pod, decision.reason);
    }
    assumed.set(key, { uid: pod.metadata.uid, node: decision.node });
    placements.put(key, pod, decision.node);
    try {
      await bind(pod, decision.node);
      events.record(pod, 'Normal', 'Scheduled', `Successfully assigned ${key} to ${decision.node}`);
    } catch (error) {
      assumed.delete(key);
      placements.put(key, cluster.pods.get(key));
      if (!isNotFound(error)) throw error;
    }
  }

  function bind(pod: Pod, node: string): Promise<unknown> {
    const { name, namespace, uid } = pod.metadata;
    return client.createSubresource(cluster.pods.resource, name, namespace, 'binding', {
      apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace, uid }, target: { apiVersion: 'v1', kind: 'Node', name: node },
    });
  }

  /** Each pod starts with another node, so that equal nodes share. */
  function rotated(): Node[] {
    const all = [...nodes.values()].map(n => n.node);
    const start = all.length === 0 ? 0 : turn++ % all.length;
    return [...all.slice(start), ...all.slice(0, start)];
  }

  async function report(pod: Pod, reason: string): Promise<void> {
    events.record(pod, 'Warning', 'FailedScheduling', reason);
    const old = podCondition(pod, 'PodScheduled');
    if (old?.status === 'False' && old.message === reason) return;
    const conditions = withCondition(pod.status?.conditions, { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: reason }, timeText(context.now()));
    await cluster.pods.patch(pod, { status: { conditions } }, { subresource: 'status' });
  }
}

function waits(pod: Pod): boolean {
  const mine = pod.spec.schedulerName === undefined || pod.spec.schedulerName === 'default-scheduler';
  return mine && !pod.spec.nodeName && !isFinished(pod) && !isTerminating(pod) && (pod.spec.schedulingGates ?? []).length === 0;
}
