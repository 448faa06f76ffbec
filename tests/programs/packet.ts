/** Packets for tests: built from a few words, and read back with every checksum verified. Independent of the programs under test. */
import { formatAddr, isIPv4, parseAddr, wireBytes, addrFromWire } from '../../src/std/ip.ts';

export interface FrameSpec {
  readonly sourceMac?: string;
  readonly destinationMac?: string;
  readonly source: string;
  readonly destination: string;
  /** `icmp` is ICMPv6 in an IPv6 packet; a number is a protocol that has no transport header here. */
  readonly protocol: 'tcp' | 'udp' | 'sctp' | 'icmp' | number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Letters of F S R P A. */
  readonly flags?: string;
  readonly icmp?: { readonly type: number; readonly code?: number; readonly id?: number; readonly body?: Uint8Array };
  readonly hopLimit?: number;
  readonly payload?: Uint8Array;
  /** UDP over IPv4 without a checksum. */
  readonly noChecksum?: boolean;
  /** SCTP with a checksum; otherwise it is zero, as where a device is to fill it in. */
  readonly sctpChecksum?: boolean;
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
  /** Bytes of IPv4 options, a multiple of 4. */
  readonly options?: Uint8Array;
  /** IPv6 extension headers in order: their number, and what they hold after the two first bytes. */
  readonly extensions?: readonly { readonly number: number; readonly bytes: Uint8Array }[];
}

export interface Decoded {
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
  readonly hopLimit: number;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpId?: number;
  readonly quoted?: { readonly source: string; readonly destination: string; readonly sourcePort: number; readonly destinationPort: number; readonly headerChecksumGood: boolean };
  readonly checksumsGood: boolean;
}

export const protocolNumber = { icmp4: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

const FLAGS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, A: 16 };

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':').map(part => Number.parseInt(part, 16)));
}

function macText(bytes: Uint8Array): string {
  return [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join(':');
}

/** The folded one's complement sum of RFC 1071, not yet complemented. */
function sum(...parts: readonly Uint8Array[]): number {
  let total = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) total += (part[i]! << 8) | (part[i + 1] ?? 0);
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** Castagnoli's CRC, bit by bit (RFC 9260 appendix A). */
export function crc32c(bytes: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0x82f63b78 : 0);
  }
  return ~register >>> 0;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Uint8Array {
  return concat(source, destination, Uint8Array.of(0, protocol, length >>> 8, length & 255));
}

function numberOf(spec: FrameSpec, v4: boolean): number {
  if (typeof spec.protocol === 'number') return spec.protocol;
  return spec.protocol === 'icmp' ? (v4 ? protocolNumber.icmp4 : protocolNumber.icmp6) : protocolNumber[spec.protocol];
}

function transport(spec: FrameSpec, protocol: number, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const payload = spec.payload ?? new Uint8Array(0);
  if (typeof spec.protocol === 'number') return payload;
  const head = new DataView(new ArrayBuffer(spec.protocol === 'tcp' ? 20 : spec.protocol === 'sctp' ? 12 : 8));
  let checksumAt = 16;
  if (spec.protocol === 'icmp') {
    const icmp = spec.icmp ?? { type: 8 };
    head.setUint8(0, icmp.type);
    head.setUint8(1, icmp.code ?? 0);
    head.setUint16(4, icmp.id ?? 0);
    head.setUint16(6, 1);
    checksumAt = 2;
  } else {
    head.setUint16(0, spec.sourcePort ?? 0);
    head.setUint16(2, spec.destinationPort ?? 0);
  }
  if (spec.protocol === 'tcp') {
    head.setUint32(4, 1000);
    head.setUint8(12, 5 << 4);
    head.setUint8(13, [...(spec.flags ?? 'A')].reduce((bits, letter) => bits | FLAGS[letter]!, 0));
    head.setUint16(14, 65535);
  }
  const body = spec.icmp?.body ?? payload;
  if (spec.protocol === 'udp') {
    head.setUint16(4, 8 + body.length);
    checksumAt = 6;
  }
  const bytes = concat(new Uint8Array(head.buffer), body);
  if (spec.protocol === 'sctp' && spec.sctpChecksum) new DataView(bytes.buffer).setUint32(8, crc32c(bytes), true);
  if (spec.protocol !== 'sctp' && !spec.noChecksum) {
    const covered = protocol === protocolNumber.icmp4 ? new Uint8Array(0) : pseudoHeader(source, destination, protocol, bytes.length);
    const value = ~sum(covered, bytes) & 0xffff;
    new DataView(bytes.buffer).setUint16(checksumAt, spec.protocol === 'udp' && value === 0 ? 0xffff : value);
  }
  return bytes;
}

