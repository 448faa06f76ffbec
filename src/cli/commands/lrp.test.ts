import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LocalRedirectRow } from '../../features/local-redirect/derive.ts';
import { TestCluster } from './testing.ts';

const dns: LocalRedirectRow = {
  key: 'kube-system/nodelocaldns', namespace: 'kube-system', name: 'nodelocaldns', matches: 'service kube-system/kube-dns', pods: ['kube-system/node-local-dns-1'], skipRedirectFromBackend: true,
  frontends: [{ key: 'x', namespace: 'kube-system', policy: 'nodelocaldns', portName: 'dns', address: 'fd00:10:96::a', port: 53, protocol: 'UDP', backends: [{ address: 'fd00::7', port: 53 }, { address: 'fd00::8', port: 53 }], skipRedirectFromBackend: true }], troubles: [],
};
const metadata: LocalRedirectRow = { ...dns, key: 'shop/metadata', namespace: 'shop', name: 'metadata', matches: 'address 169.254.169.254', frontends: [], pods: [], troubles: ['\u001b[31mnot allowed'] };

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start([], { node1: { '/v1/local-redirects': [dns, metadata] }, node2: { '/v1/local-redirects': [{ ...dns, frontends: [] }] } });
});
after(() => cluster[Symbol.asyncDispose]());

test('each node says what it redirects, and why not', async () => {
  assert.deepEqual((await cluster.cirri('lrp', 'list')).stdout.trimEnd().split('\n'), [
    'node1',
    'LRP namespace   LRP name            FrontendType                Matching Service',
    'kube-system     nodelocaldns        clusterIP                   kube-system/kube-dns',
    '                |                   [fd00:10:96::a]:53/UDP -> [fd00::7]:53, [fd00::8]:53',
    'shop            metadata            IP + port',
    '                |                   ^[[31mnot allowed',
    'node2',
    'LRP namespace   LRP name            FrontendType                Matching Service',
    'kube-system     nodelocaldns        clusterIP                   kube-system/kube-dns',
    '                |                   no ready pod on this node: nothing is redirected',
  ]);
  assert.deepEqual((await cluster.cirri('lrp', 'list', '--node', 'node1', '-o', 'json')).json(), [{ node: 'node1', ...dns }, { node: 'node1', ...metadata }]);
});
