import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { contentTypes, expose, negotiate, type MetricFamily } from './exposition.ts';

export interface MetricsServerOptions {
  readonly port: number;
  /** All addresses when left out. */
  readonly host?: string;
  /** What there is to tell, worked out when it is asked for. */
  readonly families: () => readonly MetricFamily[] | Promise<readonly MetricFamily[]>;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

const compress = promisify(gzip);

/** `/metrics` over HTTP for Prometheus: GET and HEAD, text or OpenMetrics by Accept, gzip where it is taken. */
export async function startMetricsServer(options: MetricsServerOptions, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): Promise<MetricsServer> {
  const { log, signal } = dependencies;
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 75_000 }, (request, response) => {
    void (async () => {
      const path = request.url?.split('?')[0];
      if (path !== '/metrics') {
        response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('metrics are at /metrics\n');
        return;
      }
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { allow: 'GET, HEAD' }).end();
        return;
      }
      const format = negotiate(request.headers.accept);
      const text = expose(await options.families(), format);
      const zipped = /\bgzip\b(?!\s*;\s*q=0)/.test(String(request.headers['accept-encoding'] ?? ''));
      const body = zipped ? await compress(text, { level: 1 }) : Buffer.from(text);
      response.writeHead(200, { 'content-type': contentTypes[format], 'content-length': body.length, vary: 'Accept, Accept-Encoding', ...(zipped ? { 'content-encoding': 'gzip' } : {}) });
      response.end(request.method === 'HEAD' ? undefined : body);
    })().catch((error: unknown) => {
      log.error('metrics could not be told', { error: errorText(error) });
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    });
  });
  // A handful of scrapers; more would be somebody else's idea.
  server.maxConnections = 64;
  await listen(server, options);
  const close = () => new Promise<void>(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
  signal.addEventListener('abort', () => void close(), { once: true });
  return { port: (server.address() as AddressInfo).port, close };
}

function listen(server: Server, { port, host }: MetricsServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
