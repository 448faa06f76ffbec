/**
 * The short way of known connections does what the long way would. Two worlds get the same packets and changes; in one of them the
 * entries forget before each packet where their ends are, so that everything takes the long way.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { ConntrackEntry, ConntrackKey } from '../../src/datapath/generated/structs.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import { backendPort, Datapath, families, id, mac, servicePort, set, type Family, type Outcome, type ProgramName } from './harness.ts';
import { macBytes, type FrameSpec } from './packet.ts';

const seed = seedOfRun();
const sequences = process.env.CIRRI_LONG ? 200 : 25;
const packetsPerSequence = 80;

interface Sent {
  readonly program: ProgramName;
  readonly frame: FrameSpec;
}
interface Change {
  readonly what: string;
  apply(world: Datapath): void;
}

const ports = [40000, 40001] as const;
/** Bytes before the flags are the same in most packets: connections must come to life. */
const flags = ['S', 'SA', 'A', 'A', 'A', 'A', 'A', 'PA', 'FA', 'R', 'SF', ''] as const;

function someFrame(random: Random, family: Family): Sent {
  const protocol = random.pick(['tcp', 'tcp', 'tcp', 'udp', 'sctp', 'icmp'] as const);
  const port = random.pick(ports);
  const common = {
    protocol, flags: random.pick(flags), hopLimit: random.chance(0.05) ? random.pick([0, 1, 2]) : 64,
    payload: new Uint8Array(random.pick([0, 1, 30])), ...(protocol === 'udp' && family.name === 'IPv4' && random.chance(0.2) && { noChecksum: true }),
    ...(random.chance(0.04) && family.name === 'IPv4' && { options: new Uint8Array(4) }),
    ...(random.chance(0.04) && { fragment: { id: 7, offset: 0, more: true }, payload: new Uint8Array(64) }),
  };
  const hostMac = random.chance(0.03) ? mac.a : mac.host;
  const from = (own: string, address: string, frame: Partial<FrameSpec>): Sent => ({
    program: 'from_pod',
    frame: { ...common, sourceMac: random.chance(0.03) ? mac.b : own, destinationMac: hostMac, source: random.chance(0.03) ? family.stranger : address, destination: family.a, ...frame },
  });
  const fromOutside = (frame: Partial<FrameSpec>): Sent => ({ program: random.pick(['from_network', 'from_network', 'to_pod'] as const), frame: { ...common, source: family.remote, destination: family.a, ...frame } });
  return random.one(
    () => from(mac.a, family.a, { destination: family.b, sourcePort: port, destinationPort: backendPort }),
    () => from(mac.b, family.b, { destination: family.a, sourcePort: backendPort, destinationPort: port }),
    () => from(mac.a, family.a, { destination: family.service, sourcePort: port, destinationPort: servicePort }),
    () => from(mac.b, family.b, { destination: family.service, sourcePort: port, destinationPort: servicePort }),
    () => from(mac.a, family.a, { destination: random.pick([family.remote, family.remote, family.world, family.otherNode, family.node, family.nobody]), sourcePort: port, destinationPort: 80 }),
    () => fromOutside({ source: random.pick([family.remote, family.remote, family.world, family.a]), sourcePort: 80, destinationPort: port }),
    () => fromOutside({ source: random.pick([family.remote, family.otherNode, family.node]), sourcePort: port, destinationPort: 80 }),
    () => from(mac.a, family.a, { destination: family.remote, sourcePort: 80, destinationPort: port }),
  );
}

const rowOfB = { id: id.b, identity: 1002, mac: macBytes(mac.b), hostMac: macBytes(mac.hostB), egressSet: set.bEgress, ingressSet: set.bIngress };

function someChange(random: Random, family: Family): Change {
  return random.one(
    () => ({ what: 'b is not ready', apply: world => world.endpoint(family.b, { ...rowOfB, flags: 0 }) }),
    () => ({ what: 'b is another pod', apply: world => world.endpoint(family.b, { ...rowOfB, id: 103 }) }),
    () => ({ what: 'b has another MAC address', apply: world => world.endpoint(family.b, { ...rowOfB, mac: macBytes('02:00:00:00:00:0c') }) }),
    () => ({ what: 'b is in its place', apply: world => world.endpoint(family.b, rowOfB) }),
    () => ({ what: 'b is on another device', apply: world => world.endpoint(family.b, { ...rowOfB, ifindex: 2 }) }),
    () => ({ what: 'b is gone', apply: world => void world.maps.endpoints.delete({ addr: parseAddr(family.b) }) }),
    () => ({ what: 'the remote pod is a pod of this node', apply: world => world.endpoint(family.remote, { id: 104 }) }),
    () => ({ what: 'the remote pod is elsewhere', apply: world => void world.maps.endpoints.delete({ addr: parseAddr(family.remote) }) }),
    () => ({ what: 'a may not send', apply: world => world.denyAll(set.aEgress) }),
    () => ({ what: 'a may send', apply: world => world.allowAll(set.aEgress) }),
    () => ({ what: 'b may not receive', apply: world => world.denyAll(set.bIngress) }),
    () => ({ what: 'b may receive', apply: world => world.allowAll(set.bIngress) }),
    () => ({ what: 'the remote pod is nobody', apply: world => world.address(family.remote, { identity: 0, flags: 2 }) }),
    () => ({ what: 'the remote pod is somebody', apply: world => world.address(family.remote, { identity: 1003, flags: 2 }) }),
    () => ({ what: 'the service is gone', apply: world => { for (const protocol of [6, 17]) world.maps.services.delete({ addr: parseAddr(family.service), port: servicePort, protocol, scope: 0 }); } }),
    () => ({ what: 'the backend is gone', apply: world => void world.maps.backends.delete({ id: family.name === 'IPv4' ? 1 : 3 }) }),
    () => ({ what: 'the service is there', apply: world => world.service(family) }),
  );
}

