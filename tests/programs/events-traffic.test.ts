/**
 * What real conversations tell, on both nodes: rig.ts has the picture. Totals are held against what was said: every segment here has 32
 * bytes of TCP header, and the two that open a connection 40.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionEnd, EventFlag, ObservationPoint } from '../../src/datapath/generated/enums.ts';
import type { FlowEvent } from '../../src/datapath/generated/structs.ts';
import { address, type Told, type Trace } from './harness.ts';
import { addressesOf, BACKEND_PORT, pods, Rig, SERVICE_PORT, services, world } from './rig.ts';

for (const tunnel of [true, false]) {
  const rig = new Rig({ ns: `cpe${process.pid % 100000}${tunnel ? 't' : 'n'}`, tunnel });
  const { nodes } = rig;

  /** Segments that anybody here has sent again: who hears nothing for a fifth of a second does so, and is answered with blocks of SACK. */
  const sentAgain = (): number => ['a', 'b', 'c', 'u'].reduce((sum, where) => sum + Number(rig.inside(where, "awk '/^Tcp: [0-9]/ { print $13 }' /proc/net/snmp")), 0);
  let sentAgainBefore = 0;

  /** What both nodes tell of a conversation, once node 1 has told its end or enough time has passed for one that does not end. */
  async function toldOf(talk: () => void, protocol: number, ends: boolean): Promise<readonly [Told, Told]> {
    sentAgainBefore = sentAgain();
    for (const node of nodes) node.told();
    talk();
    const all: [Told[], Told[]] = [[], []];
    const merged = (parts: readonly Told[]): Told => {
      const mine = <T extends FlowEvent>(events: readonly T[]): T[] => events.filter(event => event.protocol === protocol);
      return { flows: mine(parts.flatMap(t => t.flows)), requests: [], drops: mine(parts.flatMap(t => t.drops)), traces: mine(parts.flatMap(t => t.traces)), names: parts.flatMap(t => t.names) };
    };
    for (let waited = 0; ; waited += 10) {
      nodes.forEach((node, i) => all[i]!.push(node.told()));
      const told = [merged(all[0]), merged(all[1])] as const;
      const [here, there] = told;
      const over = (one: Told): boolean => one.traces.length === 0 || one.traces.some(t => t.totals);
      if (!ends || (here.traces.length > 0 && over(here) && over(there)) || waited > 5_000) return told;
      await sleep(10);
    }
  }

  const points = (told: Told): string[] => [...new Set(told.traces.filter(t => !t.totals || !(t.flags & EventFlag.Packetless)).map(t => Object.keys(ObservationPoint).find(key => ObservationPoint[key as keyof typeof ObservationPoint] === t.reasonOrPoint)!))].sort();

  function onlyOne(traces: readonly Trace[], which: (trace: Trace) => boolean, what: string): Trace {
    const found = traces.filter(which);
    assert.equal(found.length, 1, `${what}: ${JSON.stringify(traces.map(t => [t.tcpFlags, t.ctState, t.end, t.reasonOrPoint, t.latencyUs]))}`);
    return found[0]!;
  }

  /** First packet, first answer, one FIN and the end, in this order, and nothing else. */
  function checkWhole(told: Told, o: { readonly verdicts: readonly number[]; readonly sent: number; readonly got: number; readonly header: number }): Trace {
    assert.deepEqual(told.flows.map(flow => [flow.direction, flow.verdict]), o.verdicts.map(direction => [direction, 1]));
    assert.equal(told.drops.length, 0);
    const first = onlyOne(told.traces, t => t.ctState === 0, 'first packets');
    const answer = onlyOne(told.traces, t => t.latencyUs > 0, 'first answers');
    const end = onlyOne(told.traces, t => t.totals !== undefined, 'ends');
    onlyOne(told.traces, t => (t.tcpFlags & 1) !== 0 && !t.totals, 'first FINs');
    assert.equal(told.traces.length, 4);
    assert.deepEqual([first.tcpFlags, answer.tcpFlags, end.tcpFlags & 1, end.end], [2, 0x12, 1, ConnectionEnd.Closed]);
    assert.ok(first.timeNs < answer.timeNs && answer.timeNs < end.timeNs);
    const { forwardPackets, forwardBytes, replyPackets, replyBytes, durationNs } = end.totals!;
    const bytes = [forwardBytes, replyBytes].map(Number), least = [Number(forwardPackets) * o.header + 8 + o.sent, Number(replyPackets) * o.header + 8 + o.got];
    // A machine that stands still for a moment makes them more.
    assert.deepEqual(sentAgain() === sentAgainBefore ? bytes : bytes.map((n, i) => Math.min(n, least[i]!)), least);
    assert.ok(Number(durationNs) / 1000 >= answer.latencyUs);
    return end;
  }

  describe(`what conversations tell, ${tunnel ? 'through the tunnel' : 'with native routing'}`, () => {
    before(() => rig.start());
    after(() => rig[Symbol.dispose]());

    [0, 1].forEach(i => {
      const family = i ? 'IPv6' : 'IPv4';
      const [a, b, c] = pods.map(pod => addressesOf(pod)[i]!) as [string, string, string];
      const header = i ? 86 : 66;
      /** What the server says back: who it saw, and how much. */
      const said = (who: string): number => `${who} 10\n`.length;
      const away = tunnel ? 'ToOverlay' : 'ToNetwork';

      test(`${family}: two pods of a node`, async () => {
        const [here, there] = await toldOf(() => rig.ask('a', 'tcp', b), 6, true);
        const end = checkWhole(here, { verdicts: [2, 1], sent: 10, got: said(a), header });
        assert.deepEqual([points(here), there.flows.length + there.traces.length], [['ToEndpoint'], 0]);
        assert.equal(end.flags & EventFlag.Reply ? address(end.source) : address(end.destination), b);
      });

      test(`${family}: pods of two nodes, each node what it saw`, async () => {
        const [here, there] = await toldOf(() => rig.ask('a', 'tcp', c), 6, true);
        const ends = [checkWhole(here, { verdicts: [2], sent: 10, got: said(a), header }), checkWhole(there, { verdicts: [1], sent: 10, got: said(a), header })];
        assert.deepEqual([points(here), points(there)], [[away, 'ToEndpoint'].sort(), [away, 'ToEndpoint'].sort()]);
        assert.deepEqual(ends.map(end => [end.sourceIdentity, end.destinationIdentity].sort()), [[1001, 1003], [1001, 1003]]);
      });

      test(`${family}: a service, packet by packet`, async () => {
        const [here, there] = await toldOf(() => rig.ask('a', 'tcp', services[i]!, SERVICE_PORT), 6, true);
        checkWhole(here, { verdicts: [2], sent: 10, got: said(a), header });
        checkWhole(there, { verdicts: [1], sent: 10, got: said(a), header });
        assert.ok(here.traces.every(t => address(t.service) === services[i] && t.servicePort === SERVICE_PORT), 'the client\'s node knows the service');
        assert.ok(there.traces.every(t => address(t.service) !== services[i]));
      });

      test(`${family}: the world, by the pod's own address`, async () => {
        const [here] = await toldOf(() => rig.ask('a', 'tcp', world[i]!), 6, true);
        checkWhole(here, { verdicts: [2], sent: 10, got: said(i ? 'fdc1::11' : '172.30.0.11'), header });
        assert.ok(here.traces.every(t => [address(t.source), address(t.destination)].includes(a)), 'no node stands in for it here');
        assert.deepEqual(points(here), ['ToEndpoint', 'ToNetwork']);
      });

      test(`${family}: much at once: bytes are what was said, whatever the segments`, async () => {
        const [here] = await toldOf(() => assert.match(rig.ask('a', 'fetch', b, BACKEND_PORT, { size: 1 << 20 }), /^got 1048576/), 6, true);
        const { replyPackets, replyBytes } = onlyOne(here.traces, t => t.totals !== undefined, 'ends').totals!;
        assert.ok(Number(replyBytes) >= (1 << 20) + Number(replyPackets) * (header - 12), `${replyBytes} in ${replyPackets}`);
      });

      test(`${family}: a closed port: the refusal is the first answer and the end`, async () => {
        const [here, there] = await toldOf(() => assert.match(rig.ask('a', 'tcp', c, 9), /Refused/), 6, true);
        for (const told of [here, there]) {
          const end = onlyOne(told.traces, t => t.totals !== undefined, 'ends');
          assert.deepEqual([end.end, end.ctState, end.latencyUs > 0, told.traces.length, end.totals!.forwardPackets, end.totals!.replyPackets], [ConnectionEnd.Reset, 2, true, 2, 1n, 1n]);
        }
      });

      test(`${family}: datagrams and echoes tell their first and its answer`, async () => {
        const [udp] = await toldOf(() => rig.ask('a', 'several-udp', b), 17, false);
        assert.deepEqual(udp.traces.map(t => [address(t.source), t.ctState, t.latencyUs > 0]), [[a, 0, false], [b, 2, true]]);
        const [echo] = await toldOf(() => assert.equal(rig.ping('a', c), 'answered'), i ? 58 : 1, false);
        assert.deepEqual(echo.traces.map(t => [address(t.source), t.ctState, t.icmpType]), [[a, 0, i ? 128 : 8], [c, 2, i ? 129 : 0]]);
      });

      test(`${family}: a denial is told by the node that denies, each attempt`, async () => {
        nodes[1]!.policy(103, 2);
        nodes[1]!.commit();
        try {
          const [here, there] = await toldOf(() => assert.match(rig.ask('a', 'tcp', c), /Timeout/), 6, false);
          assert.deepEqual(here.traces.map(t => [t.ctState, t.tcpFlags]), [[0, 2]]);
          assert.ok(there.drops.length >= 2, 'a SYN that is sent again is denied again');
          assert.deepEqual([there.traces.length, there.flows.length], [0, there.drops.length]);
          assert.ok(there.drops.every(drop => drop.rule === 103 && drop.reasonOrPoint === 181 && drop.direction === 1 && drop.sourceIdentity === 1001 && drop.destinationIdentity === 1003 && drop.ifindex > 0));
        } finally {
          nodes[1]!.policy(103, 1);
          nodes[1]!.commit();
        }
      });
    });
  });
}
