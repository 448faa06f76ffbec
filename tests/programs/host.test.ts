/**
 * Policy of the node itself:
 *
 *      a, b ──► from_pod ──► node ──► to_network ──► world, other nodes, API server
 *                            node ◄── from_network ◄──
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ConntrackFlag, IpcacheFlag } from '../../src/datapath/generated/enums.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { Datapath, families, id, identity, mac, rule, set } from './harness.ts';
import { buildIp as quote } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => {
  datapath.reset();
  for (const number of [set.hostEgress, set.hostIngress]) datapath.denyAll(number);
});

const both = { ingressSet: set.hostIngress, egressSet: set.hostEgress } as const;
const apiServer = { IPv4: '172.30.0.1', IPv6: 'fdc1::1' } as const;

for (const family of families) {
  describe(`host policy (${family.name})`, () => {
    const knock = { sourceMac: mac.host, destinationMac: mac.host, source: family.world, destination: family.node, protocol: 'tcp', sourcePort: 20000, destinationPort: 22, flags: 'S' } as const;
    const knockAnswer = { ...knock, source: family.node, destination: family.world, sourcePort: 22, destinationPort: 20000, flags: 'SA' } as const;
    const call = { ...knock, source: family.node, destination: family.world, sourcePort: 20001, destinationPort: 443 } as const;
    const callAnswer = { ...call, source: family.world, destination: family.node, sourcePort: 443, destinationPort: 20001, flags: 'SA' } as const;
    const fromPod = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.node, protocol: 'tcp', sourcePort: 20002, destinationPort: 10250, flags: 'S' } as const;
    const fromPodAnswer = { ...fromPod, source: family.node, destination: family.a, sourcePort: 10250, destinationPort: 20002, flags: 'SA' } as const;

    test('without sets nothing of the node is restricted, tracked or told', () => {
      for (const [program, packet] of [['from_network', knock], ['to_network', call]] as const) {
        const outcome = datapath.send(program, packet);
        assert.equal(outcome.action, 'pass');
        assert.equal(outcome.flows.length, 0);
      }
      assert.equal(datapath.maps.conntrack.count(), 0);
    });

    test('ingress from the world: denied with its rule, told, and allowed by a rule', () => {
      datapath.hostPolicy(both);
      const outcome = datapath.send('from_network', knock);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => [drop.direction, drop.rule, drop.sourceIdentity, drop.destinationIdentity, drop.destinationEndpoint]), [[1, rule.deny, identity.worldV4, identity.host, id.host]]);
      datapath.verdict({ set: set.hostIngress, protocol: 6, port: 22, verdict: 1, rule: 5, match: 2 });
      const allowed = datapath.send('from_network', knock);
      assert.equal(allowed.action, 'pass');
      assert.deepEqual(allowed.flows.map(flow => [flow.direction, flow.rule, flow.verdict]), [[1, 5, 1]]);
      assert.equal(datapath.send('to_network', knockAnswer).action, 'pass', 'its answer needs no egress rule');
    });

    test('egress to the world: denied with its rule, and allowed by a rule', () => {
      datapath.hostPolicy(both);
      const outcome = datapath.send('to_network', call);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual(outcome.drops.map(drop => [drop.direction, drop.rule, drop.sourceIdentity, drop.sourceEndpoint, drop.destinationIdentity]), [[2, rule.deny, identity.host, id.host, identity.worldV4]]);
      datapath.verdict({ set: set.hostEgress, protocol: 6, port: 443, verdict: 1, rule: 5, match: 2 });
      assert.deepEqual(datapath.send('to_network', call).flows.map(flow => [flow.direction, flow.rule]), [[2, 5]]);
      assert.equal(datapath.send('from_network', callAnswer).action, 'pass', 'its answer needs no ingress rule');
      assert.equal(datapath.send('from_network', { ...callAnswer, sourcePort: 444 }).reason, 'POLICY_DENIED');
    });

    test('one direction restricted, the other open: answers of the open one pass', () => {
      datapath.hostPolicy({ ingressSet: set.hostIngress, egressSet: 0 });
      assert.equal(datapath.send('from_network', callAnswer).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('to_network', call).action, 'pass');
      assert.equal(datapath.send('from_network', callAnswer).action, 'pass');
      datapath.hostPolicy({ ingressSet: 0, egressSet: set.hostEgress });
      assert.equal(datapath.send('to_network', { ...knockAnswer, sourcePort: 23 }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_network', { ...knock, destinationPort: 23 }).action, 'pass');
      assert.equal(datapath.send('to_network', { ...knockAnswer, sourcePort: 23 }).action, 'pass');
    });

    test('other nodes are remote nodes, both ways', () => {
      datapath.hostPolicy(both);
      assert.deepEqual(datapath.send('from_network', { ...knock, source: family.otherNode }).drops.map(drop => drop.sourceIdentity), [identity.remoteNode]);
      assert.deepEqual(datapath.send('to_network', { ...call, destination: family.otherNode }).drops.map(drop => drop.destinationIdentity), [identity.remoteNode]);
      datapath.maps.policyClasses.update({ set: set.hostIngress, identity: identity.remoteNode }, { class: 3 });
      datapath.verdict({ set: set.hostIngress, class: 3, verdict: 1, rule: 6, match: 1 });
      assert.equal(datapath.send('from_network', { ...knock, source: family.otherNode }).action, 'pass');
      assert.equal(datapath.send('from_network', knock).reason, 'POLICY_DENIED');
    });

    test('pods elsewhere, where they come in the open', () => {
      datapath.hostPolicy(both);
      assert.deepEqual(datapath.send('from_network', { ...knock, source: family.remote }).drops.map(drop => drop.sourceIdentity), [identity.remote]);
      assert.deepEqual(datapath.send('to_network', { ...call, source: family.router, destination: family.remote }).drops.map(drop => drop.destinationIdentity), [identity.remote]);
    });

    test('its own pods ask at both ends; their answers pass', () => {
      datapath.hostPolicy(both);
      const outcome = datapath.send('from_pod', fromPod);
      assert.equal(outcome.reason, 'POLICY_DENIED');
      assert.deepEqual([outcome.flows.map(flow => flow.direction), outcome.drops.map(drop => [drop.direction, drop.sourceIdentity])], [[2, 1], [[1, identity.a]]]);
      datapath.maps.policyClasses.update({ set: set.hostIngress, identity: identity.a }, { class: 3 });
      datapath.verdict({ set: set.hostIngress, class: 3, verdict: 1, rule: 6, match: 1 });
      assert.deepEqual(datapath.send('from_pod', fromPod).flows.map(flow => [flow.direction, flow.rule]), [[2, rule.allow], [1, 6]]);
      assert.equal(datapath.send('to_pod', fromPodAnswer).action, 'pass');
    });

    test('exempt: the node to its own pods, and their answers', () => {
      datapath.hostPolicy(both);
      datapath.denyAll(set.aIngress);
      datapath.denyAll(set.aEgress);
      const probe = { ...fromPodAnswer, sourcePort: 20003, destinationPort: 8080, flags: 'S' } as const;
      assert.equal(datapath.send('to_pod', probe).action, 'pass');
      assert.equal(datapath.send('from_pod', { ...fromPod, sourcePort: 8080, destinationPort: 20003, flags: 'SA' }).action, 'pass');
    });

    test('exempt: API servers, what the node sends and what they answer, also in connections older than the policy', () => {
      datapath.hostPolicy(both);
      const server = apiServer[family.name as 'IPv4' | 'IPv6'];
      datapath.address(server, { identity: 7, flags: 0 });
      const watch = { ...call, destination: server, destinationPort: 6443 } as const;
      const event = { ...callAnswer, source: server, sourcePort: 6443, flags: 'A' } as const;
      assert.equal(datapath.send('from_network', event).action, 'pass', 'a watch from before, on which only the server speaks');
      datapath.commit();
      assert.equal(datapath.send('from_network', event).action, 'pass', 'and after a change');
      assert.equal(datapath.send('to_network', { ...watch, sourcePort: 20005 }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...event, destinationPort: 20005, flags: 'SA' }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...event, destinationPort: 10250, flags: 'S' }).reason, 'POLICY_DENIED', 'the server opens nothing by that');
      assert.equal(datapath.send('from_network', { ...knock, protocol: 'udp', source: server }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('to_network', { ...call, destination: family.world }).reason, 'POLICY_DENIED');
    });

    test('exempt: DHCP, by its pair of ports alone', () => {
      datapath.hostPolicy(both);
      const [client, server] = family.name === 'IPv4' ? [68, 67] : [546, 547];
      const offer = { ...knock, protocol: 'udp', sourcePort: server, destinationPort: client } as const;
      assert.equal(datapath.send('from_network', offer).action, 'pass');
      assert.equal(datapath.send('to_network', { ...call, protocol: 'udp', sourcePort: client, destinationPort: server }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...offer, sourcePort: 53 }).reason, 'POLICY_DENIED');
      assert.equal(datapath.send('from_network', { ...offer, protocol: 'tcp' }).reason, 'POLICY_DENIED');
      assert.equal(datapath.maps.conntrack.count(), 0);
    });

    test('not exempt without an overlay: its port', () => {
      datapath.hostPolicy(both);
      assert.equal(datapath.send('from_network', { ...knock, protocol: 'udp', source: family.otherNode, destinationPort: 8472 }).reason, 'POLICY_DENIED');
    });

    test('masqueraded packets of pods bear the node\'s address and are not the node\'s', () => {
      datapath.hostPolicy(both);
      const out = datapath.send('from_pod', { ...fromPod, destination: family.world, destinationPort: 80 });
      assert.equal(out.packet.source, family.node);
      assert.equal(datapath.send('to_network', out.frame, { mark: out.mark }).action, 'pass');
      const back = { ...knock, sourcePort: 80, destinationPort: out.packet.sourcePort!, flags: 'SA' } as const;
      assert.equal(datapath.send('from_network', back).action, 'redirect', 'and their answers are the pod\'s');
      assert.equal(datapath.send('to_network', { ...call, sourcePort: out.packet.sourcePort! }).reason, 'POLICY_DENIED', 'what the node\'s own stack sends from there is the node\'s');
    });

    test('packets of pods under their own address pass to_network: they have been judged', () => {
      datapath.hostPolicy(both);
      assert.equal(datapath.send('to_network', { ...call, source: family.a }).action, 'pass');
    });

    test('ICMP: echo is judged by its type; an error about a known connection passes, about an unknown one it is judged', () => {
      datapath.hostPolicy(both);
      const ping = { ...knock, protocol: 'icmp', icmp: { type: family.echo, id: 4 } } as const;
      assert.equal(datapath.send('from_network', ping).reason, 'POLICY_DENIED');
      datapath.verdict({ set: set.hostIngress, protocol: family.name === 'IPv4' ? 1 : 58, port: family.echo, verdict: 1, rule: 3, match: 6 });
      assert.equal(datapath.send('from_network', ping).action, 'pass');
      assert.equal(datapath.send('to_network', { ...call, protocol: 'icmp', icmp: { type: family.echoReply, id: 4 } }).action, 'pass');
      datapath.verdict({ set: set.hostEgress, protocol: 17, verdict: 1, rule: 3, match: 6 });
      const datagram = { ...call, protocol: 'udp' } as const;
      datapath.send('to_network', datagram);
      const error = (sourcePort: number) => ({ ...knock, protocol: 'icmp', icmp: { type: family.unreachable, code: 1, body: quote({ ...datagram, sourcePort }) } } as const);
      assert.equal(datapath.send('from_network', error(20001)).action, 'pass');
      assert.equal(datapath.send('from_network', error(20009)).reason, 'POLICY_DENIED');
    });

    test('broadcasts and multicasts reach the node\'s sockets, so they are judged, too', () => {
      const everyone = { ...knock, protocol: 'udp', destinationPort: 5353 } as const;
      const ways = [
        { ...everyone, destination: family.multicast, destinationMac: family.name === 'IPv4' ? '01:00:5e:00:00:05' : '33:33:00:00:00:05' },
        { ...everyone, destination: family.multicast },
        // A directed broadcast is told by its frame alone.
        ...(family.name === 'IPv4' ? [{ ...everyone, destination: '255.255.255.255', destinationMac: 'ff:ff:ff:ff:ff:ff' }, { ...everyone, destination: '172.30.0.255', destinationMac: 'ff:ff:ff:ff:ff:ff' }] : []),
      ];
      for (const packet of ways) assert.equal(datapath.send('from_network', packet).action, 'pass');
      assert.equal(datapath.maps.conntrack.count(), 0);
      datapath.hostPolicy(both);
      for (const packet of ways) assert.deepEqual(datapath.send('from_network', packet).drops.map(drop => [drop.reasonOrPoint, drop.rule, drop.destinationEndpoint]), [[133, rule.deny, id.host]]);
      datapath.verdict({ set: set.hostIngress, protocol: 17, port: 5353, verdict: 1, rule: 5, match: 2 });
      for (const packet of ways) assert.equal(datapath.send('from_network', packet).action, 'pass');
      assert.equal(datapath.send('from_network', { ...everyone, destination: family.stranger }).action, 'pass', 'what is for nobody here is the stack\'s business');
    });

    test('fragments follow the first; one that follows nothing is dropped', () => {
      datapath.hostPolicy(both);
      datapath.verdict({ set: set.hostIngress, protocol: 17, port: 53, verdict: 1, rule: 3, match: 2 });
      const datagram = { ...knock, protocol: 'udp', destinationPort: 53, payload: new Uint8Array(64) } as const;
      const later = { ...datagram, fragment: { id: 77, offset: 40, more: false } };
      assert.equal(datapath.send('from_network', later).reason, 'FRAGMENT_NOT_FOUND');
      assert.equal(datapath.send('from_network', { ...datagram, fragment: { id: 77, offset: 0, more: true } }).action, 'pass');
      assert.equal(datapath.send('from_network', later).action, 'pass');
    });

    test('revoked like any connection: forward is judged again, answers die with it', () => {
      datapath.hostPolicy(both);
      datapath.verdict({ set: set.hostIngress, protocol: 6, port: 22, verdict: 1, rule: 5, match: 2 });
      datapath.send('from_network', knock);
      datapath.send('to_network', knockAnswer);
      datapath.verdict({ set: set.hostIngress, protocol: 6, port: 22, verdict: 2, rule: 8, match: 2 });
      datapath.commit();
      assert.equal(datapath.send('to_network', { ...knockAnswer, flags: 'A' }).action, 'pass');
      assert.equal(datapath.send('from_network', { ...knock, flags: 'A' }).drops[0]!.rule, 8);
      assert.equal(datapath.send('to_network', { ...knockAnswer, flags: 'A' }).reason, 'POLICY_DENY', 'a rule has denied it');
    });

    test('spoofed sources are refused before policy, which would allow them', () => {
      datapath.hostPolicy(both);
      datapath.allowAll(set.hostIngress);
      for (const source of [family.node, family.router, family.a]) assert.equal(datapath.send('from_network', { ...knock, source }).reason, 'INVALID_SOURCE_IP');
      assert.equal(datapath.send('from_network', { ...knock, source: family.nobody }).reason, 'UNKNOWN_CLUSTER_ADDRESS');
    });

    test('a set that is not ready fails closed, a layer 7 row too', () => {
      datapath.hostPolicy({ ingressSet: 900, egressSet: 901 });
      assert.equal(datapath.send('from_network', knock).reason, 'POLICY_NOT_READY');
      assert.equal(datapath.send('to_network', call).reason, 'POLICY_NOT_READY');
      datapath.hostPolicy(both);
      datapath.verdict({ set: set.hostIngress, verdict: 3, rule: 4, match: 4 });
      assert.equal(datapath.send('from_network', knock).reason, 'PROXY_NOT_SUPPORTED');
    });

    test('its connections know that the node opened them', () => {
      datapath.hostPolicy({ ingressSet: set.hostIngress, egressSet: 0 });
      datapath.send('to_network', call);
      assert.deepEqual([...datapath.maps.conntrack.entries()].map(([, entry]) => [entry.flags & (ConntrackFlag.Host | ConntrackFlag.Masqueraded), entry.sourceEndpoint, entry.destinationIdentity]), [[ConntrackFlag.Host, id.host, identity.worldV4]]);
    });
  });
}

describe('host policy: what IPv6 needs', () => {
  const family = families[1]!;
  const talk = (type: number, hopLimit: number, ends: { source: string; destination: string }) => ({ sourceMac: mac.host, destinationMac: mac.host, protocol: 'icmp', hopLimit, icmp: { type, body: new Uint8Array(20) }, ...ends } as const);

  test('exempt: router and neighbour messages from the link, listener reports; not redirects, not from afar', () => {
    datapath.hostPolicy(both);
    for (const type of [133, 134, 135, 136]) {
      assert.equal(datapath.send('from_network', talk(type, 255, { source: family.otherNode, destination: family.node })).action, 'pass', `${type} in`);
      assert.equal(datapath.send('to_network', talk(type, 255, { source: family.node, destination: 'ff02::1:ff00:12' })).action, 'pass', `${type} out`);
      assert.equal(datapath.send('from_network', talk(type, 254, { source: family.world, destination: family.node })).reason, 'POLICY_DENIED', `${type} from afar`);
    }
    assert.equal(datapath.send('from_network', talk(137, 255, { source: family.otherNode, destination: family.node })).reason, 'POLICY_DENIED');
    assert.equal(datapath.send('to_network', talk(143, 1, { source: 'fe80::11', destination: 'ff02::16' })).action, 'pass');
  });

  test('link-local addresses are the node\'s, too', () => {
    const knock = { sourceMac: mac.host, source: 'fe80::99', destination: 'fe80::11', protocol: 'tcp', sourcePort: 20000, destinationPort: 22, flags: 'S' } as const;
    assert.equal(datapath.send('from_network', knock).action, 'pass');
    datapath.hostPolicy(both);
    assert.equal(datapath.send('from_network', knock).reason, 'POLICY_DENIED');
    assert.equal(datapath.send('to_network', { ...knock, source: 'fe80::11', destination: 'fe80::99' }).reason, 'POLICY_DENIED');
    assert.equal(datapath.send('to_network', talk(135, 255, { source: 'fe80::11', destination: 'fe80::99' })).action, 'pass');
  });
});

describe('host policy with an overlay', () => {
  let overlay: Datapath;
  before(() => { overlay = new Datapath({ overlayIfindex: 1 }); });
  after(() => overlay.close());

  for (const family of families) {
    test(`${family.name}: exempt is the overlay's port between nodes of the cluster, and nothing else`, () => {
      overlay.reset();
      for (const number of [set.hostEgress, set.hostIngress]) overlay.denyAll(number);
      overlay.hostPolicy(both);
      overlay.address(family.remote, { identity: identity.remote, flags: IpcacheFlag.Cluster | IpcacheFlag.HasTunnel, tunnel: parseAddr(family.otherNode) });
      const outer = { sourceMac: mac.host, source: family.otherNode, destination: family.node, protocol: 'udp', sourcePort: 33333, destinationPort: 8472, payload: new Uint8Array(50) } as const;
      assert.equal(overlay.send('from_network', outer).action, 'pass');
      assert.equal(overlay.send('to_network', { ...outer, source: family.node, destination: family.otherNode }).action, 'pass');
      assert.equal(overlay.send('from_network', { ...outer, source: family.world }).reason, 'POLICY_DENIED');
      assert.equal(overlay.send('from_network', { ...outer, destinationPort: 8473 }).reason, 'POLICY_DENIED');
      assert.equal(overlay.send('from_network', { ...outer, sourcePort: 8472, destinationPort: 53 }).reason, 'POLICY_DENIED');
      assert.equal(overlay.send('from_network', { ...outer, protocol: 'tcp' }).reason, 'POLICY_DENIED');
      assert.equal(overlay.send('from_network', { ...outer, source: family.remote, destinationPort: 22 }).reason, 'INVALID_SOURCE_IP', 'pods elsewhere come through the tunnel');
    });
  }
});

test('frames that are no IP (ARP) are none of its business', () => {
  datapath.hostPolicy(both);
  const frame = new Uint8Array(60);
  frame.set([8, 6], 12);
  assert.equal(datapath.send('from_network', frame).action, 'pass');
  assert.equal(datapath.send('to_network', frame).action, 'pass');
});
