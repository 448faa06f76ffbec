import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import { clusterIp, families, namespace, port, World } from './world.ts';

for (const [tag, how, flags] of [['l', 'at the socket', []], ['r', 'packet by packet', ['--set', 'socketLB.hostNamespaceOnly=true', '--routing', 'native']]] as const) describe(`A25 local redirect policies, ${how}`, { concurrency: false }, () => {
  const world = new World(tag);
  before(() => world.start(...flags));
  after(() => world.stop());

  async function policy(t: TestContext, name: string, redirectFrontend: object, app: string, more: object = {}): Promise<void> {
    const ports = { toPorts: [{ port: String(port), protocol: 'TCP' }] };
    await world.make(t, {
      apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name, namespace },
      spec: { redirectFrontend, redirectBackend: { localEndpointSelector: { matchLabels: { app } }, ...ports }, ...more },
    } as KubeObject);
  }
  const servedBy = (name: string) => (answer: { readonly served?: { readonly pod: string } }) => answer.served?.pod === name;
  const servedByOneOf = (...names: readonly string[]) => (answer: { readonly served?: { readonly pod: string } }) => names.includes(answer.served?.pod ?? '');

  test('a service\'s traffic goes to the pod of the client\'s own node; without one, to the service\'s own backends', async t => {
    await world.backends(t, 'web', ['node1', 'node2']);
    const web = await world.service(t, 'web', { selector: { app: 'web' } });
    await world.backends(t, 'cache', ['node1']);
    for (const family of families) await world.expectSpread('client-1', { to: clusterIp(web, family), port: 80 }, ['web-1', 'web-2']);
    await policy(t, 'cache', { serviceMatcher: { serviceName: 'web', namespace } }, 'cache');
    for (const family of families) {
      await world.expectSpread('client-1', { to: clusterIp(web, family), port: 80 }, ['cache-1']);
      await world.expectSpread('node1', { to: clusterIp(web, family), port: 80 }, ['cache-1']);
      await world.expectSpread('client-2', { to: clusterIp(web, family), port: 80 }, ['web-1', 'web-2']);
      // UDP is none of the policy's ports.
      await world.expect('client-1', { to: clusterIp(web, family), port: 80, protocol: 'UDP' }, servedByOneOf('web-1', 'web-2'));
    }
    await world.api.delete(resources.pods, 'cache-1', namespace, { gracePeriodSeconds: 0 });
    for (const family of families) await world.expectSpread('client-1', { to: clusterIp(web, family), port: 80 }, ['web-1', 'web-2']);
  });

  test('a link-local address is served by the node\'s own pod, and by nobody when the policy goes', async t => {
    await world.backends(t, 'meta', ['node1', 'node2']);
    const wish = { to: '169.254.169.254', port: 80 };
    await policy(t, 'meta', { addressMatcher: { ip: wish.to, toPorts: [{ port: '80', protocol: 'TCP' }] } }, 'meta');
    await world.expectSpread('client-1', wish, ['meta-1']);
    await world.expectSpread('client-2', wish, ['meta-2']);
    await world.api.delete(resources.ciliumLocalRedirectPolicies, 'meta', namespace);
    await world.expect('client-1', { ...wish, timeoutMs: 1_000 }, answer => answer.served === undefined);
    await assert.doesNotReject(world.api.create(resources.ciliumLocalRedirectPolicies, { apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name: 'meta', namespace }, spec: { redirectFrontend: { addressMatcher: { ip: wish.to, toPorts: [{ port: '80', protocol: 'TCP' }] } }, redirectBackend: { localEndpointSelector: { matchLabels: { app: 'meta' } }, toPorts: [{ port: String(port), protocol: 'TCP' }] } } }));
    await world.expectSpread('client-1', wish, ['meta-1']);
  });

  test('ports of several protocols belong together by their names, as a node-local DNS cache has them', async t => {
    await world.backends(t, 'resolver', ['node2']);
    const resolver = await world.service(t, 'resolver', { selector: { app: 'resolver' } });
    await world.backends(t, 'local', ['node1']);
    const ports = [{ name: 'udp', port: String(port), protocol: 'UDP' }, { name: 'tcp', port: String(port), protocol: 'TCP' }];
    await world.make(t, {
      apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name: 'local', namespace },
      spec: { redirectFrontend: { serviceMatcher: { serviceName: 'resolver', namespace } }, redirectBackend: { localEndpointSelector: { matchLabels: { app: 'local' } }, toPorts: ports } },
    } as KubeObject);
    for (const family of families) for (const protocol of ['TCP', 'UDP'] as const) {
      await world.expect('client-1', { to: clusterIp(resolver, family), port: 80, protocol }, servedBy('local-1'));
      await world.expect('client-2', { to: clusterIp(resolver, family), port: 80, protocol }, servedBy('resolver-1'));
    }
  });

  test('with skipRedirectFromBackend the pod behind it reaches the service itself', async t => {
    await world.backends(t, 'origin', ['node2']);
    const origin = await world.service(t, 'origin', { selector: { app: 'origin' } });
    await world.expect('client-1', { to: clusterIp(origin, 4), port: 80 }, servedBy('origin-1'));
    await world.backends(t, 'proxy', ['node1']);
    await policy(t, 'proxy', { serviceMatcher: { serviceName: 'origin', namespace } }, 'proxy', { skipRedirectFromBackend: true });
    for (const family of families) {
      await world.expect('client-1', { to: clusterIp(origin, family), port: 80 }, servedBy('proxy-1'));
      await world.expect('proxy-1', { to: clusterIp(origin, family), port: 80 }, servedBy('origin-1'));
    }
  });
});
