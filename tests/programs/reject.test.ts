/** What a pod hears of a service that has nobody. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { Datapath, families, type Family, mac, servicePort } from './harness.ts';
import { buildIp, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
const silent = new Datapath({ noBackendDrop: 1 });
after(() => [datapath, silent].forEach(one => one.close()));
beforeEach(() => [datapath, silent].forEach(one => one.reset()));

const LONELY = 158;
const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

const ask = (family: Family, protocol: keyof typeof protocols, change: Partial<FrameSpec> = {}): FrameSpec =>
  ({ sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.lonely, protocol, sourcePort: 40000, destinationPort: servicePort, flags: 'S', payload: new Uint8Array(20), ...change });

function lonely(on: Datapath, family: Family, protocol: number, flags = 0): void {
  on.maps.services.update({ addr: parseAddr(family.lonely), port: servicePort, protocol, scope: 0 }, { id: 900, count: 0, affinityTimeout: 0, maglev: 0, flags, type: 0 });
}

/** The answer's TCP header. */
function tcpOf(frame: Uint8Array, family: Family): { seq: number; ack: number; flags: number; length: number } {
  const at = 14 + (family.name === 'IPv4' ? 20 : 40);
  const view = new DataView(frame.buffer, frame.byteOffset + at);
  return { seq: view.getUint32(4), ack: view.getUint32(8), flags: view.getUint8(13), length: frame.length - at };
}

for (const family of families) {
  const head = family.name === 'IPv4' ? 20 : 40;

  describe(`a service without backends (${family.name})`, () => {
    const told = (spec: FrameSpec | Uint8Array, on = datapath) => {
      const outcome = on.send('from_pod', spec);
      assert.deepEqual(outcome.drops.map(drop => drop.reasonOrPoint), [LONELY], 'the drop is told either way');
      return outcome;
    };
    const unanswered = (spec: FrameSpec | Uint8Array, why: string, on = datapath): void => {
      const outcome = on.send('from_pod', spec);
      assert.deepEqual([outcome.action, outcome.reason], ['drop', 'NO_SERVICE_BACKEND'], why);
    };

    for (const [flags, payload, expected] of [
      ['S', 0, { seq: 0, ack: 1001, flags: 0x14 }],
      ['S', 30, { seq: 0, ack: 1031, flags: 0x14 }],
      ['F', 0, { seq: 0, ack: 1001, flags: 0x14 }],
      ['SF', 7, { seq: 0, ack: 1009, flags: 0x14 }],
      ['A', 100, { seq: 0, ack: 0, flags: 0x04 }],
      ['PA', 1400, { seq: 0, ack: 0, flags: 0x04 }],
      ['SA', 0, { seq: 0, ack: 0, flags: 0x04 }],
    ] as const) {
      test(`TCP ${flags} with ${payload} bytes is answered by the reset that RFC 9293 asks for`, () => {
        const { action, frame, packet } = told(ask(family, 'tcp', { flags, payload: new Uint8Array(payload) }));
        assert.equal(action, 'redirect');
        assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.checksumsGood], [family.lonely, servicePort, family.a, 40000, true]);
        assert.deepEqual([packet.sourceMac, packet.destinationMac, packet.hopLimit], [mac.host, mac.a, 64]);
        assert.deepEqual(tcpOf(frame, family), { ...expected, length: 20 });
      });
    }

    for (const protocol of ['udp', 'sctp'] as const) {
      for (const payload of [0, 9, 40, 1300]) {
        test(`${protocol} with ${payload} bytes is answered by "port unreachable" with the smallest quotation`, () => {
          lonely(datapath, family, protocols[protocol]);
          const spec = ask(family, protocol, { payload: new Uint8Array(payload).fill(7) });
          const { action, frame, packet } = told(spec);
          assert.equal(action, 'redirect');
          assert.deepEqual([packet.source, packet.destination, packet.icmpType, packet.checksumsGood], [family.lonely, family.a, family.unreachable, true]);
          assert.deepEqual(packet.quoted, { source: family.a, destination: family.lonely, sourcePort: 40000, destinationPort: servicePort, headerChecksumGood: true });
          const quoted = protocol === 'sctp' && payload >= 8 ? 20 : 8;
          assert.equal(frame.length, 14 + head + 8 + head + quoted);
          assert.deepEqual([...frame.subarray(14 + head + 8)], [...buildIp(spec).subarray(0, head + quoted)]);
          assert.equal(frame[14 + head + 1], family.name === 'IPv4' ? 3 : 4, 'the code');
        });
      }
    }

    test('no answer where none may be given: resets, fragments, ICMP errors, options, silence', () => {
      unanswered(ask(family, 'tcp', { flags: 'R' }), 'a reset');
      unanswered(ask(family, 'tcp', { flags: 'RA' }), 'a reset');
      unanswered(ask(family, 'udp', { fragment: { id: 5, offset: 0, more: true }, payload: new Uint8Array(32) }), 'the first fragment');
      unanswered(ask(family, 'udp', { fragment: { id: 5, offset: 24, more: false }, payload: new Uint8Array(64) }), 'a later fragment');
      const quoted = buildIp({ source: family.lonely, destination: family.a, protocol: 'udp', sourcePort: servicePort, destinationPort: 40000 });
      unanswered({ ...ask(family, 'udp'), protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: quoted } }, 'an ICMP error');
      unanswered(ask(family, 'tcp', family.name === 'IPv4' ? { options: new Uint8Array(4).fill(1) } : { extensions: [{ number: 60, bytes: Uint8Array.of(1, 4, 0, 0, 0, 0) }] }), 'options');
      lonely(datapath, family, 6, ServiceFlag.Silent);
      unanswered(ask(family, 'tcp'), 'traffic policy Local');
      unanswered(ask(family, 'tcp'), 'serviceNoBackendResponse: drop', silent);
      unanswered(ask(family, 'udp'), 'serviceNoBackendResponse: drop', silent);
    });

    test('a thousand reports a second and processor, and no limit to resets', () => {
      const clock = () => process.hrtime.bigint();
      /** Within one second of the kernel's coarse clock, which may be some milliseconds behind. */
      const withSpent = (reports: bigint, protocol: 'tcp' | 'udp'): string => {
        for (;;) {
          const before = clock();
          datapath.maps.reportBudgets.update(0, { second: before / 1_000_000_000n, reports });
          const { action } = datapath.send('from_pod', ask(family, protocol));
          if (before % 1_000_000_000n > 20_000_000n && clock() / 1_000_000_000n === before / 1_000_000_000n) return action;
        }
      };
      assert.equal(withSpent(999n, 'udp'), 'redirect');
      assert.equal(withSpent(1000n, 'udp'), 'drop');
      assert.equal(withSpent(1000n, 'tcp'), 'redirect');
      datapath.maps.reportBudgets.update(0, { second: clock() / 1_000_000_000n - 5n, reports: 5000n });
      assert.equal(datapath.send('from_pod', ask(family, 'udp')).action, 'redirect', 'another second');
    });
  });
}
