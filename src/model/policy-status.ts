/**
 * What nodes say of a policy object, under `status.nodes` (upstream's CiliumNetworkPolicyNodeStatus): each agent writes its
 * own entry, the operator sums them up.
 */
export interface PolicyNodeStatus {
  /** This version of the policy is in the node's kernel, read back and equal, for every endpoint that it selects. */
  readonly enforcing: boolean;
  readonly ok: boolean;
  readonly error?: string;
  readonly observedGeneration?: number;
  /** Annotations change how a policy acts without a new generation. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** RFC 3339, of the last change. */
  readonly lastUpdated: string;
}

interface PolicyMetadata {
  readonly generation?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The annotations that say how a policy acts. */
export function policyWays(metadata: PolicyMetadata): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata.annotations ?? {}).filter(([key]) => key.startsWith('policy.cirri.io/')).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** True where a node's word is about this version of the object. */
export function isAbout(status: PolicyNodeStatus | undefined, metadata: PolicyMetadata): status is PolicyNodeStatus {
  return status !== undefined && status.observedGeneration === metadata.generation && sameRecord(status.annotations ?? {}, policyWays(metadata));
}

/** True when nothing but the time differs. */
export function saysTheSame(a: PolicyNodeStatus, b: PolicyNodeStatus): boolean {
  return a.enforcing === b.enforcing && a.ok === b.ok && a.error === b.error && a.observedGeneration === b.observedGeneration && sameRecord(a.annotations ?? {}, b.annotations ?? {});
}

function sameRecord(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key]);
}
