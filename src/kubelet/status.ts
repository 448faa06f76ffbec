/** The status of a pod from its object and its record. Pure. Phases and conditions as in Kubernetes' pod lifecycle. */
import type { Condition, Container, ContainerState, ContainerStatus, Pod, PodStatus, Terminated } from './types.ts';
import { isSidecar } from './types.ts';
import type { ContainerRecord, PodRecord } from './record.ts';

/** Why a container that is not running waits, by container name. */
export type Waiting = ReadonlyMap<string, { readonly reason: string; readonly message?: string }>;

export interface StatusInput {
  readonly pod: Pod;
  readonly record: PodRecord;
  readonly waiting: Waiting;
  readonly hostIPs: readonly string[];
  readonly now: Date;
  /** It has ended for good: not ready, whatever its probes said. One that is only being deleted serves until its containers end (KEP-1669). */
  readonly stopping: boolean;
}

export function podStatus(input: StatusInput): PodStatus {
  const { pod, record, hostIPs } = input;
  const init = (pod.spec.initContainers ?? []).map(c => containerStatus(c, input, true));
  const main = pod.spec.containers.map(c => containerStatus(c, input, false));
  const ips = record.sandbox?.ips ?? [];
  return {
    phase: phaseOf(pod, record),
    ...(record.terminal?.reason ? { reason: record.terminal.reason } : {}),
    ...(record.terminal?.message ? { message: record.terminal.message } : {}),
    ...(hostIPs.length > 0 ? { hostIP: hostIPs[0]!, hostIPs: hostIPs.map(ip => ({ ip })) } : {}),
    ...(ips.length > 0 ? { podIP: ips[0]!, podIPs: ips.map(ip => ({ ip })) } : {}),
    startTime: record.startTime,
    conditions: conditionsOf(input, init, main),
    ...(init.length > 0 ? { initContainerStatuses: init } : {}),
    containerStatuses: main,
    qosClass: qosClass(pod),
  };
}

/** Pending until every init container is done and some container has run; then by what the containers do. */
export function phaseOf(pod: Pod, record: PodRecord): string {
  if (record.terminal) return record.terminal.phase;
  const started = pod.spec.containers.some(c => record.containers[c.name] !== undefined && record.containers[c.name]!.state !== 'starting');
  return started ? 'Running' : 'Pending';
}

/**
 * What the whole pod has come to when none of its containers will run again; undefined while one may. An init container that
 * failed for good fails the pod.
 */
export function terminalPhase(pod: Pod, record: PodRecord): 'Succeeded' | 'Failed' | undefined {
  const policy = pod.spec.restartPolicy ?? 'Always';
  if (policy === 'Always') return undefined;
  const failedInit = (pod.spec.initContainers ?? []).some(c => !isSidecar(c) && policy === 'Never' && (record.containers[c.name]?.end?.exitCode ?? 0) !== 0);
  if (failedInit) return 'Failed';
  const ends = pod.spec.containers.map(c => record.containers[c.name]?.end);
  if (ends.some(end => end === undefined)) return undefined;
  const failed = ends.some(end => end!.exitCode !== 0);
  if (failed && policy === 'OnFailure') return undefined;
  return failed ? 'Failed' : 'Succeeded';
}

