/**
 * V6, source misattribution: what comes from outside must never count as the node (which always reaches its pods), whatever it writes
 * into its headers.
 *
 *      outside, claims to be the node ──► uplink ──► a, node, a service
 *      b, claims to be the node ────────► veth ────► a, node
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, IpcacheFlag, ServiceFlag } from '../../src/datapath/generated/enums.ts';
import { addService, balancer, fromClient, LB_PORT, NODE_PORT, OUR_MAC } from './external.ts';
import { Datapath, families, identity, mac, rule, set, type Family } from './harness.ts';
import { buildIp as quote, type FrameSpec } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

/** One packet of every kind that policy can be asked about. */
function kinds(family: Family, ends: { readonly source: string; readonly destination: string; readonly sourceMac?: string }): readonly (readonly [string, FrameSpec])[] {
  const base = { destinationMac: mac.host, sourcePort: 40000, destinationPort: 80, ...ends };
  return [
    ['TCP', { ...base, protocol: 'tcp', flags: 'S' }],
    ['TCP in the middle', { ...base, protocol: 'tcp', flags: 'A' }],
    ['UDP', { ...base, protocol: 'udp' }],
    ['SCTP', { ...base, protocol: 'sctp' }],
    ['echo request', { ...base, protocol: 'icmp', icmp: { type: family.echo, id: 7 } }],
    ['echo reply', { ...base, protocol: 'icmp', icmp: { type: family.echoReply, id: 7 } }],
    ['ICMP error', { ...base, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quote({ ...base, protocol: 'udp', source: ends.destination, destination: ends.source, sourcePort: 80, destinationPort: 40000 }) } }],
    ['unknown protocol', { ...base, protocol: 47, payload: new Uint8Array(8) }],
  ];
}

for (const family of families) {
  describe(`V6 external traffic is never the host (${family.name})`, () => {
    for (const [claimed, source] of [["the node's address", family.node], ["the router's address", family.router]] as const) {
      test(`from the uplink with ${claimed}: refused, to a pod and to the node`, () => {
        for (const destination of [family.a, family.node, family.router]) {
          for (const [kind, packet] of kinds(family, { source, destination })) assert.equal(datapath.send('from_network', packet).reason, 'INVALID_SOURCE_IP', `${kind} to ${destination}`);
        }
      });

      test(`from a pod with ${claimed}: refused, to a pod, the node and the world`, () => {
        for (const destination of [family.a, family.node, family.world]) {
          for (const [kind, packet] of kinds(family, { source, destination, sourceMac: mac.b })) assert.equal(datapath.send('from_pod', packet).reason, 'INVALID_SOURCE_IP', `${kind} to ${destination}`);
        }
      });
    }

    test('the world is judged as the world: no kind of packet passes default deny as the node does', () => {
      datapath.denyAll(set.aIngress);
      for (const program of ['from_network', 'to_pod'] as const) {
        for (const [kind, packet] of kinds(family, { source: family.world, destination: family.a })) {
          const outcome = datapath.send(program, packet);
          assert.equal(outcome.reason, 'POLICY_DENIED', `${program} ${kind}`);
          assert.deepEqual(outcome.drops.map(drop => [drop.sourceIdentity, drop.rule]), [[identity.worldV4, rule.deny]], `${program} ${kind}`);
        }
      }
      assert.equal(datapath.maps.conntrack.count(), 0);
    });

    test('another node is a remote node, never this one', () => {
      datapath.denyAll(set.aIngress);
      for (const [kind, packet] of kinds(family, { source: family.otherNode, destination: family.a })) {
        assert.deepEqual(datapath.send('from_network', packet).drops.map(drop => drop.sourceIdentity), [identity.remoteNode], kind);
      }
    });

    test('what the node itself sends is the host, and its connections say so', () => {
      datapath.denyAll(set.aIngress);
      for (const [kind, packet] of kinds(family, { source: family.router, destination: family.a })) assert.equal(datapath.send('to_pod', packet).action, 'pass', kind);
      for (const [, entry] of datapath.maps.conntrack.entries()) assert.equal(entry.flags & ConntrackFlag.Host, ConntrackFlag.Host);
    });

    test('addresses that nobody can have are refused before policy: unspecified, loopback, multicast', () => {
      const sources = family.name === 'IPv4' ? ['0.0.0.0', '0.1.2.3', '127.0.0.1', '127.9.9.9', '224.0.0.1', '255.255.255.255'] : ['::', '::1', 'ff02::1', 'ff0e::1'];
      for (const source of sources) {
        for (const [kind, packet] of kinds(family, { source, destination: family.a })) assert.equal(datapath.send('from_network', packet).reason, 'INVALID_SOURCE_IP', `${source} ${kind}`);
        for (const [kind, packet] of kinds(family, { source, destination: family.a, sourceMac: mac.b })) assert.equal(datapath.send('from_pod', packet).reason, 'INVALID_SOURCE_IP', `${source} ${kind}`);
      }
    });

    test('an error from outside about a connection that never left the node belongs to nothing', () => {
      const hello = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.node, protocol: 'udp', sourcePort: 40000, destinationPort: 80 } as const;
      datapath.send('from_pod', hello);
      datapath.denyAll(set.aIngress);
      const forged = { sourceMac: mac.host, source: family.world, destination: family.a, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quote(hello) } } as const;
      const outcome = datapath.send('from_network', forged);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => drop.sourceIdentity), [identity.worldV4]);
      assert.equal(datapath.send('to_pod', { ...forged, source: family.router }).action, 'pass', 'the node itself may report about it');
    });

    test('an error about the node\'s own connection to a pod opens nothing for whoever reports it', () => {
      datapath.denyAll(set.aIngress);
      const probe = { sourceMac: mac.host, source: family.router, destination: family.a, protocol: 'tcp', sourcePort: 20000, destinationPort: 80, flags: 'S' } as const;
      datapath.send('to_pod', probe);
      const forged = { sourceMac: mac.host, source: family.world, destination: family.a, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quote({ ...probe, source: family.a, destination: family.router, sourcePort: 80, destinationPort: 20000 }) } } as const;
      assert.equal(datapath.send('from_network', forged).reason, 'POLICY_DENIED');
    });

    test('the echo of a ping is judged by who asks, not by the identifier of a ping that the node has running', () => {
      datapath.denyAll(set.aIngress);
      const ping = { source: family.router, destination: family.a, protocol: 'icmp', icmp: { type: family.echo, id: 7 } } as const;
      assert.equal(datapath.send('to_pod', ping).action, 'pass');
      assert.equal(datapath.send('from_network', { ...ping, source: family.world }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_network', { ...ping, source: family.world, icmp: { type: family.echoReply, id: 7 } }).reason, 'POLICY_DENIED');
    });
  });
}

