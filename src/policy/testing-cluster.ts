/** Random policies of every kind, those for nodes and the ordered ones more often than in testing.ts. */
import fc from 'fast-check';
import { clusterPolicyObject, inMode, modes, policyObject } from './testing.ts';

const name = fc.constantFrom('p', 'q', 'r');

const hostPolicyObject: fc.Arbitrary<object> = fc.tuple(name, fc.constantFrom<object>({}, { matchLabels: { zone: 'east' } }), fc.constantFrom<object>(
  { ingress: [{ fromEntities: ['cluster'] }] }, { ingress: [{ fromEndpoints: [{ matchLabels: { app: 'a' } }] }] }, { ingressDeny: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }] },
  { egress: [{ toEntities: ['remote-node'] }, { toCIDR: ['10.0.0.0/8'] }] }, { egress: [{ toNodes: [{ matchLabels: { zone: 'east' } }], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }] },
)).map(([n, nodeSelector, rest]) => ({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: `host-${n}` }, spec: { nodeSelector, ...rest } }));

/** Objects of every kind, in every mode. */
export const anyPolicyObject: fc.Arbitrary<object> = fc.tuple(fc.oneof({ weight: 2, arbitrary: policyObject }, { weight: 4, arbitrary: clusterPolicyObject }, { weight: 1, arbitrary: hostPolicyObject }), modes).map(inMode);
