import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import type { Service } from '../../../src/kube/types.ts';
import { eventually } from '../cluster.ts';
import { external, ipIn, outside } from '../outside.ts';
import { countPackets, startServer } from '../witness.ts';
import { inside } from './inside.ts';
import { clusterIp, families, namespace, nodePort, port, protocols, type Family, type Wish, type World } from './world.ts';

export interface OutsideMode {
  /** dsr: a backend elsewhere sees the client and answers it itself; hybrid: of TCP. */
  readonly mode: 'snat' | 'dsr' | 'hybrid';
}

const nodes = ['node1', 'node2'] as const;
const own = { 4: outside.wide4, 6: outside.wide6 } as const;
const other = { 4: outside.other4, 6: outside.other6 } as const;
const narrow = { 4: outside.narrow4, 6: outside.narrow6 } as const;

/** What clients outside reach, in whatever way the cluster is set up. */
export function outsideTests(world: World, { mode }: OutsideMode): void {
  /** The service's port at every node, of both families and protocols. */
  const nodePortWishes = (service: Service, at: readonly string[] = nodes): Wish[] => at.flatMap(node => families.flatMap(family =>
    protocols.map(protocol => ({ to: world.nodeAddress(node, family), port: nodePort(service, protocol), protocol }))));
  const loadBalancerWishes = (service: Service): Wish[] => families.flatMap(family => protocols.map(protocol => ({ to: ingressAddress(service, family), port: 80, protocol })));

  test('A07 a node port answers at every node: from outside, from pods, from nodes; TCP and UDP, both families', async t => {
    const backends = await world.backends(t, 'np', ['node1', 'node2']);
    const service = await world.service(t, 'np', { type: 'NodePort', selector: { app: 'np' } });
    await world.expectAll(['outside', ...inside], nodePortWishes(service), 'answered');
    for (const wish of nodePortWishes(service)) await world.expectSpread('outside', wish, backends);
    for (const node of nodes) for (const loopback of ['127.0.0.1', '::1']) await world.expect(node, { to: loopback, port: nodePort(service) }, 'answered', 'at the loopback address');
  });

  const isDirect = (protocol: Wish['protocol']) => mode === 'dsr' || (mode === 'hybrid' && protocol !== 'UDP');

  test(`A07 externalTrafficPolicy Cluster: a backend elsewhere sees ${{ dsr: 'the client itself', snat: 'the cluster, not the client', hybrid: 'the client of TCP, and not of UDP' }[mode]}`, async t => {
    await world.backends(t, 'far', ['node2']);
    const service = await world.service(t, 'far', { type: 'NodePort', selector: { app: 'far' } });
    const clients: readonly string[] = [own[4], own[6]];
    for (const wish of nodePortWishes(service, ['node1'])) {
      const { served } = await world.expect('outside', wish, 'answered');
      assert.equal(clients.includes(served!.peer), isDirect(wish.protocol), `seen as ${served!.peer} over ${wish.protocol}`);
    }
  });

  test('A07 externalTrafficPolicy Local: the client\'s address is kept, and a node without a backend is silent to it', async t => {
    await world.backends(t, 'etp', ['node2', 'node2']);
    const service = await world.service(t, 'etp', { type: 'NodePort', externalTrafficPolicy: 'Local', selector: { app: 'etp' } });
    const answers = await world.expectAll(['outside'], nodePortWishes(service, ['node2']), 'answered');
    for (const { served } of answers) assert.ok([own[4], own[6]].includes(served!.peer as never), `seen as ${served!.peer}`);
    await world.expectAll(['outside'], nodePortWishes(service, ['node1']), 'silent');
    // Inside it is one cluster: pods and nodes reach it through any node.
    await world.expectAll(inside, nodePortWishes(service), 'answered');
  });

  test('A08 a load balancer service gets addresses of a pool and answers there, through either node', async t => {
    const backends = await world.backends(t, 'lb', ['node1', 'node2']);
    await world.service(t, 'lb', { type: 'LoadBalancer', selector: { app: 'lb' } });
    const service = await withAddresses('lb');
    for (const node of nodes) {
      world.outside.sendTo(node, ingressAddresses(service));
      await world.expectAll(['outside'], loadBalancerWishes(service), 'answered', `through ${node}`);
      for (const wish of loadBalancerWishes(service)) await world.expectSpread('outside', wish, backends);
    }
    await world.expectAll(inside, loadBalancerWishes(service), 'answered');
    const answer = await world.ask('outside', loadBalancerWishes(service)[0]!);
    assert.equal(answer.remote, ingressAddress(service, 4));
  });

  test('A08 requested addresses of a pool, and loadBalancerSourceRanges: who is not named is not served; the deny form the other way round', async t => {
    const wanted = [external.lb4, external.lb6];
    await world.make(t, { apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name: 'e2e' }, spec: { blocks: [{ cidr: external.pool4 }, { cidr: external.pool6 }] } } as never);
    await world.backends(t, 'ranges', ['node1', 'node2']);
    await world.service(t, 'ranges', { type: 'LoadBalancer', selector: { app: 'ranges' }, loadBalancerSourceRanges: [`${other[4]}/32`, `${other[6]}/128`] }, { annotations: { 'lbipam.cilium.io/ips': wanted.join(',') } });
    const service = await withAddresses('ranges');
    assert.deepEqual([...ingressAddresses(service)].sort(), [...wanted].sort());
    for (const node of nodes) {
      world.outside.sendTo(node);
      for (const family of families) {
        const wishes = protocols.map(protocol => ({ to: ingressAddress(service, family), port: 80, protocol }));
        await world.expectAll(['outside'], wishes.map(wish => ({ ...wish, from: other[family] })), 'answered', `through ${node}`);
        await world.expectAll(['outside'], wishes.map(wish => ({ ...wish, from: own[family], timeoutMs: 700 })), answer => answer.outcome !== 'answered');
      }
    }
    await world.patchService('ranges', { metadata: { annotations: { 'service.cilium.io/src-ranges-policy': 'deny' } } });
    for (const family of families) {
      const wish = { to: ingressAddress(service, family), port: 80 };
      await world.expect('outside', { ...wish, from: own[family] }, 'answered', 'deny form');
      await world.expect('outside', { ...wish, from: other[family], timeoutMs: 700 }, answer => answer.outcome !== 'answered', 'deny form');
    }
  });

  test('A09 externalIPs that the operator allows answer, from outside and inside', async t => {
    const backends = await world.backends(t, 'ext', ['node1', 'node2']);
    await world.service(t, 'ext', { selector: { app: 'ext' }, externalIPs: [external.ip4, external.ip6] });
    const wishes = [external.ip4, external.ip6].flatMap(to => protocols.map(protocol => ({ to, port: 80, protocol })));
    for (const node of nodes) {
      world.outside.sendTo(node);
      await world.expectAll(['outside', ...inside], wishes, 'answered', `through ${node}`);
    }
    for (const wish of wishes) await world.expectSpread('outside', wish, backends);
  });

  test('A09 a host port answers at the pod\'s own node and sees the client', async t => {
    await world.backends(t, 'hp', ['node2'], { ports: protocols.map(protocol => ({ containerPort: port, hostPort: 8642, protocol })) });
    const wishes = families.flatMap(family => protocols.map(protocol => ({ to: world.nodeAddress('node2', family), port: 8642, protocol })));
    const answers = await world.expectAll(['outside', ...inside], wishes, 'answered');
    for (const { served } of answers.slice(0, wishes.length)) assert.ok([own[4], own[6]].includes(served!.peer as never), `seen as ${served!.peer}`);
    await world.expectAll(['outside'], [{ to: world.nodeAddress('node1', 4), port: 8642 }], answer => answer.outcome !== 'answered', 'not at the other node');
  });

  test('A12 all that a client outside gets is from the address that it asked', async t => {
    await world.backends(t, 'seen', ['node1', 'node2']);
    const service = await world.service(t, 'seen', { type: 'NodePort', selector: { app: 'seen' } });
    await world.expectAll(['outside'], nodePortWishes(service, ['node1']), 'answered');
    const foreign = countPackets(t, world.outside.client.netns, 'input', ...families.map(family => `meta l4proto { tcp, udp } ${family === 4 ? 'ip' : 'ip6'} saddr != ${world.nodeAddress('node1', family)}`));
    for (const wish of nodePortWishes(service, ['node1'])) await world.many('outside', wish, 20);
    assert.equal(foreign(), 0);
  });

  test(`A17 the answer of a backend elsewhere ${mode === 'snat' ? 'comes' : 'does not come'} back through the node that was asked`, async t => {
    await world.backends(t, 'path', ['node2']);
    const service = await world.service(t, 'path', { type: 'NodePort', selector: { app: 'path' } });
    for (const family of families) {
      const wish = { to: world.nodeAddress('node1', family), port: nodePort(service), path: '/bytes/2000000' };
      await world.expect('outside', wish, 'answered');
      const [before1, before2] = [sentBytes('node1'), sentBytes('node2')];
      assert.equal((await world.ask('outside', wish)).bytes, 2_000_000);
      const [by1, by2] = [sentBytes('node1') - before1, sentBytes('node2') - before2];
      assert.ok(by2 > 1_900_000, `node2 sent ${by2}`);
      assert.equal(by1 > 1_900_000, mode === 'snat', `node1 sent ${by1}`);
    }
  });

  test('A17 a service may ask for another way of forwarding than the cluster\'s', async t => {
    await world.backends(t, 'way', ['node2']);
    const direct = mode === 'snat';
    const service = await world.service(t, 'way', { type: 'NodePort', selector: { app: 'way' } }, { annotations: { 'service.cilium.io/forwarding-mode': direct ? 'dsr' : 'snat' } });
    for (const wish of nodePortWishes(service, ['node1'])) {
      const { served } = await world.expect('outside', wish, 'answered');
      assert.equal([own[4], own[6]].includes(served!.peer as never), direct, `seen as ${served!.peer} over ${wish.protocol}`);
    }
  });

  test('A24 a pod that talks to the outside has its node\'s address there', async t => {
    await startServer(t, world.outside.client, 7070);
    for (const [client, node] of [['client-1', 'node1'], ['client-2', 'node2']] as const) {
      for (const family of families) for (const protocol of protocols) {
        const answer = await world.expect(client, { to: own[family], port: 7070, protocol }, 'answered');
        assert.equal(answer.served!.peer, world.nodeAddress(node, family));
      }
    }
  });

  test('A27 a path of 1,300 bytes: ICMP of a packet too big reaches the backend through NAT, and the answer comes whole', async t => {
    await world.backends(t, 'mtu', ['node2']);
    const service = await world.service(t, 'mtu', { type: 'NodePort', selector: { app: 'mtu' } });
    for (const family of families) for (const node of nodes) {
      const tooBig = countPackets(t, world.outside.router.netns, 'output', family === 4 ? 'icmp type destination-unreachable' : 'icmpv6 type packet-too-big');
      const answer = await world.expect('outside', { to: world.nodeAddress(node, family), port: nodePort(service), from: narrow[family], path: '/bytes/300000' }, 'answered', 'over the narrow path');
      assert.equal(answer.bytes, 300_000);
      // The first to ask learns the way for all; the second node's backend is the same pod.
      if (node === 'node1') assert.ok(tooBig() > 0, 'the router complained');
    }
  });

  test('A27 fragments find their backend: datagrams of 4,000 bytes, there and back', async t => {
    await world.backends(t, 'frag', ['node1', 'node2']);
    const service = await world.service(t, 'frag', { type: 'NodePort', selector: { app: 'frag' } });
    for (const node of nodes) for (const family of families) {
      const wish: Wish = { to: world.nodeAddress(node, family), port: nodePort(service, 'UDP'), protocol: 'UDP', bytes: 4_000 };
      await world.expect('outside', wish, answer => answer.outcome === 'answered' && answer.bytes === 4_000, 'fragments');
      await world.expectSpread('outside', wish, ['frag-1', 'frag-2'], 16);
    }
  });

  test('A27 datagrams that fill the client\'s MTU arrive', async t => {
    await world.backends(t, 'full', ['node2']);
    const service = await world.service(t, 'full', { type: 'NodePort', selector: { app: 'full' } });
    for (const node of nodes) for (const [family, bytes] of [[4, 1472], [6, 1452]] as const) {
      await world.expect('outside', { to: world.nodeAddress(node, family), port: nodePort(service, 'UDP'), protocol: 'UDP', bytes }, answer => answer.outcome === 'answered' && answer.bytes === bytes, 'full');
    }
  });

  test('A27 a request of many full segments arrives', async t => {
    await world.backends(t, 'large', ['node2']);
    const service = await world.service(t, 'large', { type: 'NodePort', selector: { app: 'large' } });
    for (const node of nodes) for (const family of families) {
      await world.expect('outside', { to: world.nodeAddress(node, family), port: nodePort(service), path: `/${'x'.repeat(12_000)}` }, 'answered', 'large');
    }
  });

  test('A27 fragments between pods find their service', async t => {
    await world.backends(t, 'pieces', ['node1', 'node2']);
    const service = await world.service(t, 'pieces', { selector: { app: 'pieces' } });
    for (const family of families) await world.expect('client-1', { to: clusterIp(service, family), port: 80, protocol: 'UDP', bytes: 4_000 } as Wish, answer => answer.outcome === 'answered' && answer.bytes === 4_000, 'fragments');
  });

  test('A15 affinity of a client outside is by its address', async t => {
    await world.backends(t, 'visited', ['node1', 'node2', 'node2']);
    const service = await world.service(t, 'visited', { type: 'NodePort', selector: { app: 'visited' }, sessionAffinity: 'ClientIP' });
    for (const family of families) {
      const wish = { to: world.nodeAddress('node1', family), port: nodePort(service) };
      for (const from of [own[family], other[family]]) {
        await world.expect('outside', { ...wish, from }, 'answered');
        const report = await world.many('outside', { ...wish, from }, 20);
        assert.deepEqual([Object.keys(report.served).length, report.failed], [1, {}], JSON.stringify(report));
      }
    }
  });

  test('A01 a node port without a backend refuses who comes from outside', async t => {
    const service = await world.service(t, 'void', { type: 'NodePort', selector: { app: 'void' } });
    await world.expectToldAtOnce(['outside'], nodePortWishes(service).map(wish => ({ ...wish, connected: true })));
  });

  async function withAddresses(name: string): Promise<Service> {
    let service: Service | undefined;
    await eventually(`${name} has addresses of both families`, 20_000, async () => {
      service = await world.api.get<Service>(resources.services, name, namespace);
      return service && ingressAddresses(service).length === 2 ? undefined : JSON.stringify(service?.status ?? 'no status');
    });
    return service!;
  }

  function sentBytes(node: string): number {
    const text = ipIn(world.cluster.paths.node(node).netns, '-s', '-j', 'link', 'show', 'eth0');
    return (JSON.parse(text) as { stats64: { tx: { bytes: number } } }[])[0]!.stats64.tx.bytes;
  }
}

function ingressAddresses(service: Service): readonly string[] {
  return (service.status?.loadBalancer?.ingress ?? []).map(one => one.ip ?? '');
}

function ingressAddress(service: Service, family: Family): string {
  return ingressAddresses(service).find(ip => ip.includes(':') === (family === 6))!;
}
