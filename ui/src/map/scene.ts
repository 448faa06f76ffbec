import type { MapNode } from '../../../src/model/service-map.ts';
import { latencyQuantile } from '../../../src/model/service-map.ts';
import type { WebFilter } from '../../../src/model/web.ts';
import { parseSelector } from '../state/selector.ts';
import type { EdgeTotal, MapWindow } from '../state/map-window.ts';

/** What the map shows of its window under a filter: nodes, and between two of them one line for all their ports. */
export interface Scene {
  readonly nodes: ReadonlyMap<string, MapNode>;
  readonly pairs: readonly Pair[];
  readonly seconds: number;
}

export interface Pair {
  readonly key: string;
  readonly source: string;
  readonly destination: string;
  /** The busiest first. */
  readonly edges: readonly EdgeTotal[];
  readonly forwarded: number;
  readonly dropped: number;
  readonly audited: number;
  readonly errors: number;
  readonly requests: number;
  readonly bytes: number;
  /** A second. */
  readonly rate: number;
}

export function pairKey(source: string, destination: string): string {
  return `${source}\n${destination}`;
}

/** What is counted on an edge: requests where there are any, else connections. */
export function eventsOf(edge: Pick<EdgeTotal, 'forwarded' | 'dropped' | 'audited' | 'requests'>): number {
  return Math.max(edge.requests, edge.forwarded + edge.audited) + edge.dropped;
}

export function sceneOf(window: MapWindow, filter: WebFilter): Scene {
  const nodeMatches = nodeFilter(filter);
  const pairs = new Map<string, EdgeTotal[]>();
  for (const edge of window.edges.values()) {
    const [source, destination] = [window.nodes.get(edge.source), window.nodes.get(edge.destination)];
    if (!source || !destination || !edgeMatches(edge, filter)) continue;
    if (!nodeMatches(source, edge) && !nodeMatches(destination, edge)) continue;
    const key = pairKey(edge.source, edge.destination);
    const list = pairs.get(key);
    if (list) list.push(edge);
    else pairs.set(key, [edge]);
  }
  const shown = new Map<string, MapNode>();
  const made: Pair[] = [];
  for (const [key, edges] of pairs) {
    const [{ source, destination }] = edges as [EdgeTotal];
    for (const id of [source, destination]) shown.set(id, window.nodes.get(id)!);
    made.push(pairOf(key, source, destination, edges, window.seconds));
  }
  return { nodes: shown, pairs: made.sort((a, b) => (a.key < b.key ? -1 : 1)), seconds: window.seconds };
}

function pairOf(key: string, source: string, destination: string, edges: EdgeTotal[], seconds: number): Pair {
  const sum = (value: (edge: EdgeTotal) => number) => edges.reduce((total, edge) => total + value(edge), 0);
  edges.sort((a, b) => eventsOf(b) - eventsOf(a) || a.port - b.port);
  return {
    key, source, destination, edges, forwarded: sum(e => e.forwarded), dropped: sum(e => e.dropped), audited: sum(e => e.audited), errors: sum(e => e.errors), requests: sum(e => e.requests),
    bytes: sum(e => e.bytesOut + e.bytesBack), rate: sum(eventsOf) / Math.max(1, seconds),
  };
}

function edgeMatches(edge: EdgeTotal, filter: WebFilter): boolean {
  // Everybody asks for names: lookups would hide what they were for.
  if (!filter.dns && filter.protocol !== 'DNS' && filter.text !== '53' && edge.port === 53 && edge.dropped === 0) return false;
  if (filter.protocol !== undefined) {
    const isProtocol = edge.protocol === filter.protocol || edge.l7 === filter.protocol || (filter.protocol === 'ICMP' && edge.protocol.startsWith('ICMP'));
    if (!isProtocol) return false;
  }
  switch (filter.verdict) {
    case undefined: return eventsOf(edge) > 0 || edge.bytesOut + edge.bytesBack > 0 || edge.errors > 0;
    case 'FORWARDED': return edge.forwarded > 0;
    case 'DROPPED': return edge.dropped > 0;
    case 'AUDIT': return edge.audited > 0;
    case 'ERROR': return edge.errors > 0;
    default: return false;
  }
}

function nodeFilter({ namespace, label, text }: WebFilter): (node: MapNode, edge: EdgeTotal) => boolean {
  const selects = label === undefined ? undefined : parseSelector(label);
  const wanted = text?.toLowerCase();
  const port = wanted !== undefined && /^\d{1,5}$/.test(wanted) ? Number(wanted) : undefined;
  const [space, name] = wanted?.includes('/') ? [wanted.slice(0, wanted.indexOf('/')), wanted.slice(wanted.indexOf('/') + 1)] : [undefined, wanted];
  return (node, edge) => {
    if (namespace !== undefined && node.namespace !== namespace) return false;
    if (selects && !selects(node.labels)) return false;
    if (name === undefined || edge.port === port) return true;
    if (space !== undefined && space !== '' && node.namespace !== space) return false;
    return node.name.toLowerCase().includes(name) || (node.services ?? []).some(service => service.slice(service.indexOf('/') + 1).includes(name));
  };
}

export interface Latency {
  /** Nanoseconds. */
  readonly p50: number;
  readonly p99: number;
}

export function latencyOf(edges: readonly EdgeTotal[]): Latency | undefined {
  const counts: number[] = [];
  for (const { latency } of edges) latency?.forEach((count, i) => (counts[i] = (counts[i] ?? 0) + count));
  const [p50, p99] = [latencyQuantile(counts, 0.5), latencyQuantile(counts, 0.99)];
  return p50 === undefined || p99 === undefined ? undefined : { p50, p99 };
}

/** The box that a node stands in. */
export function groupOf(node: MapNode): string {
  if (node.namespace !== undefined) return node.namespace;
  if (node.kind === 'node' || /^reserved:(host|remote-node|kube-apiserver|health|ingress)/.test(node.id)) return '~nodes';
  return '~outside';
}

export function groupTitle(group: string): string {
  return group === '~nodes' ? 'Nodes' : group === '~outside' ? 'Outside the cluster' : group;
}
