import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import type { KubeObject, Service } from '../../../src/kube/types.ts';
import { eventually } from '../cluster.ts';
import { namespace, pod, port, service, World } from './world.ts';

describe('objects around services: names, the host\'s way in, weights', { concurrency: false }, () => {
  const world = new World('o');
  before(() => world.start());
  after(() => world.stop());

  /** As a program in a pod resolves it (getaddrinfo): sorted addresses. */
  async function resolve(name: string): Promise<readonly string[]> {
    const { code, stdout } = await world.cluster.cirri('exec', `${namespace}/client-1`, '--', 'getent', 'ahosts', name);
    return code === 0 ? [...new Set(stdout.split('\n').filter(Boolean).map(line => line.split(/\s+/)[0]!))].sort() : [];
  }
  const resolvesTo = (name: string, ...addresses: readonly string[]) => eventually(`${name} is ${addresses.join(', ')}`, 20_000, async () => {
    const found = await resolve(name);
    return found.join() === [...addresses].sort().join() ? undefined : found.join();
  });
  const slice = (name: string, of: string, address: string): KubeObject => ({
    apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace, labels: { 'kubernetes.io/service-name': of } },
    addressType: address.includes(':') ? 'IPv6' : 'IPv4', endpoints: [{ addresses: [address] }], ports: [{ name: 'tcp', port, protocol: 'TCP' }],
  });

  test('a headless service is its endpoints in DNS, a host name one of them, the unready only where they are published', async t => {
    const [hosted] = await world.make(t, pod('h-1', 'node1', { app: 'h' }, { spec: { hostname: 'first', subdomain: 'head' } }), pod('h-2', 'node2', { app: 'h' }, { container: { readinessProbe: { exec: { command: ['false'] } } } }));
    const ready = (await world.podsReady(hosted!.metadata.name)).get('h-1')!;
    await world.service(t, 'head', { clusterIP: 'None', selector: { app: 'h' } });
    await world.service(t, 'all', { clusterIP: 'None', selector: { app: 'h' }, publishNotReadyAddresses: true });
    await resolvesTo('head', ...ready);
    await resolvesTo('first.head', ...ready);
    let unready: readonly string[] = [];
    await eventually('the other pod has addresses', 20_000, async () => {
      const object = await world.api.get(resources.pods, 'h-2', namespace);
      unready = ((object?.status as { podIPs?: readonly { ip: string }[] } | undefined)?.podIPs ?? []).map(({ ip }) => ip);
      return unready.length === 2 ? undefined : JSON.stringify(unready);
    });
    await resolvesTo('all', ...ready, ...unready);
    await resolvesTo('head', ...ready);
  });

  test('a service without a selector has the endpoints that somebody writes, as slices or as Endpoints', async t => {
    await world.backends(t, 'own', ['node2']);
    const [v4, v6] = (await world.podsReady('own-1')).get('own-1')!;
    const plain = { ports: [{ name: 'tcp', port: 80, targetPort: port }] };
    const bySlices = await world.service(t, 'by-slices', plain);
    await world.make(t, slice('by-slices-4', 'by-slices', v4!), slice('by-slices-6', 'by-slices', v6!));
    const byEndpoints = await world.service(t, 'by-endpoints', plain);
    await world.make(t, { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'by-endpoints', namespace }, subsets: [{ addresses: [{ ip: v4 }, { ip: v6 }], ports: [{ name: 'tcp', port }] }] } as unknown as KubeObject);
    for (const made of [bySlices, byEndpoints]) for (const to of made.spec!.clusterIPs!) await world.expect('client-1', { to, port: 80 }, answer => answer.served?.pod === 'own-1');
    await world.api.delete(resources.endpoints, 'by-endpoints', namespace);
    for (const to of byEndpoints.spec!.clusterIPs!) await world.expect('client-1', { to, port: 80 }, 'refused');
    await world.api.create(resources.endpoints, { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'by-endpoints', namespace }, subsets: [] } as KubeObject);
  });

  test('ExternalName is an alias, followed within the cluster', async t => {
    await world.backends(t, 'real', ['node1']);
    const real = await world.service(t, 'real', { selector: { app: 'real' } });
    await world.make(t, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'alias', namespace }, spec: { type: 'ExternalName', externalName: `real.${namespace}.svc.cluster.local` } } as unknown as Service);
    await resolvesTo('alias', ...real.spec!.clusterIPs!);
  });

  test('the host reaches a load balancer address over both families; with policy Local over the node that serves, which sees the host', async t => {
    const { host4, host6 } = world.record.underlay;
    const fromHost = (address: string) => new Promise<{ pod?: string; peer?: string }>(done => {
      get({ host: address, port: 80, timeout: 2_000, agent: false }, response => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part)).on('end', () => done(JSON.parse(text) as { pod?: string; peer?: string }));
      }).on('error', () => done({})).on('timeout', function (this: ReturnType<typeof get>) { this.destroy(); });
    });
    await world.backends(t, 'lb', ['node2']);
    for (const policy of ['Cluster', 'Local'] as const) {
      const name = `lb-${policy.toLowerCase()}`;
      await world.make(t, service(name, { type: 'LoadBalancer', selector: { app: 'lb' }, externalTrafficPolicy: policy }));
      let addresses: readonly string[] = [];
      await eventually('it has addresses', 20_000, async () => {
        addresses = ((await world.api.get<Service>(resources.services, name, namespace))?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
        return addresses.length === 2 ? undefined : JSON.stringify(addresses);
      });
      for (const address of addresses) {
        await eventually(`${name} answers the host at ${address}`, 20_000, async () => ((await fromHost(address)).pod === 'lb-1' ? undefined : 'not yet'));
        for (let i = 0; i < 10; i++) {
          const { pod: served, peer } = await fromHost(address);
          assert.equal(served, 'lb-1');
          if (policy === 'Local') assert.equal(peer, address.includes(':') ? host6 : host4);
        }
      }
    }
  });

  test('trafficDistribution PreferSameNode: a client is served on its own node while that has a backend', async t => {
    await world.backends(t, 'same', ['node1', 'node2']);
    const made = await world.service(t, 'same', { selector: { app: 'same' }, trafficDistribution: 'PreferSameNode' });
    for (const to of made.spec!.clusterIPs!) {
      await world.expectSpread('client-1', { to, port: 80 }, ['same-1']);
      await world.expectSpread('client-2', { to, port: 80 }, ['same-2']);
    }
    await world.api.delete(resources.pods, 'same-2', namespace, { gracePeriodSeconds: 0 });
    for (const to of made.spec!.clusterIPs!) await world.expectSpread('client-2', { to, port: 80 }, ['same-1']);
    await world.api.create(resources.pods, pod('same-2', 'node2', { app: 'same' }));
  });

  test('weights share new connections out; a pod of weight 0 gets none', async t => {
    const weight = (value: string) => ({ annotations: { 'service.cirri.io/weight': value } });
    await world.make(t, pod('w-none', 'node1', { app: 'w' }, weight('0')), pod('w-one', 'node1', { app: 'w' }), pod('w-four', 'node2', { app: 'w' }, weight('4')));
    await world.podsReady('w-none', 'w-one', 'w-four');
    const made = await world.service(t, 'w', { selector: { app: 'w' } });
    const wish = { to: made.spec!.clusterIPs![0]!, port: 80 };
    await world.expectSpread('client-1', wish, ['w-one', 'w-four']);
    const { served } = await world.many('client-1', wish, 400);
    const share = (served['w-four'] ?? 0) / 400;
    // Four in five; six standard deviations of 400 draws.
    assert.ok(Math.abs(share - 0.8) < 0.12, JSON.stringify(served));
  });
});
