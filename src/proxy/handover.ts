import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { openPidfd, takeFd } from '../sys/process.ts';
import type { Connection } from './connection.ts';
import type { Worker } from './worker.ts';

/**
 * From a process to the one that takes its place, over `POST /v1/handover` of the old one, a JSON line each. The new one takes the
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

export interface HandoverParts {
  readonly worker: Worker;
  readonly listeners: readonly number[];
  readonly log: Logger;
  /** Nothing is left here. */
  readonly done: () => void;
}

/** The old one's side. */
export function handOver(incoming: IncomingMessage, response: ServerResponse, parts: HandoverParts): void {
  const { worker, listeners, log } = parts;
  const offered = new Map<number, Connection>();
  let next = 1;
  const tell = (line: FromOld) => void response.write(JSON.stringify(line) + '\n');
  const offer = (connection: Connection) => {
    connection.suspend(true);
    offered.set(next, connection);
    tell({ offer: next++, client: connection.client.fd, server: connection.server?.fd ?? null, passing: connection.passing });
  };
  const timer = setTimeout(() => parts.done(), patienceMs);
  const checkEnd = () => {
    if (!worker.draining || worker.connections.length > 0) return;
    clearTimeout(timer);
    response.end(() => parts.done());
  };
  worker.onIdle = offer;
  worker.onGone = checkEnd;
  response.writeHead(200, { 'content-type': 'application/jsonl' });
  tell({ pid: process.pid, listeners });
  eachLine(incoming, text => {
    const line = JSON.parse(text) as FromNew;
    if ('taken' in line) {
      offered.get(line.taken)?.handOver();
      offered.delete(line.taken);
      return;
    }
    worker.stopListening();
    worker.draining = true;
    log.info('another process takes over', { connections: worker.connections.length });
    for (const connection of [...worker.connections]) {
      if (connection.idle) offer(connection);
      else connection.drain();
    }
    checkEnd();
  });
  response.on('close', () => {
    if (response.writableFinished) return;
    // It died before it was done: what it has is gone, the rest goes on here.
    clearTimeout(timer);
    worker.draining = false;
    worker.onIdle = worker.onGone = () => {};
    for (const fd of listeners) worker.listen(fd);
    for (const connection of offered.values()) connection.suspend(false);
    log.warn('the process that was to take over has gone', { connections: worker.connections.length });
  });
}

export interface Predecessor {
  /** Duplicates of its listening sockets. */
  readonly listeners: readonly number[];
  /** Takes its connections over from now on, as they become idle. */
  take(worker: Worker): void;
}

/** The new one's side; undefined where nobody is to be replaced. */
export function takeOver(socketPath: string, log: Logger): Promise<Predecessor | undefined> {
  return new Promise(resolve => {
    const call = request({ socketPath, path: '/v1/handover', method: 'POST', headers: { 'content-type': 'application/jsonl' } });
    call.flushHeaders();
    call.on('error', () => resolve(undefined));
    call.on('response', response => {
      const waiting: FromOld[] = [];
      let handle: (line: FromOld) => void = line => void waiting.push(line);
      const tell = (line: FromNew) => void call.write(JSON.stringify(line) + '\n');
      eachLine(response, text => {
        const line = JSON.parse(text) as FromOld;
        if (!('pid' in line)) return handle(line);
        const process = openPidfd(line.pid);
        if (!process) return resolve(undefined);
        const listeners = line.listeners.map(fd => takeFd(process, fd));
        resolve({
          listeners,
          take: worker => {
            handle = offer => {
              if ('offer' in offer) {
                takeConnection(offer);
                tell({ taken: offer.offer });
              }
            };
            const takeConnection = (offer: Extract<FromOld, { offer: number }>) => {
              try {
                const client = takeFd(process, offer.client);
                worker.take(client, offer.server === null ? undefined : takeFd(process, offer.server), offer.passing);
              } catch (error) {
                log.warn('a connection could not be taken over', { error: errorText(error) });
              }
            };
            tell({ listening: true });
            waiting.splice(0).forEach(handle);
          },
        });
      });
      response.on('close', () => {
        call.end();
        resolve(undefined);
      });
      response.on('error', () => {});
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

