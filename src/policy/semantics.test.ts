/**
 * The grammar's meaning, row by row (README, "What the text means"). Every case is asked twice: of the kernel's lookup in
 * the compiled set and of the plain evaluation.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from './compile.ts';
import type { EngineOptions, Subject } from './compile.ts';
import { evaluate, lookup } from './evaluate.ts';
import { parsePolicy } from './parse.ts';
import type { Direction, Policy } from './policy.ts';
import { ccnp, cnp, identitiesFor, knp, pod, policy, subject, testGroups, testServices } from './testing.ts';
import type { TestIdentity } from './testing.ts';

const TCP = 6, UDP = 17, SCTP = 132, ICMP = 1;

const pods: Readonly<Record<string, TestIdentity>> = {
  'x/web': { id: 300, labels: pod('x', { app: 'web' }), namedPorts: [] },
  'x/db': { id: 301, labels: pod('x', { app: 'db' }), namedPorts: [] },
  'y/web': { id: 302, labels: pod('y', { app: 'web' }), namedPorts: [] },
  'x/a': { id: 303, labels: pod('x', { app: 'a' }), namedPorts: [] },
};

/** Asks about one subject (x/web unless told) and its peers by name: 'y/web', 'world', 'host', '10.1.2.3', 'unknown'. */
function ask(policies: readonly Policy[], options: { direction?: Direction; subject?: Subject; engine?: EngineOptions; groups?: typeof testGroups } = {}) {
  const groups = options.groups ?? testGroups;
  const direction = options.direction ?? 'ingress';
  const one = options.subject ?? subject(pods['x/web']!.labels);
  const engine = new PolicyEngine(options.engine);
  engine.setServices(testServices);
  engine.setCidrGroups(groups);
  engine.setPolicies(policies);
  const identities = identitiesFor(engine, Object.values(pods));
  engine.setIdentities(identities.map(i => [i.id, i.labels, i.namedPorts] as const));
  const set = engine.compile(one, direction);
  return (peerName: string, protocol = TCP, port = 80): string => {
    const peer = peerName === 'unknown' ? undefined : pods[peerName] ?? identities.find(i => i.labels.has('reserved', peerName) && i.labels.size <= 2) ?? identities.find(i => i.labels.has('cidr', peerName));
    if (peerName !== 'unknown' && !peer) throw new Error(`no peer ${peerName}`);
    const row = lookup(set, peer?.id ?? 4242, protocol, port)!;
    const { inspected: _, ...plain } = evaluate({ policies, services: testServices, cidrGroups: groups, ...(options.engine && { options: options.engine }) }, one, direction, peer, protocol, port);
    assert.deepEqual({ verdict: row.verdict, rule: set.rules.get(row.rule)!.address, ...(row.l7 !== undefined && { l7: engine.l7Sets().get(row.l7) }) }, plain);
    return plain.verdict;
  };
}

const web = { matchLabels: { app: 'web' } };
const ingress = (...rules: object[]) => cnp('p', 'x', { endpointSelector: web, ingress: rules });
const egress = (...rules: object[]) => cnp('p', 'x', { endpointSelector: web, egress: rules });
const port80 = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] };

// ---- nil, [] and {} ----

test('a direction that is absent or empty is not touched', () => {
  const may = ask([cnp('p', 'x', { endpointSelector: web, ingress: [], egress: [{}] })]);
  assert.equal(may('world'), 'allow');
  assert.equal(ask([egress({})])('y/web'), 'allow');
});

test('an empty rule in a Cilium policy denies everything, in a NetworkPolicy it allows everything', () => {
  assert.equal(ask([ingress({})])('x/db'), 'deny');
  assert.equal(ask([knp('p', 'x', { podSelector: {}, ingress: [{}] })])('world'), 'allow');
  assert.equal(ask([cnp('p', 'x', { endpointSelector: web, ingressDeny: [{}] })])('x/db'), 'deny');
  assert.ok(ingress({}).conditions.some(c => c.type === 'SelectsNothing'));
});

test('fromEndpoints [{}] in a namespaced policy is every pod of its namespace, in a cluster-wide one every pod', () => {
  const namespaced = ask([ingress({ fromEndpoints: [{}] })]);
  assert.deepEqual(['x/db', 'y/web', 'world', 'remote-node'].map(p => namespaced(p)), ['allow', 'deny', 'deny', 'deny']);
  const clusterWide = ask([ccnp('p', { endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] })]);
  assert.deepEqual(['x/db', 'y/web', 'world', 'remote-node'].map(p => clusterWide(p)), ['allow', 'allow', 'deny', 'deny']);
});

