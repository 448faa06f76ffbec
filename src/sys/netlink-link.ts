/** Links on the wire (rtnetlink, linux/if_link.h). */
import { CirriError } from '../std/errors.ts';
import { type Message, type MessageWriter, fixedPart, parseAttributes } from './netlink-wire.ts';

export const rtmLink = { create: 16, delete: 17, get: 18, set: 19 } as const;

export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** Lower-case with colons; empty where the device has none. */
  readonly mac: string;
  readonly mtu: number;
  /** Set up by an administrator. */
  readonly up: boolean;
  /** Up, and the other side too. */
  readonly running: boolean;
  readonly arp: boolean;
  readonly kind?: string;
  readonly master?: number;
  /** The index of the other end of a veth pair, in that end's namespace. */
  readonly peerIndex?: number;
  readonly gsoMaxSize?: number;
}

export interface VethOptions {
  readonly name: string;
  readonly peerName: string;
  /** Where the peer goes; this namespace if left out. */
  readonly peerNetnsFd?: number;
  readonly mac?: string;
  readonly peerMac?: string;
  /** Of both ends. */
  readonly mtu?: number;
  /** Brings up this end, and the peer where it stays in this namespace; elsewhere that is for a socket of its namespace. */
  readonly up?: boolean;
}

export interface VxlanOptions {
  readonly name: string;
  readonly port: number;
  readonly collectMetadata: true;
  readonly mtu?: number;
  readonly mac?: string;
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  /** 0 leaves the bridge. */
  readonly master?: number;
  readonly netnsFd?: number;
  readonly name?: string;
  readonly arp?: boolean;
  readonly mac?: string;
  readonly gsoMaxSize?: number;
  readonly groMaxSize?: number;
}

const IFLA = { address: 1, name: 3, mtu: 4, link: 5, master: 10, info: 18, netnsFd: 28, extMask: 29, gsoMaxSize: 41, groMaxSize: 58 } as const;
const INFO = { kind: 1, data: 2 } as const;
const VXLAN = { learning: 7, port: 15, zeroChecksum6Rx: 20, collectMetadata: 25 } as const;
const IFF_UP = 1;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;

export function writeVeth(w: MessageWriter, o: VethOptions): void {
  const end = (name: string, mac: string | undefined) => {
    w.attributeText(IFLA.name, checkName(name));
    if (mac !== undefined) w.attribute(IFLA.address, parseMac(mac));
    if (o.mtu !== undefined) w.attributeU32(IFLA.mtu, o.mtu);
  };
  const up = o.up ? IFF_UP : 0;
  writeHeader(w, 0, up, up);
  end(o.name, o.mac);
  w.nest(IFLA.info, () => {
    w.attributeText(INFO.kind, 'veth');
    w.nest(INFO.data, () => {
      w.nest(1 /* VETH_INFO_PEER */, () => {
        writeHeader(w, 0); // up is ENOTCONN here: the kernel makes the peer before it ties the pair
        end(o.peerName, o.peerMac);
        if (o.peerNetnsFd !== undefined) w.attributeU32(IFLA.netnsFd, o.peerNetnsFd);
      });
    });
  });
}

export function writeVxlan(w: MessageWriter, o: VxlanOptions): void {
  writeHeader(w, 0);
  w.attributeText(IFLA.name, checkName(o.name));
  if (o.mac !== undefined) w.attribute(IFLA.address, parseMac(o.mac));
  if (o.mtu !== undefined) w.attributeU32(IFLA.mtu, o.mtu);
  w.nest(IFLA.info, () => {
    w.attributeText(INFO.kind, 'vxlan');
    w.nest(INFO.data, () => {
      w.attributeU8(VXLAN.collectMetadata, o.collectMetadata ? 1 : 0);
      w.attributeU8(VXLAN.learning, 0);
      // Tunnels over IPv6 may come without a UDP checksum (RFC 6935); without this they are dropped.
      w.attributeU8(VXLAN.zeroChecksum6Rx, 1);
      w.attributeBe16(VXLAN.port, o.port);
    });
  });
}

