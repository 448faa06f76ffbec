import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readScenario } from '../scenario.ts';
import type { ScenarioObject } from '../scenario.ts';
import { anyPolicyObject } from '../testing-cluster.ts';
import { World } from '../world.ts';
import { lint } from './lint.ts';

const cluster: readonly ScenarioObject[] = [
  { kind: 'Namespace', metadata: { name: 'x', labels: { team: 'red' } } }, { kind: 'Namespace', metadata: { name: 'y', annotations: { 'policy.cirri.io/audit': 'true' } } },
  { kind: 'Node', metadata: { name: 'n1', labels: { zone: 'east' } } },
  ...['x', 'y'].flatMap(ns => ['a', 'b', 'c'].map((app, i) => ({
    kind: 'Pod', metadata: { namespace: ns, name: app, labels: { app, tier: i === 0 ? 'front' : 'back' } }, spec: { nodeName: 'n1', containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 80 }] }] },
    status: { podIP: `10.244.${ns === 'x' ? 0 : 1}.${i + 1}` },
  }))),
];

function worldOf(policies: readonly ScenarioObject[]): World {
  return new World(readScenario([...cluster, ...policies].map(object => ({ object, place: field => `f.yaml:${field.length}` }))));
}

const ns = (name: string) => ({ namespaces: { matchLabels: { 'kubernetes.io/metadata.name': name } } });
const pods = (app: string) => ({ pods: { namespaceSelector: {}, podSelector: { matchLabels: { app } } } });
const all = [{ namespaces: {} }];
const anp = (spec: object, metadata: object = {}): ScenarioObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'AdminNetworkPolicy', metadata: { name: 'a', ...metadata }, spec: { priority: 1, subject: ns('x'), ...spec } });
const banp = (spec: object): ScenarioObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha1', kind: 'BaselineAdminNetworkPolicy', metadata: { name: 'default' }, spec: { subject: ns('x'), ...spec } });
const clusterPolicy = (name: string, spec: object): ScenarioObject => ({ apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name }, spec: { tier: 'Admin', priority: 1, subject: ns('x'), ...spec } });
const knp = (spec: object, metadata: object = {}): ScenarioObject => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'k', namespace: 'x', ...metadata }, spec: { podSelector: {}, ...spec } });
const mode = (value: string) => ({ annotations: { 'policy.cirri.io/mode': value } });
const deny = { action: 'Deny', from: all };
const fromA = { from: [{ podSelector: { matchLabels: { app: 'a' } } }] };
const l7 = (name: string, rules: object): ScenarioObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x' }, spec: { endpointSelector: { matchLabels: { app: 'a' } }, ingress: [{ fromEndpoints: [{}], toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules }] }] } });

