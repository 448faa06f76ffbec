/** Which backend a pod's packet gets, when sockets have not chosen. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { BackendState, ServiceFlag, ServiceScope, ServiceType } from '../../src/datapath/generated/enums.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { BpfMap } from '../../src/ebpf/map.ts';
import { flowHash } from '../../src/lb/flow-hash.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { backendPort, Datapath, families, type Family, id, mac, servicePort } from './harness.ts';
import { crc32c, type FrameSpec } from './packet.ts';

const SEED = 0x2bdd_fb96;
const datapath = new Datapath({ maglevSeed: SEED });
const tables: BpfMap<number, number>[] = [];
after(() => {
  tables.forEach(table => table.close());
  datapath.close();
});
beforeEach(() => datapath.reset());

const SERVICE = 700;
const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;
type Protocol = keyof typeof protocols;

/** Backends 1 to `count` of a family: pods elsewhere, .101 and on. */
const backendAddress = (family: Family, n: number): string => (family.name === 'IPv4' ? `10.244.2.${100 + n}` : `fd00:10:244:2::${100 + n}`);

interface Row { readonly backends: readonly number[]; readonly scope?: number; readonly service?: number; readonly flags?: number; readonly type?: number; readonly affinityTimeout?: number; readonly maglev?: number; readonly port?: number }

function serve(family: Family, row: Row): void {
  const { backends, scope = 0, service = SERVICE, flags = 0, type = 0, affinityTimeout = 0, maglev = 0 } = row;
  backends.forEach((backend, slot) => datapath.maps.serviceSlots.update({ service, slot }, { backend: SERVICE + backend }));
  for (const backend of backends) if (affinityTimeout) datapath.maps.serviceMembers.update({ service, backend: SERVICE + backend }, 1);
  for (const protocol of Object.values(protocols)) {
    datapath.maps.services.update({ addr: parseAddr(family.service), port: servicePort, protocol, scope }, { id: service, count: backends.length, affinityTimeout, maglev, flags, type });
  }
  datapath.maps.serviceAddresses.update({ id: service }, { addr: parseAddr(family.service), port: servicePort });
}

function fill(family: Family, count: number, o: { readonly state?: number; readonly port?: number } = {}): void {
  for (let n = 1; n <= count; n++) {
    datapath.address(backendAddress(family, n), { identity: 1003, flags: 2 });
    datapath.maps.backends.update({ id: SERVICE + n }, { addr: parseAddr(backendAddress(family, n)), port: o.port ?? backendPort, protocol: 6, state: o.state ?? 0 });
  }
}

/** Entry → backend. */
function maglevTable(entries: readonly number[]): void {
  const table = BpfMap.create({ ...specs.maglev.inner!, maxEntries: entries.length });
  tables.push(table);
  entries.forEach((backend, at) => table.update(at, SERVICE + backend));
  datapath.maps.maglev.update({ id: SERVICE }, table.fd);
}

