import type { HistoryAnswer, PairsQuery } from '../../model/history.ts';
import type { ObservedEnd, ObservedPair } from '../../model/observed.ts';
import { literal, literals, plain } from '../database.ts';
import { Tally } from '../row.ts';
import { CirriError } from '../../std/errors.ts';
import { timeText } from '../time.ts';
import { joinsOf, oneByOne } from './groups.ts';
import type { Reader, Slice } from './reader.ts';

const pairsPerMessage = 500;
const defaultVerdicts: readonly ObservedPair['verdict'][] = ['FORWARDED', 'DROPPED', 'AUDIT', 'REDIRECTED'];

const endColumns = (end: 's' | 'd') => [
  `${end}.identity AS ${end}_identity`, `${end}l.labels AS ${end}_labels`, `${end}.namespace AS ${end}_namespace`, `${end}.workload_kind AS ${end}_kind`, `${end}.workload AS ${end}_workload`,
  `CASE WHEN ${end}.workload IS NULL THEN ${end}.pod END AS ${end}_single`,
  // Pods of one workload are one; what is no pod is told by its address.
  `CASE WHEN ${end}.pod IS NULL THEN ${end}.ip END AS ${end}_ip`, `CASE WHEN ${end}.pod IS NULL THEN ${end}n.names END AS ${end}_names`,
];
const keys = [...endColumns('s'), ...endColumns('d')];
const keyNames = [...keys.map(key => / AS (\w+)$/.exec(key)![1]!), 'direction', 'protocol', 'port', 'verdict'];
const used: ReadonlySet<string> = new Set(['s', 'd', 'sn', 'dn', 'sl', 'dl', 'k']);

/** Judged connections between the same two parties, added up. */
export async function answerPairs(reader: Reader, query: PairsQuery, send: (answer: HistoryAnswer) => Promise<void>): Promise<boolean> {
  if (reader.slices.some(({ filter }) => filter.residual !== undefined)) {
    throw new CirriError('ERR_FLOW_FILTER', 'pairs cannot be narrowed by this filter', { mend: 'use namespaces, pods, labels, names, addresses, ports, protocols and verdicts' });
  }
  if (reader.slices.length === 0) return false;
  const { limit = 100_000, verdicts = defaultVerdicts } = query;
  const parts = reader.slices.map(slice => pairsOfSlice(slice, query.namespace, verdicts));
  const rows = await oneByOne(reader.connection, parts, `${keyNames.join(', ')}, s_pod, d_pod, count, first, last`, `SELECT ${keyNames.join(', ')}, any_value(s_pod), any_value(d_pod), sum(count)::BIGINT AS count, min(first), max(last)
    FROM $parts GROUP BY ${keyNames.join(', ')} ORDER BY count DESC LIMIT ${Math.trunc(limit) + 1}`);
  const pairs = rows.map(pairOf);
  for (let at = 0; at < Math.min(pairs.length, limit); at += pairsPerMessage) await send({ kind: 'pairs', pairs: pairs.slice(at, Math.min(at + pairsPerMessage, limit)) });
  return pairs.length > limit;
}

function pairsOfSlice({ alias, where, fromSums }: Slice, namespace: string | undefined, verdicts: readonly string[]): string {
  const ends = namespace === undefined ? 'TRUE' : `(${['source', 'destination'].map(side => `${side} IN (SELECT id FROM ${alias}.ends WHERE namespace = ${literal(namespace)})`).join(' OR ')})`;
  const kinds = `kind IN (SELECT id FROM ${alias}.kinds WHERE verdict IN (${literals(verdicts)}))`;
  const measures = fromSums ? `sum(flows) AS count, min(first) AS first, max(last) AS last FROM ${alias}.sums` : `count(*) AS count, min(time) AS first, max(time) AS last FROM ${alias}.flows`;
  const facts = `SELECT source, destination, ${fromSums ? 'server_port' : 'destination_port'} AS port, kind, ${measures} WHERE ${where} AND tally & ${Tally.judged} != 0 AND ${ends} AND ${kinds} GROUP BY ALL`;
  return `SELECT ${keys.join(', ')}, k.direction, k.protocol,
      CASE WHEN starts_with(k.protocol, 'ICMP') THEN coalesce((k.json->>'icmpType')::INTEGER, 0) ELSE greatest(f.port, 0) END AS port, k.verdict,
      s.pod AS s_pod, d.pod AS d_pod, f.count, f.first, f.last FROM (${facts}) f ${joinsOf(alias, used)}`;
}

function pairOf(row: readonly unknown[]): ObservedPair {
  const values = row.map(value => (value === null ? undefined : value));
  const [direction, protocol, port, verdict, sourcePod, destinationPod, count, first, last] = values.slice(16);
  return {
    direction: direction as ObservedPair['direction'],
    source: endOf(values.slice(0, 8), sourcePod),
    destination: endOf(values.slice(8, 16), destinationPod),
    protocol: String(protocol), port: Number(port), verdict: verdict as ObservedPair['verdict'],
    count: Number(count), first: timeText(first as bigint), last: timeText(last as bigint),
  };
}

function endOf(values: readonly unknown[], pod: unknown): ObservedEnd {
  const [identity, labels, namespace, kind, workload, , ip, names] = values.map(plain) as [number, readonly string[] | undefined, ...(string | undefined)[]];
  return {
    identity, labels: labels ?? [],
    ...(namespace !== undefined && { namespace }),
    ...(workload !== undefined && { workload: { kind: kind ?? '', name: workload } }),
    ...(pod !== undefined && { podName: String(pod) }),
    ...(ip !== undefined && { ip }),
    ...(names !== undefined && { names: names as unknown as readonly string[] }),
  };
}
