import { isDeepStrictEqual } from 'node:util';
import { claimOf, clusterGrounds, ingressOf, isOurLoadBalancer, nodeOwners, poolOf, requestOf, requestSatisfied } from '../../features/external-addresses/claims.ts';
import { ExternalAddressDerivation } from '../../features/external-addresses/derive.ts';
import { ServiceAddresses, type Assignment } from '../../ipam/service-addresses.ts';
import { poolConflicts, type ServicePool } from '../../ipam/service-pool.ts';
import { isNotFound } from '../../kube/errors.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { Condition, KubeObject, Service } from '../../kube/types.ts';
import { parsePrefix } from '../../std/ip.ts';
import { enqueueOnChange } from '../cluster.ts';
import type { Context } from '../cluster.ts';
import { timeText } from '../nodes.ts';
import { withCondition } from '../pods.ts';
import { WorkQueue } from '../queue.ts';
import { addressesRefused, poolConditions, serviceStatus, type ServiceVerdict } from '../service-status.ts';

/**
 * Gives services of type LoadBalancer their addresses out of the CiliumLoadBalancerIPPools, and says on every service which of
 * its external addresses are not served. Who has what is decided in one place, one service after the other; what was decided
 * before a restart is read from the services first.
 */
export function runServiceAddresses(context: Context): void {
  const { cluster, record, log, signal } = context;
  const events = context.eventsAs('service-addresses');
  const grounds = clusterGrounds(record);
  const own = [...grounds.clusterRanges, ...[record.underlay.prefix4, record.underlay.prefix6].map(text => ({ what: 'the nodes\' addresses', prefix: parsePrefix(text) }))];
  const external = new ExternalAddressDerivation(grounds, nodes => nodeOwners(record, nodes), { services: cluster.services.table, pools: cluster.loadBalancerPools.table, nodes: cluster.nodes.table });
  const addresses = new ServiceAddresses((address, key) => external.heldExternally(address, key));
  let pools: readonly ServicePool[] = [];
  let conflicts: ReadonlyMap<string, string> = new Map();
  let specs = '';
  /** Services that wait for an address to become free. */
  const waiting = new Set<string>();
  const queue = new WorkQueue({ name: 'service-addresses', handle, log, signal });
  const poolQueue = new WorkQueue({ name: 'load-balancer-pools', handle: handlePool, paceMs: 200, log, signal });

  readPools();
  const oldestFirst = [...cluster.services.table.rows()].filter(isOurLoadBalancer).sort(byAge);
  for (const service of oldestFirst) addresses.adopt(requestOf(service), ingressOf(service));
  enqueueOnChange(cluster.loadBalancerPools.table, pool => [pool.metadata.name], { add: onPool }, signal);
  enqueueOnChange(cluster.services.table, service => [objectKey(service)], queue, signal);
  enqueueOnChange(external.table, row => [row.key], { add: onClaim }, signal);
  enqueueOnChange(cluster.nodes.table, node => [node.metadata.name], { add: () => external.step() }, signal);

  /** False where they say what they said before. */
  function readPools(): boolean {
    const now = specsOf(cluster.loadBalancerPools.table.rows());
    if (now === specs) return false;
    specs = now;
    pools = [...cluster.loadBalancerPools.table.rows()].map(poolOf);
    conflicts = poolConflicts(pools, own);
    addresses.setPools(pools, new Set(conflicts.keys()));
    external.step();
    return true;
  }

  function onPool(): void {
    // The counts that are written into a pool's status are no change that a service needs to hear of.
    const changed = readPools();
    for (const pool of pools) poolQueue.add(pool.name);
    if (changed) for (const service of cluster.services.table.rows()) if (isOurLoadBalancer(service)) queue.add(objectKey(service));
  }

  /** A claim that goes may leave an address to those who wait. */
  function onClaim(key: string): void {
    queue.add(key);
    for (const other of waiting) queue.add(other);
  }

  async function handle(key: string): Promise<void> {
    external.step();
    const service = cluster.services.get(key);
    const ours = service !== undefined && isOurLoadBalancer(service);
    const assignment = ours ? addresses.assign(requestOf(service)) : undefined;
    const freed = assignment ? assignment.freed : addresses.release(key);
    if (assignment && !assignment.satisfied) waiting.add(key);
    else waiting.delete(key);
    if (freed) for (const other of waiting) if (other !== key) queue.add(other);
    if (ours || freed) for (const pool of pools) poolQueue.add(pool.name);
    if (!service) return;
    const nodeClass = service.spec.type === 'LoadBalancer' && service.spec.loadBalancerClass === 'io.cilium/node';
    await publish(service, { assignment, nodeClass, external: claimOf(service) && external.table.get(key) });
  }

  async function publish(service: Service, verdict: ServiceVerdict): Promise<void> {
    const status = serviceStatus(service.status, verdict, timeText(context.now()));
    if (!status) return;
    try {
      const written = await cluster.services.patch(service, { status }, { subresource: 'status', onlyIf: 'unchanged' });
      tell(service, written, verdict.assignment);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** An event for what is new: told once, not with every look. */
  function tell(before: Service, after: Service, assignment: Assignment | undefined): void {
    const gained = ingressOf(after).filter(ip => !ingressOf(before).includes(ip));
    if (assignment && gained.length > 0) events.record(after, 'Normal', 'LoadBalancerIPAssigned', `Assigned ${gained.join(', ')}`);
    for (const [type, bad, reason] of [[requestSatisfied, 'False', 'LoadBalancerIPNotAssigned'], [addressesRefused, 'True', 'ExternalAddressRefused']] as const) {
      const now = conditionOf(after, type);
      const old = conditionOf(before, type);
      if (now?.status === bad && (old?.status !== bad || old.message !== now.message)) events.record(after, 'Warning', reason, now.message ?? '');
    }
  }

  async function handlePool(name: string): Promise<void> {
    const object = cluster.loadBalancerPools.get(name);
    const pool = pools.find(other => other.name === name);
    if (!object || !pool) return;
    const present = (object.status as { readonly conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
    const wanted = poolConditions({ conflict: conflicts.get(name), errors: pool.errors, counts: addresses.countsOf(name) });
    let conditions: readonly Condition[] = present.filter(({ type }) => type !== 'cirri.io/Invalid');
    for (const condition of wanted) conditions = withCondition(conditions, condition, timeText(context.now()));
    if (isDeepStrictEqual(present, conditions)) return;
    await cluster.loadBalancerPools.patch(object, { status: { conditions } }, { subresource: 'status', onlyIf: 'unchanged' });
  }
}

function specsOf(pools: Iterable<KubeObject>): string {
  return JSON.stringify([...pools].map(({ metadata: { name, creationTimestamp }, spec }) => [name, creationTimestamp, spec]));
}

function conditionOf(service: Service, type: string): Condition | undefined {
  return service.status?.conditions?.find(condition => condition.type === type);
}

function byAge(a: Service, b: Service): number {
  const [first, second] = [a, b].map(service => service.metadata.creationTimestamp ?? '');
  if (first !== second) return first! < second! ? -1 : 1;
  return objectKey(a) < objectKey(b) ? -1 : 1;
}
