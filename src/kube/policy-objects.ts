import type { ScenarioObject } from '../policy/scenario.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './errors.ts';
import { apiVersionOf, resources, type Resource } from './resources.ts';
import type { KubeObject } from './types.ts';

const kinds: readonly Resource[] = [
  resources.namespaces, resources.nodes, resources.pods, resources.services, resources.endpointSlices, resources.ciliumCidrGroups,
  resources.networkPolicies, resources.ciliumNetworkPolicies, resources.ciliumClusterwideNetworkPolicies,
  resources.adminNetworkPolicies, resources.baselineAdminNetworkPolicies, resources.clusterNetworkPolicies,
];

/** All objects of the cluster that a question about policies needs. */
export async function policyObjects(client: KubeClient): Promise<readonly ScenarioObject[]> {
  return (await Promise.all(kinds.map(resource => listOf(client, resource)))).flat();
}

/** A kind that the API does not serve has no objects. */
async function listOf(client: KubeClient, resource: Resource): Promise<readonly ScenarioObject[]> {
  try {
    const { items } = await client.list<KubeObject>(resource);
    return items.map(object => ({ ...object, apiVersion: apiVersionOf(resource), kind: resource.kind }));
  } catch (error) {
    if (isNotFound(error)) return [];
    throw error;
  }
}
