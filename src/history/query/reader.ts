import type { DuckDBConnection } from '@duckdb/node-api';
import type { HistoryWindow } from '../../model/history.ts';
import { rowsOf } from '../database.ts';
import type { Partition } from '../partition.ts';
import { factsOf } from '../schema.ts';
import type { HistoryStore } from '../store.ts';
import { timeNs } from '../time.ts';
import { filterToSql, type SqlFilter } from './filter-sql.ts';

/** One partition as a question sees it. */
export interface Slice {
  readonly partition: Partition;
  readonly alias: string;
  readonly filter: SqlFilter;
  /** The flows of the window, for FROM: there may be others. */
  readonly facts: string;
  /** Window and filters as one condition. */
  readonly where: string;
  /** The whole partition lies in the window and is summed up, and the filters ask for nothing that the sums have not. */
  readonly fromSums: boolean;
  readonly first: bigint;
  readonly last: bigint;
  /** True for replies, whose source is the connection's destination. */
  readonly isReply: string;
}

export interface Reader {
  readonly connection: DuckDBConnection;
  readonly signal: AbortSignal;
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  /** Oldest first. */
  readonly slices: readonly Slice[];
}

/** Of partitions that are over: the answer does not change. */
const knownReplies = new WeakMap<Partition, readonly number[]>();

/** The kinds of flows that are replies. */
async function repliesOf(connection: DuckDBConnection, partition: Partition): Promise<readonly number[]> {
  const known = knownReplies.get(partition);
  if (known) return known;
  const replies = (await rowsOf(connection, `SELECT id FROM ${partition.alias}.kinds WHERE is_reply`)).map(([id]) => Number(id));
  if (partition.sealed) knownReplies.set(partition, replies);
  return replies;
}

/** The partitions that a window touches, with its filters in terms of each. */
export async function openReader(store: HistoryStore, connection: DuckDBConnection, window: HistoryWindow, signal: AbortSignal): Promise<Reader> {
  const horizon = store.horizonNs;
  const asked = window.since === undefined ? horizon : timeNs(window.since);
  const since = asked > horizon ? asked : horizon;
  const until = window.until === undefined ? undefined : timeNs(window.until);
  const slices: Slice[] = [];
  for (const partition of store.partitions) {
    const { first, last, alias } = partition;
    if (first === undefined || last === undefined || last < since || (until !== undefined && first > until)) continue;
    const filter = await filterToSql(connection, alias, window.whitelist ?? [], window.blacklist ?? []);
    const replies = await repliesOf(connection, partition);
    const isWhole = first >= since && (until === undefined || last <= until);
    const times = [...(first < since ? [`time >= ${since}`] : []), ...(until !== undefined && last > until ? [`time <= ${until}`] : [])];
    slices.push({
      partition, alias, filter,
      facts: factsOf(partition, first < since ? since : first, until !== undefined && last > until ? until : last),
      where: [...times, filter.where].join(' AND '),
      fromSums: isWhole && partition.summed && !filter.needsFlows && filter.residual === undefined,
      isReply: replies.length === 0 ? 'FALSE' : `kind IN (${replies.join(', ')})`,
      first: first < since ? since : first,
      last: until !== undefined && last > until ? until : last,
    });
  }
  slices.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  return { connection, signal, since: window.since === undefined ? undefined : since, until, slices };
}
