/** apps/v1, batch/v1, autoscaling and policy. */
const workload = (kind: string, sentence: string) => `
${kind}: ${sentence}
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec! ${kind}Spec : What is wanted.
  status ${kind}Status : What is observed.
`;

/** `numbers` are those of the wire format, 0 where the kind has no such field there. */
const condition = (name: string, numbers: readonly number[]) => `
${name}: One aspect of the current state.
  type! string #${numbers[0]} : Kind of condition.
  status! string #${numbers[1]} : True, False or Unknown.
  lastUpdateTime time #${numbers[2]} : When it was last updated.
  lastProbeTime time nullable #${numbers[3]} : When it was last checked.
  lastTransitionTime time nullable #${numbers[4]} : When the status last changed.
  reason string #${numbers[5]} : Why, in one word.
  message string #${numbers[6]} : Why, in a sentence.
`;

export const appsTypes = `
${workload('Deployment', 'Keeps a number of pods of one template and rolls changes out.')}
DeploymentSpec: What is wanted of a deployment.
  replicas int =1 : Wanted number of pods.
  selector! meta/LabelSelector : Labels of its pods; must match the template's. Cannot be changed.
  template! core/PodTemplateSpec : The pods.
  strategy DeploymentStrategy ={} strategy(retainKeys) : How pods are replaced.
  minReadySeconds int plain : Seconds that a pod must be ready to count as available.
  revisionHistoryLimit int =10 : Number of old replica sets to keep.
  paused bool plain : Whether changes are held back.
  progressDeadlineSeconds int =600 #9 : Seconds without progress after which the rollout has failed.

DeploymentStrategy: How pods are replaced.
  type string =RollingUpdate enum(Recreate,RollingUpdate) : Recreate or RollingUpdate.
  rollingUpdate RollingUpdateDeployment : Settings of RollingUpdate.

RollingUpdateDeployment: Settings of a rolling update.
  maxUnavailable intstr =25% : Pods that may be missing.
  maxSurge intstr =25% : Pods that may be too many.

DeploymentStatus: What is observed of a deployment.
  observedGeneration long plain : The generation that was seen.
  replicas int plain : Pods.
  updatedReplicas int plain : Pods of the newest template.
  readyReplicas int plain #7 : Pods that are ready.
  availableReplicas int plain #4 : Pods that are available.
  unavailableReplicas int plain #5 : Pods that are missing.
  terminatingReplicas int #9 : Pods that are terminating.
  conditions [DeploymentCondition] key(type) #6 : Observed conditions.
  collisionCount int #8 : Number of hash collisions.
${condition('DeploymentCondition', [1, 2, 6, 0, 7, 4, 5])}
${workload('ReplicaSet', 'Keeps a number of pods of one template.')}
ReplicaSetSpec: What is wanted of a replica set.
  replicas int =1 : Wanted number of pods.
  minReadySeconds int plain #4 : Seconds that a pod must be ready to count as available.
  selector! meta/LabelSelector #2 : Labels of its pods. Cannot be changed.
  template core/PodTemplateSpec #3 : The pods.

ReplicaSetStatus: What is observed of a replica set.
  replicas int : Pods.
  fullyLabeledReplicas int plain : Pods with all labels of the template.
  readyReplicas int plain #4 : Pods that are ready.
  availableReplicas int plain #5 : Pods that are available.
  terminatingReplicas int #7 : Pods that are terminating.
  observedGeneration long plain #3 : The generation that was seen.
  conditions [ReplicaSetCondition] key(type) #6 : Observed conditions.
${condition('ReplicaSetCondition', [1, 2, 0, 0, 3, 4, 5])}
${workload('DaemonSet', 'Keeps one pod on every node.')}
DaemonSetSpec: What is wanted of a daemon set.
  selector! meta/LabelSelector : Labels of its pods. Cannot be changed.
  template! core/PodTemplateSpec : The pods.
  updateStrategy DaemonSetUpdateStrategy ={} : How pods are replaced.
  minReadySeconds int plain : Seconds that a pod must be ready to count as available.
  revisionHistoryLimit int =10 #6 : Number of old revisions to keep.

DaemonSetUpdateStrategy: How pods are replaced.
  type string =RollingUpdate enum(RollingUpdate,OnDelete) : RollingUpdate or OnDelete.
  rollingUpdate RollingUpdateDaemonSet : Settings of RollingUpdate.

RollingUpdateDaemonSet: Settings of a rolling update.
  maxUnavailable intstr =1 : Nodes that may be without a pod.
  maxSurge intstr =0 : Nodes that may have two.

DaemonSetStatus: What is observed of a daemon set.
  currentNumberScheduled int : Nodes that run a pod and should.
  numberMisscheduled int : Nodes that run a pod and should not.
  desiredNumberScheduled int : Nodes that should run a pod.
  numberReady int : Nodes with a ready pod.
  observedGeneration long plain : The generation that was seen.
  updatedNumberScheduled int plain : Nodes with a pod of the newest template.
  numberAvailable int plain : Nodes with an available pod.
  numberUnavailable int plain : Nodes without one.
  collisionCount int : Number of hash collisions.
  conditions [DaemonSetCondition] key(type) : Observed conditions.
${condition('DaemonSetCondition', [1, 2, 0, 0, 3, 4, 5])}
${workload('StatefulSet', 'Keeps pods with names and volumes of their own.')}
StatefulSetSpec: What is wanted of a stateful set.
  replicas int =1 : Wanted number of pods.
  selector! meta/LabelSelector : Labels of its pods. Cannot be changed.
  template! core/PodTemplateSpec : The pods.
  volumeClaimTemplates [core/PersistentVolumeClaim] : Claims that every pod gets.
  serviceName string : Headless service that names the pods. Cannot be changed.
  podManagementPolicy string =OrderedReady enum(OrderedReady,Parallel) : Whether pods come one by one.
  updateStrategy StatefulSetUpdateStrategy ={} : How pods are replaced.
  revisionHistoryLimit int =10 : Number of old revisions to keep.
  minReadySeconds int plain : Seconds that a pod must be ready to count as available.
  persistentVolumeClaimRetentionPolicy any : What happens to claims.
  ordinals StatefulSetOrdinals : Numbers of the pods.

StatefulSetOrdinals: Numbers of the pods.
  start int : The first number.

StatefulSetUpdateStrategy: How pods are replaced.
  type string =RollingUpdate enum(RollingUpdate,OnDelete) : RollingUpdate or OnDelete.
  rollingUpdate RollingUpdateStatefulSetStrategy : Settings of RollingUpdate.

RollingUpdateStatefulSetStrategy: Settings of a rolling update.
  partition int =0 : Pods from this number on are replaced.
  maxUnavailable intstr : Pods that may be missing.

StatefulSetStatus: What is observed of a stateful set.
  observedGeneration long plain : The generation that was seen.
  replicas int : Pods.
  readyReplicas int plain : Pods that are ready.
  currentReplicas int plain : Pods of the current revision.
  updatedReplicas int plain : Pods of the update revision.
  currentRevision string : Current revision.
  updateRevision string : Update revision.
  collisionCount int #9 : Number of hash collisions.
  conditions [StatefulSetCondition] key(type) #10 : Observed conditions.
  availableReplicas int #11 : Pods that are available.
${condition('StatefulSetCondition', [1, 2, 0, 0, 3, 4, 5])}
ControllerRevision: A revision of a daemon set or stateful set.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  data any : The revision.
  revision! long : Its number.
`;

