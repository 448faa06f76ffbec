import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import grpc from '@grpc/grpc-js';
import { eventRecord } from '../flows/testing.ts';
import { RpcClient } from '../rpc/client.ts';
import { RpcError, RpcStatus } from '../rpc/types.ts';
import { startRpcServer } from '../rpc/server.ts';
import { silentLogger } from '../std/log.ts';
import { clientTls, ensureHubbleCertificates, serverTls } from './certificates.ts';
import { AgentEventType, LostEventSource } from './generated/flow_pb.js';
import { HealthCheckRequestSchema, HealthCheckResponseSchema } from './generated/grpc/health/v1/health_pb.js';
import { ServerReflectionRequestSchema, ServerReflectionResponseSchema } from './generated/grpc/reflection/v1/reflection_pb.js';
import {
  GetAgentEventsRequestSchema, GetAgentEventsResponseSchema, GetDebugEventsRequestSchema, GetDebugEventsResponseSchema, GetFlowsRequestSchema, GetFlowsResponseSchema, GetNamespacesRequestSchema,
  GetNamespacesResponseSchema, GetNodesRequestSchema, GetNodesResponseSchema, ServerStatusRequestSchema, ServerStatusResponseSchema, type GetFlowsResponse,
} from './generated/observer_pb.js';
import { ChangeNotificationSchema, ChangeNotificationType, NotifyRequestSchema } from './generated/peer_pb.js';
import { healthMethods } from './health.ts';
import { jsonMethod } from './json-method.ts';
import { peerServerName } from './names.ts';
import { startHubbleServer, type HubbleServer } from './server.ts';
import { testParts, TypedClient } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-hubble-'));
const certificates = join(folder, 'certificates');
ensureHubbleCertificates(certificates, { clusterName: 'default', nodes: [{ name: 'n1' }, { name: 'n2' }] }, new Date());
const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  rmSync(folder, { recursive: true });
});

let count = 0;

async function startNode(options: { methods?: Parameters<typeof startHubbleServer>[1]['methods']; lookups?: Parameters<typeof testParts>[0]; tls?: boolean } = {}) {
  const parts = testParts(options.lookups);
  const socketPath = join(folder, `${++count}.sock`);
  const server: HubbleServer = await startHubbleServer(
    { nodeName: 'n1', clusterName: 'default', version: '1.2.3', startedAtMs: Date.now() - 5000, socketPath, tcp: { host: '127.0.0.1', port: 0 }, certificates: options.tls === false ? undefined : certificates },
    { ...parts, ...(options.methods && { methods: options.methods }) },
  );
  cleanups.push(() => server.close());
  const rpc = new RpcClient({ socketPath });
  cleanups.push(() => rpc.close());
  return { parts, server, client: new TypedClient(rpc), socketPath };
}

const getFlows = [GetFlowsRequestSchema, GetFlowsResponseSchema] as const;
const flowsPath = '/observer.Observer/GetFlows';
const monotonicNs = () => process.hrtime.bigint();
const trace = (fields: Partial<Parameters<typeof eventRecord>[0]> = {}) => eventRecord({ type: 4, timeNs: monotonicNs(), ...fields });
const drop = (fields: Partial<Parameters<typeof eventRecord>[0]> = {}) => eventRecord({ type: 1, reason: 133, timeNs: monotonicNs(), ...fields });

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of stream) found.push(item);
  return found;
}

