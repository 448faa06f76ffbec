import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import { countPackets } from '../witness.ts';
import { clusterIp, clusterWishes, families, namespace, port, protocols, type World } from './world.ts';

/** Who is inside of the cluster: pods and processes of both nodes. */
export const inside = ['client-1', 'client-2', 'node1', 'node2'] as const;
const pods = ['client-1', 'client-2'] as const;

export interface InsideMode {
  /** Sockets of pods are left alone: their services are translated packet by packet. */
  readonly perPacket: boolean;
}

/** Cluster addresses from inside, in whatever way the cluster is set up. */
export function insideTests(world: World, { perPacket }: InsideMode): void {
  test('A01 a service answers pods and nodes, both families, TCP and UDP, and the client sees the service alone', async t => {
    const backends = await world.backends(t, 'all', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'all', { selector: { app: 'all' } });
    const answers = await world.expectAll(inside, clusterWishes(service), 'answered');
    for (const answer of answers) assert.ok(backends.includes(answer.served!.pod));
    for (const wish of clusterWishes(service)) {
      assert.equal((await world.ask('client-1', wish)).remote, wish.to, 'getpeername and recvmsg give the service');
      if (wish.protocol === 'UDP') assert.equal((await world.ask('client-1', { ...wish, connected: true })).remote, wish.to, 'of a connected socket too');
    }
  });

  test(`A05 ${perPacket ? 'without socket hooks the service\'s address is on the pod\'s device' : 'at the socket: no packet of a pod bears the service\'s address'}`, async t => {
    await world.backends(t, 'first', ['node2']);
    const service = await world.service(t, 'first', { selector: { app: 'first' } });
    const { netns } = await world.origin('client-1');
    const seen = countPackets(t, netns, 'output', `ip daddr ${clusterIp(service, 4)}`, `ip6 daddr ${clusterIp(service, 6)}`);
    const arrived = countPackets(t, netns, 'input', `ip saddr ${clusterIp(service, 4)}`, `ip6 saddr ${clusterIp(service, 6)}`);
    await world.expectAll(['client-1'], clusterWishes(service), 'answered');
    const [before, back] = [seen(), arrived()];
    for (const wish of clusterWishes(service)) assert.equal((await world.ask('client-1', wish)).outcome, 'answered');
    if (perPacket) assert.ok(seen() > before && arrived() > back, `${seen()} sent, ${arrived()} back`);
    else assert.deepEqual([seen() - before, arrived() - back], [0, 0]);
  });

  test('A06 every backend is hit in 1,000 connections, and each sees the pod that asked', async t => {
    const backends = await world.backends(t, 'hit', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'hit', { selector: { app: 'hit' } });
    const own = (await world.podsReady('client-1')).get('client-1')!;
    for (const wish of clusterWishes(service)) {
      await world.expectSpread('client-1', wish, backends);
      const report = await world.many('client-1', wish, wish.protocol === 'UDP' ? 200 : 1_000);
      assert.deepEqual([Object.keys(report.served).sort(), report.failed], [[...backends].sort(), {}]);
      const { served } = await world.ask('client-1', wish);
      assert.ok(own.includes(served!.peer), `${served!.peer} is the client's`);
    }
  });

  test('A12 a reply comes from the service, to a socket that takes datagrams from anybody, and the port is the service\'s', async t => {
    await world.backends(t, 'reply', ['node1', 'node2']);
    const service = await world.service(t, 'reply', { selector: { app: 'reply' } });
    await world.expectAll(inside, clusterWishes(service, ['UDP']), ({ remote, remotePort }) => remotePort === 80 && (service.spec?.clusterIPs ?? []).includes(remote ?? ''), 'the answer is from the service');
  });

  test('A15 affinity by client: one backend for all connections of a pod, another when that one is gone', async t => {
    const backends = await world.backends(t, 'sticky', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'sticky', { selector: { app: 'sticky' }, sessionAffinity: 'ClientIP' });
    for (const wish of clusterWishes(service)) {
      await world.expect('client-1', wish, 'answered');
      const report = await world.many('client-1', wish, 30);
      assert.deepEqual([Object.keys(report.served).length, report.failed], [1, {}], JSON.stringify(report));
    }
    const wish = { to: clusterIp(service, 4), port: 80 };
    const chosen = (await world.ask('client-1', wish)).served!.pod;
    await world.api.delete(resources.pods, chosen, namespace, { gracePeriodSeconds: 0 });
    const next = await world.expect('client-1', wish, answer => answer.outcome === 'answered' && answer.served!.pod !== chosen);
    assert.ok(backends.includes(next.served!.pod));
    const after = await world.many('client-1', wish, 30);
    assert.deepEqual(after, { served: { [next.served!.pod]: 30 }, failed: {} });
  });

  test('A15 affinity ends with its timeout', async t => {
    await world.backends(t, 'brief', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'brief', { selector: { app: 'brief' }, sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } });
    const wish = { to: clusterIp(service, 4), port: 80 };
    await world.expect('client-1', wish, 'answered');
    // Within the second it holds; after more than one of silence the choice is free again, and one in three is another's: 12 pauses suffice.
    let last = await world.ask('client-1', wish);
    let changed = false;
    for (let turn = 0; turn < 12 && !changed; turn++) {
      await new Promise(resolve => setTimeout(resolve, 2_100));
      const next = await world.ask('client-1', wish);
      changed = next.served!.pod !== last.served!.pod;
      last = next;
    }
    assert.ok(changed, 'another backend after the timeout');
  });

  test('A06 a pod reaches itself through its own service', async t => {
    for (const [name, node] of [['self-one', 'node1'], ['self-two', 'node2']] as const) {
      await world.backends(t, name, [node]);
      const service = await world.service(t, name, { selector: { app: name } });
      for (const answer of await world.expectAll([`${name}-1`], clusterWishes(service), 'answered')) assert.equal(answer.served!.pod, `${name}-1`);
    }
  });

  test('A01 a service without a backend refuses at once, TCP and UDP, and answers again when there is one', async t => {
    const service = await world.service(t, 'none', { selector: { app: 'none' } });
    // Only a connected UDP socket hears of it.
    const wishes = clusterWishes(service).map(wish => ({ ...wish, connected: true }));
    await world.expectToldAtOnce(inside, wishes);
    await world.backends(t, 'none', ['node2']);
    await world.expectAll(inside, wishes, 'answered');
  });

  test('A23 internalTrafficPolicy Local: each node its own backends, and none from a node that has none', async t => {
    await world.backends(t, 'local', ['node1', 'node1']);
    const service = await world.service(t, 'local', { selector: { app: 'local' }, internalTrafficPolicy: 'Local' });
    await world.expectAll(['client-1', 'node1'], clusterWishes(service), 'answered');
    await world.expectAll(['client-2', 'node2'], clusterWishes(service, ['TCP']), answer => answer.outcome !== 'answered');
    await world.patchService('local', { spec: { internalTrafficPolicy: 'Cluster' } });
    await world.expectAll(['client-2', 'node2'], clusterWishes(service), 'answered');
  });

  test('A23 trafficDistribution PreferClose: a client is served in its own zone while that has a backend', async t => {
    for (const [node, zone] of [['node1', 'a'], ['node2', 'b']] as const) {
      await world.api.patch(resources.nodes, node, undefined, { metadata: { labels: { 'topology.kubernetes.io/zone': zone } } }, { type: 'merge' });
      t.after(() => world.api.patch(resources.nodes, node, undefined, { metadata: { labels: { 'topology.kubernetes.io/zone': null } } }, { type: 'merge' }));
    }
    await world.backends(t, 'near', ['node1', 'node2']);
    const service = await world.service(t, 'near', { selector: { app: 'near' }, trafficDistribution: 'PreferClose' });
    for (const family of families) {
      await world.expectSpread('client-1', { to: clusterIp(service, family), port: 80 }, ['near-1']);
      await world.expectSpread('client-2', { to: clusterIp(service, family), port: 80 }, ['near-2']);
    }
    await world.api.delete(resources.pods, 'near-2', namespace, { gracePeriodSeconds: 0 });
    await world.expectSpread('client-2', { to: clusterIp(service, 4), port: 80 }, ['near-1']);
  });

  test('A25 a local redirect policy: the service\'s clients reach the pod of their own node', async t => {
    await world.backends(t, 'remote', ['node2']);
    await world.backends(t, 'cache', ['node1', 'node2']);
    const service = await world.service(t, 'remote', { selector: { app: 'remote' } });
    await world.expectAll(pods, clusterWishes(service), ({ served }) => served?.pod === 'remote-1');
    const [made] = await world.make(t, {
      apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name: 'cache', namespace },
      spec: {
        redirectFrontend: { serviceMatcher: { serviceName: 'remote', namespace } },
        redirectBackend: { localEndpointSelector: { matchLabels: { app: 'cache' } }, toPorts: protocols.map(protocol => ({ name: protocol.toLowerCase(), port: String(port), protocol })) },
      },
    });
    await world.expectAll(['client-1'], clusterWishes(service), ({ served }) => served?.pod === 'cache-1', 'redirected');
    await world.expectAll(['client-2'], clusterWishes(service), ({ served }) => served?.pod === 'cache-2', 'redirected');
    await world.api.delete(resources.ciliumLocalRedirectPolicies, made!.metadata.name, namespace);
    await world.expectAll(pods, clusterWishes(service), ({ served }) => served?.pod === 'remote-1', 'as before');
  });
}
