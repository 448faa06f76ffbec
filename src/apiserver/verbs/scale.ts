import { asNumber, at, cloneJson, ensureObject, isObject } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import type { Call, ResourceRoute } from '../http/handler.ts';
import { currentObject, writeOptions } from '../http/resources.ts';
import { sendJson } from '../http/respond.ts';
import { applyJsonPatch } from '../patch/json.ts';
import { applyMergePatch } from '../patch/merge.ts';
import type { ResourceType, ScalePaths } from '../registry/resource.ts';
import { formatSelector } from '../selectors.ts';
import { badRequest, conflict, invalid, invalidObject, methodNotAllowed, unsupportedMediaType } from '../status.ts';
import type { ApiContext } from './context.ts';
import { updateObject } from './write.ts';

/** The scale subresource (autoscaling/v1 Scale): the number of replicas, wherever the kind keeps it. */
export async function answerScale(context: ApiContext, type: ResourceType, call: Call, route: ResourceRoute): Promise<void> {
  const paths = type.scale!;
  const old = currentObject(context, type, route);
  const present = scaleOf(old, paths);
  if (call.method === 'GET') return sendJson(call.response, 200, JSON.stringify(present));
  const wanted = await wantedScale(call, present);
  const stated = at(wanted, 'metadata', 'resourceVersion');
  if (stated && stated !== old.metadata.resourceVersion) throw conflict(type, old.metadata.name);
  const replicas = asNumber(at(wanted, 'spec', 'replicas')) ?? 0;
  if (!Number.isInteger(replicas) || replicas < 0) {
    throw invalidObject({ group: 'autoscaling', kind: 'Scale' }, old.metadata.name, [invalid('spec.replicas', replicas, 'must be greater than or equal to 0')]);
  }
  const object = cloneJson(old);
  setPath(object, paths.specReplicas, replicas);
  const written = updateObject(context, type, old, object, { ...writeOptions(call), subresource: 'scale' });
  sendJson(call.response, 200, JSON.stringify(scaleOf(written, paths)), { warnings: call.warnings });
}

async function wantedScale(call: Call, present: JsonObject): Promise<Json> {
  const body = await call.body();
  if (call.method === 'PUT') {
    if (!isObject(body)) throw badRequest('the body of the request must be a Scale');
    return body;
  }
  if (call.method !== 'PATCH') throw methodNotAllowed();
  switch (call.contentType) {
    case 'application/json-patch+json': return applyJsonPatch(present, body);
    case 'application/merge-patch+json': case 'application/strategic-merge-patch+json': case 'application/apply-patch+yaml':
      if (!isObject(body)) throw badRequest('a patch of a Scale must be an object');
      return applyMergePatch(present, body);
    default: throw unsupportedMediaType(call.contentType, ['application/json-patch+json', 'application/merge-patch+json']);
  }
}

function scaleOf(object: KubeObject, paths: ScalePaths): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = at(object, 'spec', 'selector');
  const text = selector === undefined ? at(object, ...(paths.selector ?? '').split('.')) : formatSelector(selector);
  return {
    kind: 'Scale', apiVersion: 'autoscaling/v1', metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    spec: { replicas: asNumber(at(object, ...paths.specReplicas.split('.'))) ?? 0 },
    status: { replicas: asNumber(at(object, ...paths.statusReplicas.split('.'))) ?? 0, ...(typeof text === 'string' && text !== '' ? { selector: text } : {}) },
  };
}

function setPath(object: JsonObject, path: string, value: Json): void {
  const parts = path.split('.');
  let current = object;
  for (const part of parts.slice(0, -1)) current = ensureObject(current, part);
  current[parts.at(-1)!] = value;
}