/** Code, policies that have it, where it is found, and the same policies mended. */
const fixtures: readonly (readonly [code: string, bad: readonly ScenarioObject[], field: string, good: readonly ScenarioObject[]])[] = [
  ['invalid', [{ ...banp({ ingress: [deny] }), metadata: { name: 'base' } }], 'metadata.name', [banp({ ingress: [deny] })]],
  ['duplicate', [banp({ ingress: [deny] }), banp({ egress: [{ action: 'Deny', to: all }] })], 'metadata.name', [banp({ ingress: [deny] })]],
  ['api-version', [{ ...anp({ ingress: [deny] }), apiVersion: 'policy.networking.k8s.io/v1' }], 'apiVersion', [anp({ ingress: [deny] })]],
  ['equal-priority', [anp({ ingress: [deny] }), clusterPolicy('b', { ingress: [{ action: 'Accept', from: [pods('a')] }] })], 'spec.priority', [anp({ ingress: [deny] }), clusterPolicy('b', { priority: 2, ingress: [{ action: 'Accept', from: [pods('a')] }] })]],
  ['equal-priority', [anp({ ingress: [deny] }), anp({ ingress: [{ action: 'Allow', from: [pods('a')] }], subject: pods('a') }, { name: 'b' })], 'spec.priority', [anp({ ingress: [deny] }), anp({ ingress: [deny], subject: ns('y') }, { name: 'b' })]],
  ['unreachable', [anp({ ingress: [deny, { action: 'Allow', from: [pods('a')] }] })], 'spec.ingress[1]', [anp({ ingress: [{ action: 'Allow', from: [pods('a')] }, deny] })]],
  ['unreachable', [anp({ ingress: [{ action: 'Pass', from: all }] }), anp({ priority: 2, ingress: [deny] }, { name: 'b' })], 'spec.ingress[0]', [anp({ priority: 3, ingress: [{ action: 'Pass', from: [pods('a')] }] }), anp({ priority: 2, ingress: [{ action: 'Deny', from: [pods('b')] }] }, { name: 'b' })]],
  ['redundant', [anp({ ingress: [deny, { action: 'Deny', from: [pods('a')], ports: [{ portNumber: { port: 80, protocol: 'TCP' } }] }] })], 'spec.ingress[1]', [anp({ ingress: [{ action: 'Deny', from: [pods('a')] }, deny] })]],
  ['shadowed', [anp({ ingress: [deny] }), knp({ ingress: [fromA] })], 'spec.ingress[0]', [anp({ ingress: [{ action: 'Pass', from: [pods('a')] }, deny] }), knp({ ingress: [fromA] })]],
  ['pass-to-nobody', [anp({ ingress: [{ action: 'Pass', from: all }] })], 'spec.ingress[0]', [anp({ ingress: [{ action: 'Pass', from: all }] }), knp({ ingress: [fromA] })]],
  ['pass-to-nobody', [clusterPolicy('b', { tier: 'Baseline', ingress: [{ action: 'Pass', from: all }] })], 'spec.ingress[0]', [clusterPolicy('b', { tier: 'Baseline', ingress: [{ action: 'Accept', from: all }] })]],
  ['baseline-not-asked', [banp({ ingress: [deny] }), knp({ ingress: [fromA] })], 'spec.ingress', [banp({ ingress: [deny] }), knp({ ingress: [fromA], podSelector: { matchLabels: { app: 'b' } } })]],
  ['networks-and-pods', [anp({ egress: [{ action: 'Deny', to: [{ networks: ['192.0.2.0/24', '10.0.0.0/8'] }] }] })], 'spec.egress[0].to[0].networks[1]', [anp({ egress: [{ action: 'Deny', to: [{ networks: ['192.0.2.0/24'] }] }] })]],
  ['selects-nothing', [anp({ ingress: [deny], subject: pods('z') })], 'spec.subject.pods', [anp({ ingress: [deny], subject: pods('a') })]],
  ['selects-nothing', [{ apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'h' }, spec: { nodeSelector: { matchLabels: { zone: 'west' } }, ingress: [{}] } }], 'spec.nodeSelector', []],
  ['peer-matches-nothing', [anp({ egress: [{ action: 'Deny', to: [{ networks: ['192.0.2.0/24', '198.51.100.0/24'] }, pods('z')] }] })], 'spec.egress[0].to[1]', [anp({ egress: [{ action: 'Deny', to: [pods('a')] }] })]],
  ['port-not-listening', [anp({ ingress: [{ action: 'Allow', from: all, ports: [{ portNumber: { port: 80, protocol: 'TCP' } }, { portNumber: { port: 81, protocol: 'TCP' } }] }] })], 'spec.ingress[0].ports[1]', [anp({ ingress: [{ ...deny, ports: [{ portNumber: { port: 81, protocol: 'TCP' } }] }] })]],
  ['port-name-unknown', [clusterPolicy('b', { ingress: [{ action: 'Accept', from: all, protocols: [{ destinationNamedPort: 'wbe' }] }] })], 'spec.ingress[0].protocols[0]', [clusterPolicy('b', { ingress: [{ action: 'Accept', from: all, protocols: [{ destinationNamedPort: 'web' }] }] })]],
  ['empty-means-any', [anp({ subject: { pods: { podSelector: { matchLabels: { app: 'a' } } } }, ingress: [deny] })], 'spec.subject.pods', [anp({ subject: pods('a'), ingress: [deny] })]],
  ['in-audit', [knp({ ingress: [fromA] }, mode('audit'))], 'metadata.annotations[policy.cirri.io/mode]', [knp({ ingress: [fromA] }, mode('enforce'))]],
  ['in-shadow', [anp({ ingress: [deny] }, mode('shadow'))], 'metadata.annotations[policy.cirri.io/mode]', [anp({ ingress: [deny] })]],
  ['unknown-annotation', [knp({ ingress: [fromA] }, { annotations: { 'policy.cirri.io/audit': 'true' } })], 'metadata.annotations[policy.cirri.io/audit]', [knp({ ingress: [fromA] }, mode('audit'))]],
  ['pods-in-audit', [anp({ ingress: [deny], subject: ns('y') })], 'metadata.name', [anp({ ingress: [deny] })]],
  ['l7-conflict', [l7('a', { http: [{ method: 'GET' }] }), l7('b', { kafka: [{ topic: 't' }] })], 'spec.ingress[0].toPorts[0].rules', [l7('a', { http: [{ method: 'GET' }] }), l7('b', { http: [{ method: 'PUT' }] })]],
];

