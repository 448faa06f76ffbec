import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AccessTable } from './access.ts';
import { connect, leg } from './connection.ts';
import { hostPrefix, resolveEnd, resolvePort } from './ends.ts';
import { evaluate } from './evaluate.ts';
import { diffWorlds, partiesOf } from './matrix.ts';
import { nearMisses } from './near-miss.ts';
import { reasonsOf } from './reasons.ts';
import { readPolicy, readScenario, withPolicies } from './scenario.ts';
import type { ScenarioObject } from './scenario.ts';
import { suggest } from './suggest.ts';
import type { Suggestion } from './suggest.ts';
import { anyPolicyObject } from './testing-cluster.ts';
import { World } from './world.ts';

function pod(namespace: string, name: string, node: string, ip: string | undefined, labels: Record<string, string>, ports: readonly object[] = []): ScenarioObject {
  return { kind: 'Pod', metadata: { namespace, name, labels }, spec: { nodeName: node, containers: [{ name: 'c', ports }] }, ...(ip !== undefined && { status: { podIP: ip } }) };
}

const cluster: readonly ScenarioObject[] = [
  { kind: 'Namespace', metadata: { name: 'x', labels: { team: 'red' } } },
  { kind: 'Namespace', metadata: { name: 'y', labels: { team: 'blue' }, annotations: { 'policy.cirri.io/audit': 'true' } } },
  ...['n1', 'n2'].map((name, i) => ({ kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, zone: i === 0 ? 'east' : 'west' } }, status: { addresses: [{ type: 'InternalIP', address: `172.18.0.${i + 2}` }] } })),
  pod('x', 'a', 'n1', '10.244.0.4', { app: 'a', tier: 'front' }, [{ name: 'web', containerPort: 80 }]),
  pod('x', 'b', 'n1', '10.244.0.5', { app: 'b', tier: 'back' }, [{ name: 'web', containerPort: 8080 }]),
  pod('x', 'c', 'n2', '10.245.0.6', { app: 'c', tier: 'back' }),
  pod('y', 'a', 'n2', '10.244.0.7', { app: 'a', tier: 'front' }, [{ name: 'web', containerPort: 80 }]),
  pod('y', 'b', 'n2', undefined, { app: 'b', tier: 'back' }),
];

function worldOf(policies: readonly ScenarioObject[]): World {
  return new World(readScenario([...cluster, ...policies].map(object => ({ object, place: field => `f:${field}` }))));
}

function ask(world: World, from: string, to: string, port: string) {
  const target = resolveEnd(world, to, 'x');
  return connect(world, resolveEnd(world, from, 'x'), target, resolvePort(target, port));
}

function apply(world: World, suggestion: Suggestion): World {
  const changed = suggestion.changes.map(c => readPolicy({ object: c.object, place: () => '' }, { namespace: 'default', clusterName: 'default' }));
  return new World(withPolicies(world.scenario, changed));
}

const inNamespace = (name: string, app?: string) => ({ pods: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } }, podSelector: app === undefined ? {} : { matchLabels: { app } } } });
const anp = (name: string, priority: number, rest: object, annotations: object = {}): ScenarioObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name, annotations }, spec: { priority, subject: inNamespace('x'), ...rest } });
const banp = (rest: object): ScenarioObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'BaselineAdminNetworkPolicy', metadata: { name: 'default' }, spec: { subject: inNamespace('x'), ...rest } });
const closed = (app: string, annotations: object = {}): ScenarioObject => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: `closed-${app}`, namespace: 'x', annotations }, spec: { podSelector: { matchLabels: { app } }, policyTypes: ['Ingress'] } });
const everyone = [{ namespaces: {} }];

