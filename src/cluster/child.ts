import { spawn } from 'node:child_process';
import { closeSync, openSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StatePaths } from '../model/cluster.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { commandOf, type ChildSpec } from './children.ts';
import { isSameProcess, processRef, readPidFile, removePidFile, signalProcess, writePidFile, type ProcessRef } from './pidfile.ts';

/** What the supervisor says of one process on `GET /v1/status`. */
export interface ChildStatus {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: 'running' | 'waiting' | 'stopped';
  readonly startedAt: string | undefined;
  readonly restarts: number;
  readonly lastExit: string | undefined;
  /** The process that stands by. */
  readonly sparePid?: number;
}

const firstDelayMs = 50;
const longestDelayMs = 10_000;
/** A process that ran this long had a good start: the next end counts as the first again. */
const goodRunMs = 10_000;
/** Who ends so often in a row is started at once: something killed it, it does not fail by itself. */
const freeStarts = 2;
/** Once the one that runs has settled, and its compile cache is there (preload.ts). */
const spareAfterMs = 4_000;
const stopPatienceMs = 3_000;

interface Running {
  readonly ref: ProcessRef;
  /** Begun by an earlier supervisor: nobody's child here, its end is seen by looking. */
  readonly adopted: boolean;
}

/**
 * Keeps one process running. Children outlive the supervisor (own session, logs written by themselves): a new supervisor takes
 * them over by their pid files and nothing notices. A spare sees by itself that the running one has ended; it is told nevertheless.
 */
