import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { serving } from '../../lb/frontends.ts';
import type { BackendRow, ServiceRow } from '../../lb/frontends.ts';
import { parseAddr, formatAddr } from '../../std/ip.ts';
import { silentLogger } from '../../std/log.ts';
import { Reconciler } from '../../table/reconcile.ts';
import { Table } from '../../table/table.ts';
import { fakeServiceMaps } from './fakemaps.ts';
import type { FakeServiceMaps } from './fakemaps.ts';
import { ServiceTarget } from './target.ts';

function backend(n: number, state: BackendRow['state'] = 'active'): BackendRow {
  const ip = `10.244.${n >> 8}.${n & 255}`;
  return { key: `${ip}:80/TCP`, addr: parseAddr(ip), port: 80, state, nodeName: 'n1' };
}

function row(n: number, backends: readonly BackendRow[]): ServiceRow {
  const ip = `10.96.${n >> 8}.${n & 255}`;
  return {
    key: `${ip}:80/TCP`, namespace: 'default', name: `s${n}`, portName: '', type: 'ClusterIP', addr: parseAddr(ip), port: 80, protocol: 6, backends, affinityTimeout: 0,
  };
}

/** A target over fake maps whose grace periods end when the test says. */
function setup(maps = fakeServiceMaps()) {
  const waiting: (() => void)[] = [];
  const target = new ServiceTarget({ maps, later: sweep => void waiting.push(sweep) });
  const grace = () => { while (waiting.length > 0) waiting.shift()!(); };
  return { maps, target, grace, oneSweep: () => waiting.shift()?.() };
}

/** What the kernel answers for a row: the addresses behind its slots, every one of which must be there. */
function answers(maps: FakeServiceMaps, of: ServiceRow): string[] | undefined {
  const service = maps.services.lookup({ addr: of.addr, port: of.port, protocol: of.protocol, scope: 0 });
  if (!service) return undefined;
  return Array.from({ length: service.count }, (_, slot) => {
    const entry = maps.serviceSlots.lookup({ service: service.id, slot });
    assert.ok(entry, `slot ${slot} of ${of.key} is missing`);
    const found = maps.backends.lookup({ id: entry.backend });
    assert.ok(found, `backend ${entry.backend} of ${of.key} is missing`);
    return `${formatAddr(found.addr)}:${found.port}/TCP`;
  }).sort();
}

const keysOf = (backends: readonly BackendRow[]) => backends.map(b => b.key).sort();

/** Exactly the rows, and nothing left over in any map. */
function assertExactly(maps: FakeServiceMaps, rows: readonly ServiceRow[]): void {
  for (const r of rows) assert.deepEqual(answers(maps, r), keysOf(serving(r)));
  assert.equal(maps.services.size, rows.length);
  assert.equal(maps.serviceAddresses.size, rows.length);
  assert.equal(maps.serviceSlots.size, rows.reduce((n, r) => n + serving(r).length, 0));
  assert.equal(maps.backends.size, new Set(rows.flatMap(r => keysOf(r.backends))).size);
  for (const [key, service] of maps.services.entries()) assert.deepEqual(maps.serviceAddresses.lookup({ id: service.id }), { addr: key.addr, port: key.port });
}

// Any sequence of states

const backendSet = fc.uniqueArray(fc.tuple(fc.nat(7), fc.constantFrom('active' as const, 'terminating' as const)), { selector: ([n]) => n, maxLength: 6 })
  .map(list => list.map(([n, state]) => backend(n, state)).sort((a, b) => (a.key < b.key ? -1 : 1)));
const world = fc.uniqueArray(fc.tuple(fc.nat(3), backendSet), { selector: ([n]) => n, maxLength: 4 }).map(list => list.map(([n, set]) => row(n, set)));

/**
 * Packets that began at any earlier moment and have not ended: all that they may have read so far must still lead on. A packet
 * ends before the grace period does.
 */
class Packets {
  readonly #maps: FakeServiceMaps;
  readonly #slots = new Map<string, { service: number; slot: number }>();
  readonly #backends = new Set<number>();

  constructor(maps: FakeServiceMaps) {
    this.#maps = maps;
    for (const map of [maps.services, maps.serviceSlots, maps.backends, maps.serviceAddresses]) map.onWrite = () => this.look();
  }

