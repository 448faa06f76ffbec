/**
 * The classes of vulnerability that policy engines have had, each advisory in its own words, asked of everybody: the naive
 * evaluator, the tables, the plain evaluation, the tools, and the loaded programs.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { podIdentityLabels } from '../../src/agent/identify.ts';
import { TestServer } from '../../src/apiserver/testing.ts';
import type { Namespace as ApiNamespace, Pod as ApiPod } from '../../src/kube/types.ts';
import { Table } from '../../src/table/table.ts';
import { Engine } from './engine.ts';
import { Kernel } from './kernel.ts';
import { naive } from './naive.ts';
import { clusterName } from './objects.ts';
import type { CiliumEntry, CiliumPolicy, CiliumSpec, ClusterPolicy, KubeObject, LabelSelector, NetworkPolicy, Peer, Pod, Question } from './objects.ts';
import { answersTo, load } from './run.ts';

let kernel: Kernel;
before(() => { kernel = new Kernel(); });
after(() => kernel.close());

const pod = (namespace: string, name: string, number: number, labels: Record<string, string>, port?: { name: string; containerPort: number }): Pod => ({
  kind: 'Pod', metadata: { namespace, name, labels },
  spec: { nodeName: 'n1', containers: [{ name: 'main', ...(port && { ports: [port] }) }] },
  status: { podIPs: [{ ip: `10.244.1.${number}` }, { ip: `fd00:10:244:1::${number}` }] },
});
const namespace = (name: string, labels: Record<string, string>): KubeObject => ({ kind: 'Namespace', metadata: { name, labels } });
const cluster: readonly KubeObject[] = [
  namespace('x', { team: 'red' }), namespace('y', { team: 'blue' }),
  ...['n1', 'n2'].map((name, i): KubeObject => ({ kind: 'Node', metadata: { name, labels: { zone: 'east' } }, status: { addresses: [{ type: 'InternalIP', address: `172.30.0.1${i + 1}` }] } })),
  pod('x', 'web', 10, { app: 'web' }), pod('x', 'db', 11, { app: 'db' }), pod('y', 'web', 12, { app: 'web' }),
];
const cnp = (spec: CiliumSpec, inNamespace = 'x', name = 'p'): CiliumPolicy => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: inNamespace }, spec });
const ingress = (...entries: CiliumEntry[]) => cnp({ endpointSelector: { matchLabels: { app: 'web' } }, ingress: entries });
const egress = (...entries: CiliumEntry[]) => cnp({ endpointSelector: { matchLabels: { app: 'web' } }, egress: entries });
const port = (number: number, endPort?: number, protocol = 'TCP'): CiliumEntry => ({ toPorts: [{ ports: [{ port: String(number), ...(endPort !== undefined && { endPort }), protocol }] }] });

const peers = {
  'x/web': { pod: 'x/web' }, 'x/db': { pod: 'x/db' }, 'y/web': { pod: 'y/web' }, 'y/evil': { pod: 'y/evil' },
  world: { outside: '8.8.8.8' }, inside10: { outside: '10.1.2.3' }, beside10: { outside: '10.200.0.1' }, world6: { outside: '2001:db8::9' },
  node: { node: 'n2' }, apiserver: { reserved: 'kube-apiserver' }, health: { reserved: 'health' },
} as const satisfies Record<string, Peer>;
type PeerName = keyof typeof peers;

/** What all say; it fails when they do not all say the same. */
function verdicts(objects: readonly KubeObject[], direction: Question['direction'], names: readonly PeerName[], at: { subject?: string; port?: number; protocol?: number; nodeLabels?: boolean } = {}): string[] {
  const engine = new Engine({ mode: 'default', allowLocalhost: 'always', nodeLabels: at.nodeLabels ?? true, provides: { proxy: false }, httpReader: 'proxy' });
  assert.equal(load(engine, kernel, objects), undefined);
  return names.map(name => {
    const peer: Peer = peers[name];
    const question: Question = { subject: { pod: at.subject ?? 'x/web' }, direction, peer, protocol: at.protocol ?? 6, port: at.port ?? 80, v6: 'outside' in peer && peer.outside.includes(':') };
    const { answers, agree, byKernel } = answersTo(engine, kernel, question);
    assert.ok(agree, JSON.stringify({ name, ...answers }));
    assert.ok(byKernel > 0, 'the programs were asked');
    return naive(objects, question, engine.settings).verdict;
  });
}

