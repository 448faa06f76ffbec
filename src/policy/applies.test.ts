import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appliesTo } from './applies.ts';
import { readScenario, type ScenarioObject } from './scenario.ts';
import { World } from './world.ts';

const subject = { namespaces: {} };
const anp = (name: string, priority: number, action: string) => ({ kind: 'AdminNetworkPolicy', metadata: { name }, spec: { priority, subject, ingress: [{ action, from: [{ namespaces: {} }] }] } });
const banp = { kind: 'BaselineAdminNetworkPolicy', metadata: { name: 'default' }, spec: { subject, ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }] } };
const cnp = (name: string, spec: object, mode?: string) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', ...(mode && { annotations: { 'policy.cirri.io/mode': mode } }) }, spec: { endpointSelector: {}, ...spec } });

function stages(...policies: readonly object[]): readonly string[] {
  const pod = { kind: 'Pod', metadata: { name: 'a', namespace: 'x', labels: { app: 'a' } }, spec: { containers: [] } };
  const world = new World(readScenario([pod, ...policies].map(object => ({ object: object as ScenarioObject, place: () => '' }))));
  assert.deepEqual(world.scenario.policies.flatMap(p => p.errors), []);
  const { stages: found } = appliesTo(world, world.memberOf(world.scenario.pods[0]!)!.subject, 'ingress');
  return found.flatMap(({ title, rules }) => rules.map(({ info, mode, priority }) => `${title}: ${info.name}${priority === undefined ? '' : ` (${priority})`}${mode ? ` [${mode}]` : ''}`));
}

test('tiers in the order in which they are asked, admin policies by priority', () => {
  assert.deepEqual(stages(banp, anp('second', 20, 'Pass'), anp('first', 3, 'Allow'), cnp('c', { enableDefaultDeny: { ingress: false }, ingress: [{ fromEntities: ['world'] }] })), [
    'always allowed: allow-localhost',
    'admin policies, by priority: the first that applies decides, and pass goes on below: first (3)',
    'admin policies, by priority: the first that applies decides, and pass goes on below: second (20)',
    'allowed: c',
    'baseline policies: the first that applies decides: default (0)',
    'all else is allowed: allow',
  ]);
});

test('the tier baseline is not reached behind default deny', () => {
  const found = stages(banp, cnp('c', { ingress: [{ fromEntities: ['world'] }] }));
  assert.deepEqual(found.slice(-2), ['all else is denied: c', 'baseline policies: not reached, since default deny is in force: default (0)']);
});

test('audit and shadow are marked, also on the default denial that they would cause', () => {
  const spec = { ingress: [{ fromEntities: ['world'] }] };
  assert.deepEqual(stages(cnp('s', spec, 'shadow')).filter(s => !s.startsWith('always')), ['allowed: s [shadow]', 'a shadow only: all else would be denied: s [shadow]', 'all else is allowed: allow']);
  assert.deepEqual(stages(cnp('s', spec, 'audit')).filter(s => !s.startsWith('always')), ['allowed: s [audit]', 'in audit: all else is reported as denied: s [audit]', 'all else is allowed: allow']);
});
