import type { DuckDBConnection } from '@duckdb/node-api';
import type { Partition } from '../partition.ts';
import { Tally } from '../row.ts';

/** Columns of `flows`: name, and what it is of facts (f) and dimensions (k kinds, s and d ends, p decisions, v services). */
const flowsView: readonly (readonly [name: string, sql: string])[] = [
  ['time', 'make_timestamp_ns(f.time)'], ['node', 'k.node'], ['type', 'k.type'], ['verdict', 'k.verdict'], ['reason', 'k.reason'], ['direction', 'k.direction'],
  ['is_reply', 'k.is_reply'], ['protocol', 'k.protocol'],
  ...(['source', 'destination'] as const).flatMap(side => [
    ...['namespace', 'pod', 'workload', 'workload_kind', 'name', 'names', 'ip', 'identity', 'labels'].map(column => [`${side}_${column}`, `${side[0]}.${column}`] as const),
    [`${side}_port`, `CASE WHEN f.${side}_port >= 0 THEN f.${side}_port END`] as const,
  ]),
  ['service_namespace', 'v.namespace'], ['service', 'v.name'], ['policy', 'p.policy'], ['policy_effect', 'p.effect'], ['policy_path', 'p.path'],
  ['connections', `f.tally & ${Tally.counted}`], ['latency_us', 'CASE WHEN f.latency_us >= 0 THEN f.latency_us END'], ['connection_end', 'k.connection_end'],
  ...['packets_out', 'bytes_out', 'packets_back', 'bytes_back', 'duration'].map(name => [name === 'duration' ? 'duration_ns' : name, `CASE WHEN f.${name} >= 0 THEN f.${name} END`] as const),
];

/** Dimensions of all partitions in one table each: columns of the copy, and where they come from. */
const dimensions: Readonly<Record<string, readonly [columns: string, source: (alias: string) => string]>> = {
  all_kinds: ['node, type, verdict, reason, direction, protocol, is_reply, connection_end', alias => `FROM ${alias}.kinds x`],
  all_decisions: ['policy, effect, path', alias => `FROM ${alias}.decisions x`],
  all_services: ['namespace, name', alias => `FROM ${alias}.services x`],
  all_ends: [
    'namespace, pod, workload, workload_kind, n.names[1] AS name, n.names AS names, ip, identity, l.labels AS labels',
    alias => `FROM ${alias}.ends x LEFT JOIN ${alias}.name_sets n ON n.id = x.names LEFT JOIN ${alias}.label_sets l ON l.id = x.labels`,
  ],
};

/** Numbers of rows are a partition's own: in the copies they begin at another place for each. */
const numbersPerPartition = 2 ** 32;
const factColumns = 'time, source_port, destination_port, tally, latency_us, packets_out, bytes_out, packets_back, bytes_back, duration';

/**
 * Makes `flows` and `gaps` for this connection alone. The dimensions are copied together first: joined partition by partition, a
 * question about a month would hold two hundred hash tables at the same time.
 */
export async function createViews(connection: DuckDBConnection, slices: readonly { readonly partition: Partition; readonly facts: string; readonly where: string }[]): Promise<void> {
  const aliases = slices.map(({ partition }) => partition.alias);
  if (aliases.length === 0) {
    await connection.run(`CREATE TEMP VIEW flows AS SELECT ${flowsView.map(([name]) => `NULL AS ${name}`).join(', ')} WHERE FALSE`);
    await connection.run('CREATE TEMP VIEW gaps AS SELECT NULL AS since, NULL AS until, NULL AS count, NULL AS class, NULL AS reason WHERE FALSE');
    return;
  }
  for (const [table, [columns, source]] of Object.entries(dimensions)) {
    for (const [i, alias] of aliases.entries()) {
      await connection.run(`${i === 0 ? `CREATE TEMP TABLE ${table} AS` : `INSERT INTO ${table}`} SELECT x.id::BIGINT + ${i * numbersPerPartition} AS id, ${columns} ${source(alias)}`);
    }
  }
  const facts = slices.map(({ facts: ofSlice, where }, i) => {
    const numbers = ['kind', 'source', 'destination', 'decision', 'service'].map(name => `${name}::BIGINT + ${i * numbersPerPartition} AS ${name}`);
    return `SELECT ${factColumns}, ${numbers.join(', ')} FROM (SELECT * FROM ${ofSlice} WHERE ${where})`;
  });
  await connection.run(`CREATE TEMP VIEW flows AS SELECT ${flowsView.map(([name, sql]) => `${sql} AS ${name}`).join(', ')} FROM (${facts.join(' UNION ALL ')}) f
    JOIN all_kinds k ON k.id = f.kind JOIN all_ends s ON s.id = f.source JOIN all_ends d ON d.id = f.destination
    LEFT JOIN all_decisions p ON p.id = f.decision LEFT JOIN all_services v ON v.id = f.service`);
  await connection.run(`CREATE TEMP VIEW gaps AS ${aliases.map(alias => `SELECT make_timestamp_ns(since) AS since, make_timestamp_ns(until) AS until, count, class, reason FROM ${alias}.gaps`).join(' UNION ALL ')}`);
}
