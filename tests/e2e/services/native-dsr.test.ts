import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import { external, outside } from '../outside.ts';
import { startServer } from '../witness.ts';
import { insideTests } from './inside.ts';
import { outsideTests } from './outside-tests.ts';
import { families, namespace, nodePort, World } from './world.ts';

describe('services with native routing, Maglev, and backends that answer clients themselves (DSR)', { concurrency: false }, () => {
  const world = new World('d');
  before(() => world.start('--routing', 'native', '--set', 'loadBalancer.mode=dsr', '--set', 'loadBalancer.algorithm=maglev', '--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`,
    '--set', 'ipMasqAgent.enabled=true', '--set', `ipMasqAgent.config.nonMasqueradeCIDRs={${external.unmasqueraded4},${external.unmasqueraded6}}`));
  after(() => world.stop());

  test('A10 A11 the same flow gets the same backend at both nodes, and the flows are spread evenly', async t => {
    await world.backends(t, 'flow', ['node1', 'node2', 'node2']);
    await world.service(t, 'flow', { externalIPs: [external.ip4, external.ip6], selector: { app: 'flow' } });
    for (const to of [external.ip4, external.ip6]) {
      for (const node of ['node1', 'node2']) {
        world.outside.sendTo(node);
        await world.expectSpread('outside', { to, port: 80 }, ['flow-1', 'flow-2', 'flow-3']);
      }
      const chosen = async (node: string) => {
        world.outside.sendTo(node);
        const served: string[] = [];
        for (let ownPort = 20_000; ownPort < 20_060; ownPort++) served.push((await world.ask('outside', { to, port: 80, protocol: 'UDP', ownPort })).served!.pod);
        return served;
      };
      const [first, second] = [await chosen('node1'), await chosen('node2')];
      assert.deepEqual(second, first);
      for (const name of ['flow-1', 'flow-2', 'flow-3']) assert.ok(first.filter(pod => pod === name).length >= 8, `${name} has its part of 60: ${first.join()}`);
    }
  });

  test('A10 A11 when a backend goes, the flows of the others stay where they were', async t => {
    const backends = await world.backends(t, 'stay', ['node1', 'node1', 'node2', 'node2', 'node2']);
    await world.service(t, 'stay', { externalIPs: [external.ip4], selector: { app: 'stay' } });
    world.outside.sendTo('node1');
    await world.expectSpread('outside', { to: external.ip4, port: 80 }, backends, 120);
    const chosen = async () => {
      const served: string[] = [];
      for (let ownPort = 21_000; ownPort < 21_200; ownPort++) served.push((await world.ask('outside', { to: external.ip4, port: 80, protocol: 'UDP', ownPort })).served!.pod);
      return served;
    };
    const before = await chosen();
    await world.api.delete(resources.pods, 'stay-3', namespace, { gracePeriodSeconds: 0 });
    await world.expectSpread('outside', { to: external.ip4, port: 80 }, backends.filter(name => name !== 'stay-3'), 120);
    const after = await chosen();
    const moved = before.filter((pod, i) => pod !== 'stay-3' && pod !== after[i]).length;
    assert.ok(moved <= before.length / backends.length, `${moved} of ${before.length} flows of other backends moved`);
  });

  test('A17 the client is seen with its own address and port, TCP and UDP, both families', async t => {
    await world.backends(t, 'true', ['node2']);
    const service = await world.service(t, 'true', { type: 'NodePort', selector: { app: 'true' } });
    for (const family of families) for (const protocol of ['TCP', 'UDP'] as const) {
      const wish = { to: world.nodeAddress('node1', family), port: nodePort(service, protocol), protocol };
      await world.expect('outside', wish, 'answered');
      const { served, ownPort } = await world.ask('outside', wish);
      assert.deepEqual([served!.peer, served!.peerPort], [family === 4 ? outside.wide4 : outside.wide6, ownPort]);
    }
  });

  test('A24 pods keep their own address towards prefixes that are not to be masqueraded', async t => {
    await startServer(t, world.outside.client, 7071);
    world.outside.routePods(t);
    const own = (await world.podsReady('client-2')).get('client-2')!;
    for (const to of [external.plain4, external.plain6]) {
      const { served } = await world.expect('client-2', { to, port: 7071 }, 'answered');
      assert.ok(own.includes(served!.peer), `seen as ${served!.peer}`);
    }
  });

  insideTests(world, { perPacket: false });
  outsideTests(world, { mode: 'dsr' });
});
