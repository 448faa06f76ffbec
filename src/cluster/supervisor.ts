import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureHubbleCertificates } from '../hubble/certificates.ts';
import { instanceFromEnv, parseRecord, type ClusterRecord, type StatePaths } from '../model/cluster.ts';
import { errorText } from '../std/errors.ts';
import { createLogger, type Logger } from '../std/log.ts';
import { cgroupRoot } from '../sys/cgroup.ts';
import { childSpecs, commandOf, type ChildSpec } from './children.ts';
import { toolEnv } from './outside.ts';
import { isSameProcess, processRef, readPidFile, removePidFile, signalProcess, writePidFile, type ProcessRef } from './pidfile.ts';

/** What the supervisor says of one process on `GET /v1/status`. */
export interface ChildStatus {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: 'running' | 'waiting' | 'stopped';
  readonly startedAt: string | undefined;
  readonly restarts: number;
  readonly lastExit: string | undefined;
}

const firstDelayMs = 50;
const longestDelayMs = 10_000;
/** A process that ran this long had a good start: the next end counts as the first again. */
const goodRunMs = 10_000;
const watchEveryMs = 100;
const logLimitBytes = 16 << 20;
const logCheckMs = 5_000;
const stopPatienceMs = 3_000;
const certificateCheckMs = 12 * 3_600_000;

/**
 * Keeps one process running. Children outlive the supervisor (own session, logs written by themselves): a new supervisor takes
 * them over by their pid files and nothing notices.
 */
class Child {
  readonly spec: ChildSpec;
  readonly #paths: StatePaths;
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: Logger;
  #ref: ProcessRef | undefined;
  /** Earlier ones that still hand over to it. */
  readonly #leaving: ProcessRef[] = [];
  #adopted = false;
  #startedAt: number | undefined;
  #failures = 0;
  #restarts = 0;
  #lastExit: string | undefined;
  #timer: NodeJS.Timeout | undefined;
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

