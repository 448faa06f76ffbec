import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { maglevTable } from '../../lb/maglev.ts';
import type { GoneBackend } from '../../lb/plan.ts';
import { frontendTypes, rowFlag, serving } from '../../lb/rows.ts';
import type { BackendRow, ServiceRow } from '../../lb/rows.ts';
import { slotRepeats } from '../../lb/weights.ts';
import { defaultSettings } from '../../model/settings.ts';
import { formatAddr, parsePrefix } from '../../std/ip.ts';
import { silentLogger } from '../../std/log.ts';
import { Reconciler } from '../../table/reconcile.ts';
import { Table } from '../../table/table.ts';
import { FakeMaglevTables, fakeServiceMaps } from './fakemaps.ts';
import type { FakeServiceMaps } from './fakemaps.ts';
import { ServiceTarget } from './target.ts';
import { anyRows as world, testBackend as backend, testRow as row } from './testing.ts';

const { hashSeed } = defaultSettings.maglev;

/** A target over fake maps whose grace periods end when the test says. */
function setup(maps = fakeServiceMaps(), maglev = new FakeMaglevTables()) {
  const waiting: (() => void)[] = [];
  const gone: GoneBackend[] = [];
  const target = new ServiceTarget({ maps, maglev, hashSeed, later: sweep => void waiting.push(sweep), onGone: backends => void gone.push(...backends) });
  const grace = () => { while (waiting.length > 0) waiting.shift()!(); };
  return { maps, maglev, target, grace, gone, oneSweep: () => waiting.shift()?.() };
}

const serviceOf = (maps: FakeServiceMaps, of: ServiceRow) => maps.services.lookup({ addr: of.addr, port: of.port, protocol: of.protocol, scope: of.scope });

/** What the kernel answers for a row: the addresses behind its slots, every one of which must be there. */
function answers(maps: FakeServiceMaps, of: ServiceRow): string[] | undefined {
  const service = serviceOf(maps, of);
  if (!service) return undefined;
  return Array.from({ length: service.count }, (_, slot) => {
    const entry = maps.serviceSlots.lookup({ service: service.id, slot });
    assert.ok(entry, `slot ${slot} of ${of.key} is missing`);
    return backendText(maps, entry.backend);
  }).sort();
}

function backendText(maps: FakeServiceMaps, id: number): string {
  const found = maps.backends.lookup({ id });
  assert.ok(found, `backend ${id} is missing`);
  return `${formatAddr(found.addr)}:${found.port}/TCP`;
}

const keysOf = (backends: readonly BackendRow[]) => backends.map(b => b.key).sort();

/** As often as weights want it. */
function slotKeys(of: ServiceRow): string[] {
  const chosen = serving(of);
  const times = slotRepeats(chosen.map(b => b.weight ?? 1));
  return chosen.flatMap((b, i) => new Array<string>(times[i]!).fill(b.key)).sort();
}

/** Exactly the rows, and nothing left over in any map. */
function assertExactly(maps: FakeServiceMaps, maglev: FakeMaglevTables, rows: readonly ServiceRow[]): void {
  for (const r of rows) assertRow(maps, maglev, r);
  const total = (count: (r: ServiceRow) => number) => rows.reduce((n, r) => n + count(r), 0);
  assert.equal(maps.services.size, rows.length);
  assert.equal(maps.serviceAddresses.size, rows.length);
  assert.equal(maps.serviceSlots.size, total(r => slotKeys(r).length));
  assert.equal(maps.backends.size, new Set(rows.flatMap(r => keysOf(r.backends))).size);
  assert.equal(maglev.tables.size, total(r => (r.maglev > 0 && serving(r).length > 0 ? 1 : 0)));
  assert.equal(maps.serviceMembers.size, total(r => (r.affinityTimeout > 0 ? serving(r).length : 0)));
  assert.equal(maps.serviceSources.size, total(r => r.sources.length));
  for (const [key, service] of maps.services.entries()) assert.deepEqual(maps.serviceAddresses.lookup({ id: service.id }), { addr: key.addr, port: key.port });
}

