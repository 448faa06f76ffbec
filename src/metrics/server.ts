import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { contentTypes, exposition, negotiate, type Format, type MetricFamily } from './exposition.ts';

export interface MetricsServerOptions {
  readonly port: number;
  /** All addresses when left out. */
  readonly host?: string;
  /** Told of every answer. */
  readonly onAnswer?: (code: number, seconds: number) => void;
  /** What there is to tell, worked out when it is asked for. */
  readonly families: () => readonly MetricFamily[] | Promise<readonly MetricFamily[]>;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `/metrics` over HTTP for Prometheus: GET and HEAD, text or OpenMetrics by Accept, gzip where it is taken. */
export async function startMetricsServer(options: MetricsServerOptions, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): Promise<MetricsServer> {
  const { log, signal } = dependencies;
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 75_000 }, (request, response) => {
    const startedAt = performance.now();
    response.once('close', () => options.onAnswer?.(response.statusCode, (performance.now() - startedAt) / 1000));
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
      const zipped = /\bgzip\b(?!\s*;\s*q=0)/.test(String(request.headers['accept-encoding'] ?? ''));
      const families = await options.families();
      response.writeHead(200, { 'content-type': contentTypes[format], vary: 'Accept, Accept-Encoding', ...(zipped ? { 'content-encoding': 'gzip' } : {}) });
      if (request.method === 'HEAD') response.end();
      else if (zipped) await pipeline(inTurns(families, format), createGzip({ level: 1 }), response);
      else await pipeline(inTurns(families, format), response);
    })().catch((error: unknown) => {
      // Whoever asked has gone before the end: no fault of anybody's.
      if ((error as { code?: string }).code === 'ERR_STREAM_PREMATURE_CLOSE') return;
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

/** Other work of the process comes in between. */
async function* inTurns(families: readonly MetricFamily[], format: Format): AsyncGenerator<string, void, undefined> {
  for (const piece of exposition(families, format)) {
    yield piece;
    await new Promise(resolve => setImmediate(resolve));
  }
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
