import type { Condition, Job, JobStatus, Pod } from '../kube/types.ts';
import type { NewObject } from './collection.ts';
import { isActive, isFinished, isReady, isTerminating, podFromTemplate } from './pods.ts';

export interface JobPlan {
  readonly create: readonly NewObject[];
  readonly remove: readonly Pod[];
  readonly status: JobStatus;
  /** The job itself goes (ttlSecondsAfterFinished). */
  readonly expire: boolean;
  readonly againMs: number | undefined;
}

/** Pods until enough have succeeded, or too many have failed, or the time is over. */
export function planJob(job: Job, owned: readonly Pod[], nowMs: number): JobPlan {
  const { parallelism = 1, completions, backoffLimit = 6, suspend = false } = job.spec;
  const active = owned.filter(isActive);
  const succeeded = owned.filter(p => p.status?.phase === 'Succeeded').length;
  const failed = owned.filter(p => p.status?.phase === 'Failed' || (isTerminating(p) && !isFinished(p) && !suspend)).length;
  const restarts = active.reduce((n, p) => n + (p.spec.restartPolicy === 'OnFailure' ? restartsOf(p) : 0), 0);
  const startTime = job.status?.startTime ?? (suspend ? undefined : timeText(nowMs));
  const finished = finishedAs(job);
  const late = deadlineMs(job, startTime) <= nowMs;
  const verdict = finished ?? (
    late ? { type: 'Failed', reason: 'DeadlineExceeded', message: 'Job was active longer than specified deadline' }
    : failed + restarts > backoffLimit ? { type: 'Failed', reason: 'BackoffLimitExceeded', message: 'Job has reached the specified backoff limit' }
    : isComplete(completions, succeeded, active.length) ? { type: 'Complete', reason: 'CompletionsReached', message: 'Reached expected number of succeeded pods' }
    : undefined);
  const stop = verdict !== undefined || suspend || job.metadata.deletionTimestamp !== undefined;
  const wantActive = stop ? 0 : completions === undefined ? (succeeded > 0 ? active.length : parallelism) : Math.min(parallelism, completions - succeeded);
  const end = verdict ? (job.status?.completionTime ?? conditionTime(job, verdict.type) ?? timeText(nowMs)) : undefined;
  const status: JobStatus = {
    active: stop ? 0 : Math.max(wantActive, 0),
    ready: active.filter(isReady).length,
    succeeded,
    failed,
    ...(startTime === undefined ? {} : { startTime }),
    ...(verdict?.type === 'Complete' && end !== undefined ? { completionTime: end } : {}),
    conditions: conditionsOf(job, verdict, end),
  };
  const expiresMs = end === undefined || job.spec.ttlSecondsAfterFinished === undefined ? undefined : Date.parse(end) + job.spec.ttlSecondsAfterFinished * 1000;
  const wakeMs = expiresMs ?? (stop ? undefined : deadlineMs(job, startTime));
  const newPod = () => podFromTemplate(job, job.spec.template, `${job.metadata.name}-`);
  return {
    create: Array.from({ length: Math.max(0, wantActive - active.length) }, newPod),
    remove: active.slice(wantActive),
    status,
    expire: expiresMs !== undefined && expiresMs <= nowMs,
    againMs: wakeMs === undefined || !Number.isFinite(wakeMs) ? undefined : Math.max(0, wakeMs - nowMs),
  };
}

type Verdict = { readonly type: string; readonly reason: string; readonly message: string };

function finishedAs(job: Job): Verdict | undefined {
  const condition = job.status?.conditions?.find(c => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True');
  return condition && { type: condition.type, reason: condition.reason ?? '', message: condition.message ?? '' };
}

/** Without a number of completions, one success and no pod still at work is enough. */
function isComplete(completions: number | undefined, succeeded: number, active: number): boolean {
  return completions === undefined ? succeeded > 0 && active === 0 : succeeded >= completions;
}

function conditionsOf(job: Job, verdict: Verdict | undefined, at: string | undefined): readonly Condition[] {
  if (!verdict || at === undefined) return job.status?.conditions ?? [];
  if (finishedAs(job)) return job.status?.conditions ?? [];
  return [...(job.status?.conditions ?? []), { ...verdict, status: 'True', lastTransitionTime: at }];
}

function conditionTime(job: Job, type: string): string | undefined {
  return job.status?.conditions?.find(c => c.type === type)?.lastTransitionTime;
}

function deadlineMs(job: Job, startTime: string | undefined): number {
  if (job.spec.activeDeadlineSeconds === undefined || startTime === undefined) return Infinity;
  return Date.parse(startTime) + job.spec.activeDeadlineSeconds * 1000;
}

function restartsOf(pod: Pod): number {
  return (pod.status?.containerStatuses ?? []).reduce((n, c) => n + c.restartCount, 0);
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
