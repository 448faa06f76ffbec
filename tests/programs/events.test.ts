/**
 * What connections tell. A model of a node that knows nothing of the programs counts what it sends; what was told must be that: each
 * first packet, each first answer and each end once, with exact totals, whichever way the packets took.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ConnectionEnd, ConntrackFlag, ConntrackKind, EventFlag, MonitorAggregation, ObservationPoint } from '../../src/datapath/generated/enums.ts';
import { ConntrackSweep } from '../../src/features/conntrack/sweep.ts';
import { createLogger } from '../../src/std/log.ts';
import { Random, seedOfRun } from '../differential/random.ts';
import { address, backendPort, Datapath, families, id, identity, mac, rule, servicePort, set, type Family, type Outcome, type ProgramName, type Trace } from './harness.ts';
import { buildFrame, type FrameSpec } from './packet.ts';
import type { SenderOrder } from './sender-thread.ts';

const seed = seedOfRun();
const rounds = process.env.CIRRI_LONG ? 300 : 20;
const EGRESS = 2;
const INGRESS = 1;

const pointName = new Map<number, string>(Object.entries(ObservationPoint).map(([name, number]) => [number, name]));
const points = (outcome: Outcome): string[] => outcome.traces.map(trace => pointName.get(trace.reasonOrPoint)!);

function sweepOf(world: Datapath): () => void {
  const sweep = new ConntrackSweep({ maps: world.maps, program: name => world.program(name), log: createLogger({ component: 'test' }), monotonicNs: () => Number(process.hrtime.bigint()) + 1e15 });
  return () => {
    const before = sweep.rounds;
    while (sweep.rounds === before) sweep.step();
  };
}

function expire(world: Datapath): void {
  for (const [key, entry] of [...world.maps.conntrack.entries()]) world.maps.conntrack.update(key, { ...entry, expiresNs: 1n });
}

for (const family of families) {
  const hello: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'S' };
  const back: FrameSpec = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000, flags: 'A' };

  describe(`what connections tell (${family.name})`, () => {
    let datapath: Datapath;
    before(() => { datapath = new Datapath(); });
    after(() => datapath.close());
    beforeEach(() => datapath.reset());
    const send = (frame: FrameSpec, program: ProgramName = 'from_pod'): Outcome => datapath.send(program, frame);
    const sweep = (): readonly Trace[] => {
      sweepOf(datapath)();
      return datapath.told().traces;
    };

    test('a conversation between two pods, word for word', () => {
      const opened = send(hello);
      assert.deepEqual(opened.flows.map(flow => [flow.direction, flow.verdict]), [[EGRESS, 1], [INGRESS, 1]]);
      assert.deepEqual(opened.traces.map(t => [address(t.source), address(t.destination), t.reasonOrPoint, t.ctState, t.direction, t.flags & ~EventFlag.V6, t.tcpFlags, t.length, t.rule, t.verdict, t.end, t.latencyUs]),
        [[family.a, family.b, ObservationPoint.ToEndpoint, 0, INGRESS, 0, 2, buildFrame(hello).length, 0, 0, 0, 0]]);
      assert.deepEqual(opened.traces.map(t => [t.sourceIdentity, t.destinationIdentity, t.sourceEndpoint, t.destinationEndpoint]), [[identity.a, identity.b, id.a, id.b]]);
      assert.equal(send(hello).traces.length, 0, 'once more the same');

      const answered = send({ ...back, flags: 'SA' }).traces;
      assert.deepEqual(answered.map(t => [address(t.source), t.reasonOrPoint, t.ctState, t.direction, t.flags & EventFlag.Reply, t.sourceIdentity, t.sourceEndpoint, t.end]),
        [[family.b, ObservationPoint.ToEndpoint, 2, EGRESS, EventFlag.Reply, identity.b, id.b, 0]]);
      const [{ latencyUs }] = answered as [Trace];
      assert.ok(latencyUs > 0 && latencyUs < 60e6, `${latencyUs} us`);

      for (const frame of [{ ...hello, flags: 'A' }, back, { ...hello, flags: 'PA' }]) assert.equal(send(frame).traces.length, 0);
      const closing = send({ ...hello, flags: 'FA' }).traces;
      assert.deepEqual(closing.map(t => [t.tcpFlags, t.ctState, t.end, t.totals]), [[0x11, 1, 0, undefined]]);
      assert.equal(send({ ...hello, flags: 'FA' }).traces.length, 0, 'a FIN that is sent again');

      const ended = send({ ...back, flags: 'FA' }).traces;
      const bytes = (count: number): bigint => BigInt(count * buildFrame(hello).length);
      assert.deepEqual(ended.map(t => [t.tcpFlags, t.ctState, t.end, t.flags & ~EventFlag.V6]), [[0x11, 2, ConnectionEnd.Closed, EventFlag.Reply | EventFlag.End]]);
      const { durationNs, ...totals } = ended[0]!.totals!;
      assert.deepEqual(totals, { forwardPackets: 6n, forwardBytes: bytes(6), replyPackets: 3n, replyBytes: bytes(3) });
      assert.ok(durationNs > 0n && durationNs < 60_000_000_000n);
      for (const frame of [{ ...hello, flags: 'A' }, { ...back, flags: 'R' }]) assert.equal(send(frame).traces.length, 0, 'it is over');
      expire(datapath);
      assert.equal(sweep().length, 0, 'and stays so');
    });

    test('a refused connection: one record is the first answer and the end', () => {
      send(hello);
      const [refused, ...more] = send({ ...back, flags: 'RA' }).traces;
      assert.equal(more.length, 0);
      assert.deepEqual([refused!.end, refused!.ctState, refused!.totals!.forwardPackets, refused!.totals!.replyPackets], [ConnectionEnd.Reset, 2, 1n, 1n]);
      assert.ok(refused!.latencyUs > 0);
    });

    test('a reset that belongs to nothing begins a connection and ends it', () => {
      const told = send({ ...hello, flags: 'R' });
      assert.deepEqual(told.traces.map(t => [t.end, t.ctState, t.totals!.forwardPackets, t.totals!.replyPackets]), [[ConnectionEnd.Reset, 0, 1n, 0n]]);
      expire(datapath);
      assert.equal(sweep().length, 0);
    });

    test('who grows old is told by the sweep, with the totals, and as what no packet shows', () => {
      send({ ...hello, protocol: 'udp' });
      send({ ...back, protocol: 'udp', payload: new Uint8Array(9) });
      expire(datapath);
      const told = sweep();
      assert.deepEqual(told.map(t => [address(t.source), t.end, t.flags & ~EventFlag.V6, t.ifindex, t.length, t.direction, t.totals!.forwardPackets, t.totals!.replyPackets]),
        [[family.a, ConnectionEnd.Idle, EventFlag.End | EventFlag.Packetless, 0, 0, EGRESS, 1n, 1n]]);
      assert.equal(told[0]!.totals!.replyBytes, BigInt(buildFrame({ ...back, protocol: 'udp', payload: new Uint8Array(9) }).length));
      assert.equal(sweep().length, 0);
    });

    test('who grows old and is opened again before the sweep comes tells its end first', () => {
      send(hello);
      expire(datapath);
      const again = send(hello);
      assert.deepEqual(again.traces.map(t => [t.end, t.ctState, (t.flags & EventFlag.Packetless) !== 0]), [[ConnectionEnd.Idle, 1, true], [0, 0, false]]);
      assert.equal(again.flows.length, 2);
    });

    test('a port that is used again after one FIN', () => {
      send(hello);
      send({ ...back, flags: 'SA' });
      send({ ...hello, flags: 'FA' });
      assert.deepEqual(send(hello).traces.map(t => [t.end, t.totals?.forwardPackets, t.ctState]), [[ConnectionEnd.Idle, 2n, 1], [0, undefined, 0]]);
    });

    test('what policy takes away is told once with its rule; each of its packets is a drop; and it ends again when it lives again', () => {
      send(hello);
      send({ ...back, flags: 'SA' });
      datapath.denyAll(set.bIngress);
      datapath.commit();
      const denied = send({ ...hello, flags: 'A' });
      assert.deepEqual(denied.traces.map(t => [t.end, t.flags & ~EventFlag.V6, t.rule, t.direction, t.totals!.forwardPackets, t.totals!.replyPackets]),
        [[ConnectionEnd.Revoked, EventFlag.End | EventFlag.Packetless, rule.deny, INGRESS, 1n, 1n]]);
      for (const frame of [{ ...hello, flags: 'A' }, back]) {
        const outcome = send(frame);
        assert.deepEqual([outcome.traces.length, outcome.drops.map(drop => [drop.rule, drop.verdict, drop.reasonOrPoint])], [0, [[rule.deny, 2, 133]]]);
      }
      datapath.allowAll(set.bIngress);
      datapath.commit();
      assert.equal(send({ ...hello, flags: 'A' }).traces.length, 0);
      const [end] = send({ ...back, flags: 'R' }).traces;
      assert.deepEqual([end!.end, end!.totals!.forwardPackets, end!.totals!.replyPackets], [ConnectionEnd.Reset, 2n, 2n]);
    });

    test('each denied attempt tells again, as a verdict and as a drop', () => {
      datapath.denyAll(set.aEgress);
      const made = counted(datapath, ConnectionEnd.None);
      for (let i = 0; i < 3; i++) {
        const { flows, drops, traces } = send(hello);
        assert.deepEqual([flows.map(flow => [flow.verdict, flow.rule]), drops.map(drop => [drop.rule, drop.verdict, drop.direction, drop.ifindex, drop.sourceIdentity, drop.destinationIdentity]), traces.length],
          [[[2, rule.deny]], [[rule.deny, 2, EGRESS, 1, identity.a, identity.b]], 0]);
      }
      assert.equal(counted(datapath, ConnectionEnd.None), made, 'no connection was made');
    });

    test('drops know both ends, also before anybody was asked', () => {
      const [early] = send({ ...hello, destination: family.lonely, destinationPort: servicePort }).drops;
      assert.equal(early!.sourceIdentity, identity.a);
      const [late] = send({ ...hello, destination: family.remote, hopLimit: 1 }).drops;
      assert.deepEqual([late!.sourceIdentity, late!.destinationIdentity], [identity.a, identity.remote]);
      const [lie] = send({ ...hello, source: family.b, sourceMac: mac.a }).drops;
      assert.deepEqual([lie!.sourceIdentity, lie!.destinationIdentity], [0, identity.b], 'who a lie is about had no part in it');
    });

    test('where a packet goes on to', () => {
      for (const [frame, program, point, direction] of [
        [{ ...hello, destination: family.remote }, 'from_pod', 'ToNetwork', EGRESS], [{ ...hello, destination: family.node }, 'from_pod', 'ToHost', EGRESS],
        [{ ...hello, destination: family.world }, 'from_pod', 'ToNetwork', EGRESS], [{ ...hello, source: family.remote, destination: family.a }, 'from_network', 'ToEndpoint', INGRESS],
        [{ ...hello, source: family.node, destination: family.a }, 'to_pod', 'ToEndpoint', INGRESS],
      ] as const) {
        const outcome = send({ ...frame, sourcePort: 41000 }, program);
        assert.deepEqual([points(outcome), outcome.traces.map(t => t.direction)], [[point], [direction]], `${program} ${frame.destination}`);
      }
    });

    test('what is masqueraded is told by the name that policy knows', () => {
      const [there] = send({ ...hello, destination: family.world }).traces;
      assert.deepEqual([address(there!.source), there!.sourcePort], [family.a, 40000]);
    });

    test("a service's connection tells the service, and the backend as its end", () => {
      const [there] = send({ ...hello, destination: family.service, destinationPort: servicePort }).traces;
      assert.deepEqual([address(there!.destination), there!.destinationPort, address(there!.service), there!.servicePort], [family.b, backendPort, family.service, servicePort]);
      const [here] = send({ ...back, flags: 'SA' }).traces;
      assert.deepEqual([address(here!.source), address(here!.service), here!.ctState], [family.b, family.service, 2]);
      expire(datapath);
      assert.deepEqual(sweep().map(t => [t.end, address(t.service)]), [[ConnectionEnd.Idle, family.service]], 'the note of the service is no connection');
    });

    test('echoes: the first and its answer', () => {
      const echo = { ...hello, protocol: 'icmp', icmp: { type: family.echo, id: 7 } } as const;
      assert.deepEqual([send(echo).traces.length, send(echo).traces.length], [1, 0]);
      const reply = { ...back, protocol: 'icmp', icmp: { type: family.echoReply, id: 7 } } as const;
      const [first] = send(reply).traces;
      assert.deepEqual([first!.icmpType, first!.ctState], [family.echoReply, 2]);
      assert.equal(send(reply).traces.length, 0);
    });

    test('a DNS message is told with its bytes, once a packet, and the next one too', () => {
      const query = Uint8Array.from({ length: 40 }, (_, i) => i + 1);
      const ask: FrameSpec = { ...hello, protocol: 'udp', destinationPort: 53, payload: query };
      const answer: FrameSpec = { ...back, protocol: 'udp', sourcePort: 53, payload: new Uint8Array(1600).fill(7) };
      for (let i = 0; i < 3; i++) {
        const asked = send(ask);
        assert.deepEqual(asked.names.map(name => [name.event.type, address(name.event.source), name.event.reasonOrPoint, name.length, name.captured, Buffer.from(name.payload).equals(query)]),
          [[129, family.a, ObservationPoint.ToEndpoint, 40, 40, true]]);
        const [told] = send(answer).names;
        assert.deepEqual([told!.length, told!.captured, told!.payload.length, told!.event.flags & EventFlag.Reply, told!.event.sourceIdentity], [1600, 1472, 1472, EventFlag.Reply, identity.b]);
      }
      assert.equal(send({ ...ask, payload: new Uint8Array(0) }).names.length, 0, 'an empty datagram');
      assert.equal(send({ ...hello, protocol: 'udp', destinationPort: 54, payload: query }).names.length, 0);
      assert.equal(send({ ...ask, protocol: 'tcp', flags: 'S' }).names.length, 0);
      datapath.denyAll(set.aEgress);
      datapath.commit();
      assert.equal(send(ask).names.length, 0, 'a denied question is a drop');
    });

    test('who reads a third of a second late at 200,000 drops a second has them all; what other records are lost is counted', () => {
      const row = (ring: number): bigint => datapath.maps.lostEvents.lookupPerCpu(ring)!.reduce((sum, n) => sum + n, 0n);
      const [flowsBefore, dropsBefore] = [row(0), row(1)];
      datapath.denyAll(set.bIngress);
      // Each is two verdicts in the ring of flows, which is full at 34,952, and a drop.
      const drops = 66_666;
      datapath.program('from_pod').testRun({ data: buildFrame(hello), repeat: drops });
      const told = datapath.told();
      assert.equal(told.drops.length, drops);
      assert.equal(row(1), dropsBefore);
      assert.ok(told.drops.every(drop => drop.rule === rule.deny && drop.verdict === 2 && drop.destinationIdentity === identity.b), 'none has lost its rule');
      assert.equal(BigInt(told.flows.length) + row(0) - flowsBefore, BigInt(2 * drops));
      assert.ok(row(0) > flowsBefore);
    });
  });
}

function counted(world: Datapath, end: number): bigint {
  return world.maps.connectionCounts.lookupPerCpu(end)!.reduce((sum, n) => sum + n, 0n);
}

describe('levels', () => {
  const [family] = families as readonly [Family];
  const hello: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'S' };
  const back: FrameSpec = { ...hello, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000 };
  const talk: readonly FrameSpec[] = [hello, { ...back, flags: 'SA' }, { ...hello, flags: 'A' }, { ...hello, flags: 'PA' }, { ...back, flags: 'A' }, { ...hello, flags: 'FA' }, { ...back, flags: 'FA' }, { ...hello, flags: 'A' }];
  const told: Readonly<Record<keyof typeof MonitorAggregation, readonly string[]>> = {
    None: talk.map(() => 'FromEndpoint ToEndpoint'),
    Low: talk.map(() => 'ToEndpoint'),
    Medium: ['ToEndpoint', 'ToEndpoint', '', '', '', 'ToEndpoint', 'ToEndpoint', ''],
    Max: ['ToEndpoint', 'ToEndpoint', '', '', '', '', 'ToEndpoint', ''],
    Silent: talk.map(() => ''),
  };
  for (const [level, expected] of Object.entries(told)) {
    test(level.toLowerCase(), () => {
      const world = new Datapath({ monitorAggregation: MonitorAggregation[level as keyof typeof MonitorAggregation] });
      try {
        const outcomes = talk.map(frame => world.send('from_pod', frame));
        assert.deepEqual(outcomes.map(outcome => points(outcome).join(' ')), expected);
        assert.equal(outcomes.flatMap(outcome => outcome.traces).filter(t => t.totals).length, level === 'Silent' ? 0 : 1);
        world.denyAll(set.aEgress);
        assert.equal(world.send('from_pod', { ...hello, sourcePort: 40001 }).drops.length, 1, 'drops are told always');
      } finally {
        world.close();
      }
    });
  }
});

test('two processors that close one connection at the same moment tell one end, and of two answers one is the first', async () => {
  const world = new Datapath();
  try {
    const [family] = families;
    const to = (sourcePort: number, flags: string): FrameSpec => ({ sourceMac: mac.a, destinationMac: mac.host, source: family!.a, destination: family!.b, protocol: 'tcp', sourcePort, destinationPort: backendPort, flags });
    const back = (port: number, flags: string): FrameSpec => ({ sourceMac: mac.b, destinationMac: mac.host, source: family!.b, destination: family!.a, protocol: 'tcp', sourcePort: backendPort, destinationPort: port, flags });
    const ports = Array.from({ length: 1500 }, (_, i) => 10_000 + i);
    for (const port of ports) world.run('from_pod', buildFrame(to(port, 'S')));
    const together = async (frames: readonly (readonly FrameSpec[])[]): Promise<readonly Trace[]> => {
      const gate = new SharedArrayBuffer(4);
      const order = (own: readonly FrameSpec[]): SenderOrder => ({ fd: world.programFd('from_pod'), frames: own.map(buildFrame), gate, threads: frames.length });
      const threads = frames.map(own => new Worker(new URL('./sender-thread.ts', import.meta.url), { workerData: order(own) }));
      await Promise.all(threads.map(thread => once(thread, 'message')));
      await Promise.all(threads.map(thread => thread.terminate()));
      return world.told().traces;
    };
    const port = (t: Trace): number => (t.sourcePort === backendPort ? t.destinationPort : t.sourcePort);
    const answers = await together([0, 1].map(() => ports.map(p => back(p, 'SA'))));
    assert.deepEqual(answers.filter(t => t.ctState === 2).map(port).sort(), ports);
    const closing = await together([ports.map(p => to(p, 'FA')), ports.map(p => back(p, 'FA'))]);
    assert.deepEqual(closing.filter(t => t.totals).map(port).sort(), ports, 'each ends once');
    assert.equal(closing.length, 2 * ports.length, 'and tells its other FIN');
  } finally {
    world.close();
  }
});

/** What the model knows of a connection. */
interface Known {
  packets: [number, number];
  bytes: [number, number];
  answered: boolean;
  closed: Set<number>;
  ended: boolean;
}

