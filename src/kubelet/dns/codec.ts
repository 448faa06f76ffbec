/**
 * DNS messages (RFC 1035, EDNS of RFC 6891): as much as an authoritative server and forwarder needs. Names are lower-cased
 * for looking up; the question's own spelling is kept for the answer (some resolvers check it, RFC 4343 and "0x20").
 */

export const type = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, OPT: 41, AXFR: 252, ANY: 255 } as const;
export const rcode = { ok: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4, refused: 5, badVersion: 16 } as const;

export interface Question {
  /** As asked, without the last dot; the root is ''. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

export interface Query {
  readonly id: number;
  readonly flags: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly questions: readonly Question[];
  /** What the asker takes over UDP, and its EDNS version; undefined without EDNS. */
  readonly edns: { readonly udpSize: number; readonly version: number } | undefined;
}

export type ResourceRecord =
  | { readonly name: string; readonly type: 1 | 28; readonly ttl: number; readonly address: Uint8Array }
  | { readonly name: string; readonly type: 2 | 5 | 12; readonly ttl: number; readonly target: string }
  | { readonly name: string; readonly type: 33; readonly ttl: number; readonly priority: number; readonly weight: number; readonly port: number; readonly target: string }
  | { readonly name: string; readonly type: 16; readonly ttl: number; readonly texts: readonly string[] }
  | { readonly name: string; readonly type: 6; readonly ttl: number; readonly primary: string; readonly mailbox: string; readonly serial: number; readonly refresh: number; readonly retry: number; readonly expire: number; readonly minimum: number };

export interface Answer {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
}

export class DnsFormatError extends Error {
  readonly code = 'ERR_DNS_FORMAT';
}

const headerBytes = 12;
const ednsUdpSize = 1232;

/** Reads a query: header, questions, and EDNS if it is there. Throws DnsFormatError. */
export function decodeQuery(bytes: Uint8Array): Query {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < headerBytes) throw new DnsFormatError('shorter than a header');
  const flags = view.getUint16(2);
  const counts = [4, 6, 8, 10].map(at => view.getUint16(at));
  const questions: Question[] = [];
  let at = headerBytes;
  for (let i = 0; i < counts[0]!; i++) {
    const { name, end } = readName(bytes, at);
    if (end + 4 > bytes.length) throw new DnsFormatError('a question is cut off');
    questions.push({ name, type: view.getUint16(end), class: view.getUint16(end + 2) });
    at = end + 4;
  }
  return { id: view.getUint16(0), flags, opcode: (flags >> 11) & 15, recursionDesired: (flags & 0x100) !== 0, questions, edns: readEdns(bytes, view, at, counts[1]! + counts[2]! + counts[3]!) };
}

/**
 * Writes an answer in at most `limit` bytes: what does not fit is left out whole and TC says so (answers and authority; the
 * additional part is a courtesy and goes silently). Names are compressed.
 */
export function encodeAnswer(query: Query, answer: Answer, limit: number): Uint8Array {
  const writer = new Writer(Math.min(limit, 65_535));
  const edns = query.edns !== undefined;
  writer.reserve = edns ? 11 : 0;
  writer.u16(query.id);
  writer.u16(0x8000 | (query.opcode << 11) | (answer.authoritative ? 0x400 : 0) | (query.recursionDesired ? 0x100 : 0) | 0x80 | (answer.rcode & 15));
  for (let i = 0; i < 4; i++) writer.u16(0);
  for (const question of query.questions) {
    writer.name(question.name);
    writer.u16(question.type);
    writer.u16(question.class);
  }
  const counts = [query.questions.length, 0, 0, 0];
  let truncated = false;
  for (const [section, records] of [[1, answer.answers], [2, answer.authority], [3, answer.additional]] as const) {
    for (const record of records) {
      if (truncated || !writer.attempt(() => writer.record(record))) {
        truncated ||= section !== 3;
        break;
      }
      counts[section]!++;
    }
  }
  if (edns) {
    writer.reserve = 0;
    writer.u8(0);
    writer.u16(type.OPT);
    writer.u16(ednsUdpSize);
    writer.u8(answer.rcode >> 4);
    writer.u8(0);
    writer.u16(0);
    writer.u16(0);
    counts[3]!++;
  }
  return writer.finish(counts, truncated);
}

/** What fits into a UDP answer to this query. */
export function udpLimit(query: Query): number {
  return query.edns === undefined ? 512 : Math.max(512, Math.min(query.edns.udpSize, ednsUdpSize));
}

/** An answer of someone else's made to fit: header, question and TC, so that the asker comes again over TCP. */
export function truncate(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = headerBytes;
  for (let i = 0; i < view.getUint16(4); i++) end = readName(bytes, end).end + 4;
  const out = Uint8Array.from(bytes.subarray(0, end));
  const head = new DataView(out.buffer);
  head.setUint16(2, head.getUint16(2) | 0x200);
  for (const at of [6, 8, 10]) head.setUint16(at, 0);
  return out;
}