/** What a client outside may write as its source, when it asks for a service of this node. */
const serviceAddresses = (family: Family) => [{ addr: family.node, port: NODE_PORT }, { addr: balancer(family), port: LB_PORT }];

for (const family of families) {
  describe(`V6 by way of a service (${family.name})`, () => {
    const serve = (world: Datapath, backends: readonly (string | { addr: string; port: number })[], flags: number): void =>
      serviceAddresses(family).forEach((frontend, i) => addService(world, { ...frontend, id: 40 + i, flags, protocol: [6, 17, 132], backends }));

    for (const [mode, flags] of [['SNAT', ServiceFlag.Routable], ['DSR', ServiceFlag.Routable | ServiceFlag.Dsr]] as const) {
      test(`nobody becomes the node or one of its pods by asking for a service: refused before a backend is chosen (${mode})`, () => {
        for (const backend of [family.a, family.remote, { addr: family.node, port: 9443 }]) {
          datapath.reset();
          serve(datapath, [backend], flags);
          for (const { addr, port } of serviceAddresses(family)) {
            for (const source of [family.node, family.router, family.a, family.b]) {
              for (const [kind, packet] of kinds(family, { source, destination: addr })) {
                assert.equal(datapath.send('from_network', { ...packet, destinationMac: OUR_MAC, destinationPort: port }).reason, 'INVALID_SOURCE_IP', `${kind} from ${source}`);
              }
            }
          }
          assert.equal(datapath.maps.conntrack.count() + datapath.maps.nat.count(), 0);
        }
      });
    }

    test('a backend here judges the world as the world and another node as a remote node, and never as the node that forwards', () => {
      datapath.denyAll(set.aIngress);
      serve(datapath, [family.a], ServiceFlag.Routable);
      for (const { addr, port } of serviceAddresses(family)) {
        for (const [source, expected] of [[family.world, identity.worldV4], [family.otherNode, identity.remoteNode]] as const) {
          for (const [kind, packet] of kinds(family, { source, destination: addr }).slice(0, 4)) {
            const outcome = datapath.send('from_network', { ...packet, destinationMac: OUR_MAC, destinationPort: port, ...(kind === 'SCTP' && { protocol: 'udp' as const }) });
            assert.deepEqual(outcome.drops.map(drop => [drop.reasonOrPoint, drop.sourceIdentity]), [[133, expected]], `${kind} from ${source}`);
          }
        }
      }
    });

    test("the node that serves under its own policy: the client is who it is", () => {
      serve(datapath, [{ addr: family.node, port: 9443 }], ServiceFlag.Routable);
      datapath.hostPolicy({ ingressSet: set.hostIngress, egressSet: 0 });
      datapath.denyAll(set.hostIngress);
      for (const { addr, port } of serviceAddresses(family)) {
        const outcome = datapath.send('from_network', fromClient(family, { addr, port }));
        assert.deepEqual(outcome.drops.map(drop => [drop.reasonOrPoint, drop.sourceIdentity]), [[133, identity.worldV4]]);
      }
    });

    test('addresses that nobody can have reach no service', () => {
      serve(datapath, [family.remote], ServiceFlag.Routable | ServiceFlag.Dsr);
      const sources = family.name === 'IPv4' ? ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255'] : ['::', '::1', 'ff02::1'];
      for (const source of sources) for (const frontend of serviceAddresses(family)) assert.equal(datapath.send('from_network', fromClient(family, frontend, { source })).reason, 'INVALID_SOURCE_IP', source);
    });

    test('pings of a service address, and neighbour messages to it, are the stack\'s: they open nothing', () => {
      serve(datapath, [family.a], ServiceFlag.Routable);
      const types = family.name === 'IPv4' ? [8, 0] : [128, 129, 133, 134, 135, 136, 137];
      for (const { addr } of serviceAddresses(family)) {
        for (const type of types) {
          const outcome = datapath.send('from_network', { destinationMac: OUR_MAC, source: family.world, destination: addr, protocol: 'icmp', hopLimit: 255, icmp: { type, id: 7, body: new Uint8Array(24) } });
          assert.deepEqual([outcome.action, outcome.packet.destination], ['pass', addr], String(type));
        }
      }
      assert.equal(datapath.maps.conntrack.count(), 0);
    });

    test('an error about a connection in transit reaches its client as what it is, and changes nobody: reporters are only reporters', () => {
      serve(datapath, [family.remote], ServiceFlag.Routable);
      const frontend = serviceAddresses(family)[0]!;
      const port = datapath.send('from_network', fromClient(family, frontend, { protocol: 'udp' })).packet.sourcePort!;
      const body = quote({ source: family.node, destination: family.remote, protocol: 'udp', sourcePort: port, destinationPort: 8080 });
      const before = [...datapath.maps.conntrack.entries()].map(([, entry]) => entry.sourceIdentity);
      for (const source of [family.node, family.a]) assert.equal(datapath.send('from_network', { destinationMac: OUR_MAC, source, destination: family.node, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body } }).reason, 'INVALID_SOURCE_IP');
      assert.equal(datapath.send('from_network', { destinationMac: OUR_MAC, source: family.otherNode, destination: family.node, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body } }).action, 'redirect');
      assert.deepEqual([...datapath.maps.conntrack.entries()].map(([, entry]) => entry.sourceIdentity), before);
    });
  });
}

