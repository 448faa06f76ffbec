import { Tally } from './row.ts';

/**
 * A partition's tables. Facts are numbers; what they stand for is in dimension tables of the same file, so that a file is whole
 * by itself: it can be removed, copied away or opened with DuckDB alone. A dimension may have the same thing twice (a store that
 * was started again does not know its ends by heart): nothing counts by number.
 *
 * Format 2: many flows have the same row of `details`, which says no latency and no summary of theirs; of layer 7 the latency is in
 * `duration`; and there are `runs`. Files of format 1, where each flow's details say all, are read as they are; one that is written into
 * becomes format 2.
 * A store does not touch files of a newer format.
 */
export const formatVersion = 2;

export interface Column {
  readonly name: string;
  readonly type: 'BIGINT' | 'INTEGER';
}

/** In the order of the table; -1 where a flow has none, 0 for no row of a dimension. */
export const flowColumns: readonly Column[] = [
  /** Nanoseconds since 1970. */
  { name: 'time', type: 'BIGINT' },
  { name: 'kind', type: 'INTEGER' },
  { name: 'source', type: 'INTEGER' },
  { name: 'destination', type: 'INTEGER' },
  { name: 'source_port', type: 'INTEGER' },
  { name: 'destination_port', type: 'INTEGER' },
  { name: 'decision', type: 'INTEGER' },
  { name: 'service', type: 'INTEGER' },
  /** The last part of the id; -1: `details` has the id. */
  { name: 'suffix', type: 'INTEGER' },
  /** Bits: see row.ts. */
  { name: 'tally', type: 'INTEGER' },
  { name: 'latency_us', type: 'INTEGER' },
  { name: 'details', type: 'INTEGER' },
  { name: 'packets_out', type: 'BIGINT' },
  { name: 'bytes_out', type: 'BIGINT' },
  { name: 'packets_back', type: 'BIGINT' },
  { name: 'bytes_back', type: 'BIGINT' },
  /** Of a connection that ended; of an answer of layer 7 since its request. */
  { name: 'duration', type: 'BIGINT' },
];

/**
 * Requests and answers that differ in little: one row for all of a batch. What they have in common, with the server's port; the times
 * between which they lie; and lists of what is each one's own, all of the same length.
 *
 * DuckDB writes the last 122,880 rows of a table anew whenever it takes in what was added to it. Here these are millions of flows: so
 * there are several such tables, each with so many flows that writing it anew is little.
 */
export const runColumns = [
  ...['kind', 'source', 'destination', 'is_reply', 'server_port', 'decision', 'service', 'tally', 'details'].map(name => ({ name, type: 'INTEGER' as const })),
  { name: 'first', type: 'BIGINT' }, { name: 'last', type: 'BIGINT' },
  { name: 'times', type: 'BIGINT[]' }, { name: 'suffixes', type: 'INTEGER[]' }, { name: 'client_ports', type: 'INTEGER[]' }, { name: 'latencies', type: 'INTEGER[]' },
] as const;

/** One of a partition's tables of runs. */
export interface RunTable {
  readonly name: string;
  flows: number;
  /** Of its flows; there may be none that early or that late. */
  first: bigint | undefined;
  last: bigint | undefined;
}

export const runTablePattern = /^runs(?:_(\d+))?$/;

/** With so many flows a table is followed by another one. */
export const fullRuns = 500_000;

/** Rows of `runs` come behind all of `flows`, where two are of the same time. */
const placeOfRuns = 2 ** 40;

