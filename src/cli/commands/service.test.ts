import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../../cluster/root.ts';
import type { ServiceListing } from '../../model/service-listing.ts';
import { TestCluster } from './testing.ts';

const dns: ServiceListing = {
  id: 7, namespace: 'kube-system', name: 'kube-dns', portName: 'dns', type: 'ClusterIP', frontend: '10.96.0.10:53/UDP', affinityTimeout: 0,
  backends: [{ address: '10.0.1.7:53/UDP', state: 'active', nodeName: 'node1' }, { address: '10.0.2.7:53/UDP', state: 'terminating', nodeName: 'node2' }],
};
const web = (frontend: string, id: number, backends: ServiceListing['backends'] = []): ServiceListing => ({
  id, namespace: 'shop', name: 'web', portName: '', type: 'LoadBalancer', frontend, affinityTimeout: 10800, maglev: 16381, sources: ['192.0.2.0/24'], backends,
});
const rows = [dns, web('203.0.113.5:443/TCP', 8), web('203.0.113.5:443/TCP/i', 9, [{ address: '10.0.1.8:8443/TCP', state: 'active', nodeName: 'node1', weight: 3 }]), { ...web('[2001:db8::5]:443/TCP', 10), type: 'ExternalIP' }];

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start([], { node1: { '/v1/services': rows }, node2: { '/v1/services': [{ ...dns, id: 77, name: '\u001b[31mkube-dns' }] } });
});
after(() => cluster[Symbol.asyncDispose]());

test("services are listed in upstream's layout, one backend a line, the internal scope marked", async () => {
  assert.deepEqual((await cluster.cirri('service', 'list')).stdout.split('\n'), [
    'ID   Frontend                Service Type   Backend',
    '7    10.96.0.10:53/UDP       ClusterIP      1 => 10.0.1.7:53/UDP (active)',
    '                                            2 => 10.0.2.7:53/UDP (terminating)',
    '8    203.0.113.5:443/TCP     LoadBalancer',
    '9    203.0.113.5:443/TCP/i   LoadBalancer   1 => 10.0.1.8:8443/TCP (active)',
    '10   [2001:db8::5]:443/TCP   ExternalIPs',
    '',
  ]);
  assert.match((await cluster.cirri('service', 'list', '-o', 'wide')).stdout, /^7 .* ClusterIP +kube-system\/kube-dns +1 => /m);
  assert.deepEqual((await cluster.cirri('service', 'list', '-o', 'json')).json(), rows);
});

test('another node is asked by name; control characters of names do not reach the terminal', async () => {
  const { stdout } = await cluster.cirri('service', 'list', '--node', 'node2', '-o', 'wide');
  assert.match(stdout, /^77 /m);
  assert.ok(!stdout.includes('\u001b'));
  assert.match((await cluster.cirri('service', 'list', '--node', 'node9')).stderr, /there is no node node9\n.*node1, node2/);
});

test('one service is found by name, id and address', async () => {
  for (const [asked, found] of [['shop/web', 3], ['8', 1], ['203.0.113.5', 2], ['203.0.113.5:443', 2], ['203.0.113.5:443/TCP/i', 1], ['2001:db8::5', 1], ['[2001:db8::5]:443/TCP', 1]] as const) {
    assert.equal(((await cluster.cirri('service', 'get', asked, '-o', 'json')).json() as ServiceListing[]).length, found, asked);
  }
  assert.deepEqual((await cluster.cirri('service', 'get', '9')).stdout.split('\n'), [
    '203.0.113.5:443/TCP/i  LoadBalancer  shop/web', '  id        9', '  choice    Maglev, a table of 16381', '  affinity  client address, 10800 s', '  only from 192.0.2.0/24', '  1 => 10.0.1.8:8443/TCP (active) weight 3  node1', '',
  ]);
  const none = await cluster.cirri('service', 'get', 'shop/nope');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /no service shop\/nope/);
});

test("called by upstream's names it is the same command", () => {
  for (const name of ['cilium', 'cilium-dbg']) {
    const path = join(cluster.api.paths.state, name);
    symlinkSync(join(repositoryRoot, 'cirri'), path);
    const { stdout, stderr } = spawnSync(path, ['service', 'get', '8', '--help'], { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
    assert.match(stdout, /All about the addresses of one service/, stderr);
  }
});
