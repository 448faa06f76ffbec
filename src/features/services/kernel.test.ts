import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import * as enums from '../../datapath/generated/enums.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { callBpf, command, objectInfo, setAddress } from '../../ebpf/bpf.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { maglevTable } from '../../lb/maglev.ts';
import { sourceForm } from '../../lb/layout.ts';
import { frontendTypes, rowFlag, scope } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';
import { formatAddr, parseAddr } from '../../std/ip.ts';
import { stable } from '../../sys/memory.ts';
import { close } from '../../sys/native.ts';
import { defaultSettings } from '../../model/settings.ts';
import { KernelMaglevTables } from './maglev-tables.ts';
import { FakeMaglevTables, fakeServiceMaps } from './fakemaps.ts';
import { serviceLimits, ServiceTarget } from './target.ts';
import { anyRows, testBackend as backend, testRow as row } from './testing.ts';

const { hashSeed } = defaultSettings.maglev;

/** The same target on the kernel's own maps; unpinned, so they end with the test. */
function kernelMaps() {
  const maps = {
    services: BpfMap.create(specs.services), serviceSlots: BpfMap.create(specs.serviceSlots),
    backends: BpfMap.create(specs.backends), serviceAddresses: BpfMap.create(specs.serviceAddresses),
    serviceMembers: BpfMap.create(specs.serviceMembers), serviceSources: BpfMap.create(specs.serviceSources), maglev: BpfMap.create(specs.maglev),
  };
  return { ...maps, [Symbol.dispose]: () => Object.values(maps).forEach(map => map.close()) };
}

test('rows speak of flags, scopes, types and forms in the kernel\'s numbers', () => {
  const letters = (name: string) => name.toLowerCase();
  const same = (ours: Readonly<Record<string, number>>, kernel: Readonly<Record<string, number>>) => assert.deepEqual(
    Object.fromEntries(Object.entries(ours).map(([name, n]) => [letters(name), n])), Object.fromEntries(Object.entries(kernel).map(([name, n]) => [letters(name), n])));
  same(rowFlag, enums.ServiceFlag);
  same(scope, enums.ServiceScope);
  same(sourceForm, enums.ServiceSourceForm);
  same(Object.fromEntries(frontendTypes.map((type, n) => [type, n])), enums.ServiceType);
});

test('10,000 services go into the kernel, are adopted as they are, change one by one, and leave nothing', t => {
  using maps = kernelMaps();
  const sweeps: (() => void)[] = [];
  const later = (sweep: () => void) => void sweeps.push(sweep);
  const grace = () => { while (sweeps.length > 0) sweeps.shift()!(); };
  const rows = Array.from({ length: 10_000 }, (_, i) => row(i, [backend(3 * i), backend(3 * i + 1), backend(3 * i + 2)]));
  const first = new ServiceTarget({ maps, maglev: new KernelMaglevTables(maps.maglev), hashSeed, limits: serviceLimits(maps), later });
  const from = process.cpuUsage();
  assert.equal(first.apply(rows).filter(Boolean).length, 0);
  const { user, system } = process.cpuUsage(from);
  grace();
  const sizes = () => [maps.services, maps.serviceSlots, maps.backends, maps.serviceAddresses].map(m => m.count());
  assert.deepEqual(sizes(), [10_000, 30_000, 30_000, 10_000]);

  const second = new ServiceTarget({ maps, maglev: new KernelMaglevTables(maps.maglev), hashSeed, limits: serviceLimits(maps), later });
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
  assert.deepEqual(ports, [80, 80]);
  t.diagnostic(`load ${((user + system) / 1000).toFixed(0)} ms CPU, one change ${changeMs.toFixed(2)} ms`);

  assert.equal(second.remove([...second.list()]).filter(Boolean).length, 0);
  grace();
  assert.deepEqual(sizes(), [0, 0, 0, 0]);
});

/** Address of the backend for each hash, as a packet would find it. */
function tableOf(maps: ReturnType<typeof kernelMaps>, service: number): readonly string[] | undefined {
  const id = maps.maglev.lookup({ id: service });
  if (id === undefined) return undefined;
  const fd = callBpf(command.mapGetFdById, 12, 'opening the inner map', view => view.setUint32(0, id, true));
  try {
    const values = stable(4);
    const key = stable(4);
    const size = objectInfo(fd, 40, 'inner map').getUint32(16, true);
    return Array.from({ length: size }, (_, entry) => {
      key.view.setUint32(0, entry, true);
      callBpf(command.mapLookup, 32, 'reading', view => {
        view.setUint32(0, fd, true);
        setAddress(view, 8, key);
        setAddress(view, 16, values);
      });
      return formatAddr(maps.backends.lookup({ id: values.view.getUint32(0, true) })!.addr);
    });
  } finally {
    close(fd);
  }
}

