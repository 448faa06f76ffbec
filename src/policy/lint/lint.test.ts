import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenario } from '../scenario.ts';
import type { ScenarioObject } from '../scenario.ts';
import { World } from '../world.ts';
import type { Finding } from './finding.ts';
import { lint } from './lint.ts';

const cluster: readonly ScenarioObject[] = [
  { kind: 'Namespace', metadata: { name: 'shop' } }, { kind: 'Namespace', metadata: { name: 'infra' } },
  pod('shop', 'web', { app: 'web' }, [{ name: 'http', containerPort: 8080 }]), pod('shop', 'db', { app: 'db' }, [{ name: 'pg', containerPort: 5432 }]),
  pod('infra', 'log', { app: 'log' }, [{ containerPort: 514, protocol: 'UDP' }]),
  { ...pod('infra', 'agent', { app: 'agent' }), spec: { hostNetwork: true, containers: [] } },
  { kind: 'Service', metadata: { name: 'web', namespace: 'shop' }, spec: { selector: { app: 'web' }, clusterIP: '10.96.0.7', ports: [{ port: 80, targetPort: 8080 }] } },
];

function pod(namespace: string, name: string, labels: Record<string, string>, ports: readonly object[] = []): ScenarioObject {
  return { kind: 'Pod', metadata: { namespace, name, labels }, spec: { containers: [{ name: 'c', ports }] }, status: { podIP: `10.244.0.${name.length}` } };
}

function cnp(spec: object, name = 'p'): ScenarioObject {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'shop' }, spec: { endpointSelector: { matchLabels: { app: 'web' } }, ...spec } };
}

function ccnp(spec: object, metadata: object = {}): ScenarioObject {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'p', ...metadata }, spec: { endpointSelector: { matchLabels: { app: 'web' } }, ...spec } };
}

function knp(spec: object): ScenarioObject {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'shop' }, spec: { podSelector: { matchLabels: { app: 'web' } }, ...spec } };
}

function findings(policies: readonly ScenarioObject[], without: readonly string[] = []): readonly Finding[] {
  const objects = [...cluster.filter(o => !without.includes(String(o.metadata?.name))), ...policies];
  return lint(new World(readScenario(objects.map(object => ({ object, place: field => `f.yaml:${field.length}` })))));
}

const web = [{ matchLabels: { app: 'db' } }];
const port = (text: string, protocol = 'TCP') => [{ ports: [{ port: text, protocol }] }];

