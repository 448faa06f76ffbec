import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AccessTable, sameAccess, subtract } from './access.ts';
import { connect, leg } from './connection.ts';
import { hostPrefix, resolveEnd, resolvePort } from './ends.ts';
import { evaluate } from './evaluate.ts';
import { diffWorlds, partiesOf } from './matrix.ts';
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

test('what only a proxy could allow has no small change', () => {
  const world = worldOf([cnp('l7', { endpointSelector: { matchLabels: { app: 'b' } }, ingress: [{ toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{ method: 'GET' }] } }] }] })]);
  assert.equal(suggest(world, ask(world, 'x/c', 'x/b', '8080').legs[0]!), undefined);
});

const policySets = fc.array(policyObject as fc.Arbitrary<ScenarioObject>, { minLength: 1, maxLength: 4 });
const names = ['x/a', 'x/b', 'x/c', 'y/a', 'y/b', 'world', '10.1.2.3', 'host', 'kube-apiserver'];

test('a suggested change flips the verdict, and the rest of the matrix only as it says', () => {
  let suggested = 0;
  fc.assert(fc.property(policySets, fc.constantFrom(...names), fc.constantFrom('x/a', 'x/b', 'y/c', '10.1.2.3'), fc.constantFrom('80', '8080', '53/UDP', '443'), (policies, from, to, port) => {
    const world = worldOf(policies);
    const denied = ask(world, from, to, port).legs[0]!;
    if (denied.verdict !== 'deny' || from === to) return;
    const suggestion = suggest(world, denied);
    if (!suggestion) return;
    suggested++;
    const after = apply(world, suggestion);
    // The other end may be in audit: then it passes, and is reported.
    assert.notEqual(leg(after, denied.from, denied.to, denied.protocol, denied.port).verdict, 'deny');
    const prefixes = [from, to].filter(t => /^\d/.test(t)).map(hostPrefix);
    const { differences } = diffWorlds(world, after, { entities: true, prefixes });
    const listed = new Set(suggestion.sideEffects.map(e => `${e.from}→${e.to}`));
    const asked = `${partyName(from)}→${partyName(to)}`;
    for (const d of differences) {
      if (listed.has(`${d.from}→${d.to}`)) continue;
      assert.equal(`${d.from}→${d.to}`, asked);
      assert.deepEqual([d.gained.map(({ audit: _, ...span }) => span), d.lost], [[{ protocol: denied.protocol, start: denied.port, end: denied.port }], []]);
    }
  }), { numRuns: 150 });
  assert.ok(suggested > 10, `only ${suggested} suggestions were tried`);
});

function partyName(text: string): string {
  return /^\d/.test(text) ? hostPrefix(text) : text;
}

test('the world decides as the evaluator reads', () => {
  fc.assert(fc.property(policySets, fc.constantFrom(80, 81, 8080, 53, 443), fc.constantFrom(6, 17), (policies, port, protocol) => {
    const world = worldOf(policies);
    const around = { policies: world.policies, services: world.scenario.services, cidrGroups: world.scenario.groups };
    for (const subject of world.scenario.pods.slice(0, 3)) {
      for (const peer of world.engine.identities.keys()) {
        for (const direction of ['ingress', 'egress'] as const) {
          const { subject: view } = world.memberOf(subject)!;
          const decision = world.decide(view, direction, peer, protocol, port);
          const plain = evaluate(around, view, direction, world.viewOf(peer), protocol, port);
          assert.deepEqual([decision.verdict, decision.rule.address], [plain.verdict, plain.rule]);
        }
      }
    }
  }), { numRuns: 30 });
});

test('access holds for every port what a decision says', () => {
  fc.assert(fc.property(policySets, fc.integer({ min: 0, max: 65535 }), fc.constantFrom(6, 17, 132), (policies, port, protocol) => {
    const world = worldOf(policies);
    const table = new AccessTable(world);
    const parties = partiesOf(world, { entities: true });
    for (const from of parties) {
      for (const to of parties) {
        const spans = table.between(from.end, to.end);
        for (const at of [port, 80, 81, 8080, 1024]) {
          const open = spans.find(s => s.protocol === protocol && s.start <= at && at <= s.end);
          assert.equal(open ? open.audit ? 'audit' : 'allow' : 'deny', leg(world, from.end, to.end, protocol, at).verdict);
        }
      }
    }
  }), { numRuns: 25 });
});

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
