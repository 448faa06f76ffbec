/** Pods and nodes of the rig have other addresses than in the case: where policies compare them, the policies follow. Pure. */
import type { KubernetesObject } from '../../policy/conformance/case.ts';
import { parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';

/** One end of the case: what it is called there, and what it really has. */
export interface MovedAddress {
  readonly from: string;
  readonly to: readonly string[];
}

/**
 * `networks` of the admin kinds are compared with pods too; every other CIDR selects only what is outside, which has the case's own
 * addresses. A network that holds a moved end gets that end's real addresses beside it.
 */
export function followAddresses(policies: readonly KubernetesObject[], moved: readonly MovedAddress[]): { readonly policies: readonly KubernetesObject[]; readonly impossible?: string } {
  let impossible: string | undefined;
  const follow = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(follow);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([field, inner]) => {
      if (field !== 'networks' || !Array.isArray(inner) || !inner.every(isPrefix)) return [field, follow(inner)];
      const more = moved.flatMap(end => {
        const holds = (address: string) => inner.some(network => isFamily4(network) === isFamily4(address) && prefixHas(parsePrefix(network), parseAddr(address)));
        const real = end.to.filter(address => isFamily4(address) === isFamily4(end.from));
        if (holds(end.from)) return real.filter(address => !holds(address));
        if (real.some(holds)) impossible = `a network of the policy (${inner.join(', ')}) holds addresses of the rig that stand for others in the case`;
        return [];
      });
      return [field, [...inner, ...more.map(hostPrefix)]];
    }));
  };
  const followed = policies.map(policy => (adminKinds.has(policy.kind ?? '') ? (follow(policy) as KubernetesObject) : policy));
  return { policies: followed, ...(impossible !== undefined && { impossible }) };
}

const adminKinds: ReadonlySet<string> = new Set(['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy']);

function isPrefix(value: unknown): value is string {
  try {
    parsePrefix(value as string);
    return true;
  } catch {
    return false;
  }
}

/** ::/0 holds IPv4 only in the form that addresses have inside, which no policy means. */
function isFamily4(addressOrPrefix: string): boolean {
  return !addressOrPrefix.includes(':');
}

function hostPrefix(address: string): string {
  return `${address}/${isFamily4(address) ? 32 : 128}`;
}
