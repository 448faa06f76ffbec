import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureHubbleCertificates } from '../hubble/certificates.ts';
import { instanceFromEnv, parseRecord, type ClusterRecord, type StatePaths } from '../model/cluster.ts';
import { errorText } from '../std/errors.ts';
import { createLogger, type Logger } from '../std/log.ts';
import { cgroupRoot } from '../sys/cgroup.ts';
import { Child } from './child.ts';
import { childSpecs } from './children.ts';
import { toolEnv } from './outside.ts';
import { processRef, readPidFile, removePidFile, writePidFile } from './pidfile.ts';

const watchEveryMs = 100;
const logLimitBytes = 16 << 20;
const logCheckMs = 5_000;
const certificateCheckMs = 12 * 3_600_000;

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
      const known = children.find(child => child.spec.name === spec.name);
      if (known) {
        known.spec = spec;
        continue;
      }
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
