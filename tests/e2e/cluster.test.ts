import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, namespaceYaml, podYaml, TestCluster, type ProbeEntry } from './cluster.ts';
import { machineState } from './machine.ts';

/**
 *   node1: server-1 allowed-1 other-1          every policy is tried within a node and across:
 *   node2: server-2 allowed-2 other-2          2 clients × 2 servers each
 */
interface Scenario {
  readonly title: string;
  readonly seed: string;
  readonly policy: string;
  /** Namespace of objects that name none. */
  readonly namespace?: string;
  readonly server: { readonly namespace: string; readonly labels: Readonly<Record<string, string>>; readonly port: number };
  readonly allowed?: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
  readonly other: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
}

const scenarios: readonly Scenario[] = [
  {
    title: 'a NetworkPolicy between two applications', seed: 'seeds/02-allow-frontend.yaml', policy: 'allow-frontend', namespace: 's02',
    server: { namespace: 's02', labels: { app: 'backend' }, port: 80 },
    allowed: { namespace: 's02', labels: { app: 'frontend' } },
    other: { namespace: 's02', labels: { app: 'other' } },
  },
  {
    title: 'a NetworkPolicy across namespaces', seed: 'seeds/03-payment-service-ingress.yaml', policy: 'payment-service-ingress',
    server: { namespace: 'payments', labels: { app: 'payment-service' }, port: 8080 },
    allowed: { namespace: 'checkout', labels: { app: 'checkout-service' } },
    other: { namespace: 'payments', labels: { app: 'checkout-service' } },
  },
  {
    title: 'a CiliumNetworkPolicy between tiers', seed: 'seeds/09-allow-frontend-to-api.yaml', policy: 'allow-frontend-to-api', namespace: 's09',
    server: { namespace: 's09', labels: { tier: 'api' }, port: 8080 },
    allowed: { namespace: 's09', labels: { tier: 'frontend' } },
    other: { namespace: 's09', labels: { tier: 'batch' } },
  },
];

const nodes = ['node1', 'node2'] as const;

function podsOf({ server, allowed, other }: Scenario): string {
  const namespaces = [...new Set([server.namespace, other.namespace, ...(allowed ? [allowed.namespace] : [])])];
  return [
    ...namespaces.map(namespaceYaml),
    ...nodes.flatMap((node, i) => [
      podYaml(server.namespace, `server-${i + 1}`, node, server.labels, server.port),
      ...(allowed ? [podYaml(allowed.namespace, `allowed-${i + 1}`, node, allowed.labels)] : []),
      podYaml(other.namespace, `other-${i + 1}`, node, other.labels),
    ]),
  ].join('');
}

function matrix({ server, allowed, other }: Scenario, othersDenied: boolean): ProbeEntry[] {
  const numbers = [1, 2];
  return numbers.flatMap(from => numbers.flatMap((to): ProbeEntry[] => [
    ...(allowed ? [{ from: `${allowed.namespace}/allowed-${from}`, to: `${server.namespace}/server-${to}`, port: server.port, expect: 'allowed' as const }] : []),
    { from: `${other.namespace}/other-${from}`, to: `${server.namespace}/server-${to}`, port: server.port, expect: othersDenied ? 'denied' : 'allowed' },
  ]));
}

const dnsIngress = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata:
  name: dns-may-be-asked
spec:
  endpointSelector:
    matchLabels:
      k8s-app: kube-dns
  ingress:
    - fromEntities: [cluster]