test('V2 empty means nobody: a present but empty list of peers selects nothing, even with ports', () => {
  for (const peers of [{ fromEndpoints: [] }, { fromCIDR: [] }, { fromCIDRSet: [] }, { fromEntities: [] }, { fromNodes: [] }]) {
    assert.equal(ask([ingress({ ...peers, ...port80 })])('x/db'), 'deny', JSON.stringify(peers));
    assert.equal(ask([ingress(peers)])('world'), 'deny', JSON.stringify(peers));
  }
});

test('V2 empty means nobody: entity none, a missing service, a missing or empty CIDR group and a name without addresses select nothing', () => {
  assert.equal(ask([ingress({ fromEntities: ['none'], ...port80 })])('x/db'), 'deny');
  assert.equal(ask([ingress({ fromCIDRSet: [{ cidrGroupRef: 'missing' }], ...port80 })])('world'), 'deny');
  for (const peers of [{ toServices: [{ k8sService: { serviceName: 'missing' } }] }, { toServices: [{}] }, { toFQDNs: [{ matchName: 'api.example.com' }] }, { toGroups: [{ aws: { securityGroupsIds: ['sg-1'] } }] }]) {
    for (const peer of ['x/db', 'world', 'unknown', 'remote-node']) assert.equal(ask([egress({ ...peers, ...port80 })], { direction: 'egress' })(peer), 'deny', JSON.stringify(peers));
  }
});

test('V2 empty means nobody: a policy that went through JSON means the same', () => {
  for (const rule of [{ fromEndpoints: [] }, {}, { fromEndpoints: [{}], toPorts: [] }, { fromCIDRSet: [] }]) {
    const spec = { endpointSelector: web, ingress: [{ ...rule, ...port80 }] };
    assert.deepEqual(policy(JSON.parse(JSON.stringify({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec })) as object), cnp('p', 'x', spec));
  }
});

test('V2 empty means nobody: a mistyped field is refused, not taken for "anyone"', () => {
  const { errors } = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { endpointSelector: {}, ingress: [{ fromEndpoint: [web], ...port80 }] } });
  assert.deepEqual(errors, [{ path: 'spec.ingress[0].fromEndpoint', message: 'unknown field "fromEndpoint"', mend: 'did you mean "fromEndpoints"?' }]);
});

test('absent peers with ports are any peer, also one that nothing is known of', () => {
  const may = ask([ingress(port80)]);
  assert.deepEqual(['x/db', 'world', 'unknown'].map(p => may(p)), ['allow', 'allow', 'allow']);
  assert.equal(may('world', TCP, 81), 'deny');
  assert.equal(ask([cnp('d', 'x', { endpointSelector: web, enableDefaultDeny: { ingress: false }, ingressDeny: [port80] })])('unknown'), 'deny');
});

test('empty toFQDNs, toServices and groups count as absent, and the author is told', () => {
  for (const peers of [{ toFQDNs: [] }, { toServices: [] }, { toGroups: [] }]) {
    const p = egress({ ...peers, ...port80 });
    assert.equal(ask([p], { direction: 'egress' })('world'), 'allow', JSON.stringify(peers));
    assert.ok(p.conditions.some(c => c.type === 'EmptyMeansAny'));
  }
});

test('toPorts [] and [{}] and ports [] restrict no port', () => {
  for (const toPorts of [[], [{}], [{ ports: [] }], [{ ports: [{ port: '80' }] }, {}]]) {
    const may = ask([ingress({ fromEndpoints: [{}], toPorts })]);
    assert.equal(may('x/db', UDP, 5), 'allow', JSON.stringify(toPorts));
    assert.equal(may('y/web', UDP, 5), 'deny', JSON.stringify(toPorts));
  }
});

test('port "0" is every port of its protocol; no protocol is TCP, UDP and SCTP, not ICMP', () => {
  const may = ask([ingress({ toPorts: [{ ports: [{ port: '0', protocol: 'TCP' }] }] })]);
  assert.deepEqual([may('world', TCP, 1), may('world', TCP, 65535), may('world', UDP, 1)], ['allow', 'allow', 'deny']);
  const any = ask([ingress({ toPorts: [{ ports: [{ port: '53' }] }] })]);
  assert.deepEqual([TCP, UDP, SCTP, ICMP].map(p => any('world', p, 53)), ['allow', 'allow', 'allow', 'deny']);
});

