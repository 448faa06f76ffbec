/** @cluster: Hubble Relay over two nodes, asked as its users ask it: by hubble's commands and by a stock gRPC client. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { GetFlowsRequestSchema, GetFlowsResponseSchema, GetNodesResponseSchema, ServerStatusResponseSchema, type GetFlowsResponse } from '../../src/hubble/generated/observer_pb.js';
import { JsonMessageSchema } from '../../src/hubble/generated/cirri_pb.js';
import { encodeJson } from '../../src/hubble/json-method.ts';
import type { MapInterval } from '../../src/model/service-map.ts';
import { NodeState } from '../../src/hubble/generated/relay_pb.js';
import { parseRecord } from '../../src/model/cluster.ts';
import { readRelayRecord } from '../../src/relay/record.ts';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

const cluster = new TestCluster('y');
const raw = { out: (value: Buffer) => value, in: (value: Buffer) => value };

before(async () => {
  await cluster.start('--nodes', '2', '--no-demo');
  await cluster.apply(namespaceYaml('y') + podYaml('y', 'client1', 'node1', { app: 'client' }) + podYaml('y', 'client2', 'node2', { app: 'client' }) + podYaml('y', 'server1', 'node1', { app: 'server' }, 8080) + podYaml('y', 'server2', 'node2', { app: 'server' }, 8080));
  await cluster.podsReady('y');
});
after(() => cluster.stop());

/** Traffic within each node: only that node sees it. */
const talk = (node: 1 | 2) => cluster.probe({ from: `y/client${node}`, to: `y/server${node}`, port: 8080 });

function relayClient(): grpc.Client {
  const { host, port } = readRelayRecord(cluster.paths.hubbleDir).grpc!;
  return new grpc.Client(`${host}:${port}`, grpc.credentials.createInsecure());
}

function getFlows(client: grpc.Client, request: MessageInitShape<typeof GetFlowsRequestSchema>): grpc.ClientReadableStream<Buffer> {
  return client.makeServerStreamRequest('/observer.Observer/GetFlows', raw.out, raw.in, Buffer.from(toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema, request))));
}

const unary = (client: grpc.Client, method: string): Promise<{ readonly message: Buffer; readonly metadata: grpc.Metadata }> => new Promise((resolve, reject) => {
  let metadata = new grpc.Metadata();
  client.makeUnaryRequest(`/observer.Observer/${method}`, raw.out, raw.in, Buffer.alloc(0), (error, message) => (error ? reject(error) : resolve({ message: message!, metadata })))
    .on('metadata', headers => (metadata = headers));
});

async function all(client: grpc.Client, request: MessageInitShape<typeof GetFlowsRequestSchema>): Promise<GetFlowsResponse[]> {
  const answers: GetFlowsResponse[] = [];
  for await (const bytes of getFlows(client, request)) answers.push(fromBinary(GetFlowsResponseSchema, bytes as Buffer));
  return answers;
}

const flowsOf = (answers: readonly GetFlowsResponse[]) => answers.filter(answer => answer.responseTypes.case === 'flow');
const ns = ({ time }: GetFlowsResponse) => time!.seconds * 1_000_000_000n + BigInt(time!.nanos);
const inNamespace = [{ sourcePod: ['y/'] }, { destinationPod: ['y/'] }];

