/**
 * Containers through runc, each beside a cirri-shim that outlives us. The shim's word on the end of a container is a file in
 * one folder, so one watch serves all containers.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { CirriError } from '../std/errors.ts';
import type { Cgroups } from './cgroups.ts';
import { isAlive, processStart, runProgram } from './process.ts';
import type { Finished, RunOptions } from './process.ts';

export interface RuntimeOptions {
  readonly shim: string;
  readonly runc: string;
  readonly runcRoot: string;
  /** Where shims leave the records of ended containers. */
  readonly exitsDir: string;
  readonly logMaxBytes: number;
  /** Bound of what a container can write into its root. */
  readonly scratchBytes: number;
}

export interface Started {
  readonly pid: number;
  readonly pidStart: number;
  readonly shimPid: number;
  readonly shimStart: number;
}

export interface Exit {
  readonly id: string;
  readonly pid: number;
  /** False: runc could not start it. */
  readonly started: boolean;
  readonly exitCode: number;
  readonly signal: number;
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** The container could not be started; the message is runc's. */
export class StartError extends CirriError {
  constructor(message: string) {
    super('ERR_CONTAINER_START', message);
  }
}

export class Runtime {
  readonly cgroups: Cgroups;
  readonly #options: RuntimeOptions;

  constructor(options: RuntimeOptions, cgroups: Cgroups) {
    this.#options = options;
    this.cgroups = cgroups;
    mkdirSync(options.exitsDir, { recursive: true, mode: 0o700 });
    mkdirSync(options.runcRoot, { recursive: true, mode: 0o700 });
  }

  get exitsDir(): string {
    return this.#options.exitsDir;
  }

  /** New network (and IPC) namespaces, held by bind mounts. What an earlier life left at the paths is removed first. */
  async makeNamespaces(netns: string, ipcns: string | undefined): Promise<void> {
    const paths = ipcns === undefined ? [netns] : [netns, ipcns];
    await this.#helper(['unmount', ...paths]);
    await this.#helper(['netns', ...paths]);
  }

  async unmount(paths: readonly string[]): Promise<void> {
    if (paths.length > 0) await this.#helper(['unmount', ...paths]);
  }

  async mountTmpfs(path: string, bytes: number): Promise<void> {
    await this.#helper(['tmpfs', path, String(bytes)]);
  }