test('rules {} and http [] are no L7 restriction', () => {
  for (const rules of [{}, { http: [] }]) assert.equal(ask([ingress({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules }] })])('world'), 'allow');
});

test('endpointSelector {} is the policy\'s namespace, or every endpoint in a cluster-wide policy, but no node', () => {
  const other = subject(pods['y/web']!.labels);
  assert.equal(ask([cnp('p', 'x', { endpointSelector: {}, ingress: [{}] })], { subject: other })('x/db'), 'allow');
  assert.equal(ask([ccnp('p', { endpointSelector: {}, ingress: [{}] })], { subject: other })('x/db'), 'deny');
  assert.equal(ask([ccnp('p', { endpointSelector: {}, ingress: [{}] })], { subject: { ...other, isHost: true } })('x/db'), 'allow');
});

// ---- default deny, modes, localhost ----

test('enableDefaultDeny false leaves other traffic alone; rules still count; another policy may turn it on', () => {
  const soft = cnp('soft', 'x', { endpointSelector: web, enableDefaultDeny: { ingress: false }, ingress: [{ fromEndpoints: [web] }], ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'db' } }] }] });
  const may = ask([soft]);
  assert.deepEqual(['world', 'x/db', 'x/a'].map(p => may(p)), ['allow', 'deny', 'allow']);
  assert.equal(ask([soft, ingress({})])('world'), 'deny');
  assert.equal(ask([cnp('p', 'x', { endpointSelector: web, egress: [{}], enableDefaultDeny: { ingress: true } })])('world'), 'deny');
});

test('mode always denies without a policy, mode never allows whatever policies say', () => {
  assert.equal(ask([], { engine: { mode: 'always' } })('x/db'), 'deny');
  assert.equal(ask([ingress({})], { engine: { mode: 'never' } })('x/db'), 'allow');
});

test('the node always reaches its pods, unless allow-localhost is left to the policies', () => {
  const denied = [cnp('p', 'x', { endpointSelector: {}, ingressDeny: [{ fromEntities: ['all'] }] })];
  assert.equal(ask(denied)('host'), 'allow');
  assert.equal(ask(denied, { engine: { allowLocalhost: 'policy' } })('host'), 'deny');
  assert.equal(ask([egress({})], { direction: 'egress' })('host'), 'deny');
});

// ---- precedence ----

test('V3 precedence: a broad deny beats a narrow allow, in one policy and across policies, whatever their order', () => {
  const allow = ingress({ fromEndpoints: [{ matchLabels: { app: 'db' } }], ...port80 });
  for (const deny of [{ fromEndpoints: [{}] }, { fromEntities: ['all'] }, { toPorts: [{ ports: [{ port: '1', endPort: 65535, protocol: 'TCP' }] }] }, { fromEntities: ['cluster'] }]) {
    const denying = cnp('d', 'x', { endpointSelector: web, ingressDeny: [deny] });
    for (const order of [[allow, denying], [denying, allow]]) assert.equal(ask(order)('x/db'), 'deny', JSON.stringify(deny));
  }
});

test('V3 precedence: a deny hole in an allowed range is exactly the hole', () => {
  const may = ask([cnp('p', 'x', {
    endpointSelector: web, ingress: [{ toPorts: [{ ports: [{ port: '1000', endPort: 2000, protocol: 'TCP' }] }] }],
    ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'db' } }], toPorts: [{ ports: [{ port: '1500', endPort: 1600, protocol: 'TCP' }] }] }],
  })]);
  const expected = { 999: 'deny', 1000: 'allow', 1499: 'allow', 1500: 'deny', 1600: 'deny', 1601: 'allow', 2000: 'allow', 2001: 'deny' } as const;
  for (const [port, verdict] of Object.entries(expected)) assert.equal(may('x/db', TCP, Number(port)), verdict, port);
  assert.equal(may('x/a', TCP, 1550), 'allow');
});

