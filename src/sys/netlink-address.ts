/** Addresses of links on the wire (rtnetlink, linux/if_addr.h), and the prefix forms that addresses and routes share. */
import { type Addr, type Prefix, addrFromWire, isIPv4, wireBytes } from '../std/ip.ts';
import { type Message, type MessageWriter, NetlinkFormatError, fixedPart, parseAttributes } from './netlink-wire.ts';

export const rtmAddress = { create: 20, delete: 21, get: 22 } as const;
export const AF_INET = 2;
export const AF_INET6 = 10;

export interface AddressInfo {
  readonly index: number;
  /** The address with its host bits, and the length of its network. */
  readonly prefix: Prefix;
  /** 0 global, 253 link, 254 host. */
  readonly scope: number;
  readonly tentative: boolean;
  readonly permanent: boolean;
}

export interface AddressOptions {
  /** IPv6: usable at once, without duplicate address detection. */
  readonly noDad?: boolean;
  readonly scope?: number;
  /** Leaves out the route to the prefix that comes with an address. */
  readonly noPrefixRoute?: boolean;
}

const IFA = { address: 1, local: 2, flags: 8 } as const;
const FLAG = { noDad: 2, tentative: 0x40, permanent: 0x80, noPrefixRoute: 0x200 } as const;

export function writeAddress(w: MessageWriter, index: number, prefix: Prefix, o: AddressOptions = {}): void {
  const { family, bytes, length } = wirePrefix(prefix);
  const flags = (o.noDad && family === AF_INET6 ? FLAG.noDad : 0) | (o.noPrefixRoute ? FLAG.noPrefixRoute : 0);
  w.u8(family).u8(length).u8(flags & 0xff).u8(o.scope ?? 0).u32(index);
  w.attribute(IFA.local, bytes).attribute(IFA.address, bytes);
  if (flags) w.attributeU32(IFA.flags, flags);
}

export function writeAddressQuery(w: MessageWriter, index = 0): void {
  w.u8(0).u8(0).u8(0).u8(0).u32(index);
}

export function parseAddress(message: Message): AddressInfo | undefined {
  const header = fixedPart(message.payload, 8);
  const family = header.getUint8(0);
  const attributes = parseAttributes(message.payload, 8);
  const bytes = attributes.bytes(IFA.local) ?? attributes.bytes(IFA.address);
  if (!bytes || !isFamily(family)) return undefined;
  const flags = attributes.u32(IFA.flags) ?? header.getUint8(2);
  return {
    index: header.getUint32(4, true),
    prefix: prefixFromWire(family, bytes, header.getUint8(1)),
    scope: header.getUint8(3),
    tentative: (flags & FLAG.tentative) !== 0,
    permanent: (flags & FLAG.permanent) !== 0,
  };
}

export function isFamily(family: number): boolean {
  return family === AF_INET || family === AF_INET6;
}

export function familyOf(addr: Addr): number {
  return isIPv4(addr) ? AF_INET : AF_INET6;
}

/** ::ffff:0:0/96 and what lies in it is IPv4, everything else IPv6. */
export function wirePrefix(prefix: Prefix): { family: number; bytes: Uint8Array; length: number } {
  const v4 = prefix.bits >= 96 && isIPv4(prefix.addr);
  return v4
    ? { family: AF_INET, bytes: wireBytes(prefix.addr), length: prefix.bits - 96 }
    : { family: AF_INET6, bytes: prefix.addr, length: prefix.bits };
}

/** `bytes` left out means all zero, as in the destination of a default route. */
export function prefixFromWire(family: number, bytes: Uint8Array | undefined, length: number): Prefix {
  const width = family === AF_INET ? 4 : 16;
  if (length > width * 8) throw new NetlinkFormatError(`a prefix length of ${length} in a family of ${width * 8} bits`);
  return { addr: addrOfFamily(family, bytes ?? new Uint8Array(width)), bits: length + (family === AF_INET ? 96 : 0) };
}

export function addrOfFamily(family: number, bytes: Uint8Array): Addr {
  if (bytes.length !== (family === AF_INET ? 4 : 16)) throw new NetlinkFormatError(`an address of ${bytes.length} bytes in family ${family}`);
  return addrFromWire(bytes);
}
