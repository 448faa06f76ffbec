/** A pod, a name that it looked up and an address that it was given (`GET /v1/fqdn/cache` of the agent). */
export interface NameCacheRow {
  /** Local endpoint that asked. */
  readonly endpoint: number;
  /** Absent when the pod has gone. */
  readonly namespace?: string;
  readonly pod?: string;
  /** With the final dot; absent for what an earlier agent has seen: then only the patterns are known. */
  readonly name?: string;
  readonly ip: string;
  /** `lookup`: within its time. `connection`: over, and some connection uses it still. */
  readonly source: 'lookup' | 'connection';
  /** Until when policy goes by it, or, where no policy names it, until its TTL ends. */
  readonly ttlSeconds: number;
  /** RFC 3339. */
  readonly expires: string;
  /** Of the address, for this pod; none where no toFQDNs selects a name of it. */
  readonly identities: readonly number[];
  /** The toFQDNs that those stand for. */
  readonly selectors: readonly string[];
  /** Connections of the pod to the address that live. */
  readonly connections: number;
}

/** A name or pattern of policies (`GET /v1/fqdn/names`). */
export interface NameSelectorRow {
  readonly selector: string;
  readonly use: readonly ('toFQDNs' | 'rules.dns')[];
  /** `CiliumNetworkPolicy shop/checkout`. */
  readonly policies: readonly string[];
  /** Names that pods of the node have looked up lately, with their addresses, which match it; with the final dot. */
  readonly names: readonly { readonly name: string; readonly ips: readonly string[] }[];
  /** Of addresses whose names match it. */
  readonly identities: readonly number[];
  /** There was no room for it: it matches nothing. */
  readonly leftOut?: true;
}
