import { TypeLibrary } from './idl.ts';
import { coordinationTypes, coreTypes, discoveryTypes, eventsTypes } from './types-core.ts';
import { podTypes } from './types-pod.ts';
import { appsTypes, autoscalingTypes, batchTypes, policyTypes } from './types-apps.ts';
import { apiextensionsTypes, networkingTypes, rbacTypes } from './types-networking.ts';
import { authenticationTypes, authorizationTypes, metaTypes } from './types-meta.ts';
import type { Schema } from './schema.ts';

/** Prefix of the OpenAPI names of a group's types. */
export const typePrefix: Readonly<Record<string, string>> = {
  '': 'io.k8s.api.core.v1',
  'apps': 'io.k8s.api.apps.v1',
  'batch': 'io.k8s.api.batch.v1',
  'autoscaling': 'io.k8s.api.autoscaling.v1',
  'policy': 'io.k8s.api.policy.v1',
  'discovery.k8s.io': 'io.k8s.api.discovery.v1',
  'networking.k8s.io': 'io.k8s.api.networking.v1',
  'coordination.k8s.io': 'io.k8s.api.coordination.v1',
  'events.k8s.io': 'io.k8s.api.events.v1',
  'rbac.authorization.k8s.io': 'io.k8s.api.rbac.v1',
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1',
  'authentication.k8s.io': 'io.k8s.api.authentication.v1',
  'authorization.k8s.io': 'io.k8s.api.authorization.v1',
  'meta.k8s.io': 'io.k8s.apimachinery.pkg.apis.meta.v1',
};

const library = new TypeLibrary()
  .define(typePrefix['meta.k8s.io']!, metaTypes)
  .define(typePrefix['']!, coreTypes + podTypes)
  .define(typePrefix['apps']!, appsTypes)
  .define(typePrefix['batch']!, batchTypes)
  .define(typePrefix['autoscaling']!, autoscalingTypes)
  .define(typePrefix['policy']!, policyTypes)
  .define(typePrefix['discovery.k8s.io']!, discoveryTypes)
  .define(typePrefix['networking.k8s.io']!, networkingTypes)
  .define(typePrefix['coordination.k8s.io']!, coordinationTypes)
  .define(typePrefix['events.k8s.io']!, eventsTypes)
  .define(typePrefix['rbac.authorization.k8s.io']!, rbacTypes)
  .define(typePrefix['apiextensions.k8s.io']!, apiextensionsTypes)
  .define(typePrefix['authentication.k8s.io']!, authenticationTypes)
  .define(typePrefix['authorization.k8s.io']!, authorizationTypes);

/** The schema of a built-in type; throws for one that no table declares. */
export function builtinSchema(group: string, kind: string): Schema {
  const prefix = typePrefix[group];
  if (!prefix) throw new Error(`no types are declared for group "${group}"`);
  return library.get(prefix, kind);
}

/** Types named in a table and declared in none. Empty, or a table has a spelling mistake. */
export const undeclaredTypes = () => library.undeclared();

export const objectMetaSchema: Schema = library.get(typePrefix['meta.k8s.io']!, 'ObjectMeta');
