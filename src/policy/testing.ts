/** Small worlds for the tests of this folder: random policies as users write them, and identities around them. */
import fc from 'fast-check';
import { cidrIdentityLabels, firstPrefixIdentity, identityLabels, networkIdentityLabels, reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { LabelSet as Labels } from '../model/labels.ts';
import type { CidrGroup, NamedPorts, PolicyEngine, Service, Subject } from './compile.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

/** Parses or throws with the errors. */
export function policy(object: object): Policy {
  const result = parsePolicy(object);
  if (result.errors) throw new Error(result.errors.map(e => `${e.path}: ${e.message}`).join('\n'));
  return result.policy;
}

export function cnp(name: string, namespace: string, spec: object): Policy {
  return policy({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });
}

export function ccnp(name: string, spec: object): Policy {
  return policy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec });
}

export function knp(name: string, namespace: string, spec: object): Policy {
  return policy({ kind: 'NetworkPolicy', metadata: { name, namespace }, spec });
}

export function pod(namespace: string, labels: Record<string, string> = {}): LabelSet {
  return identityLabels({ namespace, labels }, { team: namespace === 'x' ? 'red' : 'blue' }, 'local');
}

export function subject(labels: LabelSet, ports: Record<string, [string, number]> = {}): Subject {
  return { labels, namedPorts: namedPorts(ports) };
}

export function namedPorts(ports: Record<string, [string, number]>): NamedPorts {
  return new Map(Object.entries(ports).map(([name, [protocol, port]]) => [name, { protocol, port }]));
}

export interface TestIdentity {
  readonly id: number;
  readonly labels: LabelSet;
  readonly namedPorts: readonly NamedPorts[];
}

/** The reserved identities, pods of namespaces x and y, and one identity for each prefix that the engine asks for. */
export function identitiesFor(engine: PolicyEngine, pods: readonly TestIdentity[]): TestIdentity[] {
  const prefixes = engine.cidrPrefixes();
  return [
    ...reservedIdentities.map(r => ({ id: r.id, labels: r.labels, namedPorts: [] })),
    ...pods,
    ...engine.networkPrefixes().flatMap((network, i) => pods.slice(0, 3).map((one, j) => ({ id: 17_900_000 + i * 10 + j, labels: networkIdentityLabels(one.labels, network), namedPorts: one.namedPorts }))),
    { id: 33_554_432, labels: Labels.of(['reserved:remote-node', 'node:zone=east']), namedPorts: [] },
    ...engine.fqdnSelectors().flatMap((pattern, i, all) => [[pattern], all]).map((patterns, i) => ({ id: 17_000_000 + i, labels: Labels.of([...patterns.map(p => `fqdn:${p}`), 'reserved:world', 'reserved:world-ipv4']), namedPorts: [] })),
    ...prefixes.map((prefix, i) => ({ id: firstPrefixIdentity + i, labels: cidrIdentityLabels(prefix, prefixes), namedPorts: [] })),
  ];
}

const apps = ['a', 'b', 'c'];

/** Pods x/a, x/b, …; some with a named port, two of one identity that disagree about it. */
export const testPods: readonly TestIdentity[] = ['x', 'y'].flatMap((ns, i) => apps.map((app, j) => ({
  id: 300 + i * 10 + j, labels: pod(ns, { app, tier: j === 0 ? 'front' : 'back' }),
  namedPorts: j === 0 ? [namedPorts({ web: ['TCP', 80] })] : j === 1 ? [namedPorts({ web: ['TCP', 8080], dns: ['UDP', 53] }), namedPorts({ web: ['TCP', 81] })] : [],
})));

export const testServices: readonly Service[] = [
  { namespace: 'x', name: 'front', labels: Labels.of(['k8s:kind=web']), selector: { app: 'a' } },
  { namespace: 'y', name: 'outside', labels: Labels.empty, addresses: ['10.1.0.7'] },
];

export const testGroups: readonly CidrGroup[] = [{ name: 'office', labels: Labels.of(['k8s:site=hq']), cidrs: ['10.0.0.0/8', 'fd00::/8'] }];

export const testSecrets: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map<string, Record<string, string>>([
  ['x/token', { value: 's3cret' }], ['y/token', { a: '1', b: '2' }], ['x/web-tls', { 'tls.crt': 'CERT', 'tls.key': 'KEY' }], ['y/web-tls', { 'tls.crt': 'OTHER', 'tls.key': 'KEY' }],
]);

/** Numbers around which a verdict may change. */
export const testPorts: readonly number[] = [0, 1, 52, 53, 54, 79, 80, 81, 82, 442, 443, 444, 1023, 1024, 8079, 8080, 8081, 9000, 32767, 32768, 65534, 65535];
export const testProtocols: readonly number[] = [1, 6, 17, 47, 58, 132];

