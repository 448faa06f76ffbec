import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import { objectKey } from '../kube/reflector.ts';
import type { Node, Pod } from '../kube/types.ts';
import { PolicyEngine } from '../policy/compile.ts';
import { parsePolicy } from '../policy/parse.ts';
import { policyAddress } from '../policy/policy.ts';
import { LabelSet } from '../model/labels.ts';
import { Table } from '../table/table.ts';
import type { PolicyVersion } from './enforcement.ts';
import { createLookups } from './lookups.ts';

function setUp() {
  const engine = new PolicyEngine();
  engine.upsertIdentity(300, LabelSet.of(['k8s:app=cart', 'k8s:io.cilium.k8s.policy.cluster=one', 'k8s:io.kubernetes.pod.namespace=shop']));
  const versions = new Map<string, PolicyVersion>();
  const nodes = new Table<Node>('nodes', objectKey);
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const policies = { revision: 0, version: (address: string) => versions.get(address) };
  const lookups = createLookups({
    endpoints, nodes, policies, nodeName: 'node1', clusterName: 'one', ciliumEndpoints: new Table<CiliumEndpoint>('ciliumendpoints', objectKey), pods: new Table<Pod>('pods', objectKey),
    identities: new Table<Identity>('identities', identity => String(identity.id)), prefixIdentity: () => undefined, serviceByAddr: () => undefined, rule: id => engine.ruleInfo(id), namesOf: () => undefined,
    devices: new Map([[2, 'eth0']]),
  });
  const add = (object: Parameters<typeof parsePolicy>[0]) => {
    const { policy, errors } = parsePolicy(object, { clusterName: 'one' });
    assert.ok(policy, JSON.stringify(errors));
    engine.upsertPolicy(policy);
    versions.set(policyAddress(policy), { policy, revision: ++policies.revision });
  };
  const rulesOf = (labels: readonly string[]) => {
    const compiled = engine.compile({ labels: LabelSet.of(labels), namedPorts: new Map() }, 'ingress');
    return compiled.verdicts.map(row => row.rule);
  };
  return { lookups, nodes, endpoints, add, rulesOf };
}

const policy = (name: string, spec: object) => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop', uid: `uid-${name}` }, spec });
const web = ['k8s:app=web', 'k8s:io.cilium.k8s.policy.cluster=one', 'k8s:io.kubernetes.pod.namespace=shop'];

test('a rule has its policy, a default denial all that turned it on, each with the labels and the revision that upstream gives', () => {
  const { lookups, add, rulesOf } = setUp();
  add(policy('allow', { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'cart' } }] }], log: { value: 'carts' } }));
  add(policy('lock', { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'nobody' } }] }] }));
  const rules = rulesOf(web);
  const byEffect = (effect: string) => rules.find(id => lookups.rule(id)?.effect === effect && lookups.rule(id)?.name !== 'allow-localhost')!;
  assert.deepEqual(lookups.policiesOf!(byEffect('default-deny'))?.map(one => [one.kind, one.namespace, one.name, one.revision]).sort(), [['CiliumNetworkPolicy', 'shop', 'allow', 1], ['CiliumNetworkPolicy', 'shop', 'lock', 2]]);
  assert.deepEqual(lookups.policiesOf!(byEffect('allow')), [{
    name: 'allow', namespace: 'shop', kind: 'CiliumNetworkPolicy', revision: 1,
    labels: ['derived-from=CiliumNetworkPolicy', 'name=allow', 'namespace=shop', 'uid=uid-allow'].map(text => `k8s:io.cilium.k8s.policy.${text}`),
  }]);
  assert.deepEqual(lookups.logOf!(byEffect('allow')), ['carts']);
  assert.deepEqual(lookups.policiesOf!(12345), []);
  assert.equal(lookups.ruleRevision!(), 2);
});

test('labels of the node are the same list until they change', () => {
  const { lookups, nodes } = setUp();
  const node = (labels: Readonly<Record<string, string>>, heartbeat: string) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1', labels, annotations: { heartbeat } } }) as unknown as Node;
  nodes.upsert(node({ zone: 'b', arch: 'amd64' }, '1'));
  const first = lookups.nodeLabels!();
  assert.deepEqual(first, ['arch=amd64', 'zone=b']);
  nodes.upsert(node({ zone: 'b', arch: 'amd64' }, '2'));
  assert.equal(lookups.nodeLabels!(), first);
  nodes.upsert(node({ zone: 'c' }, '2'));
  assert.deepEqual(lookups.nodeLabels!(), ['zone=c']);
});

test('devices: the node\'s own, pods\', and those of pods that have gone', () => {
  const { lookups, endpoints } = setUp();
  const row = { id: 1, containerId: 'c', interfaceName: 'eth0', ifindex: 7, hostInterface: 'cirri1', namespace: 'shop', podName: 'web' } as Endpoint;
  endpoints.upsert(row);
  assert.deepEqual([2, 7, 8].map(index => lookups.interfaceName(index)), ['eth0', 'cirri1', undefined]);
  endpoints.delete(endpointKey(row));
  assert.equal(lookups.interfaceName(7), 'cirri1');
});
