import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  GetFlowsRequestSchema, GetFlowsResponseSchema, GetNamespacesResponseSchema, GetNodesResponseSchema, ServerStatusResponseSchema,
  type GetFlowsRequest, type GetFlowsResponse,
} from '../hubble/generated/observer_pb.js';
import { JsonMessageSchema } from '../hubble/generated/cirri_pb.js';
import type { Flow } from '../hubble/generated/flow_pb.js';
import { encodeJson, jsonMethod } from '../hubble/json-method.ts';
import type { MapInterval } from '../model/service-map.ts';
import { ChangeNotificationSchema, ChangeNotificationType } from '../hubble/generated/peer_pb.js';
import { NodeState } from '../hubble/generated/relay_pb.js';
import { RpcClient } from '../rpc/client.ts';
import { startRpcServer, type RpcServer } from '../rpc/server.ts';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { Signal, waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { rootAccess, type Access } from './access.ts';
import { cirriFlowsMethods } from './cirri-flows.ts';
import { Nodes } from './nodes.ts';
import { observerMethods } from './observer.ts';
import { watchPeers } from './peers.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-relay-'));
after(() => rmSync(folder, { recursive: true }));

/** A node that remembers flows and serves them as an agent does: enough of it to see what a relay asks and does. */
class FakeNode {
  readonly name: string;
  readonly socketPath: string;
  readonly asked: GetFlowsRequest[] = [];
  flows: GetFlowsResponse[] = [];
  refuse: RpcError | undefined;
  /** Takes the question and never answers. */
  hangs = false;
  readonly #new = new Set<Signal>();
  #server: RpcServer | undefined;

  constructor(name: string) {
    this.name = name;
    this.socketPath = join(folder, `${name}-${process.hrtime.bigint()}.sock`);
  }

