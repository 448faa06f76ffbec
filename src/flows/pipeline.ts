import type { Flow } from '../model/flow.ts';
import { decodeEvent, eventTimeNs, isDropRecord, isEventRecord, isShadowRecord } from './decode.ts';
import { enrich, type FlowLookups } from './enrich.ts';
import { FlowHistory, type FlowFollower } from './history.ts';
import { compileQuery, type FlowQuery } from './query.ts';
import type { FlowConsumer } from './consumer.ts';
import { pollRings, type EventRings } from './reader.ts';

/**
 *   flow_events ┐                                      ┌─► query
 *   drop_events ┴► read ─► history (the last N) ─ name ┴─► followers, each with a bounded queue
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
  /** Hands every flow from now on to the consumer. Returns how to stop it. */
  consume(consumer: FlowConsumer): () => void;
  readonly stats: FlowStats;
}

export interface FlowStats {
  readonly flows: number;
  readonly drops: number;
  /** What shadow policies would have decided otherwise: neither of the two above. */
  readonly shadows: number;
  /** Lost in the kernel because a ring was full. */
  readonly lostFlows: number;
  readonly lostDrops: number;
  readonly lostNames: number;
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
  readonly lost?: () => { readonly flows: number; readonly drops: number; readonly names?: number };
  readonly clock?: { readonly monotonicNs: () => bigint; readonly wallNs: () => bigint };
}

const drainLimit = 4096;
/** Records that become flows although nobody has asked, in a turn that brought new ones and in one that did not: under one percent of a core. */
const namedPerTurn = { busy: 4, quiet: 16 } as const;
/** The wall clock is steered; the offset to the monotonic one is taken again this often. */
const clockRefreshNs = 10_000_000_000n;

export function createFlowPipeline(options: FlowPipelineOptions): FlowPipeline {
  const { rings, lookups, nodeName, capacity = 16_384, lost = () => ({ flows: 0, drops: 0, names: 0 }), clock = systemClock } = options;
  let drops = 0;
  let shadows = 0;
  let unknown = 0;
  let clockOffsetNs = clock.wallNs() - clock.monotonicNs();
  let clockTakenAt = clock.monotonicNs();
  const history = new FlowHistory(capacity, (bytes, at, length, index) => {
    const event = decodeEvent(bytes, at, length);
    if (!event) throw new Error('a record that was no event got into the history');
    return enrich(event, lookups, { nodeName, clockOffsetNs, sequence: index });
  });

  const keep = (bytes: DataView, at: number, length: number): void => {
    if (!isEventRecord(bytes, at, length)) {
      unknown++;
      return;
    }
    if (isDropRecord(bytes, at)) drops++;
    if (isShadowRecord(bytes, at)) shadows++;
    history.push(bytes, at, length, eventTimeNs(bytes, at));
  };

  const take = (): { taken: number; more: boolean } => {
    const fromDrops = rings.drops.drain(keep, drainLimit);
    const fromFlows = rings.flows.drain(keep, drainLimit);
    if (fromDrops + fromFlows > 0) {
      const now = clock.monotonicNs();
      if (now - clockTakenAt > clockRefreshNs) {
        clockOffsetNs = clock.wallNs() - now;
        clockTakenAt = now;
      }
      history.settle();
    }
    return { taken: fromDrops + fromFlows, more: fromDrops >= drainLimit || fromFlows >= drainLimit };
  };

  const turn = (): { taken: number; more: boolean } => {
    const result = take();
    history.nameSome(result.taken > namedPerTurn.busy ? namedPerTurn.busy : namedPerTurn.quiet);
    return result;
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
    start: signal => pollRings(turn, { signal, watched: () => history.followers > 0 }),
    query: query => {
      take();
      return queryHistory(history, query);
    },
    follow: (query, signal) => history.follow(compileQuery(query), signal),
    consume: consumer => history.consume(consumer),
    get stats(): FlowStats {
      const inKernel = lost();
      return {
        flows: history.seen - shadows,
        drops,
        shadows,
        lostFlows: inKernel.flows,
        lostDrops: inKernel.drops,
        lostNames: inKernel.names ?? 0,
        unknown,
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
