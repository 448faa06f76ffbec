import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../kube/types.ts';
import type { PolicyNodeStatus } from '../model/policy-status.ts';
import { enforcedCondition, policyConditions } from './policy-status.ts';

const object = (nodes: Record<string, Partial<PolicyNodeStatus>>, annotations?: Record<string, string>): KubeObject => ({
  apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'shop', generation: 2, ...(annotations ? { annotations } : {}) },
  spec: { endpointSelector: {}, egress: [{ toGroups: [{ aws: { securityGroupsIds: ['sg-1'] } }] }] },
  status: { nodes: Object.fromEntries(Object.entries(nodes).map(([name, status]) => [name, { enforcing: true, ok: true, observedGeneration: 2, lastUpdated: '', ...status }])) },
});
const summary = (nodes: Record<string, Partial<PolicyNodeStatus>>, names = ['n1', 'n2'], annotations?: Record<string, string>) => {
  const { status, reason, message } = enforcedCondition(object(nodes, annotations), names);
  return [status, reason, message];
};

test('in force is what every node says of this very version', () => {
  assert.deepEqual(summary({ n1: {}, n2: {} }), ['True', 'InForce', 'in force on 2 of 2 nodes']);
  assert.equal(summary({ n1: {} })[1], 'Pending');
  assert.equal(summary({ n1: {}, n2: { observedGeneration: 1 } })[1], 'Pending', 'the word on an earlier version does not count');
  assert.equal(summary({ n1: {}, n2: {}, gone: { enforcing: false } })[0], 'True', 'nor does that of a node that is no more');
  assert.equal(summary({}, [])[0], 'False', 'no node, nothing in force');
});

test('a node that could not load it is named with its reason', () => {
  assert.deepEqual(summary({ n1: {}, n2: { enforcing: false, ok: false, error: 'needs 9 more entries' } }), ['False', 'NotEnforced', 'in force on 1 of 2 nodes\nn2: needs 9 more entries']);
  const names = Array.from({ length: 9 }, (_, i) => `n${i}`);
  const [, , message] = summary(Object.fromEntries(names.map(name => [name, { enforcing: false, error: 'full' }])), names);
  assert.match(message!, /^in force on 0 of 9 nodes\n(n\d: full\n){5}and 4 more nodes$/);
});

test('a policy in audit or shadow is loaded and not in force, and a word from before the annotation does not count', () => {
  const shadow = { 'policy.cirri.io/mode': 'shadow' };
  assert.equal(summary({ n1: {}, n2: {} }, undefined, shadow)[1], 'Pending');
  assert.deepEqual(summary({ n1: { annotations: shadow }, n2: { annotations: shadow } }, undefined, shadow).slice(0, 2), ['False', 'Shadow']);
  const audit = { 'policy.cirri.io/mode': 'audit' };
  assert.deepEqual(summary({ n1: { annotations: audit }, n2: { annotations: audit } }, undefined, audit).slice(0, 2), ['False', 'Audit']);
});

test('groups without a provider are accepted, and the object says what becomes of them', () => {
  const conditions = policyConditions(object({}), 'default');
  assert.equal(conditions.find(c => c.type === 'Valid')?.status, 'True');
  const groups = conditions.find(c => c.type === 'GroupsNotEnforced');
  assert.deepEqual([groups?.status, groups?.reason], ['True', 'FailsClosed']);
  assert.match(groups?.message ?? '', /^spec\.egress\[0\]\.toGroups\[0\]: no cloud provider resolves groups here: the group matches nothing/);
});