test('Maglev tables, affinity and source ranges: in the kernel, shared, adopted without a write, replaced whole, gone with their rows', () => {
  using maps = kernelMaps();
  const sweeps: (() => void)[] = [];
  const grace = () => { while (sweeps.length > 0) sweeps.shift()!(); };
  const start = (tables: KernelMaglevTables) => new ServiceTarget({ maps, maglev: tables, hashSeed, limits: serviceLimits(maps), later: sweep => void sweeps.push(sweep) });
  const three = [backend(1), backend(2), backend(3)];
  const rows = [
    row(1, three, { maglev: 251 }), row(2, three, { maglev: 251, affinityTimeout: 60 }),
    row(3, three, { flags: rowFlag.sourceRanges | rowFlag.sourceDeny, sources: ['10.0.0.0/8', 'fd00::/8'] }),
  ];
  const first = start(new KernelMaglevTables(maps.maglev));
  assert.deepEqual(first.apply(rows), [undefined, undefined, undefined]);
  const [a, b, c] = rows.map(r => first.idOf(r.key)!) as [number, number, number];
  const wanted = Array.from(maglevTable(three.map(t => ({ name: t.key, weight: 1 })), { tableSize: 251, hashSeed }), i => formatAddr(three[i]!.addr));
  assert.deepEqual(tableOf(maps, a), wanted);
  assert.equal(maps.maglev.lookup({ id: a }), maps.maglev.lookup({ id: b }), 'equal backends share a table');
  assert.equal(maps.serviceMembers.count(), 3);
  assert.equal(maps.serviceSources.lookup({ prefixBits: 32 + 128, service: c, addr: parseAddr('10.1.2.3') }), 2, 'the trie finds an address by its prefix');

  const before = maps.maglev.lookup({ id: a });
  const second = start(new KernelMaglevTables(maps.maglev));
  second.apply(rows);
  assert.equal(maps.maglev.lookup({ id: a }), before, 'a restart keeps the table');
  second.apply([row(2, three.slice(1), { maglev: 251 })]);
  grace();
  assert.deepEqual(tableOf(maps, a), wanted);
  assert.ok(!tableOf(maps, b)!.includes('10.244.0.1'));
  assert.equal(maps.serviceMembers.count(), 0);
  second.remove(rows.map(r => r.key));
  grace();
  assert.deepEqual([maps.maglev, maps.serviceSources, maps.backends].map(m => m.count()), [0, 0, 0]);
});

test('any states, one after another and with restarts between, leave in the kernel what they leave in maps of memory', () => {
  fc.assert(fc.property(fc.array(fc.tuple(anyRows, fc.boolean()), { minLength: 1, maxLength: 4 }), states => {
    using maps = kernelMaps();
    const { maglev: outer, ...plain } = maps;
    const memory = fakeServiceMaps();
    const tables = new FakeMaglevTables();
    const sweeps: (() => void)[] = [];
    const later = (sweep: () => void) => void sweeps.push(sweep);
    const start = () => [new ServiceTarget({ maps: plain, maglev: new KernelMaglevTables(outer), hashSeed, limits: serviceLimits(maps), later }), new ServiceTarget({ maps: memory, maglev: tables, hashSeed, later })];
    let targets = start();
    let before: readonly ServiceRow[] = [];
    for (const [rows, isRestart] of states) {
      if (isRestart) targets = start();
      const gone = before.filter(b => !rows.some(r => r.key === b.key)).map(b => b.key);
      for (const target of targets) assert.deepEqual([...target.remove(gone), ...target.apply(rows)].filter(Boolean), []);
      while (sweeps.length > 0) sweeps.shift()!();
      before = rows;
      for (const name of Object.keys(memory) as (keyof typeof memory)[]) assert.deepEqual(sorted(plain[name].entries()), sorted(memory[name].entries()), name);
      assert.deepEqual(sorted(outer.entries()).length, tables.tables.size);
      for (const [service, { table }] of tables.tables) assert.deepEqual(tableOf(maps, service), Array.from(table, id => formatAddr(memory.backends.lookup({ id })!.addr)));
    }
  }), { numRuns: 25 });
});

/** Entries of a map, in an order of their own. */
function sorted(entries: Iterable<readonly [unknown, unknown]>): string[] {
  return [...entries].map(entry => JSON.stringify(entry)).sort();
}
