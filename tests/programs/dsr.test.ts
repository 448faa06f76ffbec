/**
 * Direct server return between two nodes: what the first one sends is given to the second.
 *
 *     world ─► node (front) ─► otherNode (back) ─► remote ─► world, from the service's address
 */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, EndpointFlag, IpcacheFlag, ServiceFlag, ServiceType } from '../../src/datapath/generated/enums.ts';
import { parseAddr, wireBytes } from '../../src/std/ip.ts';
import { addService, BACKEND_PORT, balancer, fromClient, LB_PORT, NODE_PORT, OUR_MAC } from './external.ts';
import { Datapath, families, type Family, id, identity, mac, rule, set } from './harness.ts';
import { buildFrame, buildIp, decodeFrame, type FrameSpec } from './packet.ts';

const [v4, v6] = families as readonly [Family, Family];
const front = new Datapath();
const back = new Datapath({ nodeIp4: parseAddr(v4.otherNode), nodeIp6: parseAddr(v6.otherNode) });
after(() => {
  front.close();
  back.close();
});

/** Cirri's own reading of the options, beside the programs'. */
function optionOf(frame: Uint8Array, v4: boolean): Uint8Array | undefined {
  if (v4) return (frame[14]! & 15) > 5 ? frame.subarray(34, 14 + (frame[14]! & 15) * 4) : undefined;
  return frame[20] === 60 ? frame.subarray(54, 54 + (frame[55]! + 1) * 8) : undefined;
}

function expectedOption(v4: boolean, addr: string, port: number, next: number): Uint8Array {
  const wire = wireBytes(parseAddr(addr));
  return v4 ? Uint8Array.of(0x9a, 8, port >>> 8, port & 255, ...wire) : Uint8Array.of(next, 2, 0x1b, 20, ...wire, port >>> 8, port & 255, 0, 0);
}

const forged = (family: Family, addr: string, port: number): Partial<FrameSpec> =>
  family === v4 ? { options: expectedOption(true, addr, port, 6) } : { extensions: [{ number: 60, bytes: expectedOption(false, addr, port, 6).subarray(2) }] };

beforeEach(() => {
  for (const datapath of [front, back]) datapath.reset();
  for (const family of families) {
    back.maps.endpoints.delete({ addr: parseAddr(family.node) });
    back.endpoint(family.otherNode, { id: id.host, identity: identity.host, flags: EndpointFlag.Host | EndpointFlag.Ready, ifindex: 0, egressSet: 0, ingressSet: 0 });
    back.address(family.node, { identity: identity.remoteNode, flags: IpcacheFlag.Cluster | IpcacheFlag.Node });
    back.endpoint(family.remote, { id: 103, identity: identity.remote });
  }
});

