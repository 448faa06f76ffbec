import test from 'node:test';
import assert from 'node:assert/strict';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { BackendRow, ServiceRow } from '../../lb/frontends.ts';
import { parseAddr } from '../../std/ip.ts';
import { ServiceTarget } from './target.ts';

/** The same target on the kernel's own maps; unpinned, so they end with the test. */
function kernelMaps() {
  const maps = {
    services: BpfMap.create(specs.services), serviceSlots: BpfMap.create(specs.serviceSlots),
    backends: BpfMap.create(specs.backends), serviceAddresses: BpfMap.create(specs.serviceAddresses),
  };
  return { ...maps, [Symbol.dispose]: () => Object.values(maps).forEach(map => map.close()) };
}

function backend(n: number): BackendRow {
  const ip = `10.244.${n >> 8}.${n & 255}`;
  return { key: `${ip}:8080/TCP`, addr: parseAddr(ip), port: 8080, state: 'active', nodeName: '' };
}

function row(n: number, backends: readonly BackendRow[]): ServiceRow {
  const ip = `10.96.${n >> 8}.${n & 255}`;
  return { key: `${ip}:80/TCP`, namespace: '', name: `s${n}`, portName: '', type: 'ClusterIP', addr: parseAddr(ip), port: 80, protocol: 6, backends, affinityTimeout: 0 };
}

test('10,000 services go into the kernel, are adopted as they are, change one by one, and leave nothing', t => {
  using maps = kernelMaps();
  const sweeps: (() => void)[] = [];
  const later = (sweep: () => void) => void sweeps.push(sweep);
  const grace = () => { while (sweeps.length > 0) sweeps.shift()!(); };
  const rows = Array.from({ length: 10_000 }, (_, i) => row(i, [backend(3 * i), backend(3 * i + 1), backend(3 * i + 2)]));
  const first = new ServiceTarget({ maps, later });
  const from = process.cpuUsage();
  assert.equal(first.apply(rows).filter(Boolean).length, 0);
  const { user, system } = process.cpuUsage(from);
  grace();
  const sizes = () => [maps.services, maps.serviceSlots, maps.backends, maps.serviceAddresses].map(m => m.count());
  assert.deepEqual(sizes(), [10_000, 30_000, 30_000, 10_000]);

  const second = new ServiceTarget({ maps, later });
  assert.equal([...second.list()].length, 10_000);
  assert.equal(second.idOf(rows[7]!.key), first.idOf(rows[7]!.key));
  const at = performance.now();
  assert.deepEqual(second.apply([row(7, [backend(21), backend(60_000)])]), [undefined]);
  const changeMs = performance.now() - at;
  grace();
  assert.deepEqual(sizes(), [10_000, 29_999, 29_999, 10_000]);
  const service = maps.services.lookup({ addr: rows[7]!.addr, port: 80, protocol: 6, scope: 0 })!;
  assert.equal(service.count, 2);
  const ports = [0, 1].map(slot => maps.backends.lookup({ id: maps.serviceSlots.lookup({ service: service.id, slot })!.backend })!.port);
  assert.deepEqual(ports, [8080, 8080]);
  t.diagnostic(`load ${((user + system) / 1000).toFixed(0)} ms CPU, one change ${changeMs.toFixed(2)} ms`);

  assert.equal(second.remove([...second.list()]).filter(Boolean).length, 0);
  grace();
  assert.deepEqual(sizes(), [0, 0, 0, 0]);
});
