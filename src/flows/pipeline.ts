import type { Flow, FlowL7 } from '../model/flow.ts';
import { identityScope } from '../model/identity.ts';
import { Audience } from './audience.ts';
import { l7Verdicts } from './columns.ts';
import type { FlowConsumer, FlowView, LostFlows } from './consumer.ts';
import { isEventRecord, isNameRecord, isShadowRecord, layout, minimumSize } from './decode.ts';
import { parseDns } from '../model/dns.ts';
import type { FlowLookups } from './enrich.ts';
import { EventType } from './event.ts';
import { HttpEvents, isHttpRecord } from './http-events.ts';
import { FlowFollower } from './follower.ts';
import { FlowHistory } from './history.ts';
import type { HttpTaker } from './http-taker.ts';
import { HttpTexts } from './http-told.ts';
import { L7Encoder, type L7Record } from './l7-record.ts';
import { L7Saying } from './l7-saying.ts';
import { NameCache } from './name-cache.ts';
import { Namer } from './namer.ts';
import { compileQuery, type FlowQuery } from './query.ts';
import { fill, isEmpty, pollRings, type EventRings } from './reader.ts';
import { redactor, type RedactSettings } from './redact.ts';
import { ColumnView, plainFlow } from './view.ts';

/**
 *   flow_events ┐                                                ┌─► consumers, in the turn
 *   drop_events ┼► read ─► columns ─► order of time ─► names ────┼─► followers, each with a bounded queue
 *   name_events ┤                                                └─► query: the last N, and the last drops
 *   the proxy ──┘
 */
export interface FlowPipeline {
  /** Takes what the rings hold now. Returns how many events came. */
  drain(): number;
  /** Drains on an adaptive timer until the signal aborts. */
  start(signal: AbortSignal): void;
  /** Flows of the history, oldest first. */
  query(query: FlowQuery): Flow[];
  /** The same one by one, as views: for who takes out what is wanted at once. `accept` may leave out more. */
  scan(query: FlowQuery, take: (flow: FlowView) => void, accept?: (flow: FlowView) => boolean): void;
  /** New flows from now on. */
  follow(query: FlowQuery, signal: AbortSignal): FlowFollower;
  /** Hands every flow from now on to the consumer. Returns how to stop it. */
  consume(consumer: FlowConsumer): () => void;
  /** A request or an answer that a proxy has seen: comes out as the kernel's records do, in its place. */
  l7(record: L7Record): void;
  /** The same for HTTP, many a second. */
  readonly http: HttpTaker;
  /** Names by which pods know addresses. */
  readonly names: NameCache;
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
  /** Packets from or to a DNS port that were no DNS message. */
  readonly notDns: number;
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
  /** Where names are learned; the look-ups' `namesOf` reads there. */
  readonly names?: NameCache;
  readonly redact?: RedactSettings;
  /** The look-ups know what there is. Until then, and no longer than 10 s, records stay in the rings: read early they had no names. */
  readonly isReady?: () => boolean;
  /** A consumer threw and was taken off. */
  readonly onFailed?: (error: unknown) => void;
}

export interface LostCounts {
  readonly flows: number;
  readonly drops: number;
  readonly names?: number;
}

/** What an answer says that a proxy has handed on: over TCP no kernel reads it. */
function learnNames(names: NameCache, { l7: { type, dns }, destination, verdict, timeNs }: L7Record): void {
  if (type !== 'RESPONSE' || !dns?.ips || destination.endpoint === 0 || verdict === 'DROPPED') return;
  names.learn(destination.endpoint, dns.query, dns.ips, dns.ttl ?? 0, Number(timeNs));
}

/** Records of one ring in a turn of the event loop. */
const turnLimit = 2048;
const lostEveryNs = 1e9;
const patienceNs = 10e9;
/** Of a ring, when it is read: from there on nobody may hold up the reading. */
const hurriedFullness = 0.3;
const quietTurns = 10;
const dropped = l7Verdicts.indexOf('DROPPED');
const nothing = { taken: 0, more: false } as const;

