import type { DuckDBConnection } from '@duckdb/node-api';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import type { HistoryFilter } from '../../model/history.ts';
import { compileFilter, compileFilters, type FlowFilter, type FlowPredicate } from '../../flows/filter.ts';
import { addrToBigint, parsePrefix } from '../../std/ip.ts';
import { literal, literals, plain, rowsOf } from '../database.ts';
import type { KindEntry } from '../dictionary.ts';

/** Filters as one condition over a partition's facts. */
export interface SqlFilter {
  /** TRUE when everything passes. Lets through all that matches; nothing else unless `residual` says so. */
  readonly where: string;
  /** What remains to be asked of each flow that `where` lets through. */
  readonly residual: FlowPredicate | undefined;
  /** Looks at columns that the partition's sums have not. */
  readonly needsFlows: boolean;
}

interface Condition {
  readonly sql: string;
  readonly exact: boolean;
  readonly needsFlows?: boolean;
}

/**
 * What filters mean is said once, in flows/filter.ts. Here its own predicates are asked about the rows of the dimensions (kinds,
 * label sets, name sets, services: some hundred each) and become lists of numbers; only pods, addresses, identities and ports,
 * of which there may be many, have a translation of their own. A field without one lets all pass here and is asked of each flow.
 */
export async function filterToSql(connection: DuckDBConnection, alias: string, whitelist: readonly HistoryFilter[], blacklist: readonly HistoryFilter[]): Promise<SqlFilter> {
  const dimensions = new Dimensions(connection, alias);
  const wanted = await Promise.all(whitelist.map(filter => conditionOf(filter as FlowFilter, dimensions)));
  const unwanted = await Promise.all(blacklist.map(filter => conditionOf(filter as FlowFilter, dimensions)));
  const parts = [
    ...(wanted.length === 0 ? [] : [`(${wanted.map(({ sql }) => sql).join(' OR ')})`]),
    ...unwanted.filter(({ exact }) => exact).map(({ sql }) => `NOT ${sql}`),
  ];
  const isExact = [...wanted, ...unwanted].every(({ exact }) => exact);
  return {
    where: parts.length === 0 ? 'TRUE' : parts.join(' AND '),
    residual: isExact ? undefined : compileFilters(whitelist as readonly FlowFilter[], blacklist as readonly FlowFilter[]),
    needsFlows: [...wanted, ...unwanted].some(({ needsFlows }) => needsFlows === true),
  };
}

/** Fields that the kind alone decides. */
const kindFields = new Set(['verdict', 'drop_reason_desc', 'event_type', 'protocol', 'reply', 'traffic_direction', 'tcp_flags', 'node_name', 'node_labels', 'ip_version', 'interface', 'encrypted']);

async function conditionOf(filter: FlowFilter, dimensions: Dimensions): Promise<Condition> {
  // Says which field does not parse, and in the same words as everywhere.
  compileFilter(filter);
  const entries = Object.entries(filter).filter(([, values]) => Array.isArray(values) && values.length > 0) as [string, readonly unknown[]][];
  const conditions: Condition[] = [];
  const ofKind = entries.filter(([field, values]) => kindFields.has(field) && !(field === 'protocol' && values.some(isLayer7)));
  if (ofKind.length > 0) conditions.push(await dimensions.kinds(compileFilter(Object.fromEntries(ofKind) as FlowFilter)));
  for (const [field, values] of entries) {
    if (!ofKind.some(([known]) => known === field)) conditions.push(await fieldCondition(field, values, dimensions));
  }
  // What is no list of alternatives (expressions) is asked of each flow.
  const others = Object.entries(filter).some(([, values]) => values !== undefined && !Array.isArray(values));
  if (others) conditions.push({ sql: 'TRUE', exact: false });
  return {
    sql: conditions.length === 0 ? 'TRUE' : `(${conditions.map(({ sql }) => sql).join(' AND ')})`,
    exact: conditions.every(({ exact }) => exact),
    needsFlows: conditions.some(({ needsFlows }) => needsFlows === true),
  };
}

const isLayer7 = (protocol: unknown) => ['dns', 'http', 'kafka'].includes(String(protocol).toLowerCase());