test('V3 precedence: an L7 rule inside a port range is not skipped: what only it would allow is read', () => {
  const may = ask([ingress({ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', endPort: 90, protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] })]);
  assert.deepEqual([79, 80, 85, 90, 91].map(port => may('x/db', TCP, port)), ['deny', 'redirect', 'redirect', 'redirect', 'deny']);
});

test('V3 precedence: an L7 rule gives way to a plain allow of the same traffic and to a deny', () => {
  const http = { fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] };
  assert.equal(ask([ingress(http, { fromEndpoints: [{}], ...port80 })])('x/db'), 'allow');
  assert.equal(ask([cnp('p', 'x', { endpointSelector: web, ingress: [http], ingressDeny: [{ fromEndpoints: [{}] }] })])('x/db'), 'deny');
  assert.equal(ask([cnp('p', 'x', { endpointSelector: web, enableDefaultDeny: { ingress: false }, ingress: [http] })])('x/db'), 'redirect');
});

test('V3 precedence: required authentication is not undone by a plain allow beside it', () => {
  const may = ask([ingress({ fromEntities: ['all'], authentication: { mode: 'required' }, ...port80 }, { fromEndpoints: [{}] })]);
  assert.deepEqual([may('x/db', TCP, 80), may('x/db', TCP, 81), may('world', TCP, 80)], ['deny', 'allow', 'deny']);
  assert.equal(ask([ingress({ fromEndpoints: [{}], authentication: { mode: 'disabled' } })])('x/db'), 'allow');
});

test('V3 precedence: authentication and L7 in one rule must both be met', () => {
  const rule = { fromEndpoints: [{}], authentication: { mode: 'required' }, toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }, { ports: [{ port: '81', protocol: 'TCP' }] }] };
  const verdicts = (provides: EngineOptions['provides'], ...more: object[]) => [80, 81].map(port => ask([ingress(rule, ...more)], { engine: { provides: provides! } })('x/db', TCP, port));
  assert.deepEqual(verdicts({}, { fromEndpoints: [{}] }), ['deny', 'deny']);
  assert.deepEqual(verdicts({ proxy: true }, { fromEndpoints: [{}] }), ['deny', 'deny']);
  assert.deepEqual(verdicts({ authentication: true }), ['deny', 'allow']);
  assert.deepEqual(verdicts({ proxy: true, authentication: true }), ['redirect', 'allow']);
});

// ---- forgery ----

test('V5 forgery: a namespaced policy cannot take subjects of another namespace', () => {
  for (const key of ['k8s:io.kubernetes.pod.namespace', 'io.kubernetes.pod.namespace']) {
    const p = cnp('p', 'x', { endpointSelector: { matchLabels: { [key]: 'y' } }, ingress: [{}] });
    assert.equal(ask([p], { subject: subject(pods['y/web']!.labels) })('x/db'), 'allow');
    assert.ok(p.conditions.some(c => c.type === 'NamespaceOverridden'));
  }
});

test('V5 forgery: a pod\'s own labels cannot give it another namespace, namespace labels, service account or cluster', () => {
  const forged = pod('x', { 'io.kubernetes.pod.namespace': 'y', 'io.cilium.k8s.namespace.labels.team': 'blue', 'io.cilium.k8s.policy.serviceaccount': 'admin', 'io.cilium.k8s.policy.cluster': 'other' });
  assert.equal(forged.toString(), pod('x', {}).toString());
});

test('V5 forgery: a pod\'s own labels cannot make it a reserved or a CIDR identity', () => {
  const forged = pod('x', { 'reserved:host': '', 'cidr:10.0.0.0/8': '', 'a=b;reserved:host': '', host: 'x;reserved:host' });
  for (const [source, key] of [['reserved', 'host'], ['cidr', '10.0.0.0/8'], ['k8s', 'reserved:host'], ['k8s', 'host']] as const) assert.equal(forged.has(source, key), false, `${source}:${key}`);
});

test('V5 forgery: negative namespace selectors of allow rules hold for pods only, never for the world', () => {
  for (const operator of ['NotIn', 'DoesNotExist']) for (const key of ['k8s:io.kubernetes.pod.namespace', 'io.kubernetes.pod.namespace']) {
    const selector = { matchExpressions: [{ key, operator, ...(operator === 'NotIn' && { values: ['y'] }) }] };
    for (const peer of ['world', 'remote-node', 'host', 'y/web']) assert.equal(ask([ingress({ fromEndpoints: [selector] })], { engine: { allowLocalhost: 'policy' } })(peer), 'deny', `${operator} ${peer}`);
  }
  const nobody = { matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] };
  assert.equal(ask([knp('p', 'x', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: nobody }] }] })])('world'), 'deny');
  assert.equal(ask([ingress({ fromEndpoints: [{ matchExpressions: [{ key: 'k8s:io.cilium.k8s.namespace.labels.team', operator: 'NotIn', values: ['red'] }] }] })])('world'), 'deny');
});

