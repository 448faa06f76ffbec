/** Routes on the wire (rtnetlink, linux/rtnetlink.h). */
import { type Addr, type Prefix, wireBytes } from '../std/ip.ts';
import { AF_INET, addrOfFamily, familyOf, isFamily, prefixFromWire, wirePrefix } from './netlink-address.ts';
import { type Message, type MessageWriter, NetlinkFormatError, fixedPart, parseAttributes } from './netlink-wire.ts';

export const rtmRoute = { create: 24, delete: 25, get: 26 } as const;
export const mainTable = 254;
export const localTable = 255;

export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable';

export interface Nexthop {
  readonly index: number;
  readonly gateway: Addr;
}

export interface Route {
  readonly destination: Prefix;
  /** The device; blackhole and unreachable have none. */
  readonly index?: number;
  /** May be IPv6 for an IPv4 destination (RFC 5549). */
  readonly gateway?: Addr;
  /** The source address of what the host itself sends this way. */
  readonly source?: Addr;
  /** Several ways in the stead of one: each flow (by the host's fib_multipath_hash_policy) takes one of them. */
  readonly nexthops?: readonly Nexthop[];
  /** The gateway is taken to be on the link although no prefix says so. */
  readonly onlink?: boolean;
  readonly scopeLink?: boolean;
  readonly mtu?: number;
  /** 254 main unless given; `local` routes go to 255. */
  readonly table?: number;
  readonly type?: RouteType;
  readonly priority?: number;
}

export interface RouteInfo extends Route {
  readonly table: number;
  /** RTPROT_*: 2 kernel, 3 boot, 4 static (ours), 9 ra. */
  readonly protocol: number;
  readonly scope: number;
  /** Another type than ours: its number, as `type 3`. */
  readonly otherType?: string;
}

const RTA = { destination: 1, device: 4, gateway: 5, priority: 6, source: 7, metrics: 8, multipath: 9, table: 15, via: 18 } as const;
const RTAX_MTU = 2;
const TYPE: Readonly<Record<RouteType, number>> = { unicast: 1, local: 2, blackhole: 6, unreachable: 7 };
const SCOPE = { universe: 0, link: 253, host: 254, nowhere: 255 } as const;
const RTNH_F_ONLINK = 4;
const PROTOCOL_STATIC = 4;

export function writeRoute(w: MessageWriter, route: Route, purpose: 'add' | 'delete'): void {
  const { family, bytes, length } = wirePrefix(route.destination);
  const type = route.type ?? 'unicast';
  const table = route.table ?? (type === 'local' ? localTable : mainTable);
  w.u8(family).u8(length).u8(0).u8(0);
  w.u8(table < 256 ? table : 0);
  w.u8(purpose === 'add' ? PROTOCOL_STATIC : 0);
  w.u8(purpose === 'add' ? scopeOf(route, type) : SCOPE.nowhere);
  w.u8(purpose === 'delete' && route.type === undefined ? 0 : TYPE[type]);
  w.u32(route.onlink ? RTNH_F_ONLINK : 0);
  w.attribute(RTA.destination, bytes);
  w.attributeU32(RTA.table, table);
  if (route.index !== undefined) w.attributeU32(RTA.device, route.index);
  if (route.gateway) writeGateway(w, family, route.gateway);
  if (route.nexthops) w.attribute(RTA.multipath, Buffer.concat(route.nexthops.map(nexthopBytes)));
  if (route.source) w.attribute(RTA.source, wireBytes(route.source));
  if (route.priority !== undefined) w.attributeU32(RTA.priority, route.priority);
  if (route.mtu !== undefined) w.nest(RTA.metrics, () => w.attributeU32(RTAX_MTU, route.mtu!));
}

export function writeRouteQuery(w: MessageWriter, family: number, table = 0): void {
  w.u8(family).u8(0).u8(0).u8(0).u8(table < 256 ? table : 0).u8(0).u8(0).u8(0).u32(0);
  if (table) w.attributeU32(RTA.table, table);
}

/** Undefined for what is not an address route: multicast and cached entries. */
export function parseRoute(message: Message): RouteInfo | undefined {
  const header = fixedPart(message.payload, 12);
  const family = header.getUint8(0);
  const flags = header.getUint32(8, true);
  if (!isFamily(family) || flags & 0x200 /* RTM_F_CLONED */) return undefined;
  const attributes = parseAttributes(message.payload, 12);
  const index = attributes.u32(RTA.device);
  const gateway = attributes.bytes(RTA.gateway);
  const via = attributes.bytes(RTA.via);
  const multipath = attributes.bytes(RTA.multipath);
  const source = attributes.bytes(RTA.source);
  const priority = attributes.u32(RTA.priority);
  const mtu = attributes.nest(RTA.metrics)?.u32(RTAX_MTU);
  const type = header.getUint8(7);
  const known = (Object.keys(TYPE) as RouteType[]).find(name => TYPE[name] === type);
  return {
    destination: prefixFromWire(family, attributes.bytes(RTA.destination), header.getUint8(1)),
    table: attributes.u32(RTA.table) ?? header.getUint8(4),
    protocol: header.getUint8(5),
    scope: header.getUint8(6),
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    ...(known ? { type: known } : { otherType: `type ${type}` }),
    ...(index !== undefined && { index }),
    ...(gateway && { gateway: addrOfFamily(family, gateway) }),
    ...(multipath && { nexthops: parseNexthops(family, multipath) }),
    ...(via && via.length === 18 && { gateway: via.slice(2) }),
    ...(source && { source: addrOfFamily(family, source) }),
    ...(priority !== undefined && { priority }),
    ...(mtu !== undefined && { mtu }),
  };
}

function scopeOf(route: Route, type: RouteType): number {
  if (type === 'local') return SCOPE.host;
  return route.scopeLink ? SCOPE.link : SCOPE.universe;
}

/** struct rtvia: the gateway's family in two bytes, then the address. */
function writeGateway(w: MessageWriter, family: number, gateway: Addr): void {
  const own = familyOf(gateway);
  const bytes = wireBytes(gateway);
  if (own === family || family !== AF_INET) w.attribute(RTA.gateway, bytes);
  else w.attribute(RTA.via, Uint8Array.of(own, 0, ...bytes));
}

const RTNH_LENGTH = 8;

/** struct rtnexthop: its length with the gateway's attribute, flags, hops (weight − 1), device. */
function nexthopBytes({ index, gateway }: Nexthop): Uint8Array {
  const address = wireBytes(gateway);
  const bytes = new Uint8Array(RTNH_LENGTH + 4 + address.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, bytes.length, true);
  view.setUint32(4, index, true);
  view.setUint16(RTNH_LENGTH, 4 + address.length, true);
  view.setUint16(RTNH_LENGTH + 2, RTA.gateway, true);
  bytes.set(address, RTNH_LENGTH + 4);
  return bytes;
}

function parseNexthops(family: number, bytes: Uint8Array): Nexthop[] {
  const nexthops: Nexthop[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + RTNH_LENGTH <= bytes.length;) {
    const length = view.getUint16(at, true);
    if (length < RTNH_LENGTH || at + length > bytes.length) throw new NetlinkFormatError(`a nexthop claims ${length} of ${bytes.length - at} bytes`);
    const gateway = parseAttributes(bytes.subarray(at, at + length), RTNH_LENGTH).bytes(RTA.gateway);
    if (gateway) nexthops.push({ index: view.getUint32(at + 4, true), gateway: addrOfFamily(family, gateway) });
    at += (length + 3) & ~3;
  }
  return nexthops;
}