async function fieldCondition(field: string, values: readonly unknown[], dimensions: Dimensions): Promise<Condition> {
  const sided = /^(source|destination)_(\w+)$/.exec(field);
  const ask = compileFilter({ [field]: values } as FlowFilter);
  if (sided) {
    const side = sided[1] as 'source' | 'destination';
    switch (sided[2]) {
      case 'pod': return dimensions.inEnds(side, values.map(value => podCondition(String(value))).join(' OR '));
      case 'identity': return dimensions.inEnds(side, `identity IN (${literals(values.map(Number))})`);
      case 'ip': return dimensions.inEnds(side, values.map(value => ipCondition(String(value))).join(' OR '));
      case 'label': return dimensions.inEnds(side, await dimensions.lists('label_sets', 'labels', labels => ask(flowWith({ [side]: { ...noEnd, labels } }))));
      case 'fqdn': return dimensions.inEnds(side, await dimensions.lists('name_sets', 'names', names => ask(flowWith({ [side]: { ...noEnd, ...(names.length > 0 && { names }) } }))));
      case 'workload': case 'cluster_name': return dimensions.ends(side, ask);
      case 'service': return dimensions.services(ask);
      case 'port': return portCondition(side, values, dimensions, field);
    }
  }
  if (field === 'uuid') return idCondition(values);
  // Of the others those of layer 7 are at least known to be there.
  if (/^(http|dns)_/.test(field) || field === 'protocol') return { ...(await dimensions.kinds(flow => flow.type === 'l7' || (field === 'protocol' && ask(flow)))), exact: false };
  return { sql: 'TRUE', exact: false };
}

function podCondition(value: string): string {
  const slash = value.indexOf('/');
  const namespace = slash < 0 ? 'default' : value.slice(0, slash);
  const prefix = value.slice(slash + 1);
  const parts = [namespace === '' ? 'namespace IS NOT NULL' : `namespace IS NOT NULL AND namespace = ${literal(namespace)}`, ...(prefix === '' ? [] : [`starts_with(coalesce(pod, ''), ${literal(prefix)})`])];
  return `(${parts.join(' AND ')})`;
}

function ipCondition(value: string): string {
  if (!value.includes('/')) return `ip = ${literal(value.toLowerCase())}`;
  const { addr, bits } = parsePrefix(value);
  const hosts = (1n << BigInt(128 - bits)) - 1n;
  const first = addrToBigint(addr) & ~hosts;
  const within = (from: bigint, to: bigint) => `address BETWEEN '${from}'::UHUGEINT AND '${to}'::UHUGEINT`;
  // Addresses of IPv4 lie inside of IPv6's range here, and in no prefix of IPv6.
  const others = value.includes(':') && bits < 96 ? ` AND NOT ${within(0xffffn << 32n, (0x10000n << 32n) - 1n)}` : '';
  return `coalesce(${within(first, first | hosts)}${others}, FALSE)`;
}

/** A protocol without ports has none: the predicate says so of each kind. */
async function portCondition(side: 'source' | 'destination', values: readonly unknown[], dimensions: Dimensions, field: string): Promise<Condition> {
  const ports = values.map(Number);
  const some = compileFilter({ [field]: values.slice(0, 1) } as FlowFilter);
  const kinds = await dimensions.kinds(flow => some({ ...flow, [`${side}Port`]: ports[0]! }));
  return { sql: `(${side}_port IN (${literals(ports)}) AND ${kinds.sql})`, exact: true, needsFlows: true };
}

/** Ids end in `-TIME-SUFFIX`, both in base 36; flows with other ids have suffix -1 and are asked one by one. */
function idCondition(values: readonly unknown[]): Condition {
  const known = values.flatMap(value => {
    const match = /-([0-9a-z]{10,13})-([0-9a-z]{1,3})$/.exec(String(value));
    return match ? [`(time = ${base36(match[1]!)} AND suffix = ${parseInt(match[2]!, 36)})`] : [];
  });
  return { sql: `(${['suffix = -1', ...known].join(' OR ')})`, exact: false, needsFlows: true };
}

function base36(text: string): bigint {
  return [...text].reduce((value, digit) => value * 36n + BigInt(parseInt(digit, 36)), 0n);
}

const noEnd: FlowEndpoint = { ip: '', identity: 0, id: 0, labels: [] };
const noFlow: Flow = {
  time: '', nodeName: '', verdict: 'VERDICT_UNKNOWN', type: 'unknown', direction: 'UNKNOWN', isReply: undefined, ipVersion: 'IPv4', protocol: '', source: noEnd, destination: noEnd, summary: '', id: '',
};

