/**
 * The wire of SPDY/3.1 as Kubernetes uses it for port-forward: frames, and the header dictionary. Draft: SPDY Protocol, Draft
 * 3.1, §2.2–2.6. There is no flow control within: no client of Kubernetes uses it.
 */
export type SpdyFrame =
  | { readonly kind: 'open'; readonly stream: number; readonly final: boolean; readonly headers: Buffer }
  | { readonly kind: 'data'; readonly stream: number; readonly final: boolean; readonly data: Buffer }
  | { readonly kind: 'reset'; readonly stream: number }
  /** Headers that follow later; they take part in the compression. */
  | { readonly kind: 'headers'; readonly stream: number; readonly final: boolean; readonly headers: Buffer }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'leave' }
  | { readonly kind: 'other'; readonly type: number };

const frameLimit = 1 << 20;

export class SpdyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SpdyError';
  }
}

/** Feeds on bytes in any portions and gives whole frames. Throws SpdyError. */
export class SpdyDecoder {
  #held: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): SpdyFrame[] {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const frames: SpdyFrame[] = [];
    while (this.#held.length >= 8) {
      const length = this.#held.readUIntBE(5, 3);
      if (length > frameLimit) throw new SpdyError(`a frame of ${length} bytes`);
      if (this.#held.length < 8 + length) break;
      frames.push(parseFrame(this.#held.subarray(0, 8), this.#held.subarray(8, 8 + length)));
      this.#held = this.#held.subarray(8 + length);
    }
    return frames;
  }
}

function parseFrame(head: Buffer, payload: Buffer): SpdyFrame {
  const flags = head[4]!;
  const final = (flags & 1) !== 0;
  if (!(head[0]! & 0x80)) return { kind: 'data', stream: head.readUInt32BE(0), final, data: payload };
  const version = head.readUInt16BE(0) & 0x7fff;
  if (version !== 3) throw new SpdyError(`version ${version}`);
  const type = head.readUInt16BE(2);
  const need = (length: number) => {
    if (payload.length < length) throw new SpdyError(`a frame of type ${type} with ${payload.length} bytes`);
  };
  const stream = () => payload.readUInt32BE(0) & 0x7fff_ffff;
  switch (type) {
    case 1: return need(10), { kind: 'open', stream: stream(), final, headers: payload.subarray(10) };
    case 3: return need(8), { kind: 'reset', stream: stream() };
    case 6: return need(4), { kind: 'ping', id: payload.readUInt32BE(0) };
    case 7: return { kind: 'leave' };
    case 8: return need(4), { kind: 'headers', stream: stream(), final, headers: payload.subarray(4) };
    default: return { kind: 'other', type };
  }
}

function controlFrame(type: number, payload: Buffer, flags = 0): Buffer {
  const head = Buffer.from([0x80, 3, 0, type, flags, 0, 0, 0]);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

export function dataFrame(stream: number, data: Uint8Array, final = false): Buffer {
  const frame = Buffer.allocUnsafe(8 + data.length);
  frame.writeUInt32BE(stream, 0);
  frame[4] = final ? 1 : 0;
  frame.writeUIntBE(data.length, 5, 3);
  frame.set(data, 8);
  return frame;
}

export function resetFrame(stream: number, status: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(stream, 0);
  payload.writeUInt32BE(status, 4);
  return controlFrame(3, payload);
}

export function pingFrame(id: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(id, 0);
  return controlFrame(6, payload);
}

/**
 * "Your stream is open", without headers. All header blocks of a direction are one zlib stream (RFC 1950); a block that has
 * only the number 0 goes uncompressed (RFC 1951 §3.2.4), so that no compressor is needed; the
 * empty block behind it is what makes Go's decompressor give out what it has. `first` writes the stream's beginning.
 */
export function replyFrame(stream: number, first: boolean): Buffer {
  const id = Buffer.alloc(4);
  id.writeUInt32BE(stream, 0);
  return controlFrame(2, Buffer.concat([id, first ? Buffer.from([0x78, 0x01]) : Buffer.alloc(0), Buffer.from([0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff])]));
}

/** Names and values of a header block that is decompressed; names in lower case. Throws SpdyError. */
export function parseHeaders(block: Buffer): Map<string, string> {
  let at = 0;
  const number = () => {
    if (at + 4 > block.length) throw new SpdyError('a header block that is cut');
    return block.readUInt32BE((at += 4) - 4);
  };
  const text = () => {
    const length = number();
    if (at + length > block.length) throw new SpdyError('a header block that is cut');
    return block.toString('utf8', at, (at += length));
  };
  const headers = new Map<string, string>();
  const count = number();
  if (count > 100) throw new SpdyError(`${count} headers`);
  for (let i = 0; i < count; i++) headers.set(text().toLowerCase(), text());
  return headers;
}

const words = 'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status';
const moreWords = ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive', 'origin'];
const rest = '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** What both ends' compressors know beforehand (§2.6.10.1); 1,423 bytes. */
export const headerDictionary: Buffer = Buffer.concat([
  ...[...words.split(' '), ...moreWords].map(word => Buffer.concat([Buffer.from([0, 0, 0, word.length]), Buffer.from(word)])),
  Buffer.from(rest),
]);