  /** Resolves when the container's process runs. Throws StartError with runc's own message. */
  start(o: { readonly id: string; readonly bundle: string; readonly config: object; readonly log: string }): Promise<Started> {
    const { shim, runc, runcRoot, exitsDir, logMaxBytes, scratchBytes } = this.#options;
    mkdirSync(o.bundle, { recursive: true, mode: 0o711 });
    writeFileSync(`${o.bundle}/config.json`, JSON.stringify(o.config), { mode: 0o600 });
    rmSync(`${exitsDir}/${o.id}`, { force: true });
    const args = ['run', '--id', o.id, '--runc', runc, '--root', runcRoot, '--bundle', o.bundle, '--log', o.log, '--log-max', String(logMaxBytes),
      '--exits', exitsDir, '--scratch', String(scratchBytes)];
    // One processor for runc's Go runtime: its threads only get into each other's way while many pods start.
    const child = spawn(shim, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin', GOMAXPROCS: '1' } });
    child.unref();
    return new Promise((resolve, reject) => {
      let said = '';
      let complaint = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-4096)));
      child.on('error', error => reject(new StartError(`cannot run ${shim}: ${error.message}`)));
      // The shim closes its side once it has said how the start went.
      child.stdout.on('close', () => {
        child.stderr.destroy();
        const pid = Number(/^started (\d+)$/m.exec(said)?.[1] ?? 0);
        if (pid === 0) return reject(new StartError(runcMessage(o.bundle) ?? (complaint.trim() || 'the shim ended without a word')));
        resolve({ pid, pidStart: processStart(pid) ?? 0, shimPid: child.pid!, shimStart: processStart(child.pid!) ?? 0 });
      });
    });
  }

  /** What a start left behind that we did not see the end of (we were killed in between). */
  adopt(bundle: string): Started | undefined {
    const shimPid = readNumber(`${bundle}/shim.pid`);
    const pid = readNumber(`${bundle}/pid`);
    const shimStart = shimPid === undefined ? undefined : processStart(shimPid);
    const pidStart = pid === undefined ? undefined : processStart(pid);
    if (shimPid === undefined || shimStart === undefined || pid === undefined || pidStart === undefined) return undefined;
    return { pid, pidStart, shimPid, shimStart };
  }

  /** Whether the shim of this bundle lives; undefined before it has said who it is. */
  shimRuns(bundle: string): boolean | undefined {
    const pid = readNumber(`${bundle}/shim.pid`);
    return pid === undefined ? undefined : processStart(pid) !== undefined;
  }

  /** The record of a container's end, once there is one. */
  exitOf(id: string): Exit | undefined {
    try {
      return JSON.parse(readFileSync(`${this.#options.exitsDir}/${id}`, 'utf8')) as Exit;
    } catch {
      return undefined;
    }
  }

  signal(process_: { readonly pid: number; readonly pidStart: number }, signal: NodeJS.Signals): void {
    if (!isAlive(process_.pid, process_.pidStart)) return;
    try {
      process.kill(process_.pid, signal);
    } catch {
      // It ended in between.
    }
  }

  /** Runs a command inside; its output is bounded. */
  exec(id: string, argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const { runc, runcRoot } = this.#options;
    return runProgram(runc, ['--root', runcRoot, 'exec', id, ...argv], { ...options, env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin', GOMAXPROCS: '1' } });
  }

  /** The command line of an exec, for who wants its streams. */
  execCommand(id: string, argv: readonly string[]): { file: string; args: string[] } {
    return { file: this.#options.runc, args: ['--root', this.#options.runcRoot, 'exec', id, ...argv] };
  }

  /** The same for a process that a file describes (OCI runtime specification, `process`). */
  execProcess(id: string, processFile: string): { file: string; args: string[] } {
    return { file: this.#options.runc, args: ['--root', this.#options.runcRoot, 'exec', '--process', processFile, id] };
  }

  /** Removes what an ended container leaves: runc's state, its bundle, its record, its cgroups. `runc delete` does the same in a process more. */
  async forget(id: string, bundle: string, cgroupPath: string): Promise<void> {
    rmSync(`${this.#options.runcRoot}/${id}`, { recursive: true, force: true });
    rmSync(bundle, { recursive: true, force: true });
    rmSync(`${this.#options.exitsDir}/${id}`, { force: true });
    await this.cgroups.remove(cgroupPath);
  }

  async #helper(args: readonly string[]): Promise<void> {
    const done = await runProgram(this.#options.shim, args, { timeoutMs: 10_000 });
    if (done.code !== 0) throw new CirriError('ERR_HELPER', `cirri-shim ${args.join(' ')}: ${done.stderr.trim() || `exit ${done.code}`}`);
  }
}

/** The log of the run before becomes `.log.1`. */
export function turnLog(log: string): void {
  try {
    renameSync(log, `${log}.1`);
  } catch {
    // The first run.
  }
  rmSync(`${log}.rotated`, { force: true });
}

function runcMessage(bundle: string): string | undefined {
  try {
    const lines = readFileSync(`${bundle}/runc.log`, 'utf8').trim().split('\n').filter(Boolean);
    const last = lines.map(line => JSON.parse(line) as { level: string; msg: string }).findLast(entry => entry.level === 'error');
    return last?.msg.replace(/^runc run failed: /, '');
  } catch {
    return undefined;
  }
}

function readNumber(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'utf8').trim());
    return Number.isInteger(value) && value > 0 ? value : undefined;
  } catch {
    return undefined;
  }
}
