import type { DuckDBConnection } from '@duckdb/node-api';
import { l7Summary } from '../../flows/l7-summary.ts';
import type { Flow, FlowEndpoint, FlowL7 } from '../../model/flow.ts';
import type { FlowsQuery, HistoryAnswer } from '../../model/history.ts';
import { plain, rowsOf } from '../database.ts';
import type { DecisionEntry, KindEntry } from '../dictionary.ts';
import { flowId } from '../row.ts';
import { factsOf } from '../schema.ts';
import { timeText } from '../time.ts';
import type { Reader, Slice } from './reader.ts';

const flowsPerMessage = 256;
/** Rows that are put in order at a time; more would be sorted on the disk. */
const rowsPerStep = 100_000;
/** More limited questions than this are answered in steps as well. */
const mostAtOnce = 50_000;

/** Sends the flows, oldest first. Returns whether a limit left some out. */
export async function answerFlows(reader: Reader, query: FlowsQuery, send: (answer: HistoryAnswer) => Promise<void>): Promise<boolean> {
  let waiting: Flow[] = [];
  const flush = async (atLeast: number) => {
    while (waiting.length >= atLeast && waiting.length > 0) {
      const flows = waiting.slice(0, flowsPerMessage);
      waiting = waiting.slice(flowsPerMessage);
      await send({ kind: 'flows', flows });
    }
  };
  if (query.last !== undefined) {
    const { last } = query;
    const newest: Flow[] = [];
    for await (const flow of scan(reader, true, last + 1)) if (newest.push(flow) > last) break;
    const more = newest.length > last;
    waiting = newest.slice(0, last).reverse();
    await flush(1);
    return more;
  }
  let count = 0;
  for await (const flow of scan(reader, false, query.first === undefined ? undefined : query.first + 1)) {
    if (query.first !== undefined && count >= query.first) {
      await flush(1);
      return true;
    }
    count++;
    waiting.push(flow);
    await flush(flowsPerMessage);
  }
  await flush(1);
  return false;
}

/** All flows of the window that pass, in the order of time or against it. */
export async function* scan(reader: Reader, backwards: boolean, limit?: number): AsyncGenerator<Flow> {
  const slices = backwards ? [...reader.slices].reverse() : reader.slices;
  for (const slice of slices) {
    const isOneStep = limit !== undefined && limit <= mostAtOnce && slice.filter.residual === undefined;
    const steps = isOneStep ? 1 : Math.max(1, Math.ceil(slice.partition.flows / rowsPerStep));
    const width = (slice.last - slice.first) / BigInt(steps) + 1n;
    for (let i = 0; i < steps; i++) {
      if (reader.signal.aborted) return;
      const step = BigInt(backwards ? steps - 1 - i : i);
      const from = slice.first + step * width;
      if (isOneStep) yield* scanStep(reader, slice, from, from + width - 1n, backwards, limit);
      else yield* scanPart(reader, slice, from, from + width - 1n, backwards);
    }
  }
}

/** Narrower than a batch nothing is divided: its runs would be counted in all parts. */
const leastPartNs = 200_000_000n;

/** In smaller parts where there is more than elsewhere: requests come in bursts. */
async function* scanPart(reader: Reader, slice: Slice, from: bigint, to: bigint, backwards: boolean): AsyncGenerator<Flow> {
  const width = to - from + 1n;
  const parts = width < 2n * leastPartNs ? 1 : Math.ceil((await mostWithin(reader, slice, from, to)) / rowsPerStep);
  if (parts <= 1) return yield* scanStep(reader, slice, from, to, backwards, undefined);
  const within = width / BigInt(parts) + 1n;
  const step = within < leastPartNs ? leastPartNs : within;
  const starts: bigint[] = [];
  for (let start = from; start <= to; start += step) starts.push(start);
  for (const start of backwards ? starts.reverse() : starts) {
    if (reader.signal.aborted) return;
    yield* scanPart(reader, slice, start, start + step - 1n < to ? start + step - 1n : to, backwards);
  }
}

