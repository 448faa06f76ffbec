import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import { parseAddr, parsePrefix } from '../../src/std/ip.ts';
import { Datapath, families, id, mac, set } from './harness.ts';
import { buildIp, type FrameSpec } from './packet.ts';

/** Four ports, so that "all taken" is easy to reach. */
const narrow = { natPortMin: 40000, natPortMax: 40003 };
const datapath = new Datapath();
const crowded = new Datapath(narrow);
after(() => {
  datapath.close();
  crowded.close();
});
beforeEach(() => {
  datapath.reset();
  crowded.reset();
});

for (const family of families) {
  describe(`masquerade (${family.name})`, () => {
    const out = (protocol: 'tcp' | 'udp', sourcePort = 40123): FrameSpec => ({ sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.world, protocol, sourcePort, destinationPort: 443, flags: 'S' });
    const back = (protocol: 'tcp' | 'udp', port: number): FrameSpec => ({ source: family.world, destination: family.node, protocol, sourcePort: 443, destinationPort: port, flags: 'SA' });

    for (const protocol of ['tcp', 'udp'] as const) {
      test(`${protocol}: the world sees the node, under the same port where it is free`, () => {
        const { packet, action } = datapath.send('from_pod', out(protocol));
        assert.equal(action, 'redirect');
        assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.checksumsGood, packet.hopLimit], [family.node, 40123, family.world, 443, true, 63]);
        const flags = [...datapath.maps.conntrack.entries()].map(([, entry]) => entry.flags & ConntrackFlag.Masqueraded);
        assert.deepEqual(flags, [ConntrackFlag.Masqueraded]);
      });

      test(`${protocol}: a port outside of the range is changed, and the answer finds the pod`, () => {
        datapath.denyAll(set.aIngress);
        const there = datapath.send('from_pod', out(protocol, 1234)).packet;
        assert.ok(there.sourcePort! >= 40000 && there.sourcePort! <= 40999);
        const { packet, action } = datapath.send('from_network', back(protocol, there.sourcePort!));
        assert.equal(action, 'redirect');
        assert.deepEqual([packet.destination, packet.destinationPort, packet.source, packet.destinationMac, packet.checksumsGood], [family.a, 1234, family.world, mac.a, true]);
        assert.equal(datapath.send('from_pod', out(protocol, 1234)).packet.sourcePort, there.sourcePort, 'the mapping stays');
      });

      test(`${protocol}: two pods with one port get two`, () => {
        const first = datapath.send('from_pod', out(protocol)).packet.sourcePort;
        const second = datapath.send('from_pod', { ...out(protocol), sourceMac: mac.b, source: family.b }).packet.sourcePort;
        assert.notEqual(first, second);
      });
    }

    test('an answer that nobody waits for goes to the stack; a late one is refused', () => {
      assert.equal(datapath.send('from_network', back('tcp', 40555)).action, 'pass');
      datapath.send('from_pod', out('udp'));
      for (const [key] of [...datapath.maps.conntrack.entries()]) datapath.maps.conntrack.delete(key);
      assert.equal(datapath.send('from_network', back('udp', 40123)).reason, 'NO_MAPPING_FOR_NAT');
    });

    test("a mapping is not inherited with the pod's address", () => {
      datapath.send('from_pod', out('udp'));
      datapath.endpoint(family.a, { id: 999 });
      assert.equal(datapath.send('from_network', back('udp', 40123)).reason, 'UNROUTABLE_IP');
    });

    test('all ports taken by living connections has its own reason; an abandoned port is taken over', () => {
      const used = new Set<number>();
      let refused = 0;
      for (let port = 1; port <= 60; port++) {
        const outcome = crowded.send('from_pod', out('tcp', port));
        if (outcome.action === 'redirect') used.add(outcome.packet.sourcePort!);
        else {
          assert.equal(outcome.reason, 'NAT_CONTENDED');
          refused++;
        }
      }
      assert.equal(used.size, 4);
      assert.equal(refused, 56);
      for (const [key] of [...crowded.maps.conntrack.entries()]) crowded.maps.conntrack.delete(key);
      assert.equal(crowded.send('from_pod', out('tcp', 99)).action, 'redirect');
    });

    test('ping: the identifier is the port', () => {
      const ping: FrameSpec = { ...out('udp'), protocol: 'icmp', icmp: { type: family.echo, id: 5 } };
      const there = datapath.send('from_pod', ping).packet;
      assert.deepEqual([there.source, there.checksumsGood], [family.node, true]);
      const { packet, action } = datapath.send('from_network', { source: family.world, destination: family.node, protocol: 'icmp', icmp: { type: family.echoReply, id: there.icmpId! } });
      assert.equal(action, 'redirect');
      assert.deepEqual([packet.destination, packet.icmpId, packet.checksumsGood], [family.a, 5, true]);
    });

    test("a router's error about a masqueraded packet reaches the pod, with the pod's address in the quote", () => {
      datapath.denyAll(set.aIngress);
      const port = datapath.send('from_pod', out('udp', 1234)).packet.sourcePort!;
      const quoted = buildIp({ ...out('udp', port), source: family.node });
      const router = family.name === 'IPv4' ? '198.51.100.1' : '2001:db8:1::1';
      const { packet, action } = datapath.send('from_network', { source: router, destination: family.node, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quoted } });
      assert.equal(action, 'redirect');
      assert.deepEqual([packet.source, packet.destination, packet.checksumsGood], [router, family.a, true]);
      assert.deepEqual(packet.quoted, { source: family.a, destination: family.world, sourcePort: 1234, destinationPort: 443, headerChecksumGood: true });
    });

    test("a pod's error about the world's answer leaves with the node's address", () => {
      const port = datapath.send('from_pod', out('udp', 1234)).packet.sourcePort!;
      const quoted = buildIp({ source: family.world, destination: family.a, protocol: 'udp', sourcePort: 443, destinationPort: 1234 });
      const { packet } = datapath.send('from_pod', { ...out('udp'), protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: quoted } });
      assert.deepEqual([packet.source, packet.destination, packet.checksumsGood], [family.node, family.world, true]);
      assert.deepEqual(packet.quoted, { source: family.world, destination: family.node, sourcePort: 443, destinationPort: port, headerChecksumGood: true });
    });

    test('the cluster, and a connection that came from the world, are not masqueraded', () => {
      assert.equal(datapath.send('from_pod', { ...out('tcp'), destination: family.remote }).packet.source, family.a);
      assert.equal(datapath.send('from_pod', { ...out('tcp'), destination: family.otherNode }).packet.source, family.a);
      datapath.send('from_network', { source: family.world, destination: family.a, protocol: 'tcp', sourcePort: 443, destinationPort: 40123, flags: 'S' });
      assert.equal(datapath.send('from_pod', { ...out('tcp'), flags: 'SA' }).packet.source, family.a);
    });

    test('where the operator excludes it pods keep their address, from the next connection on; other nodes are never excluded', () => {
      const excluded = parsePrefix(family.name === 'IPv4' ? '192.0.2.0/24' : '2001:db8::/32');
      const row = { prefixBits: excluded.bits, addr: excluded.addr };
      datapath.send('from_pod', out('udp', 40200));
      datapath.maps.masqueradeExclusions.update(row, 1);
      assert.equal(datapath.send('from_pod', out('udp', 40201)).packet.source, family.node, 'without its flag the list is not asked');
      datapath.maps.runtime.update(0, { policyGeneration: 1, flags: RuntimeFlag.MasqueradeExclusions });
      assert.equal(datapath.send('from_pod', out('udp', 40202)).packet.source, family.a);
      assert.equal(datapath.send('from_pod', out('udp', 40200)).packet.source, family.node, 'a running connection keeps its address');
      assert.equal(datapath.send('from_pod', { ...out('udp', 40203), destination: family.name === 'IPv4' ? '203.0.113.7' : '2a00::7' }).packet.source, family.node);
      datapath.maps.masqueradeExclusions.delete(row);
      assert.equal(datapath.send('from_pod', out('udp', 40202)).packet.source, family.a);
      assert.equal(datapath.send('from_pod', out('udp', 40204)).packet.source, family.node);
    });

    test('what has no port cannot be masqueraded', () => {
      assert.equal(datapath.send('from_pod', { ...out('tcp'), protocol: 47, payload: new Uint8Array(8) }).reason, 'NAT_UNSUPPORTED_PROTOCOL');
    });

    test('the mapping remembers whose it is', () => {
      datapath.send('from_pod', out('tcp'));
      const entry = datapath.maps.nat.lookup({ local: parseAddr(family.node), remote: parseAddr(family.world), localPort: 40123, remotePort: 443, protocol: 6, direction: 1 });
      assert.equal(entry?.endpoint, id.a);
    });
  });
}
