import type { Form } from '../http/accept.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import { ApiError, badRequest } from '../status.ts';
import type { Entry } from '../store/entry.ts';
import { partialMetadata, renderTable } from '../table/render.ts';
import type { Included } from '../table/render.ts';
import type { ApiContext } from './context.ts';
import { numberParameter } from './query.ts';
import { parseSelection } from './selection.ts';
import { servedJson, toServed } from './versions.ts';

/** A list as JSON text. The items' stored text is joined, not serialised again. */
export function listObjects(context: ApiContext, type: ResourceType, namespace: string | undefined, query: URLSearchParams, form: Form): string {
  const selection = parseSelection(type, namespace, query);
  requireKnownVersion(context, query);
  const sorted = context.store.collection(type.collection).sorted();
  const matching = selection.all ? sorted : sorted.filter(entry => selection.matches(entry));
  const { entries, metadata } = page(matching, context.store.revision, query);
  const listKind = type.listKind;
  if (form === 'table') {
    return JSON.stringify(renderTable(type, entries.map(e => toServed(type, e.object)), metadata, { included: includedObject(query), now: context.now(), definitions: true }));
  }
  const head = form === 'metadata'
    ? { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata }
    : { kind: listKind, apiVersion: apiVersionOf(type), metadata };
  const items = entries.map(e => (form === 'metadata' ? JSON.stringify(partialMetadata(e.object)) : servedJson(type, e)));
  return `${JSON.stringify(head).slice(0, -1)},"items":[${items.join(',')}]}`;
}

export function includedObject(query: URLSearchParams): Included {
  const text = query.get('includeObject') || 'Metadata';
  if (text !== 'None' && text !== 'Metadata' && text !== 'Object') throw badRequest(`includeObject "${text}" is none of None, Metadata, Object`);
  return text;
}

/** A version from the future means that the client knows another history than this store. */
function requireKnownVersion(context: ApiContext, query: URLSearchParams): void {
  const asked = numberParameter(query, 'resourceVersion') ?? 0;
  if (asked > context.store.revision) {
    throw new ApiError(504, 'Timeout', `Too large resource version: ${asked}, current: ${context.store.revision}`, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }], retryAfterSeconds: 1,
    });
  }
}

interface PageMetadata { [key: string]: string | number; resourceVersion: string }

/**
 * The part of a list that `limit` and `continue` ask for. A token holds the first list's revision and the last key; later
 * pages show the objects as they are then, under the first page's revision, so that a watch from it misses nothing.
 */
function page(matching: readonly Entry[], revision: number, query: URLSearchParams): { entries: readonly Entry[]; metadata: PageMetadata } {
  const limit = numberParameter(query, 'limit') ?? 0;
  const token = parseToken(query.get('continue'));
  const start = token ? matching.findIndex(e => e.key > token.after) : 0;
  const rest = start < 0 ? [] : matching.slice(start);
  const metadata: PageMetadata = { resourceVersion: String(token?.revision ?? revision) };
  if (limit === 0 || rest.length <= limit) return { entries: rest, metadata };
  const entries = rest.slice(0, limit);
  metadata['continue'] = Buffer.from(JSON.stringify({ r: token?.revision ?? revision, k: entries.at(-1)!.key })).toString('base64url');
  if (!query.get('labelSelector') && !query.get('fieldSelector')) metadata['remainingItemCount'] = rest.length - limit;
  return { entries, metadata };
}

function parseToken(text: string | null): { revision: number; after: string } | undefined {
  if (!text) return undefined;
  try {
    const value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as { r?: unknown; k?: unknown };
    if (typeof value.r === 'number' && typeof value.k === 'string') return { revision: value.r, after: value.k };
  } catch {
    // falls through to the refusal
  }
  throw badRequest('continue key is not valid: it must be the one that an earlier list returned');
}