for (const family of families) {
  const packet = (o: Partial<FrameSpec> = {}): FrameSpec =>
    ({ sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.service, protocol: 'tcp', sourcePort: 40000, destinationPort: servicePort, flags: 'S', ...o });
  const fromB = { sourceMac: mac.b, source: family.b } as const;
  /** The backend's number. */
  const chosen = (o: Partial<FrameSpec> = {}): number => {
    const { packet: sent, reason } = datapath.send('from_pod', packet(o));
    if (reason) throw new Error(reason);
    for (let n = 1; n <= 8; n++) if (sent.destination === backendAddress(family, n)) return n;
    throw new Error(`sent to ${sent.destination}`);
  };
  const spread = (times: number, o: (n: number) => Partial<FrameSpec>): number[] => {
    const counts = new Array<number>(9).fill(0);
    for (let n = 0; n < times; n++) counts[chosen(o(n))]!++;
    return counts;
  };

  describe(`the choice of a backend (${family.name})`, () => {
    test('random: every backend gets its share, weights are slots', () => {
      fill(family, 3);
      serve(family, { backends: [1, 2, 3, 3] });
      const counts = spread(800, n => ({ sourcePort: 10000 + n }));
      assert.ok(counts[1]! > 130 && counts[1]! < 270 && counts[2]! > 130 && counts[2]! < 270 && counts[3]! > 320 && counts[3]! < 480, String(counts));
    });

    test('Maglev: the table\'s entry at the hash of protocol, addresses and ports, as src/lb/flow-hash.ts says', () => {
      fill(family, 8);
      const entries = Array.from({ length: 251 }, (_, at) => 1 + (at * 7919) % 8);
      maglevTable(entries);
      serve(family, { backends: [1, 2, 3, 4, 5, 6, 7, 8], maglev: entries.length });
      for (const protocol of ['tcp', 'udp'] as const) for (let n = 0; n < 60; n++) {
        const client = n % 2 ? { source: family.a } : fromB;
        const flow = { source: parseAddr(client.source), destination: parseAddr(family.service), sourcePort: 1024 + n * 997, destinationPort: servicePort, protocol: protocols[protocol] };
        assert.equal(chosen({ ...client, protocol, sourcePort: flow.sourcePort }), entries[flowHash(flow, SEED, false) % entries.length]);
      }
    });

    test('Maglev with affinity: by the client\'s address alone, so that other nodes choose the same', () => {
      fill(family, 8);
      const entries = Array.from({ length: 251 }, (_, at) => 1 + at % 8);
      maglevTable(entries);
      serve(family, { backends: [1, 2, 3, 4, 5, 6, 7, 8], maglev: entries.length, affinityTimeout: 100 });
      for (const client of [{ source: family.a }, fromB]) {
        const flow = { source: parseAddr(client.source), destination: parseAddr(family.service), sourcePort: 1, destinationPort: 2, protocol: 3 };
        assert.equal(chosen(client), entries[flowHash(flow, SEED, true) % entries.length]);
      }
    });

    test('Maglev without a table yet, or with one of another size: a backend all the same', () => {
      fill(family, 3);
      datapath.maps.maglev.delete({ id: SERVICE });
      serve(family, { backends: [1, 2, 3], maglev: 251 });
      assert.ok(chosen() >= 1);
      maglevTable([1]);
      for (let n = 0; n < 20; n++) assert.ok(chosen({ sourcePort: 20000 + n }) >= 1);
      datapath.maps.maglev.delete({ id: SERVICE });
    });

    test('affinity binds a client\'s address, over protocols and ports of connections, until its time is over', () => {
      fill(family, 8);
      serve(family, { backends: [1, 2, 3, 4, 5, 6, 7, 8], affinityTimeout: 100 });
      const first = chosen();
      assert.equal(spread(40, n => ({ sourcePort: 30000 + n, protocol: n % 2 ? 'udp' : 'tcp' }))[first], 40);
      const [[key, note]] = [...datapath.maps.affinities.entries()] as [[{ client: Uint8Array; service: number; kind: number }, { lastUsedNs: bigint; backend: number }]];
      datapath.maps.affinities.update(key, { ...note, lastUsedNs: note.lastUsedNs - 90_000_000_000n });
      assert.equal(chosen({ sourcePort: 31000 }), first);
      datapath.maps.affinities.update(key, { ...note, lastUsedNs: note.lastUsedNs + 99_000_000_000n });
      assert.equal(spread(20, n => ({ sourcePort: 32000 + n }))[first], 20, 'used by another processor, whose clock has been read later');
      const other = 1 + first % 8;
      serve(family, { backends: [other], affinityTimeout: 100 });
      assert.equal(chosen({ sourcePort: 31001 }), first, 'still a member');
      datapath.maps.affinities.update(key, { ...note, lastUsedNs: note.lastUsedNs - 101_000_000_000n });
      assert.equal(chosen({ sourcePort: 31002 }), other);
    });

    test('affinity falls over when the backend is no member, when it terminates, when it is gone; among the terminating it stays', () => {
      fill(family, 4);
      const row = (backends: readonly number[]): void => serve(family, { backends, affinityTimeout: 100 });
      row([1]);
      assert.equal(chosen(), 1);
      row([2]);
      datapath.maps.serviceMembers.delete({ service: SERVICE, backend: SERVICE + 1 });
      assert.equal(chosen({ sourcePort: 2 }), 2, 'no member');
      datapath.maps.backends.update({ id: SERVICE + 2 }, { addr: parseAddr(backendAddress(family, 2)), port: backendPort, protocol: 6, state: BackendState.Terminating });
      row([3]);
      assert.equal(chosen({ sourcePort: 3 }), 3, 'terminating');
      fill(family, 4, { state: BackendState.Terminating });
      row([1, 2, 3, 4]);
      assert.equal(spread(20, n => ({ sourcePort: 100 + n }))[3], 20, 'nobody is better');
      datapath.maps.backends.delete({ id: SERVICE + 3 });
      row([4]);
      assert.equal(chosen({ sourcePort: 4 }), 4, 'gone');
    });

    test('a terminating backend keeps its connections and gets no new ones; when only such are left they serve', () => {
      fill(family, 2);
      serve(family, { backends: [1] });
      assert.equal(chosen(), 1);
      datapath.maps.backends.update({ id: SERVICE + 1 }, { addr: parseAddr(backendAddress(family, 1)), port: backendPort, protocol: 6, state: BackendState.Terminating });
      serve(family, { backends: [2] });
      assert.equal(chosen({ flags: 'A' }), 1, 'goes on');
      assert.equal(chosen({ flags: 'S', sourcePort: 40001 }), 2, 'new');
      assert.equal(chosen({ flags: 'S' }), 2, 'the same port again is a new connection');
      fill(family, 2, { state: BackendState.Terminating });
      serve(family, { backends: [1, 2] });
      assert.ok(chosen({ flags: 'S', sourcePort: 40002 }) >= 1);
    });

    test('pods have the row of SCOPE_INTERNAL, and the other one while it is not there', () => {
      fill(family, 2);
      serve(family, { backends: [1], flags: ServiceFlag.TwoScopes });
      assert.equal(chosen(), 1);
      serve(family, { backends: [2], scope: ServiceScope.Internal, service: SERVICE + 50 });
      assert.equal(chosen({ sourcePort: 2 }), 2);
    });

    test('every type of service answers pods, except what is for sockets of the node alone', () => {
      fill(family, 1);
      for (const type of Object.values(ServiceType).filter(type => typeof type === 'number')) {
        serve(family, { backends: [1], type });
        assert.equal(chosen({ sourcePort: 100 + type }), 1);
      }
      serve(family, { backends: [1], flags: ServiceFlag.HostOnly });
      assert.equal(datapath.send('from_pod', packet({ sourcePort: 7 })).packet.destination, family.service);
    });

    test('a backend of a local redirect gets the original, or its packets as they are; everybody else is redirected', () => {
      fill(family, 2);
      serve(family, { backends: [1], flags: ServiceFlag.RedirectExempt, type: ServiceType.LocalRedirect });
      datapath.maps.redirectExempt.update({ who: BigInt(id.b), service: SERVICE, kind: 0 }, 1);
      assert.equal(chosen(), 1);
      assert.equal(datapath.send('from_pod', packet(fromB)).packet.destination, family.service);
      serve(family, { backends: [2], scope: ServiceScope.Original, service: SERVICE + 50 });
      assert.equal(chosen({ ...fromB, sourcePort: 40001 }), 2);
      assert.equal(chosen({ sourcePort: 40001 }), 1);
    });

    test('SCTP: addresses and ports are translated both ways, the checksum follows; one that is left to the device stays so', () => {
      datapath.maps.backends.update({ id: SERVICE + 1 }, { addr: parseAddr(family.b), port: backendPort, protocol: 132, state: 0 });
      serve(family, { backends: [1] });
      assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283, 'what the test compares with');
      for (const length of [0, 1, 4, 17, 100, 1000, 1400]) for (const sctpChecksum of [true, false]) {
        const sourcePort = 41000 + length * 2 + (sctpChecksum ? 1 : 0);
        const sctp: Partial<FrameSpec> = { protocol: 'sctp', payload: Uint8Array.from({ length }, (_, n) => n * 37), sctpChecksum };
        const there = datapath.send('from_pod', packet({ ...sctp, sourcePort }));
        assert.deepEqual([there.packet.destination, there.packet.destinationPort, there.packet.checksumsGood], [family.b, backendPort, true], `${length} bytes`);
        const back = datapath.send('from_pod', packet({ ...sctp, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: sourcePort }));
        assert.deepEqual([back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.checksumsGood], [family.service, servicePort, family.a, true], `${length} bytes back`);
        const field = (frame: Uint8Array): number => new DataView(frame.buffer).getUint32(14 + (family.name === 'IPv4' ? 20 : 40) + 8);
        assert.deepEqual([field(there.frame) === 0, field(back.frame) === 0], [!sctpChecksum, !sctpChecksum]);
      }
    });

    test('SCTP in fragments: only where the port stays, as nobody knows what the checksum is over', () => {
      const sctp: Partial<FrameSpec> = { protocol: 'sctp', payload: new Uint8Array(100), sctpChecksum: true, fragment: { id: 9, offset: 0, more: true } };
      const port = (port: number) => datapath.maps.backends.update({ id: SERVICE + 1 }, { addr: parseAddr(family.b), port, protocol: 132, state: 0 });
      serve(family, { backends: [1] });
      port(backendPort);
      assert.equal(datapath.send('from_pod', packet({ ...sctp, sourcePort: 40007 })).reason, 'NAT_UNSUPPORTED_PROTOCOL');
      port(servicePort);
      assert.equal(datapath.send('from_pod', packet({ ...sctp, sourcePort: 40008 })).packet.destination, family.b);
    });
  });
}