for (const [code, bad, field, good] of fixtures) {
  test(`${code} is found at ${field}, and not when it is mended`, () => {
    const found = lint(worldOf(bad)).filter(f => f.code === code);
    assert.ok(found.length > 0, `found only ${JSON.stringify(lint(worldOf(bad)).map(f => [f.code, f.field]))}`);
    assert.deepEqual(found.map(f => f.field), found.map(() => field));
    assert.ok(found.every(f => f.place === `f.yaml:${field.length}` && f.message !== '' && f.mend !== ''));
    assert.deepEqual(lint(worldOf(good)).filter(f => f.code === code), []);
  });
}

test('a sound set of ordered policies gives no finding: what is said of allow and deny lists is not said of them', () => {
  const sound = [
    anp({ ingress: [{ action: 'Allow', from: [pods('a')] }, { action: 'Pass', from: [pods('b')] }, deny], egress: [{ action: 'Deny', to: [{ networks: ['192.0.2.0/24'] }] }] }),
    banp({ egress: [{ action: 'Allow', to: [pods('b')] }, { action: 'Deny', to: all }] }), knp({ ingress: [{ from: [{ podSelector: { matchLabels: { app: 'b' } } }] }] }),
  ];
  assert.deepEqual(lint(worldOf(sound)).map(f => [f.code, f.field]), []);
});

test('what is called redundant, unreachable or shadowed can go without a change of any verdict, with every kind and mode', () => {
  let tried = 0;
  fc.assert(fc.property(fc.uniqueArray(anyPolicyObject as fc.Arbitrary<ScenarioObject>, { selector: o => `${String(o.kind)} ${JSON.stringify([o.metadata?.namespace, o.metadata?.name])}`, minLength: 1, maxLength: 5 }), policies => {
    const world = worldOf(policies);
    for (const { code, policy, field } of lint(world).filter(f => ['redundant', 'shadowed', 'unreachable'].includes(f.code))) {
      tried++;
      const less = world.scenario.policies.map(p => (p.address !== policy || !p.policy ? p : { ...p, policy: { ...p.policy, specs: p.policy.specs.map(s => ({ ...s, rules: s.rules.filter(r => r.path !== field) })) } }));
      const after = new World({ ...world.scenario, policies: less });
      for (const pod of world.scenario.pods) {
        for (const [peer, { labels }] of world.engine.identities) {
          const there = [...after.engine.identities].find(([, i]) => i.labels.equals(labels))?.[0];
          if (there === undefined) continue;
          for (const direction of ['ingress', 'egress'] as const) {
            for (const [protocol, port] of [[6, 80], [17, 53], [6, 443], [1, 8]] as const) {
              const verdict = (w: World, identity: number) => w.decide(w.memberOf(pod)!.subject, direction, identity, protocol, port).verdict;
              assert.equal(verdict(after, there), verdict(world, peer), `${code} ${policy} ${field}`);
            }
          }
        }
      }
    }
  }), { numRuns: 150 });
  assert.ok(tried > 10, `only ${tried} findings were tried`);
});
