import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Endpoint, Endpoints, EndpointSlice, Node, Pod, Service } from '../kube/types.ts';
import { isMirrored, planMirror } from './endpoints-mirror.ts';
import { planSlices } from './endpointslices.ts';
import { hintsFor, preferenceOf, zoneShares } from './topology-hints.ts';

const endpoint = (n: number, zone: string | undefined, ready = true): Endpoint => ({ addresses: [`10.0.0.${n}`], nodeName: `n${n}`, conditions: { ready }, ...(zone === undefined ? {} : { zone }) });
const service = (spec: object = {}, annotations: Record<string, string> = {}): Service => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'n', uid: 's', annotations }, spec: { selector: { app: 'web' }, clusterIP: '10.96.0.9', ipFamilies: ['IPv4'], ports: [{ port: 80 }], ...spec } });
const node = (name: string, zone: string | undefined, cpu: string, more: object = {}): Node => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, ...(zone === undefined ? {} : { labels: { 'topology.kubernetes.io/zone': zone } }) }, spec: {}, status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: 'True' }] }, ...more });

test('a service says by field or annotation how near its traffic is to stay', () => {
  assert.equal(preferenceOf(service()), undefined);
  for (const value of ['PreferClose', 'PreferSameZone']) assert.equal(preferenceOf(service({ trafficDistribution: value })), 'zone');
  assert.equal(preferenceOf(service({ trafficDistribution: 'PreferSameNode' })), 'node');
  assert.equal(preferenceOf(service({ trafficDistribution: 'PreferClose' }, { 'service.kubernetes.io/topology-mode': 'Auto' })), 'auto', 'the annotation counts');
});

test('near endpoints are meant for their own zone, and with PreferSameNode for their own node before that', () => {
  assert.deepEqual(hintsFor([endpoint(1, 'a'), endpoint(2, undefined)], 'zone', undefined), [{ forZones: [{ name: 'a' }] }, undefined]);
  assert.deepEqual(hintsFor([endpoint(1, 'a')], 'node', undefined), [{ forZones: [{ name: 'a' }], forNodes: [{ name: 'n1' }] }]);
  assert.deepEqual(hintsFor([endpoint(1, 'a')], undefined, undefined), [undefined]);
});

test('zones count by the processors of their nodes; one node without a zone leaves all without', () => {
  const shares = zoneShares([node('1', 'a', '2'), node('2', 'a', '1000m'), node('3', 'b', '1'), node('4', 'b', '9', { status: { allocatable: { cpu: '9' }, conditions: [] } })]);
  assert.deepEqual([...shares!], [['a', 0.75], ['b', 0.25]]);
  assert.equal(zoneShares([node('1', 'a', '2'), node('2', undefined, '2')]), undefined);
});

test('in proportion: each zone has its part, its own endpoints first; without hints where that would burden one by more than a fifth', () => {
  const zones = fc.constantFrom('a', 'b', 'c');
  fc.assert(fc.property(fc.array(zones, { maxLength: 40 }), fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 })), (list, cpus) => {
    const total = cpus[0] + cpus[1] + cpus[2];
    const shares = new Map([['a', cpus[0] / total], ['b', cpus[1] / total], ['c', cpus[2] / total]]);
    const endpoints = list.map((zone, i) => endpoint(i, zone));
    const hints = hintsFor(endpoints, 'auto', shares);
    if (hints.every(hint => hint === undefined)) {
      assert.ok(list.length < 20 || [...shares].some(([, share]) => share * list.length < 6), 'with many endpoints there is always a way');
      return;
    }
    for (const [zone, share] of shares) {
      const count = hints.filter(hint => hint!.forZones![0]!.name === zone).length;
      assert.ok(count >= 1 && share * list.length <= count * 1.2 + 1e-9);
      const moved = hints.filter((hint, i) => list[i] === zone && hint!.forZones![0]!.name !== zone).length;
      const foreign = hints.filter((hint, i) => list[i] !== zone && hint!.forZones![0]!.name === zone).length;
      assert.ok(moved === 0 || foreign === 0, 'nobody leaves a zone that takes others in');
    }
  }));
});

test('weights of pods stand on their slice, and hints on their endpoints; both go when the pods say nothing', () => {
  const pod = (n: number, weight?: string): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name: `p${n}`, namespace: 'n', uid: `u${n}`, labels: { app: 'web' }, ...(weight === undefined ? {} : { annotations: { 'service.cirri.io/weight': weight } }) },
    spec: { nodeName: 'n1', containers: [] }, status: { phase: 'Running', podIPs: [{ ip: `10.0.0.${n}` }], conditions: [{ type: 'Ready', status: 'True' }] },
  });
  const nodeOf = () => node('n1', 'a', '1');
  const [made] = planSlices(service({ trafficDistribution: 'PreferClose' }), [pod(1, '10'), pod(2), pod(3, '0'), pod(4, 'many')], [], nodeOf).create as unknown as EndpointSlice[];
  assert.equal(made!.metadata.annotations!['service.cirri.io/weights'], '{"10.0.0.1":10,"10.0.0.3":0}');
  assert.deepEqual(made!.endpoints!.map(e => e.hints?.forZones?.[0]?.name), ['a', 'a', 'a', 'a']);
  const stored = { ...made!, metadata: { ...made!.metadata, name: 's' } };
  const [changed] = planSlices(service(), [pod(1), pod(2), pod(3), pod(4)], [stored], nodeOf).update;
  assert.equal(changed!.metadata.annotations!['service.cirri.io/weights'], undefined);
  assert.deepEqual(changed!.endpoints!.map(e => e.hints), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(planSlices(service(), [pod(1), pod(2), pod(3), pod(4)], [changed!], nodeOf).update, []);
});

test('Endpoints that somebody wrote become slices, by family and ports; the second look changes nothing', () => {
  const plain = service({ selector: undefined });
  const endpoints = (subsets: Endpoints['subsets'] & object, labels: Record<string, string> = {}): Endpoints => ({ apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 'web', namespace: 'n', uid: 'e', labels }, subsets });
  const some = endpoints([{ addresses: [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }], notReadyAddresses: [{ ip: '192.0.2.2' }], ports: [{ port: 80 }] }]);
  const made = planMirror(some, plain, []).create.map((slice, i) => ({ ...slice, metadata: { ...slice.metadata, name: `s${i}` } })) as unknown as EndpointSlice[];
  assert.deepEqual(made.map(s => `${s.addressType} ${s.ports![0]!.port} ${s.endpoints!.map(e => `${e.addresses[0]} ${e.conditions!.ready}`).join(', ')}`), ['IPv4 80 192.0.2.1 true, 192.0.2.2 false', 'IPv6 80 2001:db8::1 true']);
  assert.equal(made[0]!.metadata.labels!['kubernetes.io/service-name'], 'web');
  assert.deepEqual(planMirror(some, plain, made), { create: [], update: [], remove: [] });
  const next = planMirror(endpoints([{ addresses: [{ ip: '192.0.2.9' }], ports: [{ port: 81 }] }]), plain, made);
  assert.deepEqual([next.create.length, next.update.map(s => s.metadata.name), next.remove.map(s => s.metadata.name)], [0, ['s0'], ['s1']]);
  assert.equal(isMirrored(some, plain), true);
  assert.equal(isMirrored(some, service()), false, 'a selector has slices of its own');
  assert.equal(isMirrored(endpoints([], { 'endpointslice.kubernetes.io/skip-mirror': 'true' }), plain), false);
  assert.equal(isMirrored(endpoints([], { 'endpoints.kubernetes.io/managed-by': 'endpoint-controller' }), plain), false);
});