function assertRow(maps: FakeServiceMaps, maglev: FakeMaglevTables, r: ServiceRow): void {
  assert.deepEqual(answers(maps, r), slotKeys(r));
  const chosen = serving(r);
  const { id, ...value } = serviceOf(maps, r)!;
  const size = chosen.length > 0 ? r.maglev : 0;
  assert.deepEqual(value, { count: slotKeys(r).length, affinityTimeout: r.affinityTimeout, maglev: size, flags: r.flags, type: frontendTypes.indexOf(r.type) });
  if (size > 0) {
    const wanted = maglevTable(chosen.map(b => ({ name: b.key, weight: b.weight ?? 1 })), { tableSize: size, hashSeed });
    assert.deepEqual(Array.from(maglev.tables.get(id)!.table, b => backendText(maps, b)), Array.from(wanted, i => chosen[i]!.key));
  }
  // Those who are not chosen any more go after the grace period; `assertExactly` counts.
  const sticky = new Set(maps.serviceMembers.entries().filter(([k]) => k.service === id && maps.backends.lookup({ id: k.backend })).map(([k]) => backendText(maps, k.backend)));
  if (r.affinityTimeout > 0) assert.deepEqual(keysOf(chosen).filter(key => !sticky.has(key)), []);
  for (const text of r.sources) {
    const { addr, bits } = parsePrefix(text);
    assert.equal(maps.serviceSources.lookup({ prefixBits: 32 + bits, service: id, addr }), (r.flags & rowFlag.sourceDeny) !== 0 ? 2 : 1);
  }
}

// Any sequence of states

/**
 * Packets that began at any earlier moment and have not ended: all that they may have read so far must still lead on. A packet
 * ends before the grace period does.
 */
class Packets {
  readonly #maps: FakeServiceMaps;
  readonly #maglev: FakeMaglevTables;
  readonly #slots = new Map<string, { service: number; slot: number }>();
  readonly #tables = new Set<number>();
  readonly #backends = new Set<number>();

  constructor(maps: FakeServiceMaps, maglev: FakeMaglevTables) {
    this.#maps = maps;
    this.#maglev = maglev;
    for (const map of [...Object.values(maps), maglev]) map.onWrite = () => this.look();
  }

