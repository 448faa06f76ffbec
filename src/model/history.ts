import type { Flow } from './flow.ts';
import type { ObservedPair } from './observed.ts';
import type { MapInterval } from './service-map.ts';

/**
 * What the flow history is asked and what it answers: one JSON object as the question, a stream of JSON objects as the answer.
 * The same over the node's socket, gRPC (`cirri.Flows/QueryHistory`) and the relay. Times are RFC 3339 in UTC. Runs in the browser.
 */
export type HistoryQuery = FlowsQuery | GroupsQuery | PairsQuery | MapQuery | TimelineQuery | SqlQuery | ExportQuery | StatusQuery;

/** Hubble's FlowFilter in its JSON names (`src/flows/filter.ts` compiles it). */
export type HistoryFilter = Readonly<Record<string, unknown>>;

/** Which flows: since ≤ time ≤ until, any filter of the whitelist (none: all), no filter of the blacklist. */
export interface HistoryWindow {
  readonly since?: string;
  readonly until?: string;
  readonly whitelist?: readonly HistoryFilter[];
  readonly blacklist?: readonly HistoryFilter[];
}

/** The flows themselves, oldest first. */
export interface FlowsQuery extends HistoryWindow {
  readonly kind: 'flows';
  /** The newest N; or the oldest N. Neither: all. */
  readonly last?: number;
  readonly first?: number;
}

/** What flows can be grouped by. A reply is counted with the connection that it answers: `source` opened it, `port` is the destination's. */
export const groupDimensions = [
  'source', 'source-namespace', 'source-pod', 'source-workload', 'source-name', 'source-ip', 'source-identity', 'source-labels',
  'destination', 'destination-namespace', 'destination-pod', 'destination-workload', 'destination-name', 'destination-ip', 'destination-identity', 'destination-labels',
  'port', 'protocol', 'verdict', 'reason', 'direction', 'type', 'policy', 'service', 'node', 'day', 'hour', 'minute',
] as const;
export type GroupDimension = (typeof groupDimensions)[number];

export type GroupMeasure = 'flows' | 'connections' | 'bytes';

export interface GroupsQuery extends HistoryWindow {
  readonly kind: 'groups';
  readonly by: readonly GroupDimension[];
  /** What the largest are the largest by; default flows. */
  readonly order?: GroupMeasure;
  /** Bytes are added up too, which takes a third of the time more; with the order `bytes` they are in any case. */
  readonly bytes?: boolean;
  /** Groups at most, the largest first; default 1,000, at most 100,000. */
  readonly top?: number;
}

/**
 * Who talked to whom, as policies see it: the material for recommending and replaying policies. With a namespace: pairs of which
 * one end is there.
 */
export interface PairsQuery extends HistoryWindow {
  readonly kind: 'pairs';
  readonly namespace?: string;
  /** Default FORWARDED, DROPPED, AUDIT and REDIRECTED. */
  readonly verdicts?: readonly ObservedPair['verdict'][];
  /** Pairs at most, those with the most connections first; default 100,000. */
  readonly limit?: number;
}

/** Nodes and edges of the service map over one interval. */
export interface MapQuery extends HistoryWindow {
  readonly kind: 'map';
}

/** Flows by verdict in `buckets` equal parts of since…until (both needed); for a scrubber. */
export interface TimelineQuery extends HistoryWindow {
  readonly kind: 'timeline';
  readonly since: string;
  readonly until: string;
  /** Default 120, at most 2,000. */
  readonly buckets?: number;
}

/** One SELECT over the views of docs/history.md. */
export interface SqlQuery {
  readonly kind: 'sql';
  readonly sql: string;
  /** Rows at most; default 10,000. */
  readonly limit?: number;
  /** Default 30,000. */
  readonly timeoutMs?: number;
}

/** A Parquet file of the flows in the window, in pieces. Filters that SQL cannot express are refused. */
export interface ExportQuery extends HistoryWindow {
  readonly kind: 'export';
  readonly format: 'parquet';
}

export interface StatusQuery {
  readonly kind: 'status';
}

/** One message of an answer; the last is `end` or `error`. */
export type HistoryAnswer =
  | { readonly kind: 'flows'; readonly flows: readonly Flow[] }
  | { readonly kind: 'groups'; readonly groups: readonly HistoryGroup[] }
  | { readonly kind: 'pairs'; readonly pairs: readonly ObservedPair[] }
  | { readonly kind: 'map'; readonly interval: MapInterval }
  | { readonly kind: 'timeline'; readonly buckets: readonly TimelineBucket[] }
  | { readonly kind: 'columns'; readonly columns: readonly { readonly name: string; readonly type: string }[] }
  | { readonly kind: 'rows'; readonly rows: readonly (readonly unknown[])[] }
  /** A piece of a file, base64. */
  | { readonly kind: 'file'; readonly data: string }
  | { readonly kind: 'status'; readonly status: HistoryStatus }
  | HistoryEnd
  | HistoryError;

export interface HistoryEnd {
  readonly kind: 'end';
  readonly node: string;
  /** What the record does not hold, of the window asked about. */
  readonly gaps: readonly HistoryGap[];
  /** There was more than was asked for. */
  readonly more?: boolean;
  readonly tookMs: number;
}

export interface HistoryError {
  readonly kind: 'error';
  readonly node: string;
  readonly code: string;
  readonly message: string;
  readonly mend?: string;
}

/**
 * Flows that were not recorded. `count` is absent where nobody can know it: an agent that was killed takes its last moments with
 * it.
 */
export interface HistoryGap {
  readonly node: string;
  readonly since: string;
  readonly until: string;
  readonly count?: number;
  /** flows, drops, names: lost in the kernel; backlog: the store was away or slow; agent: the agent was; disk: no room; store: set aside as damaged. */
  readonly class: string;
  readonly reason: string;
}

export interface HistoryGroup {
  /** One value for each of `by`; empty where the flow has none. */
  readonly key: readonly string[];
  /** Records. */
  readonly flows: number;
  /** New connections, each counted by one node only (model/service-map.ts). */
  readonly connections: number;
  /** Of connections that ended, both ways; 0 where they were not asked for. */
  readonly bytes: number;
  readonly first: string;
  readonly last: string;
}

export interface TimelineBucket {
  readonly since: string;
  /** Flows by verdict. */
  readonly verdicts: Readonly<Record<string, number>>;
}

export interface HistoryStatus {
  readonly node: string;
  /** recording; full: no room on the disk; failed: see `problem`. */
  readonly state: 'recording' | 'full' | 'failed';
  readonly problem?: string;
  readonly flows: number;
  readonly bytes: number;
  readonly oldest?: string;
  readonly newest?: string;
  readonly partitions: readonly HistoryPartition[];
  readonly retention: { readonly days: number; readonly megabytes: number };
  /** Since the store started. */
  readonly written: number;
  readonly gaps: readonly HistoryGap[];
  /** Files that could not be read and were renamed, oldest first. */
  readonly setAside: readonly string[];
  readonly memory: { readonly residentBytes: number; readonly peakBytes: number; readonly limitBytes: number };
  readonly startedAt: string;
}

export interface HistoryPartition {
  readonly name: string;
  readonly since: string;
  readonly until: string;
  readonly flows: number;
  readonly bytes: number;
  /** Nothing is added any more. */
  readonly sealed: boolean;
}
