import { RpcError, RpcStatus } from './types.ts';

/** Five bytes stand before each message: whether it is compressed, and its length (big-endian). */
export const prefixBytes = 5;

/** Messages in one buffer, ready for one write. */
export function frameMessages(messages: readonly Uint8Array[]): Buffer {
  let total = 0;
  for (const message of messages) total += prefixBytes + message.length;
  const buffer = Buffer.allocUnsafe(total);
  let at = 0;
  for (const message of messages) {
    const { length } = message;
    buffer[at] = 0;
    buffer[at + 1] = length >>> 24;
    buffer[at + 2] = length >>> 16;
    buffer[at + 3] = length >>> 8;
    buffer[at + 4] = length;
    buffer.set(message, at + prefixBytes);
    at += prefixBytes + length;
  }
  return buffer;
}

/** Messages gathered for one write, each copied in once and framed at once. */
export class MessageBatch {
  #buffer = Buffer.allocUnsafeSlow(4096);
  #length = 0;

  /** Bytes gathered, with the frames' own. */
  get length(): number {
    return this.#length;
  }

  append(message: Uint8Array): void {
    const { length } = message;
    let at = this.#length;
    const end = at + prefixBytes + length;
    if (end > this.#buffer.length) this.#grow(end);
    const buffer = this.#buffer;
    buffer[at++] = 0;
    buffer[at++] = length >>> 24;
    buffer[at++] = length >>> 16;
    buffer[at++] = length >>> 8;
    buffer[at++] = length;
    buffer.set(message, at);
    this.#length = end;
  }

  /** What was gathered, for good; the batch begins anew. */
  take(): Uint8Array {
    const taken = this.#buffer.subarray(0, this.#length);
    // What comes next will be as much; a little more, so that it does not grow for its last message.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(4096, Math.min(80 * 1024, this.#length + 8192)));
    this.#length = 0;
    return taken;
  }

  #grow(size: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(size, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/**
 * Messages out of the chunks of a stream, however they are cut. A message that announces more than `maxBytes` is an error
 * before any of it is kept; so is a compressed one, since `identity` is all that is offered here.
 */
export class MessageParser {
  readonly #maxBytes: number;
  readonly #encoding: string | undefined;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixLength = 0;
  #message: Uint8Array | undefined;
  #length = 0;

  constructor(maxBytes: number, encoding: string | undefined) {
    this.#maxBytes = maxBytes;
    this.#encoding = encoding;
  }

  /** Whether the stream may end here: no message is half read. */
  get isWhole(): boolean {
    return this.#prefixLength === 0;
  }

  /** Throws RpcError. The messages of one chunk may share its memory. */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixLength < prefixBytes) {
        this.#prefix[this.#prefixLength++] = chunk[at++]!;
        if (this.#prefixLength < prefixBytes) continue;
        this.#length = this.#lengthOf(this.#prefix);
        const end = at + this.#length;
        if (end <= chunk.length) {
          messages.push(chunk.subarray(at, end));
          at = end;
          this.#prefixLength = 0;
        } else {
          this.#message = new Uint8Array(this.#length);
          this.#length = 0;
        }
        continue;
      }
      const message = this.#message!;
      const part = chunk.subarray(at, at + message.length - this.#length);
      message.set(part, this.#length);
      this.#length += part.length;
      at += part.length;
      if (this.#length < message.length) continue;
      messages.push(message);
      this.#message = undefined;
      this.#prefixLength = 0;
    }
    return messages;
  }

  #lengthOf(prefix: Uint8Array): number {
    if (prefix[0] === 1) {
      const encoding = this.#encoding ?? 'identity';
      if (encoding === 'identity') throw new RpcError(RpcStatus.internal, 'a message is marked as compressed and grpc-encoding names no compression');
      throw new RpcError(RpcStatus.unimplemented, `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`);
    }
    if (prefix[0] !== 0) throw new RpcError(RpcStatus.internal, `a message begins with the flag ${prefix[0]}, which is neither 0 nor 1`);
    const length = ((prefix[1]! << 24) | (prefix[2]! << 16) | (prefix[3]! << 8) | prefix[4]!) >>> 0;
    if (length > this.#maxBytes) throw new RpcError(RpcStatus.resourceExhausted, `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`);
    return length;
  }
}

/** `grpc-message`: UTF-8 with all but printable ASCII and `%` percent-encoded. */
export function encodeMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text.slice(0, 4096))) {
    out += byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** The inverse; what is no valid escape stays as it is. */
export function decodeMessage(text: string): string {
  if (!text.includes('%')) return text;
  return Buffer.from(text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))), 'latin1').toString('utf8');
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** The longest that a timer of Node's can wait. */
const longestMs = 2 ** 31 - 1;

/** `grpc-timeout` in milliseconds, at least 0; undefined without one. Throws RpcError on what is none. */
export function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  if (!match) throw new RpcError(RpcStatus.internal, `malformed grpc-timeout: ${JSON.stringify(text.slice(0, 32))}`);
  return Math.min(longestMs, Math.ceil(Number(match[1]) * unitMs[match[2]!]!));
}

export function formatTimeout(timeoutMs: number): string {
  const ms = Math.max(1, Math.ceil(timeoutMs));
  return ms < 1e8 ? `${ms}m` : `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`;
}
