import type { ServerResponse } from 'node:http';
import type { Form } from '../http/accept.ts';
import type { JsonObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import { ApiError, badRequest, expired } from '../status.ts';
import type { Change, ChangeType, Entry } from '../store/entry.ts';
import { partialMetadata, renderTable } from '../table/render.ts';
import type { ApiContext } from './context.ts';
import { includedObject } from './list.ts';
import { flagParameter, numberParameter } from './query.ts';
import { parseSelection } from './selection.ts';
import type { Selection } from './selection.ts';
import { servedJson, toServed } from './versions.ts';

/** Bytes that a slow watcher may be behind; then it is cut off and comes back with a list. */
const mostBehind = 64 * 1024 * 1024;
const bookmarkMs = 30_000;

/** Streams the changes of a collection until the client leaves, the time is over or the server stops. */
export function watchObjects(context: ApiContext, type: ResourceType, namespace: string | undefined, name: string | undefined, query: URLSearchParams, form: Form, response: ServerResponse, signal: AbortSignal): void {
  const selection = parseSelection(type, namespace, query, name);
  const stream = new WatchStream(context, type, selection, form, query);
  const collection = context.store.collection(type.collection);
  const timeoutMs = 1000 * Math.min(numberParameter(query, 'timeoutSeconds') || 1800 + Math.random() * 1800, 24 * 3600);
  const initial = stream.begin(collection.sorted(), from => collection.changesSince(from));

  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  let pending: Buffer[] = initial;
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    if (pending.length === 0 || response.writableEnded) return;
    const chunk = pending.length === 1 ? pending[0]! : Buffer.concat(pending);
    pending = [];
    response.write(chunk);
    if (response.writableLength > mostBehind) {
      context.log.warn('a watcher was too slow and was cut off', { resource: type.plural, behindBytes: response.writableLength });
      response.destroy();
    }
  };
  const send = (line: Buffer | undefined) => {
    if (!line) return;
    pending.push(line);
    if (!scheduled) {
      scheduled = true;
      setImmediate(flush);
    }
  };
  flush();
  if (stream.failed) {
    response.end();
    return;
  }
  const unwatch = collection.watch(change => send(stream.line(change)));
  const bookmarks = flagParameter(query, 'allowWatchBookmarks') ? setInterval(() => send(stream.bookmark()), bookmarkMs) : undefined;
  const finish = () => {
    if (bookmarks) send(stream.bookmark());
    stop();
    flush();
    response.end();
  };
  const timer = setTimeout(finish, timeoutMs);
  const stop = () => {
    unwatch();
    clearTimeout(timer);
    clearInterval(bookmarks);
    signal.removeEventListener('abort', finish);
  };
  signal.addEventListener('abort', finish, { once: true });
  response.on('close', stop);
}

/** What one watcher sees of a collection. */
class WatchStream {
  readonly #context: ApiContext;
  readonly #type: ResourceType;
  readonly #selection: Selection;
  readonly #form: Form;
  readonly #query: URLSearchParams;
  readonly #variant: string;
  #definitionsSent = false;
  failed = false;

  constructor(context: ApiContext, type: ResourceType, selection: Selection, form: Form, query: URLSearchParams) {
    this.#context = context;
    this.#type = type;
    this.#selection = selection;
    this.#form = form;
    this.#query = query;
    this.#variant = `${apiVersionOf(type)} ${form} ${form === 'table' ? includedObject(query) : ''}`;
  }

  /** What happened before now, by the version that the client has. */
  begin(present: readonly Entry[], changesSince: (revision: number) => readonly Change[]): Buffer[] {
    const text = this.#query.get('resourceVersion') ?? '';
    if (!/^\d{0,15}$/.test(text)) throw badRequest(`resourceVersion "${text}" is not one that this server has given out`);
    const revision = Number(text || '0');
    const initial = flagParameter(this.#query, 'sendInitialEvents');
    if (revision === 0 || initial) {
      const lines = present.filter(e => this.#selection.matches(e)).map(e => this.#encode('ADDED', e));
      if (initial) lines.push(this.bookmark(true));
      return lines;
    }
    try {
      // A version that this store has not reached comes from another history (the state folder was removed): begin anew.
      if (revision > this.#context.store.revision) throw expired(revision, this.#context.store.revision);
      return changesSince(revision).flatMap(change => this.line(change) ?? []);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.failed = true;
      return [Buffer.from(`${JSON.stringify({ type: 'ERROR', object: error.toStatus() })}\n`)];
    }
  }

  /** The line for a change, or undefined when it is none of this watcher's business. Coming into a selection is ADDED, leaving it DELETED. */
  line(change: Change): Buffer | undefined {
    if (this.#selection.all) return this.#cached(change, change.type);
    const is = change.type !== 'DELETED' && this.#selection.matches(change.entry);
    const was = change.previous !== undefined && this.#selection.matches(change.previous);
    if (!is && !was) return undefined;
    return this.#cached(change, is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED');
  }

  bookmark(initialEventsEnd = false): Buffer {
    const metadata: JsonObject = { resourceVersion: String(this.#context.store.revision), creationTimestamp: null };
    if (initialEventsEnd) metadata['annotations'] = { 'k8s.io/initial-events-end': 'true' };
    const object: JsonObject = this.#form === 'table'
      ? renderTable(this.#type, [], metadata, { included: 'None', now: this.#context.now(), definitions: this.#firstTable() })
      : { kind: this.#form === 'metadata' ? 'PartialObjectMetadata' : this.#type.kind, apiVersion: this.#form === 'metadata' ? 'meta.k8s.io/v1' : apiVersionOf(this.#type), metadata };
    return Buffer.from(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  #cached(change: Change, type: ChangeType): Buffer {
    if (this.#form === 'table' && !this.#definitionsSent) return this.#encode(type, change.entry);
    const key = `${type} ${this.#variant}`;
    let line = change.lines.get(key);
    if (!line) {
      line = this.#encode(type, change.entry);
      // Tables show ages: true for the watchers of this moment only.
      if (this.#form !== 'table') change.lines.set(key, line);
    }
    return line;
  }

  #encode(type: ChangeType, entry: Entry): Buffer {
    return Buffer.from(`{"type":"${type}","object":${this.#objectJson(entry)}}\n`);
  }

  #objectJson(entry: Entry): string {
    if (this.#form === 'object') return servedJson(this.#type, entry);
    const object = toServed(this.#type, entry.object);
    if (this.#form === 'metadata') return JSON.stringify(partialMetadata(object));
    return JSON.stringify(renderTable(this.#type, [object], { resourceVersion: object.metadata.resourceVersion ?? '' }, {
      included: includedObject(this.#query), now: this.#context.now(), definitions: this.#firstTable(),
    }));
  }

  #firstTable(): boolean {
    const first = !this.#definitionsSent;
    this.#definitionsSent = true;
    return first;
  }
}
