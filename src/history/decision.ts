import type { DecisionEntry } from './dictionary.ts';

/** The policy that decided, as it is shown and grouped by: `CiliumNetworkPolicy ns/name`. */
export function policyOf({ rule, egressDeniedBy, ingressDeniedBy, egressAllowedBy, ingressAllowedBy }: DecisionEntry): string | undefined {
  const policy = rule ?? [egressDeniedBy, ingressDeniedBy, egressAllowedBy, ingressAllowedBy].find(list => list && list.length > 0)?.[0];
  if (!policy) return undefined;
  if (rule?.effect === 'default-deny') return `default denial: ${rule.namespace ? `${rule.namespace}/` : ''}${rule.name}`;
  return `${policy.kind ? `${policy.kind} ` : ''}${policy.namespace ? `${policy.namespace}/` : ''}${policy.name}`;
}
