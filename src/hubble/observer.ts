import { create, toBinary, toJson, type MessageInitShape } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { compileFilters, type FlowFilter } from '../flows/filter.ts';
import type { FlowPipeline } from '../flows/pipeline.ts';
import type { FlowQuery } from '../flows/query.ts';
import type { FlowEndpoint } from '../model/flow.ts';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { CirriError } from '../std/errors.ts';
import type { AgentEvents } from './agent-events.ts';
import { EncodedHistory } from './encoded-history.ts';
import { compileFieldMask } from './field-mask.ts';
import { FlowEncoder } from './flow-codec.ts';
import { timeText } from './flow-from-proto.ts';
import { FlowStream, inWindow, timestamp, type Moment, type TimeWindow } from './flow-stream.ts';
import { FlowFilterSchema, type FlowFilter as FlowFilterMessage } from './generated/flow_pb.js';
import {
  GetAgentEventsRequestSchema, GetAgentEventsResponseSchema, GetDebugEventsRequestSchema, GetFlowsRequestSchema, GetNamespacesRequestSchema, GetNamespacesResponseSchema, GetNodesRequestSchema,
  GetNodesResponseSchema, ServerStatusRequestSchema, ServerStatusResponseSchema, type GetAgentEventsRequest, type GetFlowsRequest, type NodeSchema,
} from './generated/observer_pb.js';
import { streamMethod, unaryMethod } from './method.ts';
import { Outbox } from './outbox.ts';
import type { FlowRate } from './rate.ts';

export interface ObserverOptions {
  readonly nodeName: string;
  readonly clusterName: string;
  readonly version: string;
  /** When this life began, milliseconds since 1970. */
  readonly startedAtMs: number;
}

export interface ObserverDependencies {
  readonly pipeline: Pick<FlowPipeline, 'scan' | 'drain' | 'consume' | 'stats'>;
  readonly agentEvents: AgentEvents;
  readonly rate: FlowRate;
  /** The node as `GetNodes` tells it; what is counted is added here. */
  readonly node: () => MessageInitShape<typeof NodeSchema>;
  /** Nanoseconds since 1970. */
  readonly now: () => number;
}

/** Metadata by which a client says that it wants flows that no packet stands behind. */
const packetlessKey = 'cirri-packetless';
/** Clients that follow at a time, in all. */
const mostFollowers = 64;
const mostFilters = 1024;

/** Hubble's observer.Observer of one node. Semantics: docs/hubble-api.md. */
export function observerMethods(options: ObserverOptions, dependencies: ObserverDependencies): Method[] {
  const { nodeName, clusterName, version, startedAtMs } = options;
  const { pipeline, rate, now } = dependencies;
  const uptimeNs = () => BigInt(Math.max(0, Math.round(now() - startedAtMs * 1e6)));
  const counted = () => {
    const { flows, shadows, held, capacity } = pipeline.stats;
    return { numFlows: BigInt(held), maxFlows: BigInt(capacity), seenFlows: BigInt(flows + shadows), uptimeNs: uptimeNs() };
  };
  const namespaces = cached(5e9, now, () => namespacesOf(pipeline, clusterName));
  let followers = 0;
  return [
    streamMethod('/observer.Observer/GetFlows', GetFlowsRequestSchema, async (request, call) => {
      if (request.follow && followers >= mostFollowers) throw new RpcError(RpcStatus.resourceExhausted, `${mostFollowers} clients follow flows already`);
      followers += request.follow ? 1 : 0;
      try {
        await getFlows(request, call, options, dependencies);
      } finally {
        followers -= request.follow ? 1 : 0;
      }
    }),
    streamMethod('/observer.Observer/GetAgentEvents', GetAgentEventsRequestSchema, (request, call) => getAgentEvents(request, call, nodeName, dependencies)),
    // There are no debug events here: nothing comes, and a client that follows waits.
    streamMethod('/observer.Observer/GetDebugEvents', GetDebugEventsRequestSchema, (request, call) => (request.follow ? untilAborted(call.signal) : Promise.resolve())),
    unaryMethod('/observer.Observer/GetNodes', { input: GetNodesRequestSchema, output: GetNodesResponseSchema }, () => ({ nodes: [{ ...dependencies.node(), ...counted() }] })),
    unaryMethod('/observer.Observer/GetNamespaces', { input: GetNamespacesRequestSchema, output: GetNamespacesResponseSchema }, () => ({ namespaces: namespaces() })),
    unaryMethod('/observer.Observer/ServerStatus', { input: ServerStatusRequestSchema, output: ServerStatusResponseSchema }, () => ({ ...counted(), version, flowsRate: rate.perSecond() })),
  ];
}

