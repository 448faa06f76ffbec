import type { KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { badRequest, methodNotAllowed, noSuchPath, notFound } from '../status.ts';
import { renderObject } from '../table/render.ts';
import type { ApiContext, WriteOptions } from '../verbs/context.ts';
import { decodeObject } from '../verbs/decode.ts';
import { deleteEntry, deleteObject, parseDeleteOptions } from '../verbs/delete.ts';
import { includedObject, listObjects } from '../verbs/list.ts';
import { patchObject } from '../verbs/patch.ts';
import { flagParameter, parseWriteOptions } from '../verbs/query.ts';
import { parseSelection } from '../verbs/selection.ts';
import { servedJson, toServed } from '../verbs/versions.ts';
import { watchObjects } from '../verbs/watch.ts';
import { createObject, getObject, updateObject } from '../verbs/write.ts';
import { negotiateForm } from './accept.ts';
import type { Call, ResourceRoute } from './handler.ts';
import { sendJson } from './respond.ts';


/** Answers requests for stored objects and their status; other subresources go to `subresource`. */
export async function answerResource(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute, subresource: (type: ResourceType, call: Call, route: ResourceRoute) => Promise<void> | void): Promise<void> {
  checkScope(type, route, call.method);
  if (type.deprecationWarning) call.warnings.push(type.deprecationWarning);
  if (route.name === undefined) return answerCollection(context, type, call, route);
  if (route.subresource === undefined) return answerObject(context, type, call, route, '');
  if (route.subresource === 'status' && type.statusSubresource && route.rest.length === 0) return answerObject(context, type, call, route, 'status');
  return subresource(type, call, route);
}

function checkScope(type: ResourceType, route: ResourceRoute, method: string): void {
  if (!type.namespaced && route.namespace !== undefined) throw noSuchPath();
  if (type.namespaced && route.namespace === undefined && (route.name !== undefined || method === 'POST')) {
    throw method === 'POST' ? badRequest('an empty namespace may not be set during creation') : noSuchPath();
  }
}

export function writeOptions(call: Call): WriteOptions {
  return parseWriteOptions(call.query, call.request.headers['user-agent'] ?? '', text => {
    if (!call.warnings.includes(text)) call.warnings.push(text);
  });
}

async function answerCollection(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  switch (call.method) {
    case 'GET': case 'HEAD': {
      const form = negotiateForm(call.request.headers.accept);
      if (flagParameter(call.query, 'watch')) return watchObjects(context, type, route.namespace, undefined, call.query, form, call.response, call.signal);
      return sendJson(call.response, 200, listObjects(context, type, route.namespace, call.query, form), { warnings: call.warnings });
    }
    case 'POST': {
      const options = writeOptions(call);
      const object = decodeObject(type, await call.body(), options);
      return sendObject(context, type, call, 201, createObject(context, type, route.namespace, object, options));
    }
    case 'DELETE': {
      const options = parseDeleteOptions(await call.body(), call.query);
      const selection = parseSelection(type, route.namespace, call.query);
      const chosen = context.store.collection(type.collection).sorted().filter(entry => selection.matches(entry));
      const items = chosen.map(entry => deleteEntry(context, type, entry, options).object);
      return sendJson(call.response, 200, JSON.stringify({ kind: type.listKind, apiVersion: `${type.group ? `${type.group}/` : ''}${type.version}`, metadata: { resourceVersion: String(context.store.revision) }, items }));
    }
    default: throw methodNotAllowed();
  }
}

async function answerObject(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute, subresource: 'status' | ''): Promise<void> {
  const name = route.name!;
  switch (call.method) {
    case 'GET': case 'HEAD': {
      const form = negotiateForm(call.request.headers.accept);
      if (flagParameter(call.query, 'watch')) return watchObjects(context, type, route.namespace, name, call.query, form, call.response, call.signal);
      if (form !== 'object') return sendObject(context, type, call, 200, getObject(context, type, route.namespace, name));
      const entry = context.store.get(type.collection, route.namespace ?? '', name);
      if (!entry) throw notFound(type, name);
      return sendJson(call.response, 200, servedJson(type, entry), { warnings: call.warnings });
    }
    case 'PUT': {
      const options = { ...writeOptions(call), subresource };
      const object = decodeObject(type, await call.body(), options);
      return sendObject(context, type, call, 200, updateObject(context, type, getObject(context, type, route.namespace, name), object, options));
    }
    case 'PATCH': {
      const options = { ...writeOptions(call), subresource, force: flagParameter(call.query, 'force') };
      const { object, created } = patchObject(context, type, route.namespace, name, await call.body(), call.contentType, options);
      return sendObject(context, type, call, created ? 201 : 200, object);
    }
    case 'DELETE': {
      if (subresource) throw methodNotAllowed();
      const { object, gone } = deleteObject(context, type, route.namespace, name, parseDeleteOptions(await call.body(), call.query));
      return sendJson(call.response, 200, JSON.stringify(gone ? deletedStatus(type, object) : object), { warnings: call.warnings });
    }
    default: throw methodNotAllowed();
  }
}

export function sendObject(context: ApiContext, type: ResourceType, call: Call, code: number, object: KubeObject): void {
  const form = negotiateForm(call.request.headers.accept);
  const { warnings } = call;
  if (form !== 'object') return sendJson(call.response, code, JSON.stringify(renderObject(type, object, form, { included: includedObject(call.query), now: context.now() })), { warnings });
  // What was just stored has its text already.
  const entry = context.store.get(type.collection, object.metadata.namespace ?? '', object.metadata.name);
  sendJson(call.response, code, entry?.object === object ? entry.json : JSON.stringify(object), { warnings });
}

function deletedStatus(type: ResourceType, object: KubeObject): object {
  return {
    kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success',
    details: { name: object.metadata.name, ...(type.group ? { group: type.group } : {}), kind: type.plural, uid: object.metadata.uid },
  };
}

/** For subresources that answer with the object they changed. */
export function currentObject(context: ApiContext, type: ResourceType, route: ResourceRoute): KubeObject {
  const entry = context.store.get(type.collection, route.namespace ?? '', route.name ?? '');
  if (!entry) throw notFound(type, route.name ?? '');
  return toServed(type, entry.object);
}
