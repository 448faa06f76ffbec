import { isDeepStrictEqual } from 'node:util';
import { objectKey } from '../../kube/reflector.ts';
import { enqueueOnChange, inParallel } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { planJob } from '../job.ts';
import { controllerOf } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { podLanes } from './replicasets.ts';

export function runJobs(context: Context): void {
  const { cluster, log, signal } = context;
  const queue = new WorkQueue({ name: 'jobs', handle, paceMs: 10, log, signal });
  enqueueOnChange(cluster.jobs.table, job => [objectKey(job)], queue, signal);
  enqueueOnChange(cluster.pods.table, pod => {
    const controller = controllerOf(pod);
    return controller?.kind === 'Job' ? [`${pod.metadata.namespace}/${controller.name}`] : [];
  }, queue, signal);

  async function handle(key: string): Promise<number | void> {
    const job = cluster.jobs.get(key);
    if (!job) return;
    const plan = planJob(job, cluster.podsByOwner.get(job.metadata.uid ?? ''), context.now());
    if (plan.expire) return cluster.jobs.delete(job, { propagationPolicy: 'Background' });
    await inParallel(plan.create, podLanes, pod => cluster.pods.create(pod));
    await inParallel(plan.remove, podLanes, pod => cluster.pods.delete(pod));
    const now = cluster.jobs.get(key) ?? job;
    if (!isDeepStrictEqual({ ...now.status }, { ...now.status, ...plan.status })) await cluster.jobs.patch(job, { status: plan.status }, { subresource: 'status' });
    return plan.againMs;
  }
}
