import { edgeKey, mergeIntervals } from '../../../src/model/map-merge.ts';
import type { MapEdge, MapInterval, MapNode } from '../../../src/model/service-map.ts';

/** The counts of one edge over the window. Changed in place. */
export interface EdgeTotal {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly port: number;
  l7: MapEdge['l7'];
  forwarded: number;
  dropped: number;
  audited: number;
  errors: number;
  requests: number;
  bytesOut: number;
  bytesBack: number;
  latency: number[] | undefined;
  lastDrop: string | undefined;
  dropReasons: Record<string, number> | undefined;
}

const fineIntervals = 60;
const coarseSize = 15;
const keptMs = 16 * 60_000;

/** The map over the last so many seconds: each interval is added once when it comes and taken away once when it is too old. */
export class MapWindow {
  readonly nodes = new Map<string, MapNode>();
  readonly edges = new Map<string, EdgeTotal>();
  /** What the totals are the sum of, seconds. */
  seconds = 0;
  #intervals: MapInterval[] = [];
  /** Those before this one are not in the totals. */
  #first = 0;
  #windowMs = 60_000;

  setWindowSeconds(seconds: number): void {
    if (this.#windowMs === seconds * 1000) return;
    this.#windowMs = seconds * 1000;
    this.edges.clear();
    this.#first = this.#intervals.length;
    const until = this.#until();
    while (this.#first > 0 && Date.parse(this.#intervals[this.#first - 1]!.since) >= until - this.#windowMs - 1000) this.#count(this.#intervals[--this.#first]!, 1);
    this.#measure();
  }

  clear(): void {
    this.nodes.clear();
    this.edges.clear();
    this.#intervals = [];
    this.#first = 0;
    this.seconds = 0;
  }

  /** Instead of all that is there: an interval of the past. */
  show(interval: MapInterval): void {
    this.clear();
    // Of the past there is this one interval, however long it is.
    this.#windowMs = Infinity;
    this.add(interval);
  }

  add(interval: MapInterval): void {
    for (const node of interval.nodes) this.nodes.set(node.id, node);
    this.#intervals.push(interval);
    this.#count(interval, 1);
    const until = this.#until();
    while (this.#first < this.#intervals.length - 1 && Date.parse(this.#intervals[this.#first]!.since) < until - this.#windowMs - 1000) this.#count(this.#intervals[this.#first++]!, -1);
    this.#compact(until);
    this.#measure();
  }

  #until(): number {
    const last = this.#intervals.at(-1);
    return last ? Date.parse(last.until) : 0;
  }

  #measure(): void {
    const first = this.#intervals[this.#first];
    this.seconds = first ? Math.max(1, (this.#until() - Date.parse(first.since)) / 1000) : 0;
  }

  /** Seconds of long ago become quarters of a minute. Only what is out of the window, or wholly in it, is put together. */
  #compact(until: number): void {
    const isFine = (interval: MapInterval | undefined) => interval !== undefined && Date.parse(interval.until) - Date.parse(interval.since) < coarseSize * 500;
    const firstFine = this.#intervals.findIndex(isFine);
    const fine = this.#intervals.length - firstFine;
    if (firstFine >= 0 && fine >= fineIntervals + coarseSize && (this.#first <= firstFine || this.#first >= firstFine + coarseSize)) {
      this.#intervals.splice(firstFine, coarseSize, mergeIntervals(this.#intervals.slice(firstFine, firstFine + coarseSize)));
      if (this.#first >= firstFine + coarseSize) this.#first -= coarseSize - 1;
    }
    while (this.#first > 0 && Date.parse(this.#intervals[0]!.until) < until - keptMs) {
      this.#intervals.shift();
      this.#first--;
    }
  }

  #count(interval: MapInterval, sign: 1 | -1): void {
    for (const edge of interval.edges) {
      const key = edgeKey(edge);
      let total = this.edges.get(key);
      if (!total) this.edges.set(key, total = emptyTotal(edge));
      addTo(total, edge, sign);
      if (sign < 0 && total.forwarded + total.dropped + total.audited + total.requests + total.errors <= 0 && total.bytesOut + total.bytesBack <= 0) this.edges.delete(key);
    }
  }
}

function emptyTotal({ source, destination, protocol, port, l7 }: MapEdge): EdgeTotal {
  return { source, destination, protocol, port, l7, forwarded: 0, dropped: 0, audited: 0, errors: 0, requests: 0, bytesOut: 0, bytesBack: 0, latency: undefined, lastDrop: undefined, dropReasons: undefined };
}

function addTo(total: EdgeTotal, edge: MapEdge, sign: 1 | -1): void {
  for (const field of ['forwarded', 'dropped', 'audited', 'errors', 'requests', 'bytesOut', 'bytesBack'] as const) total[field] += sign * edge[field];
  if (edge.l7) total.l7 = edge.l7;
  if (edge.latency) {
    const latency = total.latency ??= new Array<number>(edge.latency.length).fill(0);
    for (let i = 0; i < edge.latency.length; i++) latency[i] = (latency[i] ?? 0) + sign * edge.latency[i]!;
  }
  if (edge.dropReasons) for (const [reason, count] of Object.entries(edge.dropReasons)) (total.dropReasons ??= {})[reason] = (total.dropReasons[reason] ?? 0) + sign * count;
  if (sign > 0 && edge.lastDrop !== undefined) total.lastDrop = edge.lastDrop;
}
