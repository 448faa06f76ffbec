import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { ProxyConnectionStatus, ProxyStatus } from '../model/l7-proxy.ts';
import { formatEnd } from '../std/ip.ts';
import type { Connection } from './connection.ts';
import type { RecordLines } from './records.ts';
import type { Sets } from './sets.ts';
import type { Spares } from './spare.ts';
import { tickMs } from './wheel.ts';
import type { Worker } from './worker.ts';

export interface ControlParts {
  readonly number: number;
  readonly worker: Worker;
  readonly sets: Sets;
  readonly records: RecordLines;
  readonly spares: Spares;
  /** When it began to listen. */
  readonly since: string;
  readonly onHandover: (socket: Socket) => void;
  readonly onSpare: (socket: Socket, pid: number) => void;
}

const mostListed = 10_000;
const longestHead = 4096;
const pageBytes = 4096;

/**
 * What one may ask a worker, over a unix socket that only root may open: HTTP/1.1 with JSON, one request a connection. By hand: node:http
 * would be a fifth of the process's memory.
 */
export function serveControl(path: string, parts: ControlParts): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, socket => {
    let head = '';
    socket.on('error', () => {});
    socket.on('data', function take(chunk: Buffer) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0 && head.length <= longestHead) return;
      socket.off('data', take);
      route(socket, head.slice(0, head.indexOf(' HTTP/')), parts);
    });
  });
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    const mask = process.umask(0o177);
    server.listen(path, () => {
      process.umask(mask);
      resolve(server);
    });
  });
}

function route(socket: Socket, asked: string, parts: ControlParts): void {
  if (asked === 'POST /v1/handover') {
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\nconnection: close\r\n\r\n');
    return parts.onHandover(socket);
  }
  const spare = /^POST \/v1\/spare\?pid=(\d{1,10})$/.exec(asked);
  if (spare) {
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/jsonl\r\nconnection: close\r\n\r\n');
    return parts.onSpare(socket, Number(spare[1]));
  }
  if (asked === 'GET /v1/status') return answer(socket, '200 OK', statusOf(parts));
  if (asked === 'GET /v1/connections') {
    const { connections, loop } = parts.worker;
    return answer(socket, '200 OK', { connections: connections.slice(0, mostListed).map(each => connectionStatus(each, loop.wheel.now)), total: connections.length });
  }
  answer(socket, '404 Not Found', { error: 'GET /v1/status, GET /v1/connections, POST /v1/handover, POST /v1/spare?pid=PID' });
}

function answer(socket: Socket, status: string, body: unknown): void {
  const text = Buffer.from(JSON.stringify(body) + '\n');
  socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n`), text]));
}

export function statusOf({ number, worker, sets, records, spares, since }: Omit<ControlParts, 'onHandover' | 'onSpare'>): ProxyStatus {
  const { counts } = worker;
  return {
    pid: process.pid, worker: number, since,
    connections: worker.connections.length, accepted: counts.accepted, takenOver: counts.takenOver, handedOver: counts.handedOver,
    requests: counts.requests, denied: counts.denied, refused: counts.refused,
    sets: sets.size, faults: [...sets.faults()].slice(0, 20).map(([, fault]) => fault),
    queuedBytes: worker.loop.queuedBytes, rssBytes: process.memoryUsage.rss(),
    records: { sent: records.sent, lost: records.lost, connected: records.connected },
    draining: worker.draining,
    ...(spares.pid !== undefined && { spare: { pid: spares.pid, rssBytes: residentBytes(spares.pid) } }),
  };
}

/** 0 when it has just ended. */
function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * pageBytes;
  } catch {
    return 0;
  }
}

function connectionStatus(connection: Connection, now: number): ProxyConnectionStatus {
  const { about: { client, server, row } } = connection;
  return {
    client: formatEnd(client.addr, client.port), server: formatEnd(server.addr, server.port),
    sourceIdentity: row.sourceIdentity, destinationIdentity: row.destinationIdentity, egressSet: row.egressL7, ingressSet: row.ingressL7,
    state: connection.passing ? 'passing' : connection.idle ? 'idle' : 'busy',
    queuedBytes: connection.client.queuedBytes + (connection.server?.queuedBytes ?? 0),
    idleMs: (now - connection.active) * tickMs,
  };
}