`;

describe('a cluster of two nodes', () => {
  const cluster = new TestCluster('e');
  const clean = machineState(cluster.instance);

  before(() => cluster.start('--no-demo'));
  after(() => cluster.stop());

  test('a second up changes nothing and says so', async () => {
    const pids = ['supervisor', 'apiserver', 'agent-node1', 'kubelet-node2'].map(name => cluster.pidOf(name));
    const again = await cluster.start('--no-demo');
    assert.match(again.stdout, /was up already; nothing changed/);
    assert.deepEqual(['supervisor', 'apiserver', 'agent-node1', 'kubelet-node2'].map(name => cluster.pidOf(name)), pids);
  });

  test('kubectl talks to it', async () => {
    const got = await cluster.kubectl('get', 'nodes', '-o', 'name');
    assert.deepEqual(got.stdout.trim().split('\n').sort(), ['node/node1', 'node/node2'], got.stderr);
  });

  test('a manifest with an error names file, line, field and the mend, and changes nothing', async () => {
    const file = join(tmpdir(), `cirri-e2e-bad-${process.pid}.yaml`);
    writeFileSync(file, [
      'apiVersion: v1', 'kind: ConfigMap', 'metadata: {name: fine, namespace: default}', '---',
      'apiVersion: cilium.io/v2', 'kind: CiliumNetworkPolicy', 'metadata: {name: bad, namespace: default}', 'spec:', '  endpointSelector: {}', '  ingress:',
      '    - fromEndpoint: [{matchLabels: {app: x}}]', '',
    ].join('\n'));
    try {
      const applied = await cluster.cirri('apply', '-f', file);
      assert.notEqual(applied.code, 0);
      assert.match(applied.stderr, /bad-\d+\.yaml:11: .*unknown field "spec\.ingress\[0\]\.fromEndpoint"\n.*→ .*kubectl explain ciliumnetworkpolicy\.spec\.ingress/);
      assert.match((await cluster.kubectl('get', 'configmap', 'fine')).stderr, /not found/, 'the document before the bad one was not applied either');
    } finally {
      rmSync(file, { force: true });
    }
  });

  const namespaceOf = (scenario: Scenario) => (scenario.namespace === undefined ? [] : ['-n', scenario.namespace]);

  /** Pods of the scenario are ready and talk; with its policy, only those that may. */
  async function underPolicy(scenario: Scenario, section: () => Promise<void>): Promise<void> {
    const { server, allowed, other } = scenario;
    await cluster.with(podsOf(scenario), [], async () => {
      await cluster.podsReady(...new Set([server.namespace, other.namespace, ...(allowed ? [allowed.namespace] : [])]));
      await cluster.expectAll(matrix(scenario, false));
      await cluster.with(scenario.seed, namespaceOf(scenario), section);
      await cluster.expectAll(matrix(scenario, false));
    });
  }

  for (const scenario of scenarios) {
    test(scenario.title, () => underPolicy(scenario, async () => {
      const results = await cluster.expectAll(matrix(scenario, true));
      for (const denied of results.filter(result => result.outcome === 'denied')) {
        assert.equal(denied.drop?.reason, 'Policy denied');
        assert.match(denied.drop?.rule ?? '', new RegExp(scenario.policy));
      }
    }));
  }

  test('a denial is seen within a second, with its reason and policy', () => underPolicy(scenarios[2]!, async () => {
    await cluster.expectAll(matrix(scenarios[2]!, true));
    const watch = cluster.follow('--verdict', 'DROPPED', '--to-namespace', 's09');
    // The first answer of the watch proves that it listens; then the clock runs.
    let listening = false;
    void watch.next(() => true, 20_000).then(() => (listening = true));
    await eventually('the watch hears something', 20_000, async () => {
      await cluster.probe({ from: 's09/other-1', to: 's09/server-2', port: 8080 });
      return listening ? undefined : 'nothing yet';
    });
    const seen = watch.next(flow => flow.source.pod_name === 'other-2', 20_000).then(flow => ({ flow, at: Date.now() }));
    const startedAt = Date.now();
    const result = await cluster.probe({ from: 's09/other-2', to: 's09/server-1', port: 8080 });
    assert.equal(result.outcome, 'denied');
    const { flow, at } = await seen;
    const afterMs = Date.parse(flow.time) - startedAt;
    assert.equal(flow.drop_reason_desc, 'POLICY_DENIED');
    assert.deepEqual(flow.ingress_denied_by?.map(policy => policy.name), ['allow-frontend-to-api']);
    assert.ok(at - startedAt - Math.max(0, afterMs) < 1_000, 'seen within a second of the packet');
    watch.stop();
  }));

  test('a cluster-wide default denial, with the API server and DNS let through', async () => {
    const pods = namespaceYaml('s07') + podYaml('s07', 'server-1', 'node1', { app: 'a' }, 8080) + podYaml('s07', 'client-2', 'node2', { app: 'b' });
    const open: ProbeEntry = { from: 's07/client-2', to: 's07/server-1', port: 8080, expect: 'allowed' };
    await cluster.with(pods, [], async () => {
      await cluster.podsReady('s07');
      await cluster.expectAll([open]);
      await cluster.with('seeds/07-cluster-default-deny.yaml', [], async () => {
        const [denied] = await cluster.expectAll([
          { ...open, expect: 'denied' },
          { from: 's07/client-2', to: 'default/kubernetes', port: 443, expect: 'allowed' },
        ]);
        assert.match(denied?.drop?.rule ?? '', /default-deny-all|allow-kube-dns|allow-apiserver/);
        // The seed denies all ingress of all endpoints, the DNS server's too: names work once that may be asked.
        await cluster.with(dnsIngress, [], async () => {
          await cluster.expectAll([{ from: 's07/client-2', to: 'kubernetes.default.svc.cluster.local', port: 443, expect: 'allowed' }]);
        });
      });
      await cluster.expectAll([open]);
    });
  });

  test('agents, kubelets and the API server killed with -9 under traffic: nobody notices, and no window opens', () => underPolicy(scenarios[2]!, async () => {
    const scenario = scenarios[2]!;
    await cluster.expectAll(matrix(scenario, true));
    const traffic = Array.from({ length: 60 }, () => matrix(scenario, true)).flat();
    const watch = cluster.follow('--verdict', 'DROPPED', '--from-pod', 's09/other-1');
    const running = cluster.probes(traffic, '--concurrency', '4', '--timeout', '1000');
    // The API is asked for names at the start; once packets flow, it may go.
    await watch.next(() => true, 20_000);
    watch.stop();
    for (const name of ['agent-node1', 'apiserver', 'agent-node2', 'kubelet-node1']) process.kill(cluster.pidOf(name), 'SIGKILL');
    for (const result of await running) {
      if (result.expect === 'allowed') assert.equal(result.outcome, 'allowed', JSON.stringify(result));
      // Without an agent nobody tells us of the drop, but it is one all the same.
      else assert.ok(result.outcome === 'denied' || result.outcome === 'timed-out', JSON.stringify(result));
    }
    await eventually('everything is back', 20_000, async () => {
      const status = await cluster.cirri('status');
      return status.code === 0 ? undefined : status.stdout + status.stderr;
    });
    await cluster.expectAll(matrix(scenario, true));
  }));

  test('the supervisor killed with -9: processes go on, and up takes them over', async () => {
    const agent = cluster.pidOf('agent-node1');
    process.kill(cluster.pidOf('supervisor'), 'SIGKILL');
    await cluster.start('--no-demo');
    assert.equal(cluster.pidOf('agent-node1'), agent, 'the agent was not restarted');
    process.kill(agent, 'SIGKILL');
    await eventually('the adopted agent is started again', 20_000, async () => (cluster.pidOf('agent-node1') === agent ? 'still the old one' : undefined));
  });

  test('down leaves nothing behind', async () => {
    await cluster.stop();
    assert.deepEqual(machineState(cluster.instance), clean);
    const again = await cluster.cirri('down');
    assert.equal(again.code, 0);
    assert.match(again.stdout, /was not up/);
  });
});
