import http from 'node:http';
import https from 'node:https';
import { errorFromResponse, isNotFound, unreachable } from './errors.ts';
import { LineSplitter } from './lines.ts';
import { apiVersionOf, pathOf } from './resources.ts';
import type { Resource } from './resources.ts';
import type { KubeList, KubeObject, WatchEvent } from './types.ts';

export type KubeClientOptions =
  | { readonly socketPath: string; readonly userAgent?: string }
  | { readonly server: string; readonly token?: string; readonly ca?: string; readonly cert?: string; readonly key?: string; readonly userAgent?: string };

/** One call that the API answered, or did not: then `status` is 0. */
export interface KubeCall {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Until the head of the answer. */
  readonly seconds: number;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends ListOptions {
  readonly resourceVersion: string;
  /** The API ends the stream after this long. */
  readonly timeoutSeconds?: number;
}

export interface PatchOptions {
  readonly type: 'merge' | 'json' | 'strategic' | 'apply';
  readonly subresource?: string;
  /** Needed for `apply`. */
  readonly fieldManager?: string;
  readonly force?: boolean;
}

export interface DeleteOptions {
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
  /** Refuses (409) when the object is another one by now. */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

const requestTimeoutMs = 30_000;
const listPage = 500;

/**
 * The Kubernetes API over a unix socket or TLS. Connections are kept; each call is one request, unless the API closed a kept
 * connection in the same instant: then an idempotent one is sent again, once. Failures are KubeErrors.
 */
export class KubeClient {
  readonly #base: http.RequestOptions;
  readonly #send: typeof http.request;
  readonly #calls: http.Agent;
  readonly #streams: http.Agent;
  readonly #headers: Readonly<Record<string, string>>;
  /** Told of every call. */
  onCall: (call: KubeCall) => void = () => {};

  constructor(options: KubeClientOptions) {
    const secure = 'server' in options && options.server.startsWith('https:');
    // Watches hold their connection for minutes: with an agent of their own they never starve the calls.
    const Agent = secure ? https.Agent : http.Agent;
    const tls = 'server' in options ? pick(options, ['ca', 'cert', 'key']) : {};
    this.#calls = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 8, ...tls });
    this.#streams = new Agent({ keepAlive: true, maxFreeSockets: 0, ...tls });
    this.#send = (secure ? https.request : http.request) as typeof http.request;
    this.#base = 'server' in options ? urlParts(options.server) : { socketPath: options.socketPath };
    this.#headers = {
      accept: 'application/json',
      'user-agent': options.userAgent ?? 'cirri',
      ...('token' in options && options.token !== undefined ? { authorization: `Bearer ${options.token}` } : {}),
    };
  }

  /** Undefined when there is none. */
  async get<T extends KubeObject = KubeObject>(resource: Resource, name: string, namespace?: string): Promise<T | undefined> {
    try {
      return (await this.raw('GET', pathOf(resource, name, namespace))) as T;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The whole collection, however many pages it takes; every item carries apiVersion and kind. */
  async list<T extends KubeObject = KubeObject>(resource: Resource, options: ListOptions = {}): Promise<KubeList<T>> {
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const query = selectorQuery(options);
      query.set('limit', String(listPage));
      if (next) query.set('continue', next);
      const page = (await this.raw('GET', `${pathOf(resource, undefined, options.namespace)}?${query}`, undefined, options)) as KubeList<T>;
      for (const item of page.items ?? []) items.push(named(item, resource));
      next = page.metadata.continue;
      if (!next) return { ...page, items };
    }
  }

  async create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return (await this.raw('POST', pathOf(resource, undefined, object.metadata.namespace), object)) as T;
  }

  async update<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return (await this.raw('PUT', pathOf(resource, object.metadata.name, object.metadata.namespace), object)) as T;
  }

