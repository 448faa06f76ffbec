import type { MapEdge, MapInterval, MapNode } from './service-map.ts';

/** What makes two edges of several intervals or nodes the same. */
export function edgeKey(edge: MapEdge): string {
  return `${edge.source}\n${edge.destination}\n${edge.protocol}\n${edge.port}`;
}

/** Counts of both together. `b` is the later one. */
export function addEdges(a: MapEdge, b: MapEdge): MapEdge {
  const latency = a.latency && b.latency ? a.latency.map((count, i) => count + (b.latency![i] ?? 0)) : b.latency ?? a.latency;
  const dropReasons = a.dropReasons && b.dropReasons ? addCounts(a.dropReasons, b.dropReasons) : b.dropReasons ?? a.dropReasons;
  const lastDrop = b.lastDrop ?? a.lastDrop;
  const l7 = b.l7 ?? a.l7;
  return {
    source: a.source, destination: a.destination, protocol: a.protocol, port: a.port, ...(l7 && { l7 }),
    forwarded: a.forwarded + b.forwarded, dropped: a.dropped + b.dropped, audited: a.audited + b.audited, errors: a.errors + b.errors, requests: a.requests + b.requests,
    bytesOut: a.bytesOut + b.bytesOut, bytesBack: a.bytesBack + b.bytesBack, packetsOut: a.packetsOut + b.packetsOut, packetsBack: a.packetsBack + b.packetsBack,
    ...(latency && { latency }), ...(dropReasons && { dropReasons }), ...(lastDrop !== undefined && { lastDrop }),
  };
}

function addCounts(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const sum: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count;
  return sum;
}

/** Several intervals as one, from the first's beginning to the last's end. Throws when there are none. */
export function mergeIntervals(intervals: readonly MapInterval[]): MapInterval {
  const [first] = intervals;
  if (!first) throw new Error('no intervals to merge');
  const edges = new Map<string, MapEdge>();
  const nodes = new Map<string, MapNode>();
  let [since, until] = [first.since, first.until];
  for (const interval of intervals) {
    if (interval.since < since) since = interval.since;
    if (interval.until > until) until = interval.until;
    for (const node of interval.nodes) nodes.set(node.id, node);
    for (const edge of interval.edges) {
      const key = edgeKey(edge);
      const before = edges.get(key);
      edges.set(key, before ? addEdges(before, edge) : edge);
    }
  }
  return { since, until, nodes: [...nodes.values()], edges: [...edges.values()] };
}
