import type { KubeClient } from '../kube/client.ts';
import { objectKey, reflect, type Reflector } from '../kube/reflector.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { Condition, KubeObject } from '../kube/types.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Condition as PolicyCondition } from '../policy/policy.ts';
import type { Logger } from '../std/log.ts';
import { derive } from '../table/derive.ts';

/** Kinds that are accepted, kept and shown, and that nothing acts upon yet: said on the object, never passed over in silence. */
const withoutEffect: readonly { readonly resource: Resource; readonly because: string }[] = [
  { resource: resources.ciliumBgpPeeringPolicies, because: 'no BGP speaker runs yet: no session is opened and no route is announced' },
  { resource: resources.ciliumLoadBalancerIpPools, because: 'LoadBalancer services get no addresses yet' },
  { resource: resources.ciliumLocalRedirectPolicies, because: 'traffic is not redirected yet' },
  { resource: resources.ciliumEgressGatewayPolicies, because: 'traffic does not go through a gateway yet: it leaves from its own node' },
  { resource: resources.ciliumEnvoyConfigs, because: 'no proxy reads it yet' },
];

/**
 * Says on each policy object what became of it, as conditions: `Valid` in upstream's form, and one condition for each
 * thing that is accepted but not enforced as written (it fails closed). Kinds without any effect yet say so too.
 */
export function startPolicyStatus(dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger; readonly clusterName: string }): void {
  const { client, signal, log, clusterName } = dependencies;
  const parsed: readonly Resource[] = [resources.ciliumNetworkPolicies, resources.ciliumClusterwideNetworkPolicies];
  const start = (resource: Resource, conditionsOf: (object: KubeObject) => readonly Condition[]) => {
    const reflector = reflect({ client, resource, signal, log });
    const changes = reflector.table.changes();
    void derive({ name: `conditions of ${resource.plural}`, inputs: [reflector.table], step: () => publish({ client, resource, reflector, conditionsOf }, changes.take().changed) }, { log, signal });
  };
  for (const resource of parsed) start(resource, object => policyConditions({ ...object, kind: resource.kind }, clusterName));
  for (const { resource, because } of withoutEffect) {
    start(resource, () => [{ type: 'Enforced', status: 'False', reason: 'NotImplemented', message: because }]);
  }
}

/** Conditions of one policy object. Pure. */
export function policyConditions(object: KubeObject, clusterName: string): Condition[] {
  const { errors, conditions } = parsePolicy(object, { clusterName });
  const valid: Condition = errors
    ? { type: 'Valid', status: 'False', reason: 'Invalid', message: errors.map(error => `${error.path}: ${error.message}; ${error.mend}`).join('\n') }
    : { type: 'Valid', status: 'True', reason: 'Validated', message: 'Policy validation succeeded' };
  return [valid, ...[...groupByType(conditions)].map(([type, group]): Condition => ({
    type,
    status: 'True',
    reason: reasonOf(type, group),
    message: group.map(condition => `${condition.path}: ${condition.message}`).join('\n'),
  }))];
}

/** Host policies are the one thing that cannot fail closed: that would cut the node off. */
function reasonOf(type: string, group: readonly PolicyCondition[]): string {
  if (type === 'HostPolicyNotEnforced') return 'NotEnforced';
  return group.some(condition => condition.severity === 'degraded') ? 'FailsClosed' : 'Warning';
}

function groupByType(conditions: readonly PolicyCondition[]): Map<string, PolicyCondition[]> {
  const groups = new Map<string, PolicyCondition[]>();
  for (const condition of conditions) groups.set(condition.type, [...(groups.get(condition.type) ?? []), condition]);
  return groups;
}

interface PublishDependencies {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly reflector: Reflector<KubeObject>;
  readonly conditionsOf: (object: KubeObject) => readonly Condition[];
}

async function publish({ client, resource, reflector, conditionsOf }: PublishDependencies, objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects) {
    const current = reflector.table.get(objectKey(object));
    if (current !== object) continue;
    const present = (object.status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
    const conditions = conditionsOf(object).map(condition => {
      const before = present.find(other => other.type === condition.type && other.status === condition.status);
      return { ...condition, lastTransitionTime: before?.lastTransitionTime ?? new Date().toISOString().replace(/\.\d+Z$/, 'Z') };
    });
    if (JSON.stringify(conditions.map(comparable)) === JSON.stringify(present.map(comparable))) continue;
    await client.patch(resource, object.metadata.name, object.metadata.namespace, { status: { conditions } }, { type: 'merge', subresource: 'status' });
  }
}

function comparable({ type, status, reason, message }: Condition): unknown[] {
  return [type, status, reason, message];
}