  get logFile(): string {
    return join(this.#paths.logs, `${this.spec.name}.log`);
  }

  start(): void {
    const running = readPidFile(this.pidFile);
    if (!running) return this.#spawn();
    this.#ref = running;
    this.#adopted = true;
    this.#startedAt = Date.now();
    this.#log.info('adopted', { pid: running.pid });
  }

  /** An adopted process is nobody's child here: its end is seen by looking. */
  look(): void {
    for (let i = this.#leaving.length - 1; i >= 0; i--) if (!isSameProcess(this.#leaving[i]!)) this.#leaving.splice(i, 1);
    if (this.#adopted && this.#ref && !isSameProcess(this.#ref)) this.#ended('gone');
  }

  status(): ChildStatus {
    return {
      name: this.spec.name,
      pid: this.#ref?.pid,
      state: this.#ref ? 'running' : this.#stopped ? 'stopped' : 'waiting',
      startedAt: this.#startedAt === undefined ? undefined : new Date(this.#startedAt).toISOString(),
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  /** Asks it to end; kills what has not ended in time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await Promise.all([...this.#leaving.splice(0), ...(this.#ref ? [this.#ref] : [])].map(endProcess));
    removePidFile(this.pidFile);
  }

  /** Ends it and starts it anew: what it reads at its start has changed. One that takes over from itself is not ended, it ends. */
  async restart(): Promise<void> {
    if (this.spec.takesOver && this.#ref && isSameProcess(this.#ref)) {
      this.#leaving.push(this.#ref);
      this.#failures = 0;
      return this.#spawn();
    }
    await this.stop();
    this.#stopped = false;
    this.#failures = 0;
    this.#spawn();
  }

  #spawn(): void {
    const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));
    const [file, args] = commandOf(this.spec, process.execPath, ['--import', preload]);
    const output = openSync(this.logFile, 'a', 0o600);
    const env = { ...this.#env, CIRRI_PROCESS: this.spec.name };
    const child = spawn(file, args, { detached: true, stdio: ['ignore', output, output], env, cwd: '/' });
    closeSync(output);
    child.on('error', error => this.#ended(`could not be started: ${error.message}`));
    if (child.pid === undefined) return;
    const ref = processRef(child.pid);
    if (ref) writePidFile(this.pidFile, ref);
    this.#ref = ref;
    this.#adopted = false;
    this.#startedAt = Date.now();
    // After a restart the old one's end is no news.
    child.on('exit', (code, signal) => {
      if (this.#ref === ref) this.#ended(signal ? `signal ${signal}` : `exit code ${code}`);
    });
  }

  #ended(how: string): void {
    if (this.#stopped) return;
    const ranMs = Date.now() - (this.#startedAt ?? 0);
    this.#failures = ranMs > goodRunMs ? 0 : this.#failures + 1;
    const delayMs = this.#failures === 0 ? 0 : Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#failures - 1));
    this.#ref = undefined;
    this.#lastExit = how;
    this.#restarts++;
    this.#log.warn('ended; starting it again', { how, ranMs, delayMs });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#spawn(), delayMs);
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

/** A log that grew too large is copied aside and cut: its writer appends, so it goes on at the new end. */
function boundLog(path: string): void {
  try {
    if (statSync(path).size < logLimitBytes) return;
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
  } catch {
    // A log that is not there yet needs no bound.
  }
}

/** Certificates of Hubble's API do not expire under a cluster that runs for long: its servers take new ones by themselves. */
function renewCertificates(record: ClusterRecord, paths: StatePaths, log: Logger): void {
  try {
    const made = ensureHubbleCertificates(paths.hubbleDir, record, new Date());
    if (made.length > 0) log.info('certificates made again', { made });
  } catch (error) {
    log.error('certificates could not be made again', { error: errorText(error) });
  }
}

function serve(children: readonly Child[], paths: StatePaths, stop: () => Promise<void>, reload: () => Promise<void>): Server {
  const socket = join(paths.run, 'supervisor.sock');
  rmSync(socket, { force: true });
  const answer = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(JSON.stringify(body) + '\n');
  };
  const server = createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/v1/status') {
      return answer(response, 200, { pid: process.pid, children: children.map(child => child.status()) });
    }
    if (request.method === 'POST' && request.url === '/v1/stop') {
      return void stop().then(() => answer(response, 200, {})).finally(() => response.on('close', () => process.exit(0)));
    }
    if (request.method === 'POST' && request.url === '/v1/reload') {
      return void reload().then(() => answer(response, 200, {}), (error: unknown) => answer(response, 500, { error: errorText(error) }));
    }
    const restarting = request.method === 'POST' ? children.find(child => request.url === `/v1/restart/${child.spec.name}`) : undefined;
    if (restarting) return void restarting.restart().then(() => answer(response, 200, {}));
    answer(response, 404, { error: 'GET /v1/status, POST /v1/reload, POST /v1/restart/NAME, POST /v1/stop' });
  });
  const mask = process.umask(0o177);
  server.listen(socket, () => process.umask(mask));
  return server;
}

function readRecord(paths: StatePaths): ClusterRecord {
  return parseRecord(readFileSync(paths.clusterJson, 'utf8'));
}

export function runSupervisor(): void {
  const { instance, paths } = instanceFromEnv(process.env);
  const log = createLogger({ component: 'supervisor', instance });
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
  const pidFile = join(paths.run, 'supervisor.pid');
  const other = readPidFile(pidFile);
  if (other && other.pid !== process.pid) {
    log.info('another supervisor is at work', { pid: other.pid });
    process.exit(0);
  }
  writePidFile(pidFile, processRef(process.pid)!);

  const root = fileURLToPath(new URL('../..', import.meta.url));
  const env = { ...toolEnv(), CIRRI_INSTANCE: instance, CIRRI_STATE: paths.state };
  const children: Child[] = [];
  /** Those that the record asks for; settings decide about some. */
  const reload = async () => {
    const specs = childSpecs(readRecord(paths), paths, root, cgroupRoot());
    const unwanted = children.filter(child => !specs.some(spec => spec.name === child.spec.name));
    await Promise.all(unwanted.map(child => child.stop()));
    for (const child of unwanted) children.splice(children.indexOf(child), 1);
    for (const spec of specs) {
      if (children.some(child => child.spec.name === spec.name)) continue;
      const child = new Child(spec, paths, env, log);
      children.push(child);
      child.start();
    }
  };

  setInterval(() => children.forEach(child => child.look()), watchEveryMs);
  setInterval(() => [join(paths.logs, 'supervisor.log'), ...children.map(child => child.logFile)].forEach(boundLog), logCheckMs);
  setInterval(() => renewCertificates(readRecord(paths), paths, log), certificateCheckMs);
  const stop = async () => {
    await Promise.all(children.map(child => child.stop()));
    removePidFile(pidFile);
  };
  serve(children, paths, stop, reload);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop().then(() => process.exit(0)));
  process.on('SIGHUP', () => {});
  void reload().then(() => log.info('running', { children: children.length, pid: process.pid }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) runSupervisor();
