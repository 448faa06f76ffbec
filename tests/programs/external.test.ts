/**
 * Clients outside that use a service by an address of this node, or one that nobody here has:
 *
 *     world ──► uplink ──► service's address ─┬─► a, b            the client's address stays
 *                                             ├─► the node itself
 *                                             └─► remote          from the node's address, answers come back here
 */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, ConntrackKind, DropReason, EndpointFlag, IpcacheFlag, ServiceFlag, ServiceSourceForm } from '../../src/datapath/generated/enums.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { addService, BACKEND_PORT, balancer, fromClient, LB_PORT, NODE_PORT, OUR_MAC } from './external.ts';
import { address, Datapath, families, identity, id, mac, rule, set } from './harness.ts';
import { buildIp, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
const crowded = new Datapath({ natPortMin: 40000, natPortMax: 40003 });
after(() => {
  datapath.close();
  crowded.close();
});
beforeEach(() => {
  datapath.reset();
  crowded.reset();
});

const flows = () => [...datapath.maps.conntrack.entries()].filter(([key]) => key.kind === ConntrackKind.Flow);

for (const family of families) {
  const frontends = [{ name: 'a node port', addr: family.node, port: NODE_PORT }, { name: 'a load balancer address', addr: balancer(family), port: LB_PORT }] as const;

  test(`a client's port of UDP towards one backend by way of two services: each answer is from who was asked last (${family.name})`, () => {
    for (const [backend, at] of [[family.b, BACKEND_PORT], [family.remote, BACKEND_PORT], [family.node, 9443]] as const) {
      datapath.reset();
      frontends.forEach((frontend, i) => addService(datapath, { ...frontend, id: 20 + i, backends: [{ addr: backend, port: at }] }));
      for (const frontend of [0, 1, 1, 0, 0].map(i => frontends[i]!)) {
        const there = datapath.send('from_network', fromClient(family, frontend, { protocol: 'udp' })).packet;
        assert.deepEqual([there.destination, there.destinationPort], [backend, at]);
        const answer = { source: backend, destination: there.source, protocol: 'udp', sourcePort: at, destinationPort: there.sourcePort! } as const;
        const back = backend === family.b ? datapath.send('from_pod', { ...answer, sourceMac: mac.b, destinationMac: mac.hostB })
          : backend === family.remote ? datapath.send('from_network', { ...answer, destinationMac: OUR_MAC })
          : datapath.send('to_network', answer);
        assert.deepEqual([back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.destinationPort], [frontend.addr, frontend.port, family.world, 50123], `${backend} by ${frontend.name}`);
      }
    }
  });

  for (const frontend of frontends) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const ask = (change: Partial<FrameSpec> = {}): FrameSpec => fromClient(family, frontend, { protocol, ...change });

      describe(`${frontend.name}, ${protocol} (${family.name})`, () => {
        test('a backend here gets the packet from the client itself, judged by who that is', () => {
          addService(datapath, { ...frontend, id: 20, backends: [family.b] });
          const { action, packet, flows: told } = datapath.send('from_network', ask());
          assert.equal(action, 'redirect');
          assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.destinationMac, packet.hopLimit, packet.checksumsGood],
            [family.world, 50123, family.b, BACKEND_PORT, mac.b, 63, true]);
          assert.deepEqual(told.map(flow => [flow.sourceIdentity, flow.destinationIdentity, address(flow.service), flow.servicePort]), [[identity.worldV4, identity.b, frontend.addr, frontend.port]]);
          const answer = datapath.send('from_pod', { sourceMac: mac.b, destinationMac: mac.hostB, source: family.b, destination: family.world, protocol, sourcePort: BACKEND_PORT, destinationPort: 50123, flags: 'SA' });
          assert.equal(answer.action, 'redirect');
          assert.deepEqual([answer.packet.source, answer.packet.sourcePort, answer.packet.destination, answer.packet.destinationPort, answer.packet.checksumsGood],
            [frontend.addr, frontend.port, family.world, 50123, true]);
        });

        test("the pod's policy decides", () => {
          addService(datapath, { ...frontend, id: 20, backends: [family.b] });
          datapath.denyAll(set.bIngress);
          const { reason, drops } = datapath.send('from_network', ask());
          assert.equal(reason, 'POLICY_DENIED');
          assert.deepEqual(drops.map(drop => [drop.sourceIdentity, drop.rule]), [[identity.worldV4, rule.deny]]);
        });

        test("a backend on another node gets it from the node's address, and its answer goes to the client from the service", () => {
          addService(datapath, { ...frontend, id: 20, backends: [family.remote] });
          const there = datapath.send('from_network', ask());
          assert.equal(there.action, 'redirect');
          assert.deepEqual([there.packet.source, there.packet.destination, there.packet.destinationPort, there.packet.hopLimit, there.packet.checksumsGood], [family.node, family.remote, BACKEND_PORT, 63, true]);
          assert.ok(there.packet.sourcePort! >= 40000 && there.packet.sourcePort! <= 40999);
          assert.deepEqual(flows().map(([, entry]) => [entry.flags & ConntrackFlag.Transit, entry.sourceIdentity, entry.destinationIdentity]), [[ConntrackFlag.Transit, identity.worldV4, identity.remote]]);

          const back = datapath.send('from_network', { destinationMac: OUR_MAC, source: family.remote, destination: family.node, protocol, sourcePort: BACKEND_PORT, destinationPort: there.packet.sourcePort!, flags: 'SA' });
          assert.equal(back.action, 'redirect');
          assert.deepEqual([back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.destinationPort, back.packet.checksumsGood], [frontend.addr, frontend.port, family.world, 50123, true]);
          assert.equal(datapath.send('from_network', ask({ flags: 'A' })).packet.sourcePort, there.packet.sourcePort, 'the mapping stays');
        });

        test('the node itself serves: its answer bears the service address', () => {
          addService(datapath, { ...frontend, id: 20, backends: [{ addr: family.node, port: 9443 }] });
          const { action, packet } = datapath.send('from_network', ask());
          assert.equal(action, 'pass');
          assert.deepEqual([packet.source, packet.destination, packet.destinationPort, packet.checksumsGood], [family.world, family.node, 9443, true]);
          const answer = datapath.send('to_network', { source: family.node, destination: family.world, protocol, sourcePort: 9443, destinationPort: 50123, flags: 'SA' });
          assert.equal(answer.action, 'pass');
          assert.deepEqual([answer.packet.source, answer.packet.sourcePort, answer.packet.destination, answer.packet.checksumsGood], [frontend.addr, frontend.port, family.world, true]);
          assert.equal(datapath.send('to_network', { source: family.node, destination: family.world, protocol, sourcePort: 9443, destinationPort: 50124, flags: 'SA' }).packet.source, family.node, 'others are left alone');
        });

        test("the node's policy decides where the node serves, under the backend's port", () => {
          addService(datapath, { ...frontend, id: 20, backends: [{ addr: family.node, port: 9443 }] });
          datapath.hostPolicy({ ingressSet: set.hostIngress, egressSet: set.hostEgress });
          datapath.denyAll(set.hostIngress);
          assert.equal(datapath.send('from_network', ask()).reason, 'POLICY_DENIED');
          datapath.verdict({ set: set.hostIngress, protocol: protocol === 'tcp' ? 6 : 17, port: 9443, verdict: 1, rule: rule.allow, match: 3 });
          assert.equal(datapath.send('from_network', ask()).action, 'pass');
          datapath.denyAll(set.hostEgress);
          const answer = datapath.send('to_network', { source: family.node, destination: family.world, protocol, sourcePort: 9443, destinationPort: 50123, flags: 'SA' });
          assert.deepEqual([answer.action, answer.packet.source, answer.packet.sourcePort], ['pass', frontend.addr, frontend.port]);
        });

        test("answers that bear the node's address are not the node's own, which may be forbidden to send", () => {
          addService(datapath, { ...frontend, id: 20, backends: [family.b] });
          datapath.hostPolicy({ ingressSet: set.hostIngress, egressSet: set.hostEgress });
          for (const own of [set.hostIngress, set.hostEgress]) datapath.denyAll(own);
          assert.equal(datapath.send('from_network', ask()).action, 'redirect');
          const answer = datapath.send('from_pod', { sourceMac: mac.b, destinationMac: mac.hostB, source: family.b, destination: family.world, protocol, sourcePort: BACKEND_PORT, destinationPort: 50123, flags: 'SA' });
          assert.equal(datapath.send('to_network', answer.frame, { mark: answer.mark }).action, 'pass');
        });

        test('a flow keeps its backend', () => {
          addService(datapath, { ...frontend, id: 20, backends: [family.a] });
          datapath.send('from_network', ask());
          datapath.maps.backends.update({ id: 999 }, { addr: parseAddr(family.remote), port: 9090, protocol: 6, state: 0 });
          datapath.maps.serviceSlots.update({ service: 20, slot: 0 }, { backend: 999 });
          assert.equal(datapath.send('from_network', ask({ flags: 'A' })).packet.destination, family.a);
          assert.equal(datapath.send('from_network', ask({ sourcePort: 50124 })).packet.destination, family.remote);
        });

        test('later fragments follow the first one, here and to another node', () => {
          for (const [number, backend] of [family.b, family.remote].entries()) {
            addService(datapath, { ...frontend, id: 20 + number, backends: [backend] });
            const piece = (offset: number, more: boolean): FrameSpec => ask({ protocol: 'udp', sourcePort: 50200 + number, payload: new Uint8Array(64), fragment: { id: 77 + number, offset, more } });
            const first = datapath.send('from_network', piece(0, true)).packet, later = datapath.send('from_network', piece(32, false)).packet;
            assert.deepEqual([later.source, later.destination], [first.source, first.destination]);
            assert.deepEqual([later.source, later.destination], [number ? family.node : family.world, backend]);
          }
        });

        test('what is not meant for outside, or for this frame, is left to the stack', () => {
          addService(datapath, { ...frontend, id: 20, flags: 0, backends: [family.b] });
          assert.equal(datapath.send('from_network', ask()).action, 'pass');
          addService(datapath, { ...frontend, id: 20, flags: ServiceFlag.Routable | ServiceFlag.HostOnly, backends: [family.b] });
          assert.equal(datapath.send('from_network', ask()).action, 'pass');
          addService(datapath, { ...frontend, id: 20, backends: [family.b] });
          const flooded = datapath.send('from_network', ask({ destinationMac: '02:00:00:00:00:77' }));
          assert.deepEqual([flooded.action, flooded.packet.destination], ['pass', frontend.addr]);
        });
      });
    }

    test(`source ranges hold for clients outside, in both forms (${frontend.name}, ${family.name})`, () => {
      const { addr, bits } = { addr: parseAddr(family.world), bits: 32 + 128 };
      for (const [listed, flags, allowed] of [[true, 0, true], [false, 0, false], [true, ServiceFlag.SourceDeny, false], [false, ServiceFlag.SourceDeny, true]] as const) {
        datapath.reset();
        addService(datapath, { ...frontend, id: 20, flags: ServiceFlag.Routable | ServiceFlag.SourceRanges | flags, backends: [family.b] });
        const [form, other] = flags === 0 ? [ServiceSourceForm.Allow, ServiceSourceForm.Deny] : [ServiceSourceForm.Deny, ServiceSourceForm.Allow];
        // What was written for the other form, and has not gone yet, counts for nothing.
        datapath.maps.serviceSources.update({ prefixBits: bits, service: 20, addr }, listed ? form : other);
        const outcome = datapath.send('from_network', fromClient(family, frontend));
        assert.equal(outcome.reason, allowed ? undefined : 'NOT_IN_SOURCE_RANGE', `${listed} ${flags}`);
        datapath.maps.serviceSources.delete({ prefixBits: bits, service: 20, addr });
        assert.equal(datapath.send('from_network', fromClient(family, frontend, { source: family.otherNode })).action, 'redirect', 'other nodes are inside');
      }
    });

    test(`other nodes get the row for clients inside (${frontend.name}, ${family.name})`, () => {
      addService(datapath, { ...frontend, id: 20, flags: ServiceFlag.Routable | ServiceFlag.TwoScopes, backends: [family.a] });
      addService(datapath, { ...frontend, id: 21, scope: 1, flags: ServiceFlag.Routable | ServiceFlag.TwoScopes, backends: [family.remote] });
      assert.equal(datapath.send('from_network', fromClient(family, frontend)).packet.destination, family.a);
      assert.equal(datapath.send('from_network', fromClient(family, frontend, { source: family.otherNode })).packet.destination, family.remote);
    });

    test(`a router's report about the answers reaches the backend, and the backend's reports the client (${frontend.name}, ${family.name})`, () => {
      const router = family.name === 'IPv4' ? '203.0.113.1' : '2001:db8:1::1';
      addService(datapath, { ...frontend, id: 20, backends: [family.remote] });
      const there = datapath.send('from_network', fromClient(family, frontend, { protocol: 'udp' })).packet;
      const answer = buildIp({ source: frontend.addr, destination: family.world, protocol: 'udp', sourcePort: frontend.port, destinationPort: 50123 });
      const report = datapath.send('from_network', { destinationMac: OUR_MAC, source: router, destination: frontend.addr, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: answer } });
      assert.equal(report.action, 'redirect');
      assert.deepEqual([report.packet.destination, report.packet.checksumsGood], [family.remote, true]);
      assert.deepEqual(report.packet.quoted, { source: family.remote, destination: family.node, sourcePort: BACKEND_PORT, destinationPort: there.sourcePort!, headerChecksumGood: true });

      const asked = buildIp({ source: family.node, destination: family.remote, protocol: 'udp', sourcePort: there.sourcePort!, destinationPort: BACKEND_PORT });
      for (const reporter of [family.remote, router]) {
        const refusal = datapath.send('from_network', { destinationMac: OUR_MAC, source: reporter, destination: family.node, protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: asked } });
        assert.equal(refusal.action, 'redirect');
        assert.deepEqual([refusal.packet.source, refusal.packet.destination, refusal.packet.checksumsGood], [reporter === router ? router : frontend.addr, family.world, true]);
        assert.deepEqual(refusal.packet.quoted, { source: family.world, destination: frontend.addr, sourcePort: 50123, destinationPort: frontend.port, headerChecksumGood: true });
      }
    });
  }

  describe(`services for clients outside (${family.name})`, () => {
    const frontend = { addr: balancer(family), port: LB_PORT };

    test('nobody serves: the client is told, from the service; silence where others have a backend', () => {
      addService(datapath, { ...frontend, id: 20, backends: [] });
      const refused = datapath.send('from_network', fromClient(family, frontend));
      assert.deepEqual([refused.action, refused.packet.source, refused.packet.sourcePort, refused.packet.destination, refused.packet.checksumsGood], ['redirect', frontend.addr, frontend.port, family.world, true]);
      const unreachable = datapath.send('from_network', fromClient(family, frontend, { protocol: 'udp' }));
      assert.deepEqual([unreachable.action, unreachable.packet.source, unreachable.packet.icmpType, unreachable.packet.checksumsGood], ['redirect', frontend.addr, family.unreachable, true]);
      assert.deepEqual([...refused.drops, ...unreachable.drops].map(drop => drop.reasonOrPoint), [DropReason.NoServiceBackend, DropReason.NoServiceBackend]);
      addService(datapath, { ...frontend, id: 20, flags: ServiceFlag.Routable | ServiceFlag.Silent, backends: [] });
      assert.equal(datapath.send('from_network', fromClient(family, frontend)).reason, 'NO_SERVICE_BACKEND');
    });

    test('no port left, and none to have, have their own reason', () => {
      addService(crowded, { ...frontend, id: 20, backends: [family.remote] });
      let refused = 0;
      for (let port = 1; port <= 60; port++) {
        const outcome = crowded.send('from_network', fromClient(family, frontend, { sourcePort: port }));
        if (outcome.action === 'drop') {
          assert.equal(outcome.reason, 'NAT_CONTENDED');
          refused++;
        }
      }
      assert.equal(refused, 56);
    });

    test('the last hop ends here', () => {
      for (const backend of [family.b, family.remote]) {
        datapath.reset();
        addService(datapath, { ...frontend, id: 20, backends: [backend] });
        assert.equal(datapath.send('from_network', fromClient(family, frontend, { hopLimit: 1 })).reason, 'TTL_EXCEEDED');
        assert.equal(datapath.maps.nat.count(), 0);
      }
    });

    test('SCTP: the address alone changes', () => {
      addService(datapath, { ...frontend, protocol: [132], id: 20, backends: [{ addr: family.remote, port: LB_PORT }] });
      const { action, packet } = datapath.send('from_network', fromClient(family, frontend, { protocol: 'sctp' }));
      assert.equal(action, 'redirect');
      assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort], [family.node, 50123, family.remote, LB_PORT]);
      const back = datapath.send('from_network', { destinationMac: OUR_MAC, source: family.remote, destination: family.node, protocol: 'sctp', sourcePort: LB_PORT, destinationPort: 50123 });
      assert.deepEqual([back.packet.source, back.packet.destination], [frontend.addr, family.world]);
    });

    test('a mapping of one client is not another one\'s: the same port of two clients', () => {
      addService(datapath, { ...frontend, id: 20, backends: [family.remote] });
      const other = family.name === 'IPv4' ? '192.0.2.10' : '2001:db8::10';
      const ports = [family.world, other].map(source => datapath.send('from_network', fromClient(family, frontend, { source, sourcePort: 40500 })).packet.sourcePort!);
      assert.notEqual(ports[0], ports[1]);
      for (const [i, destination] of [family.world, other].entries()) {
        assert.equal(datapath.send('from_network', { destinationMac: OUR_MAC, source: family.remote, destination: family.node, protocol: 'tcp', sourcePort: BACKEND_PORT, destinationPort: ports[i]!, flags: 'SA' }).packet.destination, destination);
      }
    });

    test("a pod of another node and a node's own process are clients as well; a pod of this node is not one from outside", () => {
      datapath.address(`${family.nobody}`, { identity: 1044, flags: IpcacheFlag.Cluster });
      addService(datapath, { ...frontend, id: 20, backends: [family.remote] });
      for (const source of [family.nobody, family.otherNode]) assert.equal(datapath.send('from_network', fromClient(family, frontend, { source })).action, 'redirect');
      for (const source of [family.a, family.node]) assert.equal(datapath.send('from_network', fromClient(family, frontend, { source })).reason, 'INVALID_SOURCE_IP');
    });

    test('a backend that is not ready gets nothing', () => {
      addService(datapath, { ...frontend, id: 20, backends: [family.b] });
      datapath.endpoint(family.b, { id: id.b, flags: 0 });
      assert.equal(datapath.send('from_network', fromClient(family, frontend)).reason, 'ENDPOINT_NOT_READY');
      datapath.endpoint(family.b, { id: id.b, flags: EndpointFlag.Ready });
      assert.equal(datapath.send('from_network', fromClient(family, frontend)).action, 'redirect');
    });
  });
}