test('V5 forgery: that some policy names a label of nodes changes no other policy', () => {
  const labelledNode = LabelSet.of(['reserved:remote-node', 'k8s:io.cilium.k8s.policy.cluster=home', 'node:zone=east']);
  const bareNode = LabelSet.of(['reserved:remote-node']);
  const [kind, metadata, negative] = ['CiliumNetworkPolicy', { name: 'p', namespace: 'x' }, { matchExpressions: [{ key: 'io.kubernetes.pod.namespace', operator: 'NotIn', values: ['y'] }] }];
  for (const spec of [{ ingress: [{ fromEndpoints: [negative] }] }, { ingressDeny: [{ fromEndpoints: [negative] }], enableDefaultDeny: { ingress: false } }]) {
    const { policy: parsed } = parsePolicy({ kind, metadata, spec: { endpointSelector: web, ...spec } }, { clusterName: 'home' });
    const [bare, labelled] = [bareNode, labelledNode].map(labels => evaluate({ policies: [parsed!] }, subject(pods['x/web']!.labels), 'ingress', { labels }, TCP, 80));
    assert.deepEqual(labelled, bare);
  }
});

// ---- peers ----

test('a peer that names its namespace, by name or by label, is of that namespace; one that names a reserved label is of none', () => {
  assert.equal(ask([ingress({ fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'y', app: 'web' } }] })])('y/web'), 'allow');
  assert.equal(ask([ingress({ fromEndpoints: [{ matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'blue' } }] })])('y/web'), 'allow');
  assert.equal(ask([ingress({ fromEndpoints: [{ matchLabels: { 'reserved:remote-node': '' } }] })])('remote-node'), 'allow');
});

test('entities select what their names say', () => {
  const peers = ['x/db', 'y/web', 'world-ipv4', 'world-ipv6', 'remote-node', 'kube-apiserver', 'unmanaged'];
  const of = (entity: string) => peers.filter(p => ask([ingress({ fromEntities: [entity] })])(p) === 'allow');
  assert.deepEqual(of('all'), peers);
  assert.deepEqual(of('world'), ['world-ipv4', 'world-ipv6']);
  assert.deepEqual(of('world-ipv6'), ['world-ipv6']);
  assert.deepEqual(of('cluster'), ['x/db', 'y/web', 'remote-node', 'kube-apiserver', 'unmanaged']);
  assert.deepEqual(of('kube-apiserver'), ['kube-apiserver']);
});

test('CIDRs select what lies outside the cluster, with exceptions, never pods or nodes', () => {
  const may = ask([egress({ toCIDRSet: [{ cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] }] }, { toCIDR: ['10.1.0.0/16'] })], { direction: 'egress' });
  assert.deepEqual(['world-ipv4', '10.0.0.0/8', '10.1.0.0/16', 'world-ipv6', 'x/db', 'remote-node', 'host'].map(p => may(p)), ['allow', 'deny', 'allow', 'deny', 'deny', 'deny', 'deny']);
});

test('a deny of a prefix covers the narrower prefixes of other policies', () => {
  const may = ask([cnp('p', 'x', { endpointSelector: web, egress: [{ toCIDR: ['10.1.0.0/16'] }], egressDeny: [{ toCIDR: ['10.0.0.0/8'] }] })], { direction: 'egress' });
  assert.deepEqual(['10.0.0.0/8', '10.1.0.0/16'].map(p => may(p)), ['deny', 'deny']);
});

test('::/0 does not contain IPv4, though the 16-byte form of IPv4 lies in it', () => {
  const may = ask([egress({ toCIDR: ['::/0', '10.0.0.0/8'] })], { direction: 'egress' });
  assert.deepEqual(['world-ipv6', 'world-ipv4', '10.0.0.0/8'].map(p => may(p)), ['allow', 'deny', 'allow']);
  assert.equal(ask([egress({ toCIDR: ['::/0'] })], { direction: 'egress' })('world-ipv4'), 'deny');
});

