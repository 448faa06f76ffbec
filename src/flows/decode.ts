import { EventType, type ConnectionTotals, type FlowEvent } from './event.ts';

/**
 * Byte offsets of `struct flow_event` (bpf/lib/events.h). Read directly rather than through the generated codec: this is the
 * one place where a struct is decoded a hundred thousand times a second. `decode.test.ts` holds it to the generated layout.
 */
export const layout = {
  timeNs: 0,
  source: 8,
  destination: 24,
  sourcePort: 40,
  destinationPort: 42,
  protocol: 44,
  tcpFlags: 45,
  type: 46,
  reasonOrPoint: 47,
  sourceIdentity: 48,
  destinationIdentity: 52,
  sourceEndpoint: 56,
  destinationEndpoint: 60,
  rule: 64,
  ifindex: 68,
  length: 72,
  direction: 76,
  verdict: 77,
  match: 78,
  flags: 79,
  service: 80,
  servicePort: 96,
  ctState: 98,
  icmpType: 99,
  icmpCode: 100,
  end: 101,
  latencyUs: 104,
  // struct connection_event, where flags say END
  forwardPackets: 112,
  forwardBytes: 120,
  replyPackets: 128,
  replyBytes: 136,
  durationNs: 144,
  // struct name_event, of EventType.l7 in the ring of names
  nameLength: 112,
  nameCaptured: 114,
  namePayload: 120,
  // struct http_event, of EventType.l7 in the ring of flows
  httpConnection: 112,
  httpExchange: 116,
  httpStatus: 120,
  httpMinor: 122,
  httpFault: 123,
  httpMethodLength: 124,
  httpUrlLength: 126,
  httpHostLength: 128,
  httpTraceLength: 130,
  httpTexts: 136,
} as const;

/** A shorter record than this is not an event of ours. */
export const minimumSize = 112;
const connectionSize = 152;

/** Bits of `flags`. */
const flagReply = 1;
const flagIPv6 = 2;
const flagEncrypted = 4;
const flagAudit = 8;
const flagShadow = 16;
const flagEnd = 32;
const flagPacketless = 64;

/** A record of a length and a type that `decodeEvent` understands. */
export function isEventRecord(view: DataView, at: number, size: number): boolean {
  if (size < minimumSize) return false;
  const type = view.getUint8(at + layout.type);
  return type === EventType.drop || type === EventType.trace || type === EventType.policyVerdict;
}

/** A record of the ring of names: a DNS message, of which `captured` bytes begin at `layout.namePayload`. */
export function isNameRecord(view: DataView, at: number, size: number): boolean {
  return size >= layout.namePayload && view.getUint8(at + layout.type) === EventType.l7 &&
    view.getUint16(at + layout.nameCaptured, true) <= size - layout.namePayload;
}

/** The same answer as the flow's verdict DROPPED gives. */
export function isDropRecord(view: DataView, at: number): boolean {
  const type = view.getUint8(at + layout.type);
  if (type === EventType.drop) return true;
  return type === EventType.policyVerdict && view.getUint8(at + layout.verdict) === 2 && (view.getUint8(at + layout.flags) & (flagAudit | flagShadow)) === 0;
}

/** Says what would have been, not what was: neither forwarded nor dropped. */
export function isShadowRecord(view: DataView, at: number): boolean {
  return (view.getUint8(at + layout.flags) & flagShadow) !== 0;
}

/** As a number: for comparing times, not for telling them. */
export function eventTimeNs(view: DataView, at: number): number {
  return view.getUint32(at + layout.timeNs + 4, true) * 0x1_0000_0000 + view.getUint32(at + layout.timeNs, true);
}

/** Decodes one record in place. `undefined` for a record too short or of a type not known: it is counted, not guessed. */
export function decodeEvent(view: DataView, at: number, size: number): FlowEvent | undefined {
  if (!isEventRecord(view, at, size) && !isNameRecord(view, at, size)) return undefined;
  const type = view.getUint8(at + layout.type);
  const flags = view.getUint8(at + layout.flags);
  const service = addrText(view, at + layout.service);
  return {
    timeNs: view.getBigUint64(at + layout.timeNs, true),
    source: addrText(view, at + layout.source),
    destination: addrText(view, at + layout.destination),
    ipv6: (flags & flagIPv6) !== 0,
    sourcePort: view.getUint16(at + layout.sourcePort),
    destinationPort: view.getUint16(at + layout.destinationPort),
    protocol: view.getUint8(at + layout.protocol),
    tcpFlags: view.getUint8(at + layout.tcpFlags),
    type,
    reasonOrPoint: view.getUint8(at + layout.reasonOrPoint),
    sourceIdentity: view.getUint32(at + layout.sourceIdentity, true),
    destinationIdentity: view.getUint32(at + layout.destinationIdentity, true),
    sourceEndpoint: view.getUint32(at + layout.sourceEndpoint, true),
    destinationEndpoint: view.getUint32(at + layout.destinationEndpoint, true),
    rule: view.getUint32(at + layout.rule, true),
    ifindex: view.getUint32(at + layout.ifindex, true),
    length: view.getUint32(at + layout.length, true),
    direction: view.getUint8(at + layout.direction),
    verdict: view.getUint8(at + layout.verdict),
    match: view.getUint8(at + layout.match),
    reply: (flags & flagReply) !== 0,
    encrypted: (flags & flagEncrypted) !== 0,
    audit: (flags & flagAudit) !== 0,
    shadow: (flags & flagShadow) !== 0,
    service: service === '::' || service === '0.0.0.0' ? undefined : service,
    servicePort: view.getUint16(at + layout.servicePort),
    ctState: view.getUint8(at + layout.ctState),
    icmpType: view.getUint8(at + layout.icmpType),
    icmpCode: view.getUint8(at + layout.icmpCode),
    end: view.getUint8(at + layout.end),
    latencyUs: view.getUint32(at + layout.latencyUs, true),
    packetless: (flags & flagPacketless) !== 0,
    connection: (flags & flagEnd) !== 0 && size >= connectionSize ? connectionTotals(view, at) : undefined,
  };
}

/** Exact up to 2^53. */
function connectionTotals(view: DataView, at: number): ConnectionTotals {
  const number = (offset: number) => view.getUint32(at + offset + 4, true) * 0x1_0000_0000 + view.getUint32(at + offset, true);
  return {
    forwardPackets: number(layout.forwardPackets),
    forwardBytes: number(layout.forwardBytes),
    replyPackets: number(layout.replyPackets),
    replyBytes: number(layout.replyBytes),
    durationNs: number(layout.durationNs),
  };
}

/** The usual text of a 16-byte address; std/ip's formatAddr without the copy, and fast for IPv4-mapped ones. */
function addrText(view: DataView, at: number): string {
  const high = view.getUint32(at);
  const upper = view.getUint32(at + 4);
  const lower = view.getUint32(at + 8);
  const low = view.getUint32(at + 12);
  if (high === 0 && upper === 0 && lower === 0xffff) {
    return `${low >>> 24}.${(low >>> 16) & 255}.${(low >>> 8) & 255}.${low & 255}`;
  }
  if (high === 0 && upper === 0 && lower === 0 && low === 0) return '::';
  return formatIPv6(view, at);
}

function formatIPv6(view: DataView, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(view.getUint16(at + i));
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const text = (from: number, to: number) => groups.slice(from, to).map(group => group.toString(16)).join(':');
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + bestLength, 8)}`;
}
