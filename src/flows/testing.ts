import { parseAddr } from '../std/ip.ts';
import { layout } from './decode.ts';
import type { EventRing } from './reader.ts';

export interface RecordFields {
  readonly type: number;
  readonly timeNs: number | bigint;
  readonly reason?: number;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sourceIdentity?: number;
  readonly destinationIdentity?: number;
  readonly sourceEndpoint?: number;
  readonly destinationEndpoint?: number;
  readonly rule?: number;
  readonly service?: string;
  readonly servicePort?: number;
  readonly flags?: number;
  readonly protocol?: number;
  readonly tcpFlags?: number;
  readonly direction?: number;
  readonly verdict?: number;
  readonly match?: number;
  readonly icmpType?: number;
  readonly ctState?: number;
  readonly end?: number;
  readonly latencyUs?: number;
  readonly totals?: { readonly packetsOut: number; readonly bytesOut: number; readonly packetsBack: number; readonly bytesBack: number; readonly durationNs: number };
  /** A DNS message: the record is of the ring of names. */
  readonly payload?: Uint8Array;
}

/** A record as the kernel writes it (bpf/lib/events.h); for tests. */
export function eventRecord(fields: RecordFields): DataView {
  const { totals, payload } = fields;
  const bytes = new Uint8Array(payload ? (layout.namePayload + payload.length + 7) & ~7 : totals ? 152 : 112);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(layout.timeNs, BigInt(fields.timeNs), true);
  bytes.set(parseAddr(fields.source ?? '10.244.1.5'), layout.source);
  bytes.set(parseAddr(fields.destination ?? '10.244.2.9'), layout.destination);
  view.setUint16(layout.sourcePort, fields.sourcePort ?? 41000);
  view.setUint16(layout.destinationPort, fields.destinationPort ?? 8080);
  view.setUint8(layout.protocol, fields.protocol ?? 6);
  view.setUint8(layout.tcpFlags, fields.tcpFlags ?? 0x02);
  view.setUint8(layout.type, fields.type);
  view.setUint8(layout.reasonOrPoint, fields.reason ?? 0);
  view.setUint32(layout.sourceIdentity, fields.sourceIdentity ?? 1234, true);
  view.setUint32(layout.destinationIdentity, fields.destinationIdentity ?? 5678, true);
  view.setUint32(layout.sourceEndpoint, fields.sourceEndpoint ?? 0, true);
  view.setUint32(layout.destinationEndpoint, fields.destinationEndpoint ?? 0, true);
  view.setUint32(layout.rule, fields.rule ?? 0, true);
  view.setUint8(layout.direction, fields.direction ?? 1);
  view.setUint8(layout.verdict, fields.verdict ?? 1);
  view.setUint8(layout.match, fields.match ?? 2);
  view.setUint8(layout.flags, fields.flags ?? 0);
  view.setUint8(layout.icmpType, fields.icmpType ?? 0);
  view.setUint8(layout.ctState, fields.ctState ?? 0);
  view.setUint8(layout.end, fields.end ?? 0);
  view.setUint32(layout.latencyUs, fields.latencyUs ?? 0, true);
  if (fields.service) {
    bytes.set(parseAddr(fields.service), layout.service);
    view.setUint16(layout.servicePort, fields.servicePort ?? 80);
  }
  if (totals) {
    for (const [offset, value] of [[layout.forwardPackets, totals.packetsOut], [layout.forwardBytes, totals.bytesOut], [layout.replyPackets, totals.packetsBack], [layout.replyBytes, totals.bytesBack], [layout.durationNs, totals.durationNs]] as const) {
      view.setBigUint64(offset, BigInt(value), true);
    }
  }
  if (payload) {
    view.setUint16(layout.nameLength, payload.length, true);
    view.setUint16(layout.nameCaptured, payload.length, true);
    bytes.set(payload, layout.namePayload);
  }
  return view;
}

/** A ring in memory, with the kernel ring's `drain`; for tests. */
export class MemoryRing implements EventRing {
  readonly queued: DataView[] = [];

  drain(onRecord: (bytes: DataView, offset: number, length: number) => void, limit = Infinity): number {
    const batch = this.queued.splice(0, limit);
    for (const view of batch) onRecord(view, 0, view.byteLength);
    return batch.length;
  }
}