export function createFlowPipeline(options: FlowPipelineOptions): FlowPipeline {
  const { rings, lookups, nodeName, capacity = 16_384, dropCapacity = Math.max(1, capacity >> 2), lost = () => noLoss, clock = systemClock, names = new NameCache(), redact, isReady = () => true, onFailed = () => {} } = options;
  const history = new FlowHistory({ capacity, dropCapacity }, () => void settle(Infinity));
  const namer = new Namer(history.columns, { lookups, names, clock });
  const view = new ColumnView(history.columns, { nodeName, nodeLabels: sequence => namer.nodeLabels(sequence), interfaceName: lookups.interfaceName, dropReason: lookups.dropReason });
  const encoder = new L7Encoder();
  const redactL7 = redact ? redactor(redact) : (l7: FlowL7) => l7;
  const texts = new HttpTexts(redactL7);
  const httpEvents = new HttpEvents(texts);
  const followers = new Set<FlowFollower>();
  const audience = new Audience({ view, monotonicNs: clock.monotonicNs, onFailed });
  let isHurried = false;
  let drops = 0;
  let shadows = 0;
  let unknown = 0;
  let notDns = 0;
  const madeAtNs = Number(clock.monotonicNs());
  let isReading = false;
  let toldLost = lost();
  let lostAskedNs = 0;

  const keepHttp = (bytes: DataView, at: number): void => {
    const isDrop = httpEvents.read(bytes, at);
    if (isDrop) drops++;
    const slot = history.push(bytes, at, minimumSize, isDrop);
    tellHttp(slot);
    const own = httpEvents.ownAnswer(bytes, at);
    if (own) tellHttp(history.push(own, 0, minimumSize, false));
  };

  const tellHttp = (slot: number): void => history.columns.writeL7(slot, httpEvents.saying, httpEvents.latencyNs, httpEvents.mark, 0, httpEvents.traceId);

  const keep = (bytes: DataView, at: number, length: number): void => {
    if (isHttpRecord(bytes, at, length)) return keepHttp(bytes, at);
    if (!isEventRecord(bytes, at, length)) {
      unknown++;
      return;
    }
    // Of a denial there is a verdict too, in the other ring: counted as a flow, and kept with the flows.
    const isDrop = bytes.getUint8(at + layout.type) === EventType.drop;
    if (isDrop) drops++;
    else if (isShadowRecord(bytes, at)) shadows++;
    history.push(bytes, at, length, isDrop);
  };

  const keepName = (bytes: DataView, at: number, length: number): void => {
    if (!isNameRecord(bytes, at, length)) {
      unknown++;
      return;
    }
    const captured = bytes.getUint16(at + layout.nameCaptured, true);
    const message = parseDns(new Uint8Array(bytes.buffer, bytes.byteOffset + at + layout.namePayload, captured));
    if (message === undefined) notDns++;
    else if (!isOfOtherNode(bytes, at, message.isResponse)) namer.expect(history.push(bytes, at, minimumSize, false), message);
  };

  const settle = (beforeNs: number): number => {
    const count = history.settle(beforeNs);
    if (count === 0) return 0;
    const { settled } = history;
    namer.name(settled, count);
    if (followers.size > 0) for (let i = 0; i < count; i++) offer(settled[i]!);
    audience.tell(settled, count, isHurried);
    return count;
  };

  const offer = (slot: number): void => {
    view.at(slot);
    let flow: Flow | undefined;
    for (const follower of followers) if (follower.matches(view)) follower.offer(flow ??= plainFlow(view));
  };

  const tellLost = (nowNs: number): void => {
    if (nowNs - lostAskedNs < lostEveryNs) return;
    lostAskedNs = nowNs;
    const now = lost();
    for (const name of ['drops', 'flows', 'names'] as const) {
      const count = (now[name] ?? 0) - (toldLost[name] ?? 0);
      if (count <= 0) continue;
      const event: LostFlows = { source: 'PERF_EVENT_RING_BUFFER', class: name, count };
      for (const follower of followers) follower.lost(event);
      audience.lost(event);
    }
    toldLost = now;
  };

  const pending = () => Math.max(fill(rings.drops), fill(rings.flows), rings.names ? fill(rings.names) : 0);

  const take = (): { taken: number; more: boolean } => {
    // What is written while this reads waits for the next turn: by then nothing earlier can come any more from another ring.
    const nowNs = Number(clock.monotonicNs());
    isReading ||= isReady() || nowNs - madeAtNs > patienceNs;
    if (!isReading) return nothing;
    isHurried = pending() > hurriedFullness;
    const fromDrops = rings.drops.drain(keep, turnLimit);
    const fromFlows = rings.flows.drain(keep, turnLimit);
    const fromNames = rings.names?.drain(keepName, turnLimit) ?? 0;
    const more = fromDrops >= turnLimit || fromFlows >= turnLimit || fromNames >= turnLimit;
    namer.refresh(nowNs);
    const told = settle(nowNs);
    tellLost(nowNs);
    if (told > 0) audience.settle();
    return { taken: fromDrops + fromFlows + fromNames, more };
  };

  /** Most turns of a quiet node: three loads. Now and then it looks anyway, as there are losses to tell of and names to forget. */
  let quiet = 0;
  const poll = (): { taken: number; more: boolean } => {
    if (history.waiting > 0 || !isEmpty(rings) || ++quiet >= quietTurns) {
      quiet = 0;
      return take();
    }
    return nothing;
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
    start: signal => pollRings(poll, { signal, pending }),
    query: query => {
      take();
      const found: Flow[] = [];
      scanHistory(history, view, query, flow => found.push(plainFlow(flow)));
      return found;
    },
    scan: (query, each, accept) => {
      take();
      scanHistory(history, view, query, each, accept);
    },
    follow: (query, signal) => {
      const follower: FlowFollower = new FlowFollower(compileQuery(query), followerQueue, () => followers.delete(follower), signal);
      if (!signal.aborted) followers.add(follower);
      return follower;
    },
    consume: consumer => audience.join(consumer),
    l7: record => {
      const view = encoder.encode(record);
      const isDrop = record.verdict === 'DROPPED';
      if (isDrop) drops++;
      const slot = history.push(view, 0, view.byteLength, isDrop);
      history.columns.writeL7(slot, new L7Saying(redactL7(record.l7)), -1, l7Verdicts.indexOf(record.verdict), record.proxyPort ?? 0, record.traceId);
      learnNames(names, record);
    },
    http: {
      texts,
      tell: (record, saying, latencyNs, verdict, traceId) => {
        const isDrop = verdict === dropped;
        if (isDrop) drops++;
        history.columns.writeL7(history.push(record, 0, minimumSize, isDrop), saying, latencyNs, verdict, 0, traceId);
      },
    },
    names,
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
        notDns,
        held: history.size,
        capacity: history.capacity,
        followers: followers.size,
      };
    },
  };
}

