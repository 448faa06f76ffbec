import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  GetAgentEventsRequestSchema, GetDebugEventsRequestSchema, GetFlowsRequestSchema, GetFlowsResponseSchema, GetNamespacesRequestSchema,
  GetNamespacesResponseSchema, GetNodesRequestSchema, GetNodesResponseSchema, ServerStatusRequestSchema, ServerStatusResponseSchema,
  type ServerStatusResponse,
} from '../hubble/generated/observer_pb.js';
import { NodeState } from '../hubble/generated/relay_pb.js';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { errorText } from '../std/errors.ts';
import type { Access } from './access.ts';
import { mergeEvents, type EventQuery, type NodeNews, type Resume } from './events.ts';
import type { MergeOptions } from './merge.ts';
import type { NodeConnection } from './node.ts';
import type { Nodes } from './nodes.ts';
import { scopedRequest, scopeFor } from './scope.ts';

export interface ObserverOptions {
  readonly nodes: Nodes;
  /** Who calls. Throws RpcError for whom nobody knows. */
  readonly access: (call: Call) => Access;
  readonly version: string;
  /** What node states name as their teller. */
  readonly nodeName: string;
  readonly merge?: Partial<MergeOptions>;
  readonly quietMs?: number;
}

const unaryMs = 5_000;

/** `observer.Observer` over all nodes. */
export function observerMethods(options: ObserverOptions): Method[] {
  const { nodes, access } = options;
  const unary = <I extends DescMessage, O extends DescMessage>(name: string, input: I, output: O, answer: (who: Access) => Promise<MessageShape<O>>): Method => ({
    path: `/observer.Observer/${name}`, kind: 'unary',
    handle: async call => {
      const who = access(call);
      parse(input, await call.read());
      await call.write(toBinary(output, await answer(who)));
    },
  });
  return [
    { path: '/observer.Observer/GetFlows', kind: 'server-stream', handle: call => getFlows(options, call) },
    { path: '/observer.Observer/GetAgentEvents', kind: 'server-stream', handle: call => getEvents(options, call, 'GetAgentEvents', GetAgentEventsRequestSchema) },
    { path: '/observer.Observer/GetDebugEvents', kind: 'server-stream', handle: call => getEvents(options, call, 'GetDebugEvents', GetDebugEventsRequestSchema) },
    unary('GetNodes', GetNodesRequestSchema, GetNodesResponseSchema, async () => create(GetNodesResponseSchema, { nodes: await Promise.all(nodes.all.map(describeNode)) })),
    unary('GetNamespaces', GetNamespacesRequestSchema, GetNamespacesResponseSchema, who => namespacesOf(nodes, who)),
    unary('ServerStatus', ServerStatusRequestSchema, ServerStatusResponseSchema, () => statusOf(nodes, options.version)),
  ];
}

async function getFlows(options: ObserverOptions, call: Call): Promise<void> {
  const who = options.access(call);
  const request = scopedRequest(parse(GetFlowsRequestSchema, await call.read()), who);
  const scope = scopeFor(who);
  await sendMerged(options, call, {
    path: '/observer.Observer/GetFlows', follow: request.follow, ends: request.until !== undefined, history: asksHistory(request), ...(scope && { scope }), metadata: forwarded(call),
    request: resume => toBinary(GetFlowsRequestSchema, resume ? { ...request, ...from(resume) } : request),
  }, news => nodeStatus(news, options.nodeName));
}

async function getEvents(options: ObserverOptions, call: Call, name: string, schema: typeof GetAgentEventsRequestSchema | typeof GetDebugEventsRequestSchema): Promise<void> {
  if (options.access(call).namespaces !== undefined) throw new RpcError(RpcStatus.permissionDenied, `${name} tells of all namespaces: this token is for some`);
  const request = parse(schema, await call.read());
  await sendMerged(options, call, {
    path: `/observer.Observer/${name}`, follow: request.follow, ends: request.until !== undefined, history: asksHistory(request),
    request: resume => toBinary(schema as DescMessage, resume ? { ...request, ...from(resume) } : request),
  }, () => undefined);
}

async function sendMerged(options: ObserverOptions, call: Call, query: EventQuery, news: (news: NodeNews) => Uint8Array | undefined): Promise<void> {
  const merged = mergeEvents({ ...query, ...(options.merge && { merge: options.merge }), ...(options.quietMs !== undefined && { quietMs: options.quietMs }) }, options.nodes, news, call.signal);
  for await (const batch of merged) await call.write(...batch);
}

/** Metadata that nodes are to know of: whether a client of ours wants flows without packets, too. */
function forwarded({ metadata }: Call): Record<string, string> {
  const packetless = metadata.get('cirri-packetless');
  return packetless === undefined ? {} : { 'cirri-packetless': packetless };
}

