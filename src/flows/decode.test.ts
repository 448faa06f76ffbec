import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionEventCodec, flowEventCodec, nameEventCodec, type FlowEvent as KernelFlowEvent } from '../datapath/generated/structs.ts';
import { parseAddr } from '../std/ip.ts';
import { decodeEvent, isNameRecord, layout } from './decode.ts';

/** Every field has a value of its own, so that two that change places are seen. */
const record: KernelFlowEvent = {
  timeNs: 0x0102030405060708n,
  source: parseAddr('10.1.2.3'),
  destination: parseAddr('fd00:10:244::7'),
  sourcePort: 0x1112,
  destinationPort: 0x1314,
  protocol: 58,
  tcpFlags: 0x15,
  type: 1,
  reasonOrPoint: 133,
  sourceIdentity: 0x21222324,
  destinationIdentity: 0x25262728,
  sourceEndpoint: 0x31323334,
  destinationEndpoint: 0x35363738,
  rule: 0xf1f2f3f4,
  ifindex: 0x41424344,
  length: 0x51525354,
  direction: 1,
  verdict: 2,
  match: 3,
  flags: 1 | 2 | 8 | 16,
  service: parseAddr('10.96.0.9'),
  servicePort: 0x6162,
  ctState: 2,
  icmpType: 128,
  icmpCode: 4,
  end: 2,
  latencyUs: 0x71727374,
} as KernelFlowEvent;

test("the decoder's offsets are those of the kernel's own types", () => {
  const bytes = new Uint8Array(flowEventCodec.size + 16);
  flowEventCodec.encode(record, bytes, 8);
  const event = decodeEvent(new DataView(bytes.buffer), 8, flowEventCodec.size);
  const { flags, source, destination, service, ...same } = record;
  assert.deepEqual(event, {
    ...Object.fromEntries(Object.entries(same).filter(([field]) => !field.startsWith('pad'))),
    source: '10.1.2.3', destination: 'fd00:10:244::7', service: '10.96.0.9', ipv6: true, reply: true, encrypted: false, audit: true, shadow: true,
    packetless: false, connection: undefined,
  });
});

test("the end of a connection has its totals, where the kernel's type has them", () => {
  const bytes = new Uint8Array(connectionEventCodec.size);
  const totals = { forwardPackets: 0x1_0000_0001n, forwardBytes: 0x2_0000_0002n, replyPackets: 3n, replyBytes: 0x4_0000_0004n, durationNs: 5n };
  connectionEventCodec.encode({ event: { ...record, type: 4, flags: 32 | 64 }, ...totals }, bytes);
  const event = decodeEvent(new DataView(bytes.buffer), 0, bytes.length);
  assert.deepEqual(event?.connection, Object.fromEntries(Object.entries(totals).map(([name, value]) => [name, Number(value)])));
  assert.deepEqual([event?.packetless, event?.end, event?.shadow], [true, 2, false]);
});

test("a DNS message lies behind the kernel's own record of it", () => {
  const bytes = new Uint8Array(nameEventCodec.size + 12);
  nameEventCodec.encode({ event: { ...record, type: 129, flags: 0 }, length: 600, captured: 12 }, bytes);
  const view = new DataView(bytes.buffer);
  assert.equal(layout.namePayload, nameEventCodec.size);
  assert.equal(isNameRecord(view, 0, bytes.length), true);
  assert.deepEqual([view.getUint16(layout.nameLength, true), view.getUint16(layout.nameCaptured, true)], [600, 12]);
  assert.equal(decodeEvent(view, 0, bytes.length)?.type, 129);
  assert.equal(isNameRecord(view, 0, bytes.length - 1), false, 'less than it says was captured');
});

test('what is too short, or of a kind not known, is no event', () => {
  const bytes = new Uint8Array(flowEventCodec.size);
  flowEventCodec.encode({ ...record, type: 99 }, bytes);
  assert.equal(decodeEvent(new DataView(bytes.buffer), 0, bytes.length), undefined);
  assert.equal(decodeEvent(new DataView(bytes.buffer), 0, 40), undefined);
});
