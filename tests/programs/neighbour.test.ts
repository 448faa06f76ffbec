import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { Datapath, families, type Family, mac } from './harness.ts';
import { buildArp, decodeArp, type FrameSpec, neighbourBody } from './packet.ts';

const datapath = new Datapath();
after(() => datapath.close());
beforeEach(() => datapath.reset());

const [v4, v6] = families as readonly [Family, Family];
const solicitation = (target: string): FrameSpec => ({
  sourceMac: mac.a, destinationMac: '33:33:ff:00:00:01', source: v6.a, destination: 'ff02::1:ff00:1', protocol: 'icmp', hopLimit: 255,
  icmp: { type: 135, body: neighbourBody(target, { type: 1, mac: mac.a }) },
});

test('an ARP request for any address is answered with the MAC of the host side', () => {
  for (const target of [v4.router, v4.b, v4.remote, v4.world]) {
    const outcome = datapath.send('from_pod', buildArp({ operation: 1, senderMac: mac.a, sender: v4.a, target }));
    assert.equal(outcome.action, 'redirect');
    assert.deepEqual(decodeArp(outcome.frame), { destinationMac: mac.a, sourceMac: mac.host, operation: 2, senderMac: mac.host, sender: target, targetMac: mac.a, target: v4.a });
  }
});

test('ARP that lies about its sender is refused', () => {
  assert.equal(datapath.send('from_pod', buildArp({ operation: 1, senderMac: mac.a, sender: v4.stranger, target: v4.router })).reason, 'INVALID_SOURCE_IP');
  assert.equal(datapath.send('from_pod', buildArp({ operation: 1, senderMac: mac.b, sender: v4.a, target: v4.router })).reason, 'INVALID_SOURCE_MAC');
  assert.equal(datapath.send('from_pod', buildArp({ operation: 1, senderMac: mac.a, sourceMac: mac.b, sender: v4.a, target: v4.router })).reason, 'INVALID_SOURCE_MAC');
});

test('ARP probes and announcements get silence, and nobody is told', () => {
  for (const sender of ['0.0.0.0', v4.a]) {
    const outcome = datapath.send('from_pod', buildArp({ operation: 1, senderMac: mac.a, sender, target: v4.a }));
    assert.equal(outcome.reason, 'NOISE');
    assert.equal(outcome.drops.length, 0);
  }
});

test("a pod's ARP reply about itself goes to the stack", () => {
  assert.equal(datapath.send('from_pod', buildArp({ operation: 2, senderMac: mac.a, sender: v4.a, target: v4.router })).action, 'pass');
});

test('a neighbour solicitation for any address is answered, with a good checksum', () => {
  for (const target of [v6.router, v6.b, v6.remote, v6.world]) {
    const outcome = datapath.send('from_pod', solicitation(target));
    assert.equal(outcome.action, 'redirect');
    const { packet, frame } = outcome;
    assert.deepEqual(
      { source: packet.source, destination: packet.destination, type: packet.icmpType, good: packet.checksumsGood, to: packet.destinationMac, from: packet.sourceMac, hops: packet.hopLimit, length: frame.length },
      { source: target, destination: v6.a, type: 136, good: true, to: mac.a, from: mac.host, hops: 255, length: 86 });
    assert.deepEqual([...frame.subarray(78)], [2, 1, 2, 0, 0, 0, 0, 0xfe]);
  }
});

test('a solicitation without an option is answered with one; a link-local sender too', () => {
  const plain = { ...solicitation(v6.router), icmp: { type: 135, body: neighbourBody(v6.router) } };
  assert.equal(datapath.send('from_pod', plain).frame.length, 86);
  const outcome = datapath.send('from_pod', { ...plain, source: 'fe80::1' });
  assert.equal(outcome.packet.destination, 'fe80::1');
  assert.equal(outcome.packet.sourceMac, mac.host);
  assert.equal(outcome.packet.checksumsGood, true);
  const unicast = datapath.send('from_pod', { ...plain, source: 'fe80::1', destinationMac: mac.hostB });
  assert.equal(unicast.packet.sourceMac, mac.hostB);
});

test('is my address free? silence', () => {
  const outcome = datapath.send('from_pod', { ...solicitation(v6.a), source: '::' });
  assert.deepEqual([outcome.reason, outcome.drops.length], ['NOISE', 0]);
});

test('solicitations from afar, from strangers, and advertisements for others are refused', () => {
  assert.equal(datapath.send('from_pod', { ...solicitation(v6.router), hopLimit: 64 }).reason, 'INVALID_PACKET');
  assert.equal(datapath.send('from_pod', { ...solicitation(v6.router), source: v6.stranger }).reason, 'INVALID_SOURCE_IP');
  const advertisement = { ...solicitation(v6.remote), destination: v6.router, icmp: { type: 136, body: neighbourBody(v6.remote) } };
  assert.equal(datapath.send('from_pod', advertisement).reason, 'INVALID_SOURCE_IP');
  assert.equal(datapath.send('from_pod', { ...advertisement, icmp: { type: 136, body: neighbourBody(v6.a) } }).action, 'pass');
  for (const type of [134, 137]) assert.equal(datapath.send('from_pod', { ...advertisement, icmp: { type, body: new Uint8Array(32) } }).reason, 'FORBIDDEN_ICMP6');
});

test('link-local addresses are for neighbour discovery only', () => {
  assert.equal(datapath.send('from_pod', { sourceMac: mac.a, source: 'fe80::1', destination: v6.b, protocol: 'udp', sourcePort: 1, destinationPort: 2 }).reason, 'INVALID_SOURCE_IP');
});

test('multicast listeners and router solicitations are counted but not told', () => {
  const report: FrameSpec = { ...solicitation(v6.router), source: 'fe80::1', destination: 'ff02::16', icmp: { type: 143, body: new Uint8Array(16) }, extensions: [{ number: 0, bytes: Uint8Array.of(5, 2, 0, 0, 1, 0) }] };
  for (const frame of [report, { ...report, icmp: { type: 133 }, extensions: [] }]) {
    const outcome = datapath.send('from_pod', frame);
    assert.deepEqual([outcome.reason, outcome.drops.length], ['NOISE', 0]);
  }
});
