import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import type { EndpointSlice, Service } from '../../../src/kube/types.ts';
import { eventually } from '../cluster.ts';
import { failuresOf, startLoad } from '../load.ts';
import { external, outside } from '../outside.ts';
import { clusterIp, clusterWishes, families, namespace, nodePort, pod, port, protocols, World, type Answer, type Wish } from './world.ts';

/**
 * What Kubernetes' own end-to-end tests (test/e2e/network: service.go, loadbalancer.go, networking.go, conntrack.go, hostport.go)
 * demand of whoever stands in for kube-proxy, in their words, on real traffic.
 */
describe('kube-proxy\'s published behaviours', { concurrency: false }, () => {
  const world = new World('p');
  before(() => world.start('--set', `externalIPs.allowed={${external.ranges4[1]},${external.ranges6[1]}}`));
  after(() => world.stop());

  const everywhere = ['client-1', 'client-2', 'node1', 'node2'] as const;
  const nodes = ['node1', 'node2'] as const;
  const atNodes = (service: Service, withProtocols = protocols): Wish[] => nodes.flatMap(node => families.flatMap(family =>
    withProtocols.map(protocol => ({ to: world.nodeAddress(node, family), port: nodePort(service, protocol), protocol }))));
  const unanswered = (answer: Answer) => answer.outcome !== 'answered';
  const podCycles = async (name: string) => {
    world.forget(name);
    await world.api.delete(resources.pods, name, namespace, { gracePeriodSeconds: 0 });
  };
  /** Ends gracefully: serves on for that long after its deletion. */
  const lingering = (seconds: number) => ({ spec: { terminationGracePeriodSeconds: seconds + 5 }, container: { lifecycle: { preStop: { exec: { command: ['sleep', String(seconds)] } } } } });
  const terminate = async (...names: readonly string[]) => {
    await Promise.all(names.map(name => world.api.delete(resources.pods, name, namespace)));
  };
  const isSticky = async (from: string, wish: Wish) => {
    const report = await world.many(from, wish, 20);
    return Object.keys(report.served).length === 1 && Object.keys(report.failed).length === 0;
  };

  test('should serve a basic endpoint from pods', async t => {
    const service = await world.service(t, 'basic', { selector: { app: 'basic' } });
    await world.backends(t, 'basic', ['node1']);
    await world.expectSpread('client-1', { to: clusterIp(service, 4), port: 80 }, ['basic-1']);
    await world.backends(t, 'basic-two', ['node2']);
    await world.api.patch(resources.pods, 'basic-two-1', namespace, { metadata: { labels: { app: 'basic' } } }, { type: 'merge' });
    await world.expectSpread('client-1', { to: clusterIp(service, 4), port: 80 }, ['basic-1', 'basic-two-1']);
    await podCycles('basic-1');
    await world.expectSpread('client-1', { to: clusterIp(service, 4), port: 80 }, ['basic-two-1']);
    await podCycles('basic-two-1');
    await world.expect('client-1', { to: clusterIp(service, 4), port: 80 }, 'refused');
  });

  test('should serve multiport endpoints from pods', async t => {
    await world.backends(t, 'ports', ['node1'], { ports: [{ name: 'one', containerPort: 8001 }, { name: 'two', containerPort: 8002 }] });
    const service = await world.service(t, 'ports', { selector: { app: 'ports' }, ports: [{ name: 'one', port: 80, targetPort: 'one' }, { name: 'two', port: 81, targetPort: 8002 }] });
    for (const [at, wanted] of [[80, 8001], [81, 8002]] as const) {
      for (const family of families) await world.expect('client-2', { to: clusterIp(service, family), port: at }, ({ served }) => served?.localPort === wanted);
    }
  });

  test('should serve endpoints on same port and different protocols', async t => {
    await world.backends(t, 'both', ['node1', 'node2']);
    const service = await world.service(t, 'both', { selector: { app: 'both' }, ports: [{ name: 'tcp', port: 80, protocol: 'TCP', targetPort: port }] });
    await world.expectAll(everywhere, clusterWishes(service, ['TCP']), 'answered');
    await world.expectAll(['client-1'], clusterWishes(service, ['UDP']).map(wish => ({ ...wish, connected: true, timeoutMs: 700 })), unanswered);
    await world.patchService('both', { spec: { ports: [{ name: 'tcp', port: 80, protocol: 'TCP', targetPort: port }, { name: 'udp', port: 80, protocol: 'UDP', targetPort: port }] } });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
    await world.patchService('both', { spec: { ports: [{ name: 'udp', port: 80, protocol: 'UDP', targetPort: port }] } });
    await world.expectAll(everywhere, clusterWishes(service, ['UDP']), 'answered');
    await world.expectAll(['client-1'], clusterWishes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
  });

  test('should preserve source pod IP for traffic thru service cluster IP', async t => {
    await world.backends(t, 'source', ['node1', 'node2']);
    const service = await world.service(t, 'source', { selector: { app: 'source' } });
    const addresses = await world.podsReady('client-1', 'client-2');
    for (const client of ['client-1', 'client-2']) {
      for (const wish of clusterWishes(service)) {
        const { served } = await world.expect(client, wish, 'answered');
        assert.ok(addresses.get(client)!.includes(served!.peer), `${client} is seen as ${served!.peer}`);
      }
    }
  });

  test('should allow pods to hairpin back to themselves through services', async t => {
    await world.backends(t, 'hairpin', ['node1']);
    const service = await world.service(t, 'hairpin', { selector: { app: 'hairpin' } });
    for (const answer of await world.expectAll(['hairpin-1'], clusterWishes(service), 'answered')) assert.equal(answer.served!.pod, 'hairpin-1');
  });

  test('should be able to up and down services', async t => {
    await world.backends(t, 'up', ['node1', 'node2']);
    const [first, second] = [await world.service(t, 'up-one', { selector: { app: 'up' } }), await world.service(t, 'up-two', { selector: { app: 'up' } })];
    await world.expectAll(everywhere, [...clusterWishes(first), ...clusterWishes(second)], 'answered');
    await world.api.delete(resources.services, 'up-one', namespace);
    await world.expectAll(['client-1', 'node2'], clusterWishes(first, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
    await world.expectAll(everywhere, clusterWishes(second), 'answered');
    const third = await world.service(t, 'up-three', { selector: { app: 'up' } });
    await world.expectAll(everywhere, [...clusterWishes(second), ...clusterWishes(third)], 'answered');
  });

  test('should work after the service has been recreated', async t => {
    await world.backends(t, 'again', ['node2']);
    const service = await world.service(t, 'again', { selector: { app: 'again' } });
    await world.expectAll(['client-1'], clusterWishes(service), 'answered');
    await world.api.delete(resources.services, 'again', namespace);
    await world.expect('client-1', { to: clusterIp(service, 4), port: 80, timeoutMs: 700 }, unanswered);
    const made = await world.api.create(resources.services, { ...service, metadata: { name: 'again', namespace }, spec: { ...service.spec, clusterIP: clusterIp(service, 4) } } as Service);
    assert.equal(clusterIp(made, 4), clusterIp(service, 4));
    await world.expectAll(everywhere, clusterWishes(made), 'answered');
  });

  test('should be able to create a functioning NodePort service', async t => {
    const backends = await world.backends(t, 'nodeport', ['node1', 'node2']);
    const service = await world.service(t, 'nodeport', { type: 'NodePort', selector: { app: 'nodeport' } });
    await world.expectAll(['outside', ...everywhere], atNodes(service), 'answered');
    for (const wish of atNodes(service, ['TCP'])) await world.expectSpread('outside', wish, backends);
  });

  test('should be able to update service type to NodePort listening on same port number but different protocols', async t => {
    await world.backends(t, 'same', ['node1']);
    const created = await world.service(t, 'same', { selector: { app: 'same' }, ports: [{ name: 'tcp', port: 80, protocol: 'TCP', targetPort: port }] });
    await world.expectAll(everywhere, clusterWishes(created, ['TCP']), 'answered');
    const service = await world.patchService('same', { spec: { type: 'NodePort', ports: protocols.map(protocol => ({ name: protocol.toLowerCase(), port: 80, protocol, targetPort: port, nodePort: 31_999 })) } });
    await world.expectAll(['outside', ...everywhere], atNodes(service), 'answered');
  });

  test('should be able to change the type from NodePort to ExternalName and from ExternalName to ClusterIP', async t => {
    await world.backends(t, 'type', ['node2']);
    const service = await world.service(t, 'type', { type: 'NodePort', selector: { app: 'type' } });
    await world.expectAll(['outside'], atNodes(service, ['TCP']), 'answered');
    await world.patchService('type', { spec: { type: 'ExternalName', externalName: 'kubernetes.default.svc.cluster.local', clusterIP: null, clusterIPs: null, ports: null } });
    await world.expectAll(['outside'], atNodes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
    const back = await world.patchService('type', { spec: { type: 'ClusterIP', externalName: null, ports: [{ name: 'tcp', port: 80, targetPort: port }] } });
    await world.expectAll(everywhere, [{ to: clusterIp(back, 4), port: 80 }], 'answered');
  });

  for (const type of ['ClusterIP', 'NodePort'] as const) {
    const wishOf = (service: Service): Wish => (type === 'ClusterIP' ? { to: clusterIp(service, 4), port: 80 } : { to: world.nodeAddress('node1', 4), port: nodePort(service) });
    const name = type.toLowerCase();
    const clients = type === 'ClusterIP' ? ['client-1', 'client-2'] : ['client-1', 'outside'];

    test(`should have session affinity work for ${type === 'NodePort' ? 'NodePort service' : 'service with type clusterIP'}`, async t => {
      await world.backends(t, `stick-${name}`, ['node1', 'node2', 'node2']);
      const service = await world.service(t, `stick-${name}`, { type, selector: { app: `stick-${name}` }, sessionAffinity: 'ClientIP' });
      for (const client of clients) {
        await world.expect(client, wishOf(service), 'answered');
        assert.ok(await isSticky(client, wishOf(service)), client);
      }
    });

    test(`should be able to switch session affinity for ${type === 'NodePort' ? 'NodePort service' : 'service with type clusterIP'}`, async t => {
      const backends = await world.backends(t, `switch-${name}`, ['node1', 'node2', 'node2']);
      const service = await world.service(t, `switch-${name}`, { type, selector: { app: `switch-${name}` } });
      for (const client of clients) await world.expectSpread(client, wishOf(service), backends);
      await world.patchService(`switch-${name}`, { spec: { sessionAffinity: 'ClientIP' } });
      for (const client of clients) await eventually(`${client} sticks`, 20_000, async () => ((await isSticky(client, wishOf(service))) ? undefined : 'not yet'));
      await world.patchService(`switch-${name}`, { spec: { sessionAffinity: 'None' } });
      for (const client of clients) await world.expectSpread(client, wishOf(service), backends);
    });

    test(`should have session affinity timeout work for ${type === 'NodePort' ? 'NodePort service' : 'service with type clusterIP'}`, async t => {
      await world.backends(t, `timed-${name}`, ['node1', 'node2', 'node2']);
      const service = await world.service(t, `timed-${name}`, { type, selector: { app: `timed-${name}` }, sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } });
      const client = clients[1]!;
      const first = await world.expect(client, wishOf(service), 'answered');
      assert.ok(await isSticky(client, wishOf(service)));
      await eventually('another backend after the timeout', 60_000, async () => {
        await new Promise(resolve => setTimeout(resolve, 2_100));
        return (await world.ask(client, wishOf(service))).served?.pod === first.served!.pod ? 'the same' : undefined;
      });
    });
  }

  test('should implement service.kubernetes.io/service-proxy-name', async t => {
    await world.backends(t, 'proxied', ['node1', 'node2']);
    const service = await world.service(t, 'proxied', { selector: { app: 'proxied' } });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
    await world.patchService('proxied', { metadata: { labels: { 'service.kubernetes.io/service-proxy-name': 'foo-bar' } } });
    await world.expectAll(everywhere, clusterWishes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
    await world.patchService('proxied', { metadata: { labels: { 'service.kubernetes.io/service-proxy-name': null } } });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
  });

  test('should implement service.kubernetes.io/headless', async t => {
    await world.backends(t, 'headless', ['node1', 'node2']);
    const service = await world.service(t, 'headless', { selector: { app: 'headless' } }, { labels: { 'service.kubernetes.io/headless': '' } });
    await eventually('it has slices', 20_000, async () => ((await world.slices('headless')).length > 0 ? undefined : 'none'));
    await world.expectAll(everywhere, clusterWishes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
    await world.patchService('headless', { metadata: { labels: { 'service.kubernetes.io/headless': null } } });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
  });

  test('should be rejected when no endpoints exist', async t => {
    const service = await world.service(t, 'nobody', { type: 'NodePort', selector: { app: 'nobody' } });
    const wishes = [...clusterWishes(service), ...atNodes(service)].map(wish => ({ ...wish, connected: true }));
    await world.expectToldAtOnce(everywhere, wishes);
    await world.expectToldAtOnce(['outside'], atNodes(service).map(wish => ({ ...wish, connected: true })));
  });

  test('should be rejected for evicted pods (no endpoints exist)', async t => {
    await world.backends(t, 'evicted', ['node1']);
    const service = await world.service(t, 'evicted', { selector: { app: 'evicted' } });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
    await world.api.patch(resources.pods, 'evicted-1', namespace, { metadata: { labels: { app: null } } }, { type: 'merge' });
    await world.expectToldAtOnce(everywhere, clusterWishes(service).map(wish => ({ ...wish, connected: true })));
  });

  test('should create endpoints for unready pods', async t => {
    await world.backends(t, 'unready', ['node1'], { unready: true, container: { readinessProbe: { exec: { command: ['/bin/false'] }, periodSeconds: 1 } } });
    const service = await world.service(t, 'unready', { selector: { app: 'unready' } });
    await world.expectAll(['client-1'], clusterWishes(service, ['TCP']), 'refused', 'not ready');
    const tolerant = await world.service(t, 'tolerant', { selector: { app: 'unready' }, publishNotReadyAddresses: true });
    await world.expectAll(everywhere, clusterWishes(tolerant), ({ served }) => served?.pod === 'unready-1');
  });

  test('should be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is true', async t => {
    await world.backends(t, 'published', ['node2'], lingering(25));
    const service = await world.service(t, 'published', { type: 'NodePort', selector: { app: 'published' }, publishNotReadyAddresses: true });
    await world.expectAll(everywhere, clusterWishes(service), 'answered');
    await terminate('published-1');
    await eventually('it is terminating', 20_000, async () => ((await world.slices('published')).some(slice => slice.endpoints?.some(one => one.conditions?.terminating === true)) ? undefined : 'not yet'));
    await world.expectAll([...everywhere, 'outside'], atNodes(service), ({ served }) => served?.pod === 'published-1');
    await podCycles('published-1');
  });

  test('should respect internalTrafficPolicy=Local Pod to Pod', async t => {
    await world.backends(t, 'itp', ['node1']);
    const service = await world.service(t, 'itp', { selector: { app: 'itp' }, internalTrafficPolicy: 'Local' });
    await world.expectAll(['client-1'], clusterWishes(service), ({ served }) => served?.pod === 'itp-1');
    await world.expectAll(['client-2'], clusterWishes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
  });

  test('should respect internalTrafficPolicy=Local Pod (hostNetwork: true) to Pod, and Pod to Pod (hostNetwork: true)', async t => {
    await world.backends(t, 'itph', ['node1'], { ports: [{ containerPort: 8765 }, { containerPort: 8765, protocol: 'UDP' }], spec: { hostNetwork: true } });
    const service = await world.service(t, 'itph', { selector: { app: 'itph' }, internalTrafficPolicy: 'Local', ports: protocols.map(protocol => ({ name: protocol.toLowerCase(), port: 80, protocol, targetPort: 8765 })) });
    await world.expectAll(['client-1', 'node1'], clusterWishes(service), 'answered');
    await world.expectAll(['client-2', 'node2'], clusterWishes(service, ['TCP']).map(wish => ({ ...wish, timeoutMs: 700 })), unanswered);
  });

  for (const policy of ['Cluster', 'Local'] as const) {
    test(`should fallback to terminating endpoints when there are no ready endpoints with internalTrafficPolicy=${policy}`, async t => {
      const app = `iterm-${policy.toLowerCase()}`;
      await world.backends(t, app, ['node1'], lingering(25));
      const service = await world.service(t, app, { selector: { app }, internalTrafficPolicy: policy });
      const clients = policy === 'Local' ? ['client-1', 'node1'] : everywhere;
      await world.expectAll(clients, clusterWishes(service), 'answered');
      await terminate(`${app}-1`);
      await becomesTerminating(app);
      for (let turn = 0; turn < 5; turn++) {
        const answers = await Promise.all(clients.flatMap(client => clusterWishes(service).map(wish => world.ask(client, wish))));
        assert.deepEqual(answers.map(answer => answer.outcome).filter(outcome => outcome !== 'answered'), []);
      }
      await podCycles(`${app}-1`);
    });

    test(`should fallback to terminating endpoints when there are no ready endpoints with externalTrafficPolicy=${policy}`, async t => {
      const app = `eterm-${policy.toLowerCase()}`;
      await world.backends(t, app, ['node1'], lingering(25));
      const service = await world.service(t, app, { type: 'NodePort', selector: { app }, externalTrafficPolicy: policy });
      const wishes = atNodes(service).filter(wish => policy === 'Cluster' || [world.nodeAddress('node1', 4), world.nodeAddress('node1', 6)].includes(wish.to));
      await world.expectAll(['outside'], wishes, 'answered');
      await terminate(`${app}-1`);
      await becomesTerminating(app);
      for (let turn = 0; turn < 5; turn++) {
        const answers = await Promise.all(wishes.map(wish => world.ask('outside', wish)));
        assert.deepEqual(answers.map(answer => answer.outcome).filter(outcome => outcome !== 'answered'), []);
      }
      await podCycles(`${app}-1`);
    });
  }

  test('should fail health check node port if there are only terminating endpoints', async t => {
    await world.backends(t, 'health', ['node1'], lingering(25));
    await world.service(t, 'health', { type: 'LoadBalancer', selector: { app: 'health' }, externalTrafficPolicy: 'Local' });
    const checkPort = await healthCheckPort('health');
    const check = (node: string, wanted: number) => eventually(`the health check of ${node} says ${wanted}`, 20_000, async () => {
      const answer = await fetchStatus(node, checkPort);
      return answer === wanted ? undefined : String(answer);
    });
    await check('node1', 200);
    await check('node2', 503);
    await terminate('health-1');
    await check('node1', 503);
    await podCycles('health-1');
  });

  test('should only target nodes with endpoints', async t => {
    await world.backends(t, 'target', ['node2']);
    await world.service(t, 'target', { type: 'LoadBalancer', selector: { app: 'target' }, externalTrafficPolicy: 'Local' });
    const service = await withIngress('target');
    const checkPort = await healthCheckPort('target');
    for (const [node, status, outcome] of [['node2', 200, 'answered'], ['node1', 503, 'silent']] as const) {
      await eventually(`the health check of ${node}`, 20_000, async () => ((await fetchStatus(node, checkPort)) === status ? undefined : 'not yet'));
      world.outside.sendTo(node, service.ingress);
      await world.expectAll(['outside'], service.ingress.map(to => ({ to, port: 80 })), outcome, `through ${node}`);
    }
  });

  test('should work from pods', async t => {
    await world.backends(t, 'esipp', ['node1']);
    await world.service(t, 'esipp', { type: 'LoadBalancer', selector: { app: 'esipp' }, externalTrafficPolicy: 'Local' });
    const { ingress } = await withIngress('esipp');
    const addresses = await world.podsReady('client-1', 'client-2');
    for (const client of ['client-1', 'client-2']) {
      for (const to of ingress) {
        const { served } = await world.expect(client, { to, port: 80 }, 'answered');
        assert.ok(addresses.get(client)!.includes(served!.peer), `${client} is seen as ${served!.peer}`);
      }
    }
  });

  test('should handle updates to ExternalTrafficPolicy field', async t => {
    await world.backends(t, 'field', ['node1']);
    const service = await world.service(t, 'field', { type: 'NodePort', selector: { app: 'field' }, externalTrafficPolicy: 'Local' });
    const at = (node: string): Wish => ({ to: world.nodeAddress(node, 4), port: nodePort(service) });
    const kept = ({ served }: Answer) => served?.peer === outside.wide4;
    await world.expect('outside', at('node1'), kept, 'Local keeps the client');
    await world.expect('outside', at('node2'), 'silent', 'Local');
    await world.patchService('field', { spec: { externalTrafficPolicy: 'Cluster' } });
    await world.expectAll(['outside'], [at('node1'), at('node2')], 'answered', 'Cluster');
    await world.expect('outside', at('node2'), ({ served }) => served !== undefined && served.peer !== outside.wide4, 'from another node: the client is not kept');
    await world.patchService('field', { spec: { externalTrafficPolicy: 'Local' } });
    await world.expect('outside', at('node2'), 'silent', 'Local again');
    await world.expect('outside', at('node1'), kept, 'Local again');
  });

  for (const policy of ['Cluster', 'Local'] as const) {
    test(`should not have connectivity disruption during rolling update with externalTrafficPolicy=${policy}`, async t => {
      const name = `rolling-${policy.toLowerCase()}`;
      await world.make(t, {
        apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace },
        spec: {
          replicas: 2, selector: { matchLabels: { app: name } }, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
          template: { metadata: { labels: { app: name } }, spec: { ...(policy === 'Local' && { nodeName: 'node1' }), terminationGracePeriodSeconds: 5, automountServiceAccountToken: false, containers: [{ name: 'main', image: 'cirri/echo', ports: [{ containerPort: port }] }] } },
        },
      } as never);
      const service = await world.service(t, name, { type: 'NodePort', selector: { app: name }, externalTrafficPolicy: policy });
      await rolledOut(name);
      const wish = { to: world.nodeAddress('node1', 4), port: nodePort(service) };
      await world.expect('outside', wish, 'answered');
      const load = startLoad(world.outside.client, wish.to, wish.port, 200, 60);
      for (const turn of ['2', '3', '4']) {
        await world.api.patch(resources.deployments, name, namespace, { spec: { template: { metadata: { annotations: { turn } } } } }, { type: 'merge' });
        await rolledOut(name);
      }
      load.stop();
      const result = await load.result;
      assert.equal(failuresOf(result), '');
      assert.ok(result.served > 50, `${result.served} served`);
    });
  }

  for (const type of ['ClusterIP', 'NodePort'] as const) {
    test(`should be able to preserve UDP traffic when server pod cycles for a ${type} service`, async t => {
      const app = `cycle-${type.toLowerCase()}`;
      await world.backends(t, app, ['node1']);
      const service = await world.service(t, app, { type, selector: { app } });
      const clients = type === 'ClusterIP' ? ['client-1', 'client-2', 'node2'] : ['client-1', 'node2', 'outside'];
      for (const connected of [false, true]) {
        const wish: Wish = type === 'ClusterIP' ? { to: clusterIp(service, 4), port: 80, protocol: 'UDP', connected } : { to: world.nodeAddress('node1', 4), port: nodePort(service, 'UDP'), protocol: 'UDP', connected };
        await world.expectAll(clients, [wish], 'answered');
        const held = await Promise.all(clients.map(client => world.hold(client, wish)));
        for (const one of held) assert.equal(one.first.outcome, 'answered');
        const [old, next] = connected ? [`${app}-b`, `${app}-c`] : [`${app}-1`, `${app}-b`];
        await podCycles(old);
        await world.make(t, pod(next, 'node2', { app }));
        await world.podsReady(next);
        // The same socket, the same port: who kept the old backend in mind would stay silent for a minute.
        for (const i of held.keys()) await eventually(`${clients[i]} goes on${connected ? ' with a connected socket, made anew where it was ended' : ''}`, 20_000, async () => {
          const answer = await held[i]!.ask(700);
          if (answer.served?.pod === next) return undefined;
          if (!connected || answer.outcome === 'silent') return JSON.stringify(answer);
          await held[i]!.close();
          held[i] = await world.hold(clients[i]!, wish);
          return held[i]!.first.served?.pod === next ? undefined : JSON.stringify([answer, held[i]!.first]);
        });
        for (const one of held) await one.close();
      }
    });
  }

  test('should support externalIPs', async t => {
    await world.backends(t, 'extip', ['node1', 'node2']);
    await world.service(t, 'extip', { selector: { app: 'extip' }, externalIPs: [external.ip4, external.ip6] });
    for (const node of nodes) {
      world.outside.sendTo(node);
      await world.expectAll(['outside', ...everywhere], [external.ip4, external.ip6].flatMap(to => protocols.map(protocol => ({ to, port: 80, protocol }))), 'answered');
    }
  });

  test('validates that there is no conflict between pods with same hostPort but different hostIP and protocol', async t => {
    const hostIp = world.nodeAddress('node1', 4);
    await world.make(t,
      pod('hp-tcp', 'node1', { app: 'hp' }, { ports: [{ containerPort: port, hostPort: 54_323, hostIP: hostIp }] }),
      pod('hp-loopback', 'node1', { app: 'hp' }, { ports: [{ containerPort: port, hostPort: 54_323, hostIP: '127.0.0.1' }] }),
      pod('hp-udp', 'node1', { app: 'hp' }, { ports: [{ containerPort: port, protocol: 'UDP', hostPort: 54_323, hostIP: hostIp }] }));
    await world.podsReady('hp-tcp', 'hp-loopback', 'hp-udp');
    await world.expect('outside', { to: hostIp, port: 54_323 }, ({ served }) => served?.pod === 'hp-tcp');
    await world.expect('outside', { to: hostIp, port: 54_323, protocol: 'UDP' }, ({ served }) => served?.pod === 'hp-udp');
    await world.expect('node1', { to: '127.0.0.1', port: 54_323 }, ({ served }) => served?.pod === 'hp-loopback');
  });

  test('should complete a service status lifecycle without selectors: endpoints that somebody else keeps', async t => {
    await world.backends(t, 'manual', ['node2']);
    const [address4] = (await world.podsReady('manual-1')).get('manual-1')!;
    const service = await world.service(t, 'manual', { ports: [{ name: 'tcp', port: 80, targetPort: port }] });
    await world.make(t, {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'manual-by-hand', namespace, labels: { 'kubernetes.io/service-name': 'manual' } },
      addressType: 'IPv4', ports: [{ name: 'tcp', port, protocol: 'TCP' }], endpoints: [{ addresses: [address4!], conditions: { ready: true } }],
    } as unknown as EndpointSlice);
    await world.expectAll(everywhere, [{ to: clusterIp(service, 4), port: 80 }], ({ served }) => served?.pod === 'manual-1');
  });

  async function becomesTerminating(name: string): Promise<void> {
    await eventually(`${name} has nobody but terminating endpoints`, 20_000, async () => {
      const endpoints = (await world.slices(name)).flatMap(slice => slice.endpoints ?? []);
      return endpoints.length > 0 && endpoints.every(one => one.conditions?.terminating === true) ? undefined : JSON.stringify(endpoints);
    });
  }

  async function rolledOut(name: string): Promise<void> {
    await eventually(`${name} has rolled out`, 60_000, async () => {
      const deployment = await world.api.get(resources.deployments, name, namespace) as unknown as { metadata: { generation: number }; spec: { replicas: number }; status?: Record<string, number> };
      const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = deployment.status ?? {};
      const wanted = deployment.spec.replicas;
      return observedGeneration >= deployment.metadata.generation && updatedReplicas === wanted && availableReplicas === wanted && replicas === wanted ? undefined : JSON.stringify(deployment.status ?? 'no status');
    });
  }

  async function withIngress(name: string): Promise<{ readonly ingress: readonly string[] }> {
    let ingress: readonly string[] = [];
    await eventually(`${name} has addresses`, 20_000, async () => {
      const service = await world.api.get<Service>(resources.services, name, namespace);
      ingress = (service?.status?.loadBalancer?.ingress ?? []).map(one => one.ip ?? '');
      return ingress.length === 2 ? undefined : JSON.stringify(service?.status ?? 'no status');
    });
    return { ingress };
  }

  async function healthCheckPort(name: string): Promise<number> {
    const service = await world.api.get<Service>(resources.services, name, namespace) as unknown as { spec: { healthCheckNodePort?: number } };
    assert.ok(service.spec.healthCheckNodePort, 'the service has a health check node port');
    return service.spec.healthCheckNodePort;
  }

  /** Of the health check, asked from outside; 0 when nobody answers. */
  async function fetchStatus(node: string, at: number): Promise<number> {
    const answer = await world.ask('outside', { to: world.nodeAddress(node, 4), port: at, path: '/healthz', timeoutMs: 1_000 });
    return answer.status ?? 0;
  }
});
