import type { DuckDBConnection } from '@duckdb/node-api';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import type { GroupDimension, GroupMeasure, GroupsQuery, HistoryGroup } from '../../model/history.ts';
import { groupDimensions } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { bytesOfFlow } from '../schema.ts';
import { policyOf } from '../decision.ts';
import { Tally, tallyOf } from '../row.ts';
import { timeNs, timeText } from '../time.ts';
import { scan } from './flows.ts';
import { mergeGroups } from '../merge.ts';
import { byMeasure } from './order.ts';
import type { Reader, Slice } from './reader.ts';

export const mostGroups = 100_000;
const nsPerMinute = 60_000_000_000;

/** How a dimension is read from facts: which of their columns it needs, and from these and the dimension tables its text. */
interface GroupColumn {
  readonly facts: readonly string[];
  readonly text: string;
  /** Not in the sums of whole partitions. */
  readonly needsFlows?: boolean;
  readonly ofFlow: (flow: Flow) => string;
}

function columnOf(dimension: GroupDimension): GroupColumn {
  const sided = /^(source|destination)(?:-(\w+))?$/.exec(dimension);
  if (sided) return endColumn(sided[1] as 'source' | 'destination', sided[2] ?? 'end');
  const column = flowColumns[dimension];
  if (!column) throw new CirriError('ERR_GROUP', `flows cannot be grouped by "${dimension}"`, { mend: `known: ${groupDimensions.join(', ')}` });
  return column;
}

function endColumn(side: 'source' | 'destination', what: string): GroupColumn {
  const end = side === 'source' ? 's' : 'd';
  const pod = `${end}.namespace || '/' || ${end}.pod`;
  const name = `${end}n.names[1]`;
  const texts: Readonly<Record<string, readonly [text: string, ofEnd: (end: FlowEndpoint) => string]>> = {
    end: [`coalesce(${pod}, ${name}, ${end}.ip)`, e => podOf(e) ?? e.names?.[0] ?? e.ip],
    namespace: [`${end}.namespace`, e => e.namespace ?? ''],
    pod: [pod, e => podOf(e) ?? ''],
    // A pod of nobody stands for itself.
    workload: [`coalesce(coalesce(${end}.namespace, '') || '/' || ${end}.workload, ${pod})`, e => (e.workloads?.[0] ? `${e.namespace ?? ''}/${e.workloads[0].name}` : podOf(e) ?? '')],
    name: [name, e => e.names?.[0] ?? ''],
    ip: [`${end}.ip`, e => e.ip],
    identity: [`${end}.identity`, e => String(e.identity)],
    labels: [`array_to_string(${end}l.labels, ',')`, e => e.labels.join(',')],
  };
  const [text, ofEnd] = texts[what]!;
  const other = side === 'source' ? 'destination' : 'source';
  return { facts: [side], text, ofFlow: flow => ofEnd(flow[flow.isReply === true ? other : side]) };
}

function podOf(end: FlowEndpoint): string | undefined {
  return end.namespace !== undefined && end.podName !== undefined ? `${end.namespace}/${end.podName}` : undefined;
}

function timeColumn(name: string, minutes: number): GroupColumn {
  const ns = minutes * nsPerMinute;
  return {
    facts: [name], needsFlows: true,
    text: `strftime(make_timestamp_ns(f.${name}), '%Y-%m-%dT%H:%M:00Z')`,
    ofFlow: flow => {
      const time = timeNs(flow.time);
      return timeText(time - (time % BigInt(ns))).replace('.000000000', '');
    },
  };
}

const flowColumns: Readonly<Partial<Record<GroupDimension, GroupColumn>>> = {
  port: { facts: ['server_port'], text: 'CASE WHEN f.server_port >= 0 THEN f.server_port END', ofFlow: flow => String((flow.isReply === true ? flow.sourcePort : flow.destinationPort) ?? '') },
  protocol: { facts: ['kind'], text: 'k.protocol', ofFlow: flow => flow.protocol },
  verdict: { facts: ['kind'], text: 'k.verdict', ofFlow: flow => flow.verdict },
  reason: { facts: ['kind'], text: 'k.reason', ofFlow: flow => flow.dropReason ?? '' },
  direction: { facts: ['kind'], text: 'k.direction', ofFlow: flow => flow.direction },
  type: { facts: ['kind'], text: 'k.type', ofFlow: flow => flow.type },
  node: { facts: ['kind'], text: 'k.node', ofFlow: flow => flow.nodeName },
  policy: { facts: ['decision'], text: 'p.policy', ofFlow: flow => policyOf(flow) ?? '' },
  service: { facts: ['service'], text: `v.namespace || '/' || v.name`, ofFlow: flow => (flow.service ? `${flow.service.namespace}/${flow.service.name}` : '') },
  day: timeColumn('day', 1440),
  hour: timeColumn('hour', 60),
  minute: timeColumn('minute', 1),
};