describe('many connections at once', () => {
  for (const [name, config] of [['medium', {}], ['native routing without masquerade', { masquerade: 0 }], ['every packet', { monitorAggregation: MonitorAggregation.Low }]] as const) {
    test(`${name}: each tells its first packet, first answer and end once, with exact totals (CIRRI_SEED=${seed})`, () => {
      const world = new Datapath(config);
      try {
        const random = new Random(seed);
        for (let round = 0; round < rounds; round++) stream(world, random, random.pick(families), 'monitorAggregation' in config);
      } finally {
        world.close();
      }
    });
  }
});

/** A stream of packets of some connections; the node's ends are asked about `verdicts`, and everything is compared after every packet. */
function stream(world: Datapath, random: Random, family: Family, every: boolean): void {
  world.reset();
  const story: string[] = [];
  const known = new Map<string, Known>();
  const peers = [
    { address: family.b, program: 'from_pod' as const, sourceMac: mac.b, verdicts: 2, service: false },
    { address: family.remote, program: 'from_network' as const, sourceMac: mac.host, verdicts: 1, service: false },
    { address: family.b, program: 'from_pod' as const, sourceMac: mac.b, verdicts: 2, service: true },
  ];
  const sweep = sweepOf(world);
  let ends = 0;
  let made = 0;
  const before = [0, 1, 2, 3, 4].map(end => counted(world, end));

  const check = (what: string, traces: readonly Trace[], expected: { readonly first?: boolean; readonly answer?: boolean; readonly end?: Known }): void => {
    story.push(what);
    const said = `after\n${story.slice(-30).join('\n')}`;
    assert.equal(traces.filter(t => t.ctState === 0 && !(t.flags & EventFlag.Packetless)).length, expected.first ? 1 : 0, `first packets ${said}`);
    assert.equal(traces.filter(t => t.latencyUs > 0).length, expected.answer ? 1 : 0, `first answers ${said}`);
    const ended = traces.filter(t => t.totals);
    assert.equal(ended.length, expected.end ? 1 : 0, `ends ${said}`);
    if (!expected.end) return;
    const { forwardPackets, forwardBytes, replyPackets, replyBytes } = ended[0]!.totals!;
    assert.deepEqual([forwardPackets, replyPackets, forwardBytes, replyBytes].map(Number), [...expected.end.packets, ...expected.end.bytes], `totals ${said}`);
    ends++;
  };

  for (let i = 0; i < 60; i++) {
    const peer = random.pick(peers);
    const protocol = random.pick(['tcp', 'tcp', 'udp', 'icmp'] as const);
    // A connection by way of a service has ports of its own: both go to one backend.
    const port = random.pick([40000, 40001]) + (peer.service ? 100 : 0);
    if (protocol === 'icmp' && peer.service) continue;
    const key = `${protocol} ${peer.address} ${port}`;
    let state = known.get(key);
    const reply = state !== undefined && !state.ended && random.chance(0.5) ? 1 : 0;
    if (state?.ended && protocol === 'tcp' && random.chance(0.5)) continue;
    const flags = protocol !== 'tcp' ? '' : !state || state.ended ? 'S' : random.pick(reply ? ['SA', 'A', 'PA', 'FA', 'R', 'A'] : ['A', 'PA', 'A', 'FA', 'R', 'A']);
    const payload = new Uint8Array(random.pick([0, 1, 300]));
    const icmp = protocol === 'icmp' ? { icmp: { type: reply ? family.echoReply : family.echo, id: port } } : {};
    const there: FrameSpec = peer.service
      ? { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.service, protocol, sourcePort: port, destinationPort: servicePort, flags, payload }
      : { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: peer.address, protocol, sourcePort: port, destinationPort: backendPort, flags, payload, ...icmp };
    const frame: FrameSpec = reply ? { sourceMac: peer.sourceMac, destinationMac: mac.host, source: peer.address, destination: family.a, protocol, sourcePort: backendPort, destinationPort: port, flags, payload, ...icmp } : there;
    const outcome = world.send(reply ? peer.program : 'from_pod', frame);
    const length = buildFrame(frame).length;
    const opens = !state || state.ended;
    if (opens) {
      state = { packets: [0, 0], bytes: [0, 0], answered: false, closed: new Set(), ended: false };
      known.set(key, state);
      made++;
    }
    const answers = reply === 1 && !state!.answered;
    state!.answered ||= reply === 1;
    state!.packets[reply]!++;
    state!.bytes[reply]! += length;
    if (flags.includes('F')) state!.closed.add(reply);
    if (flags.includes('R')) state!.closed = new Set([0, 1]);
    const over = state!.closed.size === 2 && !state!.ended;
    state!.ended ||= over;
    assert.notEqual(outcome.action, 'drop', `${outcome.reason} of ${key} after\n${story.join('\n')}`);
    assert.equal(outcome.flows.length, opens ? peer.verdicts : 0, `verdicts of ${key}`);
    assert.equal(outcome.drops.length, 0);
    if (every) assert.equal(outcome.traces.length, 1, 'a packet, a record');
    check(`${reply ? '<' : '>'} ${key} ${flags} ${length}`, outcome.traces, { first: opens, answer: answers, ...(over && { end: state! }) });
  }

  const open = [...known.values()].filter(state => !state.ended);
  expire(world);
  sweep();
  const last = world.told().traces;
  assert.equal(last.length, open.length, 'who is left ends by age');
  assert.deepEqual(last.map(t => Number(t.totals!.forwardPackets + t.totals!.replyPackets)).sort(), open.map(({ packets }) => packets[0] + packets[1]).sort());
  assert.deepEqual(last.map(t => Number(t.totals!.forwardBytes + t.totals!.replyBytes)).sort(), open.map(({ bytes }) => bytes[0] + bytes[1]).sort());
  const after = [0, 1, 2, 3, 4].map((end, i) => Number(counted(world, end) - before[i]!));
  assert.deepEqual([after[0], after[1]! + after[2]!, after[3], after[4]], [made, ends, open.length, 0], 'counts of connections made and ended');
  const left = [...world.maps.conntrack.entries()].filter(([key, entry]) => key.kind === ConntrackKind.Flow && !(entry.flags & ConntrackFlag.Ended));
  assert.equal(left.length, 0);
}
