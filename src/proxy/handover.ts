import { connect, type Socket } from 'node:net';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { openPidfd, takeFd } from '../sys/process.ts';
import type { Connection } from './connection.ts';
import type { DrainStage } from './protocol.ts';
import type { Worker } from './worker.ts';

/**
 * From a process to the one that takes its place, over `POST /v1/handover` of the old one: after its head, JSON lines both ways. The new one takes the
 * descriptors out of the old one by their numbers (pidfd_getfd). Both accept until the new one says that it does; a connection stands
 * still between its offer and the answer. Sessions begin anew: what is offered is between two exchanges.
 *
 *     old: {pid, listeners} … {offer, client, server, passing} …                 its end: nothing is left
 *     new: {listening}      … {taken}                          …
 */
type FromOld = { readonly pid: number; readonly listeners: readonly number[] } | { readonly offer: number; readonly client: number; readonly server: number | null; readonly passing: boolean };
type FromNew = { readonly listening: true } | { readonly taken: number };

/** Connections that never come to rest keep the old process for so long. */
const patienceMs = 30 * 60_000;
/** Those that have not come to rest within this are asked to end, each time again: a protocol may have no rest (HTTP/2). */
const restlessMs = 2_000;
/** Then those between two exchanges are closed, and get so long to hear of it. */
const farewellMs = 3_000;

export interface HandoverParts {
  readonly worker: Worker;
  readonly listeners: readonly number[];
  readonly log: Logger;
  /** The other one listens from now on. */
  readonly begun: () => void;
  /** It died before it was done: this one works on. */
  readonly abandoned: () => void;
  /** Nothing is left here. */
  readonly done: () => void;
}

/** The old one's side. */
export function handOver(socket: Socket, parts: HandoverParts): void {
  const { worker, listeners, log } = parts;
  const offered = new Map<number, Connection>();
  let next = 1;
  let isDone = false;
  const tell = (line: FromOld) => void socket.write(JSON.stringify(line) + '\n');
  const offer = (connection: Connection) => {
    connection.suspend(true);
    offered.set(next, connection);
    tell({ offer: next++, client: connection.client.fd, server: connection.server?.fd ?? null, passing: connection.passing });
  };
  const drain = (stage: DrainStage) => worker.draining && [...worker.connections].forEach(connection => connection.drain(stage));
  let timer = setTimeout(() => {
    drain('close');
    timer = setTimeout(() => parts.done(), farewellMs);
  }, patienceMs);
  let restless: NodeJS.Timeout | undefined;
  const checkEnd = () => {
    if (!worker.draining || worker.connections.length > 0) return;
    clearTimeout(timer);
    isDone = true;
    socket.end(() => parts.done());
  };
  worker.onIdle = offer;
  worker.onGone = checkEnd;
  tell({ pid: process.pid, listeners });
  eachLine(socket, text => {
    const line = JSON.parse(text) as FromNew;
    if ('taken' in line) {
      offered.get(line.taken)?.handOver();
      offered.delete(line.taken);
      return;
    }
    worker.stopListening();
    worker.draining = true;
    parts.begun();
    log.info('another process takes over', { connections: worker.connections.length });
    for (const connection of [...worker.connections]) if (connection.idle) offer(connection);
    restless = setInterval(() => drain('rest'), restlessMs);
    checkEnd();
  });
  socket.on('end', () => socket.destroy());
  socket.on('close', () => {
    clearInterval(restless);
    if (isDone) return;
    // It died before it was done: what it has is gone, the rest goes on here.
    clearTimeout(timer);
    const hasStopped = worker.draining;
    worker.draining = false;
    worker.onIdle = worker.onGone = () => {};
    if (hasStopped) for (const fd of listeners) worker.listen(fd);
    for (const connection of offered.values()) connection.suspend(false);
    log.warn('the process that was to take over has gone', { connections: worker.connections.length });
    parts.abandoned();
  });
}

export interface Predecessor {
  /** Duplicates of its listening sockets. */
  readonly listeners: readonly number[];
  /** Takes its connections over from now on, as they become idle. */
  take(worker: Worker): void;
}

/** Whether there is one to take over from. */
export function somebodyWorks(socketPath: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** The new one's side; undefined where nobody is to be replaced. */
export function takeOver(socketPath: string, log: Logger): Promise<Predecessor | undefined> {
  return new Promise(resolve => {
    const socket = connect({ path: socketPath, allowHalfOpen: false }, () => socket.write('POST /v1/handover HTTP/1.1\r\nhost: proxy\r\n\r\n'));
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(undefined));
    const waiting: FromOld[] = [];
    let handle: (line: FromOld) => void = line => void waiting.push(line);
    const tell = (line: FromNew) => void socket.write(JSON.stringify(line) + '\n');
    eachLine(socket, text => {
      // The head of the answer: only what is JSON counts.
      if (!text.startsWith('{')) return;
      const line = JSON.parse(text) as FromOld;
      if (!('pid' in line)) return handle(line);
      const process = openPidfd(line.pid);
      if (!process) return resolve(undefined);
      const take = (offer: Extract<FromOld, { offer: number }>, worker: Worker) => {
        try {
          const client = takeFd(process, offer.client);
          worker.take(client, offer.server === null ? undefined : takeFd(process, offer.server), offer.passing);
        } catch (error) {
          log.warn('a connection could not be taken over', { error: errorText(error) });
        }
        tell({ taken: offer.offer });
      };
      resolve({
        listeners: line.listeners.map(fd => takeFd(process, fd)),
        take: worker => {
          handle = offer => {
            if ('offer' in offer) take(offer, worker);
          };
          tell({ listening: true });
          waiting.splice(0).forEach(handle);
        },
      });
    });
  });
}

/** Whole lines of a stream. */
export function eachLine(stream: { on(event: 'data', listener: (chunk: Buffer) => void): unknown }, take: (line: string) => void): void {
  let rest = '';
  stream.on('data', chunk => {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
}

