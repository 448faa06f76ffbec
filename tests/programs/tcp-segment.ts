/** TCP segments for tests, written and read with every checksum; sequence numbers are the caller's. */
import { addrFromWire, formatAddr, parseAddr, wireBytes } from '../../src/std/ip.ts';
import { macBytes } from './packet.ts';

export const tcpFlag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

export interface TcpOptions {
  /** Value and echo of RFC 7323. */
  readonly timestamps?: readonly [value: number, echo: number];
  /** Edges of blocks that have arrived out of order, left and right. */
  readonly sack?: readonly (readonly [left: number, right: number])[];
  readonly sackPermitted?: boolean;
  readonly mss?: number;
}

export interface Segment {
  readonly seq: number;
  /** 0 without the flag. */
  readonly ack: number;
  /** Bits of tcpFlag. */
  readonly flags: number;
  readonly window: number;
  readonly payload: Buffer;
  readonly options?: TcpOptions;
  readonly urgent?: number;
  /** The kernel has not cut it yet: bytes of each packet that it is to become. */
  readonly packet?: number;
}

export interface End {
  readonly address: string;
  readonly port: number;
  readonly mac: string;
}

const none = Buffer.alloc(0);

export function segment(part: Partial<Segment> & { readonly seq: number }): Segment {
  return { ack: 0, flags: tcpFlag.ack, window: 65_535, payload: none, ...part };
}

/** Sequence numbers that one segment takes: its bytes, SYN and FIN. */
export function lengthOf({ payload, flags }: Segment): number {
  return payload.length + (flags & tcpFlag.syn ? 1 : 0) + (flags & tcpFlag.fin ? 1 : 0);
}