/** Code, policies that have it, where it is found, and the same policies mended. */
const fixtures: readonly (readonly [code: string, bad: readonly ScenarioObject[], field: string, good: readonly ScenarioObject[]])[] = [
  ['invalid', [cnp({ ingress: [{ fromEndpoint: web }] })], 'spec.ingress[0].fromEndpoint', [cnp({ ingress: [{ fromEndpoints: web }] })]],
  ['duplicate', [cnp({ ingress: [{ fromEndpoints: web }] }), cnp({ ingress: [{ fromEndpoints: web }] })], 'metadata.name', [cnp({ ingress: [{ fromEndpoints: web }] })]],
  ['api-version', [{ ...cnp({ ingress: [{}] }), apiVersion: 'cilium.io/v1' }], 'apiVersion', [cnp({ ingress: [{}] })]],
  ['allow-all', [knp({ ingress: [{}] })], 'spec.ingress[0]', [knp({ ingress: [], policyTypes: ['Ingress'] })]],
  ['allow-all', [cnp({ ingress: [{ fromEntities: ['all'] }] })], 'spec.ingress[0].fromEntities', [cnp({ ingress: [{ fromEntities: ['cluster'] }] })]],
  ['empty-rule', [cnp({ ingress: [{}] })], 'spec.ingress[0]', [cnp({ ingress: [{ fromEndpoints: web }] })]],
  ['empty-means-any', [knp({ ingress: [{ from: [], ports: [{ port: 8080 }] }] })], 'spec.ingress[0].from', [knp({ ingress: [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port: 8080 }] }] })]],
  ['empty-means-any', [cnp({ egress: [{ toFQDNs: [], toPorts: port('53', 'UDP') }] })], 'spec.egress[0].toFQDNs', [cnp({ egress: [{ toEndpoints: web, toPorts: port('5432') }] })]],
  ['empty-list', [cnp({ ingress: [{ fromEndpoints: [], toPorts: port('8080') }] })], 'spec.ingress[0].fromEndpoints', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }] })]],
  ['any-peer', [cnp({ ingress: [{ toPorts: port('8080') }] })], 'spec.ingress[0]', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }] })]],
  ['any-port', [cnp({ ingress: [{ fromEntities: ['world'] }] })], 'spec.ingress[0].fromEntities', [cnp({ ingress: [{ fromEntities: ['world'], toPorts: port('8080') }] })]],
  ['split-rule', [cnp({ ingress: [{ fromEndpoints: web }, { toPorts: port('8080') }] })], 'spec.ingress[1]', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }] })]],
  ['two-peers', [knp({ ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'infra' } } }, { podSelector: { matchLabels: { app: 'db' } } }] }] })], 'spec.ingress[0].from[1]', [knp({ ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } }, podSelector: { matchLabels: { app: 'db' } } }] }] })]],
  ['every-pod', [knp({ ingress: [{ from: [{ namespaceSelector: {} }] }] })], 'spec.ingress[0].from[0]', [knp({ ingress: [{ from: [{ podSelector: {} }] }] })]],
  ['every-pod', [ccnp({ ingress: [{ fromEndpoints: [{}] }] })], 'spec.ingress[0].fromEndpoints[0]', [cnp({ ingress: [{ fromEndpoints: [{}] }] })]],
  ['whole-internet', [knp({ egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }], policyTypes: ['Egress'] })], 'spec.egress[0].to[0].ipBlock.cidr', [knp({ egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] } }] }], policyTypes: ['Egress'] })]],
  ['selects-nothing', [cnp({ endpointSelector: { matchLabels: { app: 'wbe' } }, ingress: [{}] })], 'spec.endpointSelector', [cnp({ ingress: [{}] })]],
  ['host-network', [ccnp({ endpointSelector: { matchLabels: { app: 'agent' } }, ingress: [{}] })], 'spec.endpointSelector', [ccnp({ ingress: [{}] })]],
  ['peer-matches-nothing', [cnp({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'log' } }] }] })], 'spec.ingress[0].fromEndpoints[0]', [cnp({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'log', 'k8s:io.kubernetes.pod.namespace': 'infra' } }] }] })]],
  ['peer-matches-nothing', [cnp({ egress: [{ toServices: [{ k8sService: { serviceName: 'wbe', namespace: 'shop' } }] }] })], 'spec.egress[0].toServices[0]', [cnp({ egress: [{ toServices: [{ k8sService: { serviceName: 'web', namespace: 'shop' } }] }] })]],
  ['shadowed', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }], ingressDeny: [{ fromEndpoints: [{}] }] })], 'spec.ingress[0]', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }], ingressDeny: [{ fromEndpoints: [{}], toPorts: port('22') }] })]],
  ['redundant', [cnp({ ingress: [{ fromEndpoints: web }, { fromEndpoints: web, toPorts: port('8080') }] })], 'spec.ingress[1]', [cnp({ ingress: [{ fromEndpoints: web }] })]],
  ['l7-bypassed', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }, { fromEndpoints: web, toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] }] })], 'spec.ingress[1].toPorts[0]', [cnp({ ingress: [{ fromEndpoints: web, toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] }] })]],
  ['port-name-unknown', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('https') }] })], 'spec.ingress[0].toPorts[0].ports[0].port', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('http') }] })]],
  ['service-port', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('80') }] })], 'spec.ingress[0].toPorts[0].ports[0].port', [cnp({ ingress: [{ fromEndpoints: web, toPorts: port('8080') }] })]],
  ['port-not-listening', [knp({ ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 9999 }] }] })], 'spec.ingress[0].ports[0].port', [knp({ ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 8080 }] }] })]],
  ['dns-forgotten', [cnp({ egress: [{ toEndpoints: web, toPorts: port('5432') }] })], 'spec.egress', [cnp({ egress: [{ toEndpoints: web, toPorts: port('5432') }, { toEntities: ['cluster'], toPorts: port('53', 'ANY') }] })]],
  ['dns-forgotten', [cnp({ egress: [{ toEndpoints: web }] })], 'spec.egress', [cnp({ egress: [{ toEntities: ['cluster'] }] })]],
  ['dns-forgotten', [cnp({ egress: [{ toCIDR: ['203.0.113.0/24'] }] })], 'spec.egress', [cnp({ egress: [{ toCIDR: ['203.0.113.0/24'], toPorts: port('53', 'ANY') }] })]],
  ['fqdn-without-dns', [cnp({ egress: [{ toFQDNs: [{ matchName: 'example.com' }] }] })], 'spec.egress[0].toFQDNs', [cnp({ egress: [{ toFQDNs: [{ matchName: 'example.com' }] }, { toEntities: ['cluster'], toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*' }] } }] }] })]],
  ['l7-not-enforced', [cnp({ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { l7proto: 'own' } }] }] })], 'spec.ingress[0].toPorts[0].rules', [cnp({ ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{}] } }] }] })]],
  ['namespace-ignored', [ccnp({ ingress: [{}] }, { namespace: 'shop' })], 'metadata.namespace', [ccnp({ ingress: [{}] })]],
  ['policy-types', [knp({ policyTypes: ['Ingress'], egress: [{ to: [{ podSelector: {} }] }] })], 'spec.policyTypes', [knp({ policyTypes: ['Ingress', 'Egress'], egress: [{ to: [{ podSelector: {} }] }] })]],
  ['policy-types-default', [knp({ egress: [{ to: [{ podSelector: {} }] }] })], 'spec', [knp({ policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }] }] })]],
  ['no-default-deny', [cnp({ enableDefaultDeny: { ingress: false }, ingress: [{ fromEndpoints: web }] })], 'spec.enableDefaultDeny.ingress', [cnp({ ingress: [{ fromEndpoints: web }] })]],
  ['label-not-in-identity', [cnp({ endpointSelector: { matchLabels: { 'statefulset.kubernetes.io/pod-name': 'db-0' } }, ingress: [{}] })], 'spec.endpointSelector', [cnp({ ingress: [{}] })]],
  ['cidr-and-pods', [cnp({ ingress: [{ fromCIDR: ['10.244.0.0/16'] }] })], 'spec.ingress[0].fromCIDR[0]', [cnp({ ingress: [{ fromCIDR: ['192.168.0.0/16'] }] })]],
  ['cidr-and-service', [knp({ policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '10.96.0.0/16' } }] }] })], 'spec.egress[0].to[0].ipBlock.cidr', [knp({ policyTypes: ['Egress'], egress: [{ to: [{ podSelector: {} }] }] })]],
  ['http-method', [http({ method: 'get' })], 'spec.ingress[0].toPorts[0].rules.http[0].method', [http({ method: 'GET' })]],
  ['http-path', [http({ path: '/api/' })], 'spec.ingress[0].toPorts[0].rules.http[0].path', [http({ path: '/api/.*' })]],
  ['http-header', [http({ headers: ['X-Token:yes'] })], 'spec.ingress[0].toPorts[0].rules.http[0].headers[0]', [http({ headers: ['X-Token: yes'] })]],
];

