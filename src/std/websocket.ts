import { createHash } from 'node:crypto';

/** A whole message, or a control frame, of a WebSocket (RFC 6455). */
export interface WebSocketMessage {
  readonly kind: 'text' | 'binary' | 'close' | 'ping' | 'pong';
  readonly data: Buffer;
}

const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const kinds: ReadonlyMap<number, WebSocketMessage['kind']> = new Map(Object.entries(opcodes).map(([kind, code]) => [code, kind as WebSocketMessage['kind']]));

/** The peer does not keep to the protocol. `code` is what a close frame tells it (RFC 6455 §7.4.1). */
export class WebSocketError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'WebSocketError';
    this.code = code;
  }
}

/** `Sec-WebSocket-Accept` for a request's `Sec-WebSocket-Key`. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** A frame as a server sends it: whole, unmasked. */
export function encodeFrame(kind: WebSocketMessage['kind'], data: Uint8Array): Buffer {
  const extra = data.length < 126 ? 0 : data.length < 65_536 ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + extra + data.length);
  frame[0] = 0x80 | opcodes[kind];
  frame[1] = extra === 0 ? data.length : extra === 2 ? 126 : 127;
  if (extra === 2) frame.writeUInt16BE(data.length, 2);
  if (extra === 8) frame.writeBigUInt64BE(BigInt(data.length), 2);
  frame.set(data, 2 + extra);
  return frame;
}

export function closeFrame(code: number, reason = ''): Buffer {
  const text = Buffer.from(reason).subarray(0, 123);
  const data = Buffer.allocUnsafe(2 + text.length);
  data.writeUInt16BE(code, 0);
  data.set(text, 2);
  return encodeFrame('close', data);
}

/** Reads what a client sends, in any portions. Fragments are joined; control frames may come between them. */
export class WebSocketDecoder {
  readonly #limit: number;
  #held: Buffer = Buffer.alloc(0);
  #parts: Buffer[] = [];
  #partsLength = 0;
  #partsKind: 'text' | 'binary' | undefined;

  /** Messages of more than `limit` bytes are refused. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Throws WebSocketError; nothing more can be read then. */
  push(bytes: Buffer): WebSocketMessage[] {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const messages: WebSocketMessage[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) {
      const message = this.#join(frame);
      if (message) messages.push(message);
    }
    return messages;
  }

  #next(): { readonly final: boolean; readonly opcode: number; readonly data: Buffer } | undefined {
    const held = this.#held;
    if (held.length < 2) return undefined;
    if (held[0]! & 0x70) throw new WebSocketError(1002, 'a frame with reserved bits');
    if (!(held[1]! & 0x80)) throw new WebSocketError(1002, 'a client\'s frame without a mask');
    const short = held[1]! & 0x7f;
    const extra = short < 126 ? 0 : short === 126 ? 2 : 8;
    if (held.length < 6 + extra) return undefined;
    const length = extra === 0 ? short : extra === 2 ? held.readUInt16BE(2) : Number(held.readBigUInt64BE(2));
    if (length > this.#limit) throw new WebSocketError(1009, `a frame of ${length} bytes`);
    const start = 6 + extra;
    if (held.length < start + length) return undefined;
    const data = Buffer.from(held.subarray(start, start + length));
    for (let i = 0; i < length; i++) data[i]! ^= held[start - 4 + (i & 3)]!;
    this.#held = held.subarray(start + length);
    return { final: (held[0]! & 0x80) !== 0, opcode: held[0]! & 0x0f, data };
  }

  #join({ final, opcode, data }: { readonly final: boolean; readonly opcode: number; readonly data: Buffer }): WebSocketMessage | undefined {
    const kind = kinds.get(opcode);
    if (opcode !== 0 && kind === undefined) throw new WebSocketError(1002, `opcode ${opcode}`);
    if (kind === 'close' || kind === 'ping' || kind === 'pong') {
      if (!final || data.length > 125) throw new WebSocketError(1002, 'a control frame in parts or too long');
      return { kind, data };
    }
    if ((kind === undefined) !== (this.#partsKind !== undefined)) throw new WebSocketError(1002, 'a message begins within another, or goes on without a beginning');
    if (kind !== undefined && final) return { kind, data };
    this.#partsKind ??= kind;
    this.#parts.push(data);
    this.#partsLength += data.length;
    if (this.#partsLength > this.#limit) throw new WebSocketError(1009, `a message of more than ${this.#limit} bytes`);
    if (!final) return undefined;
    const message = { kind: this.#partsKind!, data: Buffer.concat(this.#parts) };
    this.#parts = [];
    this.#partsLength = 0;
    this.#partsKind = undefined;
    return message;
  }
}