describe('a stock gRPC client of the relay', () => {
  const client = () => relayClient();

  test('gets the flows of both nodes in the order of time, after the state of the nodes', async () => {
    for (let i = 0; i < 3; i++) {
      await talk(1);
      await talk(2);
    }
    const using = client();
    let answers: GetFlowsResponse[] = [];
    const changesOf = (flows: readonly GetFlowsResponse[]) => flows.filter((flow, i) => i > 0 && flow.nodeName !== flows[i - 1]!.nodeName).length;
    // The last answer may be there before its flows.
    await eventually('the nodes\' flows alternate as their traffic did', 20_000, async () => {
      answers = await all(using, { whitelist: inNamespace });
      const changes = changesOf(flowsOf(answers));
      return changes >= 5 ? undefined : `${changes} changes`;
    });
    const first = answers[0]!.responseTypes;
    assert.ok(first.case === 'nodeStatus' && first.value.stateChange === NodeState.NODE_CONNECTED);
    assert.deepEqual(first.value.nodeNames, ['node1', 'node2']);
    const flows = flowsOf(answers);
    assert.ok(flows.every((flow, i) => i === 0 || ns(flows[i - 1]!) <= ns(flow)), 'in order');
    const uuids = flows.map(({ responseTypes }) => (responseTypes.case === 'flow' ? responseTypes.value.uuid : ''));
    assert.equal(new Set(uuids).size, uuids.length, 'none twice');
    using.close();
  });

  test('gets status and nodes, and the relay\'s version', async () => {
    const using = client();
    const { message, metadata } = await unary(using, 'ServerStatus');
    const status = fromBinary(ServerStatusResponseSchema, message);
    assert.deepEqual([status.numConnectedNodes, status.numUnavailableNodes], [2, 0]);
    assert.ok(status.numFlows > 0n && status.seenFlows >= status.numFlows && status.flowsRate > 0);
    assert.equal(metadata.get('hubble-relay-version')[0], status.version);
    const { nodes } = fromBinary(GetNodesResponseSchema, (await unary(using, 'GetNodes')).message);
    assert.deepEqual(nodes.map(node => [node.name, node.state, node.tls?.enabled]), [['node1', NodeState.NODE_CONNECTED, true], ['node2', NodeState.NODE_CONNECTED, true]]);
    using.close();
  });

  test('follows through the death of an agent: told of it, told when it is back, and then sees its new flows', async () => {
    const using = client();
    const states: string[] = [];
    const seen: string[] = [];
    const stream = getFlows(using, { follow: true, whitelist: inNamespace });
    stream.on('data', (bytes: Buffer) => {
      const { responseTypes: it, nodeName } = fromBinary(GetFlowsResponseSchema, bytes);
      if (it.case === 'nodeStatus') states.push(`${NodeState[it.value.stateChange]} ${it.value.nodeNames.join()}`);
      else if (it.case === 'flow') seen.push(nodeName);
    });
    stream.on('error', () => {});
    await eventually('the stream begins', 20_000, () => Promise.resolve(states.length > 0 ? undefined : 'nothing yet'));
    process.kill(cluster.pidOf('agent-node2'), 'SIGKILL');
    await eventually('it is missed', 20_000, () => Promise.resolve(states.includes('NODE_UNAVAILABLE node2') ? undefined : states.join('; ')));
    await talk(1);
    await eventually('the other node is heard', 20_000, () => Promise.resolve(seen.includes('node1') ? undefined : seen.join()));
    await eventually('it is back', 30_000, () => Promise.resolve(states.indexOf('NODE_CONNECTED node2') > states.indexOf('NODE_UNAVAILABLE node2') ? undefined : states.join('; ')));
    await eventually('its flows come', 20_000, async () => {
      await talk(2);
      return seen.includes('node2') ? undefined : seen.join();
    });
    stream.cancel();
    using.close();
  });
});

describe('cirri.Flows of the relay', () => {
  const ask = (client: grpc.Client, method: string, question: object) => client.makeServerStreamRequest(`/cirri.Flows/${method}`, raw.out, raw.in, Buffer.from(encodeJson(question)));
  const jsonOf = (bytes: Buffer) => JSON.parse(Buffer.from(fromBinary(JsonMessageSchema, bytes).json).toString('utf8')) as unknown;

  test('the histories of both nodes answer, each by its name', async () => {
    const using = relayClient();
    const answers: { readonly node: string; readonly kind: string; readonly status?: { readonly node: string } }[] = [];
    for await (const bytes of ask(using, 'QueryHistory', { kind: 'status' })) answers.push(jsonOf(bytes as Buffer) as (typeof answers)[number]);
    assert.deepEqual(answers.filter(({ kind }) => kind === 'status').map(({ node, status }) => [node, status?.node]).sort(), [['node1', 'node1'], ['node2', 'node2']]);
    using.close();
  });

  test('the service map has what both nodes saw', async () => {
    const using = relayClient();
    const edges = new Set<string>();
    const stream = ask(using, 'WatchMap', {});
    stream.on('data', (bytes: Buffer) => (jsonOf(bytes) as MapInterval).edges.forEach(edge => edges.add(`${edge.source} ${edge.destination} ${edge.port}`)));
    stream.on('error', () => {});
    await eventually('both connections are on it', 20_000, async () => {
      await Promise.all([talk(1), talk(2)]);
      return [1, 2].every(node => edges.has(`pod:y/client${node} pod:y/server${node} 8080`)) ? undefined : [...edges].join('\n');
    });
    stream.cancel();
    using.close();
  });
});

