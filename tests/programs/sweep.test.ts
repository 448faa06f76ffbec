import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { mapOccupancy } from '../../src/features/conntrack/occupancy.ts';
import { ConntrackSweep } from '../../src/features/conntrack/sweep.ts';
import { createLogger } from '../../src/std/log.ts';
import { backendPort, Datapath, families, mac, rule, servicePort } from './harness.ts';
import { buildFrame, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());
const { conntrack, nat } = datapath.maps;

/** Candidates are named by a clock far ahead: it is the kernel's look that decides. */
const sweep = new ConntrackSweep({
  maps: datapath.maps, program: name => datapath.program(name), log: createLogger({ component: 'test' }), monotonicNs: () => Number(process.hrtime.bigint()) + 1e15,
});

function round(): void {
  const before = sweep.rounds;
  while (sweep.rounds === before) sweep.step();
}

function expire(which: (port: number) => boolean): void {
  for (const [key, entry] of [...conntrack.entries()]) if (which(key.lowPort) || which(key.highPort)) conntrack.update(key, { ...entry, expiresNs: 1n });
}

for (const family of families) {
  describe(`what is over is swept away (${family.name})`, () => {
    const hello: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'S' };

    test('connections and notes of services, and nothing that lives', () => {
      for (const sourcePort of [40000, 40001]) for (const [destination, destinationPort] of [[family.remote, 80], [family.service, servicePort]] as const) datapath.send('from_pod', { ...hello, destination, destinationPort, sourcePort });
      assert.equal(conntrack.count(), 6);
      expire(port => port === 40001);
      round();
      assert.deepEqual([...conntrack.entries()].map(([key]) => [key.lowPort, key.highPort].includes(40000)), [true, true, true]);
      assert.deepEqual([sweep.last.connections, sweep.last.removed], [3, 3]);
    });

    test('rules keep what the connection had not credited', () => {
      datapath.send('from_pod', hello);
      for (let i = 0; i < 20; i++) datapath.send('from_pod', { ...hello, flags: 'A' });
      assert.notEqual(datapath.ruleStat(rule.allow)[0], 42n, 'some are open');
      expire(() => true);
      round();
      assert.equal(datapath.ruleStat(rule.allow)[0], 42n);
    });

    test('mappings go with their connections, not before, and not while they are young', () => {
      for (const sourcePort of [40000, 40001]) datapath.send('from_pod', { ...hello, destination: family.world, sourcePort });
      assert.equal(nat.count(), 4);
      expire(port => port === 40001);
      round();
      assert.equal(nat.count(), 4, 'young');
      for (const [key, entry] of [...nat.entries()]) nat.update(key, { ...entry, createdNs: 1n });
      round();
      assert.deepEqual([...nat.entries()].map(([key]) => key.localPort), [40000, 40000]);
    });
  });
}

test('connections that the kernel throws out of a full table are missed in the counts', () => {
  const small = new Datapath({}, { conntrack: 1024 });
  try {
    const own = new ConntrackSweep({ maps: small.maps, program: name => small.program(name), log: createLogger({ component: 'test' }) });
    const look = (): number => {
      const rounds = own.rounds;
      while (own.rounds === rounds) own.step();
      return own.last.vanished;
    };
    const [family] = families;
    const open = (from: number, count: number): void => {
      for (let i = 0; i < count; i++) small.run('from_pod', buildFrame({ sourceMac: mac.a, destinationMac: mac.host, source: family!.a, destination: family!.b, protocol: 'udp', sourcePort: from + i, destinationPort: 9 }));
    };
    assert.equal(look(), 0);
    open(1000, 300);
    assert.equal(look(), 0, 'all of them live');
    for (const [key, entry] of [...small.maps.conntrack.entries()]) small.maps.conntrack.update(key, { ...entry, expiresNs: 1n });
    assert.equal(look(), 0, 'and end as they should');
    open(2000, 3000);
    const living = small.maps.conntrack.count();
    assert.ok(living < 3000);
    assert.equal(look(), 3000 - living);
  } finally {
    small.close();
  }
});

test('a round is many short steps', () => {
  const key = [...Array(20_000).keys()];
  const [first] = families;
  datapath.send('from_pod', { sourceMac: mac.a, source: first!.a, destination: first!.b, protocol: 'udp', sourcePort: 1, destinationPort: 2 });
  const [[known, entry]] = [...conntrack.entries()] as [[Parameters<typeof conntrack.update>[0], Parameters<typeof conntrack.update>[1]]];
  conntrack.updateBatch(key.map(i => [{ ...known, lowPort: 1 + i, highPort: 3 }, { ...entry, expiresNs: 1n << 62n }] as const));
  let steps = 0;
  for (const before = sweep.rounds; sweep.rounds === before; steps++) sweep.step();
  assert.ok(steps >= 5, `${steps} steps`);
  assert.equal(sweep.last.connections, 20_001);
});

test('how full the maps are is known without a walk, and a map nearly full is named', () => {
  datapath.send('from_pod', { sourceMac: mac.a, source: families[0]!.a, destination: families[0]!.b, protocol: 'udp', sourcePort: 1, destinationPort: 2 });
  const ask = (known: Record<string, () => number>) => mapOccupancy({ maps: datapath.maps, count: datapath.program('occupancy_count'), known });
  for (const row of ask({})) {
    const map = Object.values(datapath.maps).find(map => map.spec.name === row.name)!;
    assert.equal(row.used, map.count(), row.name);
    assert.equal(row.warning, undefined);
  }
  const [ipcache] = ask({ ipcache: () => 500_000 }).filter(row => row.name === 'ipcache');
  assert.match(ipcache?.warning ?? '', /^map ipcache is 97 % full \(500000 of 512000\)/);
});