/** An IP packet without its Ethernet header, for quoting. */
export function buildIp(spec: FrameSpec): Uint8Array {
  const source = wireBytes(parseAddr(spec.source));
  const destination = wireBytes(parseAddr(spec.destination));
  const v4 = source.length === 4;
  const protocol = numberOf(spec, v4);
  let body = transport(spec, protocol, source, destination);
  if (spec.fragment) body = spec.fragment.more ? body.subarray(0, Math.max(16, body.length & ~7)) : body.subarray(body.length >>> 1);
  return v4 ? ipv4(spec, protocol, source, destination, body) : ipv6(spec, protocol, source, destination, body);
}

function ipv4(spec: FrameSpec, protocol: number, source: Uint8Array, destination: Uint8Array, body: Uint8Array): Uint8Array {
  const options = spec.options ?? new Uint8Array(0);
  const head = concat(new Uint8Array(12), source, destination, options);
  const view = new DataView(head.buffer);
  view.setUint8(0, 0x40 | (head.length / 4));
  view.setUint16(2, head.length + body.length);
  view.setUint16(4, spec.fragment?.id ?? 7);
  if (spec.fragment) view.setUint16(6, (spec.fragment.more ? 0x2000 : 0) | (spec.fragment.offset / 8));
  view.setUint8(8, spec.hopLimit ?? 64);
  view.setUint8(9, protocol);
  view.setUint16(10, ~sum(head) & 0xffff);
  return concat(head, body);
}

function ipv6(spec: FrameSpec, protocol: number, source: Uint8Array, destination: Uint8Array, body: Uint8Array): Uint8Array {
  const headers = [...(spec.extensions ?? [])].map(({ number, bytes }) => ({ number, bytes }));
  if (spec.fragment) {
    const fragment = new DataView(new ArrayBuffer(6));
    fragment.setUint16(0, spec.fragment.offset | (spec.fragment.more ? 1 : 0));
    fragment.setUint32(2, spec.fragment.id);
    headers.push({ number: 44, bytes: new Uint8Array(fragment.buffer) });
  }
  const extensions = headers.map(({ number, bytes }, i) =>
    concat(Uint8Array.of(headers[i + 1]?.number ?? protocol, number === 44 ? 0 : (bytes.length + 2) / 8 - 1), bytes));
  const after = concat(...extensions, body);
  const head = concat(new Uint8Array(8), source, destination);
  const view = new DataView(head.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, after.length);
  view.setUint8(6, headers[0]?.number ?? protocol);
  view.setUint8(7, spec.hopLimit ?? 64);
  return concat(head, after);
}

export function buildFrame(spec: FrameSpec): Uint8Array {
  const v4 = isIPv4(parseAddr(spec.source));
  return concat(
    macBytes(spec.destinationMac ?? '02:00:00:00:00:02'), macBytes(spec.sourceMac ?? '02:00:00:00:00:01'),
    Uint8Array.of(v4 ? 0x08 : 0x86, v4 ? 0x00 : 0xdd), buildIp(spec),
  );
}

interface Layers { readonly v4: boolean; readonly source: Uint8Array; readonly destination: Uint8Array; readonly protocol: number; readonly hopLimit: number; readonly transport: Uint8Array; readonly headerGood: boolean; readonly fragment: boolean }

function layersOf(ip: Uint8Array): Layers {
  const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
  if (ip[0]! >>> 4 === 4) {
    const header = (ip[0]! & 15) * 4;
    return {
      v4: true, source: ip.subarray(12, 16), destination: ip.subarray(16, 20), protocol: ip[9]!, hopLimit: ip[8]!,
      transport: ip.subarray(header, view.getUint16(2)), headerGood: sum(ip.subarray(0, header)) === 0xffff, fragment: (view.getUint16(6) & 0x3fff) !== 0,
    };
  }
  let protocol = ip[6]!;
  let at = 40;
  let fragment = false;
  while ([0, 43, 44, 60].includes(protocol)) {
    fragment ||= protocol === 44;
    const length = protocol === 44 ? 8 : (ip[at + 1]! + 1) * 8;
    protocol = ip[at]!;
    at += length;
  }
  return { v4: false, source: ip.subarray(8, 24), destination: ip.subarray(24, 40), protocol, hopLimit: ip[7]!, transport: ip.subarray(at, 40 + view.getUint16(4)), headerGood: true, fragment };
}