const everybody: readonly PeerName[] = ['x/db', 'y/web', 'world', 'inside10', 'world6', 'node', 'apiserver', 'health'];
const all = (verdict: string, names: readonly unknown[] = everybody) => names.map(() => verdict);

describe('V2 empty means allow', () => {
  test('CVE-2025-64715: an egress rule with toGroups that resolve to nothing allows nobody, and not everybody', () => {
    for (const toGroups of [[{ aws: { securityGroupsIds: ['sg-1'] } }], [{}], [{ aws: {} }]]) {
      for (const entry of [{ toGroups }, { toGroups, ...port(80) }]) assert.deepEqual(verdicts([...cluster, egress(entry)], 'egress', everybody), all('deny'), JSON.stringify(entry));
      const written = JSON.parse(JSON.stringify(egress({ toGroups }))) as CiliumPolicy;
      assert.deepEqual(verdicts([...cluster, written], 'egress', everybody), all('deny'), 'also after it went through JSON');
    }
  });

  test('cilium#6292: a name without an address allows nobody', () => {
    assert.deepEqual(verdicts([...cluster, egress({ toFQDNs: [{ matchName: 'api.example.com' }], ...port(80) })], 'egress', everybody), all('deny'));
  });

  test('cilium#46305: an ipBlock is about addresses outside, and opens no namespace', () => {
    const open: NetworkPolicy = { kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] } };
    assert.deepEqual(verdicts([...cluster, open], 'ingress', ['inside10', 'world', 'x/db', 'y/web', 'node']), ['allow', ...all('deny', [1, 2, 3, 4])]);
  });

  test('lists of peers that are empty, or name what is not there', () => {
    for (const entry of [{ fromEndpoints: [] }, { fromCIDR: [] }, { fromCIDRSet: [] }, { fromEntities: [] }, { fromNodes: [] }, { fromCIDRSet: [{ cidrGroupRef: 'gone' }] }, { fromEntities: ['none'] }]) {
      assert.deepEqual(verdicts([...cluster, ingress({ ...entry, ...port(80) })], 'ingress', everybody), all('deny'), JSON.stringify(entry));
    }
    const empty: KubeObject = { kind: 'CiliumCIDRGroup', metadata: { name: 'empty' }, spec: { externalCIDRs: [] } };
    assert.deepEqual(verdicts([...cluster, empty, ingress({ fromCIDRSet: [{ cidrGroupRef: 'empty' }], ...port(80) })], 'ingress', everybody), all('deny'));
    for (const service of [{ k8sService: { serviceName: 'gone' } }, { k8sServiceSelector: { selector: { matchLabels: { kind: 'gone' } } } }, {}]) {
      assert.deepEqual(verdicts([...cluster, egress({ toServices: [service], ...port(80) })], 'egress', everybody), all('deny'), JSON.stringify(service));
    }
  });

  test('a service that loses its last pod allows nobody any more', () => {
    const service: KubeObject = { kind: 'Service', metadata: { name: 'db', namespace: 'x' }, spec: { selector: { app: 'db' } } };
    const policy = egress({ toServices: [{ k8sService: { serviceName: 'db', namespace: 'x' } }] });
    assert.deepEqual(verdicts([...cluster, service, policy], 'egress', ['x/db', 'y/web', 'world']), ['allow', 'deny', 'deny']);
    const left = cluster.filter(o => o.metadata.name !== 'db');
    assert.deepEqual(verdicts([...left, service, policy], 'egress', ['y/web', 'world', 'node']), all('deny', [1, 2, 3]));
  });
});

