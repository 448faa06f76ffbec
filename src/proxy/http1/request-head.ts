/** The head of a request (RFC 9112), read strictly: what servers read differently is refused. */
import type { HttpView } from '../../policy/l7-match.ts';
import { carriageReturn, inAuthority, inTarget, isText, lineFeed, tokenLower } from './bytes.ts';
import { fault } from './faults.ts';
import { Fields, HeaderNames, closes, keeps, slot } from './fields.ts';
import { type KeptText, KeptTexts } from './kept-texts.ts';

const longestMethod = 64;

const heads = new WeakMap<HeaderNames, RequestHead>();

/** Filled anew by each request, and read within the call that has parsed it: all connections with the same names have one. */
export function requestHead(names: HeaderNames, mostFields: number): RequestHead {
  let found = heads.get(names);
  if (found?.fields.most !== mostFields) heads.set(names, (found = new RequestHead(names, mostFields)));
  return found;
}

export class RequestHead implements HttpView {
  readonly fields: Fields;
  method = '';
  /** As it stands, with its query; of CONNECT empty. */
  path = '';
  host = '';
  /** What flows have before the path. */
  origin = '';
  /** HTTP/1.`minor`. */
  minor = 1;
  chunked = false;
  /** 0 where there is no body. */
  contentLength = 0;
  /** The connection ends with the answer. */
  closes = false;
  isConnect = false;
  isHead = false;
  /** Asks for another protocol: what comes after it is not HTTP/1 if the server agrees. */
  upgrade = false;
  /** Asks for HTTP/2, which a server may ignore; and so do we, by taking it out. */
  upgradeH2c = false;
  /** Waits with the body until somebody answers. */
  expects = false;
  #methodEnd = 0;
  #target = 0;
  #targetEnd = 0;
  #path = 0;
  #authority = 0;
  #authorityEnd = 0;

  constructor(names: HeaderNames, mostFields: number) {
    this.fields = new Fields(names, mostFields);
  }

  /** The place behind the head that begins at `start`; 0: more is needed; negative: a fault. */
  parse(buffer: Buffer, start: number, end: number): number {
    let i = start;
    while (i < end && tokenLower[buffer[i]!] !== 0) i++;
    if (i >= end) return i - start > longestMethod ? fault.method : 0;
    if (buffer[i] !== 32 || i === start || i - start > longestMethod) return fault.method;
    this.#methodEnd = i++;
    this.#target = i;
    while (i < end && inTarget[buffer[i]!] === 1) i++;
    if (i >= end) return 0;
    if (buffer[i] !== 32 || i === this.#target) return fault.target;
    this.#targetEnd = i++;
    // "HTTP/1.1" CR LF
    if (i + 10 > end) return isPrefix(buffer, i, end) ? 0 : fault.version;
    if (!isPrefix(buffer, i, i + 10)) return fault.version;
    this.minor = buffer[i + 7]! - 48;
    const after = this.fields.parse(buffer, i + 10, end);
    if (after <= 0) return after;
    const found = this.#framing();
    if (found < 0) return found;
    const target = this.#targetForm(buffer, start);
    return target < 0 ? target : after;
  }

  header(name: string): string | undefined {
    // Not fields, but rules may name them: before the slots, as each name that a rule has got one.
    if (name === ':method') return this.method;
    if (name === ':path') return this.path === '' ? undefined : this.path;
    if (name === ':authority') return this.host === '' ? undefined : this.host;
    const at = this.fields.names.slotOf.get(name);
    if (at === undefined) return undefined;
    return at === slot.host && this.host !== '' ? this.host : this.fields.value(at);
  }

  #framing(): number {
    const { fields } = this;
    const options = fields.connection();
    if (options < 0) return options;
    this.closes = this.minor === 1 ? (options & closes) !== 0 : (options & closes) !== 0 || (options & keeps) === 0;
    const length = fields.contentLength();
    if (length < -1) return length;
    this.chunked = fields.has(slot.transferEncoding);
    if (this.chunked) {
      if (this.minor === 0 || !fields.is(slot.transferEncoding, 'chunked') || fields.repeated(slot.transferEncoding)) return fault.transferEncoding;
      if (length >= 0) return fault.bothLengths;
    }
    this.contentLength = length < 0 ? 0 : length;
    this.expects = fields.has(slot.expect);
    this.upgrade = fields.has(slot.upgrade);
    this.upgradeH2c = this.upgrade && /(^|[ ,\t])h2c?([ ,\t]|$)/i.test(fields.value(slot.upgrade)!);
    if (this.upgradeH2c) this.upgrade = false;
    return this.#hostField();
  }

