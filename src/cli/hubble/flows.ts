import { create, fromBinary, fromJson, toBinary, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import { timestampFromDate, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { FlowFilter } from '../../flows/filter.ts';
import type { FlowQuery } from '../../flows/query.ts';
import { flowFromProto, timeText } from '../../hubble/flow-from-proto.ts';
import { FlowFilterSchema, LostEventSource, type LostEvent } from '../../hubble/generated/flow_pb.js';
import { GetFlowsRequestSchema, GetFlowsResponseSchema, type GetFlowsResponse } from '../../hubble/generated/observer_pb.js';
import { NodeState, type NodeStatusEvent } from '../../hubble/generated/relay_pb.js';
import type { Flow } from '../../model/flow.ts';
import { mergeEvents, type EventQuery, type NodeNews, type Resume } from '../../relay/events.ts';
import { CirriError } from '../../std/errors.ts';
import type { LostEvents, NodeStatus } from '../../flows/print/responses.ts';
import { openSources, type Sources, type SourceOptions } from './sources.ts';
import { serverError } from './server.ts';

/** One thing that a stream of flows tells. */
export type FlowItem = { readonly flow: Flow } | { readonly lost: LostEvents } | { readonly nodeStatus: NodeStatus };

export interface FlowOptions extends SourceOptions {
  /** Paths of the fields that are wanted (`source.pod_name`); absent: all. */
  readonly fieldMask?: readonly string[];
  /** Ends of connections that no packet told, too: by age, or because a policy denies them now. */
  readonly packetless?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Flows of all nodes in the order of time, oldest first: those of the past that the query asks for, then, with `follow`, every
 * new one until `signal` aborts. `last` and `first` count over all nodes. Node states come when they change. A server that goes
 * away while one follows is asked again, from where it was. Throws a CirriError when nobody answers or the query is refused.
 */
export async function* openFlows(query: FlowQuery & { readonly follow?: boolean }, options: FlowOptions): AsyncGenerator<FlowItem, void, undefined> {
  const sources = await openSources(options);
  try {
    yield* counted(decoded(query, sources, options), query);
  } finally {
    sources.close();
  }
}

async function* decoded(query: FlowQuery & { readonly follow?: boolean }, sources: Sources, { fieldMask, packetless, signal }: FlowOptions): AsyncGenerator<FlowItem[], void, undefined> {
  const request = flowsRequest(query, fieldMask);
  const events: EventQuery = {
    path: '/observer.Observer/GetFlows', follow: request.follow, ends: request.until !== undefined, history: !request.follow || request.number > 0n || request.since !== undefined, metadata: { ...sources.metadata, ...(packetless && { 'cirri-packetless': '1' }) },
    request: resume => toBinary(GetFlowsRequestSchema, resume ? { ...request, number: 0n, first: false, since: timestampOf(resume) } : request),
  };
  try {
    let missed = false;
    const tell = (news: NodeNews) => {
      // A relay is no node; what is told of it is that it went, and that it is back.
      if (sources.server && news.state === 'connected' && !missed) return undefined;
      missed = news.state === 'unavailable';
      return stateMessage(news);
    };
    for await (const batch of mergeEvents(events, sources.nodes, tell, signal)) {
      yield batch.map(bytes => itemOf(fromBinary(GetFlowsResponseSchema, bytes))).filter(item => item !== undefined);
    }
  } catch (error) {
    throw sources.server ? serverError(sources.server, error) : error;
  }
}

function stateMessage({ state, nodes, message }: NodeNews): Uint8Array {
  const states = { connected: NodeState.NODE_CONNECTED, unavailable: NodeState.NODE_UNAVAILABLE, gone: NodeState.NODE_GONE, error: NodeState.NODE_ERROR } as const;
  return toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, {
    time: timestampFromDate(new Date()), responseTypes: { case: 'nodeStatus', value: { stateChange: states[state], nodeNames: [...nodes], message: message ?? '' } },
  }));
}

/** The newest or oldest n over all nodes: each node has told its own n. */
async function* counted(batches: AsyncIterable<FlowItem[]>, { last, first, follow }: FlowQuery & { readonly follow?: boolean }): AsyncGenerator<FlowItem, void, undefined> {
  let kept: FlowItem[] = [];
  let told = 0;
  for await (const batch of batches) {
    for (const item of batch) {
      if (!('flow' in item)) yield item;
      else if (first !== undefined && told++ >= first) return;
      else if (last === undefined || follow) yield item;
      else kept.push(item);
    }
    if (last !== undefined && kept.length > 2 * last) kept = kept.slice(-last);
  }
  yield* last === undefined ? [] : kept.slice(-last);
}

/** The request that asks for what the query asks for. Throws ERR_FLOW_QUERY for filters that flow.proto does not have. */
export function flowsRequest({ whitelist, blacklist, since, until, last, first, follow }: FlowQuery & { readonly follow?: boolean }, fieldMask?: readonly string[]) {
  return create(GetFlowsRequestSchema, {
    whitelist: (whitelist ?? []).map(filterToProto), blacklist: (blacklist ?? []).map(filterToProto),
    number: BigInt(first ?? last ?? 0), first: first !== undefined, follow: follow === true,
    ...(since !== undefined && { since: timestampOf(timeOf(since)) }), ...(until !== undefined && { until: timestampOf(timeOf(until)) }),
    ...(fieldMask && fieldMask.length > 0 && { fieldMask: { paths: [...fieldMask] } }),
  });
}

/** Our filters have flow.proto's names and values: they are its JSON. */
function filterToProto(filter: FlowFilter) {
  try {
    return fromJson(FlowFilterSchema, JSON.parse(JSON.stringify(filter)) as JsonObject as JsonValue);
  } catch (cause) {
    throw new CirriError('ERR_FLOW_QUERY', 'a filter that cannot be asked for', { cause });
  }
}

function itemOf({ responseTypes, nodeName, time }: GetFlowsResponse): FlowItem | undefined {
  const teller = { nodeName, time: timeText(time) };
  switch (responseTypes.case) {
    case 'flow': return { flow: flowFromProto(responseTypes.value) };
    case 'lostEvents': return { lost: { ...lostOf(responseTypes.value), ...teller } };
    case 'nodeStatus': return { nodeStatus: { ...nodeStatusOf(responseTypes.value), ...teller } };
    default: return undefined;
  }
}

function lostOf({ source, numEventsLost, cpu, first, last }: LostEvent) {
  return {
    source: LostEventSource[source] ?? 'UNKNOWN_LOST_EVENT_SOURCE', count: Number(numEventsLost),
    ...(cpu !== undefined && { cpu }), ...(first && { first: timeText(first) }), ...(last && { last: timeText(last) }),
  };
}

function nodeStatusOf({ stateChange, nodeNames, message }: NodeStatusEvent) {
  return { state: (NodeState[stateChange] ?? 'UNKNOWN_NODE_STATE') as NodeStatus['state'], nodes: nodeNames, ...(message !== '' && { message }) };
}

export function timestampOf({ seconds, nanos }: Resume): Timestamp {
  return { $typeName: 'google.protobuf.Timestamp', seconds: BigInt(seconds), nanos };
}

/** RFC 3339 with up to nine digits. */
export function timeOf(text: string): Resume {
  const fraction = /\.(\d{1,9})/.exec(text)?.[1] ?? '';
  return { seconds: Math.floor(Date.parse(text) / 1000), nanos: Number(fraction.padEnd(9, '0')) };
}