  async start(more: readonly Method[] = []): Promise<void> {
    this.#server = await startRpcServer({ listen: { socketPath: this.socketPath }, methods: [...this.#methods(), ...more] }, { log: silentLogger });
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  add(timeMs: number, ends: { readonly source?: string; readonly destination?: string } = {}): void {
    this.flows.push(create(GetFlowsResponseSchema, {
      nodeName: this.name, time: timestampFromMs(timeMs),
      responseTypes: { case: 'flow', value: { uuid: `${this.name}/${this.flows.length}`, source: { namespace: ends.source, labels: ['k8s:app=a'] }, destination: { namespace: ends.destination, labels: ['k8s:app=b'] } } },
    }));
    for (const signal of this.#new) signal.mark();
  }

  #methods(): Method[] {
    const status = create(ServerStatusResponseSchema, { numFlows: 10n, maxFlows: 100n, seenFlows: 50n, uptimeNs: BigInt(this.name.length), flowsRate: 1.5, version: 'node-version' });
    return [
      { path: '/observer.Observer/GetFlows', kind: 'server-stream', handle: call => this.#getFlows(call) },
      { path: '/observer.Observer/ServerStatus', kind: 'unary', handle: async call => void (await call.write(toBinary(ServerStatusResponseSchema, status))) },
      { path: '/observer.Observer/GetNamespaces', kind: 'unary', handle: async call => void (await call.write(toBinary(GetNamespacesResponseSchema, create(GetNamespacesResponseSchema, { namespaces: [{ namespace: 'shop' }, { namespace: this.name }] })))) },
    ];
  }

  async #getFlows(call: Call): Promise<void> {
    const request = fromBinary(GetFlowsRequestSchema, (await call.read())!);
    this.asked.push(request);
    if (this.refuse) throw this.refuse;
    if (this.hangs) return void (await new Promise(resolve => call.signal.addEventListener('abort', resolve)));
    const inTime = (flow: GetFlowsResponse) => request.since === undefined || timestampMs(flow.time!) >= timestampMs(request.since);
    const number = Number(request.number);
    const past = this.flows.filter(inTime);
    let told = this.flows.length;
    await call.write(...(number === 0 ? past : request.first ? past.slice(0, number) : past.slice(-number)).map(flow => toBinary(GetFlowsResponseSchema, flow)));
    const signal = new Signal();
    this.#new.add(signal);
    const endsIn = request.until === undefined ? undefined : timestampMs(request.until) - Date.now();
    while (request.follow && !call.signal.aborted) {
      await signal.wait({ signal: call.signal, ...(endsIn !== undefined && { timeoutMs: Math.max(0, endsIn) }) });
      if (endsIn !== undefined && timestampMs(request.until!) <= Date.now()) break;
      await call.write(...this.flows.slice(told).map(flow => toBinary(GetFlowsResponseSchema, flow)));
      told = this.flows.length;
    }
    this.#new.delete(signal);
  }
}

const times = { healthMs: 1000, retryMs: 100 };
/** How long a node that says nothing holds up the others, and when it is given up. */
const patience = { drainMs: 0, quietMs: 0 };
let a: FakeNode;
let b: FakeNode;
let nodes: Nodes;
let relay: RpcServer;
let client: RpcClient;
let access: Access = rootAccess;

beforeEach(async () => {
  access = rootAccess;
  Object.assign(patience, { drainMs: 100, quietMs: 20_000 });
  a = new FakeNode('a');
  b = new FakeNode('bb');
  nodes = new Nodes({ log: silentLogger }, times);
  await a.start();
  await b.start();
  for (const { name, socketPath } of [a, b]) nodes.upsert({ name, address: `unix://${socketPath}`, serverName: undefined, target: () => ({ socketPath }) });
  const socketPath = join(folder, `relay-${process.hrtime.bigint()}.sock`);
  relay = await startRpcServer({
    listen: { socketPath }, headers: { 'hubble-relay-version': 'x' },
    methods: observerMethods({
      nodes, access: () => access, version: 'relay-version', nodeName: 'relay',
      get quietMs() { return patience.quietMs; },
      get merge() { return { drainMs: patience.drainMs }; },
    }),
  }, { log: silentLogger });
  client = new RpcClient({ socketPath });
});
afterEach(async () => {
  client.close();
  nodes.close();
  await Promise.all([relay.close(), a.stop(), b.stop()]);
});

/** One line an answer: `flow a/0`, `NODE_CONNECTED a,bb`. */
function text(bytes: Uint8Array): string {
  const { responseTypes } = fromBinary(GetFlowsResponseSchema, bytes);
  if (responseTypes.case === 'flow') return `flow ${responseTypes.value.uuid}`;
  if (responseTypes.case === 'nodeStatus') return `${NodeState[responseTypes.value.stateChange]} ${responseTypes.value.nodeNames.join(',')}${responseTypes.value.message === '' ? '' : `: ${responseTypes.value.message}`}`;
  return String(responseTypes.case);
}

const ask = (request: MessageInitShape<typeof GetFlowsRequestSchema>, signal?: AbortSignal) =>
  client.stream('/observer.Observer/GetFlows', toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema, request)), signal ? { signal } : {});

async function all(request: MessageInitShape<typeof GetFlowsRequestSchema>): Promise<string[]> {
  const lines: string[] = [];
  for await (const bytes of ask(request)) lines.push(text(bytes));
  return lines;
}

/** Follows, and gives what has come as it grows. */
function follow(request: MessageInitShape<typeof GetFlowsRequestSchema> = {}) {
  const stop = new AbortController();
  const lines: string[] = [];
  const ended = (async () => {
    for await (const bytes of ask({ ...request, follow: true }, stop.signal)) lines.push(text(bytes));
  })().catch(() => {});
  return { lines, until: (what: string, is: () => boolean) => waitFor(`${what}; came: ${lines.join(' | ')}`, is), stop: async () => (stop.abort(), await ended) };
}

const connected = () => waitFor('both nodes', () => nodes.all.every(node => node.state === 'connected'));

test('histories of all nodes come as one, in order, after the state of the nodes', async () => {
  patience.drainMs = 20_000;
  for (const ms of [1000, 4000, 5000]) a.add(ms);
  for (const ms of [2000, 3000, 6000]) b.add(ms);
  assert.deepEqual(await all({}), ['NODE_CONNECTED a,bb', 'flow a/0', 'flow bb/0', 'flow bb/1', 'flow a/1', 'flow a/2', 'flow bb/2']);
  assert.deepEqual(await all({ number: 1n }), ['NODE_CONNECTED a,bb', 'flow a/2', 'flow bb/2'], 'of each node, as upstream');
  assert.deepEqual(await all({ number: 1n, first: true }), ['NODE_CONNECTED a,bb', 'flow a/0', 'flow bb/0']);
});

