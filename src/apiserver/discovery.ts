import { parseAccept } from './http/accept.ts';
import type { JsonObject } from './object.ts';
import type { Registry } from './registry/registry.ts';
import { apiVersionOf, storageVerbs } from './registry/resource.ts';
import type { ResourceType } from './registry/resource.ts';

/** A resource that stores nothing: reviews and requests that are answered at once. */
export interface VirtualResource { readonly group: string; readonly version: string; readonly plural: string; readonly kind: string; readonly namespaced: boolean; readonly verbs: readonly string[] }

export const virtualResources: readonly VirtualResource[] = [
  { group: 'authentication.k8s.io', version: 'v1', plural: 'selfsubjectreviews', kind: 'SelfSubjectReview', namespaced: false, verbs: ['create'] },
  { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews', kind: 'TokenReview', namespaced: false, verbs: ['create'] },
  { group: 'authorization.k8s.io', version: 'v1', plural: 'selfsubjectaccessreviews', kind: 'SelfSubjectAccessReview', namespaced: false, verbs: ['create'] },
  { group: 'authorization.k8s.io', version: 'v1', plural: 'selfsubjectrulesreviews', kind: 'SelfSubjectRulesReview', namespaced: false, verbs: ['create'] },
];

/** One line of an APIResourceList, from which every form of discovery is made. */
interface Row { readonly name: string; readonly kind: string; readonly namespaced: boolean; readonly verbs: readonly string[]; readonly singular: string; readonly shortNames?: readonly string[]; readonly categories?: readonly string[]; readonly group?: string; readonly version?: string }

const statusVerbs = ['get', 'patch', 'update'];

function rowsOf(registry: Registry, group: string, version: string): Row[] {
  const rows = registry.types(group, version).flatMap(typeRows);
  for (const v of virtualResources) if (v.group === group && v.version === version) rows.push({ name: v.plural, kind: v.kind, namespaced: v.namespaced, verbs: v.verbs, singular: v.kind.toLowerCase() });
  return rows;
}

function typeRows(type: ResourceType): Row[] {
  const { plural, kind, namespaced, singular, shortNames, categories } = type;
  const sub = (name: string, subKind: string, verbs: readonly string[], group?: string, version?: string): Row =>
    ({ name: `${plural}/${name}`, kind: subKind, namespaced, verbs, singular: '', ...(group === undefined ? {} : { group }), ...(version === undefined ? {} : { version }) });
  return [
    { name: plural, kind, namespaced, verbs: storageVerbs, singular, shortNames, categories },
    ...(type.statusSubresource ? [sub('status', kind, statusVerbs)] : []),
    ...(type.scale ? [sub('scale', 'Scale', statusVerbs, 'autoscaling', 'v1')] : []),
    ...type.subresources.map(s => sub(s.name, s.kind, s.verbs, s.group, s.version)),
  ];
}

/** Every group and version, those of virtual resources too; versions in order of preference. */
export function groupVersions(registry: Registry): Map<string, readonly string[]> {
  const groups = new Map(registry.groups());
  for (const { group, version } of virtualResources) if (!groups.has(group)) groups.set(group, [version]);
  return groups;
}

export function apiVersions(serverAddress: string): JsonObject {
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }] };
}

export function apiGroupList(registry: Registry): JsonObject {
  const groups = [...groupVersions(registry)].filter(([group]) => group !== '').map(([group, versions]) => groupOf(group, versions));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups };
}

function groupOf(name: string, versions: readonly string[]): JsonObject {
  const entries = versions.map(version => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: entries, preferredVersion: entries[0]! };
}

export function apiGroup(registry: Registry, group: string): JsonObject | undefined {
  const versions = groupVersions(registry).get(group);
  return versions && { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group, versions) };
}

export function apiResourceList(registry: Registry, group: string, version: string): JsonObject | undefined {
  if (!groupVersions(registry).get(group)?.includes(version)) return undefined;
  return {
    kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersionOf({ group, version }),
    resources: rowsOf(registry, group, version).map(r => ({
      name: r.name, singularName: r.singular, namespaced: r.namespaced, kind: r.kind, verbs: [...r.verbs],
      ...(r.group === undefined ? {} : { group: r.group }), ...(r.version === undefined ? {} : { version: r.version }),
      ...(r.shortNames?.length ? { shortNames: [...r.shortNames] } : {}), ...(r.categories?.length ? { categories: [...r.categories] } : {}),
    })),
  };
}

/** The media type with which an aggregated document is asked for and answered, or undefined. */
export function aggregatedType(accept: string | undefined): string | undefined {
  for (const { type, parameters } of parseAccept(accept)) {
    if (type !== 'application/json') continue;
    const version = parameters.get('v') ?? '';
    if (parameters.get('g') === 'apidiscovery.k8s.io' && parameters.get('as') === 'APIGroupDiscoveryList' && ['v2', 'v2beta1'].includes(version)) {
      return `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    }
    if (!parameters.has('as')) return undefined;
  }
  return undefined;
}

/** Aggregated discovery (KEP-3352): all groups with all resources in one document. `core` for /api, the rest for /apis. */
export function aggregatedDiscovery(registry: Registry, core: boolean, mediaType: string): JsonObject {
  const version = mediaType.includes('v=v2beta1') ? 'v2beta1' : 'v2';
  const items = [...groupVersions(registry)].filter(([group]) => (group === '') === core).map(([group, versions]) => ({
    metadata: { name: group, creationTimestamp: null },
    versions: versions.map(v => ({ version: v, resources: aggregatedResources(rowsOf(registry, group, v), group, v), freshness: 'Current' })),
  }));
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items };
}

function aggregatedResources(rows: readonly Row[], group: string, version: string): JsonObject[] {
  return rows.filter(r => !r.name.includes('/')).map(r => {
    const below = rows.filter(s => s.name.startsWith(`${r.name}/`));
    return {
      resource: r.name, responseKind: { group, version, kind: r.kind }, scope: r.namespaced ? 'Namespaced' : 'Cluster', singularResource: r.singular,
      verbs: [...r.verbs], ...(r.shortNames?.length ? { shortNames: [...r.shortNames] } : {}), ...(r.categories?.length ? { categories: [...r.categories] } : {}),
      ...(below.length ? { subresources: below.map(s => ({
        subresource: s.name.slice(r.name.length + 1), responseKind: { group: s.group ?? group, version: s.version ?? version, kind: s.kind }, verbs: [...s.verbs],
      })) } : {}),
    };
  });
}
