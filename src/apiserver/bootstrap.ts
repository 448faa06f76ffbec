import { equalJson } from './object.ts';
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

/** Creates the object, or brings the spec of the stored one to the given contents where it differs. */
function ensure(context: ApiContext, group: string, plural: string, wanted: KubeObject): void {
  const type = requireRoute(context.registry.find(group, 'v1', plural));
  const entry = context.store.get(type.collection, '', wanted.metadata.name);
  const object = decodeObject(type, JSON.parse(JSON.stringify(wanted)) as JsonObject, options);
  if (!entry) {
    createObject(context, type, undefined, object, options);
    return;
  }
  // Completed as a write would complete it: then equal specs need no write, and no validation at every start.
  type.hooks.setDefaults?.(object, entry.object);
  if (object['spec'] === undefined || equalJson(object['spec'], entry.object['spec'])) return;
  updateObject(context, type, toServed(type, entry.object), { ...object, metadata: { ...entry.copy().metadata } }, options);
}
