import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenario } from './scenario.ts';
import { isUnused, policiesOfRule, rulesOf, useOf, useOrders } from './usage.ts';
import { World } from './world.ts';

const cnp = (name: string, ingress: readonly object[], annotations = {}) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations }, spec: { endpointSelector: {}, ingress } });
const world = new World(readScenario([
  { kind: 'Pod', metadata: { name: 'a', namespace: 'x', labels: { app: 'a' } }, spec: { containers: [] } },
  cnp('p', [{ fromEntities: ['world'] }, { fromEntities: ['cluster'] }]),
  cnp('audited', [{ fromEntities: ['health'] }], { 'policy.cirri.io/mode': 'audit' }),
].map(object => ({ object, place: () => '' }))));
const idOf = (path: string, policy = 'p') => [...rulesOf(world).values()].find(info => info.path === path && info.name === policy)!.id;

test('counters of all nodes are added up, the latest hit counts, rules without any are there with none', () => {
  const first = idOf('spec.ingress[0]');
  const uses = useOf(world, [
    { rule: first, packets: 2, bytes: 100, connections: 1, lastHit: '2026-01-02T00:00:00Z' }, { rule: first, packets: 3, bytes: 10, connections: 2, lastHit: '2026-01-01T00:00:00Z' },
    { rule: 7, address: 'NetworkPolicy/x/gone/spec.ingress[0]', packets: 1, bytes: 1, connections: 0 },
  ]);
  assert.deepEqual([uses[0]!.packets, uses[0]!.bytes, uses[0]!.connections, uses[0]!.lastHit, uses[0]!.info?.path], [5, 110, 3, '2026-01-02T00:00:00Z', 'spec.ingress[0]']);
  const gone = uses.find(u => u.rule === 7)!;
  assert.deepEqual([gone.info, gone.address, gone.connections], [undefined, 'NetworkPolicy/x/gone/spec.ingress[0]', 0]);
  assert.deepEqual(uses.filter(isUnused).map(u => `${u.info!.name} ${u.info!.path} ${u.mode ?? ''}`.trim()).sort(), ['audited spec.ingress[0] audit', 'p spec.ingress[1]']);
});

test('each order has its own first', () => {
  const [a, b] = [idOf('spec.ingress[0]'), idOf('spec.ingress[1]')];
  const uses = useOf(world, [
    { rule: a, packets: 9, bytes: 1, connections: 1, lastHit: '2026-01-01T00:00:00Z' }, { rule: b, packets: 1, bytes: 9, connections: 9, lastHit: '2026-01-03T00:00:00Z' },
  ]);
  const first = (order: keyof typeof useOrders) => [...uses].sort(useOrders[order])[0]!.rule;
  assert.deepEqual([first('packets'), first('bytes'), first('connections'), first('last-hit')], [a, b, b, b]);
});

test('a default denial belongs to all policies that cause it', () => {
  const rule = { kind: 'default', name: 'p', address: 'default/deny/ingress/CiliumClusterwideNetworkPolicy all,NetworkPolicy shop/db' } as const;
  assert.deepEqual(policiesOfRule(rule), ['CiliumClusterwideNetworkPolicy//all', 'NetworkPolicy/shop/db']);
});
