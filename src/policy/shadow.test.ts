import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenario } from './scenario.ts';
import type { ShadowRow } from '../model/kernel-reports.ts';
import { differencesComputed, differencesSeen } from './shadow.ts';
import { World } from './world.ts';

const pod = (name: string, workload = name) => ({
  kind: 'Pod', metadata: { name, namespace: 'x', labels: { app: workload }, ownerReferences: [{ kind: 'StatefulSet', name: workload, controller: true }] }, spec: { containers: [] },
});
const shadow = (name: string, spec: object) => ({ kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations: { 'policy.cirri.io/mode': 'shadow' } }, spec });
const inForce = { kind: 'CiliumNetworkPolicy', metadata: { name: 'now', namespace: 'x' }, spec: { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'job' } }] }] } };
const db = shadow('db', { endpointSelector: { matchLabels: { app: 'db' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts: [{ ports: [{ port: '5432', protocol: 'TCP' }] }] }] });
const web = shadow('web', { endpointSelector: { matchLabels: { app: 'web' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'db' } }] }] });
const scenario = readScenario([pod('web-0', 'web'), pod('web-1', 'web'), pod('db'), pod('job'), inForce, db, web].map(object => ({ object, place: () => '' })));

test('computed: what a shadow policy would newly deny, by endpoint, peer and port', () => {
  const denied = differencesComputed(scenario, 'CiliumNetworkPolicy/x/db');
  assert.deepEqual([...new Set(denied.map(d => `${d.verdict} ${d.direction} ${d.endpoint}`))], ['deny ingress x/db']);
  assert.deepEqual(denied.find(d => d.peer === 'x/web')?.ports, ['0-5431/TCP', '5433-65535/TCP', 'all UDP', 'all SCTP', 'all ICMP', 'all ICMPv6']);
  assert.match(denied.find(d => d.peer === 'world')!.rule.address, /^default\/deny\/ingress\/CiliumNetworkPolicy x\/db$/);
  assert.ok(!denied.some(d => d.peer === 'host'), 'the node itself always reaches its pods');
});

test('computed: what it would newly allow beside the policies in force; other shadow policies play no part', () => {
  const allowed = differencesComputed(scenario, 'CiliumNetworkPolicy/x/web');
  assert.deepEqual(allowed.map(d => [d.verdict, d.direction, d.endpoint, d.peer, d.rule.address]), [['allow', 'ingress', 'x/web', 'x/db', 'CiliumNetworkPolicy/x/web/spec.ingress[0]']]);
});

test('seen: rows of nodes and of pods of one workload are added up, peers have names', () => {
  const world = new World(scenario);
  const row = (endpoint: string, peer: readonly string[], connections: number, lastHit: string): ShadowRow => ({
    rule: 1, address: 'CiliumNetworkPolicy/x/web/spec.ingress[0]', policy: { kind: 'CiliumNetworkPolicy', namespace: 'x', name: 'web' }, verdict: 'allow', direction: 'ingress', endpoint,
    peer: { identity: 9, labels: peer }, protocol: 6, port: 80, connections, packets: connections, bytes: 60 * connections, lastHit,
  });
  const dbLabels = world.scenario.pods.find(p => p.name === 'db')!.labels.array;
  const seen = differencesSeen(world, [
    row('x/web-0', dbLabels, 2, '2026-01-02T00:00:00Z'), row('x/web-1', [...dbLabels].reverse(), 3, '2026-01-01T00:00:00Z'),
    row('x/web-0', ['reserved:world', 'cidr:203.0.113.0/24'], 1, '2026-01-01T00:00:00Z'), row('x/web-0', ['reserved:remote-node'], 1, '2026-01-01T00:00:00Z'),
  ]).get('CiliumNetworkPolicy/x/web')!;
  assert.deepEqual(seen.map(d => [d.endpoint, d.peer, d.ports.join(), d.counts?.connections]), [
    ['x/web', 'x/db', '80/TCP', 5], ['x/web', '203.0.113.0/24', '80/TCP', 1], ['x/web', 'remote-node', '80/TCP', 1],
  ]);
  assert.deepEqual(seen[0]!.counts, { connections: 5, packets: 5, bytes: 300, lastHit: '2026-01-02T00:00:00Z' });
});