/** a − b of two sequence numbers, as a signed number. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

export function plus(seq: number, bytes: number): number {
  return (seq + bytes) >>> 0;
}

function optionBytes({ timestamps, sack, sackPermitted, mss }: TcpOptions): number[] {
  const bytes: number[] = [];
  const word = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  if (mss !== undefined) bytes.push(2, 4, mss >>> 8, mss & 255);
  if (sackPermitted) bytes.push(1, 1, 4, 2);
  if (timestamps) bytes.push(1, 1, 8, 10, ...word(timestamps[0]), ...word(timestamps[1]));
  if (sack && sack.length > 0) bytes.push(1, 1, 5, 2 + 8 * sack.length, ...sack.flatMap(([left, right]) => [...word(left), ...word(right)]));
  while (bytes.length % 4 !== 0) bytes.push(0);
  return bytes;
}

function folded(total: number): number {
  let sum = total;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

function sumOf(bytes: Uint8Array, from: number, to: number): number {
  let total = 0;
  for (let i = from; i < to; i += 2) total += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0);
  return total;
}

export function buildSegment(from: End, to: End, s: Segment): Buffer {
  const source = wireBytes(parseAddr(from.address)), destination = wireBytes(parseAddr(to.address));
  const v4 = source.length === 4;
  const options = optionBytes(s.options ?? {});
  const l4 = 14 + (v4 ? 20 : 40);
  const head = 20 + options.length;
  const frame = Buffer.alloc(l4 + head + s.payload.length);
  frame.set(macBytes(to.mac), 0);
  frame.set(macBytes(from.mac), 6);
  frame.writeUInt16BE(v4 ? 0x0800 : 0x86dd, 12);
  if (v4) {
    frame[14] = 0x45;
    frame.writeUInt16BE(frame.length - 14, 16);
    frame[22] = 64;
    frame[23] = 6;
    frame.set(source, 26);
    frame.set(destination, 30);
    frame.writeUInt16BE(~folded(sumOf(frame, 14, 34)) & 0xffff, 24);
  } else {
    frame[14] = 0x60;
    frame.writeUInt16BE(frame.length - 54, 18);
    frame[20] = 6;
    frame[21] = 64;
    frame.set(source, 22);
    frame.set(destination, 38);
  }
  frame.writeUInt16BE(from.port, l4);
  frame.writeUInt16BE(to.port, l4 + 2);
  frame.writeUInt32BE(s.seq >>> 0, l4 + 4);
  frame.writeUInt32BE(s.ack >>> 0, l4 + 8);
  frame[l4 + 12] = (head / 4) << 4;
  frame[l4 + 13] = s.flags;
  frame.writeUInt16BE(s.window, l4 + 14);
  frame.writeUInt16BE(s.urgent ?? 0, l4 + 18);
  frame.set(options, l4 + 20);
  frame.set(s.payload, l4 + head);
  const addresses = sumOf(frame, v4 ? 26 : 22, l4);
  frame.writeUInt16BE(~folded(addresses + 6 + (frame.length - l4) + sumOf(frame, l4, frame.length)) & 0xffff, l4 + 16);
  return frame;
}

export interface ReadSegment extends Segment {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sourceMac: Buffer;
  readonly destinationMac: Buffer;
}

/** Throws where a length or a checksum is wrong: nobody's stack would take that frame. */
export function readSegment(bytes: Uint8Array): ReadSegment {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const v4 = frame.readUInt16BE(12) === 0x0800;
  const l4 = v4 ? 14 + (frame[14]! & 15) * 4 : 54;
  const end = v4 ? 14 + frame.readUInt16BE(16) : 54 + frame.readUInt16BE(18);
  if (end !== frame.length) throw new Error(`the IP header says ${end} bytes, the frame has ${frame.length}`);
  if (v4 && folded(sumOf(frame, 14, l4)) !== 0xffff) throw new Error('the IPv4 checksum is wrong');
  const addresses = sumOf(frame, v4 ? 26 : 22, v4 ? 34 : 54);
  if (folded(addresses + 6 + (end - l4) + sumOf(frame, l4, end)) !== 0xffff) throw new Error('the TCP checksum is wrong');
  const head = (frame[l4 + 12]! >>> 4) * 4;
  if (head < 20 || l4 + head > end) throw new Error(`a TCP header of ${head} bytes`);
  return {
    source: formatAddr(addrFromWire(frame.subarray(v4 ? 26 : 22, v4 ? 30 : 38))), destination: formatAddr(addrFromWire(frame.subarray(v4 ? 30 : 38, v4 ? 34 : 54))),
    sourcePort: frame.readUInt16BE(l4), destinationPort: frame.readUInt16BE(l4 + 2), sourceMac: frame.subarray(6, 12), destinationMac: frame.subarray(0, 6),
    seq: frame.readUInt32BE(l4 + 4), ack: frame.readUInt32BE(l4 + 8), flags: frame[l4 + 13]!, window: frame.readUInt16BE(l4 + 14), urgent: frame.readUInt16BE(l4 + 18),
    options: readOptions(frame.subarray(l4 + 20, l4 + head)), payload: frame.subarray(l4 + head, end),
  };
}

function readOptions(bytes: Buffer): TcpOptions {
  let options: TcpOptions = {};
  for (let i = 0; i < bytes.length;) {
    const kind = bytes[i]!;
    if (kind === 0) break;
    if (kind === 1) {
      i++;
      continue;
    }
    const length = bytes[i + 1] ?? 0;
    if (length < 2 || i + length > bytes.length) throw new Error(`TCP option ${kind} of ${length} bytes`);
    if (kind === 2) options = { ...options, mss: bytes.readUInt16BE(i + 2) };
    if (kind === 4) options = { ...options, sackPermitted: true };
    if (kind === 8) options = { ...options, timestamps: [bytes.readUInt32BE(i + 2), bytes.readUInt32BE(i + 6)] };
    if (kind === 5) options = { ...options, sack: Array.from({ length: (length - 2) / 8 }, (_, at) => [bytes.readUInt32BE(i + 2 + 8 * at), bytes.readUInt32BE(i + 6 + 8 * at)] as const) };
    i += length;
  }
  return options;
}

/** For messages of failing tests: "seq +12 ack 5 PA 'GET /'". */
export function shown({ seq, ack, flags, payload }: Segment): string {
  const letters = Object.entries(tcpFlag).filter(([, bit]) => flags & bit).map(([name]) => name[0]!.toUpperCase()).join('');
  return `${letters} seq ${seq} ack ${ack} ${payload.length > 0 ? `${payload.length} ${JSON.stringify(payload.toString('latin1').slice(0, 60))}` : ''}`;
}