test('a denial of the tier admin says that nobody else was asked; the smallest change is a rule before it that passes this peer on', () => {
  const world = worldOf([anp('guard', 10, { subject: inNamespace('x', 'a'), ingress: [{ action: 'Allow', from: [inNamespace('x', 'c')] }, { name: 'deny-all', action: 'Deny', from: everyone }] })]);
  const [denied] = ask(world, 'x/b', 'x/a', '80').legs;
  assert.match(denied!.steps[1]!.rule.because, /^AdminNetworkPolicy guard \(priority 10, spec\.ingress\[1\] "deny-all"\) denies ingress from .* on any port, before any NetworkPolicy is asked$/);
  const [near] = nearMisses(world, denied!.steps[1]!);
  assert.deepEqual([near!.field, near!.text], ['spec.ingress[0].from[0].pods.podSelector.matchLabels[app]', 'wants app=c; x/b has app=b']);
  const { changes, sideEffects } = suggest(world, denied!)!;
  assert.deepEqual(sideEffects, []);
  assert.deepEqual(changes.map(c => c.jsonPatch), [[{ op: 'add', path: '/spec/ingress/1', value: { action: 'Pass', from: [inNamespace('x', 'b')], ports: [{ portNumber: { protocol: 'TCP', port: 80 } }] } }]]);
});

test('where passing on leads into default deny, the admin policy allows it by itself', () => {
  const world = worldOf([anp('guard', 10, { ingress: [{ action: 'Deny', from: everyone }] }), closed('a')]);
  const { changes } = suggest(world, ask(world, 'x/b', 'x/a', '80').legs[0]!)!;
  assert.deepEqual(changes.map(c => [c.object.kind, (c.edits[0]!.value as { action: string }).action]), [['AdminNetworkPolicy', 'Allow']]);
});

test('a ClusterNetworkPolicy is mended in its own words', () => {
  const world = worldOf([closed('a'), { apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name: 'guard' }, spec: { tier: 'Admin', priority: 1, subject: inNamespace('x'), ingress: [{ action: 'Deny', from: everyone }] } }]);
  const { changes } = suggest(world, ask(world, 'x/b', 'x/a', '53/UDP').legs[0]!)!;
  assert.deepEqual(changes[0]!.edits[0], { op: 'add', path: 'spec.ingress[0]', value: { action: 'Accept', from: [inNamespace('x', 'b')], protocols: [{ udp: { destinationPort: { number: 53 } } }] } });
});

test('a denial of the baseline is answered by a policy of the tier before it, for one pod, or by a rule before it where that does no more', () => {
  const world = worldOf([banp({ egress: [{ action: 'Deny', to: [{ networks: ['0.0.0.0/0'] }] }], ingress: [{ action: 'Deny', from: everyone }] })]);
  const [denied] = ask(world, 'x/b', '192.0.2.9', '443').legs;
  assert.match(denied!.steps[0]!.rule.because, /BaselineAdminNetworkPolicy default \(spec\.egress\[0\]\) denies egress to network 0\.0\.0\.0\/0 on any port, as no NetworkPolicy restricts the endpoint there/);
  const { changes, sideEffects } = suggest(world, denied!)!;
  assert.deepEqual([changes.map(c => [c.kind, c.object.kind, c.object.spec]), sideEffects], [[['new', 'CiliumNetworkPolicy', {
    endpointSelector: { matchLabels: { app: 'b' } }, egress: [{ toCIDR: ['192.0.2.9/32'], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }], enableDefaultDeny: { egress: false },
  }]], []]);
  const narrow = worldOf([banp({ subject: inNamespace('x', 'b'), egress: [{ action: 'Deny', to: [{ networks: ['0.0.0.0/0'] }] }] })]);
  assert.deepEqual(suggest(narrow, ask(narrow, 'x/b', '192.0.2.9', '443').legs[0]!)!.changes.map(c => c.edits[0]), [
    { op: 'add', path: 'spec.egress[0]', value: { action: 'Allow', to: [{ networks: ['192.0.2.9/32'] }], ports: [{ portNumber: { protocol: 'TCP', port: 443 } }] } },
  ]);
  // ICMP cannot be written in rules with ports: a new Cilium policy that closes nothing.
  const ping = resolveEnd(world, 'x/a');
  const icmp = suggest(world, connect(world, resolveEnd(world, 'x/c'), ping, resolvePort(ping, undefined, 'ICMP')).legs[0]!)!;
  assert.ok(icmp.changes.every(c => c.object.kind === 'CiliumNetworkPolicy' && c.kind === 'new'));
  assert.deepEqual(icmp.sideEffects, []);
});

