/**
 * One pod of this node: brings what runs to what the object says, from whatever state it finds, and reports.
 *
 *     object (API, or pod.json while it is away) ─┐
 *     record (state.json)                         ├─► turn ─► at most one step each of: sandbox, volumes, init, containers, stop
 *     ends (files of the shims), probes           ┘           └─► record, events, status
 *
 * Everything that happens only marks; the loop takes one turn at a time. A turn that fails is taken again, later each time.
 */
import { isDeepStrictEqual } from 'node:util';
import { backoffMs, Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { retryMs } from './cni.ts';
import { aboutPod } from './context.ts';
import type { Dependencies } from './context.ts';
import { ConfigError } from './env.ts';
import { resolveImage } from './images.ts';
import { bundleDir, cgroupPath, containerId, factsOf, launch, terminationMessage } from './launch.ts';
import { runHandler } from './probe.ts';
import type { ProbeContext } from './probe.ts';
import { isAlive } from './process.ts';
import { runProber } from './prober.ts';
import { newRecord } from './record.ts';
import type { ContainerRecord, PodRecord } from './record.ts';
import { StartError } from './runtime.ts';
import type { Exit } from './runtime.ts';
import { ensureSandbox, removeSandbox, sandboxExists } from './sandbox.ts';
import { podStatus, terminalPhase, wholeSeconds } from './status.ts';
import type { Container, Pod, PodStatus, Terminated } from './types.ts';
import { isSidecar } from './types.ts';
import { prepareVolumes, removeVolumes } from './volumes.ts';
import type { VolumeDirs, VolumePaths } from './volumes.ts';

const crashPauseMs = { first: 10_000, most: 300_000, forgivenAfter: 600_000 };
/** A pod whose object vanished was deleted by force: it gets this long. */
const goneGraceMs = 2_000;
const lostCheckMs = 10_000;
/** A shim writes its process id within a millisecond of its start; a busy machine gets this long. */
const shimComesUpMs = 2_000;
const startLookMs = 50;

export class PodWorker {
  readonly uid: string;
  readonly record: PodRecord;
  readonly #d: Dependencies;
  readonly #log: Logger;
  readonly #mark = new Signal();
  readonly #waiting = new Map<string, { reason: string; message?: string }>();
  readonly #probers = new Map<string, AbortController>();
  /** Containers whose stop has been asked for, and when SIGKILL follows. */
  readonly #stopping = new Map<string, number>();
  #pod: Pod | undefined;
  /** The object is no more, or is another pod's by now. */
  #gone = false;
  #volumes: VolumePaths | undefined;
  #volumesStale = false;
  #failures = 0;
  #wakeAt = 0;
  #publishing = false;
  #published: PodStatus | undefined;
  #finished = false;

  constructor(dependencies: Dependencies, pod: Pod, record?: PodRecord) {
    this.#d = dependencies;
    this.uid = pod.metadata.uid ?? '';
    this.#pod = pod;
    this.record = record ?? newRecord(pod, new Date());
    this.#log = dependencies.log.with({ pod: `${this.record.namespace}/${this.record.name}` });
    if (!record) dependencies.store.save(this.record);
    dependencies.store.savePod(pod);
  }

  get pod(): Pod | undefined {
    return this.#pod;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** The containers' ids: whose ends concern this pod. */
  owns(id: string): boolean {
    return Object.values(this.record.containers).some(c => c.id === id);
  }

  /** The object as it is now; undefined: it is no more. */
  setPod(pod: Pod | undefined): void {
    if (pod === undefined) {
      this.#gone = true;
    } else {
      const before = this.#pod;
      this.#pod = pod;
      if (!isDeepStrictEqual([before?.spec, before?.metadata.labels, before?.metadata.annotations], [pod.spec, pod.metadata.labels, pod.metadata.annotations])) {
        this.#d.store.savePod(pod);
        this.#volumesStale = true;
      }
    }
    this.nudge();
  }

  nudge(): void {
    this.#mark.mark();
  }

  /** ConfigMaps and tokens may have changed. */
  refreshVolumes(): void {
    this.#volumesStale = true;
    this.nudge();
  }

  /** Until the pod is gone for good or the signal aborts (then everything goes on running). */
  async run(signal: AbortSignal): Promise<void> {
    this.nudge();
    while (!signal.aborted && !this.#finished) {
      await this.#mark.wait({ timeoutMs: this.#pauseMs(), signal });
      if (signal.aborted) break;
      try {
        this.#wakeAt = 0;
        await this.#turn();
        this.#failures = 0;
      } catch (error) {
        this.#failures++;
        this.#wake(retryMs(error, this.#failures));
        this.#log.warn('a turn failed, it is taken again', { error: errorText(error), attempts: this.#failures });
      }
      this.#publish();
    }
    for (const prober of this.#probers.values()) prober.abort();
  }

  /** Exec in a running container, as probes and hooks and kubectl do it. */
  containerRecord(name: string): ContainerRecord | undefined {
    return this.record.containers[name];
  }

  async #turn(): Promise<void> {
    this.#observe();
    const pod = this.#pod!;
    const leaving = this.#gone || pod.metadata.deletionTimestamp !== undefined;
    if (!leaving && !this.record.terminal) {
      await this.#converge(pod);
      if (!this.record.terminal) return;
    }
    if (!(await this.#stopAll(pod, leaving))) return;
    await this.#takeDown();
    if (leaving) await this.#leave(pod);
  }

  // What has happened ------------------------------------------------------------------------------------------------------

  #observe(): void {
    for (const c of Object.values(this.record.containers)) {
      if (c.state === 'exited') continue;
      const exit = this.#d.runtime.exitOf(c.id);
      if (exit) this.#onExit(c, exit);
      else if (c.state === 'starting') this.#adoptStart(c);
      else if (!isAlive(c.shimPid, c.shimStart)) this.#onShimGone(c);
    }
    if (this.record.sandbox?.ready && !sandboxExists(this.record.sandbox)) {
      // A reboot: nothing of the pod is left but its record.
      this.record.sandbox.ready = false;
      this.#d.store.save(this.record);
    }
  }

  /** A start that an earlier life began: it comes about while its shim lives, or it did not. Until then nothing else is started in its place. */
  #adoptStart(c: ContainerRecord): void {
    const bundle = bundleDir(this.record, c.name, c.attempt, this.#d);
    const started = this.#d.runtime.adopt(bundle);
    if (started) {
      Object.assign(c, started, { state: 'running' });
      this.#d.store.save(this.record);
    } else if (this.#d.runtime.shimRuns(bundle) ?? Date.now() - Date.parse(c.startedAt) < shimComesUpMs) {
      this.#wake(startLookMs);
    } else {
      this.#onShimGone(c);
    }
  }

  /** The record of the end is written before the shim ends: seen dead, its word is there or will never come. */
  #onShimGone(c: ContainerRecord): void {
    const exit = this.#d.runtime.exitOf(c.id);
    if (exit) this.#onExit(c, exit);
    else this.#onLost(c);
  }

  /** Its shim is gone without a word: nobody reads its output or will know its end, so it may not go on. */
  #onLost(c: ContainerRecord): void {
    const now = new Date().toISOString();
    this.#d.runtime.cgroups.kill(cgroupPath(this.uid, c.name, c.attempt, this.#d));
    this.#end(c, { exitCode: 137, reason: 'ContainerStatusUnknown', message: 'the container was lost together with its shim', finishedAt: wholeSeconds(now), containerID: `runc://${c.id}` });
  }

  #onExit(c: ContainerRecord, exit: Exit): void {
    const outOfMemory = exit.started && this.#d.runtime.cgroups.outOfMemory(cgroupPath(this.uid, c.name, c.attempt, this.#d));
    const container = this.#pod && this.#containers(this.#pod).find(s => s.name === c.name);
    const message = exit.started ? terminationMessage(container, c, this.record, exit.exitCode !== 0, this.#d) : c.end?.message;
    this.#end(c, {
      // Kubernetes' code for a container whose command could not be run.
      exitCode: exit.started ? exit.exitCode : 128,
      ...(exit.signal ? { signal: exit.signal } : {}),
      reason: !exit.started ? 'StartError' : outOfMemory ? 'OOMKilled' : exit.exitCode === 0 ? 'Completed' : 'Error',
      ...(message ? { message } : {}),
      startedAt: wholeSeconds(exit.startedAt),
      finishedAt: wholeSeconds(exit.finishedAt),
      containerID: `runc://${c.id}`,
    });
  }

  #end(c: ContainerRecord, end: Terminated): void {
    this.#probers.get(c.name)?.abort();
    this.#probers.delete(c.name);
    this.#stopping.delete(c.name);
    c.state = 'exited';
    c.end = end;
    c.ready = c.started = false;
    const ran = Date.parse(end.finishedAt ?? '') - Date.parse(c.startedAt);
    if (ran > crashPauseMs.forgivenAfter) c.backoffMs = 0;
    // The first crash brings the container back at once, each further one after twice the pause.
    c.restartAt = Date.now() + c.backoffMs;
    c.backoffMs = c.backoffMs === 0 ? crashPauseMs.first : Math.min(c.backoffMs * 2, crashPauseMs.most);
    this.#d.store.save(this.record);
    const { id, name, attempt } = c;
    void this.#d.runtime.forget(id, bundleDir(this.record, name, attempt, this.#d), cgroupPath(this.uid, name, attempt, this.#d));
  }

  // Towards running ----------------------------------------------------------------------------------------------------------

  async #converge(pod: Pod): Promise<void> {
    const late = this.#pastDeadline(pod);
    if (late) return this.#finish('Failed', 'DeadlineExceeded', late);
    if (!this.record.sandbox?.ready) await this.#d.starts.run(() => this.#makeSandbox(pod));
    if (!(await this.#makeVolumes(pod))) return;
    if (await this.#initContainers(pod)) {
      for (const container of pod.spec.containers) await this.#keepRunning(pod, container);
    }
    const phase = terminalPhase(pod, this.record);
    if (phase) this.#finish(phase);
  }

  async #makeSandbox(pod: Pod): Promise<void> {
    try {
      // Containers of an earlier sandbox have no network any more.
      for (const c of Object.values(this.record.containers)) if (c.state !== 'exited') this.#onLost(c);
      await ensureSandbox(pod, this.record, this.#d);
    } catch (error) {
      this.#event(undefined, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${errorText(error)}`);
      throw error;
    }
  }

  async #makeVolumes(pod: Pod): Promise<boolean> {
    if (this.#volumes && !this.#volumesStale) return true;
    try {
      this.#volumes = await prepareVolumes(pod, this.#volumeDirs(), { facts: factsOf(pod, this.record, this.#d), lookup: this.#d.objects });
      this.#volumesStale = false;
      return true;
    } catch (error) {
      this.#event(undefined, 'Warning', 'FailedMount', `MountVolume failed: ${errorText(error)}`);
      // Running containers go on with the files they have.
      if (this.#volumes) {
        this.#volumesStale = false;
        return true;
      }
      if (!(error instanceof ConfigError)) throw error;
      this.#wake(backoffMs(++this.#failures, { baseMs: 1000, maxMs: 15_000 }));
      return false;
    }
  }

  /** True when all are done (sidecars: started), one after the other. */
  async #initContainers(pod: Pod): Promise<boolean> {
    for (const container of pod.spec.initContainers ?? []) {
      const c = this.record.containers[container.name];
      if (isSidecar(container)) {
        await this.#keepRunning(pod, container);
        if (!this.record.containers[container.name]?.started) return false;
      } else if (c?.state !== 'exited' || c.end?.exitCode !== 0) {
        // Once the main containers have run, an init container is never run again.
        if (pod.spec.containers.some(m => this.record.containers[m.name])) continue;
        await this.#keepRunning(pod, container);
        return false;
      }
    }
    return true;
  }

  async #keepRunning(pod: Pod, container: Container): Promise<void> {
    const c = this.record.containers[container.name];
    if (c?.state === 'running') return this.#watch(pod, container, c);
    if (c?.state === 'starting') return this.#wake(startLookMs);
    if (c?.state === 'exited') {
      if (!this.#restarts(pod, container, c)) return;
      const left = c.restartAt - Date.now();
      if (left > 0) return this.#crashLoop(pod, container, c, left);
    }
    const image = resolveImage(container, this.#d.node.sources);
    if ('missing' in image) return this.#imageMissing(container, image.missing);
    await this.#d.starts.run(() => this.#start(pod, container, image));
  }

  #restarts(pod: Pod, container: Container, c: ContainerRecord): boolean {
    const policy = isSidecar(container) ? 'Always' : pod.spec.restartPolicy ?? 'Always';
    const init = pod.spec.initContainers?.includes(container) && !isSidecar(container);
    if (init) return c.end?.exitCode !== 0 && policy !== 'Never';
    return policy === 'Always' || (policy === 'OnFailure' && c.end?.exitCode !== 0);
  }

  #crashLoop(pod: Pod, container: Container, c: ContainerRecord, leftMs: number): void {
    const pause = c.backoffMs === crashPauseMs.first ? c.backoffMs : Math.max(crashPauseMs.first, c.backoffMs / 2);
    const message = `back-off ${pause / 1000}s restarting failed container=${container.name} pod=${pod.metadata.name}_${pod.metadata.namespace}(${this.uid})`;
    if (!this.#waiting.has(container.name)) this.#event(container.name, 'Warning', 'BackOff', `Back-off restarting failed container ${container.name} in pod ${pod.metadata.name}_${pod.metadata.namespace}(${this.uid})`);
    this.#waiting.set(container.name, { reason: 'CrashLoopBackOff', message });
    this.#wake(leftMs);
  }

  #imageMissing(container: Container, message: string): void {
    if (this.#waiting.get(container.name)?.message === message) return;
    this.#event(container.name, 'Warning', 'Failed', `Error: ErrImagePull: ${message}`);
    this.#event(container.name, 'Warning', 'BackOff', `Back-off pulling image "${container.image}"`);
    this.#waiting.set(container.name, { reason: 'ImagePullBackOff', message });
  }

  async #start(pod: Pod, container: Container, image: Parameters<typeof launch>[0]['image']): Promise<void> {
    const { name } = container;
    if (this.#gone || this.#pod?.metadata.deletionTimestamp) return this.nudge();
    const c = this.#nextRun(pod, container);
    this.#event(name, 'Normal', 'Pulled', image.said);
    try {
      const started = await launch({ pod, container, image, record: this.record, volumes: this.#volumes! }, c, this.#d);
      Object.assign(c, started, { state: 'running', startedAt: new Date().toISOString() });
      this.#d.store.save(this.record);
      this.#waiting.delete(name);
      this.#event(name, 'Normal', 'Created', `Created container: ${name}`);
      this.#event(name, 'Normal', 'Started', `Started container ${name}`);
      await this.#postStart(container, c);
      this.#watch(pod, container, c);
    } catch (error) {
      this.#startFailed(container, c, error);
    }
  }

  /** The record of the attempt is on disk before the attempt. */
  #nextRun(pod: Pod, container: Container): ContainerRecord {
    const before = this.record.containers[container.name];
    const attempt = before ? before.attempt + 1 : 0;
    const c: ContainerRecord = {
      name: container.name, attempt, id: containerId(pod, container.name, attempt), state: 'starting',
      pid: 0, pidStart: 0, shimPid: 0, shimStart: 0, startedAt: new Date().toISOString(),
      end: undefined, last: before?.end ?? before?.last, restartCount: before ? before.restartCount + 1 : 0,
      backoffMs: before?.backoffMs ?? 0, restartAt: 0, ready: false, started: false, killReason: undefined,
    };
    this.record.containers[container.name] = c;
    this.#d.store.save(this.record);
    return c;
  }

  #startFailed(container: Container, c: ContainerRecord, error: unknown): void {
    const message = errorText(error);
    this.#event(container.name, 'Warning', 'Failed', `Error: ${message}`);
    if (error instanceof StartError) {
      const now = new Date().toISOString();
      this.#end(c, { exitCode: 128, reason: 'StartError', message, startedAt: wholeSeconds(now), finishedAt: wholeSeconds(now), containerID: `runc://${c.id}` });
      return this.nudge();
    }
    // Nothing was started: the attempt does not count, and is made again when the object may be there.
    const { record } = this;
    if (c.attempt === 0) delete record.containers[container.name];
    else Object.assign(c, { attempt: c.attempt - 1, restartCount: c.restartCount - 1, state: 'exited', end: c.last, restartAt: 0 });
    this.#d.store.save(record);
    this.#waiting.set(container.name, { reason: error instanceof ConfigError ? 'CreateContainerConfigError' : 'CreateContainerError', message });
    this.#wake(backoffMs(++this.#failures, { baseMs: 1000, maxMs: 15_000 }));
  }

  async #postStart(container: Container, c: ContainerRecord): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (!hook) return;
    const result = await runHandler(hook, this.#probeContext(container, c), 30_000);
    if (result.ok) return;
    this.#event(container.name, 'Warning', 'FailedPostStartHook', `PostStartHook failed: ${result.output}`);
    this.#stopOne(container, c, Date.now() + this.#graceMs());
  }

  // Probes ---------------------------------------------------------------------------------------------------------------------

  #watch(pod: Pod, container: Container, c: ContainerRecord): void {
    if (this.#probers.has(container.name) || c.state !== 'running') return;
    const stop = new AbortController();
    this.#probers.set(container.name, stop);
    const attempt = c.attempt;
    const current = () => this.record.containers[container.name]?.attempt === attempt && c.state === 'running';
    const change = (fields: Partial<ContainerRecord>) => {
      if (!current() || Object.entries(fields).every(([key, value]) => c[key as keyof ContainerRecord] === value)) return;
      Object.assign(c, fields);
      this.#d.store.save(this.record);
      this.nudge();
    };
    void runProber({
      context: this.#probeContext(container, c),
      signal: stop.signal,
      ageMs: Date.now() - Date.parse(c.startedAt),
      started: c.started,
      events: {
        onStarted: () => change({ started: true }),
        onReady: ready => change({ ready }),
        onFailure: (kind, output) => this.#event(container.name, 'Warning', 'Unhealthy', `${kind} probe failed: ${output}`.slice(0, 1000)),
        onUnhealthy: kind => {
          if (!current()) return;
          this.#event(container.name, 'Normal', 'Killing', `Container ${container.name} failed ${kind.toLowerCase()} probe, will be restarted`);
          const grace = container.livenessProbe?.terminationGracePeriodSeconds;
          this.#stopOne(container, c, Date.now() + (grace === undefined ? this.#graceMs() : grace * 1000));
          this.nudge();
        },
      },
    }).catch((error: unknown) => this.#log.error('a prober ended', { container: container.name, error: errorText(error) }));
  }

  #probeContext(container: Container, c: ContainerRecord): ProbeContext {
    return {
      podIP: this.record.sandbox?.ips[0] ?? '127.0.0.1',
      container,
      exec: async (argv, timeoutMs) => {
        const done = await this.#d.runtime.exec(c.id, argv, { timeoutMs, maxOutputBytes: 10_240 });
        return { code: done.code, output: (done.stdout + done.stderr).trim(), timedOut: done.timedOut };
      },
    };
  }

  // Towards nothing ------------------------------------------------------------------------------------------------------------

  /** One step of stopping; true when nothing runs. Main containers go first, sidecars when those are gone. */
  async #stopAll(pod: Pod, leaving: boolean): Promise<boolean> {
    const deadline = this.#stopBy(pod, leaving);
    const running = this.#containers(pod).filter(s => (this.record.containers[s.name]?.state ?? 'exited') !== 'exited');
    const mains = running.filter(s => !isSidecar(s));
    for (const container of mains.length > 0 ? mains : running.slice(-1)) {
      const c = this.record.containers[container.name]!;
      if (c.state === 'starting') {
        this.#wake(startLookMs);
        continue;
      }
      if (!this.#stopping.has(container.name)) this.#event(container.name, 'Normal', 'Killing', `Stopping container ${container.name}`);
      this.#stopOne(container, c, deadline);
    }
    return running.length === 0;
  }

  /** Milliseconds since the epoch. A later, shorter grace shortens it; a longer one does not lengthen it. */
  #stopBy(pod: Pod, leaving: boolean): number {
    const asked = this.#gone ? goneGraceMs : leaving ? (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000 : this.#graceMs();
    // Seen from the request's own time where the API says it (deletionTimestamp is when the grace ends).
    const by = !this.#gone && leaving ? Math.max(Date.parse(pod.metadata.deletionTimestamp ?? ''), Date.now()) || Date.now() + asked : Date.now() + asked;
    const deadline = Math.min(this.record.stopDeadline ?? Infinity, by, Date.now() + asked);
    if (deadline !== this.record.stopDeadline) {
      this.record.stopDeadline = deadline;
      this.#d.store.save(this.record);
    }
    return deadline;
  }

  /** preStop and SIGTERM once, SIGKILL at the deadline. */
  #stopOne(container: Container, c: ContainerRecord, deadline: number): void {
    const path = cgroupPath(this.uid, c.name, c.attempt, this.#d);
    const now = Date.now();
    if (!this.#stopping.has(c.name)) {
      this.#probers.get(c.name)?.abort();
      this.#probers.delete(c.name);
      this.#stopping.set(c.name, deadline);
      void this.#askToStop(container, c, deadline);
    }
    const by = Math.min(this.#stopping.get(c.name)!, deadline);
    this.#stopping.set(c.name, by);
    if (now >= by) {
      this.#d.runtime.cgroups.kill(path);
      // Its end is a matter of milliseconds; looked for again in case its shim is gone too.
      this.#wake(500);
    } else {
      this.#wake(by - now);
    }
  }

  async #askToStop(container: Container, c: ContainerRecord, deadline: number): Promise<void> {
    // New connections end first; half of the grace is the container's own whatever happens.
    const leaving = this.record.stopDeadline === undefined ? [] : this.record.sandbox?.ips ?? [];
    await this.#d.traffic.gone(leaving, Math.min(2_000, (deadline - Date.now()) / 2));
    const hook = container.lifecycle?.preStop;
    if (hook && deadline > Date.now()) {
      const result = await runHandler(hook, this.#probeContext(container, c), deadline - Date.now());
      if (!result.ok) this.#event(c.name, 'Warning', 'FailedPreStopHook', `PreStopHook failed: ${result.output}`);
    }
    this.#d.runtime.signal(c, 'SIGTERM');
  }

  async #takeDown(): Promise<void> {
    if (!this.record.sandbox) return;
    try {
      await removeSandbox(this.record, this.#d);
    } catch (error) {
      this.#event(undefined, 'Warning', 'FailedKillPod', `error killing pod: ${errorText(error)}`);
      throw error;
    }
  }

  /** The last words, then the object, then what is on disk: killed in between, it starts again here. */
  async #leave(pod: Pod): Promise<void> {
    if (!this.#gone) {
      if (!this.record.terminal) this.record.terminal = { phase: this.#failedWhenStopped(pod) ? 'Failed' : 'Succeeded' };
      await this.#d.api.patchStatus(pod, this.#status(pod)).catch((error: unknown) => this.#log.debug('last status not delivered', { error: errorText(error) }));
      await this.#d.api.remove(pod);
    }
    await this.#d.runtime.cgroups.remove(`${this.#d.node.cgroupBase}/${this.uid}`);
    removeVolumes(this.#volumeDirs());
    this.#d.store.remove(this.uid);
    this.#finished = true;
  }

  #failedWhenStopped(pod: Pod): boolean {
    return pod.spec.containers.some(s => (this.record.containers[s.name]?.end?.exitCode ?? 0) !== 0);
  }

  #finish(phase: 'Succeeded' | 'Failed', reason?: string, message?: string): void {
    this.record.terminal = { phase, ...(reason ? { reason } : {}), ...(message ? { message } : {}) };
    this.#waiting.clear();
    this.#d.store.save(this.record);
  }

  // Telling ----------------------------------------------------------------------------------------------------------------------

  #status(pod: Pod): PodStatus {
    return podStatus({
      pod, record: this.record, waiting: this.#waiting, hostIPs: this.#d.node.hostIPs, now: new Date(),
      stopping: this.#gone || this.record.terminal !== undefined,
    });
  }

  /** One patch at a time, always of the newest state; what the API has already is not sent. */
  #publish(): void {
    if (this.#publishing || this.#finished || this.#gone || !this.#pod) return;
    this.#publishing = true;
    void this.#publishLoop();
  }

  async #publishLoop(): Promise<void> {
    for (let attempt = 0; !this.#finished && !this.#gone && this.#pod; ) {
      const pod = this.#pod;
      const status = this.#status(pod);
      if (isDeepStrictEqual(status, this.#published) || (!this.#published && covers(pod.status, status))) break;
      try {
        await this.#d.api.patchStatus(pod, status);
        this.#published = status;
        attempt = 0;
      } catch (error) {
        this.#log.debug('status not delivered, it is sent again', { error: errorText(error) });
        await new Promise(resolve => setTimeout(resolve, backoffMs(attempt++, { baseMs: 250, maxMs: 10_000 })).unref());
      }
    }
    // In the same breath as the look that found nothing to send: a change after it finds the way free.
    this.#publishing = false;
  }

  #event(container: string | undefined, type: 'Normal' | 'Warning', reason: string, message: string): void {
    if (this.#pod) this.#d.recorder.event(aboutPod(this.#pod, container), type, reason, message);
  }

  // Small things -----------------------------------------------------------------------------------------------------------------

  #containers(pod: Pod): readonly Container[] {
    return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  }

  #volumeDirs(): VolumeDirs {
    return { disk: `${this.#d.store.dir(this.uid)}/volumes`, memory: `${this.#d.node.volumesDir}/${this.uid}` };
  }

  #graceMs(): number {
    return (this.#pod?.spec.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  #pastDeadline(pod: Pod): string | undefined {
    const seconds = pod.spec.activeDeadlineSeconds;
    if (seconds === undefined) return undefined;
    const left = Date.parse(this.record.startTime) + seconds * 1000 - Date.now();
    if (left <= 0) return 'Pod was active on the node longer than the specified deadline';
    this.#wake(left);
    return undefined;
  }

  /** The next turn comes at the latest then. */
  #wake(inMs: number): void {
    const at = Date.now() + Math.max(1, inMs);
    if (this.#wakeAt === 0 || at < this.#wakeAt) this.#wakeAt = at;
  }

  #pauseMs(): number {
    const due = this.#wakeAt === 0 ? lostCheckMs : Math.max(0, this.#wakeAt - Date.now());
    return Math.min(due, lostCheckMs);
  }
}

/** True when every field that we would write stands in the object already. */
function covers(there: PodStatus | undefined, ours: PodStatus): boolean {
  return there !== undefined && Object.entries(ours).every(([key, value]) => isDeepStrictEqual((there as Record<string, unknown>)[key], value));
}
