import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually, namespaceYaml, podYaml, TestCluster, type ProbeEntry } from './cluster.ts';

/**
 * Tiers and who a destination is, with kubectl, real traffic and the conditions:
 *
 *   node1: server-1 client other          admin ► network policies ► baseline
 *   node2: server-2
 */
const port = 8080;
const pods = [
  namespaceYaml('tiers'),
  podYaml('tiers', 'server-1', 'node1', { app: 'server' }, port), podYaml('tiers', 'server-2', 'node2', { app: 'server' }, port),
  podYaml('tiers', 'client', 'node1', { app: 'client' }), podYaml('tiers', 'other', 'node1', { app: 'other' }),
].join('');

const subject = 'subject: { pods: { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: tiers } }, podSelector: { matchLabels: { app: server } } } }';
const from = (app: string) => `from: [ { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: ${app} } } } } ]`;
const admin = (client: string, other: string) => `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: { name: tiers }
spec:
  priority: 5
  ${subject}
  ingress:
    - { name: the-client, action: ${client}, ${from('client')}, ports: [ { portNumber: { protocol: TCP, port: ${port} } } ] }
    - { name: the-other, action: ${other}, ${from('other')} }
`;
const baseline = `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: { name: default }
spec:
  ${subject}
  ingress: [ { action: Deny, from: [ { namespaces: {} } ] } ]
`;
const networkPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: other-only, namespace: tiers }
spec:
  podSelector: { matchLabels: { app: server } }
  ingress: [ { from: [ { podSelector: { matchLabels: { app: other } } } ] } ]
`;
/** Of one node's pods. */
const networks = (node: 1 | 2) => `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: not-to-one-node }
spec:
  tier: Admin
  priority: 1
  subject: { namespaces: { matchLabels: { kubernetes.io/metadata.name: tiers } } }
  egress: [ { action: Deny, to: [ { networks: [ 10.244.${node}.0/24 ] } ], protocols: [ { tcp: { destinationPort: { number: ${port} } } } ] } ]
`;

const nodes = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: not-from-zone-b }
spec:
  endpointSelector: { matchLabels: { app: server } }
  enableDefaultDeny: { ingress: false }
  ingressDeny: [ { fromNodes: [ { matchLabels: { zone: b } } ] } ]
`;

const matrix = (client: ProbeEntry['expect'], other: ProbeEntry['expect'], servers = ['server-1', 'server-2']): ProbeEntry[] => servers.flatMap(server => [
  { from: 'tiers/client', to: `tiers/${server}`, port, ...(client ? { expect: client } : {}) }, { from: 'tiers/other', to: `tiers/${server}`, port, ...(other ? { expect: other } : {}) },
]);

describe('tiers in a cluster of two nodes', () => {
  const cluster = new TestCluster('t');
  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply(pods);
    await cluster.podsReady('tiers');
  });
  after(() => cluster.stop());

  const apply = async (manifest: string, name: string) => {
    await cluster.apply(manifest);
    const waited = await cluster.kubectl('wait', '--for=condition=Enforced', name, '--timeout=20s');
    assert.equal(waited.code, 0, waited.stderr + (await cluster.kubectl('get', name, '-o', 'yaml')).stdout);
  };
  const status = async (name: string, path: string) => (await cluster.kubectl('get', name, '-o', `jsonpath=${path}`)).stdout;

  test('baseline denies where no network policy speaks; a network policy outranks it; admin outranks both; pass hands over', async () => {
    await cluster.expectAll(matrix('allowed', 'allowed'));
    await apply(baseline, 'banp/default');
    await cluster.expectAll(matrix('denied', 'denied'));
    await cluster.apply(networkPolicy);
    await cluster.expectAll(matrix('denied', 'allowed'));
    await apply(admin('Allow', 'Deny'), 'anp/tiers');
    await cluster.expectAll(matrix('allowed', 'denied'));
    await cluster.apply(admin('Pass', 'Pass'));
    await cluster.expectAll(matrix('denied', 'allowed'));
  });

  test('the object says on which nodes which version is in force, a bad one is refused and leaves it so', async () => {
    // It is in force before the object says so.
    await eventually('the object says that this version is in force', 20_000, async () => {
      const said = [await status('anp/tiers', '{.status.conditions[?(@.type=="Enforced")].message}'), await status('anp/tiers', '{.status.nodes.node2.observedGeneration}')];
      const wanted = ['in force on 2 of 2 nodes', await status('anp/tiers', '{.metadata.generation}')];
      return said.join() === wanted.join() ? undefined : said.join();
    });
    const refused = await cluster.kubectl('patch', 'anp', 'tiers', '--type=merge', '-p', '{"spec":{"priority":1001}}');
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /spec\.priority/);
    assert.equal(await status('anp/tiers', '{.status.conditions[?(@.type=="Valid")].status}'), 'True');
    const shown = await cluster.cirri('policy', 'get');
    assert.match(shown.stdout, /NetworkPolicy\/tiers\/other-only.*in force on 2 of 2 nodes/);
  });

  test('networks of a ClusterNetworkPolicy hold for pods by their addresses', async () => {
    await cluster.kubectl('delete', 'anp', 'tiers');
    await apply(networks(2), 'clusternetworkpolicy/not-to-one-node');
    await cluster.expectAll([...matrix('denied', 'allowed', ['server-1']), ...matrix('denied', 'denied', ['server-2'])]);
    // Both clients are on node 1: now the network is that of their neighbours.
    await cluster.apply(networks(1));
    await cluster.expectAll([...matrix('denied', 'denied', ['server-1']), ...matrix('denied', 'allowed', ['server-2'])]);
    await cluster.kubectl('delete', 'clusternetworkpolicy', 'not-to-one-node');
    await cluster.expectAll(matrix('denied', 'allowed'));
  });

  test('audit of one pod: what is denied passes there, and the status says where', async () => {
    const set = await cluster.cirri('endpoint', 'config', 'tiers/server-1', 'PolicyAuditMode=Enabled');
    assert.equal(set.stdout, 'PolicyAuditMode : Enabled\n', set.stderr);
    await cluster.expectAll([...matrix('allowed', 'allowed', ['server-1']), ...matrix('denied', 'allowed', ['server-2'])]);
    await eventually('a flow with the verdict AUDIT', 20_000, async () => ((await cluster.observe('--verdict', 'AUDIT', '--last', '5')).length > 0 ? undefined : 'none'));
    assert.match((await cluster.cirri('status')).stdout, /audit: denials pass for pod tiers\/server-1/);
    const unset = await cluster.cirri('endpoint', 'config', 'tiers/server-1', 'PolicyAuditMode=Disabled');
    assert.equal(unset.stdout, 'PolicyAuditMode : Disabled\n', unset.stderr);
    await cluster.expectAll(matrix('denied', 'allowed', ['server-1']));
  });

  test('fromNodes selects nodes by the labels that they have now', async () => {
    await cluster.kubectl('delete', 'networkpolicy', '-n', 'tiers', 'other-only');
    await cluster.kubectl('label', 'node', 'node2', 'zone=b');
    const fromNodes = (of2: ProbeEntry['expect']): ProbeEntry[] => [{ from: 'node2', to: 'tiers/server-1', port, expect: of2! }, { from: 'node1', to: 'tiers/server-2', port, expect: 'allowed' }];
    await cluster.expectAll(fromNodes('allowed'));
    await apply(nodes, 'ccnp/not-from-zone-b');
    await cluster.expectAll(fromNodes('denied'));
    await cluster.kubectl('label', 'node', 'node2', 'zone=c', '--overwrite');
    await cluster.expectAll(fromNodes('allowed'));
  });
});