test('toServices reaches the pods behind a service, or the external addresses of one without selector', () => {
  const pods_ = ask([egress({ toServices: [{ k8sService: { serviceName: 'front', namespace: 'x' } }] })], { direction: 'egress' });
  assert.deepEqual(['x/a', 'x/db', 'world'].map(p => pods_(p)), ['allow', 'deny', 'deny']);
  const outside = ask([egress({ toServices: [{ k8sService: { serviceName: 'outside', namespace: 'y' } }] })], { direction: 'egress' });
  assert.deepEqual(['10.1.0.7/32', 'world', 'x/a'].map(p => outside(p)), ['allow', 'deny', 'deny']);
});

test('a deny rule that cannot be resolved covers more, never less', () => {
  const deny = ask([cnp('p', 'x', { endpointSelector: web, enableDefaultDeny: { egress: false }, egressDeny: [{ toGroups: [{ aws: { region: 'r' } }] }, { toNodes: [{ matchLabels: { disk: 'ssd' } }] }] })], { direction: 'egress' });
  assert.deepEqual(['world', 'remote-node', 'x/db'].map(p => deny(p)), ['deny', 'deny', 'allow']);
});

test('V2 empty means nobody: while nodes have no identities, no selector on their labels allows anybody, a negative one neither', () => {
  for (const selector of [{ matchLabels: { zone: 'east' } }, { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['east'] }] }, { matchExpressions: [{ key: 'zone', operator: 'DoesNotExist' }] }]) {
    const may = ask([egress({ toNodes: [selector] })], { direction: 'egress' });
    assert.deepEqual(['remote-node', 'kube-apiserver'].map(p => may(p)), ['deny', 'deny'], JSON.stringify(selector));
  }
  assert.equal(ask([egress({ toNodes: [{}] })], { direction: 'egress' })('remote-node'), 'allow');
});

test('an exception takes a narrower prefix of a CIDR group away, not only a hole in a wider one', () => {
  const group = { name: 'g', labels: LabelSet.empty, cidrs: ['10.1.2.3/32', '10.3.0.0/16'] };
  const asks = (except: string) => ask([egress({ toCIDRSet: [{ cidrGroupRef: 'g', except: [except] }] })], { direction: 'egress', groups: [group] });
  assert.deepEqual(['10.1.2.3/32', '10.3.0.0/16'].map(p => asks('10.9.0.0/16')(p)), ['allow', 'allow']);
  assert.equal(asks('10.1.2.3/32')('world-ipv4'), 'deny');
  assert.throws(() => asks('10.1.2.0/24')('10.1.2.3/32'), /no peer/, 'nobody tells it from the rest of the world any more');
  assert.equal(asks('10.1.2.0/24')('world-ipv4'), 'deny');
  assert.deepEqual(['10.3.0.0/16', '10.3.7.0/24'].map(p => asks('10.3.7.0/24')(p)), ['allow', 'deny']);
});

test('fromRequires keeps out the pods that lack the labels, whatever else allows them', () => {
  const may = ask([ingress({ fromRequires: [{ matchLabels: { app: 'web' } }] }, { fromEntities: ['all'] })]);
  assert.deepEqual(['x/db', 'y/web', 'world'].map(p => may(p)), ['deny', 'allow', 'allow']);
});

// ---- ports ----

test('a named port is the subject\'s at ingress and the peer\'s at egress; a name that pods use differently opens nothing', () => {
  const named = { toPorts: [{ ports: [{ port: 'HTTP', protocol: 'TCP' }] }] };
  const may = ask([ingress(named)], { subject: subject(pods['x/web']!.labels, { http: ['TCP', 8080] }) });
  assert.deepEqual([may('world', TCP, 8080), may('world', TCP, 80)], ['allow', 'deny']);
  assert.equal(ask([ingress(named)])('world', TCP, 8080), 'deny');
});

test('icmps allow their types and nothing else', () => {
  const may = ask([ingress({ fromEndpoints: [{}], icmps: [{ fields: [{ type: 'EchoRequest' }, { family: 'IPv6', type: 128 }] }] })]);
  assert.deepEqual([may('x/db', ICMP, 8), may('x/db', 58, 128), may('x/db', ICMP, 0), may('x/db', TCP, 8)], ['allow', 'allow', 'deny', 'deny']);
});

// ---- NetworkPolicy ----

test('NetworkPolicy: absent from is anyone, absent ports are all, the default protocol is TCP', () => {
  const may = ask([knp('p', 'x', { podSelector: {}, ingress: [{ from: [], ports: [{ port: 80 }] }] })]);
  assert.deepEqual([may('world', TCP, 80), may('world', UDP, 80)], ['allow', 'deny']);
});

