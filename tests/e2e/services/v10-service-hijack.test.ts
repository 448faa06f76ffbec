import assert from 'node:assert/strict';
import { after, before, describe, test, type TestContext } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import type { Condition, KubeObject, Service } from '../../../src/kube/types.ts';
import { eventually } from '../cluster.ts';
import { outside } from '../outside.ts';
import { clusterIp, families, pod, port, service, World } from './world.ts';

/**
 * V10: whoever may write Services and redirect policies in one namespace draws nobody else's traffic to himself
 * (CVE-2020-8554, CVE-2026-32254 externalIPs; CVE-2026-53935 redirect policies; load balancer status).
 *
 *     svc: victim (pods, services, addresses)          evil: an object that names the victim's address, with a pod behind it
 */
describe('V10: services cannot be hijacked from another namespace', { concurrency: false }, () => {
  const world = new World('v');
  const evil = 'evil';

  before(async () => {
    await world.start();
    await world.api.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: evil } });
    for (const node of ['node1', 'node2']) {
      const thief = pod(`thief-${node}`, node, { app: 'thief' });
      await world.api.create(resources.pods, { ...thief, metadata: { ...thief.metadata, namespace: evil } });
      const victim = pod(`victim-${node}`, node, { app: 'victim' });
      await world.api.create(resources.pods, victim);
    }
    await world.podsReady('victim-node1', 'victim-node2');
    await eventually('the thieves run', 60_000, async () => {
      const { items } = await world.api.list(resources.pods, { namespace: evil });
      return items.every(item => (item.status as { conditions?: readonly Condition[] } | undefined)?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')) ? undefined : 'not ready';
    });
  });
  after(() => world.stop());

  /** The attacker's service, older or younger than the victim's. */
  async function attack(t: TestContext, name: string, spec: object, metadata: object = {}): Promise<Service> {
    const thief = service(name, { selector: { app: 'thief' }, ...spec });
    const made = await world.api.create(resources.services, { ...thief, metadata: { ...thief.metadata, ...metadata, namespace: evil } } as Service);
    t.after(() => world.api.delete(resources.services, name, evil));
    return made;
  }

  async function refused(name: string, ...reasons: readonly string[]): Promise<void> {
    await eventually(`${name} hears that ${reasons.join(', ')}`, 20_000, async () => {
      const object = await world.api.get<Service>(resources.services, name, evil);
      const condition = object?.status?.conditions?.find(c => c.type === 'cirri.io/ExternalAddressesRefused');
      return condition?.status === 'True' && reasons.every(reason => condition.message!.includes(reason)) ? undefined : JSON.stringify(object?.status ?? null);
    });
  }

  /** From everywhere that reaches the address at all, in both families: the victim alone serves, again and again. */
  async function stillVictim(addresses: readonly string[], at: number, froms: readonly string[]): Promise<void> {
    for (const from of froms) for (const to of addresses) {
      const { served, failed } = await world.many(from, { to, port: at }, 20);
      assert.deepEqual(failed, {}, `${from} → ${to}:${at}`);
      assert.ok(Object.keys(served).every(name => name.startsWith('victim')), `${from} → ${to}:${at}: ${JSON.stringify(served)}`);
    }
  }
  const inside = ['client-1', 'client-2', 'node1', 'node2'];

  test('externalIPs with a pod\'s address, a service\'s, a node\'s or the API server\'s are not served, and said on the service', async t => {
    const pods = await world.podsReady('victim-node1', 'victim-node2');
    const victim = await world.service(t, 'victim', { selector: { app: 'victim' } });
    await world.expect('client-1', { to: clusterIp(victim, 4), port: 80 }, 'answered');
    const clusterIPs = families.map(family => clusterIp(victim, family));
    const podIPs = [...pods.values()].flat();
    const nodeIPs = ['node1', 'node2'].map(node => world.nodeAddress(node, 4));
    const { host4 } = world.record.underlay;
    await attack(t, 'external', { externalIPs: [...clusterIPs, ...podIPs, ...nodeIPs, host4], ports: [{ name: 'a', port: 80, targetPort: port }, { name: 'b', port, targetPort: port }, { name: 'c', port: 6443, targetPort: port }] });
    await refused('external', `${clusterIPs[0]} lies in the service range`, `${podIPs[0]} lies in the pods' addresses`, `${nodeIPs[0]} is an address of node node1`, `${host4} is an address of the API server`);
    await stillVictim(clusterIPs, 80, inside);
    await stillVictim(podIPs, port, inside);
    for (const to of nodeIPs) for (const from of ['client-1', 'node2', 'outside']) await world.expect(from, { to, port: 80 }, 'refused');
    assert.equal((await world.ask('client-1', { to: host4, port: 6443 })).served, undefined);
  });

  test('externalIPs of the world outside stay the world\'s', async t => {
    await attack(t, 'world', { externalIPs: [outside.wide4, outside.wide6] });
    await refused('world', `${outside.wide4} lies in no CiliumLoadBalancerIPPool`);
    for (const to of [outside.wide4, outside.wide6]) for (const from of ['client-1', 'node1']) assert.equal((await world.ask(from, { to, port: 80, timeoutMs: 1_000 })).served, undefined, `${from} → ${to}`);
  });

  test('a load balancer address of the victim stays the victim\'s: by externalIPs, by request, by a forged status, older or not', async t => {
    await attack(t, 'older', {});
    await world.service(t, 'lb', { type: 'LoadBalancer', selector: { app: 'victim' } });
    let addresses: readonly string[] = [];
    await eventually('the victim has addresses', 20_000, async () => {
      const object = await world.api.get<Service>(resources.services, 'lb', 'svc');
      addresses = (object?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
      return addresses.length === 2 ? undefined : JSON.stringify(addresses);
    });
    for (const to of addresses) await world.expect('client-1', { to, port: 80 }, 'answered');
    await world.api.patch(resources.services, 'older', evil, { spec: { externalIPs: addresses } }, { type: 'merge' });
    await attack(t, 'request', { type: 'LoadBalancer' }, { annotations: { 'lbipam.cilium.io/ips': addresses.join(), 'lbipam.cilium.io/sharing-key': 'k', 'lbipam.cilium.io/sharing-cross-namespace': '*' } });
    await attack(t, 'status', { type: 'LoadBalancer', loadBalancerClass: 'example.com/mine' });
    await world.api.patch(resources.services, 'status', evil, { status: { loadBalancer: { ingress: addresses.map(ip => ({ ip })) } } }, { type: 'merge', subresource: 'status' });
    await refused('older', 'is held by service svc/lb');
    await refused('status', 'is held by service svc/lb');
    await eventually('the request is refused', 20_000, async () => {
      const object = await world.api.get<Service>(resources.services, 'request', evil);
      return object?.status?.conditions?.some(c => c.type === 'cilium.io/IPAMRequestSatisfied' && c.reason === 'already_allocated') ? undefined : JSON.stringify(object?.status ?? null);
    });
    await stillVictim(addresses, 80, inside);
  });

  test('an external IP of the victim stays the victim\'s, also when an older service names it later', async t => {
    await attack(t, 'old', {});
    const pool = { apiVersion: 'cilium.io/v2', kind: 'CiliumLoadBalancerIPPool', metadata: { name: 'v10' }, spec: { blocks: [{ cidr: '203.0.113.0/28' }], serviceSelector: { matchLabels: { pool: 'v10' } } } };
    await world.make(t, pool as unknown as KubeObject);
    const [address] = ['203.0.113.7'];
    await world.service(t, 'victim5', { selector: { app: 'victim' }, externalIPs: [address] }, { labels: { pool: 'v10' } });
    await world.expect('client-1', { to: address!, port: 80 }, 'answered');
    await eventually('it is known to be the victim\'s', 20_000, async () => {
      const object = await world.api.get<Service>(resources.services, 'victim5', 'svc');
      return object?.status?.conditions?.some(c => c.type === 'cirri.io/ExternalAddressesHeld' && c.message === address) ? undefined : JSON.stringify(object?.status ?? null);
    });
    await world.api.patch(resources.services, 'old', evil, { metadata: { labels: { pool: 'v10' } }, spec: { externalIPs: [address] } }, { type: 'merge' });
    await refused('old', 'is held by service svc/victim5');
    await stillVictim([address!], 80, inside);
  });

  test('a load balancer status of another class with addresses of pods, services and nodes is not served', async t => {
    const pods = await world.podsReady('victim-node1');
    const victim = await world.service(t, 'victim2', { selector: { app: 'victim' } });
    await world.expect('client-1', { to: clusterIp(victim, 4), port: 80 }, 'answered');
    const [podIP] = pods.get('victim-node1')!;
    await attack(t, 'forged', { type: 'LoadBalancer', loadBalancerClass: 'example.com/mine', ports: [{ name: 'a', port: 80, targetPort: port }, { name: 'b', port, targetPort: port }] });
    const ingress = [clusterIp(victim, 4), clusterIp(victim, 6), podIP, world.nodeAddress('node1', 4)].map(ip => ({ ip }));
    await world.api.patch(resources.services, 'forged', evil, { status: { loadBalancer: { ingress } } }, { type: 'merge', subresource: 'status' });
    await refused('forged', 'status.loadBalancer.ingress[0]', 'status.loadBalancer.ingress[3]');
    await stillVictim([clusterIp(victim, 4), clusterIp(victim, 6)], 80, inside);
    await stillVictim([podIP!], port, inside);
  });

  test('a host port answers at no address but the node\'s own, whatever hostIP a pod names', async t => {
    const victim = await world.service(t, 'victim4', { selector: { app: 'victim' } });
    await world.expect('client-1', { to: clusterIp(victim, 4), port: 80 }, 'answered');
    const addresses = [clusterIp(victim, 4), clusterIp(victim, 6), world.nodeAddress('node2', 4), outside.wide4];
    const thief = pod('host-thief', 'node1', { app: 'thief' }, { ports: addresses.map((hostIP, i) => ({ name: `p${i}`, containerPort: port, hostPort: 80, hostIP })) });
    await world.api.create(resources.pods, { ...thief, metadata: { ...thief.metadata, namespace: evil } });
    t.after(() => world.api.delete(resources.pods, 'host-thief', evil, { gracePeriodSeconds: 0 }));
    await eventually('the thief runs', 30_000, async () => (((await world.api.get(resources.pods, 'host-thief', evil))?.status as { phase?: string } | undefined)?.phase === 'Running' ? undefined : 'not yet'));
    await stillVictim([clusterIp(victim, 4), clusterIp(victim, 6)], 80, inside);
    for (const to of [world.nodeAddress('node2', 4), outside.wide4]) for (const from of ['client-1', 'node1']) assert.equal((await world.ask(from, { to, port: 80, timeoutMs: 1_000 })).served, undefined, `${from} → ${to}`);
  });

  test('a redirect policy catches no address that is somebody\'s, and no service of another namespace', async t => {
    const pods = await world.podsReady('victim-node1', 'victim-node2');
    const victim = await world.service(t, 'victim3', { selector: { app: 'victim' } });
    await world.expect('client-1', { to: clusterIp(victim, 4), port: 80 }, 'answered');
    const policy = (name: string, redirectFrontend: object): KubeObject => ({
      apiVersion: 'cilium.io/v2', kind: 'CiliumLocalRedirectPolicy', metadata: { name, namespace: evil },
      spec: { redirectFrontend, redirectBackend: { localEndpointSelector: { matchLabels: { app: 'thief' } }, toPorts: [{ port: String(port), protocol: 'TCP' }] } },
    });
    const [podIP] = pods.get('victim-node2')!;
    const targets = [[clusterIp(victim, 4), 80], [clusterIp(victim, 6), 80], [podIP!, port], [world.nodeAddress('node2', 4), 80], [outside.wide4, 80]] as const;
    for (const [i, [ip, at]] of targets.entries()) {
      await world.api.create(resources.ciliumLocalRedirectPolicies, policy(`catch-${i}`, { addressMatcher: { ip, toPorts: [{ port: String(at), protocol: 'TCP' }] } }));
      t.after(() => world.api.delete(resources.ciliumLocalRedirectPolicies, `catch-${i}`, evil));
    }
    for (const [i, [ip]] of targets.entries()) {
      await eventually(`catch-${i} is refused`, 20_000, async () => {
        const object = await world.api.get(resources.ciliumLocalRedirectPolicies, `catch-${i}`, evil);
        const condition = (object?.status as { conditions?: readonly Condition[] } | undefined)?.conditions?.find(c => c.type === 'Valid');
        return condition?.reason === 'AddressRefused' && condition.message!.includes(ip) ? undefined : JSON.stringify(condition ?? null);
      });
    }
    await assert.rejects(world.api.create(resources.ciliumLocalRedirectPolicies, policy('foreign', { serviceMatcher: { serviceName: 'victim3', namespace: 'svc' } })), /cannot redirect a service of namespace svc/);
    await stillVictim([clusterIp(victim, 4), clusterIp(victim, 6)], 80, inside);
    await stillVictim([podIP!], port, inside);
    assert.equal((await world.ask('client-2', { to: outside.wide4, port: 80, timeoutMs: 1_000 })).served, undefined);
  });
});
