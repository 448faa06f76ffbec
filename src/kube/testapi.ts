import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { KubeClient } from './client.ts';
import type { KubeObject } from './types.ts';

/**
 * A small real Kubernetes API for tests, on a unix socket: any resource, generic store, list with pages, watch with bookmarks
 * and 410, merge patches, status as a subresource, optimistic concurrency, uid preconditions, pods/binding. No schemas and no
 * defaults: what comes is what is kept.
 */
export class TestApi implements AsyncDisposable {
  readonly client: KubeClient;
  /** "METHOD path" of all requests so far, "WATCH path" for watches. */
  readonly requests: string[] = [];
  /** When set and it returns a status, the request is refused with it. */
  refuse: ((method: string, path: string) => number | undefined) | undefined;
  /** Runs before an object is stored, like admission. */
  admit: ((plural: string, object: KubeObject) => KubeObject) | undefined;
  readonly #server: http.Server;
  readonly #folder: string;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #history: { version: number; plural: string; type: string; object: KubeObject }[] = [];
  readonly #watchers = new Set<Watcher>();
  #version = 1;
  #uid = 0;
  #oldest = 0;

  static async start(): Promise<TestApi> {
    const folder = mkdtempSync(path.join(tmpdir(), 'testapi-'));
    const api = new TestApi(folder);
    await api.listen();
    return api;
  }

