import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ProxyConnectionStatus, ProxyStatus } from '../model/l7-proxy.ts';
import { formatAddr } from '../std/ip.ts';
import type { SocketAddress } from '../sys/net.ts';
import type { Connection } from './connection.ts';
import type { RecordLines } from './records.ts';
import type { Sets } from './sets.ts';
import { tickMs } from './wheel.ts';
import type { Worker } from './worker.ts';

export interface ControlParts {
  readonly number: number;
  readonly worker: Worker;
  readonly sets: Sets;
  readonly records: RecordLines;
  readonly onHandover: (request: IncomingMessage, response: ServerResponse) => void;
}

const mostListed = 10_000;

/** What one may ask a worker, over a unix socket that only root may open: HTTP with JSON. */
export function serveControl(path: string, parts: ControlParts): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/v1/handover') return parts.onHandover(request, response);
    if (request.method === 'GET' && request.url === '/v1/status') return answer(response, 200, statusOf(parts));
    if (request.method === 'GET' && request.url === '/v1/connections') {
      const { connections, loop } = parts.worker;
      return answer(response, 200, { connections: connections.slice(0, mostListed).map(each => connectionStatus(each, loop.wheel.now)), total: connections.length });
    }
    answer(response, 404, { error: 'GET /v1/status, GET /v1/connections, POST /v1/handover' });
  });
  server.requestTimeout = 0;
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

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify(body) + '\n');
}

const since = new Date().toISOString();

export function statusOf({ number, worker, sets, records }: Omit<ControlParts, 'onHandover'>): ProxyStatus {
  const { counts } = worker;
  return {
    pid: process.pid, worker: number, since,
    connections: worker.connections.length, accepted: counts.accepted, takenOver: counts.takenOver, handedOver: counts.handedOver,
    requests: counts.requests, denied: counts.denied, refused: counts.refused,
    sets: sets.size, faults: [...sets.faults()].slice(0, 20).map(([, fault]) => fault),
    queuedBytes: worker.loop.queuedBytes, rssBytes: process.memoryUsage.rss(),
    records: { sent: records.sent, lost: records.lost, connected: records.connected },
    draining: worker.draining,
  };
}

function connectionStatus(connection: Connection, now: number): ProxyConnectionStatus {
  const { about: { client, server, row } } = connection;
  return {
    client: text(client), server: text(server),
    sourceIdentity: row.sourceIdentity, destinationIdentity: row.destinationIdentity, egressSet: row.egressL7, ingressSet: row.ingressL7,
    state: connection.passing ? 'passing' : connection.idle ? 'idle' : 'busy',
    queuedBytes: connection.client.queuedBytes + (connection.server?.queuedBytes ?? 0),
    idleMs: (now - connection.active) * tickMs,
  };
}

function text({ addr, port }: SocketAddress): string {
  const ip = formatAddr(addr);
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
