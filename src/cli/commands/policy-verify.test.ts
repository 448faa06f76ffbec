import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenario } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { rulesOf, useOf } from './policy-verify.ts';

test('counters of all nodes are added up, rules without any are there with none', () => {
  const world = new World(readScenario([
    { kind: 'Pod', metadata: { name: 'a', namespace: 'x', labels: { app: 'a' } }, spec: { containers: [] } },
    { kind: 'CiliumNetworkPolicy', metadata: { name: 'p', namespace: 'x' }, spec: { endpointSelector: {}, ingress: [{ fromEntities: ['world'] }, { fromEntities: ['cluster'] }] } },
  ].map(object => ({ object, place: () => '' }))));
  const rules = rulesOf(world);
  const [first] = [...rules.values()].filter(info => info.path === 'spec.ingress[0]');
  const uses = useOf(rules, [
    { rule: first!.id, packets: 2, bytes: 100, lastHit: '2026-01-01T00:00:00Z' }, { rule: first!.id, packets: 3, bytes: 10, lastHit: '2026-01-02T00:00:00Z' }, { rule: 7, packets: 1, bytes: 1 },
  ]);
  assert.deepEqual([uses[0]!.packets, uses[0]!.bytes, uses[0]!.lastHit, uses[0]!.info?.path], [5, 110, '2026-01-02T00:00:00Z', 'spec.ingress[0]']);
  assert.equal(uses.find(u => u.rule === 7)!.info, undefined);
  assert.deepEqual(uses.filter(u => u.packets === 0 && u.info?.kind !== 'default').map(u => u.info!.path), ['spec.ingress[1]']);
});
