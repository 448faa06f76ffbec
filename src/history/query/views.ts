import type { DuckDBConnection } from '@duckdb/node-api';
import type { Partition } from '../partition.ts';
import { literal } from '../database.ts';
import { Tally } from '../row.ts';

/** Columns of `flows`: name, and what it is of facts and dimensions. */
const flowsView: readonly (readonly [name: string, sql: string])[] = [
  ['time', 'make_timestamp_ns(f.time)'], ['node', 'k.node'], ['type', 'k.type'], ['verdict', 'k.verdict'], ['reason', 'k.reason'], ['direction', 'k.direction'],
  ['is_reply', 'k.is_reply'], ['protocol', 'k.protocol'],
  ...(['source', 'destination'] as const).flatMap(side => {
    const end = side[0]!;
    return [
      [`${side}_namespace`, `${end}.namespace`], [`${side}_pod`, `${end}.pod`], [`${side}_workload`, `${end}.workload`], [`${side}_workload_kind`, `${end}.workload_kind`],
      [`${side}_name`, `${end}n.names[1]`], [`${side}_names`, `${end}n.names`], [`${side}_ip`, `${end}.ip`], [`${side}_identity`, `${end}.identity`],
      [`${side}_labels`, `${end}l.labels`], [`${side}_port`, `CASE WHEN f.${side}_port >= 0 THEN f.${side}_port END`],
    ] as const;
  }),
  ['service_namespace', 'v.namespace'], ['service', 'v.name'], ['policy', 'p.policy'], ['policy_effect', 'p.effect'], ['policy_path', 'p.path'],
  ['connections', `f.tally & ${Tally.counted}`], ['latency_us', 'CASE WHEN f.latency_us >= 0 THEN f.latency_us END'], ['connection_end', 'k.connection_end'],
  ...['packets_out', 'bytes_out', 'packets_back', 'bytes_back', 'duration'].map(name => [name === 'duration' ? 'duration_ns' : name, `CASE WHEN f.${name} >= 0 THEN f.${name} END`] as const),
  ['details', 'x.json'],
];

/** Facts with their dimensions. An end that is not asked about is not joined: DuckDB leaves out what no column needs. */
function selectFlows({ alias }: Partition, condition: string): string {
  return `SELECT ${flowsView.map(([name, sql]) => `${sql} AS ${name}`).join(', ')} FROM ${alias}.flows f
    JOIN ${alias}.kinds k ON k.id = f.kind JOIN ${alias}.ends s ON s.id = f.source JOIN ${alias}.ends d ON d.id = f.destination
    LEFT JOIN ${alias}.name_sets sn ON sn.id = s.names LEFT JOIN ${alias}.name_sets dn ON dn.id = d.names
    LEFT JOIN ${alias}.label_sets sl ON sl.id = s.labels LEFT JOIN ${alias}.label_sets dl ON dl.id = d.labels
    LEFT JOIN ${alias}.decisions p ON p.id = f.decision LEFT JOIN ${alias}.services v ON v.id = f.service LEFT JOIN ${alias}.details x ON f.details > 0 AND x.id = f.details WHERE ${condition}`;
}

/** All flows of the window in friendly columns. */
export function flowsSelect(slices: readonly { readonly partition: Partition; readonly where: string }[]): string {
  return slices.map(({ partition, where }) => selectFlows(partition, where.replaceAll(/\b(time|kind|source|destination|source_port|destination_port|service|suffix)\b(?=\s*(?:>=|<=|IN|=))/g, 'f.$1'))).join(' UNION ALL ');
}

/** Makes `flows` and `gaps` for this connection alone. */
export async function createViews(connection: DuckDBConnection, partitions: readonly Partition[], horizonNs: bigint): Promise<void> {
  const filled = partitions.filter(({ flows }) => flows > 0);
  const nothing = `SELECT ${flowsView.map(([name]) => `NULL AS ${name}`).join(', ')} WHERE FALSE`;
  const flows = filled.map(partition => selectFlows(partition, partition.first! < horizonNs ? `f.time >= ${horizonNs}` : 'TRUE')).join(' UNION ALL ');
  await connection.run(`CREATE OR REPLACE TEMP VIEW flows AS ${flows || nothing}`);
  const gaps = partitions.map(({ alias }) => `SELECT make_timestamp_ns(since) AS since, make_timestamp_ns(until) AS until, count, class, reason FROM ${alias}.gaps`).join(' UNION ALL ');
  await connection.run(`CREATE OR REPLACE TEMP VIEW gaps AS ${gaps || `SELECT NULL AS since, NULL AS until, NULL AS count, ${literal('')} AS class, ${literal('')} AS reason WHERE FALSE`}`);
}