/** What a fact is grouped by when it is no column of its own. */
const factExpressions: Readonly<Record<string, string>> = Object.fromEntries(
  ([['day', 1440], ['hour', 60], ['minute', 1]] as const).map(([name, minutes]) => [name, `time - time % ${minutes * nsPerMinute}`]),
);

/** The largest groups. `more`: there were others. */
export async function answerGroups(reader: Reader, query: GroupsQuery): Promise<{ readonly groups: readonly HistoryGroup[]; readonly more: boolean }> {
  const columns = query.by.map(columnOf);
  if (columns.length === 0) throw new CirriError('ERR_GROUP', 'nothing to group by');
  const { order = 'flows', top = 1000 } = query;
  if (!Number.isInteger(top) || top < 1 || top > mostGroups) throw new CirriError('ERR_GROUP', `at most ${mostGroups} groups, not ${top}`);
  if (!['flows', 'connections', 'bytes'].includes(order)) throw new CirriError('ERR_GROUP', `groups are ordered by flows, connections or bytes, not "${order}"`);
  if (reader.slices.length === 0) return { groups: [], more: false };
  const groups = reader.slices.some(({ filter }) => filter.residual !== undefined)
    ? await groupFlows(reader, columns, order, top + 1)
    : await groupInSql(reader, columns, order, top + 1, query.bytes === true || order === 'bytes');
  return { groups: groups.slice(0, top), more: groups.length > top };
}

async function groupInSql({ connection, slices }: Reader, columns: readonly GroupColumn[], order: GroupMeasure, limit: number, withBytes: boolean): Promise<HistoryGroup[]> {
  const keys = columns.map((_, i) => `k${i}`).join(', ');
  const table = `${keys}, flows, connections, bytes, first, last`;
  const parts = slices.map(slice => groupSlice(slice, columns, withBytes));
  const few = await groupFew(connection, parts, keys, columns.length);
  if (few) return few.sort(byMeasure(order)).slice(0, limit);
  const result = await oneByOne(connection, parts, table, `SELECT ${keys}, sum(flows)::BIGINT flows, sum(connections)::BIGINT connections, sum(bytes)::BIGINT bytes, min(first), max(last)
    FROM $parts GROUP BY ${keys} ORDER BY ${order} DESC, ${keys} LIMIT ${limit}`);
  return result.map(row => groupOf(row, columns.length));
}

function groupOf(row: readonly unknown[], keys: number): HistoryGroup {
  const [flows, connections, bytes, first, last] = row.slice(keys) as [bigint, bigint, bigint, bigint, bigint];
  return { key: row.slice(0, keys).map(String), flows: Number(flows), connections: Number(connections), bytes: Number(bytes), first: timeText(first), last: timeText(last) };
}

/** Groups of all partitions that are put together here, without a table on the way; more are left to DuckDB, which can spill. */
const fewGroups = 20_000;

/** Undefined when there are many. */
async function groupFew(connection: DuckDBConnection, parts: readonly string[], keys: string, count: number): Promise<HistoryGroup[] | undefined> {
  const answers: HistoryGroup[][] = [];
  let rows = 0;
  for (const part of parts) {
    const result = await connection.runAndReadAll(`SELECT ${keys}, sum(flows)::BIGINT, sum(connections)::BIGINT, sum(bytes)::BIGINT, min(first), max(last) FROM (${part}) GROUP BY ${keys} LIMIT ${fewGroups + 1}`);
    rows += result.currentRowCount;
    if (rows > fewGroups) return undefined;
    answers.push(result.getRows().map(row => groupOf(row, count)));
  }
  return mergeGroups(answers);
}

/**
 * The parts of a union, one after the other into a table of the connection's own, and the question about all of them. As one
 * statement every part would hold its hash tables at the same time.
 */
export async function oneByOne(connection: DuckDBConnection, parts: readonly string[], columns: string, question: string): Promise<unknown[][]> {
  if (parts.length > 1) {
    await connection.run(`CREATE TEMP TABLE parts AS SELECT ${columns} FROM (${parts[0]})`);
    for (const part of parts.slice(1)) await connection.run(`INSERT INTO parts SELECT ${columns} FROM (${part})`);
  }
  const result = await connection.runAndReadAll(question.replace('$parts', parts.length > 1 ? 'parts' : `(${parts[0]})`));
  if (parts.length > 1) await connection.run('DROP TABLE parts');
  return result.getRows();
}