describe('a node\'s port 4244', () => {
  const record = () => parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8'));
  const pem = (name: string) => readFileSync(`${cluster.paths.hubbleDir}/${name}`);
  const client = (credentials: grpc.ChannelCredentials) => new grpc.Client(`${record().nodes[0]!.underlay4}:4244`, credentials, { 'grpc.ssl_target_name_override': `node1.${record().clusterName}.hubble-grpc.cilium.io` });

  test('serves who shows the relay\'s certificate', async () => {
    const using = client(grpc.credentials.createSsl(pem('ca.crt'), pem('relay-client.key'), pem('relay-client.crt')));
    const flows = flowsOf(await all(using, { whitelist: inNamespace, number: 3n }));
    assert.equal(flows.length, 3);
    assert.ok(flows.every(flow => flow.nodeName === 'node1'));
    using.close();
  });

  test('serves nobody without one', async () => {
    const using = client(grpc.credentials.createSsl(pem('ca.crt')));
    await assert.rejects(unary(using, 'ServerStatus'), { code: grpc.status.UNAVAILABLE });
    using.close();
  });
});

describe('from elsewhere', () => {
  const underlay = () => parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8')).underlay.host4;

  test('a token is needed, and shows what it is for', async () => {
    const server = `${underlay()}:4245`;
    const without = await cluster.cirri('hubble', 'status', '--server', server);
    assert.equal(without.code, 1);
    assert.match(without.stderr, /a token is needed/);
    const token = (await cluster.cirri('hubble', 'token', 'create', 'team', '--namespace', 'kube-system')).stdout.trim();
    const status = await cluster.cirri('hubble', 'status', '--server', server, '--token', token);
    assert.match(status.stdout, /Connected Nodes: 2\/2/);
    const using = new grpc.Client(server, grpc.credentials.createInsecure());
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    const answers: GetFlowsResponse[] = [];
    const request = Buffer.from(toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema, {})));
    for await (const bytes of using.makeServerStreamRequest('/observer.Observer/GetFlows', raw.out, raw.in, request, metadata)) answers.push(fromBinary(GetFlowsResponseSchema, bytes as Buffer));
    const namespaces = flowsOf(answers).map(({ responseTypes: { value } }) => (value as { source?: { namespace: string }; destination?: { namespace: string } }));
    assert.ok(namespaces.length > 0);
    assert.ok(namespaces.every(flow => flow.source?.namespace === 'kube-system' || flow.destination?.namespace === 'kube-system'));
    await cluster.cirri('hubble', 'token', 'delete', 'team');
    assert.equal((await cluster.cirri('hubble', 'status', '--server', server, '--token', token)).code, 1);
    using.close();
  });
});

describe('an address that the operator names', () => {
  test('serves over TLS, who has a token', async () => {
    const { host4 } = parseRecord(readFileSync(cluster.paths.clusterJson, 'utf8')).underlay;
    const set = await cluster.cirri('config', 'set', `hubble.relay.listenHost=${host4}`, 'hubble.relay.listenPort=4250');
    assert.equal(set.code, 0, set.stderr);
    const flags = ['--server', `tls://${host4}:4250`, '--tls-ca-cert-files', `${cluster.paths.hubbleDir}/ca.crt`, '--tls-server-name', 'any.hubble-relay.cilium.io'];
    await eventually('it asks for a token', 20_000, async () => {
      const { stderr } = await cluster.cirri('hubble', 'status', ...flags);
      return /a token is needed/.test(stderr) ? undefined : stderr;
    });
    const token = (await cluster.cirri('hubble', 'token', 'create', 'ops')).stdout.trim();
    await eventually('both nodes', 20_000, async () => {
      const { stdout, stderr } = await cluster.cirri('hubble', 'status', ...flags, '--token', token);
      return /Connected Nodes: 2\/2/.test(stdout) ? undefined : stdout + stderr;
    });
    const wrong = await cluster.cirri('hubble', 'status', ...flags.slice(0, -1), 'other.example', '--token', token);
    assert.equal(wrong.code, 1, 'a certificate of another name is not believed');
    const plain = await cluster.cirri('hubble', 'status', '--server', `${host4}:4250`, '--token', token, '--timeout', '2s', '--request-timeout', '2s');
    assert.equal(plain.code, 1, 'nothing is served in the clear there');
  });
});

