import type { FlowFilter } from '../../flows/filter.ts';
import type { FlowQuery } from '../../flows/query.ts';
import type { Flow } from '../../model/flow.ts';
import type { MapInterval } from '../../model/service-map.ts';
import type { WebExplanation, WebMatrix, WebNodeState, WebPolicies, WebTimeline, WebWhy } from '../../model/web.ts';

/** Where the web UI's data come from: the cluster's nodes in one view. Every call is of the whole cluster; what a session may see is cut out afterwards. */
export interface WebSources {
  readonly cluster: { readonly name: string; readonly version: string };
  /** An interval a second, of all nodes together, until the signal aborts. Reconnects by itself. */
  watchMap(signal: AbortSignal): AsyncIterable<MapInterval>;
  /** What matches from now on, in batches, at most `perSecond` of each node; what is left out is counted. */
  followFlows(query: FlowQuery & { readonly perSecond: number }, signal: AbortSignal): AsyncIterable<FlowBatch>;
  /** The newest `query.last` of what the nodes remember, oldest first. */
  recentFlows(query: FlowQuery): Promise<readonly Flow[]>;
  findFlow(id: string): Promise<Flow | undefined>;
  nodes(): readonly WebNodeState[];
  explain(flow: Flow): Promise<WebExplanation>;
  policies(): Promise<WebPolicies>;
  matrix(namespace: string): Promise<WebMatrix>;
  why(namespace: string, from: string, to: string): Promise<WebWhy | undefined>;
  /** Absent where nobody keeps a history. */
  readonly history?: WebHistory;
}

export interface FlowBatch {
  readonly flows: readonly Flow[];
  readonly left: number;
  readonly lost: number;
}

/** An interval of the past, and which flows of it: any of these filters, all where there are none. */
export interface PastQuery {
  /** RFC 3339. */
  readonly since: string;
  readonly until: string;
  readonly whitelist: readonly FlowFilter[];
  readonly blacklist?: readonly FlowFilter[];
}

export interface WebHistory {
  timeline(query: PastQuery & { readonly buckets: number }): Promise<WebTimeline>;
  /** The whole time as one interval. */
  map(query: PastQuery): Promise<MapInterval>;
  /** The newest `last`, oldest first. */
  flows(query: PastQuery & { readonly last: number }): Promise<readonly Flow[]>;
}