  private constructor(folder: string) {
    this.#folder = folder;
    this.client = new KubeClient({ socketPath: path.join(folder, 'api.sock') });
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(path.join(this.#folder, 'api.sock'), resolve));
  }

  /** The API goes away: connections are cut, the socket is closed. `listen` brings it back with its store. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
    this.#watchers.clear();
  }

  /** Cuts the running watches only. */
  cutWatches(): void {
    for (const watcher of this.#watchers) watcher.response.destroy();
    this.#watchers.clear();
  }

  /** Ends the running watches and forgets the past: a watch from any version seen so far gets 410. */
  compact(): void {
    this.#oldest = ++this.#version;
    this.#history.length = 0;
    this.cutWatches();
  }

  bookmark(plural: string): void {
    const version = String(++this.#version);
    for (const w of this.#watchers) if (w.plural === plural) w.send('BOOKMARK', { apiVersion: 'v1', kind: 'X', metadata: { name: '', resourceVersion: version } });
  }

  all<T extends KubeObject = KubeObject>(plural: string): T[] {
    return [...(this.#objects.get(plural)?.values() ?? [])] as T[];
  }

  get<T extends KubeObject = KubeObject>(plural: string, key: string): T | undefined {
    return this.#objects.get(plural)?.get(key) as T | undefined;
  }

  /** Writes past the API, as another client would. */
  put(plural: string, object: KubeObject): KubeObject {
    const old = this.get(plural, keyOf(object));
    return this.#store(plural, object, old);
  }

  remove(plural: string, key: string): void {
    const object = this.get(plural, key);
    if (object) this.#drop(plural, object);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #store(plural: string, object: KubeObject, old?: KubeObject): KubeObject {
    const admitted = this.admit ? this.admit(plural, object) : object;
    const specChanged = old === undefined || JSON.stringify(old.spec) !== JSON.stringify(admitted.spec);
    const stored: KubeObject = {
      ...admitted,
      metadata: {
        ...admitted.metadata,
        uid: old?.metadata.uid ?? admitted.metadata.uid ?? `uid-${++this.#uid}`,
        creationTimestamp: old?.metadata.creationTimestamp ?? admitted.metadata.creationTimestamp ?? new Date().toISOString(),
        generation: (old?.metadata.generation ?? 0) + (specChanged ? 1 : 0),
        resourceVersion: String(++this.#version),
      },
    };
    if (old?.metadata.deletionTimestamp !== undefined && (stored.metadata.finalizers ?? []).length === 0 && plural !== 'pods') {
      this.#drop(plural, stored);
      return stored;
    }
    let byKey = this.#objects.get(plural);
    if (!byKey) this.#objects.set(plural, byKey = new Map());
    byKey.set(keyOf(stored), stored);
    this.#tell(plural, old ? 'MODIFIED' : 'ADDED', stored);
    return stored;
  }

  #drop(plural: string, object: KubeObject): void {
    this.#objects.get(plural)?.delete(keyOf(object));
    this.#tell(plural, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } });
  }

  #tell(plural: string, type: string, object: KubeObject): void {
    this.#history.push({ version: this.#version, plural, type, object });
    for (const watcher of this.#watchers) if (watcher.plural === plural) watcher.send(type, object);
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://api');
    const method = request.method ?? 'GET';
    this.requests.push(`${url.searchParams.get('watch') === 'true' ? 'WATCH' : method} ${url.pathname}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Body) : undefined;
    const refused = this.refuse?.(method, url.pathname);
    if (refused !== undefined) return reply(response, refused, { kind: 'Status', message: 'refused by the test', code: refused });
    const match = /^\/(?:api\/[^/]+|apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname)
      ?? /^\/api\/v1\/(namespaces)()$/.exec(url.pathname);
    const parts = /^\/api\/v1\/namespaces(?:\/([^/]+))?(?:\/(status|finalize))?$/.exec(url.pathname);
    const [namespace, plural, name, sub] = parts ? [undefined, 'namespaces', parts[1], parts[2]] : [match?.[1], match?.[2] ?? '', match?.[3], match?.[4]];
    if (!match && !parts) return reply(response, 404, status(404, 'NotFound', `no such path ${url.pathname}`));
    if (name === undefined) {
      if (method === 'POST') return this.#create(response, plural, namespace, body!);
      if (method === 'GET' && url.searchParams.get('watch') === 'true') return this.#watch(response, plural, namespace, url.searchParams);
      if (method === 'GET') return this.#list(response, plural, namespace, url.searchParams);
    }
    const key = namespace === undefined ? name! : `${namespace}/${name!}`;
    const old = this.get(plural, key);
    if (!old) return reply(response, 404, status(404, 'NotFound', `${plural} "${name}" not found`));
    if (method === 'GET') return reply(response, 200, old);
    if (method === 'POST' && sub === 'binding') {
      const nodeName = (body as unknown as { target: { name: string } }).target.name;
      if ((old.spec as { nodeName?: string }).nodeName) return reply(response, 409, status(409, 'Conflict', 'already bound'));
      this.#store(plural, { ...old, spec: { ...(old.spec as object), nodeName } }, old);
      return reply(response, 201, status(201, '', 'Success'));
    }
    if (method === 'DELETE') return this.#delete(response, plural, old, body);
    if (method === 'PUT' || method === 'PATCH') {
      const next = method === 'PUT' ? (body as KubeObject) : (mergePatch(old, body) as KubeObject);
      const asked = (body as { metadata?: { resourceVersion?: string } }).metadata?.resourceVersion;
      if (asked !== undefined && asked !== old.metadata.resourceVersion) {
        return reply(response, 409, status(409, 'Conflict', 'the object has been modified'));
      }
      const merged = sub === 'status' ? { ...old, status: next.status } : method === 'PUT' ? { ...next, metadata: { ...next.metadata, uid: old.metadata.uid! } } : next;
      return reply(response, 200, this.#store(plural, merged as KubeObject, old));
    }
    reply(response, 405, status(405, 'MethodNotAllowed', `${method} ${url.pathname}`));
  }

  #create(response: http.ServerResponse, plural: string, namespace: string | undefined, object: Body): void {
    const meta = object.metadata as { name?: string; generateName?: string };
    const name = meta.name ?? `${meta.generateName ?? 'x-'}${(++this.#uid).toString(36).padStart(5, '0')}`;
    const complete = { ...object, metadata: { ...object.metadata, name, ...(namespace === undefined ? {} : { namespace }) } } as KubeObject;
    if (this.get(plural, keyOf(complete))) return reply(response, 409, status(409, 'AlreadyExists', `${plural} "${name}" already exists`));
    reply(response, 201, this.#store(plural, complete));
  }

  #delete(response: http.ServerResponse, plural: string, old: KubeObject, body: Body | undefined): void {
    const options = body as { preconditions?: { uid?: string }; propagationPolicy?: string; gracePeriodSeconds?: number } | undefined;
    if (options?.preconditions?.uid !== undefined && options.preconditions.uid !== old.metadata.uid) {
      return reply(response, 409, status(409, 'Conflict', 'another uid'));
    }
    const finalizers = [...(old.metadata.finalizers ?? [])];
    if (options?.propagationPolicy === 'Foreground') finalizers.push('foregroundDeletion');
    if (options?.propagationPolicy === 'Orphan') finalizers.push('orphan');
    const running = plural === 'pods' && (old.spec as { nodeName?: string } | undefined)?.nodeName !== undefined && options?.gracePeriodSeconds !== 0;
    if (finalizers.length === 0 && !running) {
      this.#drop(plural, old);
      return reply(response, 200, status(200, '', 'Success'));
    }
    if (old.metadata.deletionTimestamp !== undefined) return reply(response, 200, old);
    reply(response, 200, this.#store(plural, { ...old, metadata: { ...old.metadata, finalizers, deletionTimestamp: new Date().toISOString() } }));
  }

  #list(response: http.ServerResponse, plural: string, namespace: string | undefined, query: URLSearchParams): void {
    const all = this.all(plural).filter(o => visible(o, namespace, query));
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? all.length);
    const more = from + limit < all.length;
    const items = all.slice(from, from + limit);
    reply(response, 200, { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: String(this.#version), ...(more ? { continue: String(from + limit) } : {}) }, items });
  }

  #watch(response: http.ServerResponse, plural: string, namespace: string | undefined, query: URLSearchParams): void {
    const from = Number(query.get('resourceVersion') ?? 0);
    if (from < this.#oldest) return reply(response, 410, status(410, 'Expired', 'too old resource version'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher: Watcher = {
      plural, response,
      send: (type, object) => {
        if (type === 'BOOKMARK' || visible(object, namespace, query)) response.write(JSON.stringify({ type, object }) + '\n');
      },
    };
    for (const entry of this.#history) if (entry.version > from && entry.plural === plural) watcher.send(entry.type, entry.object);
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }
}

interface Watcher {
  readonly plural: string;
  readonly response: http.ServerResponse;
  send(type: string, object: KubeObject): void;
}

type Body = { readonly metadata?: object; readonly [field: string]: unknown };

function visible(object: KubeObject, namespace: string | undefined, query: URLSearchParams): boolean {
  if (namespace !== undefined && object.metadata.namespace !== namespace) return false;
  const node = /^spec\.nodeName=(.*)$/.exec(query.get('fieldSelector') ?? '');
  return !node || ((object.spec as { nodeName?: string } | undefined)?.nodeName ?? '') === node[1];
}

function keyOf(object: KubeObject): string {
  return object.metadata.namespace === undefined ? object.metadata.name : `${object.metadata.namespace}/${object.metadata.name}`;
}

/** RFC 7396. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const out: Record<string, unknown> = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}

function status(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: code < 400 ? 'Success' : 'Failure', code, reason, message };
}

function reply(response: http.ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
