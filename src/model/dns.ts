import { addrFromWire, formatAddr } from '../std/ip.ts';

/** A DNS message (RFC 1035) as far as flows tell of it. */
export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  /** With the extended bits of EDNS (RFC 6891), where the message has them. */
  readonly rcode: number;
  /** The message says that it was cut, or what was captured of it is not whole. */
  readonly isTruncated: boolean;
  readonly questions: readonly { readonly name: string; readonly type: number }[];
  /** Of the answer section only: what the others say was not asked for. */
  readonly answers: readonly DnsAnswer[];
}

export interface DnsAnswer {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  /** Of A and AAAA. */
  readonly ip?: string;
  /** Of CNAME. */
  readonly target?: string;
}

export const DnsType = { a: 1, cname: 5, aaaa: 28, opt: 41 } as const;

const headerSize = 12;
/** More of any in one message is nothing that servers write. */
const maxQuestions = 8;
const maxRecords = 128;
const maxPointers = 32;
const maxNameBytes = 255;

/**
 * Reads a message. Undefined for what is none: shorter than a header, of another kind than a query, or with a question that does
 * not parse. What comes after the questions is read as far as it goes. Never reads outside of `bytes`; the limits above bound
 * the time that the worst message takes.
 */
export function parseDns(bytes: Uint8Array): DnsMessage | undefined {
  if (bytes.length < headerSize) return undefined;
  const flags = uint16(bytes, 2);
  const isResponse = (flags & 0x8000) !== 0;
  const opcode = (flags >> 11) & 15;
  const questionCount = uint16(bytes, 4);
  if (opcode !== 0 || questionCount > maxQuestions) return undefined;
  const cursor: Cursor = { bytes, at: headerSize };
  const questions: { name: string; type: number }[] = [];
  for (let i = 0; i < questionCount; i++) {
    const name = readName(cursor);
    if (name === undefined || cursor.at + 4 > bytes.length) return undefined;
    questions.push({ name, type: uint16(bytes, cursor.at) });
    cursor.at += 4;
  }
  const counts = [uint16(bytes, 6), uint16(bytes, 8), uint16(bytes, 10)];
  const { answers, extendedRcode, isWhole } = isResponse ? readRecords(cursor, counts) : { answers: [], extendedRcode: 0, isWhole: true };
  return { id: uint16(bytes, 0), isResponse, rcode: (flags & 15) | extendedRcode, isTruncated: (flags & 0x0200) !== 0 || !isWhole, questions, answers };
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function readRecords(cursor: Cursor, [answerCount = 0, authorityCount = 0, additionalCount = 0]: readonly number[]) {
  const { bytes } = cursor;
  const answers: DnsAnswer[] = [];
  let extendedRcode = 0;
  const total = answerCount + authorityCount + additionalCount;
  for (let i = 0; i < total; i++) {
    const name = i < maxRecords ? readName(cursor) : undefined;
    if (name === undefined || cursor.at + 10 > bytes.length) return { answers, extendedRcode, isWhole: false };
    const type = uint16(bytes, cursor.at);
    const ttl = uint32(bytes, cursor.at + 4);
    const data = cursor.at + 10;
    const end = data + uint16(bytes, cursor.at + 8);
    if (end > bytes.length) return { answers, extendedRcode, isWhole: false };
    if (i < answerCount) answers.push({ name, type, ttl, ...dataOf(bytes, type, data, end) });
    if (type === DnsType.opt) extendedRcode = (ttl >>> 24) << 4;
    cursor.at = end;
  }
  return { answers, extendedRcode, isWhole: true };
}

function dataOf(bytes: Uint8Array, type: number, at: number, end: number): Pick<DnsAnswer, 'ip' | 'target'> {
  const length = end - at;
  if ((type === DnsType.a && length === 4) || (type === DnsType.aaaa && length === 16)) return { ip: formatAddr(addrFromWire(bytes.slice(at, end))) };
  if (type !== DnsType.cname) return {};
  const target = readName({ bytes, at });
  return target === undefined ? {} : { target };
}

/**
 * A name with its final dot, in lower case. A pointer must lead to before the name that it ends (RFC 1035 §4.1.4: "a prior
 * occurrence"), so that following them comes to an end, which is not far.
 */
function readName(cursor: Cursor): string | undefined {
  const { bytes } = cursor;
  let at = cursor.at;
  let before = cursor.at;
  let pointers = 0;
  let length = 0;
  let text = '';
  for (;;) {
    if (at >= bytes.length) return undefined;
    const size = bytes[at]!;
    if (size >= 0xc0) {
      if (at + 1 >= bytes.length) return undefined;
      const target = ((size & 0x3f) << 8) | bytes[at + 1]!;
      if (target >= before || pointers >= maxPointers) return undefined;
      if (pointers === 0) cursor.at = at + 2;
      pointers++;
      before = at = target;
      continue;
    }
    if (size > 63) return undefined;
    if (size === 0) {
      if (pointers === 0) cursor.at = at + 1;
      return text === '' ? '.' : text;
    }
    length += size + 1;
    if (length > maxNameBytes || at + 1 + size > bytes.length) return undefined;
    text += `${labelText(bytes, at + 1, at + 1 + size)}.`;
    at += size + 1;
  }
}

/** As in zone files (RFC 1035 §5.1, RFC 4343): what is not plain is written `\DDD`. */
function labelText(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    if (byte >= 0x41 && byte <= 0x5a) text += String.fromCharCode(byte + 32);
    else if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 0x1_0000 + uint16(bytes, at + 2);
}

/** Names of record types (IANA, "Resource Record (RR) TYPEs"); RFC 3597's for the others. */
export function dnsTypeName(type: number): string {
  return typeNames[type] ?? `TYPE${type}`;
}

const typeNames: Readonly<Record<number, string>> = {
  1: 'A', 2: 'NS', 5: 'CNAME', 6: 'SOA', 10: 'NULL', 12: 'PTR', 13: 'HINFO', 15: 'MX', 16: 'TXT', 17: 'RP', 28: 'AAAA', 29: 'LOC', 33: 'SRV', 35: 'NAPTR', 39: 'DNAME',
  41: 'OPT', 43: 'DS', 44: 'SSHFP', 46: 'RRSIG', 47: 'NSEC', 48: 'DNSKEY', 50: 'NSEC3', 52: 'TLSA', 64: 'SVCB', 65: 'HTTPS', 99: 'SPF', 250: 'TSIG', 251: 'IXFR', 252: 'AXFR',
  255: 'ANY', 257: 'CAA',
};
