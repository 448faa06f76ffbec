import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ObservedEnd, ObservedPair } from '../model/observed.ts';
import { identityLabels } from '../model/identity.ts';
import { recommend, type Recommendation, type RecommendOptions } from './recommend.ts';
import { writtenNames, writtenPrefixes } from './recommend-outside.ts';
import { replay } from './replay.ts';
import { readPolicy, readScenario, withPolicies, type Scenario, type ScenarioObject } from './scenario.ts';

const empty = readScenario([]);

function pod(namespace: string, app: string, extra: Readonly<Record<string, string>> = {}): ObservedEnd {
  return { identity: 1000, namespace, workload: { kind: 'Deployment', name: app }, podName: `${app}-1`, labels: identityLabels({ namespace, labels: { app, ...extra } }, {}, 'default').array };
}

const host: ObservedEnd = { identity: 1, labels: ['reserved:host'], ip: '172.30.0.11' };
const apiServer: ObservedEnd = { identity: 7, labels: ['reserved:kube-apiserver', 'reserved:remote-node'], ip: '172.30.0.1' };
const world = (ip: string, ...names: string[]): ObservedEnd => ({ identity: 9, labels: ['reserved:world', 'reserved:world-ipv4'], ip, ...(names.length > 0 && { names }) });

function pair(direction: ObservedPair['direction'], source: ObservedEnd, destination: ObservedEnd, port: number, more: Partial<ObservedPair> = {}): ObservedPair {
  return { direction, source, destination, protocol: 'TCP', port, verdict: 'FORWARDED', count: 10, first: '2026-11-01T00:00:00Z', last: '2026-11-02T00:00:00Z', ...more };
}

/** The scenario with the proposals in force. Fails on one that is no valid policy. */
function adopted({ proposals }: Recommendation, scenario: Scenario = empty): Scenario {
  return withPolicies(scenario, proposals.map(({ policy }) => {
    const read = readPolicy({ object: policy as unknown as ScenarioObject, place: () => '' }, { namespace: 'default', clusterName: 'default' });
    assert.deepEqual(read.errors, [], JSON.stringify(policy, null, 1));
    return read;
  }));
}

test('a namespace of three: one policy a workload, with selectors, names and entities', () => {
  const { proposals } = recommend(empty, [
    pair('INGRESS', pod('shop', 'web'), pod('shop', 'api'), 8080),
    pair('EGRESS', pod('shop', 'web'), pod('shop', 'api'), 8080),
    pair('EGRESS', pod('shop', 'api'), pod('data', 'db'), 5432),
    pair('EGRESS', pod('shop', 'api'), world('203.0.113.7', 'api.stripe.com.'), 443),
    pair('EGRESS', pod('shop', 'api'), apiServer, 6443),
    pair('INGRESS', world('198.51.100.1'), pod('shop', 'web'), 443),
  ], { namespace: 'shop' });
  assert.deepEqual(proposals.map(({ workload }) => workload), ['api', 'web']);
  const [api, web] = proposals.map(({ policy }) => policy.spec);
  assert.deepEqual(api!.endpointSelector, { matchLabels: { app: 'api' } });
  assert.deepEqual(api!.ingress, [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }] }]);
  assert.deepEqual(api!.egress, [
    { toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'data', app: 'db' } }], toPorts: [{ ports: [{ port: '5432', protocol: 'TCP' }] }] },
    { toEntities: ['kube-apiserver'], toPorts: [{ ports: [{ port: '6443', protocol: 'TCP' }] }] },
    { toFQDNs: [{ matchName: 'api.stripe.com' }], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] },
  ]);
  assert.deepEqual(web!.ingress, [{ fromCIDR: ['198.51.100.1/32'], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }]);
});

test('what was denied or rare is left out, and said', () => {
  const pairs = [
    pair('INGRESS', pod('shop', 'web'), pod('shop', 'api'), 8080),
    pair('INGRESS', pod('shop', 'stranger'), pod('shop', 'api'), 8080, { verdict: 'DROPPED' }),
    pair('INGRESS', pod('shop', 'web'), pod('shop', 'api'), 9090, { count: 1 }),
  ];
  const found = recommend(empty, pairs, { namespace: 'shop', minConnections: 2 });
  assert.deepEqual(found.left.map(({ pair: { port }, reason }) => [port, reason]), [[8080, 'denied'], [9090, 'rare']]);
  const result = replay(adopted(found), pairs);
  assert.deepEqual(result.denied.map(row => row.pair.port), [9090]);
  assert.match(result.denied[0]!.rule.because, /api/);
  assert.equal(result.allowed.length, 0);
});

test('what left a pod and was denied where it arrived did not pass', () => {
  const stranger = pod('shop', 'stranger');
  const found = recommend(empty, [
    pair('EGRESS', stranger, pod('shop', 'api'), 8080), pair('INGRESS', stranger, pod('shop', 'api'), 8080, { verdict: 'DROPPED' }),
    pair('EGRESS', pod('shop', 'web'), pod('shop', 'api'), 8080), pair('INGRESS', pod('shop', 'web'), pod('shop', 'api'), 8080),
  ], { namespace: 'shop' });
  assert.deepEqual(found.proposals.map(each => each.workload), ['api', 'web']);
  assert.deepEqual(found.left.map(({ pair: { direction }, reason }) => [direction, reason]), [['EGRESS', 'denied'], ['INGRESS', 'denied']]);
});