function http(rule: object): ScenarioObject {
  return cnp({ ingress: [{ fromEndpoints: web, toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [rule] } }] }] });
}

for (const [code, bad, field, good] of fixtures) {
  test(`${code} is found at ${field}, and not when it is mended`, () => {
    const found = findings(bad).filter(f => f.code === code);
    assert.deepEqual(found.map(f => f.field), found.map(() => field), JSON.stringify(findings(bad)));
    assert.ok(found.length > 0, `found only ${JSON.stringify(findings(bad).map(f => f.code))}`);
    assert.ok(found.every(f => f.place === `f.yaml:${field.length}` && f.message !== '' && f.mend !== ''));
    assert.deepEqual(findings(good).filter(f => f.code === code), []);
  });
}

test('a slip of the finger is answered with the word that was meant, a forgotten namespace with the one where such pods are', () => {
  assert.match(findings([cnp({ endpointSelector: { matchLabels: { app: 'wbe' } }, ingress: [{}] })]).find(f => f.code === 'selects-nothing')!.mend, /did you mean app=web\?/);
  const [peer] = findings([cnp({ ingress: [{ fromEndpoints: [{ matchLabels: { app: 'log' } }] }] })]).filter(f => f.code === 'peer-matches-nothing');
  assert.match(peer!.mend, /such pods are in namespace infra/);
});

test('of two equal rules one is redundant, not both', () => {
  const twice = findings([cnp({ ingress: [{ fromEndpoints: web }, { fromEndpoints: web }] })]).filter(f => f.code === 'redundant');
  assert.deepEqual(twice.map(f => f.field), ['spec.ingress[1]']);
});

test('without pods nothing is said of what they match', () => {
  const codes = findings([cnp({ endpointSelector: { matchLabels: { app: 'wbe' } }, ingress: [{ toPorts: port('80') }] })], ['web', 'db', 'log', 'agent']).map(f => f.code);
  assert.deepEqual(codes, ['any-peer']);
});