/** Flows of runs between two times, and of those runs some before and after. */
async function mostWithin({ connection }: Reader, { partition, alias }: Slice, from: bigint, to: bigint): Promise<number> {
  let most = 0;
  for (const { name, first, last } of partition.runs) {
    if (first === undefined || last === undefined || last < from || first > to) continue;
    const [[count] = [0]] = await rowsOf(connection, `SELECT coalesce(sum(len(times)), 0)::BIGINT FROM ${alias}.${name} WHERE last >= ${from} AND first <= ${to}`);
    most += Number(count);
  }
  return most;
}

const columns = 'f.time, f.kind, f.source, f.destination, f.source_port, f.destination_port, f.decision, f.service, f.suffix, f.latency_us, f.packets_out, f.bytes_out, f.packets_back, f.bytes_back, f.duration, d.json, f.details';

async function* scanStep({ connection, signal }: Reader, slice: Slice, from: bigint, to: bigint, backwards: boolean, limit: number | undefined): AsyncGenerator<Flow> {
  const { alias, filter } = slice;
  const order = backwards ? 'DESC' : 'ASC';
  const result = await connection.stream(`SELECT ${columns} FROM (SELECT * FROM ${factsOf(slice.partition, from, to)} WHERE time >= ${from} AND time <= ${to} AND ${slice.where} ORDER BY time ${order}, place ${order} ${limit === undefined ? '' : `LIMIT ${limit}`}) f
    LEFT JOIN ${alias}.details d ON f.details > 0 AND d.id = f.details ORDER BY f.time ${order}`);
  const rebuild = new FlowRebuilder(connection, alias);
  const rows: unknown[][] = [];
  for await (const chunk of result) {
    if (signal.aborted) return;
    rows.push(...chunk.getRows());
  }
  for (let at = 0; at < rows.length; at += flowsPerMessage) {
    for (const flow of await rebuild.flows(rows.slice(at, at + flowsPerMessage))) if (filter.residual === undefined || filter.residual(flow)) yield flow;
  }
}

/** Most ends held while flows are put together, and most details. */
const mostEnds = 20_000;
const mostDetails = 2_000;

/** Rows of facts → flows as they were. */
class FlowRebuilder {
  readonly #connection: DuckDBConnection;
  readonly #alias: string;
  readonly #ends = new Map<number, FlowEndpoint>();
  readonly #kinds = new Map<number, KindEntry>();
  readonly #decisions = new Map<number, DecisionEntry>();
  readonly #services = new Map<number, NonNullable<Flow['service']>>();
  readonly #details = new Map<number, Readonly<Record<string, unknown>>>();

  constructor(connection: DuckDBConnection, alias: string) {
    this.#connection = connection;
    this.#alias = alias;
  }