// ---- arbitraries ----

const labelSelector = fc.oneof(
  fc.constant({}),
  fc.constantFrom(...apps).map(app => ({ matchLabels: { app } })),
  fc.constantFrom({ matchLabels: { tier: 'front' } }, { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] }, { matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, { matchExpressions: [{ key: 'app', operator: 'In', values: ['a', 'c'] }] }),
);

const endpointPeer = fc.oneof(
  labelSelector,
  fc.constantFrom(
    { matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'y', app: 'b' } }, { matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'blue' } },
    { matchLabels: { 'reserved:host': '' } }, { matchExpressions: [{ key: 'k8s:io.cilium.k8s.namespace.labels.team', operator: 'NotIn', values: ['blue'] }] },
  ),
);

const entity = fc.constantFrom('all', 'world', 'cluster', 'host', 'remote-node', 'kube-apiserver', 'world-ipv6', 'none');
const cidr = fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '::/0', 'fd00::/8', '10.1.2.3');
const cidrRule = fc.oneof(
  fc.record({ cidr }),
  fc.constantFrom<object>({ cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] }, { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.0.0/16'] }, { cidrGroupRef: 'office', except: ['10.1.0.0/16'] }, { cidrGroupSelector: { matchLabels: { site: 'hq' } } }, { cidrGroupRef: 'missing' }),
);
const fqdn = fc.constantFrom<object>({ matchName: 'A.example' }, { matchPattern: '*.b.example' });
const service = fc.constantFrom<object>({ k8sService: { serviceName: 'front', namespace: 'x' } }, { k8sServiceSelector: { selector: { matchLabels: { kind: 'web' } } } }, { k8sService: { serviceName: 'outside' } }, { k8sService: { serviceName: 'missing' } });

function peers(prefix: 'from' | 'to', deny: boolean): fc.Arbitrary<object> {
  const list = <T>(name: string, of: fc.Arbitrary<T>) => fc.array(of, { maxLength: 2 }).map(items => ({ [prefix + name]: items }));
  const kinds: fc.Arbitrary<object>[] = [fc.constant({}), list('Endpoints', endpointPeer), list('Endpoints', endpointPeer), list('Entities', entity), list('CIDR', cidr), list('CIDRSet', cidrRule)];
  if (prefix === 'to') kinds.push(list('Services', service), ...(deny ? [] : [list('FQDNs', fqdn)]));
  return fc.oneof(...kinds);
}

const boundary = fc.constantFrom(...testPorts.filter(p => p > 0));
const portProtocol = fc.oneof(
  fc.record({ port: boundary.map(String), protocol: fc.constantFrom('TCP', 'UDP', 'SCTP', 'ANY') }),
  fc.tuple(boundary, boundary, fc.constantFrom('TCP', 'UDP', 'ANY')).map(([a, b, protocol]) => ({ port: String(Math.min(a, b)), endPort: Math.max(a, b), protocol })),
  fc.constantFrom<object>({ port: '0', protocol: 'TCP' }, { port: 'web', protocol: 'TCP' }, { port: 'dns', protocol: 'UDP' }, { port: 'web' }, { protocol: 'GRE' }),
);
const plainPorts = fc.array(fc.record({ ports: fc.array(portProtocol, { maxLength: 3 }) }), { minLength: 1, maxLength: 2 }).map(toPorts => ({ toPorts }));
const tcpPort = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('80', '443').map(port => ({ port, protocol: 'TCP' })) }, { weight: 1, arbitrary: fc.constantFrom<object>({ port: '79', endPort: 82, protocol: 'TCP' }, { port: 'web', protocol: 'TCP' }) });
const ended = fc.constantFrom<object>({}, {}, {}, { terminatingTLS: { secret: { name: 'web-tls' } } }, { terminatingTLS: { secret: { name: 'web-tls' } }, serverNames: ['a.example'] }, { terminatingTLS: { secret: { name: 'missing', namespace: 'y' } } });
const requests = fc.constantFrom<object>(
  { http: [{ method: 'GET' }] }, { http: [{ path: '/a.*', headers: ['X-Token: 1'] }, {}] }, { http: [{ headerMatches: [{ name: 'X-Token', secret: { name: 'token' } }, { name: 'X-Added', value: '1', mismatch: 'ADD' }] }] },
  { kafka: [{ role: 'produce', topic: 'orders' }] }, { kafka: [{ apiKey: 'fetch', clientID: 'c', apiVersion: '3' }] },
);
const names = fc.constantFrom<object>({ dns: [{ matchPattern: '*' }] }, { dns: [{ matchName: 'a.example' }, { matchPattern: '*.b.example' }] });
const inspected = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(tcpPort, requests, ended).map(([port, rules, tls]) => ({ ports: [port], rules, ...tls })) },
  { weight: 1, arbitrary: fc.constantFrom<object>({ ports: [{ port: '443' }], serverNames: ['a.example', '*.b.example'] }, { serverNames: ['c.example'] }, { ports: [{ port: '443', protocol: 'TCP' }], terminatingTLS: { secret: { name: 'web-tls' } } }) },
  { weight: 1, arbitrary: fc.constantFrom<object>({ ports: [{ port: '80', protocol: 'TCP' }], rules: { l7proto: 'own' } }) },
);
const proxyPorts = (prefix: 'from' | 'to') => fc.array(prefix === 'from' ? inspected : fc.oneof({ weight: 3, arbitrary: inspected }, { weight: 1, arbitrary: names.map(rules => ({ ports: [{ port: '53' }], rules })) }), { minLength: 1, maxLength: 2 }).map(toPorts => ({ toPorts }));
const icmps = fc.constantFrom<object>({ icmps: [{ fields: [{ type: 8 }] }] }, { icmps: [{ fields: [{ family: 'IPv6', type: 'EchoRequest' }, { type: 0 }] }] });