/** All flows of a partition as rows of `flowColumns`, with a `place` that puts those of the same time in order. What lies outside of the times may be there or not. */
export function factsOf(partition: { readonly alias: string; readonly runs: readonly RunTable[] }, since: bigint, until: bigint): string {
  const { alias, runs } = partition;
  const ofRun: Readonly<Record<string, string>> = {
    source_port: 'CASE WHEN is_reply = 1 THEN server_port ELSE client_port END', destination_port: 'CASE WHEN is_reply = 1 THEN client_port ELSE server_port END', duration: 'latency::BIGINT', latency_us: '-1',
    ...Object.fromEntries(['packets_out', 'bytes_out', 'packets_back', 'bytes_back'].map(name => [name, '-1::BIGINT'])),
  };
  const tables = runs.flatMap(({ name, first, last }, i) => (first === undefined || last === undefined || last < since || first > until ? [] : [`SELECT ${flowColumns.map(column => `${ofRun[column.name] ?? column.name} AS ${column.name}`).join(', ')}, place FROM (
    SELECT * EXCLUDE (times, suffixes, client_ports, latencies), unnest(times) AS time, unnest(suffixes) AS suffix, unnest(client_ports) AS client_port, unnest(latencies) AS latency, rowid + ${(i + 1) * placeOfRuns} AS place
    FROM ${alias}.${name} WHERE last >= ${since} AND first <= ${until})`]));
  return `(${[`SELECT *, rowid AS place FROM ${alias}.flows`, ...tables].join(' UNION ALL ')})`;
}

/** What a connection carried both ways, told by one of its two nodes. */
export const bytesOfFlow = `CASE WHEN bytes_out >= 0 AND tally & ${Tally.mine} != 0 THEN bytes_out + bytes_back ELSE 0 END`;

/** The same thing between the same two ends, over the whole partition: what questions about whole days are answered from. Of ports the server's alone: the other is another each time. */
export const sumColumns = ['kind', 'source', 'destination', 'server_port', 'decision', 'service', 'tally'] as const;

/** Statements that make a partition's tables in the attached database `alias`. */
export function createTables(alias: string): readonly string[] {
  return [
    `CREATE TABLE ${alias}.format(version INTEGER, node VARCHAR)`,
    `CREATE TABLE ${alias}.flows(${flowColumns.map(({ name, type }) => `${name} ${type} NOT NULL`).join(', ')})`,
    createRuns(alias, 'runs_1'),
    `CREATE TABLE ${alias}.label_sets(id INTEGER, labels VARCHAR[])`,
    `CREATE TABLE ${alias}.name_sets(id INTEGER, names VARCHAR[])`,
    `CREATE TABLE ${alias}.ends(id INTEGER, ip VARCHAR, address UHUGEINT, identity BIGINT, endpoint BIGINT, namespace VARCHAR, pod VARCHAR, cluster VARCHAR, workload_kind VARCHAR, workload VARCHAR, workloads VARCHAR, labels INTEGER, names INTEGER)`,
    `CREATE TABLE ${alias}.kinds(id INTEGER, node VARCHAR, type VARCHAR, verdict VARCHAR, reason VARCHAR, direction VARCHAR, protocol VARCHAR, is_reply BOOLEAN, connection_end VARCHAR, json VARCHAR)`,
    `CREATE TABLE ${alias}.decisions(id INTEGER, policy VARCHAR, effect VARCHAR, path VARCHAR, json VARCHAR)`,
    `CREATE TABLE ${alias}.services(id INTEGER, namespace VARCHAR, name VARCHAR, ip VARCHAR, port INTEGER)`,
    `CREATE TABLE ${alias}.details(id INTEGER, json VARCHAR)`,
    `CREATE TABLE ${alias}.feeds(session VARCHAR, sequence BIGINT, ended BOOLEAN, committed BIGINT)`,
    `CREATE TABLE ${alias}.gaps(since BIGINT, until BIGINT, count BIGINT, class VARCHAR, reason VARCHAR)`,
    `CREATE TABLE ${alias}.sums(${sumColumns.map(name => `${name} INTEGER`).join(', ')}, flows BIGINT, bytes BIGINT, first BIGINT, last BIGINT)`,
    // One row when `sums` holds the whole partition.
    `CREATE TABLE ${alias}.sealed(first BIGINT, last BIGINT, flows BIGINT)`,
  ];
}

export function createRuns(alias: string, name: string): string {
  return `CREATE TABLE ${alias}.${name}(${runColumns.map(({ name, type }) => `${name} ${type} NOT NULL`).join(', ')})`;
}

/** Statements that make a partition of an older format one of this. */
export function upgradeTables(alias: string): readonly string[] {
  return [createRuns(alias, 'runs_1'), `UPDATE ${alias}.format SET version = ${formatVersion}`];
}
