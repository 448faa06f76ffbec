import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { parseAddr } from '../../src/std/ip.ts';
import { address, backendPort, Datapath, families, mac, servicePort, set } from './harness.ts';
import { addService, BACKEND_PORT, NODE_PORT } from './external.ts';
import { buildIp, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

for (const family of families) {
  describe(`services packet by packet (${family.name})`, () => {
    for (const protocol of ['tcp', 'udp'] as const) {
      const ask: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.service, protocol, sourcePort: 40000, destinationPort: servicePort, flags: 'S', payload: new Uint8Array([1, 2, 3]) };
      const answer: FrameSpec = { ...ask, sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000, flags: 'SA' };

      test(`${protocol}: to the backend, with good checksums, judged as traffic to the backend`, () => {
        const { packet, flows, action } = datapath.send('from_pod', ask);
        assert.equal(action, 'redirect');
        assert.deepEqual([packet.source, packet.destination, packet.destinationPort, packet.checksumsGood, packet.destinationMac], [family.a, family.b, backendPort, true, mac.b]);
        assert.deepEqual(flows.map(flow => [address(flow.destination), flow.destinationPort, address(flow.service), flow.servicePort]), Array(2).fill([family.b, backendPort, family.service, servicePort]));
      });

      test(`${protocol}: the answer comes from the service`, () => {
        datapath.send('from_pod', ask);
        const { packet, action } = datapath.send('from_pod', answer);
        assert.equal(action, 'redirect');
        assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.checksumsGood], [family.service, servicePort, family.a, 40000, true]);
      });

      test(`${protocol}: a connection keeps its backend when another one takes the slot`, () => {
        datapath.send('from_pod', ask);
        const service = family.name === 'IPv4' ? 1 : 3;
        datapath.maps.backends.update({ id: 500 }, { addr: parseAddr(family.remote), port: 9090, protocol: 6, state: 0 });
        datapath.maps.serviceSlots.update({ service, slot: 0 }, { backend: 500 });
        assert.equal(datapath.send('from_pod', { ...ask, flags: 'A' }).packet.destination, family.b);
        assert.equal(datapath.send('from_pod', { ...ask, sourcePort: 40001 }).packet.destination, family.remote);
      });

      test(`${protocol}: no backend has its own reason`, () => {
        const { action, drops } = datapath.send('from_pod', { ...ask, destination: family.lonely });
        assert.equal(action, 'redirect', 'answered');
        assert.deepEqual(drops.map(drop => [drop.reasonOrPoint, address(drop.destination)]), [[158, family.lonely]]);
      });

      test(`${protocol}: policy judges the backend`, () => {
        datapath.denyAll(set.bIngress);
        const outcome = datapath.send('from_pod', ask);
        assert.equal(outcome.reason, 'POLICY_DENIED');
        assert.equal(address(outcome.drops[0]!.service), family.service);
      });
    }

    test('udp: a port used again towards the same backend, by way of another service or of none, has its answers from whom it asked now', () => {
      const other = family.name === 'IPv4' ? '10.96.9.9' : 'fd00:10:96::99';
      addService(datapath, { addr: other, port: servicePort, id: 970, flags: 0, backends: [{ addr: family.b, port: backendPort }] });
      const direct: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'udp', sourcePort: 40000, destinationPort: backendPort };
      const answer: FrameSpec = { ...direct, sourceMac: mac.b, destinationMac: mac.hostB, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000 };
      const ways = [[family.b, backendPort], [family.service, servicePort], [other, servicePort]] as const;
      // Each after each other one, twice: the second datagram may go the short way.
      for (const [to, port] of [0, 1, 2, 0, 2, 1, 0].map(i => ways[i]!)) {
        for (const _ of [1, 2]) {
          const there = datapath.send('from_pod', { ...direct, destination: to, destinationPort: port });
          assert.deepEqual([there.action, there.packet.destination, there.packet.destinationPort], ['redirect', family.b, backendPort], to);
          const back = datapath.send('from_pod', answer);
          assert.deepEqual([back.action, back.packet.source, back.packet.sourcePort, back.packet.checksumsGood], ['redirect', to, port, true], to);
        }
      }
    });

    test("a backend's ICMP error comes from the service, and quotes the service", () => {
      const ask: FrameSpec = { sourceMac: mac.a, source: family.a, destination: family.service, protocol: 'udp', sourcePort: 40000, destinationPort: servicePort };
      datapath.send('from_pod', ask);
      const quoted = buildIp({ ...ask, destination: family.b, destinationPort: backendPort });
      const { packet, action } = datapath.send('from_pod', { sourceMac: mac.b, source: family.b, destination: family.a, protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: quoted } });
      assert.equal(action, 'redirect');
      assert.equal(packet.source, family.service);
      assert.equal(packet.checksumsGood, true);
      assert.deepEqual(packet.quoted, { source: family.a, destination: family.service, sourcePort: 40000, destinationPort: servicePort, headerChecksumGood: true });
    });

    test("a client's ICMP error about the service's answer reaches the backend", () => {
      const ask: FrameSpec = { sourceMac: mac.a, source: family.a, destination: family.service, protocol: 'udp', sourcePort: 40000, destinationPort: servicePort };
      datapath.send('from_pod', ask);
      const quoted = buildIp({ ...ask, source: family.service, destination: family.a, sourcePort: servicePort, destinationPort: 40000 });
      const { packet, action } = datapath.send('from_pod', { ...ask, protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: quoted } });
      assert.equal(action, 'redirect');
      assert.equal(packet.destination, family.b);
      assert.equal(packet.checksumsGood, true);
      assert.deepEqual(packet.quoted, { source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000, headerChecksumGood: true });
    });

    test("a pod that reaches itself through a node port of its own node sees the node's address as its client", () => {
      addService(datapath, { addr: family.node, port: NODE_PORT, id: 40, backends: [family.a] });
      const ask: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.node, protocol: 'tcp', sourcePort: 40000, destinationPort: NODE_PORT, flags: 'S' };
      for (const flags of ['S', 'A']) {
        const { packet, action } = datapath.send('from_pod', { ...ask, flags });
        assert.deepEqual([action, packet.source, packet.destination, packet.destinationPort, packet.destinationMac, packet.checksumsGood], ['redirect', family.node, family.a, BACKEND_PORT, mac.a, true]);
        const answer = datapath.send('from_pod', { ...ask, destination: family.node, sourcePort: BACKEND_PORT, destinationPort: 40000, flags: flags === 'S' ? 'SA' : 'A' });
        assert.deepEqual([answer.action, answer.packet.source, answer.packet.sourcePort, answer.packet.destination, answer.packet.destinationPort, answer.packet.checksumsGood], ['redirect', family.node, NODE_PORT, family.a, 40000, true]);
      }
    });

    test('a pod that reaches itself through a service sees the service as its client, without policy', () => {
      datapath.denyAll(set.bIngress);
      datapath.denyAll(set.bEgress);
      const ask: FrameSpec = { sourceMac: mac.b, source: family.b, destination: family.service, protocol: 'tcp', sourcePort: 40000, destinationPort: servicePort, flags: 'S' };
      const there = datapath.send('from_pod', ask);
      assert.equal(there.action, 'redirect');
      assert.deepEqual([there.packet.source, there.packet.sourcePort, there.packet.destination, there.packet.destinationPort, there.packet.checksumsGood], [family.service, 40000, family.b, backendPort, true]);
      const back = datapath.send('from_pod', { ...ask, destination: family.service, sourcePort: backendPort, destinationPort: 40000, flags: 'SA' });
      assert.equal(back.action, 'redirect');
      assert.deepEqual([back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.destinationPort, back.packet.checksumsGood], [family.service, servicePort, family.b, 40000, true]);
    });
    for (const [what, at] of [['a node port', family.node], ['the router\'s address', family.router]] as const) {
      test(`a pod that reaches itself through ${what} of its own node`, () => {
        const service = 950;
        for (const protocol of [6, 17]) datapath.maps.services.update({ addr: parseAddr(at), port: 30080, protocol, scope: 0 }, { id: service, count: 1, affinityTimeout: 0, maglev: 0, flags: 1, type: 1 });
        datapath.maps.serviceSlots.update({ service, slot: 0 }, { backend: service });
        datapath.maps.backends.update({ id: service }, { addr: parseAddr(family.b), port: backendPort, protocol: 6, state: 0 });
        datapath.maps.serviceAddresses.update({ id: service }, { addr: parseAddr(at), port: 30080 });
        for (const protocol of ['tcp', 'udp'] as const) {
          const ask: FrameSpec = { sourceMac: mac.b, destinationMac: mac.hostB, source: family.b, destination: at, protocol, sourcePort: 40000, destinationPort: 30080, flags: 'S' };
          const answer: FrameSpec = { ...ask, destination: at, sourcePort: backendPort, destinationPort: 40000, flags: 'SA' };
          for (const [there, back] of [['S', 'SA'], ['A', 'A'], ['PA', 'PA']]) {
            const to = datapath.send('from_pod', { ...ask, flags: there! });
            assert.deepEqual([to.action, to.packet.source, to.packet.sourcePort, to.packet.destination, to.packet.destinationPort, to.packet.checksumsGood], ['redirect', at, 40000, family.b, backendPort, true]);
            const from = datapath.send('from_pod', { ...answer, flags: back! });
            assert.deepEqual([from.action, from.packet.source, from.packet.sourcePort, from.packet.destination, from.packet.destinationPort, from.packet.checksumsGood], ['redirect', at, 30080, family.b, 40000, true]);
          }
        }
      });
    }
  });
}

test('a UDP datagram without a checksum stays without', () => {
  const [v4] = families;
  const { frame, packet } = datapath.send('from_pod', { sourceMac: mac.a, source: v4!.a, destination: v4!.service, protocol: 'udp', sourcePort: 1, destinationPort: servicePort, noChecksum: true });
  assert.equal(packet.destination, v4!.b);
  assert.deepEqual([...frame.subarray(14 + 20 + 6, 14 + 20 + 8)], [0, 0]);
});