test('what was passed on, what audit spares and what shadow would do is said', () => {
  const world = worldOf([
    anp('first', 1, { ingress: [{ name: 'apps', action: 'Pass', from: everyone }, { action: 'Deny', from: everyone }] }),
    closed('a'), closed('b', { 'policy.cirri.io/mode': 'audit' }), closed('c', { 'policy.cirri.io/mode': 'shadow', 'policy.cirri.io/established': 'keep' }),
  ]);
  const step = (to: string) => ask(world, 'x/b', to, '80').legs[0]!.steps.at(-1)!;
  assert.deepEqual(reasonsOf(world, step('x/a')), ['before that, AdminNetworkPolicy first (priority 1, spec.ingress[0] "apps") passes ingress from endpoints k8s:io.cilium.k8s.policy.cluster=default, k8s:io.kubernetes.pod.namespace on any port on to the next tier']);
  const audited = ask(world, 'x/c', 'x/b', '80').legs[0]!;
  assert.equal(audited.verdict, 'audit');
  assert.match(reasonsOf(world, audited.steps.at(-1)!).join('\n'), /not enforced: among the policies that close the endpoint only those in audit do/);
  assert.match(audited.steps.at(-1)!.rule.because, /closed-b puts the endpoint into default deny/);
  assert.equal(step('x/c').verdict, 'allow');
  assert.match(reasonsOf(world, step('x/c')).at(-1)!, /^with the shadow policies: DENY — NetworkPolicy x\/closed-c puts the endpoint into default deny/);
});

test('a namespace in audit lets pass what is denied in it', () => {
  const world = worldOf([anp('guard', 1, { subject: inNamespace('y'), ingress: [{ action: 'Deny', from: everyone }] })]);
  const { verdict, legs } = ask(world, 'x/a', 'y/a', '80');
  assert.equal(verdict, 'audit');
  assert.match(reasonsOf(world, legs[0]!.steps[1]!)[0]!, /namespace y is in audit \(policy\.cirri\.io\/audit: "true"\)/);
  assert.equal(suggest(world, legs[0]!)?.changes.length, 0);
});

test('networks select pods by their addresses, as destinations only; a pod without an address is named', () => {
  const world = worldOf([anp('net', 1, { egress: [{ action: 'Deny', to: [{ networks: ['10.244.0.0/16'] }] }] })]);
  assert.deepEqual(['x/a', 'y/a', 'x/c', '10.244.9.9', 'y/b'].map(to => ask(world, 'x/b', to, '80').verdict), ['deny', 'deny', 'allow', 'deny', 'allow']);
  assert.match(ask(world, 'x/b', 'y/b', '80').notes[0]!, /y\/b has no address yet: rules with networks/);
});

test('nodes are told apart by their labels, and answer for themselves where policies are for nodes', () => {
  const world = worldOf([
    anp('nodes', 1, { egress: [{ action: 'Deny', to: [{ nodes: { matchLabels: { zone: 'east' } } }] }] }),
    { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'west' }, spec: { nodeSelector: { matchLabels: { zone: 'west' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'c' } }] }] } },
  ]);
  const verdicts = (from: string, ...to: string[]) => to.map(t => ask(world, from, t, '22').legs[0]!).map(l => `${l.verdict} ${l.steps.map(s => s.direction).join()}`);
  assert.deepEqual(verdicts('x/a', 'node:n1', 'node:n2', 'host', '172.18.0.2'), Array(4).fill('deny egress,ingress'));
  assert.deepEqual(verdicts('x/c', 'node:n1', 'host', 'node:n2'), ['deny egress,ingress', 'allow egress,ingress', 'allow egress,ingress']);
  assert.deepEqual(verdicts('world', 'node:n1', 'node:n2'), ['allow ingress', 'deny ingress']);
  const { changes, sideEffects } = suggest(world, ask(world, '192.0.2.7', 'node:n2', '22').legs[0]!)!;
  assert.deepEqual([changes.map(c => c.object.metadata?.name), sideEffects], [['west'], []]);
});

test('what a node sends to its own pods and to API servers is not asked about, whatever its policies say', () => {
  const closed = worldOf([{ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'nodes' }, spec: { nodeSelector: {}, egress: [{}] } }]);
  const asked = (to: string) => ask(closed, 'node:n1', to, '80').legs[0]!.steps.filter(s => s.direction === 'egress').map(s => s.verdict);
  const own = closed.scenario.pods.find(p => p.node === 'n1')!, other = closed.scenario.pods.find(p => p.node === 'n2')!;
  assert.deepEqual([`${own.namespace}/${own.name}`, 'kube-apiserver', `${other.namespace}/${other.name}`].map(asked), [[], [], ['deny']]);
});