/** The name at `at` and the place after it. Pointers only go backwards, so there is no loop; 255 bytes at most. */
export function readName(bytes: Uint8Array, at: number): { name: string; end: number } {
  const labels: string[] = [];
  let end: number | undefined;
  let lowest = at;
  for (let length = 0; ; ) {
    const size = bytes[at];
    if (size === undefined) throw new DnsFormatError('a name runs over the end');
    if (size >= 0xc0) {
      const target = ((size & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      if (at + 1 >= bytes.length || target >= lowest) throw new DnsFormatError('a compression pointer that does not point back');
      end ??= at + 2;
      lowest = at = target;
      continue;
    }
    if (size > 63) throw new DnsFormatError('a label type that is not known');
    if (size === 0) return { name: labels.join('.'), end: end ?? at + 1 };
    length += size + 1;
    if (length > 254 || at + 1 + size > bytes.length) throw new DnsFormatError('a name is too long or cut off');
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + size)));
    at += size + 1;
  }
}

/** A dot or a byte that is no printable ASCII inside a label is escaped as \DDD (RFC 1035 §5.1), so text and bytes are one to one. */
function labelText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    text += byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

function labelBytes(text: string): number[] {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') {
      bytes.push(Number(text.slice(i + 1, i + 4)) & 255);
      i += 3;
    } else {
      bytes.push(text.charCodeAt(i) & 255);
    }
  }
  return bytes;
}

function readEdns(bytes: Uint8Array, view: DataView, from: number, records: number): Query['edns'] {
  let at = from;
  for (let i = 0; i < records; i++) {
    const { name, end } = readName(bytes, at);
    if (end + 10 > bytes.length) throw new DnsFormatError('a record is cut off');
    const length = view.getUint16(end + 8);
    if (end + 10 + length > bytes.length) throw new DnsFormatError('the data of a record is cut off');
    if (view.getUint16(end) === type.OPT && name === '') return { udpSize: view.getUint16(end + 2), version: view.getUint8(end + 5) };
    at = end + 10 + length;
  }
  return undefined;
}

class Overflow extends Error {}

class Writer {
  /** Bytes kept free for what must come last. */
  reserve = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #names = new Map<string, number>();
  #at = 0;

  constructor(limit: number) {
    this.#bytes = new Uint8Array(limit);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    this.#room(1);
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  u16(value: number): void {
    this.#room(2);
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  raw(bytes: ArrayLike<number>): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Compressed unless told not to be (targets of SRV must not be, RFC 2782). */
  name(name: string, compress = true): void {
    const labels = name === '' ? [] : name.split('.');
    for (let i = 0; i < labels.length; i++) {
      const rest = labels.slice(i).join('.').toLowerCase();
      const known = this.#names.get(rest);
      if (compress && known !== undefined) return this.u16(0xc000 | known);
      if (this.#at < 0x4000 && known === undefined) this.#names.set(rest, this.#at);
      const bytes = labelBytes(labels[i]!);
      this.u8(Math.min(bytes.length, 63));
      this.raw(bytes.slice(0, 63));
    }
    this.u8(0);
  }

  record(record: ResourceRecord): void {
    this.name(record.name);
    this.u16(record.type);
    this.u16(1);
    this.u32(record.ttl);
    const lengthAt = this.#at;
    this.u16(0);
    this.#data(record);
    this.#view.setUint16(lengthAt, this.#at - lengthAt - 2);
  }

  /** Undoes what `write` wrote when it does not fit. */
  attempt(write: () => void): boolean {
    const at = this.#at;
    try {
      write();
      return true;
    } catch (error) {
      if (!(error instanceof Overflow)) throw error;
      this.#at = at;
      for (const [name, place] of this.#names) if (place >= at) this.#names.delete(name);
      return false;
    }
  }

  finish(counts: readonly number[], truncated: boolean): Uint8Array {
    counts.forEach((count, i) => this.#view.setUint16(4 + 2 * i, count));
    if (truncated) this.#view.setUint16(2, this.#view.getUint16(2) | 0x200);
    return this.#bytes.slice(0, this.#at);
  }

  #data(record: ResourceRecord): void {
    switch (record.type) {
      case 1: case 28: return this.raw(record.address);
      case 2: case 5: case 12: return this.name(record.target);
      case 33:
        for (const value of [record.priority, record.weight, record.port]) this.u16(value);
        return this.name(record.target, false);
      case 16:
        for (const text of record.texts) {
          const bytes = Buffer.from(text).subarray(0, 255);
          this.u8(bytes.length);
          this.raw(bytes);
        }
        return;
      case 6:
        this.name(record.primary);
        this.name(record.mailbox);
        for (const value of [record.serial, record.refresh, record.retry, record.expire, record.minimum]) this.u32(value);
    }
  }

  #room(bytes: number): void {
    if (this.#at + bytes > this.#bytes.length - this.reserve) throw new Overflow();
  }
}