  async updateStatus<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return (await this.raw('PUT', pathOf(resource, object.metadata.name, object.metadata.namespace, 'status'), object)) as T;
  }

  async patch<T extends KubeObject = KubeObject>(
    resource: Resource, name: string, namespace: string | undefined, patch: unknown, options: PatchOptions,
  ): Promise<T> {
    const query = new URLSearchParams();
    if (options.fieldManager) query.set('fieldManager', options.fieldManager);
    if (options.force) query.set('force', 'true');
    const path = pathOf(resource, name, namespace, options.subresource) + (query.size > 0 ? `?${query}` : '');
    return (await this.raw('PATCH', path, patch, { contentType: patchTypes[options.type] })) as T;
  }

  /** False when there was none. */
  async delete(resource: Resource, name: string, namespace?: string, options?: DeleteOptions): Promise<boolean> {
    return (await this.remove(resource, name, namespace, options)) !== undefined;
  }

  /** As `delete`, with the API's answer: the object (which may have to terminate first) or a Status; undefined when there was none. */
  async remove<T extends KubeObject>(resource: Resource, name: string, namespace?: string, options?: DeleteOptions): Promise<T | undefined> {
    try {
      return (await this.raw('DELETE', pathOf(resource, name, namespace), options && { apiVersion: 'v1', kind: 'DeleteOptions', ...options })) as T;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** POST to a subresource: `binding`, `eviction`. */
  async createSubresource(resource: Resource, name: string, namespace: string | undefined, subresource: string, body: unknown): Promise<unknown> {
    return this.raw('POST', pathOf(resource, name, namespace, subresource), body);
  }

  /**
   * Changes after `resourceVersion`, in batches as they arrive, bookmarks included. Ends when the API ends the stream; throws
   * a KubeError when it refuses, says ERROR in the stream (410: relist), or is lost.
   */
  async *watch<T extends KubeObject = KubeObject>(resource: Resource, options: WatchOptions): AsyncGenerator<readonly WatchEvent<T>[]> {
    const query = selectorQuery(options);
    query.set('watch', 'true');
    query.set('allowWatchBookmarks', 'true');
    query.set('resourceVersion', options.resourceVersion);
    if (options.timeoutSeconds !== undefined) query.set('timeoutSeconds', String(options.timeoutSeconds));
    const doing = `watch ${resource.plural}`;
    const path = `${pathOf(resource, undefined, options.namespace)}?${query}`;
    const response = await this.#open('GET', path, undefined, { agent: this.#streams, doing, ...pick(options, ['signal']) });
    if (response.statusCode !== 200) throw errorFromResponse(doing, response.statusCode ?? 0, await text(response));
    const splitter = new LineSplitter();
    // A connection that died without a word (host lost) shows only as silence past the stream's own end.
    if (options.timeoutSeconds !== undefined) response.setTimeout((options.timeoutSeconds + 30) * 1000, () => response.destroy(new Error('silent for too long')));
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        const lines = splitter.push(chunk);
        if (lines.length > 0) yield lines.map(line => parseEvent<T>(line, resource, doing));
      }
    } catch (error) {
      if (options.signal?.aborted || isKubeError(error)) throw error;
      throw unreachable(doing, error);
    } finally {
      response.destroy();
    }
  }

  /** Any request; the answer's JSON (undefined for an empty body), or its text where it is not JSON. */
  async raw(
    method: string, path: string, body?: unknown, options: { readonly contentType?: string; readonly signal?: AbortSignal } = {},
  ): Promise<unknown> {
    const doing = `${method} ${path}`;
    const response = await this.#open(method, path, body, { agent: this.#calls, doing, timeoutMs: requestTimeoutMs, ...options });
    const answer = await text(response).catch((error: unknown) => {
      throw unreachable(doing, error);
    });
    const code = response.statusCode ?? 0;
    if (code < 200 || code > 299) throw errorFromResponse(doing, code, answer, response.headers['retry-after']);
    if (answer === '') return undefined;
    return response.headers['content-type']?.includes('json') ? (JSON.parse(answer) as unknown) : answer;
  }

  /** Closes the kept connections; running calls end first. */
  close(): void {
    this.#calls.destroy();
    this.#streams.destroy();
  }

  async #open(method: string, path: string, body: unknown, options: OpenOptions): Promise<http.IncomingMessage> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    for (let attempt = 0; ; attempt++) {
      const startedAt = performance.now();
      const tell = (status: number) => this.onCall({ method, path, status, seconds: (performance.now() - startedAt) / 1000 });
      try {
        const response = await this.#request(method, path, payload, options);
        tell(response.statusCode ?? 0);
        return response;
      } catch (error) {
        tell(0);
        if (options.signal?.aborted) throw error;
        const { code, reused } = error as { code?: string; reused?: boolean };
        const closedMeanwhile = reused === true && (code === 'ECONNRESET' || code === 'EPIPE');
        if (!closedMeanwhile || method === 'POST' || attempt > 0) throw unreachable(options.doing, error);
      }
    }
  }

  #request(method: string, path: string, payload: Buffer | undefined, options: OpenOptions): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#send({
        ...this.#base,
        method,
        path,
        agent: options.agent,
        headers: {
          ...this.#headers,
          ...(payload ? { 'content-type': options.contentType ?? 'application/json', 'content-length': payload.length } : {}),
        },
        ...(options.signal ? { signal: options.signal } : {}),
      }, resolve);
      if (options.timeoutMs !== undefined) {
        request.setTimeout(options.timeoutMs, () => request.destroy(new Error(`no answer within ${options.timeoutMs} ms`)));
      }
      request.on('error', error => reject(Object.assign(error, { reused: request.reusedSocket })));
      request.end(payload);
    });
  }
}

interface OpenOptions {
  readonly agent: http.Agent;
  readonly doing: string;
  readonly timeoutMs?: number;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

/** Lists leave apiVersion and kind of their items out; everything downstream expects them. */
function named<T extends KubeObject>(item: T, resource: Resource): T {
  return item.kind === undefined ? { ...item, apiVersion: apiVersionOf(resource), kind: resource.kind } : item;
}

function parseEvent<T extends KubeObject>(line: string, resource: Resource, doing: string): WatchEvent<T> {
  const event = JSON.parse(line) as WatchEvent<T>;
  if (event.type === 'ERROR') {
    const code = (event.object as { code?: number }).code ?? 500;
    throw errorFromResponse(doing, code, JSON.stringify(event.object));
  }
  return event.object.kind === undefined ? { type: event.type, object: named(event.object, resource) } : event;
}

function isKubeError(error: unknown): boolean {
  return error instanceof Error && error.name === 'KubeError';
}

function selectorQuery(options: ListOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (options.labelSelector) query.set('labelSelector', options.labelSelector);
  if (options.fieldSelector) query.set('fieldSelector', options.fieldSelector);
  return query;
}

function urlParts(server: string): http.RequestOptions {
  const url = new URL(server);
  return { protocol: url.protocol, host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (url.protocol === 'https:' ? 443 : 80) };
}

async function text(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function pick<T extends object, K extends string>(from: T, keys: readonly K[]): { [P in K]?: P extends keyof T ? T[P] : never } {
  const out: Record<string, unknown> = {};
  for (const key of keys) if ((from as Record<string, unknown>)[key] !== undefined) out[key] = (from as Record<string, unknown>)[key];
  return out as { [P in K]?: P extends keyof T ? T[P] : never };
}
