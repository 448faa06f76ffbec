/** What a TLS client asks for, read from its first bytes (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301): TLS 1.0 to 1.3. */

export interface ClientHello {
  /** In lower case; undefined when the client names no server. With Encrypted Client Hello it is the outer name. */
  readonly serverName: string | undefined;
  /** Application protocols in the client's order. */
  readonly alpn: readonly string[];
  /** Where the record that ends it ends. */
  readonly end: number;
}

export type HelloRead =
  /** It is not whole yet. */
  | { readonly kind: 'more' }
  | { readonly kind: 'hello'; readonly hello: ClientHello }
  /** Not TLS, or a hello that no client writes. */
  | { readonly kind: 'fault'; readonly isTls: boolean; readonly fault: string };

/** With post-quantum keys and many extensions they are 2 to 4 KiB. */
export const maxHelloBytes = 65_536;
const maxRecordBytes = 16_384;

const contentHandshake = 22;
const typeClientHello = 1;
const extensionServerName = 0;
const extensionAlpn = 16;

class HelloFault extends Error {}

/** Reads bytes[start, end), which begin with a record. A hello may be cut over records, and they over segments, anywhere. */
export function readClientHello(bytes: Buffer, start: number, end: number): HelloRead {
  const parts: Buffer[] = [];
  let length = 0;
  let at = start;
  for (;;) {
    // The length comes last: bytes that cannot begin a record are refused without waiting for it.
    if (end > at && bytes[at] !== contentHandshake) return fault(parts.length > 0, 'no handshake record');
    if (end > at + 1 && bytes[at + 1] !== 3) return fault(parts.length > 0, 'no version of TLS');
    if (end > at + 2 && bytes[at + 2]! > 4) return fault(true, 'no version of TLS that is known');
    if (end - at < 5) return at - start > maxHelloBytes ? fault(true, 'a hello of too many bytes') : { kind: 'more' };
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0 || size > maxRecordBytes) return fault(true, 'a record of no length, or too long');
    const recordEnd = at + 5 + size;
    parts.push(bytes.subarray(at + 5, Math.min(end, recordEnd)));
    length += parts.at(-1)!.length;
    const message = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    if (length > 0 && message[0] !== typeClientHello) return fault(true, 'no ClientHello');
    if (length >= 4) {
      const needed = 4 + message.readUIntBE(1, 3);
      if (needed > maxHelloBytes) return fault(true, 'a hello of too many bytes');
      if (length >= needed) return parse(message, 4, needed, recordEnd);
    }
    if (recordEnd > end) return { kind: 'more' };
    // Records of a byte each are allowed, but not thousands of them.
    if (parts.length > 64) return fault(true, 'a hello in too many records');
    at = recordEnd;
  }
}

function parse(message: Buffer, start: number, end: number, recordEnd: number): HelloRead {
  try {
    const { serverName, alpn } = readBody(new Reader(message, start, end));
    return { kind: 'hello', hello: { serverName, alpn, end: recordEnd } };
  } catch (error) {
    if (error instanceof HelloFault) return fault(true, error.message);
    throw error;
  }
}

function readBody(reader: Reader): { serverName: string | undefined; alpn: readonly string[] } {
  reader.skip(2 + 32);
  if (reader.skipVector(1) > 32) throw new HelloFault('a session id of more than 32 bytes');
  const suites = reader.skipVector(2);
  if (suites < 2 || suites % 2 !== 0) throw new HelloFault('no cipher suites');
  if (reader.skipVector(1) < 1) throw new HelloFault('no compression methods');
  let serverName: string | undefined;
  let alpn: readonly string[] = [];
  const seen = new Set<number>();
  if (reader.left === 0) return { serverName, alpn };
  const extensions = reader.vector(2);
  if (reader.left > 0) throw new HelloFault('bytes after the extensions');
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (seen.has(type)) throw new HelloFault(`extension ${type} twice`);
    seen.add(type);
    if (type === extensionServerName) serverName = readServerName(data);
    if (type === extensionAlpn) alpn = readAlpn(data);
  }
  return { serverName, alpn };
}

/** One name of the only type there is: of two, nobody knows which one the server will take. */
function readServerName(data: Reader): string {
  const names = data.vector(2);
  if (data.left > 0) throw new HelloFault('bytes after the server names');
  if (names.number(1) !== 0) throw new HelloFault('a server name that is no host name');
  const name = names.vector(2).text();
  if (names.left > 0) throw new HelloFault('more than one server name');
  if (name.length > 255 || !/^[-a-zA-Z0-9_.]+$/.test(name)) throw new HelloFault('a server name that is none');
  return name.toLowerCase();
}

function readAlpn(data: Reader): readonly string[] {
  const list = data.vector(2);
  if (data.left > 0) throw new HelloFault('bytes after the protocols');
  const names: string[] = [];
  while (list.left > 0) names.push(list.vector(1).text());
  return names;
}

function fault(isTls: boolean, text: string): HelloRead {
  return { kind: 'fault', isTls, fault: text };
}

class Reader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  skip(count: number): number {
    const at = this.#at;
    if (count > this.left) throw new HelloFault('the hello ends within a field');
    this.#at += count;
    return at;
  }

  number(size: 1 | 2): number {
    const at = this.skip(size);
    return this.#bytes.readUIntBE(at, size);
  }

  skipVector(size: 1 | 2): number {
    const length = this.number(size);
    this.skip(length);
    return length;
  }

  vector(size: 1 | 2): Reader {
    const length = this.number(size);
    const at = this.skip(length);
    return new Reader(this.#bytes, at, at + length);
  }

  text(): string {
    return this.#bytes.toString('latin1', this.#at, this.#end);
  }
}