function entries(prefix: 'from' | 'to', deny: boolean): fc.Arbitrary<object[]> {
  const ports = fc.oneof({ weight: 3, arbitrary: plainPorts }, { weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: icmps }, ...(deny ? [] : [{ weight: 2, arbitrary: proxyPorts(prefix) }]));
  const authentication = deny ? fc.constant({}) : fc.oneof({ weight: 8, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.constant({ authentication: { mode: 'required' } }) });
  return fc.array(fc.tuple(peers(prefix, deny), ports, authentication).map(parts => Object.assign({}, ...parts) as object), { maxLength: 3 });
}

const optionalBoolean = fc.constantFrom<object>({}, {}, {}, { enableDefaultDeny: { ingress: false } }, { enableDefaultDeny: { egress: false, ingress: false } }, { enableDefaultDeny: { egress: true } });

const ciliumSpec = fc.tuple(labelSelector, entries('from', false), entries('from', true), entries('to', false), entries('to', true), optionalBoolean)
  .map(([endpointSelector, ingress, ingressDeny, egress, egressDeny, more]) => ({
    endpointSelector, ...(ingress.length + ingressDeny.length + egress.length + egressDeny.length === 0 ? { ingress: [{}] } : { ingress, ingressDeny, egress, egressDeny }), ...more,
  }));

const kubernetesPeer = fc.oneof(
  labelSelector.map(podSelector => ({ podSelector })),
  fc.constantFrom<object>({ namespaceSelector: {} }, { namespaceSelector: { matchLabels: { team: 'blue' } } }, { namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] }, podSelector: { matchLabels: { app: 'b' } } }),
  fc.constantFrom<object>({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }, { ipBlock: { cidr: '0.0.0.0/0' } }),
);
const kubernetesPort = fc.oneof(
  fc.record({ port: boundary, protocol: fc.constantFrom('TCP', 'UDP') }),
  fc.constantFrom<object>({ protocol: 'UDP' }, { port: 'web' }, { port: 80, endPort: 9000 }, { port: 32768, endPort: 65535, protocol: 'UDP' }),
);
const kubernetesEntries = (field: string) => fc.array(fc.tuple(fc.array(kubernetesPeer, { maxLength: 2 }), fc.array(kubernetesPort, { maxLength: 2 })).map(([p, ports]) => ({ [field]: p, ports })), { maxLength: 2 });
const kubernetesSpec = fc.record({ podSelector: labelSelector, ingress: kubernetesEntries('from'), egress: kubernetesEntries('to'), policyTypes: fc.constantFrom<string[]>([], ['Ingress'], ['Ingress', 'Egress'], ['Egress']) });