/** What is left of an entry when the way and what counts time or generations are taken away. */
function entryText(key: ConntrackKey, entry: ConntrackEntry): string {
  const { expiresNs, startedNs, generation, sourceEnd, destinationEnd, wayGeneration, ...kept } = entry;
  return JSON.stringify({ low: [...key.low], high: [...key.high], ports: [key.lowPort, key.highPort], kind: key.kind, protocol: key.protocol, ...kept }, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

function forgetWays(world: Datapath): void {
  const { conntrack } = world.maps;
  for (const [key, entry] of [...conntrack.entries()]) if (entry.wayGeneration !== 0) conntrack.update(key, { ...entry, wayGeneration: 0 });
}

const entriesOf = (world: Datapath): string[] => [...world.maps.conntrack.entries()].map(([key, entry]) => entryText(key, entry)).sort();

function outcomeText(outcome: Outcome): string {
  const { action, reason, frame, flows, drops, traces, names } = outcome;
  const events = [...flows, ...drops, ...traces.map(({ totals, ...event }) => ({ ...event, ...totals })), ...names.map(({ event, ...name }) => ({ ...name, ...event }))]
    .map(({ timeNs, latencyUs, ...event }) => ({ ...event, durationNs: undefined }));
  return JSON.stringify({ action, reason, frame: Buffer.from(frame).toString('hex'), events }, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

describe('known connections go the short way', () => {
  let short: Datapath;
  let long: Datapath;
  before(() => {
    // Ports picked at random would tell the worlds apart; what is masqueraded goes the long way anyhow.
    short = new Datapath({ masquerade: 0 });
    long = new Datapath({ masquerade: 0 });
  });
  after(() => {
    short.close();
    long.close();
  });
  beforeEach(() => {
    short.reset();
    long.reset();
  });

  test(`and nobody can tell: any packets, any changes (CIRRI_SEED=${seed})`, () => {
    const random = new Random(seed);
    let shortcuts = 0;
    for (let sequence = 0; sequence < sequences; sequence++) {
      for (const world of [short, long]) world.reset();
      const family = random.pick(families);
      const story: string[] = [];
      for (let i = 0; i < packetsPerSequence; i++) {
        if (random.chance(0.06)) {
          const change = someChange(random, family);
          story.push(change.what);
          for (const world of [short, long]) {
            change.apply(world);
            world.commit();
          }
        }
        const { program, frame } = someFrame(random, family);
        story.push(`${program} ${JSON.stringify({ ...frame, payload: frame.payload?.length })}`);
        forgetWays(long);
        const [one, other] = [short.send(program, frame), long.send(program, frame)].map(outcomeText) as [string, string];
        assert.equal(one, other, `the ways differ after\n${story.join('\n')}`);
        assert.deepEqual(entriesOf(short), entriesOf(long), `the entries differ after\n${story.join('\n')}`);
      }
      shortcuts += [...short.maps.conntrack.entries()].filter(([, entry]) => entry.sourceEnd.kind !== 0 && entry.destinationEnd.kind !== 0).length;
    }
    assert.ok(shortcuts > sequences / 2, `only ${shortcuts} connections learned their way: the test tries nothing`);
  });

  for (const family of families) {
    const hello: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'A' };
    const back: FrameSpec = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000 };
    const open = (to: FrameSpec): void => {
      short.send('from_pod', { ...to, flags: 'S' });
      short.send('from_pod', { ...back, flags: 'SA' });
      short.send('from_pod', to);
    };

    test(`${family.name}: what they know holds until the generation moves, and not a packet longer`, () => {
      open(hello);
      short.maps.endpoints.delete({ addr: parseAddr(family.b) });
      assert.equal(short.send('from_pod', hello).action, 'redirect', 'the row is not asked');
      short.commit();
      assert.equal(short.send('from_pod', hello).action, 'drop');
      assert.equal(short.send('from_pod', back).reason, 'INVALID_SOURCE_IP');
    });

    test(`${family.name}: a service's address is written in place both ways, for TCP and for datagrams with and without a checksum`, () => {
      for (const change of [{}, { protocol: 'udp' }, { protocol: 'udp', noChecksum: family.name === 'IPv4', payload: new Uint8Array(3) }] as const) {
        const to = { ...hello, ...change, destination: family.service, destinationPort: servicePort };
        for (const frame of [{ ...to, flags: 'S' }, { ...back, ...change, flags: 'SA' }, to]) short.send('from_pod', frame);
        const there = short.send('from_pod', to).packet;
        assert.deepEqual([there.destination, there.destinationPort, there.checksumsGood, there.hopLimit], [family.b, backendPort, true, 63]);
        const here = short.send('from_pod', { ...back, ...change }).packet;
        assert.deepEqual([here.source, here.sourcePort, here.checksumsGood], [family.service, servicePort, true]);
        short.reset();
      }
    });

    test(`${family.name}: another pod cannot use them, whatever it writes`, () => {
      open(hello);
      short.endpoint(family.b, { ...rowOfB, ifindex: 2 });
      short.commit();
      open(hello);
      for (const forged of [{ ...back }, { ...back, sourceMac: mac.a }]) assert.equal(short.send('from_pod', forged).reason, 'INVALID_SOURCE_IP');
      assert.equal(short.send('from_pod', { ...hello, sourceMac: mac.b }).reason, 'INVALID_SOURCE_MAC');
      assert.equal(short.send('from_network', hello).reason, 'INVALID_SOURCE_IP');
    });
  }
});