test('a node that is away is named, and the others are heard', async () => {
  await connected();
  await b.stop();
  await waitFor('it is missed', () => nodes.all[1]!.state === 'unavailable');
  a.add(1000);
  assert.deepEqual(await all({}), ['NODE_CONNECTED a', 'NODE_UNAVAILABLE bb', 'flow a/0']);
});

test('while one follows, a node that goes and comes back is told of, and nothing is lost or doubled', async () => {
  await connected();
  const seen = follow();
  await seen.until('both nodes', () => a.asked.length === 1 && b.asked.length === 1);
  const now = Date.now();
  a.add(now + 1);
  b.add(now + 2);
  await seen.until('two flows', () => seen.lines.length === 3);
  await b.stop();
  await seen.until('the loss', () => seen.lines.some(line => line.startsWith('NODE_UNAVAILABLE bb')));
  a.add(now + 3);
  b.add(now + 2); // Of the same time as the last that came, and not yet told.
  b.add(now + 4);
  await seen.until('the flow of the other node', () => seen.lines.includes('flow a/1'));
  await b.start();
  await seen.until('the flows of meanwhile', () => seen.lines.includes('flow bb/2'));
  b.add(now + 5);
  await seen.until('new flows', () => seen.lines.includes('flow bb/3'));
  await seen.stop();
  assert.deepEqual(seen.lines.filter(line => line.startsWith('flow')).sort(), ['flow a/0', 'flow a/1', 'flow bb/0', 'flow bb/1', 'flow bb/2', 'flow bb/3']);
  assert.ok(seen.lines.indexOf('NODE_CONNECTED bb') > seen.lines.findIndex(line => line.startsWith('NODE_UNAVAILABLE bb')));
});

test('a node that is new while one follows is added, and one that is gone is told of', async () => {
  await connected();
  const seen = follow();
  await seen.until('the beginning', () => seen.lines.length === 1);
  const c = new FakeNode('c');
  await c.start();
  nodes.upsert({ name: 'c', address: `unix://${c.socketPath}`, serverName: undefined, target: () => ({ socketPath: c.socketPath }) });
  await seen.until('the new node', () => seen.lines.includes('NODE_CONNECTED c') && c.asked.length > 0);
  c.add(Date.now());
  await seen.until('its flow', () => seen.lines.includes('flow c/0'));
  nodes.remove('c');
  await seen.until('its end', () => seen.lines.includes('NODE_GONE c'));
  await seen.stop();
  await c.stop();
});

test('what every node says of an error is told once, with all their names', async () => {
  await connected();
  a.refuse = b.refuse = new RpcError(RpcStatus.resourceExhausted, 'too many readers');
  assert.deepEqual(await all({}), ['NODE_CONNECTED a,bb', 'NODE_ERROR a,bb: too many readers']);
});

test('a node that takes the question and says nothing holds up nobody, and is named in the end', async () => {
  await connected();
  b.hangs = true;
  patience.quietMs = 1_500;
  for (const ms of [1000, 2000]) a.add(ms);
  assert.deepEqual(await all({}), ['NODE_CONNECTED a,bb', 'flow a/0', 'flow a/1', 'NODE_ERROR bb: the node has stopped answering']);
  const seen = follow();
  await seen.until('both were asked', () => b.asked.length === 2 && a.asked.length === 2);
  a.add(Date.now());
  await seen.until('the flow of the other', () => seen.lines.includes('flow a/2'));
  await seen.stop();
});

test('with a time to end, following ends', async () => {
  await connected();
  const lines = all({ follow: true, until: timestampFromMs(Date.now() + 1_000) });
  await waitFor('both were asked', () => a.asked.length === 1 && b.asked.length === 1);
  a.add(Date.now());
  assert.deepEqual(await lines, ['NODE_CONNECTED a,bb', 'flow a/0']);
});