/** A DNS message is told once: on the client's node, where it is a pod's. */
function isOfOtherNode(bytes: DataView, at: number, isResponse: boolean): boolean {
  const client = bytes.getUint32(at + (isResponse ? layout.destinationIdentity : layout.sourceIdentity), true);
  return bytes.getUint32(at + (isResponse ? layout.destinationEndpoint : layout.sourceEndpoint), true) === 0 && identityScope(client) === 'cluster';
}

/** Flows that wait for one follower. */
const followerQueue = 8192;
const noLoss: LostCounts = { flows: 0, drops: 0 };

function scanHistory(history: FlowHistory, view: ColumnView, query: FlowQuery, take: (flow: FlowView) => void, accept: (flow: FlowView) => boolean = () => true): void {
  const matches = compileQuery(query);
  const limit = query.first ?? query.last ?? Infinity;
  const isFirst = query.first !== undefined;
  const slots: number[] = [];
  for (const slot of isFirst ? history.oldestFirst() : history.newestFirst()) {
    if (slots.length >= limit) break;
    if (matches(view.at(slot)) && accept(view)) slots.push(slot);
  }
  for (const slot of isFirst ? slots : slots.reverse()) take(view.at(slot));
}

const systemClock = {
  monotonicNs: () => process.hrtime.bigint(),
  wallNs: () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n,
};
