import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';

/** One local API route: an exact path, or one that ends with `/` and takes the rest as its argument. */
export type Routes = Readonly<Record<string, (context: RouteContext) => unknown>>;

export interface RouteContext {
  readonly url: URL;
  /** What follows a path that ends with `/`. */
  readonly rest: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A route that has written its own answer returns this. */
export const answered = Symbol('answered');

/** HTTP with JSON over a unix socket that only root may open (V12: it can read every flow). GET only. */
export function startLocalApi(options: { readonly socketPath: string; readonly routes: Routes }, dependencies: { readonly log: Logger }): Promise<Server> {
  const { socketPath, routes } = options;
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  rmSync(socketPath, { force: true });
  const server = createServer((request, response) => {
    void handle(request, response, routes).catch((error: unknown) => {
      dependencies.log.error('local API call failed', { url: request.url, error: errorText(error) });
      if (!response.headersSent) send(response, 500, { error: errorText(error) });
      else response.destroy();
    });
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    const mask = process.umask(0o177);
    server.listen({ path: socketPath }, () => {
      process.umask(mask);
      resolve(server);
    });
  });
}

async function handle(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  if (request.method !== 'GET') return send(response, 405, { error: `${request.method} is not offered here: GET only` });
  const url = new URL(request.url ?? '/', 'http://agent');
  const found = findRoute(routes, url.pathname);
  if (!found) return send(response, 404, { error: `no ${url.pathname} here`, paths: Object.keys(routes) });
  const value = await found.run({ url, rest: found.rest, request, response });
  if (value === answered) return;
  if (value === undefined) return send(response, 404, { error: `nothing at ${url.pathname}` });
  send(response, 200, value);
}

function findRoute(routes: Routes, path: string): { run: Routes[string]; rest: string } | undefined {
  const exact = routes[path];
  if (exact) return { run: exact, rest: '' };
  for (const [prefix, run] of Object.entries(routes)) {
    if (prefix.endsWith('/') && path.startsWith(prefix)) return { run, rest: decodeURIComponent(path.slice(prefix.length)) };
  }
  return undefined;
}

function send(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? field.toString() : field)) + '\n');
}