for (const family of families) {
  const isV4 = family === v4;
  const frontends = [{ name: 'node port', addr: family.node, port: NODE_PORT, type: ServiceType.NodePort }, { name: 'load balancer address', addr: balancer(family), port: LB_PORT, type: ServiceType.LoadBalancer }] as const;
  for (const frontend of frontends) {
    const flags = ServiceFlag.Routable | ServiceFlag.Dsr;
    const serve = (backends: readonly (string | { addr: string; port: number })[] = [family.remote]): void => {
      addService(front, { ...frontend, id: 20, flags, backends });
      addService(back, { ...frontend, addr: frontend.type === ServiceType.NodePort ? family.otherNode : frontend.addr, id: 30, flags, backends });
    };
    for (const protocol of ['tcp', 'udp'] as const) {
      const number = protocol === 'tcp' ? 6 : 17;
      const ask = (change: Partial<FrameSpec> = {}): FrameSpec => fromClient(family, frontend, { protocol, ...change });
      const answer: FrameSpec = { sourceMac: mac.a, destinationMac: mac.host, source: family.remote, destination: family.world, protocol, sourcePort: BACKEND_PORT, destinationPort: 50123, flags: 'SA' };
      const reset = (frame: Uint8Array): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, ...frame.subarray(6));

      describe(`DSR: ${frontend.name}, ${protocol} (${family.name})`, () => {
        test('the backend gets what the client sent, from the client, and answers it as the service', () => {
          serve();
          const there = front.send('from_network', ask());
          assert.equal(there.action, 'redirect');
          assert.deepEqual([there.packet.source, there.packet.sourcePort, there.packet.destination, there.packet.destinationPort, there.packet.hopLimit, there.packet.checksumsGood],
            [family.world, 50123, family.remote, BACKEND_PORT, 63, true]);
          assert.deepEqual(optionOf(there.frame, isV4), expectedOption(isV4, frontend.addr, frontend.port, number));
          assert.equal(front.maps.nat.count(), 0);

          const arrived = back.send('from_network', reset(there.frame));
          assert.equal(arrived.action, 'redirect');
          assert.equal(optionOf(arrived.frame, isV4), undefined);
          assert.deepEqual([arrived.packet.source, arrived.packet.destination, arrived.packet.destinationPort, arrived.packet.hopLimit, arrived.packet.checksumsGood], [family.world, family.remote, BACKEND_PORT, 62, true]);
          assert.deepEqual([arrived.frame.length, there.frame.length - arrived.frame.length], [buildFrame(ask()).length, isV4 ? 8 : 24]);
          assert.deepEqual(arrived.flows.map(flow => [flow.sourceIdentity, flow.destinationIdentity]), [[identity.worldV4, identity.remote]]);
          assert.deepEqual([...back.maps.conntrack.entries()].map(([, entry]) => entry.flags & ConntrackFlag.Dsr), [ConntrackFlag.Dsr]);

          const { action, packet } = back.send('from_pod', answer);
          assert.equal(action, 'redirect');
          assert.deepEqual([packet.source, packet.sourcePort, packet.destination, packet.destinationPort, packet.checksumsGood], [frontend.addr, frontend.port, family.world, 50123, true]);
        });

        test('later packets say it again only where no handshake has told it', () => {
          serve();
          back.send('from_network', reset(front.send('from_network', ask()).frame));
          const later = front.send('from_network', ask({ flags: 'A' }));
          assert.equal(optionOf(later.frame, isV4) !== undefined, protocol === 'udp');
          assert.equal(back.send('from_network', reset(later.frame)).packet.checksumsGood, true);
          assert.equal(back.send('from_pod', answer).packet.source, frontend.addr);
        });

        test("the backend's policy knows the client", () => {
          serve();
          back.denyAll(set.aIngress);
          const { reason, drops } = back.send('from_network', reset(front.send('from_network', ask()).frame));
          assert.equal(reason, 'POLICY_DENIED');
          assert.deepEqual(drops.map(drop => [drop.sourceIdentity, drop.rule]), [[identity.worldV4, rule.deny]]);
        });

        test('fragments: the first one tells, the others follow', () => {
          serve();
          const piece = (offset: number, more: boolean): FrameSpec => ask({ protocol: 'udp', payload: new Uint8Array(64), fragment: { id: 99, offset, more } });
          const first = front.send('from_network', piece(0, true)), last = front.send('from_network', piece(32, false));
          assert.ok(optionOf(first.frame, isV4));
          assert.deepEqual([last.packet.source, last.packet.destination], [family.world, family.remote]);
          assert.equal(back.send('from_network', reset(first.frame)).action, 'redirect');
          assert.equal(back.send('from_network', reset(last.frame)).action, 'redirect');
          // Who joins fragments on the way and cuts them again copies the option to all: it is taken out, and says nothing.
          const copied = back.send('from_network', { ...piece(32, false), destinationMac: OUR_MAC, destination: family.remote, destinationPort: BACKEND_PORT, ...forged(family, frontend.addr, frontend.port) });
          assert.deepEqual([copied.action, optionOf(copied.frame, isV4)], ['redirect', undefined]);
        });

        test('a client inside of the cluster is answered by way of the node that it asked', () => {
          serve();
          const { packet, frame } = front.send('from_network', ask({ source: family.otherNode }));
          assert.deepEqual([packet.source, optionOf(frame, isV4)], [family.node, undefined]);
        });

        test('a node of its own that serves: its answer bears the service address', () => {
          serve([{ addr: family.otherNode, port: 9443 }]);
          const there = front.send('from_network', ask());
          const arrived = back.send('from_network', reset(there.frame));
          assert.deepEqual([arrived.action, arrived.packet.destination, arrived.packet.destinationPort, optionOf(arrived.frame, isV4)], ['pass', family.otherNode, 9443, undefined]);
          const { packet, action } = back.send('to_network', { source: family.otherNode, destination: family.world, protocol, sourcePort: 9443, destinationPort: 50123, flags: 'SA' });
          assert.deepEqual([action, packet.source, packet.sourcePort, packet.checksumsGood], ['pass', frontend.addr, frontend.port, true]);
        });

        test("errors: the backend's reach the client as the service's, and routers' about the answers reach the backend", () => {
          serve();
          back.send('from_network', reset(front.send('from_network', ask()).frame));
          const asked = buildIp({ source: family.world, destination: family.remote, protocol, sourcePort: 50123, destinationPort: BACKEND_PORT });
          const refusal = back.send('from_pod', { ...answer, protocol: 'icmp', icmp: { type: family.unreachable, code: 3, body: asked } });
          assert.equal(refusal.action, 'redirect');
          assert.deepEqual([refusal.packet.source, refusal.packet.destination, refusal.packet.checksumsGood], [frontend.addr, family.world, true]);
          assert.deepEqual(refusal.packet.quoted, { source: family.world, destination: frontend.addr, sourcePort: 50123, destinationPort: frontend.port, headerChecksumGood: true });

          const router = isV4 ? '203.0.113.1' : '2001:db8:1::1';
          const answered = buildIp({ source: frontend.addr, destination: family.world, protocol, sourcePort: frontend.port, destinationPort: 50123 });
          const report = front.send('from_network', { destinationMac: OUR_MAC, source: router, destination: frontend.addr, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: answered } });
          assert.deepEqual([report.action, report.packet.destination, report.packet.checksumsGood], ['redirect', family.remote, true]);
          assert.deepEqual(report.packet.quoted, { source: family.remote, destination: family.world, sourcePort: BACKEND_PORT, destinationPort: 50123, headerChecksumGood: true });
          assert.equal(back.send('from_network', reset(report.frame)).action, 'redirect');
        });
      });
    }

    test(`V6: what a stranger writes into the option is not believed (${frontend.name}, ${family.name})`, () => {
      serve();
      const direct: FrameSpec = { destinationMac: OUR_MAC, source: family.world, destination: family.remote, protocol: 'tcp', sourcePort: 50900, destinationPort: BACKEND_PORT, flags: 'S' };
      const nobody = isV4 ? '203.0.113.77' : '2001:db8:9::77';
      for (const [addr, port] of [[nobody, 80], [frontend.addr, frontend.port + 1], [family.service, 80], [family.world, 50900]] as const) {
        assert.equal(back.send('from_network', { ...direct, ...forged(family, addr, port) }).reason, 'INVALID_PACKET', `${addr} ${port}`);
      }
      assert.equal(back.send('from_network', { ...direct, flags: 'A', ...forged(family, frontend.addr, frontend.port) }).reason, 'INVALID_PACKET', 'only what opens a connection tells');
      assert.equal(back.send('from_network', { ...direct, source: family.otherNode, ...forged(family, frontend.addr, frontend.port) }).reason, 'INVALID_SOURCE_IP', 'nobody is this node');
      assert.equal(back.maps.nat.count(), 0);
      assert.equal(back.maps.conntrack.count(), 0);
      // A connection that was opened without the option is not turned round by one that comes later.
      back.send('from_network', direct);
      back.send('from_network', { ...direct, ...forged(family, frontend.addr, frontend.port) });
      assert.equal(back.send('from_pod', { sourceMac: mac.a, destinationMac: mac.host, source: family.remote, destination: family.world, protocol: 'tcp', sourcePort: BACKEND_PORT, destinationPort: 50900, flags: 'SA' }).packet.source, family.remote);
    });
  }

  test(`other options stay as they are (${family.name})`, () => {
    const options: Partial<FrameSpec> = isV4 ? { options: Uint8Array.of(0x94, 4, 0, 0) } : { extensions: [{ number: 60, bytes: Uint8Array.of(1, 4, 0, 0, 0, 0) }] };
    const frame = buildFrame({ destinationMac: OUR_MAC, source: family.world, destination: family.remote, protocol: 'udp', sourcePort: 50901, destinationPort: BACKEND_PORT, ...options });
    const outcome = back.send('from_network', frame);
    assert.equal(outcome.action, 'redirect');
    assert.deepEqual(optionOf(outcome.frame, isV4), optionOf(frame, isV4));
    assert.equal(decodeFrame(outcome.frame).checksumsGood, true);
  });
}