describe('V3 precedence and merge', () => {
  test('CVE-2024-47825: a CIDR deny holds although a narrower CIDR is allowed, and though its exceptions are', () => {
    const narrower = egress({ toCIDR: ['10.1.2.3/32'] });
    for (const denied of [{ toCIDR: ['10.0.0.0/8'] }, { toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.200.0.0/16'] }] }, { toCIDRSet: [{ cidr: '0.0.0.0/0' }] }, { toEntities: ['world'] }]) {
      const deny = cnp({ endpointSelector: {}, egressDeny: [denied] }, 'x', 'deny');
      for (const order of [[narrower, deny], [deny, narrower]]) assert.deepEqual(verdicts([...cluster, ...order], 'egress', ['inside10']), ['deny'], JSON.stringify(denied));
    }
    const holed = cnp({ endpointSelector: {}, egress: [{ toEntities: ['world'] }], egressDeny: [{ toCIDRSet: [{ cidr: '10.0.0.0/8', except: ['10.200.0.0/16'] }] }] });
    assert.deepEqual(verdicts([...cluster, holed], 'egress', ['inside10', 'beside10', 'world']), ['deny', 'allow', 'allow']);
  });

  test('CVE-2024-52529: an L7 rule over a range of ports is not skipped for a wider or a narrower L4 rule of other peers', () => {
    const http = { fromEndpoints: [{ matchLabels: { app: 'db' } }], toPorts: [{ ports: [{ port: '80', endPort: 443, protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] };
    const plain = { fromEndpoints: [{ matchLabels: { app: 'web', 'k8s:io.kubernetes.pod.namespace': 'y' } }], ...port(1, 65535) };
    for (const number of [80, 81, 200, 443]) assert.deepEqual(verdicts([...cluster, ingress(http, plain)], 'ingress', ['x/db', 'y/web', 'world'], { port: number }), ['deny', 'allow', 'deny'], String(number));
    assert.deepEqual(verdicts([...cluster, ingress(http, plain)], 'ingress', ['x/db'], { port: 444 }), ['deny']);
  });

  test('CVE-2026-25804: the order of rules does not overflow, with the largest priorities and hundreds of rules before the one that decides', () => {
    const rule = (action: 'Allow' | 'Deny', app: string) => ({ action, from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app } } } }] });
    const admin = (name: string, priority: number, ...rules: ReturnType<typeof rule>[]): ClusterPolicy => ({ kind: 'AdminNetworkPolicy', metadata: { name }, spec: { priority, subject: { namespaces: {} }, ingress: rules } });
    const filler = Array.from({ length: 99 }, (_, i) => rule('Allow', `nobody-${i}`));
    for (const [denies, allows] of [[0, 1], [0, 1000], [999, 1000], [255, 256], [127, 128]] as const) {
      const policies = [admin('allow', allows, ...filler, rule('Allow', 'db')), admin('deny', denies, ...filler, rule('Deny', 'db'))];
      assert.deepEqual(verdicts([...cluster, ...policies], 'ingress', ['x/db', 'y/web']), ['deny', 'allow'], `${denies} before ${allows}`);
      const turned = [admin('deny', allows, ...filler, rule('Deny', 'db')), admin('allow', denies, ...filler, rule('Allow', 'db'))];
      assert.deepEqual(verdicts([...cluster, ...turned], 'ingress', ['x/db']), ['allow'], `${denies} before ${allows}, turned`);
    }
    assert.deepEqual(verdicts([...cluster, admin('a', 1000, ...filler, rule('Deny', 'db'))], 'ingress', ['x/db', 'y/web']), ['deny', 'allow'], 'the hundredth rule');
  });

  test('a deny for one port, a range, a protocol or anybody holds against every narrower allow', () => {
    const allow = ingress({ fromEndpoints: [{ matchLabels: { app: 'db' } }], ...port(443) });
    for (const entry of [port(443), port(1, 65535), port(400, 500), port(0), { toPorts: [{ ports: [{ port: '443' }] }] }, { fromEntities: ['all'] }, { fromEntities: ['cluster'] }, { fromEndpoints: [{}] }]) {
      const deny = cnp({ endpointSelector: {}, ingressDeny: [entry] }, 'x', 'deny');
      assert.deepEqual(verdicts([...cluster, allow, deny], 'ingress', ['x/db'], { port: 443 }), ['deny'], JSON.stringify(entry));
    }
  });

  test('an L7 rule keeps its bite when it is merged with an L4 rule for other peers, and loses it only to one for the same', () => {
    const http: CiliumEntry = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/x' }] } }] };
    assert.deepEqual(verdicts([...cluster, ingress(http, { fromEndpoints: [{ matchLabels: { app: 'db' } }], ...port(80) })], 'ingress', ['x/db', 'y/web', 'world']), ['allow', 'deny', 'deny']);
    assert.deepEqual(verdicts([...cluster, ingress(http), cnp({ endpointSelector: {}, ingress: [port(80)] }, 'x', 'q')], 'ingress', ['world']), ['allow']);
  });
});

