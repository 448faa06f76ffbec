import type { JsonObject } from '../object.ts';
import { virtualResources } from '../discovery.ts';
import type { Registry } from '../registry/registry.ts';
import { apiVersionOf } from '../registry/resource.ts';
import type { ResourceType } from '../registry/resource.ts';
import { builtinSchema } from '../schema/builtin.ts';
import { serverVersion } from '../version.ts';
import { Emitter } from './emit.ts';
import type { Dialect } from './emit.ts';

const metaPrefix = 'io.k8s.apimachinery.pkg.apis.meta.v1';

/** What the paths of a document are about. */
interface Target { readonly group: string; readonly version: string; readonly kind: string; readonly typeName: string; readonly listName: string | undefined; readonly collection: string; readonly item: string | undefined }

/** One OpenAPI document over the given types. */
export function buildDocument(dialect: Dialect, types: readonly ResourceType[], groupVersions: readonly { readonly group: string; readonly version: string }[]): JsonObject {
  const emitter = new Emitter(dialect);
  const targets = [...types.flatMap(typeTargets), ...virtualTargets(groupVersions)];
  for (const type of types) defineType(emitter, type);
  for (const resource of virtualResources) {
    if (!includes(groupVersions, resource)) continue;
    const schema = builtinSchema(resource.group, resource.kind);
    emitter.define(schema.typeName!, schema, gvk([resource]));
  }
  if (includes(groupVersions, { group: '', version: 'v1' }) || includes(groupVersions, { group: 'apps', version: 'v1' })) {
    const scale = builtinSchema('autoscaling', 'Scale');
    emitter.define(scale.typeName!, scale, gvk([{ group: 'autoscaling', version: 'v1', kind: 'Scale' }]));
  }
  const options = builtinSchema('meta.k8s.io', 'DeleteOptions');
  emitter.define(options.typeName!, options, gvk([{ group: '', version: 'v1', kind: 'DeleteOptions' }]));
  emitter.define(`${metaPrefix}.Status`, builtinSchema('meta.k8s.io', 'Status'), gvk([{ group: '', version: 'v1', kind: 'Status' }]));
  const info = { title: 'Kubernetes', version: String(serverVersion['gitVersion']) };
  const paths = buildPaths(dialect, emitter, targets);
  const definitions = Object.fromEntries([...emitter.definitions].sort(([a], [b]) => (a < b ? -1 : 1)));
  return dialect === 'v2'
    ? { swagger: '2.0', info, paths, definitions }
    : { openapi: '3.0.0', info, paths, components: { schemas: definitions } };
}

const includes = (list: readonly { readonly group: string; readonly version: string }[], one: { readonly group: string; readonly version: string }) =>
  list.some(gv => gv.group === one.group && gv.version === one.version);

const gvk = (kinds: readonly { readonly group: string; readonly version: string; readonly kind: string }[]): JsonObject =>
  ({ 'x-kubernetes-group-version-kind': kinds.map(({ group, version, kind }) => ({ group, kind, version })) });

function defineType(emitter: Emitter, type: ResourceType): void {
  const { group, version, kind, listKind } = type;
  emitter.define(type.typeName, type.schema, gvk([{ group, version, kind }]));
  emitter.define(`${type.typeName}List`, {
    type: 'object', description: `${listKind} is a list of ${kind}.`, required: ['items'],
    properties: {
      apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: builtinSchema('meta.k8s.io', 'ListMeta'),
      items: { type: 'array', items: { typeName: type.typeName } },
    },
  }, gvk([{ group, version, kind: listKind }]));
}

function prefixOf(group: string, version: string): string {
  return group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
}

function typeTargets(type: ResourceType): Target[] {
  const { group, version, kind, typeName, plural, namespaced } = type;
  const prefix = prefixOf(group, version);
  const collection = namespaced ? `${prefix}/namespaces/{namespace}/${plural}` : `${prefix}/${plural}`;
  const base: Target = { group, version, kind, typeName, listName: `${typeName}List`, collection, item: `${collection}/{name}` };
  return [base, ...(type.statusSubresource ? [{ ...base, listName: undefined, collection: '', item: `${collection}/{name}/status` }] : [])];
}

