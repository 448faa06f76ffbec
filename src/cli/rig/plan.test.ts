import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConformanceCase, KubernetesObject, Probe } from '../../policy/conformance/case.ts';
import { admissible } from './admissible.ts';
import { followAddresses } from './addresses.ts';
import { inRigOrder, nodesNeeded, planCase, podShape, type RigFacts } from './plan.ts';
import { isMartian, standInFor } from './stand-in.ts';

const facts: RigFacts = { nodes: ['node1', 'node2'], prefixes: ['10.244.0.0/16', '172.30.7.0/24'] };
const cluster: NonNullable<ConformanceCase['cluster']> = {
  namespaces: [{ name: 'a' }],
  nodes: [{ name: 'n1', ips: ['172.18.0.2'], labels: { disk: 'ssd' } }, { name: 'n2', ips: ['172.18.0.3'] }],
  pods: [
    { namespace: 'a', name: 'x', ip: '10.0.0.1', node: 'n2', ports: [{ port: 80, protocol: 'TCP' }] },
    { namespace: 'a', name: 'host', ip: '172.18.0.2', node: 'n1', host_network: true },
    { namespace: 'b', name: 'y', ip: '10.0.0.2' },
  ],
  dns: { 'example.org.': ['192.0.2.9', '2001:db8::9'] },
};

function plan(probe: Partial<Probe>, policies: readonly KubernetesObject[] = []) {
  const full: Probe = { from: { pod: 'a/x' }, to: { pod: 'b/y' }, port: 80, protocol: 'TCP', expect: 'allow', ...probe };
  return planCase({ id: 'c', kind: 'connectivity', cluster, policies, probes: [full] }, facts);
}

test('ends: pods, nodes, pods of the host, addresses of either, names, the outside', () => {
  const to = (end: Probe['to']) => plan({ to: end }).probes[0]?.to;
  assert.deepEqual(plan({}).probes[0]?.from, { kind: 'pod', key: 'a/x' });
  assert.deepEqual(to({ node: 'n2' }), [{ kind: 'node', name: 'node2' }]);
  assert.deepEqual(to({ pod: 'a/host' }), [{ kind: 'node', name: 'node1' }]);
  assert.deepEqual(to({ ip: '10.0.0.2' }), [{ kind: 'pod', key: 'b/y' }]);
  assert.deepEqual(to({ ip: '172.18.0.3' }), [{ kind: 'node', name: 'node2' }]);
  assert.deepEqual(to({ ip: '192.0.2.1' }), [{ kind: 'outside', address: '192.0.2.1' }]);
  assert.deepEqual(to({ fqdn: 'example.org.' }), [{ kind: 'outside', address: '192.0.2.9' }]);
  assert.throws(() => plan({ to: { pod: 'a/nobody' } }), /no pod a\/nobody/);
});

test('what cannot be tried is skipped with the reason', () => {
  assert.deepEqual(plan({ http: { method: 'GET', path: '/' }, protocol: 'UDP' }).skipped, ['a request goes over TCP']);
  assert.match(plan({ to: { ip: '172.30.7.9' } }).skipped[0]!, /172\.30\.7\.9 lies in 172\.30\.7\.0\/24/);
  assert.match(plan({ from: { ip: '192.0.2.1' }, to: { ip: '192.0.2.2' } }).skipped[0]!, /both ends lie outside/);
});

test('pods go to the nodes of the case, others to each in turn; the host has no pod; namespaces of pods and policies are made', () => {
  const { pods, namespaces, nodeLabels } = plan({}, [{ kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'c' } }]);
  assert.deepEqual(pods.map(p => [p.key, p.node]), [['a/x', 'node2'], ['b/y', 'node2']]);
  assert.deepEqual(namespaces.map(n => n.name), ['a', 'b', 'c']);
  assert.deepEqual(nodeLabels.get('node1'), { disk: 'ssd' });
});