  look(): void {
    for (const [, { id, count }] of this.#maps.services.entries()) {
      for (let slot = 0; slot < count; slot++) this.#slots.set(`${id}:${slot}`, { service: id, slot });
      if (count > 0) assert.ok(this.#maps.serviceAddresses.lookup({ id }), 'no way back');
    }
    for (const key of this.#slots.values()) {
      const entry = this.#maps.serviceSlots.lookup(key);
      assert.ok(entry, `a packet that read count > ${key.slot} finds no slot`);
      this.#backends.add(entry.backend);
    }
    for (const id of this.#backends) assert.ok(this.#maps.backends.lookup({ id }), `a packet that read backend ${id} does not find it`);
  }

  end(): void {
    this.#slots.clear();
    this.#backends.clear();
  }
}

test('between any two writes, no packet meets a missing slot or backend, whenever it began; and nothing is left over', () => {
  fc.assert(fc.property(fc.array(fc.tuple(world, fc.boolean()), { minLength: 1, maxLength: 6 }), states => {
    const { maps, target, oneSweep, grace } = setup();
    const packets = new Packets(maps);
    let before: readonly ServiceRow[] = [];
    for (const [rows, sweep] of states) {
      const gone = before.filter(b => !rows.some(r => r.key === b.key)).map(b => b.key);
      assert.deepEqual(target.remove(gone).filter(Boolean), []);
      assert.deepEqual(target.apply(rows).filter(Boolean), []);
      for (const r of rows) assert.deepEqual(answers(maps, r), keysOf(serving(r)));
      before = rows;
      if (!sweep) continue;
      packets.end();
      oneSweep();
    }
    packets.end();
    grace();
    assertExactly(maps, before);
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
    for (const map of [a.maps.services, a.maps.serviceSlots, a.maps.backends, a.maps.serviceAddresses]) {
      const update = map.update.bind(map);
      const remove = map.delete.bind(map);
      const count = () => {
        if (dead || left-- === 0) {
          dead = true;
          throw new Killed();
        }
      };
      map.update = (key: never, value: never) => { count(); update(key, value); };
      map.delete = (key: never) => { count(); return remove(key); };
    }
    a.target.remove(first.filter(b => !second.some(r => r.key === b.key)).map(b => b.key));
    a.target.apply(second);
    a.grace();
    const copy = fakeServiceMaps();
    for (const name of ['services', 'serviceSlots', 'backends', 'serviceAddresses'] as const) {
      for (const [k, v] of a.maps[name].entries()) (copy[name].update as (key: unknown, value: unknown) => void)(k, v);
    }
    // What the next process starts with is also what packets read in the meantime.
    const packets = new Packets(copy);
    packets.look();
    const b = setup(copy);
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
    assertExactly(copy, third);
  }), { numRuns: 400 });
});

// Particular promises

test('ids stay what they are after a restart, and are found again when the maps were lost', () => {
  const rows = [row(1, [backend(1), backend(2)]), row(2, [backend(2)])];
  const a = setup();
  a.target.apply(rows);
  const ids = rows.map(r => a.target.idOf(r.key));
  const writes = a.maps.services.writes + a.maps.backends.writes + a.maps.serviceSlots.writes;
  const b = setup(a.maps);
  b.target.apply(rows);
  assert.deepEqual(rows.map(r => b.target.idOf(r.key)), ids);
  assert.equal(a.maps.services.writes + a.maps.backends.writes + a.maps.serviceSlots.writes, writes, 'a restart writes nothing');
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
  assertExactly(b.maps, [row(1, [backend(1)])]);
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
  const { maps, target, grace } = setup();
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
  assertExactly(maps, rows);
});

test('one endpoint more or less is the same few writes in a service of 3 and of 1,000', () => {
  for (const size of [3, 1_000]) {
    const { maps, target, grace } = setup();
    const all = Array.from({ length: size + 1 }, (_, i) => backend(i));
    target.apply([row(1, all.slice(0, size))]);
    const writes = () => maps.services.writes + maps.serviceSlots.writes + maps.backends.writes + maps.serviceAddresses.writes;
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
  const change = (n: number) => {
    const { target } = setup();
    target.apply(rowsOf(n));
    const times = Array.from({ length: 300 }, (_, i) => {
      const next = row(i % 10, [backend(60_000 + i), backend(1), backend(2)]);
      const from = performance.now();
      target.apply([next]);
      return performance.now() - from;
    });
    return times.sort((a, b) => a - b)[150]!;
  };
  const rows = rowsOf(10_000);
  const { target, maps } = setup();
  const loadMs = cpu(() => assert.equal(target.apply(rows).filter(Boolean).length, 0));
  const [small, large] = [change(10), change(10_000)];
  t.diagnostic(`load ${loadMs.toFixed(0)} ms CPU (fake maps included); one change ${(small * 1000).toFixed(0)} µs at 10, ${(large * 1000).toFixed(0)} µs at 10,000`);
  assert.equal(maps.services.batches, 1);
  assert.ok(loadMs < 600);
  assert.ok(large < small * 5 + 0.1);
});