test('a question that is wrong is refused, as by a node', async () => {
  await connected();
  a.refuse = b.refuse = new RpcError(RpcStatus.invalidArgument, 'invalid filter');
  await assert.rejects(all({ follow: true }), { code: RpcStatus.invalidArgument, message: 'invalid filter' });
});

test('a client that leaves ends the nodes\' streams', async () => {
  await connected();
  const seen = follow();
  await seen.until('both nodes', () => a.asked.length === 1 && b.asked.length === 1);
  await seen.stop();
  assert.equal((await all({})).length, 1);
});

test('who may see a namespace sees flows with an end in it, whatever is asked', async () => {
  access = { name: 'shop', namespaces: ['shop'] };
  patience.drainMs = 20_000;
  a.add(1000, { source: 'shop', destination: 'pay' });
  a.add(2000, { source: 'pay', destination: 'pay' });
  b.add(3000, { destination: 'shop' });
  b.add(4000, {});
  const shop = ['NODE_CONNECTED a,bb', 'flow a/0', 'flow bb/0'];
  assert.deepEqual(await all({}), shop);
  assert.deepEqual(await all({ whitelist: [{ sourcePod: ['pay/'] }] }), shop);
  assert.deepEqual(a.asked.at(-2)!.whitelist.map(filter => [filter.sourcePod, filter.destinationPod]), [[['shop/'], []], [[], ['shop/']]]);
  await all({ fieldMask: { paths: ['time'] } });
  assert.deepEqual(a.asked.at(-1)!.fieldMask?.paths, ['time', 'source.namespace', 'destination.namespace']);
  const flows: Flow[] = [];
  for await (const bytes of ask({})) {
    const { responseTypes } = fromBinary(GetFlowsResponseSchema, bytes);
    if (responseTypes.case === 'flow') flows.push(responseTypes.value);
  }
  assert.deepEqual(flows.map(flow => [flow.source?.labels, flow.destination?.labels]), [[['k8s:app=a'], []], [[], ['k8s:app=b']]], 'what the other end is made of is not theirs');
  const answer = fromBinary(GetNamespacesResponseSchema, await client.unary('/observer.Observer/GetNamespaces', new Uint8Array()));
  assert.deepEqual(answer.namespaces.map(each => each.namespace), ['shop']);
  await assert.rejects(client.unary('/observer.Observer/GetAgentEvents', new Uint8Array()), { code: RpcStatus.permissionDenied });
});

test('status and nodes are those of all nodes', async () => {
  await connected();
  const status = async () => fromBinary(ServerStatusResponseSchema, await client.unary('/observer.Observer/ServerStatus', new Uint8Array()));
  const { numFlows, maxFlows, seenFlows, uptimeNs, flowsRate, version, numConnectedNodes, numUnavailableNodes } = await status();
  assert.deepEqual([numFlows, maxFlows, seenFlows, uptimeNs, flowsRate, version, numConnectedNodes, numUnavailableNodes], [20n, 200n, 100n, 2n, 3, 'relay-version', 2, 0]);
  await b.stop();
  await waitFor('it is missed', async () => (await status()).numUnavailableNodes === 1);
  assert.deepEqual((await status()).unavailableNodes, ['bb']);
  const { nodes: described } = fromBinary(GetNodesResponseSchema, await client.unary('/observer.Observer/GetNodes', new Uint8Array()));
  assert.deepEqual(described.map(node => [node.name, node.state, node.version, node.numFlows]), [['a', NodeState.NODE_CONNECTED, 'node-version', 10n], ['bb', NodeState.NODE_UNAVAILABLE, '', 0n]]);
  assert.equal(client.headers.get('hubble-relay-version'), 'x');
});

