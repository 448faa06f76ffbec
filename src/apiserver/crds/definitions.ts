import type { JsonObject } from '../object.ts';
import { ciliumDefinitions } from './cilium.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { networkPolicyApiDefinitions } from './network-policy-api.ts';

/** The CustomResourceDefinitions that every cluster has. */
export const clusterDefinitions: readonly JsonObject[] = [...ciliumDefinitions, ...networkPolicyApiDefinitions, ...monitoringDefinitions];
