import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { Datapath, families, mac, identity, set } from './harness.ts';
import { buildFrame, macBytes } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

for (const family of families) {
  describe(`who sends (${family.name})`, () => {
    const hello = { sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: 80, flags: 'S' } as const;

    test('a pod with its own address and MAC reaches its neighbour with new MACs and one hop less', () => {
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.action, 'redirect');
      assert.equal(outcome.packet.destinationMac, mac.b);
      assert.equal(outcome.packet.sourceMac, mac.hostB);
      assert.equal(outcome.packet.hopLimit, 63);
      assert.equal(outcome.packet.checksumsGood, true);
    });

    test("another pod's address is refused", () => {
      assert.equal(datapath.send('from_pod', { ...hello, source: family.stranger }).reason, 'INVALID_SOURCE_IP');
      datapath.endpoint(family.a, { ifindex: 77 });
      const outcome = datapath.send('from_pod', hello);
      assert.equal(outcome.reason, 'INVALID_SOURCE_IP');
      assert.equal(outcome.drops.length, 1);
    });

    test("the node's own address is refused", () => {
      datapath.endpoint(family.node, { flags: 3 });
      assert.equal(datapath.send('from_pod', { ...hello, source: family.node }).reason, 'INVALID_SOURCE_IP');
    });

    test('another MAC is refused', () => {
      assert.equal(datapath.send('from_pod', { ...hello, sourceMac: mac.b }).reason, 'INVALID_SOURCE_MAC');
    });

    test('a pod whose policy is not loaded says nothing and hears nothing', () => {
      datapath.endpoint(family.a, { flags: 0 });
      assert.equal(datapath.send('from_pod', hello).reason, 'ENDPOINT_NOT_READY');
      assert.equal(datapath.send('from_pod', { ...hello, sourceMac: mac.b, source: family.b, destination: family.a }).reason, 'ENDPOINT_NOT_READY');
    });

    test('multicast is refused with its own reason', () => {
      assert.equal(datapath.send('from_pod', { ...hello, protocol: 'udp', destination: family.multicast }).reason, 'MULTICAST');
    });

    test('a packet to a VLAN-less frame type that is no IP is refused', () => {
      const frame = buildFrame(hello);
      frame.set([0x88, 0xcc], 12);
      assert.equal(datapath.send('from_pod', frame).reason, 'UNSUPPORTED_L3');
    });

    test('the last hop is not taken', () => {
      assert.equal(datapath.send('from_pod', { ...hello, hopLimit: 1 }).reason, 'TTL_EXCEEDED');
      assert.equal(datapath.send('from_pod', { ...hello, destination: family.world, sourcePort: 40001, hopLimit: 1 }).reason, 'TTL_EXCEEDED');
    });

    test("an address of the cluster that is nobody's is neither world nor denied", () => {
      const outcome = datapath.send('from_pod', { ...hello, destination: family.nobody });
      assert.equal(outcome.reason, 'UNKNOWN_CLUSTER_ADDRESS');
      assert.equal(outcome.drops[0]!.direction, 2);
    });

    test("the node's own address is the stack's business", () => {
      const outcome = datapath.send('from_pod', { ...hello, destination: family.node });
      assert.equal(outcome.action, 'pass');
      assert.deepEqual(outcome.flows.map(flow => flow.destinationIdentity), [identity.host]);
    });

    test('IP options and extension headers are walked', () => {
      const outcome = datapath.send('from_pod', {
        ...hello, options: Uint8Array.of(1, 1, 1, 0),
        extensions: [{ number: 0, bytes: new Uint8Array(6) }, { number: 60, bytes: new Uint8Array(14) }],
      });
      assert.equal(outcome.action, 'redirect');
      assert.deepEqual(outcome.flows.map(flow => [flow.protocol, flow.destinationPort]), [[6, 80], [6, 80]]);
    });

    test('an unknown protocol follows the policy of layer 3 with port 0', () => {
      assert.equal(datapath.send('from_pod', { ...hello, protocol: 47, payload: new Uint8Array(20) }).action, 'redirect');
      datapath.maps.policyVerdicts.delete({ prefixBits: 64, set: set.bIngress, class: 0, protocol: 0, port: 0 });
      datapath.verdict({ set: set.bIngress, verdict: 2, rule: 5, match: 0 });
      datapath.verdict({ set: set.bIngress, protocol: 6, verdict: 1, rule: 6, match: 6 });
      assert.equal(datapath.send('from_pod', { ...hello, protocol: 50, payload: new Uint8Array(20) }).reason, 'POLICY_DENIED');
    });
  });
}

test('a v4-mapped address inside IPv6 is no address', () => {
  const frame = buildFrame({ sourceMac: mac.a, source: families[1]!.a, destination: families[1]!.b, protocol: 'udp', sourcePort: 1, destinationPort: 2 });
  frame.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 244, 1, 11], 14 + 24);
  assert.equal(datapath.send('from_pod', frame).reason, 'INVALID_PACKET');
});

test('MAC text and bytes agree', () => assert.deepEqual([...macBytes(mac.a)], [2, 0, 0, 0, 0, 10]));