export function writePlainLink(w: MessageWriter, name: string, kind: string): void {
  writeHeader(w, 0);
  w.attributeText(IFLA.name, checkName(name));
  w.nest(IFLA.info, () => w.attributeText(INFO.kind, kind));
}

export function writeLinkChange(w: MessageWriter, link: number | string, o: LinkChange): void {
  const mask = (o.up !== undefined ? IFF_UP : 0) | (o.arp !== undefined ? IFF_NOARP : 0);
  const flags = (o.up ? IFF_UP : 0) | (o.arp === false ? IFF_NOARP : 0);
  writeTarget(w, link, flags, mask, o.name !== undefined);
  if (o.name !== undefined) w.attributeText(IFLA.name, checkName(o.name));
  if (o.mac !== undefined) w.attribute(IFLA.address, parseMac(o.mac));
  if (o.mtu !== undefined) w.attributeU32(IFLA.mtu, o.mtu);
  if (o.master !== undefined) w.attributeU32(IFLA.master, o.master);
  if (o.netnsFd !== undefined) w.attributeU32(IFLA.netnsFd, o.netnsFd);
  if (o.gsoMaxSize !== undefined) w.attributeU32(IFLA.gsoMaxSize, o.gsoMaxSize);
  if (o.groMaxSize !== undefined) w.attributeU32(IFLA.groMaxSize, o.groMaxSize);
}

/** The header and name of a request about one existing link. */
export function writeTarget(w: MessageWriter, link: number | string, flags = 0, mask = 0, renames = false): void {
  if (typeof link === 'number') return writeHeader(w, link, flags, mask);
  if (renames) throw new CirriError('ERR_NETLINK_ARGUMENT', `renaming ${link}: a link is renamed by its index`);
  writeHeader(w, 0, flags, mask);
  w.attributeText(IFLA.name, checkName(link));
}

export function writeLinkQuery(w: MessageWriter, link?: number | string): void {
  writeTarget(w, link ?? 0);
  w.attributeU32(IFLA.extMask, 8 /* RTEXT_FILTER_SKIP_STATS */);
}

export function parseLink(message: Message): LinkInfo {
  const header = fixedPart(message.payload, 16);
  const attributes = parseAttributes(message.payload, 16);
  const flags = header.getUint32(8, true);
  const kind = attributes.nest(IFLA.info)?.text(INFO.kind);
  const master = attributes.u32(IFLA.master);
  const peerIndex = kind === 'veth' ? attributes.u32(IFLA.link) : undefined;
  const gsoMaxSize = attributes.u32(IFLA.gsoMaxSize);
  return {
    index: header.getInt32(4, true),
    name: attributes.text(IFLA.name) ?? '',
    mac: formatMac(attributes.bytes(IFLA.address) ?? new Uint8Array(0)),
    mtu: attributes.u32(IFLA.mtu) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_LOWER_UP) !== 0,
    arp: (flags & IFF_NOARP) === 0,
    ...(kind !== undefined && { kind }),
    ...(master !== undefined && { master }),
    ...(peerIndex !== undefined && { peerIndex }),
    ...(gsoMaxSize !== undefined && { gsoMaxSize }),
  };
}

/** Six bytes of `aa:bb:cc:dd:ee:ff`. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new CirriError('ERR_MAC', `"${text}" is not a MAC address`);
  return Uint8Array.from(text.split(':'), part => Number.parseInt(part, 16));
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':');
}

/** struct ifinfomsg. */
function writeHeader(w: MessageWriter, index: number, flags = 0, mask = 0): void {
  w.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(mask);
}

function checkName(name: string): string {
  if (name.length === 0 || Buffer.byteLength(name) > 15 || /[/:\s\0]/.test(name) || name === '.' || name === '..') {
    throw new CirriError('ERR_LINK_NAME', `"${name}" cannot name a network device: 1 to 15 bytes, no slash, colon or space`);
  }
  return name;
}
