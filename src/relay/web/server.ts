import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { WebError } from '../../model/web.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import { answerApi, type ApiContext } from './api.ts';
import { bundleUi, type StaticFiles } from './bundle.ts';
import { cookieOf, foreignRequest, ownNames, securityHeaders, setCookie } from './guard.ts';
import { MapHub } from './map-hub.ts';
import { WebSessions, type TokenCheck, type WebRole } from './sessions.ts';
import type { WebSources } from './sources.ts';

export interface WebOptions {
  readonly instance: string;
  /** 127.0.0.1 unless the cluster's operator says otherwise. */
  readonly host: string;
  /** The next free one of ten is taken when it is not free; 0: any. */
  readonly port: number;
  /** Only root may open it: who comes this way may see everything and hand out tickets. */
  readonly socketPath: string;
  /** Further names under which the server is reached, of a proxy before it. */
  readonly hosts?: readonly string[];
}

export interface WebAddress {
  readonly host: string;
  readonly port: number;
}

/** What `POST /api/tickets` answers, on the unix socket alone. */
export interface WebTicket extends WebAddress {
  readonly ticket: string;
}

export interface WebServer {
  readonly host: string;
  readonly port: number;
  readonly sessions: WebSessions;
  close(): Promise<void>;
}

interface Dependencies {
  readonly sources: WebSources;
  readonly tokens?: TokenCheck;
  readonly log: Logger;
  readonly files?: StaticFiles;
}

const maxBodyBytes = 4096;
const maxConnections = 256;

/** Serves the web UI on TCP and on a unix socket. */
export async function startWebServer(options: WebOptions, dependencies: Dependencies): Promise<WebServer> {
  const { log, sources } = dependencies;
  const files = dependencies.files ?? await bundleUi();
  const sessions = new WebSessions(dependencies.tokens && { tokens: dependencies.tokens });
  const closing = new AbortController();
  const hub = new MapHub(sources, { log });
  const context = { sources, sessions, hub, log, files, signal: closing.signal, address: { host: options.host, port: 0 }, cookie: `cirri_${options.instance}` };
  const names = ownNames(options.host, options.hosts);
  const tcp = listener(context, request => {
    const foreign = foreignRequest(request, names);
    const role = () => sessions.role(cookieOf(request, context.cookie)) ?? bearer(request, dependencies.tokens);
    return foreign === undefined ? { role, isRoot: false } : { foreign };
  });
  const unix = listener(context, () => ({ role: () => ({}), isRoot: true }));
  await listenTcp(tcp, options);
  const { port } = tcp.address() as AddressInfo;
  context.address = { host: options.host, port };
  await listenUnix(unix, options.socketPath);
  log.info('the web UI is served', { host: options.host, port });
  return {
    host: options.host, port, sessions,
    close: async () => {
      closing.abort();
      hub.close();
      await Promise.all([tcp, unix].map(async server => {
        const closed = once(server, 'close');
        server.close();
        server.closeAllConnections();
        await closed;
      }));
    },
  };
}

interface Context extends Omit<ApiContext, 'role' | 'isOpen'> {
  readonly sessions: WebSessions;
  readonly files: StaticFiles;
  readonly cookie: string;
  readonly address: WebAddress;
}

/** The role is asked for anew while a stream is open: it may have been taken back. */
type Caller = { readonly role: () => WebRole | undefined; readonly isRoot: boolean } | { readonly foreign: string };

function listener(context: Context, callerOf: (request: IncomingMessage) => Caller): Server {
  const server = createServer({ maxHeaderSize: 16 << 10, requestTimeout: 10_000 }, (request, response) => {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    void handle(request, response, context, callerOf(request)).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const isOurs = error instanceof CirriError;
      if (!isOurs) context.log.error('a call of the web UI failed', { url: request.url?.split('?')[0], error: errorText(error) });
      answerError(response, isOurs ? 400 : 500, errorText(error), isOurs ? error.mend : undefined);
    });
  });
  server.maxConnections = maxConnections;
  return server;
}

