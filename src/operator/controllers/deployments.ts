import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists } from '../../kube/errors.ts';
import { objectKey } from '../../kube/reflector.ts';
import { matchesSelector } from '../../kube/selector.ts';
import type { Deployment, Pod, ReplicaSet } from '../../kube/types.ts';
import { enqueueOnChange, ownedAndOrphans } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { planDeployment } from '../deployment.ts';
import type { DeploymentPlan } from '../deployment.ts';
import { controllerOf, ownedBy } from '../pods.ts';
import { WorkQueue } from '../queue.ts';

export function runDeployments(context: Context): void {
  const { cluster, log, signal } = context;
  const events = context.eventsAs('deployment-controller');
  const queue = new WorkQueue({ name: 'deployments', handle, paceMs: 10, log, signal });
  enqueueOnChange(cluster.deployments.table, d => [objectKey(d)], queue, signal);
  enqueueOnChange(cluster.replicaSets.table, set => deploymentsOf(set), queue, signal);
  // Recreate waits for the last old pod to be gone, which its replica set does not report.
  enqueueOnChange(cluster.pods.table, pod => deploymentsOfPod(pod), queue, signal);

  function deploymentsOf(set: ReplicaSet): string[] {
    const controller = controllerOf(set);
    if (controller) return controller.kind === 'Deployment' ? [`${set.metadata.namespace}/${controller.name}`] : [];
    return [...cluster.deployments.table.rows()].filter(d => isOrphanOf(d, set)).map(objectKey);
  }

  function deploymentsOfPod(pod: Pod): string[] {
    const controller = controllerOf(pod);
    if (controller?.kind !== 'ReplicaSet') return [];
    const set = cluster.replicaSets.get(`${pod.metadata.namespace}/${controller.name}`);
    const keys = set ? deploymentsOf(set) : [];
    return keys.filter(key => cluster.deployments.get(key)?.spec.strategy?.type === 'Recreate');
  }

  async function handle(key: string): Promise<number | void> {
    const deployment = cluster.deployments.get(key);
    if (!deployment) return;
    const plan = planOf(deployment, await claimSets(deployment));
    await carryOut(deployment, plan);
    const now = cluster.deployments.get(key);
    if (!now || now.metadata.uid !== deployment.metadata.uid) return;
    const { status, againMs } = planOf(now, cluster.replicaSetsByOwner.get(now.metadata.uid ?? ''));
    if (!isDeepStrictEqual({ ...now.status }, { ...now.status, ...status })) await cluster.deployments.patch(now, { status }, { subresource: 'status' });
    return againMs;
  }

  function planOf(deployment: Deployment, sets: readonly ReplicaSet[]): DeploymentPlan {
    const pods = deployment.spec.strategy?.type === 'Recreate' ? sets.flatMap(s => cluster.podsByOwner.get(s.metadata.uid ?? '')) : [];
    return planDeployment(deployment, sets, pods, context.now());
  }

  async function claimSets(deployment: Deployment): Promise<ReplicaSet[]> {
    const sets: ReplicaSet[] = [];
    for (const set of ownedAndOrphans(cluster.replicaSetsByOwner, deployment)) {
      if (controllerOf(set)?.uid === deployment.metadata.uid) sets.push(set);
      else if (isOrphanOf(deployment, set)) {
        const ownerReferences = [...(set.metadata.ownerReferences ?? []), ownedBy(deployment)];
        sets.push(await cluster.replicaSets.patch(set, { metadata: { ownerReferences } }, { onlyIf: 'unchanged' }));
      }
    }
    return sets;
  }

  async function carryOut(deployment: Deployment, plan: DeploymentPlan): Promise<void> {
    const key = 'deployment.kubernetes.io/revision';
    if (deployment.metadata.deletionTimestamp === undefined && deployment.metadata.annotations?.[key] !== plan.revision) {
      await cluster.deployments.patch(deployment, { metadata: { annotations: { [key]: plan.revision } } });
    }
    if (plan.create) await create(deployment, plan.create);
    for (const { set, replicas, annotations } of plan.change) {
      await cluster.replicaSets.patch(set, { metadata: { annotations }, spec: { replicas } }, { onlyIf: 'unchanged' });
      const from = set.spec.replicas ?? 1;
      if (from !== replicas) events.record(deployment, 'Normal', 'ScalingReplicaSet', `Scaled ${from < replicas ? 'up' : 'down'} replica set ${set.metadata.name} from ${from} to ${replicas}`);
    }
    for (const set of plan.remove) await cluster.replicaSets.delete(set);
  }

  async function create(deployment: Deployment, set: NonNullable<DeploymentPlan['create']>): Promise<void> {
    try {
      const made = await cluster.replicaSets.create(set);
      if (made.spec.replicas) events.record(deployment, 'Normal', 'ScalingReplicaSet', `Scaled up replica set ${made.metadata.name} from 0 to ${made.spec.replicas}`);
    } catch (error) {
      // It is there already and this process only does not see it yet: the watch will bring this key back.
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

function isOrphanOf(deployment: Deployment, set: ReplicaSet): boolean {
  return set.metadata.namespace === deployment.metadata.namespace && controllerOf(set) === undefined && set.metadata.deletionTimestamp === undefined
    && deployment.metadata.deletionTimestamp === undefined && matchesSelector(deployment.spec.selector, set.metadata.labels);
}