  look(): void {
    for (const [, { id, count, maglev }] of this.#maps.services.entries()) {
      for (let slot = 0; slot < count; slot++) this.#slots.set(`${id}:${slot}`, { service: id, slot });
      if (maglev > 0) this.#tables.add(id);
      if (count > 0) assert.ok(this.#maps.serviceAddresses.lookup({ id }), 'no way back');
    }
    for (const key of this.#slots.values()) {
      const entry = this.#maps.serviceSlots.lookup(key);
      assert.ok(entry, `a packet that read count > ${key.slot} finds no slot`);
      this.#backends.add(entry.backend);
    }
    for (const id of this.#tables) {
      const table = this.#maglev.tables.get(id);
      assert.ok(table, `a packet that read of a table finds none`);
      for (const backend of table.table) this.#backends.add(backend);
    }
    for (const id of this.#backends) assert.ok(this.#maps.backends.lookup({ id }), `a packet that read backend ${id} does not find it`);
  }

  end(): void {
    this.#slots.clear();
    this.#tables.clear();
    this.#backends.clear();
  }
}

test('between any two writes, no packet meets a missing slot or backend, whenever it began; and nothing is left over', () => {
  fc.assert(fc.property(fc.array(fc.tuple(world, fc.boolean()), { minLength: 1, maxLength: 6 }), states => {
    const { maps, maglev, target, oneSweep, grace } = setup();
    const packets = new Packets(maps, maglev);
    let before: readonly ServiceRow[] = [];
    for (const [rows, sweep] of states) {
      const gone = before.filter(b => !rows.some(r => r.key === b.key)).map(b => b.key);
      assert.deepEqual(target.remove(gone).filter(Boolean), []);
      assert.deepEqual(target.apply(rows).filter(Boolean), []);
      for (const r of rows) assertRow(maps, maglev, r);
      before = rows;
      if (!sweep) continue;
      packets.end();
      oneSweep();
    }
    packets.end();
    grace();
    assertExactly(maps, maglev, before);
  }), { numRuns: 400 });
});

test('a process killed between any two writes leaves something that the next one takes over without an interruption', () => {
  fc.assert(fc.property(world, world, world, fc.nat(40), (first, second, third, killAfter) => {
    const a = setup();
    a.target.apply(first);
    a.grace();
    class Killed extends Error {}
    let left = killAfter;
    let dead = false;
    const count = () => {
      if (dead || left-- === 0) {
        dead = true;
        throw new Killed();
      }
    };
    const put = a.maglev.put.bind(a.maglev);
    const drop = a.maglev.deleteBatch.bind(a.maglev);
    a.maglev.put = (service, table) => { count(); put(service, table); };
    a.maglev.deleteBatch = services => services.forEach(service => { count(); drop([service]); });
    for (const map of Object.values(a.maps)) {
      const update = map.update.bind(map);
      const remove = map.delete.bind(map);
      map.update = (key: never, value: never) => { count(); update(key, value); };
      map.delete = (key: never) => { count(); return remove(key); };
    }
    a.target.remove(first.filter(b => !second.some(r => r.key === b.key)).map(b => b.key));
    a.target.apply(second);
    a.grace();
    const copy = fakeServiceMaps();
    for (const name of Object.keys(copy) as (keyof typeof copy)[]) {
      for (const [k, v] of a.maps[name].entries()) (copy[name].update as (key: unknown, value: unknown) => void)(k, v);
    }
    const tables = new FakeMaglevTables();
    for (const [service, table] of a.maglev.tables) tables.tables.set(service, table);
    // What the next process starts with is also what packets read in the meantime.
    const packets = new Packets(copy, tables);
    packets.look();
    const b = setup(copy, tables);
    const desired = new Table<ServiceRow>('services', r => r.key);
    const producer = desired.producer('test');
    const reconciler = new Reconciler({ desired, target: b.target, log: silentLogger });
    desired.replaceAll(third);
    reconciler.settle();
    producer.synced();
    reconciler.settle();
    assert.equal(reconciler.pending, 0);
    packets.end();
    b.grace();
    assertExactly(copy, tables, third);
  }), { numRuns: 400 });
});

// Particular promises

test('ids stay what they are after a restart, which writes nothing, and are found again when the maps were lost', () => {
  const rows = [
    row(1, [backend(1), backend(2)], { affinityTimeout: 9, sources: ['10.0.0.0/8', 'fd00::/8'], flags: rowFlag.sourceRanges }),
    row(2, [backend(2), backend(3, 'active', 3)], { maglev: 31 }), row(2, [backend(2)], { scope: 1 }),
  ];
  const a = setup();
  a.target.apply(rows);
  const ids = rows.map(r => a.target.idOf(r.key));
  assert.equal(new Set(ids).size, 3);
  const writes = () => [...Object.values(a.maps), a.maglev].reduce((n, map) => n + map.writes, 0);
  const before = writes();
  const b = setup(a.maps, a.maglev);
  b.target.apply(rows);
  b.grace();
  assert.deepEqual(rows.map(r => b.target.idOf(r.key)), ids);
  assert.equal(writes(), before);
  const c = setup();
  c.target.apply(rows.toReversed());
  assert.deepEqual(rows.map(r => c.target.idOf(r.key)), ids);
});

test('nothing adopted goes before every producer has spoken', () => {
  const a = setup();
  a.target.apply([row(1, [backend(1)]), row(2, [backend(2)])]);
  const b = setup(a.maps);
  const desired = new Table<ServiceRow>('services', r => r.key);
  const producer = desired.producer('test');
  const reconciler = new Reconciler({ desired, target: b.target, log: silentLogger });
  reconciler.settle();
  b.grace();
  assert.equal(b.maps.services.size, 2);
  desired.upsert(row(1, [backend(1)]));
  producer.synced();
  reconciler.settle();
  b.grace();
  assertExactly(b.maps, b.maglev, [row(1, [backend(1)])]);
});

test('connections to a terminating backend go on while new ones go elsewhere', () => {
  const { maps, target, grace } = setup();
  target.apply([row(1, [backend(1), backend(2)])]);
  const after = row(1, [backend(1, 'terminating'), backend(2)]);
  target.apply([after]);
  grace();
  assert.deepEqual(answers(maps, after), [backend(2).key]);
  assert.deepEqual(maps.backends.entries().map(([, b]) => b.state).sort(), [0, 1]);
  const last = row(1, [backend(1, 'terminating'), backend(2, 'terminating')]);
  target.apply([last]);
  assert.equal(answers(maps, last)!.length, 2);
});

test('a full map fails the rows that do not fit, keeps the others, and what fits later comes in', () => {
  const { maps, maglev, target, grace } = setup();
  maps.backends.maxEntries = 3;
  const rows = [row(1, [backend(1), backend(2)]), row(2, [backend(3), backend(4)]), row(3, [backend(1)])];
  const results = target.apply(rows);
  assert.deepEqual(results.map(r => r?.message), [undefined, 'E2BIG', undefined]);
  assert.equal(answers(maps, rows[1]!), undefined);
  assert.equal(target.apply([rows[1]!])[0]?.message, 'E2BIG', 'trying again too early fails again');
  assert.equal(answers(maps, rows[1]!), undefined);
  grace();
  assert.equal(maps.backends.size, 2, 'the half that fitted does not stay');
  maps.backends.maxEntries = 10;
  assert.deepEqual(target.apply([rows[1]!]), [undefined]);
  grace();
  assertExactly(maps, maglev, rows);
});

test('a row that a map has no room for is refused whole, with the name of the map, and the others come in', () => {
  const maps = fakeServiceMaps();
  const limits = { services: 9, service_slots: 4, backends: 9, service_addresses: 9, maglev: 9, service_members: 1, service_sources: 9 };
  const waiting: (() => void)[] = [];
  const target = new ServiceTarget({ maps, maglev: new FakeMaglevTables(), hashSeed, limits, later: sweep => void waiting.push(sweep) });
  const rows = [row(1, [backend(1), backend(2)]), row(2, [backend(3), backend(4), backend(5)]), row(3, [backend(3)]), row(4, [backend(1)], { affinityTimeout: 1 }), row(5, [backend(1)])];
  const results = target.apply(rows);
  assert.deepEqual(results.map(e => /map (\S+) has room for (\d+)/.exec(e?.message ?? '')?.slice(1)), [undefined, ['service_slots', '4'], undefined, undefined, ['service_slots', '4']]);
  assert.equal(maps.serviceSlots.size, 4);
  assert.deepEqual(maps.backends.entries().map(([, b]) => formatAddr(b.addr)).sort(), ['10.244.0.1', '10.244.0.2', '10.244.0.3']);
  target.remove([rows[0]!.key]);
  while (waiting.length > 0) waiting.shift()!();
  assert.deepEqual(target.apply([rows[4]!]), [undefined]);
  assert.equal(target.used.service_slots, 3);
});

test('who hears of backends that are gone: of those that served, when they have left the maps', () => {
  const { target, grace, gone } = setup();
  target.apply([row(1, [backend(1), backend(2)]), row(2, [backend(2)])]);
  target.apply([row(1, [backend(1, 'terminating'), backend(3)])]);
  grace();
  assert.equal(gone.length, 0);
  target.apply([row(1, [backend(3)])]);
  assert.equal(gone.length, 0, 'not before they have left');
  grace();
  assert.deepEqual(gone.map(b => `${b.key} ${b.services}`), [`${backend(1).key} default/s1`]);
  target.remove([row(2, []).key]);
  grace();
  assert.deepEqual(gone.map(b => b.key), [backend(1).key, backend(2).key]);
});

test('one endpoint more or less is the same few writes in a service of 3 and of 1,000', () => {
  for (const size of [3, 1_000]) {
    const { maps, target, grace } = setup();
    const all = Array.from({ length: size + 1 }, (_, i) => backend(i));
    target.apply([row(1, all.slice(0, size))]);
    const writes = () => Object.values(maps).reduce((n, map) => n + map.writes, 0);
    let before = writes();
    target.apply([row(1, all)]);
    grace();
    assert.equal(writes() - before, 3, 'backend, slot, count');
    before = writes();
    target.apply([row(1, all.slice(1))]);
    grace();
    // The last one moves into the gap: slot, count; then the last slot and the backend go.
    assert.equal(writes() - before, 4);
  }
});

test('10,000 services load in little time, and then one change costs what it costs at 10', t => {
  const cpu = (run: () => void): number => {
    const from = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  };
  const rowsOf = (n: number) => Array.from({ length: n }, (_, i) => row(i, [backend(3 * i), backend(3 * i + 1), backend(3 * i + 2)]));
  setup().target.apply(rowsOf(2_000));
  const rows = rowsOf(10_000);
  const load = () => {
    const { target, maps } = setup();
    const ms = cpu(() => assert.equal(target.apply(rows).filter(Boolean).length, 0));
    assert.equal(maps.services.batches, 1);
    return ms;
  };
  // The least of three: time in which the host has taken the processor away may count as used.
  const loadMs = Math.min(load(), load(), load());
  const measured = [10, 10_000].map(n => {
    const { target } = setup();
    target.apply(rowsOf(n));
    return { target, times: [] as number[] };
  });
  // In turns: a moment in which the machine is slow is one for both.
  for (let i = 0; i < 300; i++) for (const { target, times } of measured) {
    const next = row(i % 10, [backend(60_000 + i), backend(1), backend(2)]);
    const from = performance.now();
    target.apply([next]);
    times.push(performance.now() - from);
  }
  const [small, large] = measured.map(({ times }) => times.sort((a, b) => a - b)[150]!) as [number, number];
  t.diagnostic(`load ${loadMs.toFixed(0)} ms CPU (fake maps included); one change ${(small * 1000).toFixed(0)} µs at 10, ${(large * 1000).toFixed(0)} µs at 10,000`);
  assert.ok(loadMs < 1_000, `${loadMs} ms`);
  assert.ok(large < small * 5 + 0.1, `${large} ms, ${small} ms`);
});