  #hostField(): number {
    const { fields } = this;
    const start = fields.starts[slot.host]!;
    if (start < 0) {
      if (this.minor === 1) return fault.hostMissing;
      this.#authority = this.#authorityEnd = 0;
      return 0;
    }
    if (fields.repeated(slot.host)) return fault.hostRepeated;
    this.#authority = start;
    this.#authorityEnd = fields.ends[slot.host]!;
    return isAuthority(fields.buffer, start, this.#authorityEnd) ? 0 : fault.host;
  }

  /** RFC 9112 §3.2: origin-, absolute-, authority- and asterisk-form. Then texts are made of what the rules ask for. */
  #targetForm(buffer: Buffer, start: number): number {
    this.method = methodOf(buffer, start, this.#methodEnd);
    this.isConnect = this.method === 'CONNECT';
    this.isHead = this.method === 'HEAD';
    this.#path = this.#target;
    const first = buffer[this.#target]!;
    if (this.isConnect) return this.#connect(buffer);
    if (first === 42) {
      if (this.#targetEnd !== this.#target + 1 || this.method !== 'OPTIONS') return fault.target;
      this.path = '*';
    } else if (first === 47) {
      if (hasBackslash(buffer, this.#target, this.#targetEnd)) return fault.target;
      this.path = paths.of(buffer, this.#target, this.#targetEnd).text;
    } else {
      const found = this.#absolute(buffer);
      if (found < 0) return found;
    }
    this.#takeHost(buffer, this.#authority, this.#authorityEnd);
    return 0;
  }

  #connect(buffer: Buffer): number {
    if (this.chunked || this.contentLength > 0) return fault.lengthWithTunnel;
    if (!isAuthority(buffer, this.#target, this.#targetEnd) || !/:\d{1,5}$/.test(buffer.toString('latin1', this.#target, this.#targetEnd))) return fault.target;
    this.path = '';
    this.#takeHost(buffer, this.#target, this.#targetEnd);
    this.origin = this.host;
    return 0;
  }

  /** The URI's authority counts; a Host that says something else is refused, since servers differ in whom they believe. */
  #absolute(buffer: Buffer): number {
    const scheme = isText(buffer, this.#target, this.#target + 7, 'http://') ? 7 : isText(buffer, this.#target, this.#target + 8, 'https://') ? 8 : 0;
    if (scheme === 0 || this.#target + scheme >= this.#targetEnd) return fault.target;
    const authority = this.#target + scheme;
    let i = authority;
    while (i < this.#targetEnd && buffer[i] !== 47 && buffer[i] !== 63) i++;
    if (i === authority || !isAuthority(buffer, authority, i) || hasBackslash(buffer, i, this.#targetEnd)) return fault.target;
    const own = buffer.toString('latin1', authority, i).toLowerCase();
    if (this.fields.has(slot.host) && !this.fields.is(slot.host, own)) return fault.hostDiffers;
    this.#authority = authority;
    this.#authorityEnd = i;
    const rest = buffer.toString('latin1', i, this.#targetEnd);
    this.path = rest.startsWith('/') ? rest : `/${rest}`;
    return 0;
  }

  #takeHost(buffer: Buffer, start: number, end: number): void {
    const { text, origin } = hosts.of(buffer, start, end);
    this.host = text;
    this.origin = origin;
  }
}

interface Host extends KeptText {
  readonly origin: string;
}

const hosts = new KeptTexts<Host>(64, text => ({ text, origin: `http://${text}` }));
const paths = new KeptTexts<KeptText>(256, text => ({ text }));

const versionBytes = Buffer.from('HTTP/1.');

/** Of `HTTP/1.0` or `HTTP/1.1` and CR LF, as much as is there. */
function isPrefix(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const at = i - start;
    const byte = buffer[i]!;
    if (at < 7 ? byte !== versionBytes[at] : at === 7 ? byte !== 48 && byte !== 49 : byte !== (at === 8 ? carriageReturn : lineFeed)) return false;
  }
  return true;
}

function methodOf(buffer: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length === 3 && buffer[start] === 71 && buffer[start + 1] === 69 && buffer[start + 2] === 84) return 'GET';
  if (length === 4 && buffer[start] === 80 && buffer[start + 1] === 79 && buffer[start + 2] === 83 && buffer[start + 3] === 84) return 'POST';
  return buffer.toString('latin1', start, end);
}

function isAuthority(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (inAuthority[buffer[i]!] === 0) return false;
  return true;
}

/** In a path some servers read it as a slash; no client sends it. Queries have it. */
function hasBackslash(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end && buffer[i] !== 63; i++) if (buffer[i] === 92) return true;
  return false;
}