async function handle(request: IncomingMessage, response: ServerResponse, context: Context, caller: Caller): Promise<void> {
  if ('foreign' in caller) return answerError(response, 403, caller.foreign);
  const url = new URL(request.url ?? '/', 'http://ui');
  if (!url.pathname.startsWith('/api/')) return answerFile(request, response, url.pathname, context.files);
  response.setHeader('cache-control', 'no-store');
  if (request.method === 'POST') return post(request, response, url.pathname, context, caller.isRoot);
  if (request.method !== 'GET') return answerError(response, 405, 'GET or POST');
  const role = caller.role();
  if (!role) return answerError(response, 401, 'you are not signed in', 'open the address that `cirri ui` prints, or give a token');
  const answer = await answerApi(url, response, { ...context, role, isOpen: () => caller.role() !== undefined });
  if (answer === 'streamed') return;
  if (answer === undefined) return answerError(response, 404, 'there is no such thing');
  answerJson(response, 200, answer);
}

async function post(request: IncomingMessage, response: ServerResponse, path: string, { sessions, cookie, address }: Context, isRoot: boolean): Promise<void> {
  // A form of a foreign page cannot send this type.
  if (request.headers['content-type'] !== 'application/json') return answerError(response, 415, 'application/json is wanted');
  const body = await readJson(request);
  if (path === '/api/login') {
    const secret = sessions.open(typeof body['token'] === 'string' ? body['token'] : '');
    if (secret === undefined) return answerError(response, 401, 'this token is not good, or no longer', '`cirri ui` prints an address that is good once');
    setCookie(response, cookie, secret, { secure: request.headers['x-forwarded-proto'] === 'https' });
    return answerJson(response, 200, {});
  }
  if (path === '/api/logout') {
    sessions.close(cookieOf(request, cookie) ?? '');
    setCookie(response, cookie, '', { secure: false, gone: true });
    return answerJson(response, 200, {});
  }
  if (path === '/api/tickets' && isRoot) {
    const namespaces = body['namespaces'];
    return answerJson(response, 200, { ticket: sessions.ticket(Array.isArray(namespaces) ? { namespaces: namespaces.map(String) } : {}), ...address } satisfies WebTicket);
  }
  answerError(response, 404, 'there is no such thing');
}

function bearer(request: IncomingMessage, tokens: TokenCheck | undefined): WebRole | undefined {
  const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  return token === undefined ? undefined : tokens?.(token);
}

/** Any path that is no file is the page: its script reads the path. */
function answerFile(request: IncomingMessage, response: ServerResponse, path: string, files: StaticFiles): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') return answerError(response, 405, 'GET');
  const file = files.get(path) ?? (path.startsWith('/assets/') ? undefined : files.get('/'));
  if (!file) return answerError(response, 404, 'there is no such file');
  response.writeHead(200, { 'content-type': file.type, 'content-length': file.body.length, 'cache-control': path.startsWith('/assets/') && path !== '/assets/icon.svg' ? 'public, max-age=31536000, immutable' : 'no-cache' });
  response.end(request.method === 'HEAD' ? undefined : file.body);
}

function answerJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

function answerError(response: ServerResponse, status: number, error: string, mend?: string): void {
  answerJson(response, status, { error, ...(mend !== undefined && { mend }) } satisfies WebError);
}

async function readJson(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBodyBytes) throw new CirriError('ERR_BODY', 'the request is too large');
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {};
  } catch {
    throw new CirriError('ERR_BODY', 'the request is not JSON');
  }
}

async function listenTcp(server: Server, { host, port }: WebOptions): Promise<void> {
  for (let next = port; ; next++) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port: next }, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || next >= port + 9) throw error;
    }
  }
}

function listenUnix(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const mask = process.umask(0o177);
    server.listen({ path }, () => {
      process.umask(mask);
      resolve();
    });
  });
}
