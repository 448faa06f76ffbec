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

export interface TimeWindow {
  /** RFC 3339. */
  readonly since: string;
  readonly until: string;
  /** Flows with an end in one of these only. */
  readonly namespaces?: readonly string[];
}

export interface WebHistory {
  timeline(window: TimeWindow & { readonly buckets: number }): Promise<WebTimeline>;
  /** The whole window as one interval. */
  map(window: TimeWindow): Promise<MapInterval>;
  /** The newest `query.last`, oldest first. */
  flows(query: FlowQuery, window: TimeWindow): Promise<readonly Flow[]>;
}
