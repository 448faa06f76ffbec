import { asArray, asObjects, asString, at } from '../object.ts';
import type { KubeObject } from '../object.ts';
import { ageOf, humanDuration } from './age.ts';
import type { Column } from './column.ts';
import { ageColumn, column, labelsText, nameColumn, none, number, selectorColumn, templateColumns, wide } from './common.ts';

const count = (name: string, description: string, ...path: readonly string[]) => column(name, description, o => number(o, ...path), 'integer');

function jobCompletions(job: KubeObject): string {
  const wanted = at(job, 'spec', 'completions');
  const done = number(job, 'status', 'succeeded');
  if (wanted !== undefined) return `${done}/${String(wanted)}`;
  const parallel = number(job, 'spec', 'parallelism');
  return parallel > 1 ? `${done}/1 of ${parallel}` : `${done}/1`;
}

function jobStatus(job: KubeObject): string {
  const has = (type: string) => asObjects(at(job, 'status', 'conditions')).some(c => c['type'] === type && c['status'] === 'True');
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp) return 'Terminating';
  if (has('Suspended')) return 'Suspended';
  return has('FailureTarget') ? 'FailureTarget' : has('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function jobDuration(job: KubeObject, now: Date): string {
  const start = asString(at(job, 'status', 'startTime'));
  const end = asString(at(job, 'status', 'completionTime'));
  if (!start) return '';
  return end ? humanDuration((Date.parse(end) - Date.parse(start)) / 1000) : ageOf(start, now);
}

const orText = (value: unknown, text: string): string => (value === undefined || value === null || value === '' ? text : String(value));

export const workloadColumns: Readonly<Record<string, readonly Column[]>> = {
  'apps/deployments': [
    nameColumn,
    column('Ready', 'Pods that are ready, of those wanted.', o => `${number(o, 'status', 'readyReplicas')}/${number(o, 'spec', 'replicas')}`),
    count('Up-to-date', 'Pods of the newest template.', 'status', 'updatedReplicas'),
    count('Available', 'Pods that are available.', 'status', 'availableReplicas'),
    ageColumn, ...templateColumns, selectorColumn,
  ],
  'apps/replicasets': [
    nameColumn, count('Desired', 'Pods that are wanted.', 'spec', 'replicas'), count('Current', 'Pods that there are.', 'status', 'replicas'),
    count('Ready', 'Pods that are ready.', 'status', 'readyReplicas'), ageColumn, ...templateColumns, selectorColumn,
  ],
  'apps/daemonsets': [
    nameColumn, count('Desired', 'Nodes that should run a pod.', 'status', 'desiredNumberScheduled'), count('Current', 'Nodes that run one.', 'status', 'currentNumberScheduled'),
    count('Ready', 'Nodes with a ready pod.', 'status', 'numberReady'), count('Up-to-date', 'Nodes with a pod of the newest template.', 'status', 'updatedNumberScheduled'),
    count('Available', 'Nodes with an available pod.', 'status', 'numberAvailable'),
    column('Node Selector', 'Labels of the nodes.', o => labelsText(at(o, 'spec', 'template', 'spec', 'nodeSelector'))),
    ageColumn, ...templateColumns, selectorColumn,
  ],
  'apps/statefulsets': [
    nameColumn, column('Ready', 'Pods that are ready, of those wanted.', o => `${number(o, 'status', 'readyReplicas')}/${number(o, 'spec', 'replicas')}`), ageColumn, ...templateColumns,
  ],
  'apps/controllerrevisions': [
    nameColumn,
    column('Controller', 'Whose revision it is.', o => {
      const owner = asObjects(o.metadata['ownerReferences']).find(r => r['controller'] === true);
      return owner ? `${String(owner['kind']).toLowerCase()}.apps/${String(owner['name'])}` : none;
    }),
    column('Revision', 'Its number.', o => number(o, 'revision'), 'integer'),
    ageColumn,
  ],
  'batch/jobs': [
    nameColumn, column('Status', 'State of the job.', jobStatus), column('Completions', 'Successes, of those wanted.', jobCompletions), column('Duration', 'How long it took.', jobDuration),
    ageColumn, ...templateColumns, selectorColumn,
  ],
  'batch/cronjobs': [
    nameColumn, column('Schedule', 'When.', o => orText(at(o, 'spec', 'schedule'), none)), column('Timezone', 'Time zone.', o => orText(at(o, 'spec', 'timeZone'), none)),
    column('Suspend', 'Whether it is held back.', o => (at(o, 'spec', 'suspend') === true ? 'True' : 'False')),
    column('Active', 'Jobs that run.', o => asArray(at(o, 'status', 'active')).length, 'integer'),
    column('Last Schedule', 'When a job was last made.', (o, now) => {
      const time = asString(at(o, 'status', 'lastScheduleTime'));
      return time ? ageOf(time, now) : none;
    }),
    ageColumn,
    wide('Containers', 'Names of the containers.', o => jobContainers(o, 'name')), wide('Images', 'Images of the containers.', o => jobContainers(o, 'image')),
    wide('Selector', 'Labels of the pods.', () => none),
  ],
  'policy/poddisruptionbudgets': [
    nameColumn, column('Min Available', 'Pods that must stay.', o => orText(at(o, 'spec', 'minAvailable'), 'N/A')), column('Max Unavailable', 'Pods that may be missing.', o => orText(at(o, 'spec', 'maxUnavailable'), 'N/A')),
    column('Allowed Disruptions', 'Pods that may be evicted now.', o => number(o, 'status', 'disruptionsAllowed'), 'integer'), ageColumn,
  ],
};

function jobContainers(cronJob: KubeObject, field: string): string {
  return asObjects(at(cronJob, 'spec', 'jobTemplate', 'spec', 'template', 'spec', 'containers')).map(c => asString(c[field]) ?? '').join(',');
}