  async flows(rows: readonly (readonly unknown[])[]): Promise<Flow[]> {
    if (this.#ends.size > mostEnds) this.#ends.clear();
    await this.#load('kinds', rows.map(row => row[1]), this.#kinds, 'json', ([json]) => JSON.parse(String(json)) as KindEntry);
    await this.#load('decisions', rows.map(row => row[6]), this.#decisions, 'json', ([json]) => JSON.parse(String(json)) as DecisionEntry);
    await this.#load('services', rows.map(row => row[7]), this.#services, 'namespace, name, ip, port', ([namespace, name, ip, port]) => ({ namespace: String(namespace), name: String(name), ip: String(ip), port: Number(port) }));
    await this.#loadEnds(rows.flatMap(row => [row[2], row[3]]));
    return rows.map(row => this.#flow(row));
  }

  async #load<T>(table: string, ids: readonly unknown[], known: Map<number, T>, select: string, make: (row: unknown[]) => T): Promise<void> {
    const wanted = [...new Set(ids as number[])].filter(id => id > 0 && !known.has(id));
    if (wanted.length === 0) return;
    for (const [id, ...row] of await rowsOf(this.#connection, `SELECT id, ${select} FROM ${this.#alias}.${table} WHERE id IN (${wanted.join(', ')})`)) known.set(Number(id), make(row));
  }

  async #loadEnds(ids: readonly unknown[]): Promise<void> {
    const wanted = [...new Set(ids as number[])].filter(id => !this.#ends.has(id));
    for (const [id, end] of await readEnds(this.#connection, this.#alias, wanted)) this.#ends.set(id, end);
  }

  /** Many flows have the same. */
  #detailsOf(id: number, json: unknown): Readonly<Record<string, unknown>> {
    let details = this.#details.get(id);
    if (details === undefined) {
      if (this.#details.size >= mostDetails) this.#details.clear();
      this.#details.set(id, (details = JSON.parse(String(json)) as Record<string, unknown>));
    }
    return details;
  }

  #flow(row: readonly unknown[]): Flow {
    const [time, kindId, source, destination, sourcePort, destinationPort, decision, service, suffix, latencyUs, packetsOut, bytesOut, packetsBack, bytesBack, duration, details, detailsId] = row as [bigint, ...unknown[]];
    const { end, packetless: _, ...kind } = this.#kinds.get(Number(kindId))!;
    const more: Record<string, unknown> = details === null ? {} : { ...this.#detailsOf(Number(detailsId), details) };
    if (kind.type === 'l7') addLayer7(more, Number(duration));
    for (const field of ['socketCookie', 'cgroupId']) if (typeof more[field] === 'string') more[field] = BigInt(more[field]);
    return {
      time: timeText(time),
      summary: '',
      ...(kind as Omit<Flow, 'time' | 'id' | 'summary' | 'source' | 'destination'>),
      isReply: kind.isReply,
      source: this.#ends.get(Number(source))!,
      destination: this.#ends.get(Number(destination))!,
      ...(Number(sourcePort) >= 0 && { sourcePort: Number(sourcePort) }),
      ...(Number(destinationPort) >= 0 && { destinationPort: Number(destinationPort) }),
      ...(Number(service) > 0 && { service: this.#services.get(Number(service))! }),
      ...(Number(decision) > 0 && this.#decisions.get(Number(decision))),
      ...(Number(latencyUs) >= 0 && { connectLatencyNs: Number(latencyUs) * 1000 }),
      ...(end && { connection: { packetsOut: Number(packetsOut), bytesOut: Number(bytesOut), packetsBack: Number(packetsBack), bytesBack: Number(bytesBack), durationNs: Number(duration), end } }),
      id: flowId(kind.nodeName ?? '', time, Number(suffix)),
      ...more,
    };
  }
}

/** What the flow says alone beside what it says with others: its latency, and the summary that has it. */
function addLayer7(details: Record<string, unknown>, latencyNs: number): void {
  const said = details['l7'] as FlowL7 | undefined;
  if (said === undefined) return;
  const { type, ...more } = said;
  const l7 = latencyNs < 0 ? said : { type, latencyNs, ...more };
  details['l7'] = l7;
  details['summary'] ??= l7Summary(l7);
}

/** The ends with these numbers, as flows have them. */
export async function readEnds(connection: DuckDBConnection, alias: string, ids: readonly number[]): Promise<Map<number, FlowEndpoint>> {
  if (ids.length === 0) return new Map();
  const rows = await rowsOf(connection, `SELECT e.id, ip, identity, endpoint, namespace, pod, cluster, workload_kind, workload, workloads, l.labels, n.names
    FROM ${alias}.ends e LEFT JOIN ${alias}.label_sets l ON l.id = e.labels LEFT JOIN ${alias}.name_sets n ON n.id = e.names WHERE e.id IN (${ids.join(', ')})`);
  return new Map(rows.map(row => [Number(row[0]), endOf(row.slice(1))]));
}

function endOf(row: readonly unknown[]): FlowEndpoint {
  const [ip, identity, id, namespace, podName, clusterName, kind, name, others, labels, names] = row.map(value => plain(value) ?? undefined) as [string, number, number, ...(string | undefined)[]];
  const workloads = others !== undefined ? (JSON.parse(others) as FlowEndpoint['workloads']) : name !== undefined ? [{ name, kind: kind ?? '' }] : undefined;
  return {
    ip, identity, id,
    ...(namespace !== undefined && { namespace }), ...(podName !== undefined && { podName }), ...(clusterName !== undefined && { clusterName }),
    labels: (labels as readonly string[] | undefined) ?? [],
    ...(names !== undefined && { names: names as unknown as readonly string[] }),
    ...(workloads && { workloads }),
  };
}