const flowOf = (response: GetFlowsResponse) => {
  assert.equal(response.responseTypes.case, 'flow');
  return response.responseTypes.value as Extract<GetFlowsResponse['responseTypes'], { case: 'flow' }>['value'];
};
const ports = (responses: readonly GetFlowsResponse[]) => responses.map(response => (flowOf(response).l4?.protocol.value as { sourcePort: number }).sourcePort);
const rejectsWith = (code: number, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RpcError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

test('GetFlows: the last, the first, all, a window, filters, a field mask; oldest first', async () => {
  const { parts, client } = await startNode();
  for (let port = 1; port <= 10; port++) parts.flows.push(trace({ sourcePort: port, destinationPort: port % 2 === 0 ? 80 : 443 }));
  const ask = (request: Parameters<typeof client.stream<typeof GetFlowsRequestSchema, typeof GetFlowsResponseSchema>>[2]) => all(client.stream(flowsPath, getFlows, request));
  const everything = await ask({});
  assert.deepEqual(ports(everything), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.equal(client.rpc.headers.get('hubble-server-version'), '1.2.3');
  assert.equal(everything[0]!.nodeName, 'n1');
  assert.deepEqual(everything[0]!.time, flowOf(everything[0]!).time);
  assert.deepEqual(ports(await ask({ number: 3n })), [8, 9, 10]);
  assert.deepEqual(ports(await ask({ number: 3n, first: true })), [1, 2, 3]);
  assert.deepEqual(ports(await ask({ whitelist: [{ destinationPort: ['80'] }], blacklist: [{ sourcePort: ['4'] }] })), [2, 6, 8, 10]);
  assert.deepEqual(ports(await ask({ number: 2n, whitelist: [{ destinationPort: ['80'] }] })), [8, 10]);
  assert.deepEqual(ports(await ask({ since: everything[3]!.time!, until: everything[5]!.time! })), [4, 5, 6]);
  const masked = flowOf((await ask({ number: 1n, fieldMask: { paths: ['source.identity', 'verdict'] } }))[0]!);
  assert.deepEqual([masked.source?.identity, masked.verdict, masked.time, masked.IP, masked.destination], [1234, 1, undefined, undefined, undefined]);
  await assert.rejects(ask({ fieldMask: { paths: ['nonsense'] } }), rejectsWith(RpcStatus.invalidArgument, /invalid fieldmask.*nonsense/));
  await assert.rejects(ask({ whitelist: [{ sourceIp: ['nonsense'] }] }), rejectsWith(RpcStatus.invalidArgument, /source_ip.*nonsense/));
});

test('GetFlows with follow: the history that was asked for and then the new, without a gap and nothing twice', async () => {
  const { parts, client } = await startNode();
  parts.flows.push(...[1, 2, 3, 4, 5].map(sourcePort => trace({ sourcePort })));
  const abort = new AbortController();
  const seen: number[] = [];
  const reading = (async () => {
    for await (const response of client.stream(flowsPath, getFlows, { follow: true, number: 3n }, { signal: abort.signal })) {
      seen.push(...ports([response]));
      if (seen.length === 3) {
        parts.flows.push(...[6, 7].map(sourcePort => trace({ sourcePort })));
        parts.pipeline.drain();
      }
      if (seen.length === 5) abort.abort();
    }
  })();
  await assert.rejects(reading, rejectsWith(RpcStatus.cancelled, /cancelled/));
  assert.deepEqual(seen, [3, 4, 5, 6, 7]);
});

test('GetFlows with follow and until ends by itself', async () => {
  const { parts, client } = await startNode();
  parts.flows.push(trace({ sourcePort: 1 }));
  const until = Date.now() + 150;
  const answers = await all(client.stream(flowsPath, getFlows, { follow: true, number: 5n, until: { seconds: BigInt(Math.floor(until / 1000)), nanos: (until % 1000) * 1e6 } }));
  assert.deepEqual(ports(answers), [1]);
  assert.ok(Date.now() >= until);
});

test('what the kernel lost is told in its place', async () => {
  const { parts, client } = await startNode();
  parts.flows.push(trace({ sourcePort: 1 }));
  const seen: string[] = [];
  for await (const response of client.stream(flowsPath, getFlows, { follow: true, number: 1n })) {
    const { responseTypes } = response;
    seen.push(responseTypes.case === 'lostEvents' ? `lost ${responseTypes.value.numEventsLost} ${LostEventSource[responseTypes.value.source]}` : `flow ${ports([response])[0]}`);
    if (seen.length === 1) {
      parts.lost = { flows: 7, drops: 0 };
      parts.skewNs = 2_000_000_000n;
      parts.pipeline.drain();
      parts.flows.push(trace({ sourcePort: 2 }));
      parts.pipeline.drain();
    }
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, ['flow 1', 'lost 7 PERF_EVENT_RING_BUFFER', 'flow 2']);
});

test('flows without a packet only for those who ask', async () => {
  const { parts, client } = await startNode();
  parts.flows.push(trace({ sourcePort: 1 }), trace({ sourcePort: 2, flags: 32 | 64, end: 3, totals: { packetsOut: 1, bytesOut: 2, packetsBack: 3, bytesBack: 4, durationNs: 5 } }));
  assert.deepEqual(ports(await all(client.stream(flowsPath, getFlows, {}))), [1]);
  const both = await all(client.stream(flowsPath, getFlows, {}, { metadata: { 'cirri-packetless': '1' } }));
  assert.deepEqual(ports(both), [1, 2]);
  const details = flowOf(both[1]!).cirri!;
  assert.deepEqual([details.packetless, details.connection?.bytesBack, details.connection?.end], [true, 4n, 3]);
});

test('ServerStatus, GetNodes, GetNamespaces, GetDebugEvents', async () => {
  const { parts, client } = await startNode({ lookups: { podByAddr: ip => (ip === '10.244.1.5' ? { namespace: 'payments', name: 'web-1' } : undefined) } });
  parts.flows.push(...[1, 2, 3].map(sourcePort => trace({ sourcePort })));
  parts.pipeline.drain();
  const status = await client.unary('/observer.Observer/ServerStatus', [ServerStatusRequestSchema, ServerStatusResponseSchema], {});
  assert.deepEqual([status.numFlows, status.seenFlows, status.version], [3n, 3n, '1.2.3']);
  assert.ok(status.maxFlows >= 4096n && status.uptimeNs >= 5_000_000_000n && status.flowsRate > 0);
  const { nodes } = await client.unary('/observer.Observer/GetNodes', [GetNodesRequestSchema, GetNodesResponseSchema], {});
  assert.deepEqual(nodes.map(({ name, address, state, tls, numFlows }) => [name, address, state, tls?.serverName, numFlows]), [['n1', '172.30.0.2:4244', 1, 'n1.default.hubble-grpc.cilium.io', 3n]]);
  const { namespaces } = await client.unary('/observer.Observer/GetNamespaces', [GetNamespacesRequestSchema, GetNamespacesResponseSchema], {});
  assert.deepEqual(namespaces.map(({ cluster, namespace }) => `${cluster}/${namespace}`), ['default/payments']);
  assert.deepEqual(await all(client.stream('/observer.Observer/GetDebugEvents', [GetDebugEventsRequestSchema, GetDebugEventsResponseSchema], {})), []);
});

test('agent events: held ones, and new ones while somebody follows', async () => {
  const { parts, client } = await startNode();
  const types = [GetAgentEventsRequestSchema, GetAgentEventsResponseSchema] as const;
  parts.agentEvents.started();
  parts.agentEvents.endpointCreated({ id: 7, namespace: 'payments', podName: 'web-1', labels: ['k8s:app=web'] });
  parts.agentEvents.addressUpserted({ cidr: '10.0.0.1/32', identity: 5 }, { identity: 4 });
  const path = '/observer.Observer/GetAgentEvents';
  const held = await all(client.stream(path, types, {}));
  assert.deepEqual(held.map(({ agentEvent }) => agentEvent?.type), [AgentEventType.AGENT_STARTED, AgentEventType.ENDPOINT_CREATED, AgentEventType.IPCACHE_UPSERTED]);
  assert.equal((held[1]!.agentEvent!.notification.value as { podName: string }).podName, 'web-1');
  assert.equal((held[2]!.agentEvent!.notification.value as { oldIdentity?: number }).oldIdentity, 4);
  assert.equal((await all(client.stream(path, types, { number: 1n }))).length, 1);
  assert.equal((await all(client.stream(path, types, { number: 1n, first: true })))[0]!.agentEvent!.type, AgentEventType.AGENT_STARTED);
  let seen = 0;
  for await (const { agentEvent } of client.stream(path, types, { follow: true, number: 1n })) {
    if (++seen === 1) parts.agentEvents.policyUpdated(['k8s:io.cilium.k8s.policy.name=x'], 9, 1);
    else {
      assert.equal(agentEvent?.type, AgentEventType.POLICY_UPDATED);
      break;
    }
  }
  for (let i = 0; i < 5000; i++) parts.agentEvents.endpointRegenerated({ id: i, labels: [] });
  assert.equal((await all(client.stream(path, types, {}))).length, 1024, 'bounded');
});

test('Peer.Notify: all nodes at once, then what changes', async () => {
  const { parts, client } = await startNode();
  const peer = (name: string, address: string) => ({ name, clusterName: 'default', address, tls: true });
  parts.peers.nodes = [peer('n1', '172.30.0.2:4244'), peer('n2', '172.30.0.3:4244')];
  const seen: string[] = [];
  for await (const { name, address, type, tls } of client.stream('/peer.Peer/Notify', [NotifyRequestSchema, ChangeNotificationSchema], {})) {
    seen.push(`${ChangeNotificationType[type]} ${name} ${address} ${tls?.serverName}`);
    if (seen.length === 2) parts.peers.set(peer('n1', '172.30.0.9:4244'), peer('n3.x', '172.30.0.4:4244'));
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, [
    'PEER_ADDED n1 172.30.0.2:4244 n1.default.hubble-grpc.cilium.io', 'PEER_ADDED n2 172.30.0.3:4244 n2.default.hubble-grpc.cilium.io',
    'PEER_DELETED n2 172.30.0.3:4244 n2.default.hubble-grpc.cilium.io', 'PEER_UPDATED n1 172.30.0.9:4244 n1.default.hubble-grpc.cilium.io', 'PEER_ADDED n3.x 172.30.0.4:4244 n3-x.default.hubble-grpc.cilium.io',
  ]);
});

test('health and reflection, and a service of ours beside them', async () => {
  const { client } = await startNode({ methods: [jsonMethod('WatchMap', async function* (request) { yield { echo: request }; yield 2; })] });
  const health = [HealthCheckRequestSchema, HealthCheckResponseSchema] as const;
  for (const service of ['', 'observer.Observer', 'peer.Peer', 'cirri.Flows']) assert.equal((await client.unary('/grpc.health.v1.Health/Check', health, { service })).status, 1);
  await assert.rejects(client.unary('/grpc.health.v1.Health/Check', health, { service: 'nobody' }), rejectsWith(RpcStatus.notFound, /unknown service/));
  const json: unknown[] = [];
  for await (const bytes of client.rpc.stream('/cirri.Flows/WatchMap', Buffer.from([0x0a, 7, ...Buffer.from('{"a":1}')]))) json.push(JSON.parse(Buffer.from(bytes.subarray(2)).toString()));
  assert.deepEqual(json, [{ echo: { a: 1 } }, 2]);
  for (const version of ['v1', 'v1alpha']) {
    const ask = async (messageRequest: Parameters<typeof client.unary<typeof ServerReflectionRequestSchema, typeof ServerReflectionResponseSchema>>[2]['messageRequest']) =>
      (await client.unary(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, [ServerReflectionRequestSchema, ServerReflectionResponseSchema], { messageRequest: messageRequest! })).messageResponse;
    const list = await ask({ case: 'listServices', value: '' });
    assert.deepEqual((list.value as { service: { name: string }[] }).service.map(({ name }) => name), [
      'cirri.Flows', 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection', 'observer.Observer', 'peer.Peer',
    ]);
    for (const symbol of ['observer.Observer', 'observer.Observer.GetFlows', 'flow.Flow', 'flow.FlowFilter.Experimental', 'grpc.health.v1.Health']) {
      const answer = await ask({ case: 'fileContainingSymbol', value: symbol });
      const files = (answer.value as { fileDescriptorProto: Uint8Array[] }).fileDescriptorProto.map(bytes => fromBinary(FileDescriptorProtoSchema, bytes));
      assert.ok(symbol.startsWith(files[0]!.package), symbol);
    }
    assert.equal((await ask({ case: 'fileByFilename', value: 'flow.proto' })).case, 'fileDescriptorResponse');
    assert.equal((await ask({ case: 'fileContainingSymbol', value: 'no.Such' })).case, 'errorResponse');
  }
});

test('mutual TLS on TCP: the right name and a certificate of ours, or nothing', async () => {
  const { server } = await startNode();
  assert.equal(server.trouble, undefined);
  assert.ok(server.address && 'port' in server.address);
  const target = { host: '127.0.0.1', port: server.address.port };
  const status = async (tls: Parameters<typeof clientTls> | object | undefined) => {
    const rpc = new RpcClient({ ...target, ...(tls && { tls: Array.isArray(tls) ? clientTls(tls[0] as string, tls[1] as string) : tls }) });
    cleanups.push(() => rpc.close());
    return new TypedClient(rpc).unary('/observer.Observer/ServerStatus', [ServerStatusRequestSchema, ServerStatusResponseSchema], {}, { timeoutMs: 5000 });
  };
  const name = peerServerName('n1', 'default');
  assert.equal((await status([certificates, name])).version, '1.2.3');
  await assert.rejects(status([certificates, peerServerName('n2', 'default')]), rejectsWith(RpcStatus.unavailable, /altnames|ERR_TLS/i));
  const { ca } = clientTls(certificates, name);
  await assert.rejects(status({ ca, serverName: name }), rejectsWith(RpcStatus.unavailable, /./));
  const stranger = join(folder, 'stranger');
  ensureHubbleCertificates(stranger, { clusterName: 'default', nodes: [] }, new Date());
  await assert.rejects(status({ ...clientTls(stranger, name), ca }), rejectsWith(RpcStatus.unavailable, /./));
  await assert.rejects(status(undefined), rejectsWith(RpcStatus.unavailable, /./));
  // grpc-js, as an independent client.
  const tls = clientTls(certificates, name);
  const client = new grpc.Client(`127.0.0.1:${target.port}`, grpc.credentials.createSsl(Buffer.from(tls.ca!), Buffer.from(tls.key!), Buffer.from(tls.cert!)), { 'grpc.ssl_target_name_override': name, 'grpc.default_authority': name });
  cleanups.push(() => client.close());
  const bytes = await new Promise<Buffer>((resolve, reject) => client.makeUnaryRequest('/observer.Observer/ServerStatus', (value: Buffer) => value, (value: Buffer) => value, Buffer.alloc(0), (error, value) => (error ? reject(error) : resolve(value!))));
  assert.equal(fromBinary(ServerStatusResponseSchema, bytes).version, '1.2.3');
});

test('certificates: private, kept while they are good, made again before they expire', () => {
  const place = join(folder, 'again');
  const cluster = { clusterName: 'east.example', nodes: [{ name: 'n1.local' }] };
  const now = new Date();
  assert.equal(ensureHubbleCertificates(place, cluster, now).length, 4);
  for (const name of ['ca.key', 'server-n1.local.key', 'relay-client.key', 'relay-server.key']) assert.equal(statSync(join(place, name)).mode & 0o777, 0o600);
  assert.equal(statSync(place).mode & 0o777, 0o700);
  assert.deepEqual(ensureHubbleCertificates(place, cluster, now), []);
  assert.deepEqual(ensureHubbleCertificates(place, { ...cluster, nodes: [...cluster.nodes, { name: 'n2' }] }, now), ['certificate server-n2']);
  assert.deepEqual(ensureHubbleCertificates(place, cluster, new Date(now.getTime() + 340 * 86_400_000)), ['certificate server-n1.local', 'certificate relay-client', 'certificate relay-server']);
  rmSync(join(place, 'ca.crt'));
  assert.equal(ensureHubbleCertificates(place, cluster, now).length, 4, 'a new authority makes all of them anew');
  utimesSync(join(place, 'ca.crt'), now, now);
  assert.equal(peerServerName('n1.local', 'east.example'), 'n1-local.east-example.hubble-grpc.cilium.io');
});

test('new certificates are shown to new connections, and those that stand go on', async () => {
  const place = join(folder, 'renewed');
  const cluster = { clusterName: 'default', nodes: [{ name: 'n1' }] };
  ensureHubbleCertificates(place, cluster, new Date());
  const server = await startRpcServer({ listen: { host: '127.0.0.1', port: 0, tls: serverTls(place, 'n1') }, methods: healthMethods([]) }, { log: silentLogger });
  cleanups.push(() => server.close());
  assert.ok('port' in server.address);
  const { port } = server.address;
  const shown = async () => {
    const { ca, cert, key, serverName } = clientTls(place, peerServerName('n1', 'default'));
    const socket = tlsConnect({ host: '127.0.0.1', port, ca: ca!, cert: cert!, key: key!, servername: serverName!, ALPNProtocols: ['h2'] });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const before = await shown();
  const old = new RpcClient({ host: '127.0.0.1', port, tls: clientTls(place, peerServerName('n1', 'default')) });
  cleanups.push(() => old.close());
  assert.equal((await old.unary('/grpc.health.v1.Health/Check', new Uint8Array(0))).length, 2);
  rmSync(join(place, 'server-n1.crt'));
  assert.deepEqual(ensureHubbleCertificates(place, cluster, new Date()), ['certificate server-n1']);
  server.renew(serverTls(place, 'n1'));
  assert.notEqual(await shown(), before);
  assert.equal((await old.unary('/grpc.health.v1.Health/Check', new Uint8Array(0))).length, 2);
});

test('drops carry their reason and file name nothing else', async () => {
  const { parts, client } = await startNode();
  parts.drops.push(drop());
  const [flow] = (await all(client.stream(flowsPath, getFlows, {}))).map(flowOf);
  assert.deepEqual([flow!.verdict, flow!.dropReason, flow!.dropReasonDesc, flow!.eventType?.type, flow!.eventType?.subType, flow!.isReply], [2, 133, 133, 1, 133, undefined]);
});
