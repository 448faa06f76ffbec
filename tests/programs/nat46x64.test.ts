/** Services of one family with backends of the other (NAT46x64), for clients outside and for pods. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { EventFlag, ServiceFlag, ServiceType } from '../../src/datapath/generated/enums.ts';
import { addService, BACKEND_PORT, balancer, fromClient, LB_PORT, NODE_PORT, OUR_MAC } from './external.ts';
import { address, Datapath, families, identity, mac, rule, set, type Family } from './harness.ts';
import type { FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

const [v4, v6] = families as readonly [Family, Family];
const flags = ServiceFlag.Routable | ServiceFlag.Nat46x64;

for (const [client, server] of [[v6, v4], [v4, v6]] as const) {
  for (const frontend of [{ addr: client.node, port: NODE_PORT }, { addr: balancer(client), port: LB_PORT }]) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const ask = (change: Partial<FrameSpec> = {}): FrameSpec => fromClient(client, frontend, { protocol, ...change });

      describe(`${client.name} client, ${server.name} backend: ${frontend.addr} ${protocol}`, () => {
        test('a pod here hears the router of its own family; its answer reaches the client from the service', () => {
          addService(datapath, { ...frontend, id: 50, flags, backends: [server.a] });
          const there = datapath.send('from_network', ask());
          assert.equal(there.action, 'redirect');
          assert.deepEqual([there.packet.source, there.packet.destination, there.packet.destinationPort, there.packet.destinationMac, there.packet.hopLimit, there.packet.checksumsGood],
            [server.router, server.a, BACKEND_PORT, mac.a, 63, true]);
          assert.deepEqual(there.flows.map(flow => [flow.sourceIdentity, flow.destinationIdentity]), [[identity.worldV4, identity.a]]);

          const answer = datapath.send('from_pod', { sourceMac: mac.a, destinationMac: mac.host, source: server.a, destination: server.router, protocol, sourcePort: BACKEND_PORT, destinationPort: there.packet.sourcePort!, flags: 'SA', payload: Uint8Array.of(9, 8, 7, 6, 5) });
          assert.equal(answer.action, 'redirect');
          assert.deepEqual([answer.packet.source, answer.packet.sourcePort, answer.packet.destination, answer.packet.destinationPort, answer.packet.checksumsGood], [frontend.addr, frontend.port, client.world, 50123, true]);
          const later = datapath.send('from_network', ask({ flags: 'A' }));
          assert.deepEqual([later.packet.sourcePort, later.packet.checksumsGood], [there.packet.sourcePort, true]);
        });

        test('a pod elsewhere hears the node, and its answer comes back by it', () => {
          addService(datapath, { ...frontend, id: 50, flags: flags | ServiceFlag.Dsr, backends: [server.remote] });
          const there = datapath.send('from_network', ask());
          assert.deepEqual([there.action, there.packet.source, there.packet.destination, there.packet.hopLimit, there.packet.checksumsGood], ['redirect', server.node, server.remote, 63, true]);
          const back = datapath.send('from_network', { destinationMac: OUR_MAC, source: server.remote, destination: server.node, protocol, sourcePort: BACKEND_PORT, destinationPort: there.packet.sourcePort!, flags: 'SA' });
          assert.deepEqual([back.action, back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.destinationPort, back.packet.hopLimit, back.packet.checksumsGood],
            ['redirect', frontend.addr, frontend.port, client.world, 50123, 63, true]);
        });

        test('policy knows the client under its own address', () => {
          addService(datapath, { ...frontend, id: 50, flags, backends: [server.a] });
          datapath.denyAll(set.aIngress);
          const { reason, drops } = datapath.send('from_network', ask());
          assert.equal(reason, 'POLICY_DENIED');
          assert.deepEqual(drops.map(drop => [drop.sourceIdentity, drop.rule]), [[identity.worldV4, rule.deny]]);
          assert.equal(datapath.maps.nat.count(), 0);
        });
      });
    }
  }

  test(`what cannot cross is refused: fragments, the node itself, a service that does not say so (${client.name} to ${server.name})`, () => {
    const frontend = { addr: balancer(client), port: LB_PORT };
    const refused = (change: Partial<FrameSpec> = {}): void => assert.equal(datapath.send('from_network', fromClient(client, frontend, change)).reason, 'NAT_UNSUPPORTED_PROTOCOL');
    addService(datapath, { ...frontend, id: 50, flags, backends: [server.a] });
    refused({ protocol: 'udp', payload: new Uint8Array(64), fragment: { id: 3, offset: 0, more: true } });
    if (client === v4) refused({ protocol: 'udp', noChecksum: true });
    addService(datapath, { ...frontend, id: 51, flags, backends: [{ addr: server.node, port: 9443 }] });
    refused();
    addService(datapath, { ...frontend, id: 52, backends: [server.a] });
    refused({ sourcePort: 50999 });
  });

  test(`a pod cannot make itself a client's answer (${client.name} to ${server.name})`, () => {
    const frontend = { addr: balancer(client), port: LB_PORT };
    addService(datapath, { ...frontend, id: 50, flags, backends: [server.a] });
    const port = datapath.send('from_network', fromClient(client, frontend)).packet.sourcePort!;
    const forged = datapath.send('from_pod', { sourceMac: mac.b, destinationMac: mac.hostB, source: server.b, destination: server.router, protocol: 'tcp', sourcePort: BACKEND_PORT, destinationPort: port, flags: 'SA' });
    assert.deepEqual([forged.action, forged.packet.destination], ['pass', server.router]);
  });
}

for (const [client, server] of [[v6, v4], [v4, v6]] as const) {
  describe(`a pod, by way of ${client.name} to ${server.name}`, () => {
    const PORT = 8090;
    const ask = (change: Partial<FrameSpec> = {}): FrameSpec =>
      ({ sourceMac: mac.a, destinationMac: mac.host, source: client.a, destination: client.service, protocol: 'tcp', sourcePort: 50123, destinationPort: PORT, flags: 'S', payload: Uint8Array.of(1, 2, 3), ...change });
    const answer = (from: Partial<FrameSpec> & Pick<FrameSpec, 'source'>, destination = server.a): FrameSpec =>
      ({ destination, protocol: 'tcp', sourcePort: BACKEND_PORT, destinationPort: 50123, flags: 'SA', payload: Uint8Array.of(9, 8, 7, 6, 5), ...from });
    const serve = (backend: string, o: { flags?: number; id?: number } = {}): void =>
      addService(datapath, { addr: client.service, port: PORT, id: o.id ?? 60, flags: o.flags ?? ServiceFlag.Nat46x64, type: ServiceType.ClusterIp, backends: [backend] });
    const fromB = { sourceMac: mac.b, destinationMac: mac.hostB, source: server.b };

    for (const protocol of ['tcp', 'udp'] as const) {
      test(`${protocol}: a pod here hears it under its own other address, and both know who talks to whom`, () => {
        serve(server.b);
        const there = datapath.send('from_pod', ask({ protocol }));
        assert.deepEqual([there.action, there.packet.source, there.packet.sourcePort, there.packet.destination, there.packet.destinationPort, there.packet.hopLimit, there.packet.checksumsGood],
          ['redirect', server.a, 50123, server.b, BACKEND_PORT, 63, true]);
        assert.deepEqual(there.flows.map(flow => [flow.sourceIdentity, flow.destinationIdentity, flow.flags & EventFlag.V6, address(flow.service)]),
          Array.from({ length: 2 }, () => [identity.a, identity.b, server === v6 ? EventFlag.V6 : 0, client.service]));
        const back = datapath.send('from_pod', answer({ ...fromB, protocol }));
        assert.deepEqual([back.action, back.packet.source, back.packet.sourcePort, back.packet.destination, back.packet.destinationPort, back.packet.destinationMac, back.packet.checksumsGood],
          ['redirect', client.service, PORT, client.a, 50123, mac.a, true]);
        const later = datapath.send('from_pod', ask({ protocol, flags: 'A' }));
        assert.deepEqual([later.packet.source, later.packet.destination, later.packet.checksumsGood], [server.a, server.b, true]);
      });
    }

    test('a pod elsewhere, and the node itself', () => {
      serve(server.remote);
      const there = datapath.send('from_pod', ask());
      assert.deepEqual([there.action, there.packet.source, there.packet.destination, there.packet.hopLimit, there.packet.checksumsGood], ['redirect', server.a, server.remote, 63, true]);
      const back = datapath.send('from_network', answer({ destinationMac: OUR_MAC, source: server.remote }));
      assert.deepEqual([back.action, back.packet.source, back.packet.destination, back.packet.checksumsGood], ['redirect', client.service, client.a, true]);
      serve(server.node, { id: 61 });
      const up = datapath.send('from_pod', ask({ sourcePort: 50124 }));
      assert.deepEqual([up.action, up.packet.source, up.packet.destination, up.packet.checksumsGood], ['pass', server.a, server.node, true]);
      const down = datapath.send('to_pod', answer({ source: server.node, destinationPort: 50124 }));
      assert.deepEqual([down.action, down.packet.source, down.packet.destination, down.packet.checksumsGood], ['pass', client.service, client.a, true]);
    });

    test('itself: it hears the router of the other family, and itself as the service', () => {
      serve(server.a);
      const there = datapath.send('from_pod', ask());
      assert.deepEqual([there.action, there.packet.source, there.packet.destination, there.packet.checksumsGood], ['redirect', server.router, server.a, true]);
      const back = datapath.send('from_pod', answer({ sourceMac: mac.a, destinationMac: mac.host, source: server.a }, server.router));
      assert.deepEqual([back.action, back.packet.source, back.packet.destination, back.packet.destinationMac, back.packet.checksumsGood], ['redirect', client.service, client.a, mac.a, true]);
    });

    test('policy of either end', () => {
      serve(server.b);
      for (const [number, name] of [[set.aEgress, 'egress'], [set.bIngress, 'ingress']] as const) {
        datapath.denyAll(number);
        const { reason, drops } = datapath.send('from_pod', ask());
        assert.deepEqual([reason, drops.map(drop => [drop.sourceIdentity, drop.destinationIdentity])], ['POLICY_DENIED', [[identity.a, identity.b]]], name);
        datapath.allowAll(number);
      }
    });

    test('what cannot cross is refused, and so is a pod without an address there', () => {
      const refused = (change: Partial<FrameSpec> = {}): void => assert.equal(datapath.send('from_pod', ask(change)).reason, 'NAT_UNSUPPORTED_PROTOCOL');
      serve(server.b, { flags: 0 });
      refused();
      serve(server.b);
      refused({ protocol: 'udp', payload: new Uint8Array(64), fragment: { id: 3, offset: 0, more: true } });
      if (client === v4) refused({ protocol: 'udp', noChecksum: true, sourcePort: 50125 });
      datapath.endpoint(client.a, {});
      refused({ sourcePort: 50126 });
    });

    test('reports about such a connection do not cross, from either side, and leave it as it is', () => {
      serve(server.b);
      const there = datapath.send('from_pod', ask({ protocol: 'udp' }));
      const report = (family: Family, frame: Uint8Array): FrameSpec['icmp'] => ({ type: family.unreachable, code: family === v6 ? 4 : 3, body: frame.slice(14) });
      const back = datapath.send('from_pod', { ...fromB, destination: server.a, protocol: 'icmp', icmp: report(server, there.frame) });
      assert.equal(back.reason, 'NAT_UNSUPPORTED_PROTOCOL');
      const answered = datapath.send('from_pod', answer({ ...fromB, protocol: 'udp' }));
      const forth = datapath.send('from_pod', { sourceMac: mac.a, destinationMac: mac.host, source: client.a, destination: client.service, protocol: 'icmp', icmp: report(client, answered.frame) });
      assert.equal(forth.reason, 'NAT_UNSUPPORTED_PROTOCOL');
      assert.equal(datapath.send('from_pod', ask({ protocol: 'udp' })).action, 'redirect');
    });

    test('one port of both families towards one backend: the second connection is refused, as answers could not be told apart', () => {
      serve(server.b);
      const direct = ask({ source: server.a, destination: server.b, destinationPort: BACKEND_PORT });
      assert.equal(datapath.send('from_pod', direct).action, 'redirect');
      assert.equal(datapath.send('from_pod', ask()).reason, 'NAT_CONTENDED');
      datapath.reset();
      serve(server.b);
      assert.equal(datapath.send('from_pod', ask()).action, 'redirect');
      assert.equal(datapath.send('from_pod', direct).reason, 'NAT_CONTENDED');
    });
  });
}
