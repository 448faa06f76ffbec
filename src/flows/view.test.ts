import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeEvent, layout } from './decode.ts';
import { emptyLookups, tcpFlagsOf } from './enrich.ts';
import { EventType, Protocol } from './event.ts';
import { createFlowPipeline } from './pipeline.ts';
import { eventRecord, MemoryRing } from './testing.ts';
import { plainFlow } from './view.ts';

const types = [EventType.drop, EventType.trace, EventType.policyVerdict];

/** A record of any bytes, of a type that is known. */
const record = fc.tuple(fc.uint8Array({ minLength: 152, maxLength: 152 }), fc.constantFrom(112, 152), fc.constantFrom(...types), fc.constantFrom(1, 6, 17, 58, 132, 99), fc.bigInt({ min: 0n, max: 2n ** 50n }))
  .map(([bytes, length, type, protocol, timeNs]) => {
    const view = new DataView(bytes.slice(0, length).buffer);
    view.setUint8(layout.type, type);
    view.setUint8(layout.protocol, protocol);
    view.setBigUint64(layout.timeNs, timeNs, true);
    return view;
  });

test('the view says of any record what its decoder says', () => {
  fc.assert(fc.property(record, bytes => {
    const flows = new MemoryRing();
    const pipeline = createFlowPipeline({ rings: { drops: new MemoryRing(), flows }, lookups: emptyLookups, nodeName: 'n', clock: { monotonicNs: () => 2n ** 51n, wallNs: () => 2n ** 51n + 1_700_000_000_000_000_000n } });
    flows.queued.push(bytes);
    const [flow] = pipeline.query({});
    const event = decodeEvent(bytes, 0, bytes.byteLength)!;
    assert.ok(flow);
    assert.deepEqual([flow.source.ip, flow.source.identity, flow.source.id], [event.source, event.sourceIdentity, event.sourceEndpoint]);
    assert.deepEqual([flow.destination.ip, flow.destination.identity, flow.destination.id], [event.destination, event.destinationIdentity, event.destinationEndpoint]);
    const hasPorts = event.sourcePort !== 0 || event.destinationPort !== 0;
    assert.deepEqual([flow.sourcePort, flow.destinationPort], hasPorts ? [event.sourcePort, event.destinationPort] : [undefined, undefined]);
    assert.deepEqual(flow.tcpFlags, event.protocol === Protocol.tcp ? tcpFlagsOf(event.tcpFlags) : undefined);
    const isIcmp = event.protocol === Protocol.icmp || event.protocol === Protocol.icmp6;
    assert.deepEqual([flow.icmpType, flow.icmpCode], isIcmp ? [event.icmpType, event.icmpCode] : [undefined, undefined]);
    const isDenial = event.type === EventType.policyVerdict && event.verdict === 2 && !event.audit && !event.shadow;
    assert.equal(flow.dropReasonCode, event.type === EventType.drop ? event.reasonOrPoint : isDenial ? (event.match === 0 ? 133 : 181) : undefined);
    assert.equal(flow.interfaceIndex, event.ifindex || undefined);
    assert.equal(flow.encrypted, event.encrypted || undefined);
    assert.equal(flow.shadow !== undefined, event.shadow);
    assert.equal(flow.connectLatencyNs, event.latencyUs === 0 ? undefined : event.latencyUs * 1000);
    const { connection } = event;
    assert.deepEqual(flow.connection && [flow.connection.packetsOut, flow.connection.bytesOut, flow.connection.packetsBack, flow.connection.bytesBack, flow.connection.durationNs],
      connection && [connection.forwardPackets, connection.forwardBytes, connection.replyPackets, connection.replyBytes, connection.durationNs]);
    const wallNs = event.timeNs + 1_700_000_000_000_000_000n;
    assert.equal(flow.time, `${new Date(Number(wallNs / 1_000_000n)).toISOString().slice(0, -1)}${String(wallNs % 1_000_000n).padStart(6, '0')}Z`);
    assert.equal(flow.id, `n-${wallNs.toString(36)}-0`);
  }), { numRuns: 300 });
});

test('a plain flow has the fields that say something, and nothing that changes with the view', () => {
  const flows = new MemoryRing();
  const pipeline = createFlowPipeline({ rings: { drops: new MemoryRing(), flows }, lookups: emptyLookups, nodeName: 'n' });
  const kept: ReturnType<typeof plainFlow>[] = [];
  pipeline.consume({ flow: flow => kept.push(plainFlow(flow)) });
  flows.queued.push(eventRecord({ type: EventType.trace, timeNs: 1, reason: 4, ctState: 2, flags: 1 }), eventRecord({ type: EventType.policyVerdict, timeNs: 2, protocol: 17, direction: 2 }));
  pipeline.drain();
  const [trace, verdict] = kept;
  assert.deepEqual([trace?.observationPoint, trace?.traceReason, trace?.isReply, trace?.protocol], ['to-overlay', 'reply', true, 'TCP']);
  assert.deepEqual([verdict?.observationPoint, verdict?.direction, verdict?.summary], [undefined, 'EGRESS', 'UDP']);
  assert.ok(Object.entries(trace!).every(([name, value]) => value !== undefined || name === 'isReply'));
});

test('an end that no packet showed has no point', () => {
  const flows = new MemoryRing();
  const pipeline = createFlowPipeline({ rings: { drops: new MemoryRing(), flows }, lookups: emptyLookups, nodeName: 'n' });
  const seen: boolean[] = [];
  pipeline.consume({ flow: flow => seen.push(flow.packetless) });
  flows.queued.push(eventRecord({ type: EventType.trace, timeNs: 1, flags: 32 | 64, end: 3, totals: { packetsOut: 1, bytesOut: 60, packetsBack: 0, bytesBack: 0, durationNs: 5 } }));
  const [flow] = pipeline.query({});
  assert.deepEqual([flow?.observationPoint, flow?.connection, seen], [undefined, { packetsOut: 1, bytesOut: 60, packetsBack: 0, bytesBack: 0, durationNs: 5, end: 'idle' }, [true]]);
});