test('labels tell apart whom nothing else does, also somebody who is gone', () => {
  const scenario = readScenario([{ object: { kind: 'Pod', metadata: { name: 'x', namespace: 'shop', labels: { app: 'api', track: 'canary' } }, spec: {} }, place: () => '' }]);
  const { proposals } = recommend(scenario, [pair('INGRESS', pod('shop', 'web'), pod('shop', 'api', { track: 'stable' }), 80)], { namespace: 'shop' });
  assert.deepEqual(proposals[0]!.policy.spec.endpointSelector.matchLabels, { track: 'stable' });
});

test('many names below one are a pattern, many addresses are the world', () => {
  assert.deepEqual(writtenNames(['a.s3.example.com.', 'b.s3.example.com', 'c.s3.example.com', 'd.s3.example.com', 'E.s3.example.com', 'x.org']), [{ matchPattern: '*.s3.example.com' }, { matchName: 'x.org' }]);
  assert.deepEqual(writtenNames(['a.com', 'b.com', 'c.com', 'd.com', 'e.com']).length, 5);
  assert.deepEqual(writtenPrefixes(['192.0.2.1', '192.0.2.2', '192.0.2.3', '203.0.113.9', '2001:db8::1']), ['192.0.2.0/24', '2001:db8::1/128', '203.0.113.9/32']);
  assert.equal(writtenPrefixes(Array.from({ length: 9 }, (_, i) => `10.${i}.0.1`)), 'world');
});

const anyPod = fc.record({ ns: fc.constantFrom('shop', 'data'), app: fc.constantFrom('web', 'api', 'db', 'Job_1'), tier: fc.constantFrom('', 'front', 'back') })
  .map(({ ns, app, tier }) => pod(ns, app, tier === '' ? {} : { tier }));
const anyOutside = fc.oneof(
  fc.constant(apiServer), fc.constant({ ...host, identity: 6, labels: ['reserved:remote-node'] }),
  fc.tuple(fc.integer({ min: 0, max: 30 }), fc.constantFrom('', 'api.example.com.', 'a.b.example.org.')).map(([n, name]) => (name === '' ? world(`198.51.${n}.7`) : world(`198.51.${n}.7`, name))),
  fc.integer({ min: 1, max: 9 }).map(n => world(`2001:db8::${n}`)),
);
const anyPair = fc.record({
  direction: fc.constantFrom('INGRESS' as const, 'EGRESS' as const), own: anyPod, other: fc.oneof(anyPod, anyOutside),
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP', 'ICMPv4', 'ICMPv6'), port: fc.integer({ min: 1, max: 65_535 }), verdict: fc.constantFrom('FORWARDED' as const, 'FORWARDED' as const, 'DROPPED' as const, 'AUDIT' as const),
  count: fc.integer({ min: 1, max: 1000 }),
}).map(({ direction, own, other, protocol, port, verdict, count }) =>
  pair(direction, direction === 'EGRESS' ? own : other, direction === 'EGRESS' ? other : own, protocol.startsWith('ICMP') ? port % 20 : port, { protocol, verdict, count }));

test('whatever was seen: the proposals are valid, deny nothing that they were made from, and in their direction all else', () => {
  fc.assert(fc.property(fc.array(anyPair, { minLength: 1, maxLength: 60 }), fc.record({ addresses: fc.boolean(), dnsRules: fc.constant(false) }), (pairs, flags) => {
    const options: RecommendOptions = { namespace: 'shop', ...flags };
    const found = recommend(empty, pairs, options);
    const inForce = adopted(found);
    const left = new Set(found.left.map(row => row.pair));
    assert.deepEqual(replay(inForce, pairs).denied.map(row => row.pair).filter(denied => !left.has(denied)), []);
    // A stranger gets nowhere.
    const subjects = pairs.filter(p => p.verdict !== 'DROPPED').map(p => (p.direction === 'EGRESS' ? p.source : p.destination)).filter(end => end.namespace === 'shop');
    const strange = subjects.map(end => pair('INGRESS', pod('elsewhere', 'stranger'), end, 8080));
    assert.equal(replay(inForce, strange).denied.length, strange.length);
  }), { numRuns: 300 });
});

test('a policy is tried on what was recorded: with the rule, and what would newly pass', () => {
  const object = { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'api', namespace: 'shop' }, spec: { endpointSelector: { matchLabels: { app: 'api' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts: [{ ports: [{ port: '80' }] }] }] } };
  const scenario = readScenario([{ object, place: field => `new.yaml:${field}` }]);
  const result = replay(scenario, [
    pair('INGRESS', pod('shop', 'web'), pod('shop', 'api'), 80, { verdict: 'DROPPED', count: 7 }),
    pair('INGRESS', pod('shop', 'cron'), pod('shop', 'api'), 80, { count: 3 }),
    pair('INGRESS', pod('shop', 'cron'), pod('shop', 'web'), 80, { count: 5 }),
    pair('INGRESS', host, host, 80, { count: 2 }),
  ]);
  assert.deepEqual([result.denied.map(r => r.pair.count), result.allowed.map(r => r.pair.count), result.unchanged, result.unasked, result.connections], [[3], [7], 5, 2, 17]);
  assert.equal(result.allowed[0]!.place, 'new.yaml:spec.ingress[0]');
});