describe('V5 forged labels and identities', () => {
  const evil = (labels: Record<string, string>) => pod('y', 'evil', 13, labels);
  const onlyOwnNamespace = ingress({ fromEndpoints: [{}] });

  test('CVE-2023-39347: a pod whose labels are changed to name another namespace, service account or cluster stays who it is', () => {
    const forgeries: readonly Record<string, string>[] = [
      { 'io.kubernetes.pod.namespace': 'x' }, { 'k8s:io.kubernetes.pod.namespace': 'x' }, { 'io.cilium.k8s.namespace.labels.team': 'red' },
      { 'io.cilium.k8s.policy.serviceaccount': 'admin' }, { 'io.cilium.k8s.policy.cluster': 'other' }, { 'io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'x' },
    ];
    for (const forged of forgeries) {
      const objects = [...cluster, evil({ app: 'web', ...forged })];
      assert.deepEqual(verdicts([...objects, onlyOwnNamespace], 'ingress', ['y/evil', 'x/db']), ['deny', 'allow'], JSON.stringify(forged));
      const byNamespaceLabel: NetworkPolicy = { kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'red' } } }, { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'x' } } }] }] } };
      assert.deepEqual(verdicts([...objects, byNamespaceLabel], 'ingress', ['y/evil', 'x/db']), ['deny', 'allow'], JSON.stringify(forged));
      const byAccount = ingress({ fromEndpoints: [{ matchLabels: { 'io.cilium.k8s.policy.serviceaccount': 'admin', 'k8s:io.kubernetes.pod.namespace': 'y' } }] });
      assert.deepEqual(verdicts([...objects, byAccount], 'ingress', ['y/evil']), ['deny'], JSON.stringify(forged));
    }
  });

  test('a pod\'s labels make it no reserved identity and no prefix', () => {
    for (const key of ['reserved:host', 'host', 'reserved.host', '$host', 'reserved:world', 'cidr:10.1.2.3/32', 'reserved:kube-apiserver', 'network:10.0.0.0/8', 'fqdn:api.example.com']) {
      const objects = [...cluster, evil({ [key]: '' })];
      const trusting = ingress({ fromEntities: ['host', 'remote-node', 'world', 'kube-apiserver'] }, { fromCIDR: ['10.0.0.0/8'] }, { fromEndpoints: [{ matchLabels: { 'reserved:host': '' } }] });
      assert.deepEqual(verdicts([...objects, trusting], 'ingress', ['y/evil', 'apiserver']), ['deny', 'allow'], key);
    }
  });

  test('CVE-2023-41333: a namespaced policy cannot reach subjects of other namespaces, whatever operators and labels its selector has', () => {
    const selectors: readonly LabelSelector[] = [
      { matchExpressions: [{ key: 'reserved:init', operator: 'DoesNotExist' }] }, { matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: 'Exists' }] },
      { matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: 'In', values: ['x', 'y'] }] }, { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'NotIn', values: ['y'] }] },
      { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'x' } }, { matchLabels: { 'any:io.kubernetes.pod.namespace': 'x' } }, { matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'red' } }, {},
    ];
    for (const endpointSelector of selectors) {
      const closing = cnp({ endpointSelector, ingressDeny: [{ fromEntities: ['all'] }], egressDeny: [{ toEntities: ['all'] }] }, 'y');
      assert.deepEqual(verdicts([...cluster, closing], 'ingress', ['x/db', 'world', 'node']), all('allow', [1, 2, 3]), JSON.stringify(endpointSelector));
      assert.deepEqual(verdicts([...cluster, closing], 'egress', ['x/db', 'world']), all('allow', [1, 2]), JSON.stringify(endpointSelector));
    }
  });

  test('GHSA-pfhr-pccp-hwmh: what a namespace says of itself stands in keys of its own and names no other namespace', () => {
    const renamed = cluster.map(o => (o.kind === 'Namespace' && o.metadata.name === 'y' ? namespace('y', { 'kubernetes.io/metadata.name': 'x', 'io.kubernetes.pod.namespace': 'x', app: 'db', 'io.cilium.k8s.policy.serviceaccount': 'admin' }) : o));
    assert.deepEqual(verdicts([...renamed, onlyOwnNamespace], 'ingress', ['y/web', 'x/db']), ['deny', 'allow']);
    const byName: NetworkPolicy = { kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'x' } } }] }] } };
    assert.deepEqual(verdicts([...renamed, byName], 'ingress', ['y/web', 'x/db']), ['deny', 'allow']);
    assert.deepEqual(verdicts([...renamed, ingress({ fromEndpoints: [{ matchLabels: { app: 'db', 'k8s:io.kubernetes.pod.namespace': 'y' } }] })], 'ingress', ['y/web']), ['deny']);
  });

  test('selectors of a namespaced policy that name no namespace, or only what it is not, never mean the world or a node', () => {
    const selectors: readonly LabelSelector[] = [
      {}, { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'NotIn', values: ['z'] }] },
      { matchExpressions: [{ key: 'k8s:io.cilium.k8s.namespace.labels.team', operator: 'DoesNotExist' }] },
    ];
    for (const selector of selectors) {
      for (const nodeLabels of [true, false]) assert.deepEqual(verdicts([...cluster, ingress({ fromEndpoints: [selector] })], 'ingress', ['world', 'inside10', 'world6', 'node', 'apiserver', 'health'], { nodeLabels }), all('deny', [1, 2, 3, 4, 5, 6]), JSON.stringify(selector));
    }
  });
});

