import { EdgeCounter } from '../../flows/edges.ts';
import { mapNodeOf } from '../../flows/map-nodes.ts';
import type { FlowEndpoint } from '../../model/flow.ts';
import { addEdges, edgeKey } from '../../model/map-merge.ts';
import { latencyBucketCount, type MapEdge, type MapInterval, type MapNode } from '../../model/service-map.ts';
import { CirriError } from '../../std/errors.ts';
import { rowsOf } from '../database.ts';
import { flowId, Tally } from '../row.ts';
import { timeNs, timeText } from '../time.ts';
import { readEnds, scan } from './flows.ts';
import type { Reader, Slice } from './reader.ts';

type NodeName = (ip: string) => string | undefined;

/** Edges of one interval; more would be no map. */
const mostEdges = 20_000;
const mostServices = 32;

/**
 * Nodes and edges of an interval, as flows/edges.ts counts them when they happen: connections, drops, totals and latencies added up
 * in SQL by number; layer 7, of which there is less, flow by flow by that same counter.
 */
export async function answerMap(reader: Reader, nodeName: NodeName): Promise<MapInterval> {
  const map = new MapSums(nodeName);
  for (const slice of reader.slices) {
    if (slice.filter.residual !== undefined) throw new CirriError('ERR_FLOW_FILTER', 'the map cannot be narrowed by this filter', { mend: 'use namespaces, pods, labels, names, addresses, ports, protocols and verdicts' });
    await addSlice(reader, slice, map);
  }
  await addLayer7(reader, map, nodeName);
  const [first, last] = [reader.slices[0]?.first, reader.slices.at(-1)?.last];
  return {
    since: timeText(reader.since ?? first ?? 0n), until: timeText(reader.until ?? last ?? 0n),
    nodes: map.nodes(), edges: [...map.edges.values()],
  };
}

class MapSums {
  readonly edges = new Map<string, MapEdge>();
  readonly #nodeName: NodeName;
  readonly #nodes = new Map<string, { readonly node: MapNode; readonly services: Set<string> }>();

  constructor(nodeName: NodeName) {
    this.#nodeName = nodeName;
  }