test('pods of equal shape stay when labels or addresses change, and cases that share them follow each other', () => {
  const [x] = plan({}).pods;
  assert.equal(podShape(x!), podShape({ ...x!, labels: { other: '1' }, ip: '10.9.9.9' }));
  assert.notEqual(podShape(x!), podShape({ ...x!, ports: [] }));
  const other = { ...cluster, pods: [] };
  const cases = [['1', cluster], ['2', other], ['3', cluster]].map(([id, c]) => ({ id, kind: 'connectivity', cluster: c }) as ConformanceCase);
  assert.deepEqual(inRigOrder(cases).map(c => c.id), ['1', '3', '2']);
  assert.equal(nodesNeeded(cases), 2);
});

test('an address that no packet bears is stood in for by one that no prefix of the policies tells from it', () => {
  assert.ok(['0.0.0.1', '127.0.0.1', '224.0.0.1', '::1', 'ff02::1'].every(isMartian));
  assert.ok(!isMartian('255.255.255.254') && !isMartian('1.0.0.1') && !isMartian('2001:db8::1'));
  const policy = (cidr: string): KubernetesObject => ({ kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'a' }, spec: { ingress: [{ from: [{ ipBlock: { cidr } }] }] } });
  assert.deepEqual(plan({ to: { ip: '0.0.0.1' } }).probes[0]?.to, [{ kind: 'outside', address: '1.0.0.1' }]);
  assert.equal(standInFor('0.0.0.1', [policy('1.0.0.0/8')], () => false), '2.0.0.1');
  assert.equal(standInFor('0.0.0.1', [policy('0.0.0.0/0')], text => text === '1.0.0.1'), '2.0.0.1');
  assert.match(plan({ to: { ip: '0.0.0.1' } }, [policy('0.0.0.0/31')]).skipped[0]!, /no packet can bear 0\.0\.0\.1/);
});

test('policies as no API server takes them are brought into a form that means the same', () => {
  const policy = { kind: 'AdminNetworkPolicy', metadata: { name: "Generated_name_'\u0001'" }, spec: { subject: { pods: { namespaceSelector: { matchLabels: { a: 'b' } } } }, egress: [{ ports: [{ portNumber: { protocol: '', port: 80 } }, { port: 1, endPort: 65_537 }] }] } };
  const taken = admissible(policy);
  assert.match(taken.metadata.name, /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/);
  assert.deepEqual(taken.spec, { subject: { pods: { podSelector: {}, namespaceSelector: { matchLabels: { a: 'b' } } } }, egress: [{ ports: [{ portNumber: { port: 80 } }, { port: 1, endPort: 65_535 }] }] });
  const plain: KubernetesObject = { kind: 'CiliumNetworkPolicy', metadata: { name: 'as-it.is', namespace: 'a' }, spec: { endpointSelector: {}, ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] } };
  assert.deepEqual(admissible(plain), plain);
});

test('networks of the admin kinds follow the ends that they hold to their real addresses; other CIDRs stay', () => {
  const moved = [{ from: '10.0.0.1', to: ['10.244.1.5', 'fd00::5'] }, { from: '10.0.0.2', to: ['10.244.2.6', 'fd00::6'] }];
  const admin = (networks: string[]): KubernetesObject => ({ kind: 'ClusterNetworkPolicy', metadata: { name: 'p' }, spec: { egress: [{ to: [{ networks }] }] } });
  const after = (networks: string[]) => JSON.parse(JSON.stringify(followAddresses([admin(networks)], moved).policies[0]!.spec)).egress[0].to[0].networks as string[];
  assert.deepEqual(after(['10.0.0.1/32']), ['10.0.0.1/32', '10.244.1.5/32']);
  assert.deepEqual(after(['10.0.0.0/24']), ['10.0.0.0/24', '10.244.1.5/32', '10.244.2.6/32']);
  assert.deepEqual(after(['0.0.0.0/0', '::/0']), ['0.0.0.0/0', '::/0']);
  assert.match(followAddresses([admin(['10.244.0.0/16'])], moved).impossible!, /stand for others/);
  const block: KubernetesObject = { kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'a' }, spec: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.1/32' } }] }] } };
  assert.deepEqual(followAddresses([block], moved).policies, [block]);
});
