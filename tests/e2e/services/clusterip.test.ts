import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { clusterIp, clusterWishes, families, protocols, World } from './world.ts';

/**
 * Services inside of the cluster, as it comes up without any setting: tunnel, socket hooks in every namespace.
 */
describe('cluster addresses', { concurrency: false }, () => {
  const world = new World('s');
  const inside = ['client-1', 'client-2', 'node1', 'node2'];

  before(() => world.start());
  after(() => world.stop());

  test('A01 a service answers pods and nodes, both families, TCP and UDP, and the client sees the service alone', async t => {
    const backends = await world.backends(t, 'all', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'all', { selector: { app: 'all' } });
    const answers = await world.expectAll(inside, clusterWishes(service), 'answered');
    for (const answer of answers) assert.ok(backends.includes(answer.served!.pod));
    for (const family of families) for (const protocol of protocols) {
      const to = clusterIp(service, family);
      const { remote } = await world.ask('client-1', { to, port: 80, protocol });
      assert.equal(remote, to, 'getpeername and recvmsg give the service');
    }
  });

  test('A06 every backend is hit in 2,000 connections, and each sees the pod that asked', async t => {
    const backends = await world.backends(t, 'hit', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'hit', { selector: { app: 'hit' } });
    for (const family of families) {
      const wish = { to: clusterIp(service, family), port: 80 };
      await world.expectSpread('client-1', wish, backends);
      const report = await world.many('client-1', wish, 1_000);
      assert.deepEqual([Object.keys(report.served).sort(), report.failed], [[...backends].sort(), {}]);
      const { served } = await world.ask('client-1', wish);
      const [own] = (await world.podsReady('client-1')).values();
      assert.ok(own!.includes(served!.peer), `${served!.peer} is the client's`);
    }
  });
});
