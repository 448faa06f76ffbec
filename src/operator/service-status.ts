import { isDeepStrictEqual } from 'node:util';
import { addressesHeld, requestSatisfied } from '../features/external-addresses/claims.ts';
import type { ExternalAddressRow } from '../ipam/external-addresses.ts';
import type { Assignment } from '../ipam/service-addresses.ts';
import type { Condition, ServiceStatus } from '../kube/types.ts';
import { withCondition } from './pods.ts';

/** Says on a service which of its external addresses are not served, and why. */
export const addressesRefused = 'cirri.io/ExternalAddressesRefused';

/** What became of a service's addresses: undefined means that the matter is not ours, 'none' that it asks for nothing any more. */
export interface ServiceVerdict {
  readonly assignment: Assignment | undefined;
  /** Of class io.cilium/node: not served, and said so. */
  readonly nodeClass: boolean;
  readonly external: ExternalAddressRow | undefined;
}

/**
 * The status that the service should have, or undefined where it has it. Addresses that were given here go when the service no
 * longer asks; what others wrote (a load balancer of another class) stays as it is. Pure.
 */
export function serviceStatus(present: ServiceStatus | undefined, verdict: ServiceVerdict, now: string): ServiceStatus | undefined {
  const { assignment, nodeClass, external } = verdict;
  const wasOurs = present?.conditions?.some(({ type }) => type === requestSatisfied) === true;
  const ingress = assignment ? assignment.addresses.map(ip => ({ ip, ipMode: 'VIP' })) : wasOurs ? [] : present?.loadBalancer?.ingress ?? [];
  const wanted = [...requestCondition(assignment, nodeClass), ...refusedCondition(external), ...heldCondition(external, assignment)];
  let conditions: readonly Condition[] = (present?.conditions ?? []).filter(({ type }) => ![requestSatisfied, addressesRefused, addressesHeld].includes(type) || wanted.some(c => c.type === type));
  for (const condition of wanted) conditions = withCondition(conditions, condition, now);
  const next = { conditions, loadBalancer: { ingress } };
  const before = { conditions: present?.conditions ?? [], loadBalancer: { ingress: present?.loadBalancer?.ingress ?? [] } };
  return isDeepStrictEqual(before, next) ? undefined : next;
}

function requestCondition(assignment: Assignment | undefined, nodeClass: boolean): Condition[] {
  if (nodeClass) {
    return [{ type: requestSatisfied, status: 'False', reason: 'class_not_served', message: 'the class io.cilium/node is not served: it would let whoever may write a Service take any port of a node; use a service of type NodePort, or no loadBalancerClass' }];
  }
  if (!assignment) return [];
  const { satisfied, reason, message } = assignment;
  return [{ type: requestSatisfied, status: satisfied ? 'True' : 'False', reason, message }];
}

function refusedCondition(external: ExternalAddressRow | undefined): Condition[] {
  const [first] = external?.refused ?? [];
  if (!external || !first) return [];
  const message = external.refused.map(refusal => `${refusal.field}: ${refusal.message}; ${refusal.mend}`).join('\n');
  return [{ type: addressesRefused, status: 'True', reason: first.reason, message }];
}

/** Addresses that were given here need no word of their own: they rank first anyway. */
function heldCondition(external: ExternalAddressRow | undefined, assignment: Assignment | undefined): Condition[] {
  const held = external ? [...external.externalIPs, ...(assignment ? [] : external.ingress)] : [];
  return held.length === 0 ? [] : [{ type: addressesHeld, status: 'True', reason: 'Served', message: held.join(', ') }];
}

/** Conditions of a pool, as upstream's: whether it conflicts, and how many addresses it has. Pure. */
export function poolConditions(pool: { readonly conflict: string | undefined; readonly errors: readonly string[]; readonly counts: { readonly total: bigint; readonly used: bigint; readonly available: bigint } }): Condition[] {
  const { conflict, errors, counts } = pool;
  const count = (type: string, value: bigint): Condition => ({ type: `cilium.io/${type}`, status: 'Unknown', reason: 'noreason', message: String(value) });
  return [
    conflict === undefined
      ? { type: 'cilium.io/PoolConflict', status: 'False', reason: 'resolved', message: '' }
      : { type: 'cilium.io/PoolConflict', status: 'True', reason: 'cidr_overlap', message: conflict },
    count('IPsTotal', counts.total),
    count('IPsAvailable', counts.available),
    count('IPsUsed', counts.used),
    ...(errors.length === 0 ? [] : [{ type: 'cirri.io/Invalid', status: 'True', reason: 'InvalidBlock', message: errors.join('\n') } as const]),
  ];
}