function asksHistory({ follow, number, first, since }: { readonly follow: boolean; readonly number: bigint; readonly first: boolean; readonly since?: unknown }): boolean {
  return !follow || number > 0n || first || since !== undefined;
}

/** What a broken stream asks for when the node is back: everything from where it was. */
function from({ seconds, nanos }: Resume) {
  return { number: 0n, first: false, since: { $typeName: 'google.protobuf.Timestamp' as const, seconds: BigInt(seconds), nanos } };
}

const states = { connected: NodeState.NODE_CONNECTED, unavailable: NodeState.NODE_UNAVAILABLE, gone: NodeState.NODE_GONE, error: NodeState.NODE_ERROR } as const;

function nodeStatus({ state, nodes, message }: NodeNews, nodeName: string): Uint8Array {
  return toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, {
    nodeName, time: timestampFromMs(Date.now()),
    responseTypes: { case: 'nodeStatus', value: { stateChange: states[state], nodeNames: [...nodes], message: message ?? '' } },
  }));
}

async function ask<O extends DescMessage>(node: NodeConnection, name: string, output: O): Promise<MessageShape<O>> {
  try {
    return fromBinary(output, await node.client.unary(`/observer.Observer/${name}`, new Uint8Array(), { timeoutMs: unaryMs }));
  } catch (error) {
    node.doubt();
    throw error;
  }
}

async function describeNode(node: NodeConnection) {
  const { name, address, serverName } = node.peer;
  const known = { name, address, tls: { enabled: serverName !== undefined, serverName: serverName ?? '' } };
  if (node.state !== 'connected') return { ...known, state: NodeState.NODE_UNAVAILABLE };
  try {
    const { version, uptimeNs, numFlows, maxFlows, seenFlows } = await ask(node, 'ServerStatus', ServerStatusResponseSchema);
    return { ...known, version, uptimeNs, numFlows, maxFlows, seenFlows, state: NodeState.NODE_CONNECTED };
  } catch (error) {
    return { ...known, state: error instanceof RpcError && error.code === RpcStatus.unavailable ? NodeState.NODE_UNAVAILABLE : NodeState.NODE_ERROR };
  }
}

/** Answers of the nodes that answer, and the names of the others. */
async function askAll<O extends DescMessage>(nodes: Nodes, name: string, output: O): Promise<{ readonly answers: MessageShape<O>[]; readonly silent: string[] }> {
  const asked = await Promise.all(nodes.all.map(async node => {
    const answer = node.state === 'connected' ? await ask(node, name, output).catch(() => undefined) : undefined;
    return { node: node.name, answer };
  }));
  return { answers: asked.flatMap(({ answer }) => (answer === undefined ? [] : [answer])), silent: asked.filter(({ answer }) => answer === undefined).map(({ node }) => node) };
}

async function namespacesOf(nodes: Nodes, { namespaces }: Access) {
  const { answers } = await askAll(nodes, 'GetNamespaces', GetNamespacesResponseSchema);
  const found = new Map(answers.flatMap(answer => answer.namespaces).map(each => [`${each.cluster}\0${each.namespace}`, each]));
  const seen = [...found.entries()].filter(([, each]) => namespaces === undefined || namespaces.includes(each.namespace));
  return create(GetNamespacesResponseSchema, { namespaces: seen.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each) });
}

async function statusOf(nodes: Nodes, version: string): Promise<ServerStatusResponse> {
  const { answers, silent } = await askAll(nodes, 'ServerStatus', ServerStatusResponseSchema);
  const sum = (of: (answer: ServerStatusResponse) => bigint) => answers.reduce((total, answer) => total + of(answer), 0n);
  return create(ServerStatusResponseSchema, {
    numFlows: sum(answer => answer.numFlows), maxFlows: sum(answer => answer.maxFlows), seenFlows: sum(answer => answer.seenFlows),
    // A sum of times says nothing; the oldest node has seen the most.
    uptimeNs: answers.reduce((oldest, { uptimeNs }) => (uptimeNs > oldest ? uptimeNs : oldest), 0n),
    flowsRate: answers.reduce((total, { flowsRate }) => total + flowsRate, 0),
    numConnectedNodes: answers.length, numUnavailableNodes: silent.length, unavailableNodes: silent, version,
  });
}

function parse<I extends DescMessage>(schema: I, message: Uint8Array | undefined): MessageShape<I> {
  if (message === undefined) throw new RpcError(RpcStatus.internal, 'a call without a request');
  try {
    return fromBinary(schema, message);
  } catch (error) {
    throw new RpcError(RpcStatus.invalidArgument, errorText(error));
  }
}
