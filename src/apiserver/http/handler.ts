import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorText } from '../../std/errors.ts';
import { authenticate } from '../auth/authenticate.ts';
import type { Authenticator } from '../auth/authenticate.ts';
import { authorize } from '../auth/authorize.ts';
import type { User } from '../auth/user.ts';
import { ApiError, internalError, methodNotAllowed, noSuchPath } from '../status.ts';
import type { ApiContext } from '../verbs/context.ts';
import { mediaType, parseBody, readBody } from './body.ts';
import { parseRoute } from './route.ts';
import type { Route } from './route.ts';
import { sendError } from './respond.ts';
import type { Json } from '../object.ts';
import type { Upgrade } from './upgrade.ts';

/** One request with everything that answering it needs. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly route: Route;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly contentType: string;
  readonly warnings: string[];
  /** Aborts when the server stops. */
  readonly signal: AbortSignal;
  /** The client wants to speak another protocol; see upgrade.ts. Whoever does not take it answers as ever. */
  readonly upgrade: Upgrade | undefined;
  body(): Promise<Json | undefined>;
}

export type ResourceRoute = Extract<Route, { kind: 'resource' }>;

export interface HandlerDependencies {
  readonly context: ApiContext;
  readonly authenticator: Authenticator;
  readonly signal: AbortSignal;
  readonly answer: (call: Call) => Promise<void> | void;
}

/** The outermost layer: who asks, may they, and an answer whatever happens. `trusted` for the unix socket. */
export function createHandler(dependencies: HandlerDependencies, trusted: boolean): (request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade) => void {
  return (request, response, upgrade) => {
    const warnings: string[] = [];
    answer(dependencies, trusted, request, response, warnings, upgrade).catch((error: unknown) => {
      if (!(error instanceof ApiError)) dependencies.context.log.error('a request failed', { method: request.method, url: request.url, error: errorText(error), stack: error instanceof Error ? error.stack : undefined });
      sendError(response, error instanceof ApiError ? error : internalError(errorText(error)), warnings);
      if (!request.complete) request.resume();
    });
  };
}

async function answer(dependencies: HandlerDependencies, trusted: boolean, request: IncomingMessage, response: ServerResponse, warnings: string[], upgrade: Upgrade | undefined): Promise<void> {
  const raw = request.url ?? '/';
  const mark = raw.indexOf('?');
  const route = parseRoute(mark < 0 ? raw : raw.slice(0, mark));
  const query = new URLSearchParams(mark < 0 ? '' : raw.slice(mark + 1));
  const method = request.method ?? 'GET';
  const user = authenticate(request.headers.authorization, trusted, dependencies.authenticator);
  authorize(user, verbOf(method, route, query), route);
  const contentType = mediaType(request.headers['content-type']);
  await dependencies.answer({
    request, response, method, route, query, user, contentType, warnings, signal: dependencies.signal, upgrade,
    body: async () => parseBody(await readBody(request), contentType),
  });
}

/** The verb as authorisation and messages name it. */
function verbOf(method: string, route: Route, query: URLSearchParams): string {
  if (route.kind !== 'resource') return method.toLowerCase();
  const collection = route.name === undefined;
  switch (method) {
    case 'GET': case 'HEAD': return query.get('watch') === 'true' || query.get('watch') === '1' ? 'watch' : collection ? 'list' : 'get';
    case 'POST': return 'create';
    case 'PUT': return 'update';
    case 'PATCH': return 'patch';
    case 'DELETE': return collection ? 'deletecollection' : 'delete';
    default: throw methodNotAllowed();
  }
}

export function requireRoute<T>(value: T | undefined): T {
  if (value === undefined) throw noSuchPath();
  return value;
}
