import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsePolicy } from './parse.ts';
import type { PolicyObject } from './parse.ts';
import { cnp, policyObject } from './testing.ts';

function errorsOf(spec: object, kind = 'CiliumNetworkPolicy'): string[] {
  return (parsePolicy({ kind, metadata: { name: 'p', namespace: 'x' }, spec }).errors ?? []).map(e => `${e.path}: ${e.message}`);
}

const rule = (entry: object) => ({ endpointSelector: {}, ingress: [entry] });
const egressRule = (entry: object) => ({ endpointSelector: {}, egress: [entry] });
const ports = (...list: object[]) => rule({ toPorts: [{ ports: list }] });

test('an error names its field, what is wrong and what to do', () => {
  assert.deepEqual(parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p' }, spec: ports({ port: 80 }) }).errors?.[0], {
    path: 'spec.ingress[0].toPorts[0].ports[0].port', message: 'must be a string, not number', mend: 'write it in quotes: "80"',
  });
});

test('all errors come at once', () => {
  assert.equal(errorsOf({ endpointSelector: { matchLabels: { 'a b': 'c' } }, ingress: [{ fromEntities: ['wrld'] }, { fromCIDR: ['10.0.0.0/40'] }] }).length, 3);
});

const refused: readonly [what: string, spec: object, error: RegExp][] = [
  ['both selectors', { endpointSelector: {}, nodeSelector: {}, ingress: [{}] }, /cannot have both EndpointSelector and NodeSelector/],
  ['no selector', { ingress: [{}] }, /must have one of EndpointSelector or NodeSelector/],
  ['nodeSelector in a namespaced policy', { nodeSelector: {}, ingress: [{}] }, /cannot have NodeSelector/],
  ['no direction', { endpointSelector: {} }, /at least one of Ingress, IngressDeny, Egress, EgressDeny/],
  ['two kinds of peers', rule({ fromEndpoints: [{}], fromEntities: ['world'] }), /combining FromEndpoints and FromEntities is not supported yet/],
  ['ports and icmps', rule({ toPorts: [{}], icmps: [{ fields: [{ type: 8 }] }] }), /ICMPs block may only be present without ToPorts/],
  ['an unknown entity', rule({ fromEntities: ['mars'] }), /unsupported entity: mars/],
  ['an exception outside its CIDR', rule({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }), /does not contain exclude CIDR/],
  ['an exception of the other family', rule({ fromCIDRSet: [{ cidr: '::/0', except: ['10.0.0.0/8'] }] }), /does not contain exclude CIDR/],
  ['a CIDR rule with two sources', rule({ fromCIDRSet: [{ cidr: '10.0.0.0/8', cidrGroupRef: 'g' }] }), /more than one of cidr/],
  ['a port above 65535', ports({ port: '65536' }), /greater than 65535/],
  ['a port with leading zeros', ports({ port: '010' }), /neither a port number nor a port name/],
  ['no port', ports({ protocol: 'TCP' }), /Port must be specified/],
  ['a range that ends before it begins', ports({ port: '90', endPort: 80 }), /greater than or equal to port 90/],
  ['a range from a name', ports({ port: 'http', endPort: 80 }), /not allowed with a named port/],
  ['an unknown protocol', ports({ port: '1', protocol: 'XTP' }), /unsupported protocol "XTP"/],
  ['a port with a protocol that has none', ports({ port: '1', protocol: 'GRE' }), /has no ports/],
  ['41 ports', ports(...Array.from({ length: 41 }, () => ({ port: '1' }))), /the max is 40/],
  ['an ICMP name of the other family', rule({ icmps: [{ fields: [{ family: 'IPv4', type: 'PacketTooBig' }] }] }), /invalid ICMP type/],
  ['L7 on UDP', rule({ toPorts: [{ ports: [{ port: '80', protocol: 'UDP' }], rules: { http: [{}] } }] }), /L7 rules can only apply to TCP \(not UDP\)/],
  ['two parsers on one port', rule({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{}] } }, { ports: [{ port: '79', endPort: 90, protocol: 'TCP' }], rules: { kafka: [{ topic: 'a' }] } }] }), /spec\.ingress\[0\]\.toPorts\[1\]\.rules.*cannot merge conflicting L7 parsers \(http\/kafka\)/],
  ['DNS rules at ingress', rule({ toPorts: [{ ports: [{ port: '53' }], rules: { dns: [{ matchPattern: '*' }] } }] }), /not allowed on ingress/],
  ['DNS rules without a port', egressRule({ toPorts: [{ rules: { dns: [{ matchPattern: '*' }] } }] }), /port 53 must be specified/],
  ['DNS rules on a range', egressRule({ toPorts: [{ ports: [{ port: '53', endPort: 54 }], rules: { dns: [{ matchPattern: '*' }] } }] }), /do not support port ranges/],
  ['two L7 types', rule({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{}], kafka: [{}] } }] }), /multiple L7 protocol rule types/],
  ['a Kafka role and key', rule({ toPorts: [{ ports: [{ port: '9092', protocol: 'TCP' }], rules: { kafka: [{ role: 'produce', apiKey: 'fetch' }] } }] }), /cannot set both Role/],
  ['lookahead in a path', rule({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/(?=x)' }] } }] }), /unsupported Perl syntax/],
  ['a listener at ingress', rule({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], listener: { envoyConfig: { name: 'c' }, name: 'l' } }] }), /not allowed on ingress/],
  ['name and pattern at once', egressRule({ toFQDNs: [{ matchName: 'a.b', matchPattern: '*' }] }), /only one of MatchName or MatchPattern/],
  ['names in a deny rule', { endpointSelector: {}, egressDeny: [{ toFQDNs: [{ matchName: 'a.b' }] }] }, /unknown field "toFQDNs"/],
  ['L7 in a deny rule', { endpointSelector: {}, ingressDeny: [{ toPorts: [{ rules: { http: [{}] } }] }] }, /unknown field "rules"/],
  ['an unknown authentication mode', rule({ fromEndpoints: [{}], authentication: { mode: 'maybe' } }), /unsupported value "maybe"/],
  ['a long log value', { endpointSelector: {}, ingress: [{}], log: { value: 'x'.repeat(33) } }, /at most 32/],
  ['a label value with a space', rule({ fromEndpoints: [{ matchLabels: { app: 'a b' } }] }), /invalid label value/],
  ['In without values', rule({ fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'In' }] }] }), /must be specified when operator is In/],
  ['Exists with values', rule({ fromEndpoints: [{ matchExpressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] }] }), /may not be specified/],
];

