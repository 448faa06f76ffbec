import type { KubeClient } from '../kube/client.ts';
import { isNotFound } from '../kube/errors.ts';
import { objectKey, reflect, type Reflector } from '../kube/reflector.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { Condition, KubeObject } from '../kube/types.ts';
import { isAbout, type PolicyNodeStatus } from '../model/policy-status.ts';
import { parsePolicy } from '../policy/parse.ts';
import { policyAnnotations } from '../policy/policy.ts';
import type { Condition as PolicyCondition } from '../policy/policy.ts';
import type { Logger } from '../std/log.ts';
import { derive } from '../table/derive.ts';
import type { Table } from '../table/table.ts';

/** Kinds that are accepted, kept and shown, and that nothing acts upon yet: said on the object, never passed over in silence. */
const withoutEffect: readonly { readonly resource: Resource; readonly because: string }[] = [
  { resource: resources.ciliumBgpPeeringPolicies, because: 'no BGP speaker runs yet: no session is opened and no route is announced' },
  { resource: resources.ciliumEgressGatewayPolicies, because: 'traffic does not go through a gateway yet: it leaves from its own node' },
  { resource: resources.ciliumEnvoyConfigs, because: 'no proxy reads it yet' },
];

/** The kinds that the engine enforces and that have a status. */
const enforcedKinds: readonly Resource[] = [
  resources.ciliumNetworkPolicies, resources.ciliumClusterwideNetworkPolicies,
  resources.adminNetworkPolicies, resources.baselineAdminNetworkPolicies, resources.clusterNetworkPolicies,
];

/**
 * Says on each policy object what became of it, as conditions: `Valid` in upstream's form, one condition for each thing that
 * is accepted but not enforced as written (it fails closed), and `Enforced`, which sums up what the nodes say. Kinds without
 * any effect yet say so too.
 */
export function startPolicyStatus(dependencies: { readonly client: KubeClient; readonly signal: AbortSignal; readonly log: Logger; readonly clusterName: string }): void {
  const { client, signal, log, clusterName } = dependencies;
  const nodes = reflect({ client, resource: resources.nodes, signal, log, keep: ({ apiVersion, kind, metadata: { name, uid, resourceVersion } }) => ({ apiVersion, kind, metadata: { name, ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) } }) });
  const nodeNames = () => [...nodes.table.keys()].sort();
  const start = (resource: Resource, options: { readonly conditionsOf: (object: KubeObject) => readonly Condition[]; readonly byNode?: boolean }) => {
    const reflector = reflect({ client, resource, signal, log });
    const changes = reflector.table.changes();
    const todo = new Set<string>();
    let told = '';
    const step = async () => {
      // Before the nodes are known a policy in force on none of them would be said to be in force.
      if (options.byNode && !nodes.table.synced) return;
      const names = nodeNames().join();
      for (const object of changes.take().changed) todo.add(objectKey(object));
      if (options.byNode && names !== told) for (const key of reflector.table.keys()) todo.add(key);
      told = names;
      await publish({ client, resource, reflector, conditionsOf: options.conditionsOf, ...(options.byNode ? { goneNodes: (object: KubeObject) => goneNodes(object, nodes.table) } : {}) }, todo);
    };
    void derive({ name: `conditions of ${resource.plural}`, inputs: options.byNode ? [reflector.table, nodes.table] : [reflector.table], step }, { log, signal });
  };
  for (const resource of enforcedKinds) {
    start(resource, { byNode: true, conditionsOf: object => [...policyConditions({ ...object, kind: resource.kind }, clusterName), enforcedCondition(object, nodeNames())] });
  }
  for (const { resource, because } of withoutEffect) {
    start(resource, { conditionsOf: () => [{ type: 'Enforced', status: 'False', reason: 'NotImplemented', message: because }] });
  }
}

/**
 * What the nodes say of the object's present version, in one condition. True only where it restricts traffic as written on
 * every node: a policy in shadow or audit is loaded and is not. Pure.
 */
