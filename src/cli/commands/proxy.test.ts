import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { after, before, test } from 'node:test';
import type { L7KernelConnection, L7KernelStatus } from '../../model/l7-kernel.ts';
import type { ProxyConnectionStatus } from '../../model/l7-proxy.ts';
import { TestCluster } from './testing.ts';

const proxied: ProxyConnectionStatus = { client: '10.244.1.2:40000', server: '10.244.1.3:80', sourceIdentity: 300, destinationIdentity: 301, egressSet: 0, ingressSet: 7, state: 'busy', queuedBytes: 2048, idleMs: 40 };
const carried: L7KernelConnection = { client: '[fd00::2]:40000', server: '[fd00::4]:80', sourceIdentity: 300, destinationIdentity: 302, egressSet: 0, ingressSet: 8, state: 'idle', idleMs: 1500 };
const kernel: L7KernelStatus = {
  sets: [{ number: 8, rules: 1, wanted: 'kernel', place: 'kernel' }], pods: ['shop/web'], failedPods: [], connections: 1, room: 65_536,
  counts: { taken: 1, requests: 1, denied: 0, faults: 0, answers: 1, unknownAnswers: 0, held: 0, resets: 0 },
};

let cluster: TestCluster;
let proxy: Server;
before(async () => {
  cluster = await TestCluster.start([], {
    node1: { '/v1/l7/kernel': kernel, '/v1/l7/kernel/connections': { connections: [carried], total: 1 } },
    node2: { '/v1/l7/kernel/connections': { connections: [], total: 0 } },
  });
  proxy = createServer((_, response) => response.end(JSON.stringify({ connections: [proxied], total: 12_000 })));
  await new Promise<void>(resolve => proxy.listen(cluster.api.paths.node('node1').proxySocket, resolve));
});
after(async () => {
  proxy.close();
  proxy.closeAllConnections();
  await cluster[Symbol.asyncDispose]();
});

test('connections of proxy and kernel are one list, which says when it is not whole', async () => {
  const { stdout, stderr, status: code } = await cluster.cirri('proxy', 'connections', '--node', 'node1');
  assert.deepEqual(stdout.trimEnd().split('\n').map(line => line.replace(/ {2,}/g, '  ')), [
    'NODE  CARRIED BY  CLIENT  IDENTITY  SERVER  IDENTITY  EGRESS SET  INGRESS SET  STATE  WAITING  IDLE',
    'node1  proxy  10.244.1.2:40000  300  10.244.1.3:80  301  -  7  busy  2 KiB  0.0s',
    'node1  kernel  [fd00::2]:40000  300  [fd00::4]:80  302  -  8  idle  -  1.5s',
  ]);
  assert.deepEqual([code, stderr], [0, 'cirri: worker 0 of the proxy of node1 lists 1 of 12000 connections\n']);
  assert.deepEqual((await cluster.cirri('proxy', 'connections', '--node', 'node1', '-o', 'json')).json(), [{ node: 'node1', place: 'proxy', worker: 0, ...proxied }, { node: 'node1', place: 'kernel', ...carried }]);
});

test('who does not answer is named, and the exit code says so', async () => {
  const { status: code, stderr } = await cluster.cirri('proxy', 'connections');
  assert.equal(code, 1);
  assert.match(stderr, /^cirri: worker 0 of the proxy of node2 does not answer$/m);
});

test('one of a kind is one', async () => {
  assert.match((await cluster.cirri('proxy', 'sets', '--node', 'node1')).stdout, /^node1: in the kernel for shop\/web: 1 connection, 1 request, 0 denied, 0 not understood$/m);
});
