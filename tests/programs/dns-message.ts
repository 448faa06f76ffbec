/** DNS messages for tests: built from a few words, and read by the book (RFC 1035, 6891), apart from the programs under test. */
import { addrFromWire, formatAddr, parseAddr, wireBytes } from '../../src/std/ip.ts';

export const dnsType = { a: 1, cname: 5, aaaa: 28, opt: 41, txt: 16 } as const;
export const rcode = { noError: 0, serverFailure: 2, nxDomain: 3, refused: 5 } as const;

export interface DnsRecord {
  /** A name, or the offset of one in the message. */
  readonly owner: string | number;
  readonly type: number;
  readonly class?: number;
  readonly ttl?: number;
  readonly data: Uint8Array;
}

export interface MessageSpec {
  readonly id?: number;
  /** The second word of the header; a question with RD by default. */
  readonly flags?: number;
  readonly name: string;
  readonly type?: number;
  readonly class?: number;
  readonly answers?: readonly DnsRecord[];
  readonly authorities?: readonly DnsRecord[];
  /** Payload size of an OPT record. */
  readonly edns?: number;
  readonly counts?: { readonly questions?: number; readonly answers?: number; readonly authorities?: number; readonly additionals?: number };
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, letter => letter.charCodeAt(0));
const word = (value: number): number[] => [(value >>> 8) & 255, value & 255];

/** A name in the form of messages. Labels are divided by dots; `\.` is a dot within one. */
export function wireName(name: string): Uint8Array {
  const labels = name.replace(/\.$/, '').split(/(?<!\\)\./).filter(label => label !== '').map(label => bytesOf(label.replaceAll('\\.', '.')));
  return Uint8Array.from([...labels.flatMap(label => [label.length, ...label]), 0]);
}

const recordBytes = (record: DnsRecord): number[] => [
  ...typeof record.owner === 'string' ? wireName(record.owner) : word(0xc000 | record.owner), ...word(record.type), ...word(record.class ?? 1),
  ...word((record.ttl ?? 300) >>> 16), ...word(record.ttl ?? 300), ...word(record.data.length), ...record.data,
];

/** Address record of the question's name. */
export function address(text: string, o: { readonly ttl?: number; readonly owner?: string | number } = {}): DnsRecord {
  const data = wireBytes(parseAddr(text));
  return { owner: o.owner ?? 12, type: data.length === 4 ? dnsType.a : dnsType.aaaa, ...(o.ttl !== undefined && { ttl: o.ttl }), data };
}

export const alias = (target: string, owner: string | number = 12): DnsRecord => ({ owner, type: dnsType.cname, data: wireName(target) });

export function buildMessage(spec: MessageSpec): Uint8Array {
  const { answers = [], authorities = [], counts = {} } = spec;
  const opt = spec.edns === undefined ? [] : [0, ...word(dnsType.opt), ...word(spec.edns), 0, 0, 0, 0, 0, 0];
  return Uint8Array.from([
    ...word(spec.id ?? 0x1234), ...word(spec.flags ?? 0x0100), ...word(counts.questions ?? 1), ...word(counts.answers ?? answers.length),
    ...word(counts.authorities ?? authorities.length), ...word(counts.additionals ?? (opt.length > 0 ? 1 : 0)),
    ...wireName(spec.name), ...word(spec.type ?? dnsType.a), ...word(spec.class ?? 1),
    ...answers.flatMap(recordBytes), ...authorities.flatMap(recordBytes), ...opt,
  ]);
}

export const answerTo = (spec: MessageSpec): Uint8Array => buildMessage({ flags: 0x8180, ...spec });

export interface ReadQuestion {
  readonly id: number;
  /** Labels in lower case, dots between them; a dot or another odd byte within a label is `?`, so that no pattern matches it. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Of what follows. */
  readonly end: number;
}

const read16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

/** The only question of a message, or undefined where there is no such, or it is not whole. */
export function readQuestion(bytes: Uint8Array): ReadQuestion | undefined {
  if (bytes.length < 12 || read16(bytes, 4) !== 1) return undefined;
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > 63 || at + 1 - 12 > 255) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > bytes.length) return undefined;
    labels.push([...bytes.subarray(at, at + length)].map(byte => String.fromCharCode(byte)).map(letter => /[A-Za-z0-9_-]/.test(letter) ? letter.toLowerCase() : '?').join(''));
    at += length;
  }
  if (at - 12 > 255 || at + 4 > bytes.length) return undefined;
  return { id: read16(bytes, 0), name: labels.join('.'), type: read16(bytes, at), class: read16(bytes, at + 2), end: at + 4 };
}

/** May this be a question at all? */
export function readQuery(bytes: Uint8Array): ReadQuestion | undefined {
  return bytes.length >= 12 && (read16(bytes, 2) & 0xf800) === 0 && read16(bytes, 6) === 0 && read16(bytes, 8) === 0 ? readQuestion(bytes) : undefined;
}

export interface ReadAddress { readonly address: string; readonly ttl: number }

/** The addresses of an answer's answer section, or undefined where it is not whole. What is truncated (TC) is read as far as it goes. */
export function readAddresses(bytes: Uint8Array): readonly ReadAddress[] | undefined {
  const question = readQuestion(bytes);
  if (!question || (read16(bytes, 2) & 0xf800) !== 0x8000) return undefined;
  const found: ReadAddress[] = [];
  const records = read16(bytes, 6);
  const truncated = (read16(bytes, 2) & 0x0200) !== 0;
  if (records > 256) return undefined;
  let at = question.end;
  for (let i = 0; i < records; i++) {
    const record = readRecord(bytes, at);
    if (!record) return truncated ? found : undefined;
    if (record.address) found.push(record.address);
    at = record.end;
  }
  return found;
}

function readRecord(bytes: Uint8Array, start: number): { readonly end: number; readonly address?: ReadAddress } | undefined {
  let at = start;
  while (bytes[at] !== undefined && bytes[at]! > 0 && bytes[at]! <= 63) at += 1 + bytes[at]!;
  if (bytes[at] === undefined || (bytes[at]! > 63 && bytes[at]! < 0xc0)) return undefined;
  at += bytes[at] === 0 ? 1 : 2;
  if (at + 10 > bytes.length) return undefined;
  const [type, recordClass, size] = [read16(bytes, at), read16(bytes, at + 2), read16(bytes, at + 8)];
  const ttl = ((read16(bytes, at + 4) << 16) | read16(bytes, at + 6)) >>> 0;
  const end = at + 10 + size;
  if (end > bytes.length) return undefined;
  if (recordClass !== 1 || (type !== dnsType.a && type !== dnsType.aaaa)) return { end };
  if (size !== (type === dnsType.a ? 4 : 16)) return undefined;
  return { end, address: { address: formatAddr(addrFromWire(bytes.subarray(at + 10, end))), ttl: ttl > 0x7fffffff ? 0 : ttl } };
}

/** The UDP payload of a frame. */
export function payloadOf(frame: Uint8Array): Uint8Array {
  const at = 14 + (frame[14]! >>> 4 === 4 ? (frame[14]! & 15) * 4 : 40);
  return frame.subarray(at + 8, at + read16(frame, at + 4));
}
