import type { Flow } from '../model/flow.ts';
import type { FlowConsumer, LostFlows } from './consumer.ts';
import { isDropRecord, isEventRecord, isShadowRecord } from './decode.ts';
import type { FlowLookups } from './enrich.ts';
import { FlowFollower } from './follower.ts';
import { FlowHistory } from './history.ts';
import { Namer } from './namer.ts';
import { compileQuery, type FlowQuery } from './query.ts';
import { fill, pollRings, type EventRings } from './reader.ts';
import { ColumnView, plainFlow } from './view.ts';

/**
 *   flow_events ┐                                                ┌─► consumers, in the turn
 *   drop_events ┴► read ─► columns ─► order of time ─► names ────┼─► followers, each with a bounded queue
 *                                                                └─► query: the last N, and the last drops
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
  /** Drops kept whatever else comes, default a quarter of that. */
  readonly dropCapacity?: number;
  /** Reads the kernel's own count of events lost since the node's maps were made; asked once a second and for `stats`. */
  readonly lost?: () => LostCounts;
  readonly clock?: { readonly monotonicNs: () => bigint; readonly wallNs: () => bigint };
  /** A consumer threw and was taken off. */
  readonly onFailed?: (error: unknown) => void;
}

export interface LostCounts {
  readonly flows: number;
  readonly drops: number;
  readonly names?: number;
}

/** Records of one ring in a turn of the event loop. */
const turnLimit = 2048;
const lostEveryNs = 1e9;

export function createFlowPipeline(options: FlowPipelineOptions): FlowPipeline {
  const { rings, lookups, nodeName, capacity = 16_384, dropCapacity = Math.max(1, capacity >> 2), lost = () => noLoss, clock = systemClock, onFailed = () => {} } = options;
  const history = new FlowHistory({ capacity, dropCapacity }, () => settle(Infinity));
  const view = new ColumnView(history.columns, { nodeName, interfaceName: lookups.interfaceName, dropReason: lookups.dropReason });
  const namer = new Namer(history.columns, { lookups, clock });
  const followers = new Set<FlowFollower>();
  let consumers: readonly FlowConsumer[] = [];
  let drops = 0;
  let shadows = 0;
  let unknown = 0;
  let toldLost = lost();
  let lostAskedNs = 0;

  const keep = (bytes: DataView, at: number, length: number): void => {
    if (!isEventRecord(bytes, at, length)) {
      unknown++;
      return;
    }
    const isDrop = isDropRecord(bytes, at);
    if (isDrop) drops++;
    else if (isShadowRecord(bytes, at)) shadows++;
    history.push(bytes, at, length, isDrop);
  };

  const settle = (beforeNs: number): void => {
    const slots = history.settle(beforeNs);
    if (slots.length === 0) return;
    namer.name(slots);
    if (followers.size > 0) for (const slot of slots) offer(slot);
    for (const consumer of consumers) tell(consumer, slots);
  };

  const offer = (slot: number): void => {
    view.at(slot);
    let flow: Flow | undefined;
    for (const follower of followers) if (follower.matches(view)) follower.offer(flow ??= plainFlow(view));
  };

  const tell = (consumer: FlowConsumer, slots: readonly number[]): void => {
    try {
      for (const slot of slots) consumer.flow(view.at(slot));
    } catch (error) {
      stop(consumer);
      onFailed(error);
    }
  };

  const forAll = (run: (consumer: FlowConsumer) => void): void => {
    for (const consumer of consumers) {
      try {
        run(consumer);
      } catch (error) {
        stop(consumer);
        onFailed(error);
      }
    }
  };

  const stop = (consumer: FlowConsumer): void => {
    consumers = consumers.filter(other => other !== consumer);
  };

  const tellLost = (nowNs: number): void => {
    if (nowNs - lostAskedNs < lostEveryNs) return;
    lostAskedNs = nowNs;
    const now = lost();
    for (const name of ['drops', 'flows', 'names'] as const) {
      const count = (now[name] ?? 0) - (toldLost[name] ?? 0);
      if (count <= 0) continue;
      const event: LostFlows = { source: 'PERF_EVENT_RING_BUFFER', class: name, count };
      forAll(consumer => consumer.lost?.(event));
    }
    toldLost = now;
  };

  const take = (): { taken: number; more: boolean } => {
    // What is written while this reads waits for the next turn: by then nothing earlier can come any more from another ring.
    const nowNs = Number(clock.monotonicNs());
    const fromDrops = rings.drops.drain(keep, turnLimit);
    const fromFlows = rings.flows.drain(keep, turnLimit);
    const more = fromDrops >= turnLimit || fromFlows >= turnLimit;
    namer.refresh(nowNs);
    settle(nowNs);
    tellLost(nowNs);
    if (fromDrops + fromFlows > 0) forAll(consumer => consumer.settle?.());
    return { taken: fromDrops + fromFlows, more };
  };

  const pending = () => Math.max(fill(rings.drops), fill(rings.flows));

  return {
    drain: () => {
      let total = 0;
      for (;;) {
        const { taken, more } = take();
        total += taken;
        if (!more) return total;
      }
    },
    start: signal => pollRings(take, { signal, watched: () => followers.size + consumers.length > 0, pending }),
    query: query => {
      take();
      return queryHistory(history, view, query);
    },
    follow: (query, signal) => {
      const follower: FlowFollower = new FlowFollower(compileQuery(query), followerQueue, () => followers.delete(follower), signal);
      if (!signal.aborted) followers.add(follower);
      return follower;
    },
    consume: consumer => {
      consumers = [...consumers, consumer];
      return () => stop(consumer);
    },
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
        followers: followers.size,
      };
    },
  };
}

/** Flows that wait for one follower. */
const followerQueue = 8192;
const noLoss: LostCounts = { flows: 0, drops: 0 };

function queryHistory(history: FlowHistory, view: ColumnView, query: FlowQuery): Flow[] {
  const matches = compileQuery(query);
  const found: Flow[] = [];
  const limit = query.first ?? query.last ?? Infinity;
  const isFirst = query.first !== undefined;
  for (const slot of isFirst ? history.oldestFirst() : history.newestFirst()) {
    if (found.length >= limit) break;
    if (matches(view.at(slot))) found.push(plainFlow(view));
  }
  return isFirst ? found : found.reverse();
}

const systemClock = {
  monotonicNs: () => process.hrtime.bigint(),
  wallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
};
