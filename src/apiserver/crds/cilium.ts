import type { JsonObject } from '../object.ts';
import { definition } from './definition.ts';
const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as const;
export const ciliumDefinitions: readonly JsonObject[] = [
  definition({ kind: 'CiliumNetworkPolicy', plural: 'ciliumnetworkpolicies', shortNames: ['cnp', 'ciliumnp'], namespaced: true, versions: [{ name: 'v2', schema: { type: 'object', properties: { spec: open, specs: { type: 'array', items: open }, status: open } }, status: true }] }),
];
