/** @cluster: Hubble's API of a node, asked by a stock gRPC client with the certificates that the cluster made. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { clientTls } from '../../src/hubble/certificates.ts';
import { AgentEventType } from '../../src/hubble/generated/flow_pb.js';
import { GetAgentEventsResponseSchema, GetFlowsRequestSchema, GetFlowsResponseSchema, type GetFlowsResponse } from '../../src/hubble/generated/observer_pb.js';
import { ChangeNotificationSchema } from '../../src/hubble/generated/peer_pb.js';
import { parseRecord, type ClusterRecord } from '../../src/model/cluster.ts';
import { hubblePort, peerServerName } from '../../src/hubble/names.ts';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

const cluster = new TestCluster('z');
const raw = { out: (value: Buffer) => value, in: (value: Buffer) => value };
const policy = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: closed, namespace: q}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress: [{fromEndpoints: [{matchLabels: {app: friend}}]}]
`;
let record: ClusterRecord;
let client: grpc.Client;

before(async () => {
  await cluster.start('--nodes', '2', '--no-demo');
  await cluster.apply(namespaceYaml('q') + podYaml('q', 'friend', 'node1', { app: 'friend' }) + podYaml('q', 'stranger', 'node1', { app: 'stranger' }) + podYaml('q', 'server', 'node1', { app: 'server' }, 8080) + policy);
  await cluster.podsReady('q');
  record = parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8'));
  const node = record.nodes[0]!;
  const name = peerServerName(node.name, record.clusterName);
  const { ca, key, cert } = clientTls(cluster.paths.hubbleDir, name);
  client = new grpc.Client(`${node.underlay4}:${hubblePort}`, grpc.credentials.createSsl(Buffer.from(ca!), Buffer.from(key!), Buffer.from(cert!)), { 'grpc.ssl_target_name_override': name, 'grpc.default_authority': name });
});
after(async () => {
  client.close();
  await cluster.stop();
});

function stream(path: string, request: Buffer = Buffer.alloc(0)): grpc.ClientReadableStream<Buffer> {
  return client.makeServerStreamRequest(path, raw.out, raw.in, request);
}

async function getFlows(request: MessageInitShape<typeof GetFlowsRequestSchema>): Promise<NonNullable<Extract<GetFlowsResponse['responseTypes'], { case: 'flow' }>['value']>[]> {
  const found = [];
  for await (const bytes of stream('/observer.Observer/GetFlows', Buffer.from(toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema, request))))) {
    const { responseTypes } = fromBinary(GetFlowsResponseSchema, bytes as Buffer);
    if (responseTypes.case === 'flow') found.push(responseTypes.value);
  }
  return found;
}

describe('a node’s API over mutual TLS', () => {
  test('a denied connection is there with its reason, its policy and both ends by name; an allowed one as its packets were', async () => {
    await cluster.expectAll([{ from: 'q/stranger', to: 'q/server', port: 8080, expect: 'denied' }, { from: 'q/friend', to: 'q/server', port: 8080, expect: 'allowed' }]);
    const dropped = (await getFlows({ whitelist: [{ sourcePod: ['q/stranger'], eventType: [{ type: 1 }] }] })).at(-1)!;
    assert.deepEqual([dropped.verdict, dropped.dropReasonDesc, dropped.destination?.podName, dropped.nodeName], [2, 133, 'server', 'node1']);
    assert.deepEqual(dropped.ingressDeniedBy.map(({ name, namespace, kind }) => `${kind} ${namespace}/${name}`), ['CiliumNetworkPolicy q/closed']);
    assert.equal(dropped.cirri?.rule?.name, 'closed');
    // The answer may be there before its flows.
    await eventually('a verdict that names the policy, and traces', 20_000, async () => {
      const allowed = await getFlows({ whitelist: [{ sourceLabel: ['app=friend'], destinationPort: ['8080'], verdict: [1], reply: [false] }] });
      return allowed.some(flow => flow.eventType?.type === 5 && flow.ingressAllowedBy[0]?.name === 'closed') && allowed.some(flow => flow.eventType?.type === 4) ? undefined : `${allowed.length} flows`;
    });
    const since = dropped.time!;
    assert.deepEqual(await getFlows({ since, whitelist: [{ sourcePod: ['q/stranger'], verdict: [1], destinationPod: ['q/server'], trafficDirection: [1] }] }), []);
  });

  test('a follower hears of what happens from now on', async () => {
    const following = stream('/observer.Observer/GetFlows', Buffer.from(toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema, { follow: true, whitelist: [{ destinationPod: ['q/server'], sourcePod: ['q/friend'] }] }))));
    following.on('error', () => {});
    await new Promise(resolve => following.once('metadata', resolve));
    const first = new Promise<Buffer>(resolve => following.once('data', resolve));
    await cluster.probe({ from: 'q/friend', to: 'q/server', port: 8080 });
    const { responseTypes } = fromBinary(GetFlowsResponseSchema, await first);
    assert.ok(responseTypes.case === 'flow' && responseTypes.value.source?.podName === 'friend');
    following.cancel();
  });

  test('agent events tell of the endpoints and the policy; peers are both nodes', async () => {
    const types = new Set<AgentEventType>();
    const pods = new Set<string>();
    for await (const bytes of stream('/observer.Observer/GetAgentEvents')) {
      const { agentEvent } = fromBinary(GetAgentEventsResponseSchema, bytes as Buffer);
      types.add(agentEvent!.type);
      if (agentEvent!.notification.case === 'endpointUpdate') pods.add(agentEvent!.notification.value.podName);
    }
    for (const type of [AgentEventType.AGENT_STARTED, AgentEventType.ENDPOINT_CREATED, AgentEventType.ENDPOINT_REGENERATE_SUCCESS, AgentEventType.POLICY_UPDATED, AgentEventType.IPCACHE_UPSERTED]) assert.ok(types.has(type), AgentEventType[type]);
    for (const pod of ['friend', 'stranger', 'server']) assert.ok(pods.has(pod), pod);
    const peers: string[] = [];
    const watching = stream('/peer.Peer/Notify');
    watching.on('error', () => {});
    await new Promise<void>(resolve => watching.on('data', (bytes: Buffer) => {
      const { name, address, tls } = fromBinary(ChangeNotificationSchema, bytes);
      peers.push(`${name} ${address} ${tls?.serverName}`);
      if (peers.length === 2) resolve();
    }));
    watching.cancel();
    assert.deepEqual(peers.sort(), record.nodes.map(node => `${node.name} ${node.underlay4}:${hubblePort} ${peerServerName(node.name, 'default')}`));
  });
});