export class Child {
  spec: ChildSpec;
  readonly #paths: StatePaths;
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: Logger;
  #running: Running | undefined;
  #spare: Running | undefined;
  /** Earlier ones that still hand over to it. */
  readonly #leaving: ProcessRef[] = [];
  #startedAt: number | undefined;
  #failures = 0;
  #restarts = 0;
  #lastExit: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #spareTimer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(spec: ChildSpec, paths: StatePaths, env: NodeJS.ProcessEnv, log: Logger) {
    this.spec = spec;
    this.#paths = paths;
    this.#env = env;
    this.#log = log.with({ process: spec.name });
  }

  get pidFile(): string {
    return join(this.#paths.run, `${this.spec.name}.pid`);
  }

  get sparePidFile(): string {
    return join(this.#paths.run, `${this.spec.name}.spare.pid`);
  }

  get logFile(): string {
    return join(this.#paths.logs, `${this.spec.name}.log`);
  }

  start(): void {
    const [running, spare] = [readPidFile(this.pidFile), readPidFile(this.sparePidFile)];
    if (spare) this.#spare = { ref: spare, adopted: true };
    if (!running) return this.#spare ? this.#promote(this.#spare, 'gone') : this.#spawn();
    this.#running = { ref: running, adopted: true };
    this.#startedAt = Date.now();
    this.#log.info('adopted', { pid: running.pid });
    this.#awaitSpare();
  }

  /** For those that were adopted. */
  look(): void {
    for (let i = this.#leaving.length - 1; i >= 0; i--) if (!isSameProcess(this.#leaving[i]!)) this.#leaving.splice(i, 1);
    for (const each of [this.#spare, this.#running]) if (each?.adopted && !isSameProcess(each.ref)) this.#exited(each, 'gone');
  }

  status(): ChildStatus {
    return {
      name: this.spec.name,
      pid: this.#running?.ref.pid,
      state: this.#running ? 'running' : this.#stopped ? 'stopped' : 'waiting',
      startedAt: this.#startedAt === undefined ? undefined : new Date(this.#startedAt).toISOString(),
      restarts: this.#restarts,
      lastExit: this.#lastExit,
      ...(this.#spare && { sparePid: this.#spare.ref.pid }),
    };
  }

  /** Asks it to end; kills what has not ended in time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    // Both are asked at the same moment: a spare that saw the other's end first would take its place.
    await Promise.all([this.#stopSpare(), ...[...this.#leaving.splice(0), ...(this.#running ? [this.#running.ref] : [])].map(endProcess)]);
    removePidFile(this.pidFile);
  }

  /** Ends it and starts it anew: what it reads at its start has changed. One that takes over from itself is not ended, it ends. */
  async restart(): Promise<void> {
    await this.#stopSpare();
    if (this.spec.takesOver && this.#running && isSameProcess(this.#running.ref)) {
      this.#leaving.push(this.#running.ref);
      this.#failures = 0;
      return this.#spawn();
    }
    await this.stop();
    this.#stopped = false;
    this.#failures = 0;
    this.#spawn();
  }

  #spawn(): void {
    const running = this.#launch([], this.pidFile);
    if (!running) return;
    this.#running = running;
    this.#startedAt = Date.now();
    this.#awaitSpare();
  }

  #awaitSpare(): void {
    clearTimeout(this.#spareTimer);
    if (!this.spec.spare) return;
    this.#spareTimer = setTimeout(() => {
      if (!this.#stopped && this.#running) this.#spare ??= this.#launch(['--spare'], this.sparePidFile);
    }, spareAfterMs);
  }

  async #stopSpare(): Promise<void> {
    clearTimeout(this.#spareTimer);
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare) await endProcess(spare.ref);
    removePidFile(this.sparePidFile);
  }

  #launch(more: readonly string[], pidFile: string): Running | undefined {
    const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));
    const [file, args] = commandOf({ ...this.spec, args: [...this.spec.args, ...more] }, process.execPath, ['--import', preload]);
    const output = openSync(this.logFile, 'a', 0o600);
    const env = { ...this.#env, ...this.spec.env, CIRRI_PROCESS: this.spec.name };
    const child = spawn(file, args, { detached: true, stdio: ['ignore', output, output], env, cwd: '/' });
    closeSync(output);
    const ref = child.pid === undefined ? undefined : processRef(child.pid);
    const launched = { ref: ref ?? { pid: child.pid ?? 0, startTicks: '' }, adopted: false };
    child.on('error', error => {
      if (child.pid === undefined && more.length === 0) this.#ended(`could not be started: ${error.message}`);
    });
    if (child.pid === undefined) return undefined;
    if (ref) writePidFile(pidFile, ref);
    child.on('exit', (code, signal) => this.#exited(launched, signal ? `signal ${signal}` : `exit code ${code}`));
    return launched;
  }

  /** The end of one that handed over is no news. */
  #exited(which: Running, how: string): void {
    if (which === this.#running) return this.#ended(how);
    if (which !== this.#spare) return;
    this.#spare = undefined;
    this.#log.warn('the spare ended', { how });
    this.#awaitSpare();
  }

  #ended(how: string): void {
    if (this.#stopped) return;
    const spare = this.#spare;
    if (spare && isSameProcess(spare.ref)) return this.#promote(spare, how);
    const ranMs = Date.now() - (this.#startedAt ?? 0);
    this.#failures = ranMs > goodRunMs ? 0 : this.#failures + 1;
    const delayMs = this.#failures <= freeStarts ? 0 : Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#failures - freeStarts - 1));
    this.#running = undefined;
    this.#lastExit = how;
    this.#restarts++;
    this.#log.warn('ended; starting it again', { how, ranMs, delayMs });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#spawn(), delayMs);
  }

  /** The spare is it from now on. Its file is renamed, not written: its age says which settings it has read. */
  #promote(spare: Running, how: string): void {
    signalProcess(spare.ref, 'SIGUSR2');
    try {
      renameSync(this.sparePidFile, this.pidFile);
    } catch (error) {
      this.#log.warn('no pid file of the spare', { error: errorText(error) });
      writePidFile(this.pidFile, spare.ref);
    }
    this.#running = spare;
    this.#spare = undefined;
    this.#startedAt = Date.now();
    this.#lastExit = how;
    this.#restarts++;
    this.#log.warn('ended; its spare goes on', { how, pid: spare.ref.pid });
    this.#awaitSpare();
  }
}

async function endProcess(ref: ProcessRef): Promise<void> {
  signalProcess(ref, 'SIGTERM');
  const deadline = Date.now() + stopPatienceMs;
  while (isSameProcess(ref)) {
    if (Date.now() > deadline) signalProcess(ref, 'SIGKILL');
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
