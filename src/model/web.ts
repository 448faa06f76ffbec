/**
 * What the web UI and the process that serves it say to each other: JSON over HTTP, and one stream of JSON lines per open
 * page. Both sides import this; it runs in the browser.
 */
import type { Flow } from './flow.ts';
import type { MapInterval, MapNode } from './service-map.ts';

/** `GET /api/session`. */
export interface WebSession {
  readonly cluster: string;
  readonly version: string;
  /** What this session may see; absent: everything. */
  readonly namespaces?: readonly string[];
  /** Whether the past can be asked for. */
  readonly history: boolean;
}

export interface WebNodeState {
  readonly name: string;
  readonly state: 'connected' | 'unavailable';
  /** Why it is not connected. */
  readonly message?: string;
}

/** Filters that map and table share. Absent: any. */
export interface WebFilter {
  /** An end lies there. */
  readonly namespace?: string;
  /** A label selector that an end fulfils: `app=web,tier in (a, b)`. */
  readonly label?: string;
  readonly verdict?: WebVerdict;
  readonly protocol?: string;
  /** The beginning of a pod's or workload's name, an address, a prefix, a port, or a part of a DNS name. */
  readonly text?: string;
  /** Lookups of names too, which every connection brings along; those that were denied or failed are always shown. */
  readonly dns?: true;
  /** Every event, also of packets within a connection: without it, one flow for each connection, denial and request. */
  readonly events?: 'all';
}

export const webVerdicts = ['FORWARDED', 'DROPPED', 'AUDIT', 'REDIRECTED', 'ERROR', 'TRACED'] as const;
export type WebVerdict = (typeof webVerdicts)[number];
export const webProtocols = ['TCP', 'UDP', 'SCTP', 'ICMP', 'HTTP', 'DNS'] as const;

/** A line of `GET /api/watch?flows=1&namespace=…`. */
export type WebMessage =
  /** The first: all map nodes that are known, and the intervals of the last minutes, oldest first. Again, instead of what was told, when more is known of before. */
  | { readonly type: 'hello'; readonly nodes: readonly MapNode[]; readonly intervals: readonly MapInterval[]; readonly cluster: readonly WebNodeState[] }
  | { readonly type: 'map'; readonly interval: MapInterval }
  /** Oldest first. */
  | WebFlows
  | { readonly type: 'cluster'; readonly cluster: readonly WebNodeState[] }
  /** Intervals of the map that this client was too slow for. */
  | { readonly type: 'skipped'; readonly intervals: number };

export interface WebFlows {
  readonly type: 'flows';
  readonly flows: readonly Flow[];
  /** Matched, and left out because there were too many. */
  readonly left: number;
  /** Lost before anybody could look. */
  readonly lost: number;
  /** These happened before the stream began. */
  readonly past?: true;
}

/** `GET /api/explain/FLOW-ID`: what `cirri policy explain` says, of the policies of now. */
export interface WebExplanation {
  readonly flow: Flow;
  /** Of the policies of now; `unknown` where they cannot be asked, for `problem`'s reason. */
  readonly verdict: 'allow' | 'audit' | 'deny' | 'mixed' | 'unknown';
  readonly problem?: string;
  readonly notes: readonly string[];
  readonly legs: readonly WebLeg[];
}

export interface WebLeg {
  readonly from: string;
  readonly to: string;
  readonly port: string;
  readonly verdict: 'allow' | 'audit' | 'deny';
  readonly steps: readonly WebStep[];
  readonly suggestion?: WebSuggestion;
}

export interface WebStep {
  readonly direction: 'ingress' | 'egress';
  readonly who: string;
  readonly verdict: string;
  readonly because: string;
  readonly policy?: WebPolicyName;
  /** `spec.ingress[0]`. */
  readonly path: string;
  readonly effect: string;
  readonly reasons: readonly string[];
  /** Policies that put `who` into default deny, and the field that does. */
  readonly closedBy: readonly { readonly policy: string; readonly field: string }[];
  readonly nearest: readonly { readonly policy: string; readonly missed: string; readonly field: string; readonly text: string }[];
}

export interface WebSuggestion {
  readonly changes: readonly { readonly kind: 'patch' | 'new'; readonly text: string; readonly yaml: string }[];
  readonly alsoChanges: readonly { readonly from: string; readonly to: string; readonly gained: readonly string[]; readonly lost: readonly string[]; readonly audited: readonly string[] }[];
}

export interface WebPolicyName {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/** `GET /api/policies`. */
export interface WebPolicies {
  readonly policies: readonly WebPolicy[];
  /** Nodes whose counters are not in the numbers. */
  readonly silent: readonly string[];
}

export interface WebPolicy extends WebPolicyName {
  /** `CiliumNetworkPolicy/shop/web`. */
  readonly address: string;
  readonly mode: 'enforce' | 'audit' | 'shadow' | 'invalid';
  readonly errors: readonly string[];
  /** Pods that it selects. */
  readonly pods: number;
  readonly notEnforced: readonly { readonly node: string; readonly error: string }[];
  readonly rules: readonly WebRule[];
  readonly yaml: string;
  /** Of a policy in shadow: what it would have decided otherwise. */
  readonly shadow?: { readonly differences: readonly WebShadowDifference[] };
}

export interface WebRule {
  readonly id: number;
  /** `spec.ingress[0]`; empty for the default denial that the policies bring. */
  readonly path: string;
  readonly direction: 'ingress' | 'egress';
  readonly effect: 'allow' | 'deny' | 'pass' | 'default-deny' | 'default-allow';
  readonly because: string;
  readonly packets: number;
  readonly bytes: number;
  readonly connections: number;
  readonly lastHit?: string;
  /** It could have decided and never did. */
  readonly unused: boolean;
}

export interface WebShadowDifference {
  readonly verdict: 'allow' | 'deny';
  readonly direction: 'ingress' | 'egress';
  readonly endpoint: string;
  readonly peer: string;
  readonly ports: readonly string[];
  readonly connections: number;
  readonly lastHit?: string;
}

/** `GET /api/matrix?namespace=shop`: `cells[i][j]` is what party i may reach at party j, `all`, `-`, `80/TCP`; null where nothing decides. Of more than 80 parties there are no cells. */
export interface WebMatrix {
  readonly namespace: string;
  readonly parties: readonly { readonly name: string; readonly namespace?: string; readonly pods: number }[];
  readonly cells: readonly (readonly (string | null)[])[];
}

/** `GET /api/matrix/why?namespace=shop&from=shop/web&to=shop/db`. */
export interface WebWhy {
  readonly from: string;
  readonly to: string;
  /** What the one may reach at the other. */
  readonly access: string;
  /** On the first port that is denied, or on the first where none is. */
  readonly leg: WebLeg;
}

/** `GET /api/timeline?since=…&until=…&buckets=120`. */
export interface WebTimeline {
  readonly since: string;
  readonly until: string;
  readonly bucketMs: number;
  /** Flows by verdict. */
  readonly buckets: readonly { readonly forwarded: number; readonly dropped: number; readonly audited: number; readonly other: number }[];
}

/** What fails: status 4xx or 5xx with this. */
export interface WebError {
  readonly error: string;
  readonly mend?: string;
}
