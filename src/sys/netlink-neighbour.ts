/** Neighbours (ARP and NDP entries) on the wire (rtnetlink, linux/neighbour.h). */
import { type Addr, wireBytes } from '../std/ip.ts';
import { addrOfFamily, familyOf, isFamily } from './netlink-address.ts';
import { formatMac, parseMac } from './netlink-link.ts';
import { type Message, type MessageWriter, fixedPart, parseAttributes } from './netlink-wire.ts';

export const rtmNeighbour = { create: 28, delete: 29, get: 30 } as const;

export interface NeighbourInfo {
  readonly index: number;
  readonly addr: Addr;
  /** Empty while it is not resolved. */
  readonly mac: string;
  readonly permanent: boolean;
}

const NDA = { destination: 1, mac: 2, index: 8 } as const;
const NUD_PERMANENT = 0x80;
const NUD_REACHABLE = 2;

export function writeNeighbour(w: MessageWriter, index: number, addr: Addr, entry?: { mac: string; permanent: boolean }): void {
  const state = entry ? (entry.permanent ? NUD_PERMANENT : NUD_REACHABLE) : 0;
  w.u8(familyOf(addr)).u8(0).u16(0).u32(index).u16(state).u8(0).u8(0);
  w.attribute(NDA.destination, wireBytes(addr));
  if (entry) w.attribute(NDA.mac, parseMac(entry.mac));
}

export function writeNeighbourQuery(w: MessageWriter, index = 0): void {
  w.u8(0).u8(0).u16(0).u32(0).u16(0).u8(0).u8(0);
  if (index) w.attributeU32(NDA.index, index);
}

export function parseNeighbour(message: Message): NeighbourInfo | undefined {
  const header = fixedPart(message.payload, 12);
  const family = header.getUint8(0);
  const attributes = parseAttributes(message.payload, 12);
  const destination = attributes.bytes(NDA.destination);
  if (!isFamily(family) || !destination) return undefined;
  return {
    index: header.getInt32(4, true),
    addr: addrOfFamily(family, destination),
    mac: formatMac(attributes.bytes(NDA.mac) ?? new Uint8Array(0)),
    permanent: (header.getUint16(8, true) & NUD_PERMANENT) !== 0,
  };
}
