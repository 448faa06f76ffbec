import type { Flow } from '../model/flow.ts';
import { enrich, type FlowLookups } from './enrich.ts';
import { FlowHistory, type FlowFollower } from './history.ts';
import { compileQuery, type FlowQuery } from './query.ts';
import { EventReader, pollRings, type EventRings } from './reader.ts';

/**
 *   flow_events ┐                      ┌─► history (the last N) ─► query
 *   drop_events ┴► read ─► enrich ─────┴─► followers, each with a bounded queue
 */
export interface FlowPipeline {
  /** Takes what the rings hold now. Returns how many events came. */
  drain(): number;
  /** Drains on an adaptive timer until the signal aborts. */
  start(signal: AbortSignal): void;
  /** Flows of the history, oldest first. */
  query(query: FlowQuery): Flow[];
  /** New flows from now on. */
  follow(query: FlowQuery, signal: AbortSignal): FlowFollower;
  /** Told of every flow, in order: metrics, recorders. */
  onFlow(listener: (flow: Flow) => void): void;
  readonly stats: FlowStats;
}

export interface FlowStats {
  readonly flows: number;
  readonly drops: number;
  /** Lost in the kernel because a ring was full. */
  readonly lostFlows: number;
  readonly lostDrops: number;
  /** Records that were not understood: a layout mismatch. */
  readonly unknown: number;
  readonly held: number;
  readonly capacity: number;
  readonly followers: number;
}

export interface FlowPipelineOptions {
  readonly rings: EventRings;
  readonly lookups: FlowLookups;
  readonly nodeName: string;
  /** Flows kept, default 16,384. */
  readonly capacity?: number;
  /** Reads the kernel's own count of events lost; asked at most once per `stats`. */
  readonly lost?: () => { readonly flows: number; readonly drops: number };
  readonly clock?: { readonly monotonicNs: () => bigint; readonly wallNs: () => bigint };
}

const drainLimit = 4096;
/** The wall clock is steered; the offset to the monotonic one is taken again this often. */
const clockRefreshNs = 10_000_000_000n;

export function createFlowPipeline(options: FlowPipelineOptions): FlowPipeline {
  const { rings, lookups, nodeName, capacity = 16_384, lost = () => ({ flows: 0, drops: 0 }), clock = systemClock } = options;
  const reader = new EventReader(rings);
  const history = new FlowHistory(capacity);
  const listeners: ((flow: Flow) => void)[] = [];
  let drops = 0;
  let sequence = 0;
  let clockOffsetNs = clock.wallNs() - clock.monotonicNs();
  let clockTakenAt = clock.monotonicNs();

  const take = (): { taken: number; more: boolean } => {
    const events = reader.read(drainLimit);
    if (events.length === 0) return { taken: 0, more: false };
    const now = clock.monotonicNs();
    if (now - clockTakenAt > clockRefreshNs) {
      clockOffsetNs = clock.wallNs() - now;
      clockTakenAt = now;
    }
    for (const event of events) {
      const flow = enrich(event, lookups, { nodeName, clockOffsetNs, sequence: sequence++ });
      if (flow.verdict === 'DROPPED') drops++;
      history.push(flow);
      for (const listener of listeners) listener(flow);
    }
    return { taken: events.length, more: events.length >= drainLimit };
  };

  return {
    drain: () => {
      let total = 0;
      for (;;) {
        const { taken, more } = take();
        total += taken;
        if (!more) return total;
      }
    },
    start: signal => pollRings(take, { signal, watched: () => history.followers > 0 }),
    query: query => {
      take();
      return queryHistory(history, query);
    },
    follow: (query, signal) => history.follow(compileQuery(query), signal),
    onFlow: listener => void listeners.push(listener),
    get stats(): FlowStats {
      const inKernel = lost();
      return {
        flows: history.seen,
        drops,
        lostFlows: inKernel.flows,
        lostDrops: inKernel.drops,
        unknown: reader.unknown,
        held: history.size,
        capacity: history.capacity,
        followers: history.followers,
      };
    },
  };
}

function queryHistory(history: FlowHistory, query: FlowQuery): Flow[] {
  const matches = compileQuery(query);
  const found: Flow[] = [];
  if (query.first !== undefined) {
    for (const flow of history.oldestFirst()) {
      if (found.length >= query.first) break;
      if (matches(flow)) found.push(flow);
    }
    return found;
  }
  const limit = query.last ?? Infinity;
  for (const flow of history.newestFirst()) {
    if (found.length >= limit) break;
    if (matches(flow)) found.push(flow);
  }
  return found.reverse();
}

const systemClock = {
  monotonicNs: () => process.hrtime.bigint(),
  wallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
};