async function getFlows(request: GetFlowsRequest, call: Call, { nodeName }: ObserverOptions, { pipeline, now }: ObserverDependencies): Promise<void> {
  const [whitelist, blacklist] = [request.whitelist.map(filterFromProto), request.blacklist.map(filterFromProto)];
  if (whitelist.length + blacklist.length > mostFilters) throw new CirriError('ERR_FLOW_FILTER', `${whitelist.length + blacklist.length} filters; at most ${mostFilters} are taken`);
  const wantsPacketless = call.metadata.get(packetlessKey) === '1';
  const number = Number(request.number);
  const encoder = new FlowEncoder(compileFieldMask(request.fieldMask?.paths ?? []));
  const stream = new FlowStream(call, { nodeName, encoder, matches: compileFilters(whitelist, blacklist), window: windowOf(request), wantsPacketless, now });
  const query: FlowQuery = {
    whitelist, blacklist,
    ...(request.since && { since: timeText(request.since) }), ...(request.until && { until: timeText(request.until) }),
    ...(number > 0 && { [request.first ? 'first' : 'last']: number }),
  };
  const history = new EncodedHistory();
  let stop = () => {};
  try {
    // The history and the moment from which new ones are heard, in one turn: nothing can come between them, and nothing twice.
    const wantsHistory = !request.follow || number > 0 || request.since !== undefined || request.first;
    if (wantsHistory) pipeline.scan(query, flow => history.push(encoder.response(flow)), wantsPacketless ? undefined : flow => !flow.packetless);
    else pipeline.drain();
    if (request.follow) stop = pipeline.consume(stream);
    await stream.begin(history, call);
    if (!request.follow) return;
    await untilAborted(call.signal, request.until && (nsOf(request.until)! - now()) / 1e6 + settleMs);
  } finally {
    stop();
    history.close();
    await stream.end();
  }
}

/** Flows of a moment have come in after so long. */
const settleMs = 100;

/** flow.FlowFilter in its JSON names, as the filters here are written. */
export function filterFromProto(message: FlowFilterMessage): FlowFilter {
  return toJson(FlowFilterSchema, message, { useProtoFieldName: true }) as unknown as FlowFilter;
}

async function getAgentEvents(request: GetAgentEventsRequest, call: Call, nodeName: string, { agentEvents }: ObserverDependencies): Promise<void> {
  const window = windowOf(request);
  const number = Number(request.number) || Infinity;
  const isAsked = (timeNs: number) => inWindow(window, Math.floor(timeNs / 1e9), timeNs % 1e9);
  const outbox = new Outbox(call, 1024 * 1024);
  const send = (timeNs: number, event: Parameters<Parameters<AgentEvents['follow']>[0]>[1]) => {
    if (isAsked(timeNs)) outbox.push(toBinary(GetAgentEventsResponseSchema, create(GetAgentEventsResponseSchema, { agentEvent: event, nodeName, time: timestamp(timeNs) })));
  };
  const wantsHistory = !request.follow || number !== Infinity || request.since !== undefined || request.first;
  const held = wantsHistory ? agentEvents.all().filter(({ timeNs }) => isAsked(timeNs)) : [];
  for (const { timeNs, event } of request.first ? held.slice(0, number) : held.slice(-number)) send(timeNs, event);
  const stop = request.follow ? agentEvents.follow((timeNs, event) => {
    send(timeNs, event);
    outbox.flush();
  }) : () => {};
  try {
    outbox.flush();
    if (request.follow) await untilAborted(call.signal);
  } finally {
    stop();
    await outbox.drained();
  }
}

function namespacesOf(pipeline: Pick<FlowPipeline, 'scan'>, clusterName: string): { cluster: string; namespace: string }[] {
  const ends = new Set<FlowEndpoint>();
  pipeline.scan({}, flow => {
    ends.add(flow.source);
    ends.add(flow.destination);
  });
  const found = new Map<string, { cluster: string; namespace: string }>();
  for (const end of ends) {
    if (end.namespace === undefined || end.namespace === '') continue;
    const cluster = end.clusterName ?? clusterName;
    found.set(`${cluster}/${end.namespace}`, { cluster, namespace: end.namespace });
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}

function windowOf({ since, until }: { readonly since?: Timestamp; readonly until?: Timestamp }): TimeWindow {
  return { since: momentOf('since', since), until: momentOf('until', until) };
}

/** Of the years 1 to 9999, as google.protobuf.Timestamp has it. */
function momentOf(field: string, time: Timestamp | undefined): Moment | undefined {
  if (!time) return undefined;
  const [seconds, { nanos }] = [Number(time.seconds), time];
  if (seconds < -62_135_596_800 || seconds > 253_402_300_799 || nanos < 0 || nanos > 999_999_999) throw new CirriError('ERR_FLOW_QUERY', `"${field}" is no time: ${seconds} seconds and ${nanos} nanoseconds`);
  return { seconds, nanos };
}

function nsOf(time: Timestamp | undefined): number | undefined {
  return time && Number(time.seconds) * 1e9 + time.nanos;
}

function untilAborted(signal: AbortSignal, afterMs?: number): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = afterMs === undefined ? undefined : setTimeout(done, Math.min(Math.max(0, afterMs), 2 ** 31 - 1));
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
  });
}

/** A value that is computed at most once in so many nanoseconds, however often it is asked for. */
function cached<T>(forNs: number, now: () => number, compute: () => T): () => T {
  let value: { readonly atNs: number; readonly value: T } | undefined;
  return () => {
    if (!value || now() - value.atNs > forNs) value = { atNs: now(), value: compute() };
    return value.value;
  };
}