  node(end: FlowEndpoint): string {
    const node = mapNodeOf(end, this.#nodeName);
    if (!this.#nodes.has(node.id)) this.#nodes.set(node.id, { node, services: new Set() });
    return node.id;
  }

  known(node: MapNode): void {
    if (!this.#nodes.has(node.id)) this.#nodes.set(node.id, { node, services: new Set(node.services) });
  }

  service(id: string, service: string): void {
    const { services } = this.#nodes.get(id)!;
    if (services.size < mostServices) services.add(service);
  }

  add(edge: MapEdge): void {
    const key = edgeKey(edge);
    const known = this.edges.get(key);
    if (!known && this.edges.size >= mostEdges) throw new CirriError('ERR_HISTORY_MAP', `more than ${mostEdges} edges`, { mend: 'narrow the map by namespace or by time' });
    this.edges.set(key, known ? addEdges(known, edge) : edge);
  }

  nodes(): MapNode[] {
    return [...this.#nodes.values()].map(({ node, services }) => (services.size === 0 ? node : { ...node, services: [...services].sort() }));
  }
}

async function addSlice({ connection }: Reader, { alias, where, partition }: Slice, map: MapSums): Promise<void> {
  const ofKind = (condition: string) => `kind IN (SELECT id FROM ${alias}.kinds WHERE ${condition})`;
  const isReply = ofKind('is_reply');
  const total = (column: string) => `sum(CASE WHEN ${column} >= 0 AND tally & ${Tally.mine} != 0 THEN ${column} ELSE 0 END)::BIGINT`;
  const rows = (await connection.runAndReadAll(`SELECT client, server, port, protocol, verdict, type, reason, connection_end, node, tally, bucket, service, sum(count)::BIGINT, sum(po)::BIGINT, sum(bo)::BIGINT, sum(pb)::BIGINT, sum(bb)::BIGINT, max(last), arg_max(suffix, last)
    FROM (SELECT CASE WHEN ${isReply} THEN destination ELSE source END AS client, CASE WHEN ${isReply} THEN source ELSE destination END AS server,
        CASE WHEN ${isReply} THEN source_port ELSE destination_port END AS port, kind, tally, service,
        CASE WHEN latency_us < 0 THEN -1 WHEN latency_us <= 10 THEN 0 ELSE least(${latencyBucketCount - 1}, floor(log2(latency_us / 10.0) * 2))::INTEGER END AS bucket,
        count(*) AS count, ${total('packets_out')} AS po, ${total('bytes_out')} AS bo, ${total('packets_back')} AS pb, ${total('bytes_back')} AS bb, max(time) AS last, arg_max(suffix, time) AS suffix
      FROM ${alias}.flows WHERE ${where} AND tally != 0 AND ${ofKind("type IN ('policy-verdict', 'drop', 'trace')")} GROUP BY ALL) f JOIN ${alias}.kinds k ON k.id = f.kind GROUP BY ALL ORDER BY max(last)`)).getRows();
  const ends = await readEnds(connection, alias, [...new Set(rows.flatMap(row => [Number(row[0]), Number(row[1])]))]);
  const services = new Map((await rowsOf(connection, `SELECT id, namespace || '/' || name FROM ${alias}.services`)).map(([id, name]) => [Number(id), String(name)] as const));
  for (const row of rows) {
    const [client, server, port, protocol, verdict, type, reason, connectionEnd, node, tally, bucket, service, count, packetsOut, bytesOut, packetsBack, bytesBack] = row;
    const [last, suffix] = [row[17] as bigint, Number(row[18])];
    const counted = (Number(tally) & Tally.counted) !== 0 ? Number(count) : 0;
    const mine = (Number(tally) & Tally.mine) !== 0;
    if (counted === 0 && !(mine && (Number(bucket) >= 0 || connectionEnd !== null))) continue;
    const [source, destination] = [map.node(ends.get(Number(client))!), map.node(ends.get(Number(server))!)];
    const isDrop = type === 'drop';
    map.add({
      source, destination, protocol: String(protocol), port: ['TCP', 'UDP', 'SCTP'].includes(String(protocol)) ? Math.max(0, Number(port)) : 0,
      forwarded: isDrop || verdict === 'AUDIT' ? 0 : counted, dropped: isDrop ? counted : 0, audited: !isDrop && verdict === 'AUDIT' ? counted : 0,
      errors: mine && connectionEnd === 'reset' ? Number(count) : 0, requests: 0,
      bytesOut: Number(bytesOut), bytesBack: Number(bytesBack), packetsOut: Number(packetsOut), packetsBack: Number(packetsBack),
      ...(mine && Number(bucket) >= 0 && { latency: Array.from({ length: latencyBucketCount }, (_, i) => (i === Number(bucket) ? Number(count) : 0)) }),
      ...(isDrop && { dropReasons: { [String(reason ?? 'Unknown reason')]: counted }, lastDrop: flowId(String(node), last, suffix) }),
    });
    const called = services.get(Number(service));
    if (called !== undefined) map.service(destination, called);
  }
}

async function addLayer7(reader: Reader, map: MapSums, nodeName: NodeName): Promise<void> {
  const counter = new EdgeCounter({ maxEdges: mostEdges, nodeName });
  const slices = reader.slices.map(slice => ({ ...slice, where: `${slice.where} AND kind IN (SELECT id FROM ${slice.alias}.kinds WHERE type = 'l7')` }));
  for await (const flow of scan({ ...reader, slices }, false)) {
    const time = timeNs(flow.time);
    counter.flow({ ...flow, seconds: Number(time / 1_000_000_000n), nanos: Number(time % 1_000_000_000n), packetless: false });
  }
  const { nodes, edges } = counter.take();
  for (const { node, services } of nodes) map.known({ ...node, ...(services.size > 0 && { services: [...services] }) });
  for (const edge of edges) {
    const known = map.edges.get(edgeKey(edge));
    // The time to an answer of a request is what is shown where there are requests.
    if (known && edge.latency) map.edges.set(edgeKey(edge), { ...known, latency: edge.latency.map(() => 0) });
    map.add(edge);
  }
}