/** Guaranteed: limits on cpu and memory everywhere, equal to the requests; BestEffort: nothing anywhere; else Burstable. */
export function qosClass(pod: Pod): string {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const set = all.map(c => ({ limits: c.resources?.limits ?? {}, requests: { ...c.resources?.limits, ...c.resources?.requests } }));
  if (set.every(r => r.limits['cpu'] === undefined && r.limits['memory'] === undefined && r.requests['cpu'] === undefined && r.requests['memory'] === undefined)) return 'BestEffort';
  const guaranteed = set.every(r => ['cpu', 'memory'].every(name => r.limits[name] !== undefined && r.limits[name] === r.requests[name]));
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

function containerStatus(container: Container, { pod, record, waiting, stopping }: StatusInput, init: boolean): ContainerStatus {
  const c = record.containers[container.name];
  const running = c?.state === 'running';
  // An init container that is done counts as ready; a sidecar and a main one are what their probes say.
  const done = init && !isSidecar(container) && c?.end?.exitCode === 0;
  return {
    name: container.name,
    image: container.image ?? '',
    imageID: c ? `cirri://${container.image ?? ''}` : '',
    ...(c?.id ? { containerID: `runc://${c.id}` } : {}),
    ready: done || (running && c.ready && !stopping),
    started: done || (running && c.started),
    restartCount: c?.restartCount ?? 0,
    state: stateOf(container, c, pod, record, waiting),
    lastState: lastStateOf(c, waiting.has(container.name)),
  };
}

function stateOf(container: Container, c: ContainerRecord | undefined, pod: Pod, record: PodRecord, waiting: Waiting): ContainerState {
  const wait = waiting.get(container.name);
  if (c?.state === 'running') return { running: { startedAt: wholeSeconds(c.startedAt) } };
  if (wait && !record.terminal) return { waiting: wait };
  if (c?.end) return { terminated: c.end };
  const initsPending = (pod.spec.initContainers ?? []).some(i => !isSidecar(i) && record.containers[i.name]?.end?.exitCode !== 0);
  return { waiting: { reason: initsPending ? 'PodInitializing' : 'ContainerCreating' } };
}

/** While a container waits for its next run its end is the last state already. */
function lastStateOf(c: ContainerRecord | undefined, waits: boolean): ContainerState {
  const end: Terminated | undefined = waits && c?.state === 'exited' ? c.end ?? c.last : c?.last;
  return end ? { terminated: end } : {};
}

function conditionsOf(input: StatusInput, init: readonly ContainerStatus[], main: readonly ContainerStatus[]): Condition[] {
  const { pod, record, now } = input;
  const before = pod.status?.conditions ?? [];
  const succeeded = record.terminal?.phase === 'Succeeded';
  const unready = main.filter(c => !c.ready).map(c => c.name);
  const uninitialized = (pod.spec.initContainers ?? []).filter((c, i) => (isSidecar(c) ? !init[i]!.started : !init[i]!.ready)).map(c => c.name);
  const initialized = uninitialized.length === 0;
  const containersReady = unready.length === 0;
  const gates = (pod.spec.readinessGates ?? []).filter(g => before.find(c => c.type === g.conditionType)?.status !== 'True').map(g => g.conditionType);
  const notReady = succeeded
    ? { reason: 'PodCompleted' }
    : !containersReady
      ? { reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` }
      : gates.length > 0 ? { reason: 'ReadinessGatesNotReady', message: `the status of pod readiness gate "${gates[0]}" is not "True"` } : undefined;
  const ours: Condition[] = [
    condition('PodReadyToStartContainers', record.sandbox?.ready === true),
    condition('Initialized', initialized || succeeded, initialized ? {} : { reason: 'ContainersNotInitialized', message: `containers with incomplete status: [${uninitialized.join(' ')}]` }),
    condition('Ready', containersReady && gates.length === 0, notReady),
    condition('ContainersReady', containersReady, containersReady ? {} : notReady),
    condition('PodScheduled', true),
  ];
  // Conditions of others (readiness gates, DisruptionTarget) are kept as they are.
  const others = before.filter(c => !ours.some(o => o.type === c.type));
  return [...ours.map(c => keepTransition(c, before.find(b => b.type === c.type), now)), ...others];
}

function condition(type: string, holds: boolean, why: { reason?: string; message?: string } = {}): Condition {
  return { type, status: holds ? 'True' : 'False', ...why };
}

function keepTransition(next: Condition, before: Condition | undefined, now: Date): Condition {
  const kept = before?.status === next.status ? before.lastTransitionTime : undefined;
  return { ...next, lastTransitionTime: kept ?? wholeSeconds(now.toISOString()) };
}

export function wholeSeconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}