// ---- random worlds of all kinds ----

const policySets = fc.array(anyPolicyObject as fc.Arbitrary<ScenarioObject>, { minLength: 1, maxLength: 5 });

test('a suggested change flips the verdict, and the rest of the matrix only as it says, with every kind and mode', () => {
  let suggested = 0;
  fc.assert(fc.property(policySets, fc.constantFrom('x/a', 'x/b', 'x/c', 'y/a', 'world', '10.1.2.3', 'node:n1', 'kube-apiserver'), fc.constantFrom('x/a', 'x/b', 'y/b', '10.1.2.3', 'node:n2'), fc.constantFrom('80', '8080', '53/UDP', '443'), (policies, from, to, port) => {
    const world = worldOf(policies);
    const denied = ask(world, from, to, port).legs[0]!;
    if (denied.verdict !== 'deny' || from === to) return;
    const suggestion = suggest(world, denied);
    if (!suggestion) return;
    suggested++;
    const after = apply(world, suggestion);
    assert.notEqual(leg(after, denied.from, denied.to, denied.protocol, denied.port).verdict, 'deny');
    const prefixes = [from, to].filter(t => /^\d/.test(t)).map(hostPrefix);
    const { differences } = diffWorlds(world, after, { entities: true, prefixes, ...(`${from} ${to}`.includes('node') && { nodes: true }) });
    const listed = new Set(suggestion.sideEffects.map(e => `${e.from}→${e.to}`));
    for (const d of differences) {
      if (listed.has(`${d.from}→${d.to}`)) continue;
      assert.equal(`${d.from}→${d.to}`, `${partyName(from)}→${partyName(to)}`, JSON.stringify([d, suggestion]));
      assert.deepEqual([d.gained.map(({ protocol, start, end }) => [protocol, start, end]), d.lost], [[[denied.protocol, denied.port, denied.port]], []]);
    }
  }), { numRuns: 300 });
  assert.ok(suggested > 15, `only ${suggested} suggestions were tried`);
});

function partyName(text: string): string {
  return /^\d/.test(text) ? hostPrefix(text) : text.replace(':', ' ');
}

test('the world decides as the evaluator reads, with every kind and mode', () => {
  fc.assert(fc.property(policySets, fc.constantFrom(80, 8080, 53, 443), fc.constantFrom(6, 17), (policies, port, protocol) => {
    const world = worldOf(policies);
    const around = { policies: world.policies, services: world.scenario.services, cidrGroups: world.scenario.groups };
    for (const member of [...world.scenario.pods.slice(0, 3).map(p => world.memberOf(p)!), world.nodeMember('n1')!]) {
      for (const peer of world.engine.identities.keys()) {
        for (const direction of ['ingress', 'egress'] as const) {
          const decision = world.decide(member.subject, direction, peer, protocol, port);
          const plain = evaluate(around, member.subject, direction, world.viewOf(peer), protocol, port);
          assert.deepEqual([decision.verdict, decision.rule.address, decision.shadow && [decision.shadow.verdict, decision.shadow.rule.address]], [plain.verdict, plain.rule, plain.shadow && [plain.shadow.verdict, plain.shadow.rule]]);
        }
      }
    }
  }), { numRuns: 40 });
});

test('access holds for every port what a decision says, with every kind and mode', () => {
  fc.assert(fc.property(policySets, fc.integer({ min: 0, max: 65535 }), fc.constantFrom(6, 17), (policies, port, protocol) => {
    const world = worldOf(policies);
    const table = new AccessTable(world);
    const parties = partiesOf(world, { entities: true, nodes: true });
    for (const from of parties) {
      for (const to of parties) {
        const spans = table.between(from.end, to.end);
        for (const at of [port, 80, 443, 8080]) {
          const span = spans.find(s => s.protocol === protocol && s.start <= at && at <= s.end);
          assert.equal(span === undefined ? 'deny' : span.audit ? 'audit' : 'allow', leg(world, from.end, to.end, protocol, at).verdict);
        }
      }
    }
  }), { numRuns: 20 });
});