/** Facts are added up by number first, so that texts are looked up once for each pair and not once for each flow. */
function groupSlice(slice: Slice, columns: readonly GroupColumn[], withBytes: boolean): string {
  const { alias, facts: ofSlice, where } = slice;
  const facts = [...new Set(columns.flatMap(column => column.facts))];
  const fromSums = slice.fromSums && !columns.some(({ needsFlows }) => needsFlows);
  // A reply is of the connection that it answers: its source is whom the connection was made to.
  const oriented: Readonly<Record<string, string>> = {
    ...factExpressions,
    source: `CASE WHEN ${slice.isReply} THEN destination ELSE source END`, destination: `CASE WHEN ${slice.isReply} THEN source ELSE destination END`,
    ...(!fromSums && { server_port: `CASE WHEN ${slice.isReply} THEN source_port ELSE destination_port END` }),
  };
  const select = facts.map(fact => (fact in oriented ? `${oriented[fact]} AS g_${fact}` : `${fact} AS g_${fact}`)).join(', ');
  const sums = fromSums
    ? `sum(flows) AS flows, sum(flows * (tally & ${Tally.counted})) AS connections, ${withBytes ? 'sum(bytes)' : '0'} AS bytes, min(first) AS first, max(last) AS last FROM ${alias}.sums`
    : `count(*) AS flows, sum(tally & ${Tally.counted}) AS connections, ${withBytes ? `sum(${bytesOfFlow})` : '0'} AS bytes, min(time) AS first, max(time) AS last FROM ${ofSlice}`;
  const texts = columns.map(({ text }, i) => `coalesce((${text})::VARCHAR, '') AS k${i}`).join(', ');
  const used = new Set(columns.flatMap(({ text }) => [...text.matchAll(/\b(s|d|sn|dn|sl|dl|k|p|v)\./g)].map(match => match[1]!)));
  return `SELECT ${texts}, flows, connections, bytes, first, last FROM (SELECT ${facts.map(fact => `g_${fact} AS ${fact}`).join(', ')}, flows, connections, bytes, first, last FROM (SELECT ${select}, ${sums} WHERE ${where} GROUP BY ALL)) f ${joinsOf(alias, used)}`;
}

/** The dimension tables that the texts speak of. */
export function joinsOf(alias: string, used: ReadonlySet<string>): string {
  const joins: string[] = [];
  for (const [side, end] of [['source', 's'], ['destination', 'd']] as const) {
    if (![end, `${end}n`, `${end}l`].some(name => used.has(name))) continue;
    joins.push(`JOIN ${alias}.ends ${end} ON ${end}.id = f.${side}`);
    if (used.has(`${end}n`)) joins.push(`LEFT JOIN ${alias}.name_sets ${end}n ON ${end}n.id = ${end}.names`);
    if (used.has(`${end}l`)) joins.push(`LEFT JOIN ${alias}.label_sets ${end}l ON ${end}l.id = ${end}.labels`);
  }
  if (used.has('k')) joins.push(`JOIN ${alias}.kinds k ON k.id = f.kind`);
  if (used.has('p')) joins.push(`LEFT JOIN ${alias}.decisions p ON p.id = f.decision`);
  if (used.has('v')) joins.push(`LEFT JOIN ${alias}.services v ON v.id = f.service`);
  return joins.join(' ');
}

/** Where a filter must be asked of each flow: the same sums, flow by flow. */
async function groupFlows(reader: Reader, columns: readonly GroupColumn[], order: GroupMeasure, limit: number): Promise<HistoryGroup[]> {
  const groups = new FlowGroups(columns);
  for await (const flow of scan(reader, false)) groups.add(flow);
  return groups.sorted(order).slice(0, limit);
}

/** The groups of flows that are at hand. */
export function groupsOf(flows: Iterable<Flow>, by: readonly GroupDimension[], order: GroupMeasure): HistoryGroup[] {
  const groups = new FlowGroups(by.map(columnOf));
  for (const flow of flows) groups.add(flow);
  return groups.sorted(order);
}

class FlowGroups {
  readonly #columns: readonly GroupColumn[];
  readonly #groups = new Map<string, { -readonly [K in keyof HistoryGroup]: HistoryGroup[K] }>();

  constructor(columns: readonly GroupColumn[]) {
    this.#columns = columns;
  }

  add(flow: Flow): void {
    const key = this.#columns.map(({ ofFlow }) => ofFlow(flow));
    const text = key.join('\0');
    let group = this.#groups.get(text);
    if (!group) {
      if (this.#groups.size >= mostGroups) throw new CirriError('ERR_GROUP', `more than ${mostGroups} groups`, { mend: 'narrow the filters, or group by less' });
      this.#groups.set(text, (group = { key, flows: 0, connections: 0, bytes: 0, first: flow.time, last: flow.time }));
    }
    group.flows++;
    const tally = tallyOf(flow);
    group.connections += tally & Tally.counted;
    group.bytes += flow.connection && (tally & Tally.mine) !== 0 ? flow.connection.bytesOut + flow.connection.bytesBack : 0;
    if (flow.time < group.first) group.first = flow.time;
    if (flow.time > group.last) group.last = flow.time;
  }

  sorted(order: GroupMeasure): HistoryGroup[] {
    return [...this.#groups.values()].sort(byMeasure(order));
  }
}
