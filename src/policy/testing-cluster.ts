/** Random policies of the kinds whose rules are ordered, host policies, and modes: for tests, beside testing.ts. */
import fc from 'fast-check';
import { policyObject } from './testing.ts';

const labels = fc.constantFrom<object>({}, { matchLabels: { app: 'a' } }, { matchLabels: { app: 'b' } }, { matchLabels: { tier: 'back' } }, { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] });
const namespaces = fc.constantFrom<object>({}, { matchLabels: { team: 'red' } }, { matchLabels: { 'kubernetes.io/metadata.name': 'y' } });
const party = fc.oneof(namespaces.map(selector => ({ namespaces: selector })), fc.tuple(namespaces, labels).map(([namespaceSelector, podSelector]) => ({ pods: { namespaceSelector, podSelector } })));
const outside = fc.constantFrom<object>({ networks: ['10.0.0.0/8'] }, { networks: ['10.244.0.0/16', '192.0.2.0/24'] }, { networks: ['10.244.0.4/32'] }, { networks: ['0.0.0.0/0'] }, { nodes: {} }, { nodes: { matchLabels: { zone: 'east' } } });

interface Dialect { readonly ports: string; readonly actions: readonly string[]; readonly port: (number: number, protocol: string) => object }

const admin: Dialect = { ports: 'ports', actions: ['Allow', 'Deny', 'Pass'], port: (port, protocol) => ({ portNumber: { port, protocol } }) };
const baseline: Dialect = { ...admin, actions: ['Allow', 'Deny'] };
const successor: Dialect = { ports: 'protocols', actions: ['Accept', 'Deny', 'Pass'], port: (number, protocol) => ({ [protocol.toLowerCase()]: { destinationPort: { number } } }) };

function rules(dialect: Dialect, direction: 'ingress' | 'egress'): fc.Arbitrary<object[]> {
  const peer = direction === 'ingress' ? party : fc.oneof({ weight: 2, arbitrary: party }, { weight: 1, arbitrary: outside });
  const port = fc.tuple(fc.constantFrom(80, 8080, 443, 53), fc.constantFrom('TCP', 'UDP')).map(([number, protocol]) => dialect.port(number, protocol));
  return fc.array(fc.tuple(fc.constantFrom(...dialect.actions), fc.array(peer, { minLength: 1, maxLength: 2 }), fc.array(port, { maxLength: 2 }))
    .map(([action, peers, ports]) => ({ action, [direction === 'ingress' ? 'from' : 'to']: peers, ...(ports.length > 0 && { [dialect.ports]: ports }) })), { maxLength: 3 });
}

function spec(dialect: Dialect): fc.Arbitrary<object> {
  return fc.tuple(party, rules(dialect, 'ingress'), rules(dialect, 'egress')).map(([subject, ingress, egress]) => ({ subject, ingress, egress }));
}

const priority = fc.integer({ min: 0, max: 3 });
const name = fc.constantFrom('p', 'q', 'r');

/** AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy. */
export const clusterPolicyObject: fc.Arbitrary<object> = fc.oneof(
  fc.tuple(name, priority, spec(admin)).map(([n, p, s]) => ({ kind: 'AdminNetworkPolicy', metadata: { name: n }, spec: { priority: p, ...s } })),
  spec(baseline).map(s => ({ kind: 'BaselineAdminNetworkPolicy', metadata: { name: 'default' }, spec: s })),
  fc.tuple(name, priority, fc.constantFrom('Admin', 'Baseline'), spec(successor)).map(([n, p, tier, s]) => ({ kind: 'ClusterNetworkPolicy', metadata: { name: n }, spec: { tier, priority: p, ...s } })),
);

const hostPolicyObject: fc.Arbitrary<object> = fc.tuple(name, fc.constantFrom<object>({}, { matchLabels: { zone: 'east' } }), fc.constantFrom<object>(
  { ingress: [{ fromEntities: ['cluster'] }] }, { ingress: [{ fromEndpoints: [{ matchLabels: { app: 'a' } }] }] }, { ingressDeny: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] },
  { egress: [{ toEntities: ['remote-node'] }, { toCIDR: ['10.0.0.0/8'] }] }, { egress: [{ toNodes: [{ matchLabels: { zone: 'east' } }], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }] },
)).map(([n, nodeSelector, rest]) => ({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: `host-${n}` }, spec: { nodeSelector, ...rest } }));

const modes = fc.constantFrom<object>({}, {}, {}, {}, { 'policy.cirri.io/mode': 'audit' }, { 'policy.cirri.io/mode': 'shadow' }, { 'policy.cirri.io/established': 'keep' });

/** Objects of every kind, in every mode. */
export const anyPolicyObject: fc.Arbitrary<object> = fc.tuple(fc.oneof({ weight: 2, arbitrary: policyObject }, { weight: 4, arbitrary: clusterPolicyObject }, { weight: 1, arbitrary: hostPolicyObject }), modes)
  .map(([object, annotations]) => ({ ...object, metadata: { ...(object as { metadata: object }).metadata, annotations } }));
