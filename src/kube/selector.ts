import type { LabelRequirement, LabelSelector, StringMap } from './types.ts';

/** metav1.LabelSelector: empty matches everything, undefined matches nothing. */
export function matchesSelector(selector: LabelSelector | undefined, labels: StringMap | undefined): boolean {
  if (selector === undefined) return false;
  return matchesMap(selector.matchLabels ?? {}, labels) && (selector.matchExpressions ?? []).every(r => matchesRequirement(r, labels));
}

/** The older map form (services, nodeSelector): every pair must be there. */
export function matchesMap(selector: StringMap, labels: StringMap | undefined): boolean {
  for (const key in selector) if (labels?.[key] !== selector[key]) return false;
  return true;
}

/** One requirement, with the two that only node selectors know (Gt, Lt: integers). An unknown operator matches nothing. */
export function matchesRequirement(requirement: LabelRequirement, labels: StringMap | undefined): boolean {
  const value = labels?.[requirement.key];
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case 'In': return value !== undefined && values.includes(value);
    case 'NotIn': return value === undefined || !values.includes(value);
    case 'Exists': return value !== undefined;
    case 'DoesNotExist': return value === undefined;
    case 'Gt': return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt': return value !== undefined && Number(value) < Number(values[0]);
    default: return false;
  }
}
