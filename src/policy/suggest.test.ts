import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sameAccess, subtract } from './access.ts';
import { connect } from './connection.ts';
import { resolveEnd, resolvePort } from './ends.ts';
import { diffWorlds } from './matrix.ts';
import { closingPolicies, nearMisses } from './near-miss.ts';
import { readPolicy, readScenario, withPolicies } from './scenario.ts';
import type { ScenarioObject } from './scenario.ts';
import { suggest } from './suggest.ts';
import type { Suggestion } from './suggest.ts';
import { policyObject } from './testing.ts';
import { World } from './world.ts';

function pod(namespace: string, name: string, labels: Record<string, string>, ports: readonly object[] = []): ScenarioObject {
  return { kind: 'Pod', metadata: { namespace, name, labels }, spec: { nodeName: 'n1', containers: [{ name: 'c', ports }] } };
}

const cluster: readonly ScenarioObject[] = [
  { kind: 'Namespace', metadata: { name: 'x', labels: { team: 'red' } } }, { kind: 'Namespace', metadata: { name: 'y', labels: { team: 'blue' } } },
  ...['x', 'y'].flatMap(ns => [
    pod(ns, 'a', { app: 'a', tier: 'front' }, [{ name: 'web', containerPort: 80 }]),
    pod(ns, 'b', { app: 'b', tier: 'back' }, [{ name: 'web', containerPort: 8080 }, { name: 'dns', containerPort: 53, protocol: 'UDP' }]),
    pod(ns, 'c', { app: 'c', tier: 'back' }),
  ]),
  { kind: 'Service', metadata: { namespace: 'x', name: 'front', labels: { kind: 'web' } }, spec: { selector: { app: 'a' }, ports: [{ port: 8000, targetPort: 'web' }] } },
  { kind: 'CiliumCIDRGroup', metadata: { name: 'office', labels: { site: 'hq' } }, spec: { externalCIDRs: ['10.0.0.0/8'] } },
];

function worldOf(policies: readonly ScenarioObject[]): World {
  return new World(readScenario([...cluster, ...policies].map(object => ({ object, place: field => `f:${field}` }))));
}

function apply(world: World, suggestion: Suggestion): World {
  const changed = suggestion.changes.map(c => readPolicy({ object: c.object, place: () => '' }, { namespace: 'default', clusterName: 'default' }));
  return new World(withPolicies(world.scenario, changed));
}

const cnp = (name: string, spec: object, namespace = 'x'): ScenarioObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec });

function ask(world: World, from: string, to: string, port: string) {
  const target = resolveEnd(world, to, 'x');
  return connect(world, resolveEnd(world, from, 'x'), target, resolvePort(target, port));
}

const backFromFront = cnp('back', {
  endpointSelector: { matchLabels: { app: 'b' } },
  ingress: [{ fromEndpoints: [{ matchLabels: { app: 'a' } }], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }],
});

test('the nearest rule and the field by which it missed', () => {
  const world = worldOf([backFromFront]);
  const byPeer = nearMisses(world, ask(world, 'x/c', 'x/b', '8080').legs[0]!.steps[1]!)[0]!;
  assert.deepEqual([byPeer.field, byPeer.missed, byPeer.text], ['spec.ingress[0].fromEndpoints[0].matchLabels[app]', 'peer', 'wants app=a; x/c has app=c']);
  assert.deepEqual(closingPolicies(world, ask(world, 'x/c', 'x/b', '8080').legs[0]!.steps[1]!).map(c => [c.policy.name, c.place]), [['back', 'f:spec.ingress']]);
  const byPort = nearMisses(world, ask(world, 'x/a', 'x/b', '80').legs[0]!.steps[1]!)[0]!;
  assert.deepEqual([byPort.field, byPort.missed], ['spec.ingress[0].toPorts[0].ports[0].port', 'port']);
  const byNamespace = nearMisses(world, ask(world, 'y/a', 'x/b', '8080').legs[0]!.steps[1]!)[0]!;
  assert.match(byNamespace.text, /names no namespace, which means pods of x; y\/a is in y/);
});

