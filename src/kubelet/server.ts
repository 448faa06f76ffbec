/**
 * `kubelet.sock`, HTTP over a unix socket:
 *   GET  /v1/pods                                  what runs here, with process ids and log paths
 *   GET  /v1/logs/NS/POD/CONTAINER?follow&tail=N&previous&timestamps&sinceSeconds=N     text, as kubectl prints it
 *   POST /v1/exec/NS/POD/CONTAINER  {"command": […], "stdin"?: "text", "timeoutMs"?: N}   JSON lines {stream, data} and last {exitCode}
 *   with `Upgrade: cirri-exec` on /v1/exec (command, stdin and tty in the query): frames both ways, for interactive use
 *   with `Upgrade: cirri-tcp` on /v1/portforward/NS/POD/PORT: the bytes of a connection to the pod
 *
 * A frame is channel (1 byte: 0 stdin, 1 stdout, 2 stderr, 3 exit, 4 size of the terminal), length (4 bytes, big-endian),
 * payload; stdin of length 0 is its end; the exit's payload is `{"exitCode": N}`, the size's `{"Width": columns, "Height": rows}`.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { dirname } from 'node:path';
import { CirriError, errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { connectLoopback } from '../sys/loopback.ts';
import type { Dependencies } from './context.ts';
import { describeTerminalProcess, exitOf, firstSize, pipeSession, talk, terminalSession } from './exec.ts';
import type { Kubelet } from './kubelet.ts';
import { bundleDir, logPath } from './launch.ts';
import { readLog } from './logs.ts';
import type { PodWorker } from './worker.ts';

export interface ServerDependencies {
  readonly kubelet: Pick<Kubelet, 'workers' | 'find'>;
  readonly parts: Dependencies;
  readonly log: Logger;
}

const bodyLimit = 1 << 20;

export async function serveKubelet(socketPath: string, d: ServerDependencies, signal: AbortSignal): Promise<http.Server> {
  mkdirSync(dirname(socketPath), { recursive: true });
  rmSync(socketPath, { force: true });
  const server = http.createServer((request, response) => {
    route(request, response, d).catch((error: unknown) => refuse(response, error));
  });
  server.on('upgrade', (request, socket, head) => {
    upgrade(request, socket, head, d).catch((error: unknown) => {
      socket.end(`HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${errorText(error)}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
  chmodSync(socketPath, 0o600);
  signal.addEventListener('abort', () => {
    server.close();
    server.closeAllConnections();
  }, { once: true });
  return server;
}

class NoSuch extends CirriError {
  constructor(message: string) {
    super('ERR_NOT_FOUND', message);
  }
}

async function route(request: http.IncomingMessage, response: http.ServerResponse, d: ServerDependencies): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://kubelet');
  const [version, what, ...rest] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (version === 'v1' && what === 'pods' && request.method === 'GET') return sendJson(response, { items: [...d.kubelet.workers()].map(w => describe(w, d)) });
  if (version === 'v1' && what === 'logs' && request.method === 'GET') return sendLogs(response, url.searchParams, rest, d);
  if (version === 'v1' && what === 'exec' && request.method === 'POST') return sendExec(request, response, rest, d);
  throw new NoSuch(`${request.method} ${url.pathname} is not served here`);
}

function describe(worker: PodWorker, d: ServerDependencies): object {
  const { record } = worker;
  return {
    uid: record.uid, namespace: record.namespace, name: record.name, ips: record.sandbox?.ips ?? [], netns: record.sandbox?.netns, sandboxId: record.sandbox?.id,
    startTime: record.startTime, terminal: record.terminal,
    containers: Object.values(record.containers).map(c => ({
      name: c.name, id: c.id, state: c.state, pid: c.pid, shimPid: c.shimPid, restartCount: c.restartCount, ready: c.ready, started: c.started, exit: c.end,
      log: logPath(record.uid, c.name, d.parts),
    })),
  };
}

async function sendLogs(response: http.ServerResponse, query: URLSearchParams, path: readonly string[], d: ServerDependencies): Promise<void> {
  const { worker, container } = find(path, d);
  const stop = new AbortController();
  response.on('close', () => stop.abort());
  const flag = (name: string) => query.has(name) && query.get(name) !== 'false' && query.get(name) !== '0';
  const tail = query.get('tail') ?? query.get('tailLines');
  const since = query.get('sinceSeconds');
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
  response.flushHeaders();
  const lines = readLog(logPath(worker.uid, container, d.parts), {
    follow: flag('follow'), previous: flag('previous'), timestamps: flag('timestamps'), tail: tail === null ? undefined : Number(tail),
    since: since === null ? undefined : Date.now() - Number(since) * 1000, signal: stop.signal,
    ended: () => worker.finished || worker.containerRecord(container)?.state === 'exited',
  });
  for await (const line of lines) if (!response.write(line)) await new Promise(resolve => response.once('drain', resolve).once('close', resolve));
  response.end();
}

async function sendExec(request: http.IncomingMessage, response: http.ServerResponse, path: readonly string[], d: ServerDependencies): Promise<void> {
  const wish = JSON.parse(await readBody(request)) as { command?: unknown; stdin?: string; timeoutMs?: number };
  if (!Array.isArray(wish.command) || wish.command.length === 0) throw new CirriError('ERR_BAD_REQUEST', 'the body needs "command", a list of words');
  const child = startExec(path, wish.command.map(String), d);
  response.on('close', () => child.kill('SIGKILL'));
  const timer = wish.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), wish.timeoutMs);
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.on('data', (data: Buffer) => response.write(JSON.stringify({ stream, data: data.toString('utf8') }) + '\n'));
  }
  child.stdin!.on('error', () => {});
  child.stdin!.end(wish.stdin ?? '');
  const exitCode = await exitOf(child);
  clearTimeout(timer);
  response.end(JSON.stringify({ exitCode }) + '\n');
}

async function upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer, d: ServerDependencies): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://kubelet');
  const [, what, ...path] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const protocol = request.headers.upgrade;
  socket.on('error', () => {});
  if (what === 'portforward' && protocol === 'cirri-tcp') return forwardPort(path, socket, head, d);
  if (what !== 'exec' || protocol !== 'cirri-exec') throw new NoSuch(`no ${protocol ?? 'protocol'} on ${url.pathname}`);
  const asked = execOf(path, url.searchParams.getAll('command'), d);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`);
  const stdin = url.searchParams.has('stdin');
  if (!url.searchParams.has('tty')) {
    const { file, args } = d.parts.runtime.execCommand(asked.id, asked.command);
    return talk(pipeSession(file, args), socket, head, { stdin });
  }
  const { size, early } = await firstSize(socket, head);
  using described = describeTerminalProcess(asked.bundle, asked.command, size);
  const { file, args } = d.parts.runtime.execProcess(asked.id, described.path);
  await talk(terminalSession(file, args, size), socket, early, { stdin });
}

/** As with other kubelets, the connection comes from within the pod: what listens on the pod's loopback only is reached too, and no policy is asked. */
async function forwardPort(path: readonly string[], socket: Duplex, head: Buffer, d: ServerDependencies): Promise<void> {
  const [namespace = '', name = '', port = ''] = path;
  const netns = d.kubelet.find(namespace, name)?.record.sandbox?.netns;
  if (netns === undefined || !/^\d{1,5}$/.test(port)) throw new NoSuch(`pod ${namespace}/${name} does not run here, or "${port}" is no port`);
  const to = await connectLoopback(netns, Number(port));
  to.on('error', error => socket.destroy(error));
  socket.on('close', () => to.destroy());
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: cirri-tcp\r\n\r\n');
  to.write(head);
  socket.pipe(to).pipe(socket);
}

