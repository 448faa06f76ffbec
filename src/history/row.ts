import type { Flow, FlowEndpoint } from '../model/flow.ts';
import type { FlowView } from '../flows/consumer.ts';
import { isOutside } from '../flows/ends.ts';
import type { L7Saying } from '../flows/l7-saying.ts';
import { ColumnView } from '../flows/view.ts';
import { batchRows, writeTime, type BatchBuilder } from './batch.ts';
import type { FlowDictionary } from './dictionary.ts';

/** Ids of flows/view.ts end in the flow's sequence modulo this, in base 36. */
const suffixes = 1296;

/** Fields that few flows have: kept as JSON with those that do. */
export const detailFields = [
  'l7', 'inKernel', 'ethernet', 'sourceXlated', 'tunnel', 'traceId', 'ipTraceId', 'ipTraceOption', 'services', 'proxyPort', 'file', 'socketTranslation', 'socketCookie', 'cgroupId',
] as const satisfies readonly (keyof Flow)[];

/** Bits of the column `tally`: what a flow is counted as, by the rule of model/service-map.ts as flows/edges.ts applies it. */
export const Tally = {
  /** A new connection, or a drop: by this node and no other. */
  counted: 1,
  /** A verdict of policy on a new connection, from the side of the flow's direction: what pairs are made of. */
  judged: 2,
  /** Totals, latencies and layer 7 are counted from this record; the connection's other node has another. */
  mine: 4,
} as const;

export function tallyOf(flow: Pick<Flow, 'type' | 'verdict' | 'direction' | 'isReply' | 'shadow' | 'source' | 'destination'>): number {
  if (flow.shadow !== undefined) return 0;
  if (flow.type === 'drop') return Tally.counted;
  const isReply = flow.isReply === true;
  const client = isReply ? flow.destination : flow.source;
  const server = isReply ? flow.source : flow.destination;
  const byServer = isCountedByServer(client, server);
  if (flow.type !== 'policy-verdict') return (byServer ? server : client).id !== 0 ? Tally.mine : 0;
  // A denial is a drop too, and counted as that.
  const counted = flow.verdict !== 'DROPPED' && flow.direction === (byServer ? 'INGRESS' : 'EGRESS');
  return (counted ? Tally.counted : 0) | (flow.direction === 'UNKNOWN' ? 0 : Tally.judged);
}

/** Also where only the server's node could: what comes from outside to a node itself. */
function isCountedByServer(client: FlowEndpoint, server: FlowEndpoint): boolean {
  return server.podName !== undefined || (client.podName === undefined && isOutside(client.identity));
}

/** Latencies of layer 7 that a row can bear, nanoseconds; a longer one is in details. */
const longestLatencyNs = 0x7fff_ffff;

/** Writes the flow into the batch's next row. False when there is no room. Allocates for what is seen for the first time and for details only. */
export function appendFlow(batch: BatchBuilder, dictionary: FlowDictionary, flow: FlowView): boolean {
  const { rows: row, columns } = batch;
  if (row >= batchRows) return false;
  writeTime(batch.times, row, flow.seconds, flow.nanos);
  const { connection } = flow;
  columns.kind[row] = dictionary.kind(flow, connection?.end);
  columns.source[row] = dictionary.end(flow.source);
  columns.destination[row] = dictionary.end(flow.destination);
  columns.sourcePort[row] = flow.sourcePort ?? -1;
  columns.destinationPort[row] = flow.destinationPort ?? -1;
  columns.decision[row] = dictionary.decision(flow);
  columns.service[row] = dictionary.service(flow.service);
  columns.tally[row] = tallyOf(flow);
  const latency = flow.connectLatencyNs;
  columns.latency[row] = latency === undefined ? -1 : Math.min(0x7fff_ffff, Math.round(latency / 1000));
  columns.saying[row] = 0;
  if (connection) batch.totals.push(row, connection.packetsOut, connection.bytesOut, connection.packetsBack, connection.bytesBack, connection.durationNs);
  // What the pipeline's view would put at the end of its id, without putting the id together.
  if (flow instanceof ColumnView) {
    columns.suffix[row] = flow.sequence % suffixes;
    const { saying } = flow;
    if (saying !== undefined) appendSaying(batch, dictionary, flow, saying);
  } else {
    const suffix = suffixOf(flow);
    columns.suffix[row] = suffix;
    const details = detailsOf(flow, suffix < 0);
    if (details !== undefined) batch.details.push([row, details]);
    appendLatency(batch, row, flow.l7?.latencyNs);
  }
  batch.rows++;
  return true;
}

function appendSaying(batch: BatchBuilder, dictionary: FlowDictionary, flow: ColumnView, saying: L7Saying): void {
  const { rows: row, columns } = batch;
  const { l7LatencyNs, traceId, proxyPort } = flow;
  const number = l7LatencyNs > longestLatencyNs || proxyPort !== undefined ? 0 : dictionary.saying(saying, flow.inKernel === true);
  if (number === 0) {
    batch.details.push([row, detailsOf(flow, false)!]);
    return appendLatency(batch, row, l7LatencyNs < 0 ? saying.l7.latencyNs : l7LatencyNs);
  }
  columns.saying[row] = number;
  columns.latency[row] = l7LatencyNs;
  if (traceId !== undefined) batch.details.push([row, JSON.stringify({ traceId })]);
}

/** Of a flow whose details say it too: questions in SQL ask the column. */
function appendLatency(batch: BatchBuilder, row: number, latencyNs: number | undefined): void {
  if (latencyNs !== undefined) batch.totals.push(row, -1, -1, -1, -1, Math.round(latencyNs));
}

/** Ids are NODE-TIME-SUFFIX, time and suffix in base 36 (flows/enrich.ts): the suffix says it all. -1 for any other id. */
function suffixOf(flow: FlowView): number {
  const { id, nodeName } = flow;
  const at = id.lastIndexOf('-');
  if (id.length - at > 4 || at - nodeName.length !== 13 || !id.startsWith(nodeName) || !id.startsWith(lowDigits(flow.seconds, flow.nanos), at - 4)) return -1;
  const suffix = parseInt(id.slice(at + 1), 36);
  return suffix >= 0 ? suffix : -1;
}

const fourDigits = 36 ** 4;

/** The last four digits of the time in base 36, without a bigint. */
function lowDigits(seconds: number, nanos: number): string {
  const low = ((seconds % fourDigits) * (1e9 % fourDigits) + nanos) % fourDigits;
  return low.toString(36).padStart(4, '0');
}

export function flowId(nodeName: string, timeNs: bigint, suffix: number): string {
  return `${nodeName}-${timeNs.toString(36)}-${suffix.toString(36)}`;
}

function detailsOf(flow: FlowView, withId: boolean): string | undefined {
  let details: Record<string, unknown> | undefined;
  for (const field of detailFields) {
    const value = flow[field];
    if (value !== undefined) (details ??= {})[field] = typeof value === 'bigint' ? String(value) : value;
  }
  // The pipeline's own say what l7 says.
  if (flow.type === 'l7' && !(flow instanceof ColumnView)) (details ??= {})['summary'] = flow.summary;
  if (withId) (details ??= {})['id'] = flow.id;
  return details && JSON.stringify(details);
}
