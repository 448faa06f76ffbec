import { equalJson, isObject } from './object.ts';
import type { JsonObject, KubeObject } from './object.ts';
import { requireRoute } from './http/handler.ts';
import type { ApiContext, WriteOptions } from './verbs/context.ts';
import { decodeObject } from './verbs/decode.ts';
import { toServed } from './verbs/versions.ts';
import { createObject, updateObject } from './verbs/write.ts';

const options: WriteOptions = { dryRun: false, fieldManager: 'cirri-apiserver', fieldValidation: 'Ignore', warn: () => {} };

/** What every cluster has from the start: namespaces and our CRDs. The rest is the controllers' (src/operator). */
export function bootstrap(context: ApiContext, definitions: readonly JsonObject[]): void {
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
    ensure(context, '', 'namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  for (const definition of definitions) ensure(context, 'apiextensions.k8s.io', 'customresourcedefinitions', definition as KubeObject);
}

/** Creates the object, or brings the stored one to the given contents where they differ. */
function ensure(context: ApiContext, group: string, plural: string, wanted: KubeObject): void {
  const type = requireRoute(context.registry.find(group, 'v1', plural));
  const entry = context.store.get(type.collection, '', wanted.metadata.name);
  if (entry && carries(entry.object, wanted)) return;
  const object = decodeObject(type, JSON.parse(JSON.stringify(wanted)) as JsonObject, options);
  if (entry) updateObject(context, type, toServed(type, entry.object), object, options);
  else createObject(context, type, undefined, object, options);
}

/** True where the stored object has everything that the wanted one states: nothing needs validating again at every start. */
function carries(stored: unknown, wanted: unknown): boolean {
  if (isObject(wanted)) return isObject(stored) && Object.entries(wanted).every(([key, value]) => carries(stored[key], value));
  if (Array.isArray(wanted)) return Array.isArray(stored) && stored.length === wanted.length && wanted.every((item, i) => carries(stored[i], item));
  return equalJson(stored, wanted);
}