test('a service is its pods and their port', () => {
  const connection = ask(worldOf([]), 'x/c', 'service x/front', '8000');
  assert.deepEqual([connection.verdict, connection.legs[0]!.port, connection.legs[0]!.to.text], ['allow', 80, 'x/a']);
  assert.match(connection.notes[0]!, /policies see the pod's port/);
  assert.throws(() => ask(worldOf([]), 'x/c', 'service x/front', '81'), /has no port 81\/TCP; it has 8000\/TCP/);
});

test('the change is a patch of the nearest rule where that opens nothing else', () => {
  const world = worldOf([backFromFront]);
  const peer = suggest(world, ask(world, 'x/c', 'x/b', '8080').legs[0]!)!;
  assert.deepEqual(peer.changes.map(c => c.jsonPatch), [[{ op: 'add', path: '/spec/ingress/0/fromEndpoints/-', value: { matchLabels: { app: 'c' } } }]]);
  assert.deepEqual(peer.sideEffects, []);
  const address = suggest(world, ask(world, '192.0.2.7', 'x/b', '8080').legs[0]!)!;
  assert.deepEqual(address.changes[0]!.jsonPatch[0]!.value, { fromCIDR: ['192.0.2.7/32'], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] });
});

test('a rule for two peers is not widened for one: the change would open a port to the other too', () => {
  const world = worldOf([cnp('back', {
    endpointSelector: { matchLabels: { app: 'b' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'a' } }, { matchLabels: { app: 'c' } }], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }],
  })]);
  const { changes, sideEffects } = suggest(world, ask(world, 'x/c', 'x/b', '53/UDP').legs[0]!)!;
  assert.equal(changes[0]!.edits[0]!.path, 'spec.ingress[-]');
  assert.deepEqual(sideEffects, []);
});

test('an explicit denial is narrowed by an exception, and both ends are mended', () => {
  const world = worldOf([
    cnp('deny', { endpointSelector: { matchLabels: { app: 'b' } }, ingressDeny: [{ fromEndpoints: [{ matchLabels: { tier: 'back' } }] }], enableDefaultDeny: { ingress: false } }),
    cnp('closed', { endpointSelector: { matchLabels: { app: 'c' } }, egress: [{}] }),
  ]);
  const denied = ask(world, 'x/c', 'x/b', '8080').legs[0]!;
  const { changes, sideEffects } = suggest(world, denied)!;
  assert.equal(changes.length, 2);
  assert.deepEqual(changes[1]!.jsonPatch, [{ op: 'add', path: '/spec/ingressDeny/0/fromEndpoints/0/matchExpressions/-', value: { key: 'app', operator: 'NotIn', values: ['c'] } }]);
  // The exception lets the pod's other ports through its side, but egress allows only the one asked for.
  assert.deepEqual(sideEffects, []);
});

test('what nobody can read has no small change', () => {
  const world = worldOf([cnp('l7', { endpointSelector: { matchLabels: { app: 'b' } }, ingress: [{ toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { l7proto: 'own' } }] }] })]);
  assert.equal(suggest(world, ask(world, 'x/c', 'x/b', '8080').legs[0]!), undefined);
});

// Random suggestions, decisions and accesses: suggest-tiers.test.ts.
const policySets = fc.array(policyObject as fc.Arbitrary<ScenarioObject>, { minLength: 1, maxLength: 4 });

test('nothing differs from itself; a lost connection is the other way round a gained one', () => {
  fc.assert(fc.property(policySets, policySets, (a, b) => {
    assert.deepEqual(diffWorlds(worldOf(a), worldOf(a)), { differences: [], added: [], removed: [] });
    const [there, back] = [diffWorlds(worldOf(a), worldOf(b)), diffWorlds(worldOf(b), worldOf(a))];
    // What begins to be audited there ceases to be back, which is no difference.
    const moved = (diff: typeof there) => diff.differences.filter(d => d.gained.length + d.lost.length > 0);
    assert.deepEqual(moved(there).map(d => [d.from, d.to, d.gained, d.lost]), moved(back).map(d => [d.from, d.to, d.lost, d.gained]));
  }), { numRuns: 25 });
  assert.ok(sameAccess(subtract([{ protocol: 6, start: 0, end: 10 }], [{ protocol: 6, start: 3, end: 4 }]), [{ protocol: 6, start: 0, end: 2 }, { protocol: 6, start: 5, end: 10 }]));
});
