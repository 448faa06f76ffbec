/** Policies as an API server takes them. Pure. */
import type { KubernetesObject } from '../../policy/conformance/case.ts';

/**
 * Sources that never met an API server write what none takes: names in capitals or control characters, ends of ranges beyond the last
 * port, an empty protocol for the default one, half of a pair of selectors of which both are required. What is made of it means the same.
 */
export function admissible(policy: KubernetesObject): KubernetesObject {
  return { ...(valueOf('', policy) as KubernetesObject), metadata: { ...policy.metadata, name: objectName(policy.metadata.name) } };
}

function valueOf(field: string, value: unknown): unknown {
  if (field === 'endPort' && typeof value === 'number') return Math.min(value, 65_535);
  if (Array.isArray(value)) return value.map(inner => valueOf('', inner));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([name, inner]) => name !== 'protocol' || inner !== '').map(([name, inner]) => [name, valueOf(name, inner)] as const);
  return { ...(field === 'pods' ? { namespaceSelector: {}, podSelector: {} } : {}), ...Object.fromEntries(fields) };
}

/** RFC 1123, as names of objects are; a name that is one stays. */
function objectName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9.-]/g, character => `x${character.codePointAt(0)!.toString(16)}`);
}