test('NetworkPolicy: policyTypes decide which directions are isolated', () => {
  const verdicts = (spec: object) => (['ingress', 'egress'] as const).map(direction => ask([knp('p', 'x', { podSelector: {}, ...spec })], { direction })('world'));
  assert.deepEqual(verdicts({}), ['deny', 'allow']);
  assert.deepEqual(verdicts({ policyTypes: ['Egress'] }), ['allow', 'deny']);
  assert.deepEqual(verdicts({ policyTypes: ['Ingress', 'Egress'] }), ['deny', 'deny']);
  assert.deepEqual(verdicts({ egress: [{ ports: [{ port: 53 }] }] }), ['deny', 'deny']);
});

test('NetworkPolicy: podSelector and namespaceSelector in one peer are both required', () => {
  const may = ask([knp('p', 'x', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'blue' } }, podSelector: { matchLabels: { app: 'web' } } }] }] })]);
  assert.deepEqual(['y/web', 'x/web', 'x/db', 'world'].map(p => may(p)), ['allow', 'deny', 'deny', 'deny']);
  assert.equal(ask([knp('p', 'x', { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] })])('world'), 'deny');
});

// ---- tiers and modes ----

test('pass hands over to the next tier; after the tier baseline that is the default, which allows', () => {
  const cluster = (name: string, tier: 'Admin' | 'Baseline', priority: number, ...ingress: object[]) =>
    policy({ kind: 'ClusterNetworkPolicy', metadata: { name }, spec: { tier, priority, subject: { namespaces: {} }, ingress } });
  const all = { from: [{ namespaces: {} }] };
  const baseline = cluster('b', 'Baseline', 5, { action: 'Pass', from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'db' } } } }] }, { action: 'Deny', ...all });
  const may = ask([baseline]);
  assert.deepEqual(['x/db', 'x/a', 'world'].map(p => may(p)), ['allow', 'deny', 'allow']);
  assert.equal(ask([baseline, cluster('a', 'Admin', 1, { action: 'Pass', ...all }, { action: 'Accept', ...all })])('x/a'), 'deny');
  assert.equal(ask([baseline, cluster('a', 'Admin', 1, { action: 'Accept', ...all })])('x/a'), 'allow');
});

test('the node reaches its pods in every view: a policy in audit or in shadow has nothing to report of it', () => {
  for (const mode of ['audit', 'shadow']) {
    const denying = policy({ kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'x', annotations: { 'policy.cirri.io/mode': mode } }, spec: { podSelector: {} } });
    const engine = new PolicyEngine();
    engine.setPolicies([denying]);
    const row = lookup(engine.compile(subject(pods['x/web']!.labels), 'ingress'), 1, TCP, 80)!;
    assert.deepEqual([row.verdict, row.shadow], ['allow', undefined], mode);
  }
});

test('while nodes have no identities, a deny rule for nodes with labels covers every node, any other rule none', () => {
  const nodes = [{ nodes: { matchLabels: { zone: 'east' } } }, { nodes: { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['east'] }] } }];
  for (const to of nodes) for (const [action, verdict] of [['Deny', 'deny'], ['Allow', 'deny'], ['Pass', 'deny']] as const) {
    const rule = policy({ kind: 'AdminNetworkPolicy', metadata: { name: 'a' }, spec: { priority: 1, subject: { namespaces: {} }, egress: [{ action, to: [to] }, ...(action === 'Deny' ? [] : [{ action: 'Deny', to: [{ nodes: {} }] }])] } });
    for (const node of ['host', 'remote-node']) assert.equal(ask([rule], { direction: 'egress' })(node), verdict, `${action} ${JSON.stringify(to)}`);
    assert.equal(rule.conditions.some(c => c.type === 'SelectsNothing' && c.severity === 'degraded'), true);
  }
});

test('prefixes need identities: the engine names them, and those that are missing', () => {
  const engine = new PolicyEngine();
  engine.setPolicies([egress({ toCIDRSet: [{ cidr: '0.0.0.0/0', except: ['10.9.0.0/8'] }] }, { toCIDR: ['::/0', '1.2.3.4'] })]);
  assert.deepEqual(engine.cidrPrefixes(), ['1.2.3.4/32', '10.0.0.0/8']);
  engine.upsertIdentity(16777216, LabelSet.of(['cidr:10.0.0.0/8', 'reserved:world']));
  assert.deepEqual(engine.missingPrefixes(), ['1.2.3.4/32']);
});
