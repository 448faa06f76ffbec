import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { external, ipIn } from '../outside.ts';
import { outsideTests } from './outside-tests.ts';
import { World } from './world.ts';

describe('clients outside served by XDP, generic as these devices have it, with TCP answered directly (hybrid)', { concurrency: false }, () => {
  const world = new World('x');
  before(() => world.start('--set', 'loadBalancer.acceleration=generic', '--set', 'loadBalancer.mode=hybrid', '--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`));
  after(() => world.stop());

  test('A04 A18 XDP is on the uplink of every node, and the status says in which way', async () => {
    for (const node of ['node1', 'node2']) assert.match(ipIn(world.cluster.paths.node(node).netns, '-d', 'link', 'show', 'eth0'), /xdpgeneric/);
    assert.match((await world.cluster.cirri('status', '--verbose')).stdout, /XDP.*generic/i);
  });

  test('A18 packets a second by XDP beside tcx', { skip: 'generic XDP runs after the packet has got its skb, and native XDP on a veth takes segmentation offload away: neither shows what a network card would' }, () => {});

  outsideTests(world, { mode: 'hybrid' });
});
