import assert from 'node:assert/strict';
import { test } from 'node:test';
import { objectKey } from '../kube/reflector.ts';
import type { EndpointSlice, KubeObject, Service as KubeService } from '../kube/types.ts';
import type { CidrGroup, Service } from '../policy/compile.ts';
import { Table } from '../table/table.ts';
import { NamedObjects } from './named-objects.ts';

function world() {
  const [services, slices, groups] = [new Table<KubeService>('services', objectKey), new Table<EndpointSlice>('slices', objectKey), new Table<KubeObject>('groups', objectKey)];
  const told: string[] = [];
  const [known, ranges] = [new Map<string, Service | undefined>(), new Map<string, CidrGroup | undefined>()];
  const named = new NamedObjects({ services, slices, groups, engine: {
    setService: (key, service) => { told.push(key); known.set(key, service); },
    setCidrGroup: (name, group) => { told.push(name); ranges.set(name, group); },
  } });
  const take = () => {
    told.length = 0;
    named.takeGroups();
    named.takeServices();
    return told.sort();
  };
  return { services, slices, groups, known, ranges, named, take };
}

const service = (name: string): KubeService => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'x' }, spec: {} }) as unknown as KubeService;
const slice = (name: string, of: string, ...addresses: string[]): EndpointSlice =>
  ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'x', labels: { 'kubernetes.io/service-name': of } }, addressType: 'IPv4', endpoints: [{ addresses }] }) as unknown as EndpointSlice;

test('the engine hears of the services that changed, with the addresses of all their slices', () => {
  const w = world();
  w.services.upsert(service('a'), service('b'));
  w.slices.upsert(slice('a1', 'a', '192.0.2.1'), slice('a2', 'a', '192.0.2.2'), slice('b1', 'b', '192.0.2.9'));
  assert.deepEqual(w.take(), ['x/a', 'x/b']);
  assert.deepEqual(w.known.get('x/a')?.addresses, ['192.0.2.1', '192.0.2.2']);
  w.slices.upsert(slice('a2', 'a', '192.0.2.3'));
  assert.deepEqual(w.take(), ['x/a'], 'the others are not touched');
  assert.deepEqual(w.known.get('x/a')?.addresses, ['192.0.2.1', '192.0.2.3']);
  w.slices.upsert(slice('a2', 'b', '192.0.2.3'));
  assert.deepEqual(w.take(), ['x/a', 'x/b'], 'a slice that moves concerns both');
  assert.deepEqual([w.known.get('x/a')?.addresses, w.known.get('x/b')?.addresses], [['192.0.2.1'], ['192.0.2.9', '192.0.2.3']]);
  w.slices.delete('x/a1');
  w.services.delete('x/b');
  assert.deepEqual(w.take(), ['x/a', 'x/b']);
  assert.deepEqual([w.known.get('x/a')?.addresses, w.known.get('x/b')], [[], undefined]);
  assert.deepEqual(w.take(), []);
});

test('groups come and go one by one', () => {
  const w = world();
  const group = (name: string, ...cidrs: string[]): KubeObject => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumCIDRGroup', metadata: { name, labels: { site: 'hq' } }, spec: { externalCIDRs: cidrs } });
  w.groups.upsert(group('g', '10.0.0.0/8'), group('h'));
  assert.deepEqual(w.take(), ['g', 'h']);
  w.groups.upsert(group('g', '10.0.0.0/9'));
  assert.deepEqual(w.take(), ['g']);
  assert.deepEqual(w.ranges.get('g')?.cidrs, ['10.0.0.0/9']);
  w.groups.delete('h');
  assert.deepEqual([w.take(), w.ranges.get('h'), [...w.named.groups].length], [['h'], undefined, 1]);
});