export const batchTypes = `
${workload('Job', 'Runs pods until a number of them have succeeded.')}
JobSpec: What is wanted of a job.
  parallelism int =1 : Pods at the same time.
  completions int : Successes that are wanted.
  activeDeadlineSeconds long : Seconds after which the job has failed.
  podFailurePolicy any #11 : How failures of pods count.
  successPolicy any #16 : When the job has succeeded.
  backoffLimit int =6 #7 : Retries before the job has failed.
  backoffLimitPerIndex int #12 : Retries of one index.
  maxFailedIndexes int #13 : Indexes that may fail.
  selector meta/LabelSelector #4 : Labels of its pods; set by the server.
  manualSelector bool #5 : Whether the selector is the user's.
  template! core/PodTemplateSpec #6 : The pods.
  ttlSecondsAfterFinished int #8 : Seconds after which a finished job is deleted.
  completionMode string =NonIndexed #9 : NonIndexed or Indexed.
  suspend bool =false #10 : Whether pods are held back.
  podReplacementPolicy string #14 : When pods are replaced.
  managedBy string #15 : Controller of the job.

JobStatus: What is observed of a job.
  conditions [JobCondition] key(type) : Observed conditions.
  startTime time nullable : When it started.
  completionTime time nullable : When it completed.
  active int plain : Pods that run.
  succeeded int plain : Pods that succeeded.
  failed int plain : Pods that failed.
  terminating int #11 : Pods that are terminating.
  completedIndexes string #7 : Indexes that completed.
  failedIndexes string #10 : Indexes that failed.
  uncountedTerminatedPods any #8 : Pods not yet counted.
  ready int #9 : Pods that are ready.
${condition('JobCondition', [1, 2, 0, 3, 4, 5, 6])}
JobTemplateSpec: The job that a cron job makes copies of.
  metadata meta/ObjectMeta : Metadata of the jobs.
  spec JobSpec : The jobs.

${workload('CronJob', 'Makes jobs on a schedule. Kept for manifests that have one; nothing here runs it.')}
CronJobSpec: What is wanted of a cron job.
  schedule! string : When, in cron format.
  timeZone string #8 : Time zone of the schedule.
  startingDeadlineSeconds long #2 : How late a job may start.
  concurrencyPolicy string =Allow enum(Allow,Forbid,Replace) #3 : What happens to jobs that overlap.
  suspend bool =false #4 : Whether jobs are held back.
  jobTemplate! JobTemplateSpec #5 : The jobs.
  successfulJobsHistoryLimit int =3 #6 : Successful jobs to keep.
  failedJobsHistoryLimit int =1 #7 : Failed jobs to keep.

CronJobStatus: What is observed of a cron job.
  active [core/ObjectReference] : Jobs that run.
  lastScheduleTime time nullable #4 : When a job was last made.
  lastSuccessfulTime time nullable #5 : When a job last succeeded.
`;

export const autoscalingTypes = `
Scale: The number of replicas of something that can be scaled.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec ScaleSpec : The wanted number.
  status ScaleStatus : The observed number.

ScaleSpec: The wanted number.
  replicas int plain : Number of replicas.

ScaleStatus: The observed number.
  replicas! int : Number of replicas.
  selector string : Label query of the replicas.
`;

export const policyTypes = `
PodDisruptionBudget: How many pods must stay while others are evicted.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Standard metadata.
  spec PodDisruptionBudgetSpec : The budget.
  status any : What is observed.

PodDisruptionBudgetSpec: The budget.
  minAvailable intstr : Pods that must stay.
  selector meta/LabelSelector strategy(replace) : The pods.
  maxUnavailable intstr : Pods that may be missing.
  unhealthyPodEvictionPolicy string : Whether unhealthy pods count.

Eviction: Asks to evict a pod from its node.
  apiVersion string
  kind string
  metadata meta/ObjectMeta : Names the pod.
  deleteOptions meta/DeleteOptions : Options of the deletion.
`;