function transportGood(layers: Layers): boolean {
  const { protocol, transport } = layers;
  if (layers.fragment) return true;
  if (protocol === protocolNumber.icmp4) return sum(transport) === 0xffff;
  if (protocol === protocolNumber.udp && layers.v4 && transport[6] === 0 && transport[7] === 0) return true;
  if (protocol === protocolNumber.sctp) return sctpGood(transport);
  if (protocol !== protocolNumber.tcp && protocol !== protocolNumber.udp && protocol !== protocolNumber.icmp6) return true;
  return sum(pseudoHeader(layers.source, layers.destination, protocol, transport.length), transport) === 0xffff;
}

/** The checksum is over itself as zero. */
function sctpGood(transport: Uint8Array): boolean {
  const told = new DataView(transport.buffer, transport.byteOffset).getUint32(8, true);
  if (told === 0) return true;
  const bytes = Uint8Array.from(transport);
  bytes.fill(0, 8, 12);
  return crc32c(bytes) === told;
}

const isError = (v4: boolean, type: number): boolean => (v4 ? [3, 4, 11, 12].includes(type) : type >= 1 && type <= 4);
const text = (wire: Uint8Array): string => formatAddr(addrFromWire(wire));
const port = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

export function decodeFrame(frame: Uint8Array): Decoded {
  const layers = layersOf(frame.subarray(14));
  const { transport: l4, protocol, v4 } = layers;
  const icmp = protocol === (v4 ? protocolNumber.icmp4 : protocolNumber.icmp6);
  const hasPorts = protocol === protocolNumber.tcp || protocol === protocolNumber.udp || protocol === protocolNumber.sctp;
  return {
    destinationMac: macText(frame.subarray(0, 6)), sourceMac: macText(frame.subarray(6, 12)),
    source: text(layers.source), destination: text(layers.destination), hopLimit: layers.hopLimit, protocol,
    ...(hasPorts && l4.length >= 4 && { sourcePort: port(l4, 0), destinationPort: port(l4, 2) }),
    ...(icmp && { icmpType: l4[0]!, icmpId: port(l4, 4) }),
    ...(icmp && isError(v4, l4[0]!) && { quoted: quotedOf(l4.subarray(8)) }),
    checksumsGood: layers.headerGood && transportGood(layers),
  };
}

function quotedOf(ip: Uint8Array): NonNullable<Decoded['quoted']> {
  const layers = layersOf(ip);
  const echo = layers.protocol === protocolNumber.icmp4 || layers.protocol === protocolNumber.icmp6;
  const l4 = ip.subarray(layers.v4 ? (ip[0]! & 15) * 4 : 40);
  return {
    source: text(layers.source), destination: text(layers.destination),
    sourcePort: port(l4, echo ? 4 : 0), destinationPort: echo ? 0 : port(l4, 2), headerChecksumGood: layers.headerGood,
  };
}

/** An ARP frame. */
export function buildArp(o: { readonly operation: number; readonly senderMac: string; readonly sender: string; readonly target: string; readonly sourceMac?: string }): Uint8Array {
  return concat(
    macBytes('ff:ff:ff:ff:ff:ff'), macBytes(o.sourceMac ?? o.senderMac), Uint8Array.of(0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, o.operation),
    macBytes(o.senderMac), wireBytes(parseAddr(o.sender)), new Uint8Array(6), wireBytes(parseAddr(o.target)),
  );
}

export function decodeArp(frame: Uint8Array): { destinationMac: string; sourceMac: string; operation: number; senderMac: string; sender: string; targetMac: string; target: string } {
  return {
    destinationMac: macText(frame.subarray(0, 6)), sourceMac: macText(frame.subarray(6, 12)), operation: frame[21]!,
    senderMac: macText(frame.subarray(22, 28)), sender: text(frame.subarray(28, 32)), targetMac: macText(frame.subarray(32, 38)), target: text(frame.subarray(38, 42)),
  };
}

/** Target and option of a neighbour message, as an ICMPv6 body. */
export function neighbourBody(target: string, option?: { readonly type: number; readonly mac: string }): Uint8Array {
  return concat(wireBytes(parseAddr(target)), ...(option ? [Uint8Array.of(option.type, 1), macBytes(option.mac)] : []));
}
