import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test, type TestContext } from 'node:test';
import { resources } from '../../../src/kube/resources.ts';
import { eventually } from '../cluster.ts';
import { failuresOf, startLoad, type Load } from '../load.ts';
import { clusterIp, namespace, nodePort, port, World } from './world.ts';

/**
 * Backends that come and go under load, and the agents with them: no connection may fail.
 *
 *   cirri-load ── RATE connections a second, each one request ──► service ──► web (6 pods, all replaced)
 *
 * --long tries 2,000 a second for half a minute each; else it is the rate that leaves a shared machine its breath.
 */
const isLong = process.env['CIRRI_LONG'] === '1';
const [rate, replicas] = isLong ? [2_000, 10] : [500, 6];
/** Longer than an agent takes to come back on a machine that is busy with other things. */
const lingerSeconds = 15;

describe('A16 rolling updates under load', { concurrency: false }, () => {
  const world = new World('r');
  before(() => world.start());
  after(() => world.stop());

  const rolled = async (turn: number, during: () => Promise<void> | void = () => {}) => {
    await world.api.patch(resources.deployments, 'web', namespace, { spec: { template: { metadata: { annotations: { turn: String(turn) } } } } }, { type: 'merge' });
    await during();
    await rolledOut();
  };

  async function rolledOut(): Promise<void> {
    await eventually('the rollout is through', 120_000, async () => {
      const deployment = await world.api.get(resources.deployments, 'web', namespace) as unknown as { metadata: { generation: number }; status?: Record<string, number> };
      const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0, replicas: all = 0 } = deployment.status ?? {};
      return observedGeneration >= deployment.metadata.generation && updatedReplicas === replicas && availableReplicas === replicas && all === replicas ? undefined : JSON.stringify(deployment.status ?? 'no status');
    });
  }

  /** `lingerSeconds`: how long a dismissed pod serves on, as its users' `preStop: sleep` has it. */
  const rolling = async (t: TestContext, type: string, lingerSeconds = 0) => {
    await world.make(t, {
      apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
      spec: {
        replicas, selector: { matchLabels: { app: 'web' } }, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 2, maxUnavailable: 1 } },
        template: { metadata: { labels: { app: 'web' } }, spec: { terminationGracePeriodSeconds: 10 + lingerSeconds, automountServiceAccountToken: false, containers: [{ name: 'main', image: 'cirri/echo', ports: [{ containerPort: port }], ...(lingerSeconds > 0 && { lifecycle: { preStop: { exec: { command: ['sleep', String(lingerSeconds)] } } } }) }] } },
      },
    } as never);
    const service = await world.service(t, 'web', { type, selector: { app: 'web' } });
    await rolledOut();
    return service;
  };

  /** Every backend is new, and none of the connections made meanwhile failed. */
  const expectNone = (t: TestContext, load: Load) => {
    t.diagnostic(`${load.served} of ${load.started} served; connect p50 ${load.p50} µs, p99 ${load.p99} µs`);
    assert.equal(failuresOf(load), '');
    assert.ok(load.served > rate / 2, `enough to tell: ${load.served}`);
  };

  const dismissedAreGone = () => eventually('the dismissed are gone', 60_000, async () => {
    const { items } = await world.api.list(resources.pods, { namespace, labelSelector: 'app=web' });
    return items.length === replicas ? undefined : `${items.length} pods`;
  });

  /** Killed, and back when the next one has heard of everything. */
  const killed = async (t: TestContext, node: string) => {
    const name = `agent-${node}`;
    const pid = world.cluster.pidOf(name);
    const log = `${world.cluster.paths.logs}/${name}.log`;
    const lives = () => readFileSync(log, 'utf8').split('first lists are complete').length;
    const [before, startedAt] = [lives(), performance.now()];
    process.kill(pid, 'SIGKILL');
    await eventually(`${name} is another process and has heard of everything`, 30_000, async () => (world.cluster.pidOf(name) !== pid && lives() > before ? undefined : 'not yet'));
    t.diagnostic(`${name} was back after ${Math.round(performance.now() - startedAt)} ms`);
  };

  test('A16 a service is rolled under load from a pod: no request fails', async t => {
    const service = await rolling(t, 'ClusterIP');
    const wish = { to: clusterIp(service, 4), port: 80 };
    await world.expect('client-1', wish, 'answered');
    const load = startLoad(await world.origin('client-1'), wish.to, wish.port, rate, 240);
    // A quiet machine rolls in half a second.
    for (let turn = 1; turn <= (isLong ? 4 : 2); turn++) await rolled(turn);
    await dismissedAreGone();
    load.stop();
    expectNone(t, await load.result);
  });

  test('A16 A20 the agents are killed and come back in the middle of it: none either', async t => {
    // While no agent is there nobody learns that a backend goes: what is dismissed in that time has to serve on until one is back.
    const service = await rolling(t, 'ClusterIP', lingerSeconds);
    const wish = { to: clusterIp(service, 6), port: 80 };
    await world.expect('client-2', wish, 'answered');
    const load = startLoad(await world.origin('client-2'), wish.to, wish.port, rate, 240);
    for (let turn = 1; turn <= (isLong ? 4 : 1); turn++) await rolled(turn, async () => {
      await killed(t, 'node2');
      await killed(t, 'node1');
    });
    await dismissedAreGone();
    load.stop();
    expectNone(t, await load.result);
  });

  test('A16 the same from outside through a node port', async t => {
    const service = await rolling(t, 'NodePort', lingerSeconds);
    const wish = { to: world.nodeAddress('node1', 4), port: nodePort(service) };
    await world.expect('outside', wish, 'answered');
    const load = startLoad(world.outside.client, wish.to, wish.port, rate, 240);
    for (let turn = 1; turn <= (isLong ? 4 : 1); turn++) await rolled(turn, () => killed(t, 'node1'));
    await dismissedAreGone();
    load.stop();
    expectNone(t, await load.result);
  });

  test('A16 a connection that is there outlives its backend\'s dismissal while that serves on, and new ones go elsewhere', async t => {
    const backends = await world.backends(t, 'grace', ['node1', 'node2'], { spec: { terminationGracePeriodSeconds: 30 }, container: { lifecycle: { preStop: { exec: { command: ['sleep', '20'] } } } } });
    const service = await world.service(t, 'grace', { selector: { app: 'grace' } });
    const wish = { to: clusterIp(service, 4), port: 80 };
    await world.expectSpread('client-1', wish, backends);
    const held = await world.hold('client-1', wish);
    const old = held.first.served!.pod;
    await world.api.delete(resources.pods, old, namespace);
    await world.expectSpread('client-1', wish, backends.filter(name => name !== old));
    for (let turn = 0; turn < 5; turn++) assert.equal((await held.ask()).served?.pod, old);
    await held.close();
    // Not to wait for its grace.
    await world.api.delete(resources.pods, old, namespace, { gracePeriodSeconds: 0 });
  });

  test('A20 the agents come back under constant traffic of connections that are there: nothing is lost', async t => {
    await world.backends(t, 'steady', ['node2']);
    const service = await world.service(t, 'steady', { selector: { app: 'steady' } });
    await world.expect('client-1', { to: clusterIp(service, 4), port: 80 }, 'answered');
    const held = await world.hold('client-1', { to: clusterIp(service, 4), port: 80 });
    let done = false;
    const outcomes = new Set<string>();
    let asked = 0;
    const talking = (async () => {
      for (; !done; asked++) outcomes.add((await held.ask()).outcome);
    })();
    await killed(t, 'node1');
    await killed(t, 'node2');
    const whenBack = asked;
    await eventually('they talk on', 20_000, async () => (asked > whenBack + 200 ? undefined : 'not yet'));
    done = true;
    await talking;
    assert.deepEqual([...outcomes], ['answered']);
    await held.close();
  });
});
