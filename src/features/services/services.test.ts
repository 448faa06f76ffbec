import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { EndpointSlice, Service } from '../../kube/types.ts';
import { objectKey } from '../../kube/reflector.ts';
import { frontends } from '../../lb/frontends.ts';
import type { ServiceRow } from '../../lb/frontends.ts';
import { waitFor } from '../../std/async.ts';
import { silentLogger } from '../../std/log.ts';
import { Table } from '../../table/table.ts';
import { ServiceDerivation } from './desired.ts';
import { fakeServiceMaps } from './fakemaps.ts';
import { startServices } from './start.ts';

const service = (name: string, ip: string): Service => ({
  apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'n' }, spec: { clusterIPs: [ip], ports: [{ port: 80 }] },
});
const slice = (name: string, of: string, ips: readonly string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name, namespace: 'n', labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4', ports: [{ name: '', port: 8080, protocol: 'TCP' }], endpoints: ips.map(ip => ({ addresses: [ip] })),
});

function tables() {
  return { services: new Table<Service>('services', objectKey), slices: new Table<EndpointSlice>('endpointslices', objectKey) };
}

/** All rows from all objects, the plain way. */
function plainly(services: Iterable<Service>, slices: readonly EndpointSlice[]): ServiceRow[] {
  const byKey = new Map<string, { owner: string; row: ServiceRow }>();
  for (const s of services) {
    for (const row of frontends(s, slices.filter(x => x.metadata.labels!['kubernetes.io/service-name'] === s.metadata.name), { nodeName: 'n1' })) {
      const known = byKey.get(row.key);
      if (!known || objectKey(s) < known.owner) byKey.set(row.key, { owner: objectKey(s), row });
    }
  }
  return [...byKey.values()].map(e => e.row).sort((a, b) => (a.key < b.key ? -1 : 1));
}

test('the rows depend on the objects alone, never on the order in which they came', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const ip = fc.constantFrom('10.96.0.1', '10.96.0.2');
  const change = fc.oneof(
    fc.record({ put: fc.tuple(name, ip).map(([n, i]) => service(n, i)) }),
    fc.record({ drop: name }),
    fc.record({ slice: fc.tuple(fc.constantFrom('s1', 's2', 's3'), name, fc.subarray(['10.0.0.1', '10.0.0.2'])).map(([s, of, ips]) => slice(s, of, ips)) }),
    fc.record({ dropSlice: fc.constantFrom('s1', 's2', 's3') }),
    fc.constant({ step: true }),
  );
  fc.assert(fc.property(fc.array(change, { maxLength: 30 }), changes => {
    const { services, slices } = tables();
    const derivation = new ServiceDerivation(services, slices, { nodeName: 'n1' });
    for (const c of changes) {
      if ('put' in c) services.upsert(c.put);
      else if ('drop' in c) services.delete(`n/${c.drop}`);
      else if ('slice' in c) slices.upsert(c.slice);
      else if ('dropSlice' in c) slices.delete(`n/${c.dropSlice}`);
      else derivation.step();
    }
    derivation.step();
    assert.deepEqual([...derivation.table.rows()].sort((a, b) => (a.key < b.key ? -1 : 1)), plainly(services.rows(), [...slices.rows()]));
  }), { numRuns: 300 });
});

test('the rows are synced only when both inputs are', () => {
  const { services, slices } = tables();
  const producers = [services.producer('list'), slices.producer('list')];
  const derivation = new ServiceDerivation(services, slices, { nodeName: 'n1' });
  for (const producer of producers) {
    derivation.step();
    assert.equal(derivation.table.synced, false);
    producer.synced();
  }
  derivation.step();
  assert.equal(derivation.table.synced, true);
});

test('from objects to maps, and names for addresses', async () => {
  const { services, slices } = tables();
  const abort = new AbortController();
  const maps = fakeServiceMaps();
  services.upsert(service('web', '10.96.0.9'));
  slices.upsert(slice('web-1', 'web', ['10.0.0.1', '10.0.0.2']));
  const running = startServices({ services, slices, maps, nodeName: 'n1', log: silentLogger, signal: abort.signal });
  assert.equal(maps.serviceSlots.size, 2);
  assert.deepEqual(running.byAddress('10.96.0.9', 80, 'TCP'), { namespace: 'n', name: 'web' });
  assert.equal(running.byAddress('10.96.0.9', 80, 'UDP'), undefined);
  assert.equal(running.byAddress('nonsense', 80, 'TCP'), undefined);
  slices.upsert(slice('web-1', 'web', ['10.0.0.2']));
  await waitFor('the change', () => maps.services.entries()[0]![1].count === 1);
  assert.deepEqual(running.list().map(s => [s.frontend, s.name, s.backends.map(b => b.address)]), [['10.96.0.9:80/TCP', 'web', ['10.0.0.2:8080/TCP']]]);
  services.delete('n/web');
  await waitFor('nothing', () => maps.services.size === 0);
  abort.abort();
});