function virtualTargets(groupVersions: readonly { readonly group: string; readonly version: string }[]): Target[] {
  return virtualResources.filter(v => includes(groupVersions, v)).map(v => ({
    group: v.group, version: v.version, kind: v.kind, typeName: builtinSchema(v.group, v.kind).typeName!, listName: undefined,
    collection: `${prefixOf(v.group, v.version)}/${v.plural}`, item: undefined,
  }));
}

function buildPaths(dialect: Dialect, emitter: Emitter, targets: readonly Target[]): JsonObject {
  const paths: JsonObject = {};
  for (const target of targets) {
    const kind = { group: target.group, kind: target.kind, version: target.version };
    const operation = (action: string, method: string, typeName: string, query: readonly string[], body = false): JsonObject => ({
      description: `${action} of ${target.kind}`, operationId: `${action}${target.typeName.replaceAll('.', '')}${target.item?.endsWith('/status') ? 'Status' : ''}`,
      parameters: [...query.map(name => parameter(dialect, name)), ...(body && dialect === 'v2' ? [{ name: 'body', in: 'body', required: true, schema: emitter.reference(typeName) }] : [])],
      ...(body && dialect === 'v3' ? { requestBody: { content: { [method === 'patch' ? 'application/apply-patch+yaml' : 'application/json']: { schema: emitter.reference(typeName) } } } } : {}),
      ...(dialect === 'v2' ? { consumes: ['application/json'], produces: ['application/json'] } : {}),
      responses: { 200: response(dialect, emitter.reference(typeName)) },
      'x-kubernetes-action': action, 'x-kubernetes-group-version-kind': kind,
    });
    const write = ['dryRun', 'fieldManager', 'fieldValidation'];
    if (target.collection) {
      paths[target.collection] = {
        ...(target.listName ? { get: operation('list', 'get', target.listName, ['labelSelector', 'fieldSelector', 'limit', 'continue', 'resourceVersion', 'watch']) } : {}),
        post: operation('post', 'post', target.typeName, write, true),
      };
    }
    if (target.item) {
      paths[target.item] = {
        get: operation('get', 'get', target.typeName, []),
        put: operation('put', 'put', target.typeName, write, true),
        patch: operation('patch', 'patch', target.typeName, [...write, 'force'], true),
        ...(target.collection ? { delete: operation('delete', 'delete', target.typeName, ['dryRun', 'gracePeriodSeconds', 'propagationPolicy']) } : {}),
      };
    }
  }
  return paths;
}

const parameterTypes: Readonly<Record<string, string>> = { limit: 'integer', watch: 'boolean', force: 'boolean', gracePeriodSeconds: 'integer' };

function parameter(dialect: Dialect, name: string): JsonObject {
  const type = parameterTypes[name] ?? 'string';
  return { name, in: 'query', ...(dialect === 'v2' ? { type, uniqueItems: true } : { schema: { type, uniqueItems: true } }) };
}

function response(dialect: Dialect, schema: JsonObject): JsonObject {
  return { description: 'OK', ...(dialect === 'v2' ? { schema } : { content: { 'application/json': { schema } } }) };
}

/** The whole API in version 2. */
export function documentV2(registry: Registry): JsonObject {
  return buildDocument('v2', registry.all(), [...virtualResources, { group: '', version: 'v1' }]);
}

/** One group and version in version 3. */
export function documentV3(registry: Registry, group: string, version: string): JsonObject {
  return buildDocument('v3', registry.types(group, version), [{ group, version }]);
}

export function pathOfGroup(group: string, version: string): string {
  return group === '' ? `api/${version}` : `apis/${apiVersionOf({ group, version })}`;
}