describe('as typed', () => {
  test('hubble status', async () => {
    const { stdout, code, stderr } = await cluster.cirri('hubble', 'status');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Healthcheck \(via unix:\/\/.*\/relay\.sock\): Ok\nCurrent\/Max Flows: [\d,]+\/[\d,]+ \(\d+\.\d\d%\)\nFlows\/s: \d+\.\d\d\nConnected Nodes: 2\/2\n$/);
    const json = JSON.parse((await cluster.cirri('hubble', 'status', '-o', 'json')).stdout) as Record<string, unknown>;
    assert.equal(json['num_connected_nodes'], 2);
  });

  test('hubble status of a named server, and of one that is not there', async () => {
    const { port } = readRelayRecord(cluster.paths.hubbleDir).grpc!;
    assert.match((await cluster.cirri('hubble', 'status', '--server', `localhost:${port}`)).stdout, new RegExp(`^Healthcheck \\(via localhost:${port}\\): Ok\n`));
    const away = await cluster.cirri('hubble', 'status', '--server', 'localhost:1', '--timeout', '1s');
    assert.equal(away.code, 1);
    assert.match(away.stderr, /localhost:1: .*ECONNREFUSED/);
  });

  test('hubble list nodes and namespaces', async () => {
    await talk(1);
    const wide = (await cluster.cirri('hubble', 'list', 'nodes', '-o', 'wide')).stdout.split('\n');
    assert.match(wide[0]!, /^NAME +STATUS +AGE +FLOWS\/S +CURRENT\/MAX-FLOWS +VERSION +ADDRESS +TLS$/);
    assert.match(wide[1]!, /^node1 +Connected +\d\S*s +\d+\.\d\d +\d+\/\d+ \( *\d+\.\d\d%\) +\S+ +172\.30\.\d+\.11:4244 +Enabled$/);
    assert.match(wide[2]!, /^node2 +Connected /);
    assert.match((await cluster.cirri('hubble', 'list', 'namespaces')).stdout, /^NAMESPACE\n(?:.*\n)*y\n/);
  });

  test('cirri observe -f goes on when the relay is killed, and shows nothing twice', async () => {
    const following = cluster.follow('--namespace', 'y', '--pod', 'y/client1');
    await eventually('it follows', 20_000, async () => {
      await talk(1);
      return await following.next(() => true, 500).then(() => undefined, () => 'nothing yet');
    });
    process.kill(cluster.pidOf('relay'), 'SIGKILL');
    const before = new Date().toISOString();
    await talk(1);
    await following.next(flow => flow.time > before, 20_000);
    const ids = following.seen.map(flow => flow.uuid);
    assert.equal(new Set(ids).size, ids.length);
    following.stop();
  });

  test('cirri observe without the relay asks the agents, and says so', async () => {
    const off = await cluster.cirri('config', 'set', 'hubble.relay.enabled=false');
    assert.equal(off.code, 0, off.stderr);
    await talk(1);
    await talk(2);
    await eventually('flows of both nodes are there', 20_000, async () => {
      const observed = await cluster.cirri('observe', '--namespace', 'y', '--all', '--print-node-name');
      assert.match(observed.stderr, /the relay does not answer: asking the agents of all nodes directly/);
      return /\[node1\]/.test(observed.stdout) && /\[node2\]/.test(observed.stdout) ? undefined : observed.stdout;
    });
    assert.equal((await cluster.cirri('config', 'set', 'hubble.relay.enabled=true')).code, 0);
    await eventually('the relay is back', 20_000, async () => ((await cluster.cirri('hubble', 'status')).code === 0 ? undefined : 'not yet'));
  });
});