function startExec(path: readonly string[], command: readonly string[], d: ServerDependencies): ChildProcess {
  const asked = execOf(path, command, d);
  const { file, args } = d.parts.runtime.execCommand(asked.id, asked.command);
  return spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
}

function execOf(path: readonly string[], command: readonly string[], d: ServerDependencies): { readonly id: string; readonly bundle: string; readonly command: readonly string[] } {
  const { worker, container } = find(path, d);
  const c = worker.containerRecord(container);
  if (c?.state !== 'running') throw new CirriError('ERR_NOT_RUNNING', `container ${container} of ${path[0]}/${path[1]} is not running`);
  if (command.length === 0) throw new CirriError('ERR_BAD_REQUEST', 'you must specify at least one command for the container');
  return { id: c.id, bundle: bundleDir(worker.record, container, c.attempt, d.parts), command };
}

function find(path: readonly string[], d: ServerDependencies): { worker: PodWorker; container: string } {
  const [namespace = '', name = '', container] = path;
  const worker = d.kubelet.find(namespace, name);
  if (!worker) throw new NoSuch(`pod ${namespace}/${name} is not on node ${d.parts.node.name}`);
  const names = [...(worker.pod?.spec.initContainers ?? []), ...(worker.pod?.spec.containers ?? [])].map(c => c.name);
  const chosen = container === undefined || container === '' ? worker.pod?.spec.containers[0]?.name : container;
  if (chosen === undefined || !names.includes(chosen)) throw new NoSuch(`pod ${namespace}/${name} has no container "${container}": ${names.join(', ')}`);
  return { worker, container: chosen };
}

async function readBody(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > bodyLimit) throw new CirriError('ERR_BAD_REQUEST', 'the body is larger than 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function sendJson(response: http.ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function refuse(response: http.ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(error instanceof NoSuch ? 404 : error instanceof CirriError || error instanceof SyntaxError ? 400 : 500, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: errorText(error) }));
}