describe('V6 IPv6 neighbour discovery', () => {
  const family = families[1]!;
  const solicitation = (type: number, hopLimit: number, source: string) => ({
    sourceMac: mac.host, destinationMac: mac.a, source, destination: family.a, protocol: 'icmp', hopLimit, icmp: { type, body: new Uint8Array(20) },
  } as const);

  test('from the network it is ordinary traffic of the world, whatever its hop limit', () => {
    datapath.denyAll(set.aIngress);
    for (const type of [133, 134, 135, 136, 137]) {
      for (const hopLimit of [255, 64]) assert.deepEqual(datapath.send('from_network', solicitation(type, hopLimit, family.world)).drops.map(drop => [drop.reasonOrPoint, drop.sourceIdentity]), [[133, identity.worldV4]], `${type} ${hopLimit}`);
    }
  });

  test('out of the stack it passes unasked only with a hop limit of 255: a router has made any other less', () => {
    datapath.denyAll(set.aIngress);
    assert.equal(datapath.send('to_pod', solicitation(135, 255, family.router)).action, 'pass');
    assert.equal(datapath.send('to_pod', solicitation(135, 254, family.world)).reason, 'POLICY_DENIED');
  });

  test('a pod cannot speak for the node', () => {
    for (const type of [135, 136]) assert.notEqual(datapath.send('from_pod', { ...solicitation(type, 255, family.router), sourceMac: mac.b }).action, 'redirect');
    assert.equal(datapath.send('from_pod', { ...solicitation(134, 255, family.router), sourceMac: mac.b }).action, 'drop', 'a router advertisement');
  });
});

describe('V6 with an overlay', () => {
  let overlay: Datapath;
  before(() => { overlay = new Datapath({ overlayIfindex: 1 }); });
  after(() => overlay.close());

  for (const family of families) {
    test(`${family.name}: pods elsewhere and routers come through the tunnel, not in the open, to a pod as to a service`, () => {
      overlay.reset();
      const frontend = { addr: balancer(family), port: LB_PORT };
      addService(overlay, { ...frontend, id: 40, backends: [family.a] });
      overlay.address(family.remote, { identity: identity.remote, flags: IpcacheFlag.Cluster | IpcacheFlag.HasTunnel, tunnel: new Uint8Array(16) });
      overlay.address(family.nobody, { identity: identity.remoteNode, flags: IpcacheFlag.Cluster | IpcacheFlag.Node | IpcacheFlag.HasTunnel, tunnel: new Uint8Array(16) });
      for (const source of [family.remote, family.nobody]) {
        for (const [kind, packet] of kinds(family, { source, destination: family.a })) assert.equal(overlay.send('from_network', packet).reason, 'INVALID_SOURCE_IP', kind);
        assert.equal(overlay.send('from_network', fromClient(family, frontend, { source })).reason, 'INVALID_SOURCE_IP');
      }
    });
  }
});