export function enforcedCondition(object: KubeObject, nodes: readonly string[]): Condition {
  const said = nodeStatuses(object);
  const about = nodes.map(node => [node, said[node]] as const).filter(([, status]) => isAbout(status, object.metadata)) as [string, PolicyNodeStatus][];
  const inForce = about.filter(([, status]) => status.enforcing).length;
  const wrong = about.filter(([, status]) => !status.enforcing).sort(([a], [b]) => (a < b ? -1 : 1));
  const on = `on ${inForce} of ${nodes.length} nodes`;
  const condition = (status: Condition['status'], reason: string, message: string): Condition => ({ type: 'Enforced', status, reason, message });
  if (wrong.length > 0) {
    const first = wrong.slice(0, 5).map(([node, status]) => `${node}: ${status.error ?? 'not in force'}`);
    return condition('False', 'NotEnforced', [`in force ${on}`, ...first, ...(wrong.length > 5 ? [`and ${wrong.length - 5} more nodes`] : [])].join('\n'));
  }
  // No names and no count: each node that comes to it would make another write of every policy.
  if (inForce < nodes.length || nodes.length === 0) return condition('False', 'Pending', 'not in force on every node yet; status.nodes says where it is');
  const mode = object.metadata.annotations?.[policyAnnotations.mode];
  if (mode === 'shadow') return condition('False', 'Shadow', `loaded ${on}, in shadow: it decides nothing, and where it would is counted`);
  if (mode === 'audit') return condition('False', 'Audit', `loaded ${on}, in audit: what it alone denies passes and is reported`);
  return condition('True', 'InForce', `in force ${on}`);
}

function nodeStatuses(object: KubeObject): Readonly<Record<string, PolicyNodeStatus>> {
  return (object.status as { readonly nodes?: Readonly<Record<string, PolicyNodeStatus>> } | undefined)?.nodes ?? {};
}

/** Nodes that have left and cannot take back what they said. */
function goneNodes(object: KubeObject, nodes: Pick<Table<KubeObject>, 'has'>): string[] {
  return Object.keys(nodeStatuses(object)).filter(name => !nodes.has(name));
}

/** Conditions of one policy object. Pure. */
export function policyConditions(object: KubeObject, clusterName: string): Condition[] {
  const { errors, conditions } = parsePolicy(object, { clusterName, nodeLabels: true });
  const valid: Condition = errors
    ? { type: 'Valid', status: 'False', reason: 'Invalid', message: errors.map(error => `${error.path}: ${error.message}; ${error.mend}`).join('\n') }
    : { type: 'Valid', status: 'True', reason: 'Validated', message: 'Policy validation succeeded' };
  return [valid, ...[...groupByType(conditions)].map(([type, group]): Condition => ({
    type,
    status: 'True',
    reason: reasonOf(group),
    message: group.map(condition => `${condition.path}: ${condition.message}`).join('\n'),
  }))];
}

function reasonOf(group: readonly PolicyCondition[]): string {
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
  readonly goneNodes?: (object: KubeObject) => readonly string[];
}

/** What the API refuses, or cannot be asked now, stays to be done in the next turn and keeps nobody else waiting. */
async function publish(dependencies: PublishDependencies, todo: Set<string>): Promise<void> {
  let failed: unknown;
  for (const key of [...todo]) {
    const object = dependencies.reflector.table.get(key);
    try {
      if (object) await publishOne(dependencies, object);
      todo.delete(key);
    } catch (error) {
      failed ??= error;
    }
  }
  if (failed !== undefined) throw failed;
}

async function publishOne({ client, resource, conditionsOf, goneNodes }: PublishDependencies, object: KubeObject): Promise<void> {
  const present = (object.status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
  const conditions = conditionsOf(object).map(condition => {
    const before = present.find(other => other.type === condition.type && other.status === condition.status);
    return { ...condition, lastTransitionTime: before?.lastTransitionTime ?? new Date().toISOString().replace(/\.\d+Z$/, 'Z') };
  });
  const gone = goneNodes?.(object) ?? [];
  if (gone.length === 0 && JSON.stringify(conditions.map(comparable)) === JSON.stringify(present.map(comparable))) return;
  const nodes = gone.length === 0 ? {} : { nodes: Object.fromEntries(gone.map(name => [name, null])) };
  try {
    await client.patch(resource, object.metadata.name, object.metadata.namespace, { status: { conditions, ...nodes } }, { type: 'merge', subresource: 'status' });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function comparable({ type, status, reason, message }: Condition): unknown[] {
  return [type, status, reason, message];
}
