import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from './connection.ts';
import { resolveEnd, resolvePort } from './ends.ts';
import { readScenario, type ScenarioObject } from './scenario.ts';
import { World } from './world.ts';

const pod = (name: string, namespace: string, annotations = {}) => ({ kind: 'Pod', metadata: { name, namespace, labels: { app: name }, annotations }, spec: { containers: [] } });
const closed = (name: string, mode: string) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations: { 'policy.cirri.io/mode': mode } }, spec: { endpointSelector: {}, ingress: [{}] } });
const cluster = [pod('a', 'x'), pod('b', 'x', { 'policy.cirri.io/audit': 'true' }), pod('c', 'y')];

function asked(objects: readonly object[], to: string, audit = false) {
  const world = new World(readScenario(objects.map(object => ({ object: object as ScenarioObject, place: () => '' })), { audit }));
  const target = resolveEnd(world, to);
  const [step] = connect(world, resolveEnd(world, 'world'), target, resolvePort(target, '80')).legs[0]!.steps;
  return step!;
}

test('a pod in audit mode, by itself, its namespace or the cluster: what the rule denies passes, and the answer says so', () => {
  const objects = [...cluster, closed('p', 'enforce')];
  assert.deepEqual([asked(objects, 'x/a').verdict, asked(objects, 'x/a').audit], ['deny', undefined]);
  const audited = asked(objects, 'x/b');
  assert.deepEqual([audited.verdict, audited.audit, audited.rule.effect], ['audit', 'pod', 'default-deny']);
  assert.equal(asked([...objects, { kind: 'Namespace', metadata: { name: 'x', annotations: { 'policy.cirri.io/audit': 'true' } } }], 'x/a').audit, 'namespace');
  assert.equal(asked(objects, 'x/a', true).audit, 'cluster');
  assert.equal(asked(cluster, 'x/b').audit, undefined, 'nothing is denied, so nothing is audited');
});

test('a policy in audit passes with its rule, one in shadow decides nothing and says what it would', () => {
  const audited = asked([...cluster, closed('p', 'audit')], 'x/a');
  assert.deepEqual([audited.verdict, audited.audit, audited.rule.effect], ['audit', 'policy', 'default-deny']);
  const shadowed = asked([...cluster, closed('p', 'shadow')], 'x/a');
  assert.deepEqual([shadowed.verdict, shadowed.audit, shadowed.rule.effect, shadowed.shadow?.verdict, shadowed.shadow?.rule.effect], ['allow', undefined, 'default-allow', 'deny', 'default-deny']);
});

test('networks of an AdminNetworkPolicy hold pods by their addresses, as destinations only', () => {
  const at = (name: string, ip: string) => ({ ...pod(name, 'x'), status: { podIP: ip } });
  const anp = { kind: 'AdminNetworkPolicy', metadata: { name: 'net' }, spec: { priority: 1, subject: { namespaces: {} }, egress: [{ action: 'Deny', to: [{ networks: ['10.1.0.0/16'] }] }] } };
  const world = new World(readScenario([at('a', '10.1.0.1'), at('b', '10.2.0.1'), anp].map(object => ({ object: object as ScenarioObject, place: () => '' }))));
  assert.deepEqual(world.scenario.policies[0]!.errors, []);
  const verdict = (from: string, to: string) => connect(world, resolveEnd(world, from), resolveEnd(world, to), { protocol: 6, port: 80 }).verdict;
  assert.deepEqual([verdict('x/b', 'x/a'), verdict('x/a', 'x/b'), verdict('x/b', '10.1.2.3'), verdict('x/b', '10.3.2.3')], ['deny', 'allow', 'deny', 'allow']);
});
