import { asObject, isObject } from '../object.ts';
import type { Json, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import { prune } from '../schema/walk.ts';
import { badRequest } from '../status.ts';
import type { WriteOptions } from './context.ts';

/** A body as an object of the type, with unknown fields reported and dropped. The body is changed in place. */
export function decodeObject(type: ResourceType, body: Json | undefined, options: Pick<WriteOptions, 'fieldValidation' | 'warn'>): KubeObject {
  if (!isObject(body)) throw badRequest(`the body of the request must be a ${type.kind} object`);
  const expected = apiVersionOf(type);
  for (const key of ['kind', 'apiVersion']) {
    if (body[key] !== undefined && body[key] !== null && typeof body[key] !== 'string') throw badRequest(`${key} must be a string`);
  }
  if (!body['kind']) body['kind'] = type.kind;
  if (!body['apiVersion']) body['apiVersion'] = expected;
  if (body['kind'] !== type.kind) throw badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${String(body['kind'])}: the request's path says ${type.plural}`);
  if (body['apiVersion'] !== expected) throw badRequest(`the API version in the data (${String(body['apiVersion'])}) does not match the expected API version (${expected})`);
  if (body['metadata'] !== undefined && body['metadata'] !== null && !isObject(body['metadata'])) throw badRequest(`metadata must be an object, not ${JSON.stringify(body['metadata'])}`);
  body['metadata'] ??= {};
  reportUnknown(type, prune(body, type.schema), options);
  const metadata = asObject(body['metadata'])!;
  for (const key of ['name', 'namespace', 'generateName', 'uid', 'resourceVersion']) {
    if (metadata[key] !== undefined && typeof metadata[key] !== 'string') throw badRequest(`metadata.${key} must be a string, not ${JSON.stringify(metadata[key])}`);
  }
  for (const key of ['labels', 'annotations']) {
    const values = metadata[key];
    if (values === undefined) continue;
    if (!isObject(values)) throw badRequest(`metadata.${key} must be a map of strings`);
    for (const [name, value] of Object.entries(values)) {
      if (value === null) delete values[name];
      else if (typeof value !== 'string') throw badRequest(`metadata.${key}: the value of "${name}" must be a string; write it in quotes: ${name}: "${String(value)}"`);
    }
  }
  for (const key of ['finalizers', 'ownerReferences', 'managedFields']) {
    if (metadata[key] !== undefined && !Array.isArray(metadata[key])) throw badRequest(`metadata.${key} must be a list`);
  }
  return body as KubeObject;
}

export function reportUnknown(type: ResourceType, unknown: readonly string[], options: Pick<WriteOptions, 'fieldValidation' | 'warn'>): void {
  if (unknown.length === 0 || options.fieldValidation === 'Ignore') return;
  const texts = unknown.map(path => `unknown field "${path}"`);
  if (options.fieldValidation === 'Strict') {
    throw badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: strict decoding error: ${texts.join(', ')}`);
  }
  for (const text of texts) options.warn(text);
}