describe('V5 through the API server and the agent', () => {
  let server: TestServer;
  before(async () => { server = await TestServer.start(); });
  after(async () => { await server[Symbol.asyncDispose](); });

  const labelsOf = (object: ApiPod, spaces: readonly ApiNamespace[]) => {
    const namespaces = new Table<ApiNamespace>('namespaces', n => n.metadata.name);
    namespaces.upsert(...spaces);
    return podIdentityLabels(object, { namespaces, clusterName })!.toString();
  };

  test('a pod that is created or patched with the cluster\'s own keys has the identity that it would have without them', async () => {
    const space = await server.ok('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'forge', labels: { team: 'blue', 'kubernetes.io/metadata.name': 'kube-system' } } });
    assert.equal(space.metadata.labels?.['kubernetes.io/metadata.name'], 'forge', 'a namespace bears its own name');
    const body = (name: string, labels: object) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: { containers: [{ name: 'c', image: 'i' }] } });
    const honest = await server.ok('POST', '/api/v1/namespaces/forge/pods', body('honest', { app: 'a' }));
    const identity = (object: unknown) => labelsOf(object as ApiPod, [space as unknown as ApiNamespace]);
    const wanted = identity(honest);
    const forged = { app: 'a', 'io.kubernetes.pod.namespace': 'kube-system', 'io.cilium.k8s.policy.serviceaccount': 'admin', 'io.cilium.k8s.policy.cluster': 'other', 'io.cilium.k8s.namespace.labels.team': 'red' };
    assert.equal(identity(await server.ok('POST', '/api/v1/namespaces/forge/pods', body('forged', forged))), wanted);
    const patched = await server.ok('PATCH', '/api/v1/namespaces/forge/pods/honest', { metadata: { labels: forged } }, { 'content-type': 'application/merge-patch+json' });
    assert.equal(identity(patched), wanted);
    assert.notEqual(identity(await server.ok('POST', '/api/v1/namespaces/forge/pods', body('other', { app: 'b' }))), wanted);
  });

  test('labels with a source in their key are refused, so that none can enter an identity', async () => {
    for (const key of ['reserved:host', 'cidr:10.0.0.0/8', 'k8s:io.kubernetes.pod.namespace', 'a=b', 'a;reserved:host', '$host']) {
      const answer = await server.call('POST', '/api/v1/namespaces/default/pods', { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: { [key]: '' } }, spec: { containers: [{ name: 'c', image: 'i' }] } });
      assert.equal(answer.code, 422, key);
      assert.match(answer.text, /metadata\.labels/);
    }
  });

  test('a namespaced policy for nodes, or for another namespace, is refused or said to be for its own', async () => {
    const policy = (spec: object) => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p' }, spec });
    const refused = await server.call('POST', '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies', policy({ nodeSelector: {}, ingress: [{}] }));
    assert.equal(refused.code, 422);
    assert.match(refused.text, /NodeSelector/);
    const told = await server.call('POST', '/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies', policy({ endpointSelector: { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system' } }, ingress: [{}] }));
    assert.equal(told.code, 201);
    assert.match(String(told.headers['warning']), /applies to its own namespace: kube-system is replaced by default/);
  });
});