const clusterPeer = (prefix: 'from' | 'to') => fc.oneof(
  fc.constantFrom<object>({ namespaces: {} }, { namespaces: { matchLabels: { team: 'blue' } } }, { namespaces: { matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] } }),
  labelSelector.map(podSelector => ({ pods: { namespaceSelector: { matchLabels: { team: 'red' } }, podSelector } })),
  ...(prefix === 'to' ? [fc.constantFrom<object>({ networks: ['10.0.0.0/8'] }, { networks: ['0.0.0.0/0', '::/0'] }, { networks: ['10.1.0.0/16'] }, { networks: ['10.244.0.0/16', '192.0.2.0/24'] }, { networks: ['10.244.0.4/32'] }, { nodes: {} }, { nodes: { matchLabels: { zone: 'east' } } })] : []),
);
const adminPort = fc.oneof(
  fc.record({ portNumber: fc.record({ protocol: fc.constantFrom('TCP', 'UDP'), port: boundary }) }),
  fc.constantFrom<object>({ namedPort: 'web' }, { portRange: { protocol: 'TCP', start: 79, end: 8080 } }, { portRange: { protocol: 'UDP', start: 1, end: 65535 } }),
);
const clusterProtocol = fc.oneof(
  fc.record({ tcp: fc.record({ destinationPort: fc.record({ number: boundary }) }) }),
  fc.constantFrom<object>({ destinationNamedPort: 'web' }, { udp: {} }, { tcp: { destinationPort: { range: { start: 79, end: 8080 } } } }),
);
function orderedRules(field: 'from' | 'to', actions: readonly string[], ports: object): fc.Arbitrary<object[]> {
  return fc.array(fc.tuple(fc.constantFrom(...actions), fc.array(clusterPeer(field), { minLength: 1, maxLength: 2 }), ports as fc.Arbitrary<object>)
    .map(([action, peer, more]) => ({ action, [field]: peer, ...(/"(networks|nodes)"/.test(JSON.stringify(peer)) && /amedPort"/.test(JSON.stringify(more)) ? {} : more) })), { maxLength: 3 });
}
function ordered(kind: string, names: readonly string[], actions: readonly string[], field: 'ports' | 'protocols', port: fc.Arbitrary<object>, more: fc.Arbitrary<object>): fc.Arbitrary<object> {
  const ports = fc.array(port, { maxLength: 2 }).map(list => (list.length === 0 ? {} : { [field]: list }));
  const subjectOf = fc.oneof(fc.constantFrom<object>({ namespaces: {} }, { namespaces: { matchLabels: { team: 'red' } } }), labelSelector.map(podSelector => ({ pods: { namespaceSelector: {}, podSelector } })));
  return fc.tuple(fc.constantFrom(...names), subjectOf, orderedRules('from', actions, ports), orderedRules('to', actions, ports), more)
    .map(([name, about, ingress, egress, rest]) => ({ kind, metadata: { name }, spec: { subject: about, ingress, egress, ...rest } }));
}
const priority = fc.constantFrom(0, 1, 10, 1000);
/** AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy. */
export const clusterPolicyObject: fc.Arbitrary<object> = fc.oneof(
  ordered('AdminNetworkPolicy', ['p', 'q'], ['Allow', 'Deny', 'Pass'], 'ports', adminPort, priority.map(value => ({ priority: value }))),
  ordered('BaselineAdminNetworkPolicy', ['default'], ['Allow', 'Deny'], 'ports', adminPort, fc.constant({})),
  ordered('ClusterNetworkPolicy', ['p', 'q', 'r'], ['Accept', 'Deny', 'Pass'], 'protocols', clusterProtocol, fc.tuple(priority, fc.constantFrom('Admin', 'Baseline')).map(([value, tier]) => ({ priority: value, tier }))),
);

/** Nearly all are enforced; some are in audit or in shadow, or keep what was established. */
export const modes: fc.Arbitrary<object> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constantFrom({ 'policy.cirri.io/mode': 'audit' }, { 'policy.cirri.io/mode': 'shadow' }, { 'policy.cirri.io/established': 'keep' }) },
);

export function inMode([object, annotations]: readonly [object, object]): object {
  return { ...object, metadata: { ...(object as { metadata: object }).metadata, annotations } };
}

const plainObject = fc.oneof(
  fc.tuple(fc.constantFrom('x', 'y'), fc.constantFrom('p', 'q', 'r', 's'), ciliumSpec).map(([namespace, name, spec]) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec })),
  fc.tuple(fc.constantFrom('p', 'q', 'r'), fc.array(ciliumSpec, { minLength: 1, maxLength: 2 })).map(([name, specs]) => ({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, specs })),
  fc.tuple(fc.constantFrom('x', 'y'), fc.constantFrom('p', 'q'), kubernetesSpec).map(([namespace, name, spec]) => ({ kind: 'NetworkPolicy', metadata: { name, namespace }, spec })),
);

/** Objects of all kinds, valid by construction. */
export const policyObject: fc.Arbitrary<object> = fc.tuple(fc.oneof({ weight: 3, arbitrary: plainObject }, { weight: 1, arbitrary: clusterPolicyObject }), modes).map(inMode).filter(holdsTogether);

/** Rules of one policy that cannot hold together are refused; those of two policies meet in the engine. */
function holdsTogether(object: object): boolean {
  return !parsePolicy(object).errors?.some(e => e.message.startsWith('cannot merge'));
}

export const policies: fc.Arbitrary<Policy[]> = fc.array(policyObject, { maxLength: 6 }).map(objects => objects.map(policy));