function flowWith(fields: Partial<Flow>): Flow {
  return { ...noFlow, ...fields };
}

/** The rows of a partition's dimensions that a predicate holds for, as conditions. What was read is kept for the query. */
class Dimensions {
  readonly #connection: DuckDBConnection;
  readonly alias: string;
  #kinds: Promise<(readonly [id: number, flow: Flow])[]> | undefined;

  constructor(connection: DuckDBConnection, alias: string) {
    this.#connection = connection;
    this.alias = alias;
  }

  async kinds(ask: FlowPredicate): Promise<Condition> {
    this.#kinds ??= rowsOf(this.#connection, `SELECT id, json FROM ${this.alias}.kinds`).then(rows => rows.map(([id, json]) => [Number(id), flowWith(JSON.parse(String(json)) as KindEntry as Partial<Flow>)] as const));
    const kinds = await this.#kinds;
    const ids = kinds.filter(([, flow]) => ask(flow)).map(([id]) => id);
    return { sql: ids.length === kinds.length ? 'TRUE' : inList('kind', ids), exact: true };
  }

  /** Ends by a condition over their table: as numbers, which costs a scan nothing, unless they are very many. */
  async inEnds(side: 'source' | 'destination', condition: string): Promise<Condition> {
    const rows = await rowsOf(this.#connection, `SELECT id FROM ${this.alias}.ends WHERE ${condition} LIMIT ${mostNumbers + 1}`);
    const sql = rows.length > mostNumbers ? `${side} IN (SELECT id FROM ${this.alias}.ends WHERE ${condition})` : inList(side, rows.map(([id]) => Number(id)));
    return { sql, exact: true };
  }

  /** Over `ends`: those whose list satisfies; an end without one has the empty list. */
  async lists(table: 'label_sets' | 'name_sets', column: 'labels' | 'names', ask: (list: readonly string[]) => boolean): Promise<string> {
    const rows = await rowsOf(this.#connection, `SELECT id, ${column} FROM ${this.alias}.${table}`);
    const ids = rows.filter(([, list]) => ask(list as string[])).map(([id]) => Number(id));
    return inList(column, ask([]) ? [0, ...ids] : ids);
  }

  /** Ends one by one, for what only few questions ask. */
  async ends(side: 'source' | 'destination', ask: FlowPredicate): Promise<Condition> {
    const rows = await rowsOf(this.#connection, `SELECT id, namespace, pod, cluster, workload_kind, workload, workloads FROM ${this.alias}.ends`);
    const ids = rows.flatMap(row => {
      const [id, namespace, podName, clusterName, kind, name, others] = row.map(value => plain(value) ?? undefined) as [number, ...(string | undefined)[]];
      const workloads = others !== undefined ? (JSON.parse(others) as FlowEndpoint['workloads']) : name !== undefined ? [{ name, kind: kind ?? '' }] : undefined;
      const end: FlowEndpoint = { ...noEnd, ...(namespace !== undefined && { namespace }), ...(podName !== undefined && { podName }), ...(clusterName !== undefined && { clusterName }), ...(workloads && { workloads }) };
      return ask(flowWith({ [side]: end })) ? [id] : [];
    });
    return { sql: inList(side, ids), exact: true };
  }

  /** Which end is the service's depends on whether the flow is a reply. */
  async services(ask: FlowPredicate): Promise<Condition> {
    const rows = await rowsOf(this.#connection, `SELECT id, namespace, name, ip, port FROM ${this.alias}.services`);
    const parts = await Promise.all([true, false, undefined].map(async isReply => {
      const ids = rows.filter(([, namespace, name, ip, port]) => ask(flowWith({ isReply, service: { namespace: String(namespace), name: String(name), ip: String(ip), port: Number(port) } }))).map(([id]) => Number(id));
      if (ids.length === 0) return [];
      return [`(${inList('service', ids)} AND ${(await this.kinds(flow => flow.isReply === isReply)).sql})`];
    }));
    return { sql: parts.flat().length === 0 ? 'FALSE' : `(${parts.flat().join(' OR ')})`, exact: true };
  }
}

/** Numbers written out in one condition. */
const mostNumbers = 10_000;

function inList(column: string, ids: readonly number[]): string {
  return ids.length === 0 ? 'FALSE' : `${column} IN (${ids.join(', ')})`;
}
