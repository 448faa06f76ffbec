import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { parseAddr } from '../../src/std/ip.ts';
import { backendPort, Datapath, families, mac, servicePort } from './harness.ts';
import type { FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

/** Flags that no connection begins with, and some that one may, or that one finds when the entry was lost. */
const impossible = ['', 'P', 'SF', 'SR', 'SFA', 'SRA', 'FSRPA'] as const;
const possible = ['S', 'SA', 'A', 'PA', 'FA', 'F', 'R', 'RA'] as const;

for (const family of families) {
  describe(`conntrack (${family.name})`, () => {
    const pod: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort };
    const toService: FrameSpec = { ...pod, destination: family.service, destinationPort: servicePort };
    const outside: FrameSpec = { source: family.world, destination: family.a, protocol: 'tcp', sourcePort: 40000, destinationPort: 80 };

    for (const [what, program, frame] of [['pod to pod', 'from_pod', pod], ['pod to a service', 'from_pod', toService], ['the world to a pod', 'from_network', outside], ['the node to a pod', 'to_pod', { ...outside, source: family.node }]] as const) {
      test(`${what}: no connection begins with flags that exclude each other, or with none; nothing remembers them`, () => {
        for (const flags of impossible) {
          assert.equal(datapath.send(program, { ...frame, flags }).reason, 'CONNTRACK_INVALID', flags);
          assert.equal(datapath.maps.conntrack.count(), 0);
        }
      });

      test(`${what}: one begins with a SYN, and is taken up in its middle when its entry was lost`, () => {
        for (const flags of possible) {
          datapath.reset();
          assert.notEqual(datapath.send(program, { ...frame, flags }).action, 'drop', flags);
        }
      });
    }

    test('within a connection that is known, odd flags are its own business', () => {
      for (const flags of impossible.filter(flags => !flags.includes('S') || flags.includes('A'))) {
        datapath.send('from_pod', { ...pod, flags: 'S' });
        assert.equal(datapath.send('from_pod', { ...pod, flags }).action, 'redirect', flags);
      }
    });

    test('a connection that is over does not bind the next under the same ports to its backend; one that is not does', () => {
      const service = family.name === 'IPv4' ? 1 : 3;
      const moveSlot = (id: number, addr: string): void => {
        datapath.maps.backends.update({ id }, { addr: parseAddr(addr), port: backendPort, protocol: 6, state: 0 });
        datapath.maps.serviceSlots.update({ service, slot: 0 }, { backend: id });
      };
      for (const end of ['FA', 'R', 'RA'] as const) {
        datapath.reset();
        datapath.send('from_pod', { ...toService, flags: 'S' });
        moveSlot(500, family.remote);
        assert.equal(datapath.send('from_pod', { ...toService, flags: 'S' }).packet.destination, family.b, 'a SYN that is sent again');
        datapath.send('from_pod', { ...toService, flags: 'A' });
        datapath.send('from_pod', { ...toService, flags: end });
        assert.equal(datapath.send('from_pod', { ...toService, flags: 'A' }).packet.destination, family.b, 'the last acknowledgements');
        assert.equal(datapath.send('from_pod', { ...toService, flags: 'S' }).packet.destination, family.remote, `a new one after ${end}`);
      }
    });

    test('a reset closes both directions, before an answer and after', () => {
      for (const answered of [false, true]) {
        datapath.reset();
        datapath.send('from_pod', { ...pod, flags: 'S' });
        if (answered) datapath.send('from_pod', { ...pod, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000, flags: 'SA' });
        datapath.send('from_pod', { ...pod, flags: 'R' });
        const entry = [...datapath.maps.conntrack.entries()][0]![1];
        assert.ok(entry.expiresNs - process.hrtime.bigint() < 11_000_000_000n, 'ten seconds are left');
      }
    });
  });
}