for (const [what, spec, error] of refused) test(`refused: ${what}`, () => assert.match(errorsOf(spec).join('\n'), error));

const refusedByKubernetes: readonly [what: string, spec: object, error: RegExp][] = [
  ['an empty peer', { podSelector: {}, ingress: [{ from: [{}] }] }, /must specify a peer/],
  ['ipBlock beside a selector', { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' }, podSelector: {} }] }] }, /may not specify both ipBlock and another peer/],
  ['endPort without port', { podSelector: {}, ingress: [{ ports: [{ endPort: 80 }] }] }, /when `port` is not specified/],
  ['endPort below port', { podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 79 }] }] }, /greater than or equal to `port`/],
  ['a protocol in small letters', { podSelector: {}, ingress: [{ ports: [{ protocol: 'tcp' }] }] }, /unsupported value "tcp"/],
  ['a source in a label key', { podSelector: { matchLabels: { 'k8s:app': 'x' } } }, /invalid label key/],
  ['an unknown policy type', { podSelector: {}, policyTypes: ['Both'] }, /unsupported value "Both"/],
];

for (const [what, spec, error] of refusedByKubernetes) test(`refused in a NetworkPolicy: ${what}`, () => assert.match(errorsOf(spec, 'NetworkPolicy').join('\n'), error));

test('what is accepted but not enforced yet is said, with its field, and has a rule of its own', () => {
  const policy = cnp('p', 'x', {
    endpointSelector: {},
    ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '443' }] }, { ports: [{ port: '80', protocol: 'TCP' }], rules: { l7proto: 'own', l7: [{ action: 'x' }] } }] }],
    egress: [
      { toFQDNs: [{ matchName: 'a.example' }] },
      { toEndpoints: [{}], authentication: { mode: 'required' } },
      { toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }], serverNames: ['a.example'] }] },
      { toEntities: ['world'], authentication: { mode: 'required' } },
    ],
  });
  assert.deepEqual(policy.conditions.map(c => `${c.type} ${c.path}`), [
    'L7NotEnforced spec.ingress[0].toPorts[1].rules', 'AuthenticationNotEnforced spec.egress[1].authentication', 'AuthenticationNotEnforced spec.egress[3].authentication', 'PeerCannotAuthenticate spec.egress[3]', 'NoDNSRule spec.egress',
  ]);
  assert.deepEqual(policy.specs[0]!.rules.map(r => `${r.path} ${r.effect}`), [
    'spec.ingress[0] allow', 'spec.ingress[0].toPorts[1] inspect', 'spec.egress[0] allow', 'spec.egress[1] unauthenticated', 'spec.egress[2].toPorts[0] inspect', 'spec.egress[3] unauthenticated',
  ]);
});

test('a cluster-wide policy may select nodes, without conditions', () => {
  const result = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'p' }, spec: { nodeSelector: {}, ingress: [{ fromEntities: ['cluster'] }] } });
  assert.deepEqual(result.conditions, []);
  assert.equal(result.policy?.specs[0]?.selectsNodes, true);
});

test('with a cluster name, selectors that name no cluster mean this one', () => {
  const result = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: rule({ fromEndpoints: [{}, { matchLabels: { 'k8s:io.cilium.k8s.policy.cluster': 'two' } }] }) }, { clusterName: 'one' });
  const peers = result.policy!.specs[0]!.rules[0]!.peers;
  assert.ok(peers !== 'any');
  assert.deepEqual(peers.map(p => p.type === 'selector' && p.selector.describe()), [
    'k8s:io.cilium.k8s.policy.cluster=one, k8s:io.kubernetes.pod.namespace=x', 'k8s:io.cilium.k8s.policy.cluster=two, k8s:io.kubernetes.pod.namespace=x',
  ]);
});

test('whatever stands in an object, parsing gives a policy or errors and never throws', () => {
  const mutation = fc.tuple(policyObject, fc.nat(), fc.anything()).map(([object, at, value]) => {
    const copy = structuredClone(object) as Record<string, unknown>;
    const holders: Record<string, unknown>[] = [];
    const walk = (node: unknown) => {
      if (typeof node !== 'object' || node === null) return;
      if (Object.keys(node).length > 0) holders.push(node as Record<string, unknown>);
      Object.values(node).forEach(walk);
    };
    walk(copy);
    const holder = holders[at % holders.length]!;
    const keys = Object.keys(holder);
    holder[keys[at % keys.length]!] = value;
    return copy;
  });
  fc.assert(fc.property(mutation, object => {
    const result = parsePolicy(object as PolicyObject);
    assert.ok(result.policy !== undefined || result.errors.length > 0);
  }), { numRuns: 2000 });
});
