import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bringDown } from '../../cluster/down.ts';
import { ensureNetwork, hostPrefixes } from '../../cluster/network.ts';
import type { Progress } from '../../cluster/progress.ts';
import { freeSubnet, makeRecord } from '../../cluster/record.ts';
import { statePaths } from '../../model/cluster.ts';
import { cgroupRoot } from '../../sys/cgroup.ts';
import type { End } from '../probe/protocol.ts';
import { Outside } from './outside.ts';
import { Peer, type PeerProtocol } from './peer.ts';

/** node1 and what is outside, on one bridge, without any of our programs. */
const instance = `tr${process.pid % 100000}`;
const state = mkdtempSync(join(tmpdir(), 'cirri-peer-'));
const paths = statePaths(instance, state);
const record = makeRecord({ instance, version: '0', nodes: 1, subnet: freeSubnet(hostPrefixes())!, routing: 'tunnel', apiserverPort: 1 });
const silent: Progress = { step: (_, run) => Promise.resolve(run()), note: () => {} };
const [node] = record.nodes as readonly [(typeof record.nodes)[0]];
const [far4, far6] = ['198.51.100.7', '2001:db8::7'];
let outside: Outside;
let near: Peer;
let far: Peer;

before(() => {
  ensureNetwork(record, paths);
  outside = new Outside(record, paths);
  outside.setAddresses([far4, far6]);
  const cgroup = `${cgroupRoot()}/${instance}/node1`;
  mkdirSync(cgroup, { recursive: true });
  near = new Peer({ label: 'node1', netns: paths.node('node1').netns, cgroup });
  far = new Peer(outside.origin);
});
after(async () => {
  near.close();
  far.close();
  outside.close();
  await bringDown({ instance, paths, keepState: false }, silent);
  rmSync(state, { recursive: true, force: true });
});

async function probe(protocol: PeerProtocol, destination: string, port: number, more: { readonly from?: Peer; readonly source?: string; readonly timeoutMs?: number; readonly request?: string } = {}) {
  let own: End | undefined;
  const { from = near, timeoutMs = 10_000, source, request } = more;
  const { result } = from.probe({ protocol, destination, port, timeoutMs, ...(source !== undefined && { source }), ...(request !== undefined && { request }) }, end => (own = end));
  return { ...(await result), own };
}

test('a request is answered, and what answers otherwise or not at all is no allowance', async () => {
  far.listen('tcp', 9081);
  await far.sync();
  const request = `GET /a HTTP/1.1\r\nHost: far\r\nX-Long: ${'x'.repeat(3000)}\r\n\r\n`;
  for (const address of [far4, far6]) assert.equal((await probe('tcp', address, 9081, { request })).outcome, 'allow');
  assert.equal((await probe('tcp', far4, 9082, { request })).outcome, 'refused', 'nobody listens');
  assert.equal((await probe('tcp', far4, 9081, { request: 'GET /a HTTP/1.1\r\n', timeoutMs: 200 })).outcome, 'silent', 'half a request has no answer');
});

test('every protocol, both families: an answer where somebody listens, a refusal where nobody does', async () => {
  for (const protocol of ['tcp', 'udp', 'sctp'] as const) far.listen(protocol, 8080);
  await far.sync();
  for (const address of [far4, far6]) {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      const { outcome, own } = await probe(protocol, address, 8080);
      assert.equal(outcome, 'allow', `${protocol} ${address}`);
      assert.equal(own?.ip, address === far4 ? node.underlay4 : node.underlay6);
      assert.ok(own.port > 0);
      assert.equal((await probe(protocol, address, 8081)).outcome, 'refused', `${protocol} ${address}`);
    }
    assert.equal((await probe('icmp', address, 0)).outcome, 'allow');
  }
});

test('from one of many addresses, and answered from the one that was asked', async () => {
  for (const protocol of ['tcp', 'udp', 'sctp', 'icmp'] as const) near.listen(protocol, 9090);
  await near.sync();
  for (const [source, destination] of [[far4, node.underlay4], [far6, node.underlay6]] as const) {
    for (const protocol of ['tcp', 'udp', 'sctp', 'icmp'] as const) {
      const { outcome, own } = await probe(protocol, destination, protocol === 'icmp' ? 0 : 9090, { from: far, source });
      assert.equal(outcome, 'allow', `${protocol} from ${source}`);
      assert.equal(own?.ip, source);
    }
  }
});

test('silence is silence: after the time, and at once when it is called off', async () => {
  // The bridge's own subnet: nobody answers for this address, not even with a refusal.
  const nobody = record.underlay.prefix4.replace('.0/24', '.99');
  assert.equal((await probe('tcp', nobody, 80, { timeoutMs: 50 })).outcome, 'silent');
  const attempt = near.probe({ protocol: 'udp', destination: nobody, port: 80, timeoutMs: 600_000 }, () => attempt.cancel());
  assert.equal((await attempt.result).outcome, 'silent');
});

test('a thousand at once', async () => {
  far.listen('tcp', 80);
  await far.sync();
  const results = await Promise.all(Array.from({ length: 1000 }, () => probe('tcp', far4, 80)));
  assert.equal(results.filter(r => r.outcome === 'allow').length, 1000);
});

test('addresses that are no longer wanted are gone; what cannot be done is said', async () => {
  outside.setAddresses([far6]);
  assert.notEqual((await probe('tcp', far4, 80, { timeoutMs: 50 })).outcome, 'allow');
  outside.setAddresses([far4, far6]);
  assert.equal((await probe('tcp', far4, 80)).outcome, 'allow');
  assert.equal((await probe('tcp', far4, 80, { source: '203.0.113.1' })).outcome, 'unreachable');
  near.listen('tcp', 70_000);
  await assert.rejects(near.sync(), /rig's end in node1: failed not understood/);
});
