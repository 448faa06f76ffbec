/**
 * The bytes of netlink (RFC 3549, linux/netlink.h): messages of a 16-byte header, a fixed part and attributes (type, length,
 * value, each padded to 4). Host byte order, which is little-endian on every machine that we run on. Pure.
 */
import { CirriError } from '../std/errors.ts';

export const messageType = { noop: 1, error: 2, done: 3, overrun: 4 } as const;
export const flag = { request: 1, multi: 2, ack: 4, echo: 8, dump: 0x300, replace: 0x100, exclusive: 0x200, create: 0x400, dumpInterrupted: 0x10, capped: 0x100, ackAttributes: 0x200 } as const;

const HEADER = 16;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;

/** Received bytes that are not netlink. */
export class NetlinkFormatError extends CirriError {
  constructor(message: string) {
    super('ERR_NETLINK_FORMAT', message);
    this.name = 'NetlinkFormatError';
  }
}

/** Writes messages one after the other into a buffer that grows. */
export class MessageWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #start = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written so far; valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** One message; its length is filled in when `body` returns. */
  message(type: number, flags: number, sequence: number, body: (w: MessageWriter) => void): void {
    this.#start = this.#length;
    this.u32(0).u16(type).u16(flags).u32(sequence).u32(0);
    body(this);
    this.#view.setUint32(this.#start, this.#length - this.#start, true);
    this.#align();
  }

  u8(value: number): this {
    this.#room(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    this.#view.setUint16(this.#length, value, true);
    this.#length += 2;
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(4 + value.length).u16(type).raw(value);
    return this.#align();
  }

  attributeU8(type: number, value: number): this {
    this.u16(5).u16(type).u8(value);
    return this.#align();
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  /** A 16-bit number in network order (ports). */
  attributeBe16(type: number, value: number): this {
    this.u16(6).u16(type).u8(value >> 8).u8(value & 0xff);
    return this.#align();
  }

  /** NUL-terminated text. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, Buffer.from(`${text}\0`, 'utf8'));
  }

  nest(type: number, body: (w: MessageWriter) => void): this {
    const start = this.#length;
    this.u16(0).u16(type | NESTED);
    body(this);
    this.#view.setUint16(start, this.#length - start, true);
    return this.#align();
  }

  #align(): this {
    while (this.#length % 4 !== 0) this.u8(0);
    return this;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const bigger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    bigger.set(this.#bytes);
    this.#bytes = bigger;
    this.#view = new DataView(bigger.buffer);
  }
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** Splits a datagram. The payloads are views into it. Throws NetlinkFormatError. */
export function parseMessages(bytes: Uint8Array): Message[] {
  const view = viewOver(bytes);
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + HEADER > bytes.length) throw new NetlinkFormatError(`${bytes.length - at} bytes are left, a header has 16`);
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) throw new NetlinkFormatError(`a message claims ${length} of ${bytes.length - at} bytes`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: bytes.subarray(at + HEADER, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The attributes of a message or a nest, by type; of equal types the last counts. */
export class Attributes {
  readonly #values: ReadonlyMap<number, Uint8Array>;

  constructor(values: ReadonlyMap<number, Uint8Array>) {
    this.#values = values;
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#sized(type, 1)?.getUint8(0);
  }

  u32(type: number): number | undefined {
    return this.#sized(type, 4)?.getUint32(0, true);
  }

  i32(type: number): number | undefined {
    return this.#sized(type, 4)?.getInt32(0, true);
  }

  text(type: number): string | undefined {
    const bytes = this.#values.get(type);
    if (!bytes) return undefined;
    const end = bytes.indexOf(0);
    return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
  }

  nest(type: number): Attributes | undefined {
    const bytes = this.#values.get(type);
    return bytes && parseAttributes(bytes);
  }

  #sized(type: number, size: number): DataView | undefined {
    const bytes = this.#values.get(type);
    if (!bytes) return undefined;
    if (bytes.length < size) throw new NetlinkFormatError(`attribute ${type} has ${bytes.length} bytes, not ${size}`);
    return viewOver(bytes);
  }
}

/** Reads attributes from `offset` (after the fixed part) to the end. Throws NetlinkFormatError. */
export function parseAttributes(bytes: Uint8Array, offset = 0): Attributes {
  const view = viewOver(bytes);
  const values = new Map<number, Uint8Array>();
  for (let at = offset; at < bytes.length; ) {
    if (at + 4 > bytes.length) throw new NetlinkFormatError(`${bytes.length - at} bytes are left, an attribute has at least 4`);
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) throw new NetlinkFormatError(`an attribute claims ${length} of ${bytes.length - at} bytes`);
    values.set(view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return new Attributes(values);
}

/** The fixed part of a payload. Throws NetlinkFormatError where it is shorter than `size`. */
export function fixedPart(payload: Uint8Array, size: number): DataView {
  if (payload.length < size) throw new NetlinkFormatError(`a payload has ${payload.length} bytes, its fixed part ${size}`);
  return viewOver(payload);
}

/** What an NLMSG_ERROR says: 0 is an acknowledgement; `text` is the kernel's own sentence where it gave one. */
export function parseError(message: Message): { errno: number; text?: string } {
  const errno = -fixedPart(message.payload, 4).getInt32(0, true);
  if (!(message.flags & flag.ackAttributes) || message.payload.length < 4 + HEADER) return { errno };
  const original = viewOver(message.payload).getUint32(4, true);
  const skip = 4 + (message.flags & flag.capped ? HEADER : (original + 3) & ~3);
  if (skip > message.payload.length) return { errno };
  const text = parseAttributes(message.payload, skip).text(1 /* NLMSGERR_ATTR_MSG */);
  return text === undefined ? { errno } : { errno, text };
}

function viewOver(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