test('the service map is one of all nodes; the history\'s answers bear their node\'s name', async () => {
  const interval = (node: string, forwarded: number): MapInterval => ({
    since: '2026-01-01T00:00:00.000Z', until: '2026-01-01T00:00:01.000Z', nodes: [{ id: `pod:shop/${node}`, kind: 'pod', name: node, namespace: 'shop', labels: [] }],
    edges: [{ source: 'pod:shop/a', destination: 'pod:shop/b', protocol: 'TCP', port: 80, forwarded, dropped: 0, audited: 0, errors: 0, requests: 0, bytesOut: 1, bytesBack: 2, packetsOut: 3, packetsBack: 4 }],
  });
  const maps = [['m1', 1], ['m2', 2]].map(([name, forwarded]) => ({
    node: new FakeNode(name as string),
    methods: [
      jsonMethod('WatchMap', async function* (_, signal) {
        yield interval(name as string, forwarded as number);
        await new Promise(resolve => signal.addEventListener('abort', resolve));
      }),
      jsonMethod('QueryHistory', async function* (query) {
        yield { kind: 'groups', asked: query };
      }),
    ],
  }));
  const both = new Nodes({ log: silentLogger }, times);
  for (const { node, methods } of maps) {
    await node.start(methods);
    both.upsert({ name: node.name, address: `unix://${node.socketPath}`, serverName: undefined, target: () => ({ socketPath: node.socketPath }) });
  }
  await waitFor('both nodes', () => both.all.every(node => node.state === 'connected'));
  const server = await startRpcServer({ listen: { socketPath: join(folder, 'map.sock') }, methods: cirriFlowsMethods({ nodes: both, access: () => access }) }, { log: silentLogger });
  const asking = new RpcClient({ socketPath: join(folder, 'map.sock') });
  const json = (bytes: Uint8Array) => JSON.parse(Buffer.from(fromBinary(JsonMessageSchema, bytes).json).toString()) as unknown;
  const seen: MapInterval[] = [];
  for await (const bytes of asking.stream('/cirri.Flows/WatchMap', new Uint8Array())) {
    seen.push(json(bytes) as MapInterval);
    if (seen.flatMap(each => each.nodes).length === 2) break;
  }
  assert.equal(seen.flatMap(each => each.edges).reduce((sum, edge) => sum + edge.forwarded, 0), 3);
  const answers: unknown[] = [];
  for await (const bytes of asking.stream('/cirri.Flows/QueryHistory', encodeJson({ kind: 'groups', by: [] }))) answers.push(json(bytes));
  assert.deepEqual(answers.sort((x, y) => JSON.stringify(x) < JSON.stringify(y) ? -1 : 1), ['m1', 'm2'].map(node => ({ node, kind: 'groups', asked: { kind: 'groups', by: [] } })));
  access = { name: 'shop', namespaces: ['shop'] };
  await assert.rejects(asking.unary('/cirri.Flows/QueryHistory', encodeJson({ kind: 'groups' })), { code: RpcStatus.permissionDenied });
  asking.close();
  both.close();
  await server.close();
  await Promise.all(maps.map(({ node }) => node.stop()));
});

test('nodes are those that a peer service tells of; another one is asked when it is away', async () => {
  const found = new Nodes({ log: silentLogger }, times);
  const leaving = new AbortController();
  const change = (type: ChangeNotificationType, name: string) => toBinary(ChangeNotificationSchema, create(ChangeNotificationSchema, { name, type, address: `unix://${folder}/${name}`, tls: { serverName: `${name}.x` } }));
  let told: (...messages: Uint8Array[]) => void = () => {};
  const notify: Method = {
    path: '/peer.Peer/Notify', kind: 'server-stream', handle: async call => {
      told = (...messages) => void call.write(...messages);
      await call.write(change(ChangeNotificationType.PEER_ADDED, 'n1'), change(ChangeNotificationType.PEER_ADDED, 'n2'));
      await new Promise<void>(resolve => call.signal.addEventListener('abort', () => resolve()));
    },
  };
  const teller = new FakeNode('teller');
  await teller.start([notify]);
  const watching = watchPeers({ services: [{ socketPath: '/nowhere.sock' }, { socketPath: teller.socketPath }], tls: serverName => ({ serverName }) }, { nodes: found, log: silentLogger }, leaving.signal);
  const names = () => found.all.map(node => node.name).join();
  await waitFor('two nodes', () => names() === 'n1,n2');
  told(change(ChangeNotificationType.PEER_DELETED, 'n1'), change(ChangeNotificationType.PEER_ADDED, 'n3'));
  await waitFor('the change', () => names() === 'n2,n3');
  await teller.stop();
  await teller.start([notify]);
  await waitFor('the list of the new subscription', () => names() === 'n1,n2');
  leaving.abort();
  await watching;
  found.close();
  await teller.stop();
});
