import type { Node, Pod } from '../../kube/types.ts';
import { enqueueOnChange, inParallel } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { evictInMs, nextHeartbeat, planNode, timeText } from '../nodes.ts';
import type { Heartbeat } from '../nodes.ts';
import { isTerminating, podCondition, withCondition } from '../pods.ts';
import { WorkQueue } from '../queue.ts';

const leaseNamespace = 'kube-node-lease';

/** Whether nodes are alive, what that means for them (conditions, taints) and for their pods (not ready, sent away). */
export function runNodes(context: Context): void {
  const { cluster, log, signal } = context;
  const events = context.eventsAs('node-controller');
  const heartbeats = new Map<string, Heartbeat>();
  const queue = new WorkQueue({ name: 'nodes', handle, log, signal });
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], queue, signal);
  enqueueOnChange(cluster.leases.table, lease => (lease.metadata.namespace === leaseNamespace ? [lease.metadata.name] : []), queue, signal);

  async function handle(name: string): Promise<number | void> {
    const node = cluster.nodes.get(name);
    if (!node) {
      heartbeats.delete(name);
      return;
    }
    const heartbeat = nextHeartbeat(heartbeats.get(name), cluster.leases.get(`${leaseNamespace}/${name}`), node, context.now());
    heartbeats.set(name, heartbeat);
    const plan = planNode(node, heartbeat, context.now());
    if (plan.conditions) {
      log.warn('node not heard of', { node: name, sinceMs: context.now() - heartbeat.heardMs });
      events.record(node, 'Normal', 'NodeNotReady', `Node ${name} status is now: NodeNotReady`);
      await cluster.nodes.patch(node, { status: { conditions: plan.conditions } }, { subresource: 'status', onlyIf: 'unchanged' });
    }
    const tainted = plan.taints ? await taint(cluster.nodes.get(name) ?? node, plan.taints) : node;
    const pods = cluster.podsByNode.get(name);
    if (!plan.alive) await inParallel(pods, 8, pod => markNotReady(pod));
    const evictionMs = await evict(tainted, pods);
    return evictionMs === undefined ? plan.againMs : Math.min(plan.againMs ?? evictionMs, evictionMs);
  }

  function taint(node: Node, taints: readonly object[]): Promise<Node> {
    return cluster.nodes.patch(node, { spec: { taints: taints.length > 0 ? taints : null } }, { onlyIf: 'unchanged' });
  }

  /** Services must stop sending to a node that is silent. */
  async function markNotReady(pod: Pod): Promise<void> {
    if (podCondition(pod, 'Ready')?.status !== 'True') return;
    const at = timeText(context.now());
    const conditions = withCondition(pod.status?.conditions, { type: 'Ready', status: 'False', reason: 'NodeNotReady' }, at);
    await cluster.pods.patch(pod, { status: { conditions } }, { subresource: 'status', onlyIf: 'unchanged' });
  }

  /** Returns ms until the next pod must go. */
  async function evict(node: Node, pods: readonly Pod[]): Promise<number | undefined> {
    let nextMs: number | undefined;
    const due: Pod[] = [];
    for (const pod of pods) {
      const ms = isTerminating(pod) ? undefined : evictInMs(pod, node, context.now());
      if (ms === 0) due.push(pod);
      else if (ms !== undefined) nextMs = Math.min(nextMs ?? ms, ms);
    }
    await inParallel(due, 8, async pod => {
      events.record(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${pod.metadata.namespace}/${pod.metadata.name}`);
      await cluster.pods.delete(pod);
    });
    return nextMs;
  }
}
