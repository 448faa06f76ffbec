import { ConnectionFault, ErrorCode } from './error.ts';
import { type Output, pooledBytes, returnBuffer, takeBuffer } from './output.ts';

/** Frame types of RFC 9113 §6. */
export const FrameType = { data: 0, headers: 1, priority: 2, rstStream: 3, settings: 4, pushPromise: 5, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** What a client begins with (RFC 9113 §3.4). */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const frameHeaderBytes = 9;
/** SETTINGS_MAX_FRAME_SIZE where none was sent; we send none, and pass none on. */
export const maxFrameSize = pooledBytes - frameHeaderBytes;

const nothing = Buffer.alloc(0);

export interface FrameSink {
  /** A whole frame of any type but DATA: its payload is data[start, end). */
  frame(type: number, flags: number, stream: number, data: Buffer, start: number, end: number): void;
  /** A DATA frame begins: `length` octets of which `body` are not padding. False: it must wait, and nothing was taken of it. */
  dataBegin(flags: number, stream: number, length: number, body: number): boolean;
  /** Some of its payload, as it came; a padded frame comes whole. `last`: it ends here. */
  dataPart(data: Buffer, start: number, end: number, last: boolean): void;
}

/**
 * Cuts what one side sends into frames. DATA is handed on as it comes; other frames, and DATA with padding, are gathered, which
 * takes 16 KiB at most.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  /** The beginning of a frame whose rest has not come. */
  #held: Buffer = nothing;
  #heldLength = 0;
  #dataLeft = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Reads data[start, end); returns where it stopped: at `end`, or at a frame that must wait. Throws ConnectionFault. */
  read(data: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#dataLeft > 0) at = this.#data(data, at, end);
      else if (this.#heldLength > 0) {
        const next = this.#gather(data, at, end);
        if (next < 0) return at;
        at = next;
      } else {
        const next = this.#whole(data, at, end);
        if (next < 0) return at;
        if (next === at) return this.#hold(data, at, end);
        at = next;
      }
    }
    return at;
  }

  #data(data: Buffer, at: number, end: number): number {
    const part = Math.min(this.#dataLeft, end - at);
    this.#dataLeft -= part;
    this.#sink.dataPart(data, at, at + part, this.#dataLeft === 0);
    return at + part;
  }

  /** A frame that is there as far as it must be; returns where to go on, `at` when more must come first, −1 when it must wait. */
  #whole(data: Buffer, at: number, end: number): number {
    if (end - at < frameHeaderBytes) return at;
    const length = (data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!;
    const type = data[at + 3]!;
    const flags = data[at + 4]!;
    const stream = data.readUInt32BE(at + 5) & 0x7fff_ffff;
    if (length > maxFrameSize) throw new ConnectionFault(ErrorCode.frameSize, `a frame of ${length} octets`);
    const payload = at + frameHeaderBytes;
    if (type === FrameType.data && !(flags & Flag.padded)) {
      if (!this.#sink.dataBegin(flags, stream, length, length)) return -1;
      this.#dataLeft = length;
      if (length === 0) this.#sink.dataPart(data, payload, payload, true);
      return length > 0 && payload < end ? this.#data(data, payload, end) : payload;
    }
    if (end - payload < length) return at;
    if (type !== FrameType.data) {
      this.#sink.frame(type, flags, stream, data, payload, payload + length);
      return payload + length;
    }
    const padding = length > 0 ? data[payload]! : 0;
    if (padding >= length) throw new ConnectionFault(ErrorCode.protocol, 'DATA with more padding than payload');
    if (!this.#sink.dataBegin(flags, stream, length, length - 1 - padding)) return -1;
    this.#sink.dataPart(data, payload, payload + length, true);
    return payload + length;
  }

  #hold(data: Buffer, at: number, end: number): number {
    this.#held = takeBuffer();
    this.#held.set(data.subarray(at, end), 0);
    this.#heldLength = end - at;
    return end;
  }

  /** Adds to the frame that was begun as much as it lacks; returns where to go on in `data`. */
  #gather(data: Buffer, start: number, end: number): number {
    let at = start;
    for (;;) {
      const needed = this.#needed();
      const part = Math.min(needed - this.#heldLength, end - at);
      this.#held.set(data.subarray(at, at + part), this.#heldLength);
      this.#heldLength += part;
      at += part;
      if (this.#heldLength < needed) return at;
      const length = this.#heldLength;
      const used = this.#whole(this.#held, 0, length);
      if (used < 0) {
        // It waits with what was there before: the rest is brought again.
        this.#heldLength -= at - start;
        return -1;
      }
      if (used === length) {
        this.#release();
        return at;
      }
    }
  }

  #release(): void {
    this.#heldLength = 0;
    returnBuffer(this.#held);
    this.#held = nothing;
  }

  #needed(): number {
    if (this.#heldLength < frameHeaderBytes) return frameHeaderBytes;
    const held = this.#held;
    const length = (held[0]! << 16) | (held[1]! << 8) | held[2]!;
    // DATA without padding needs no more than its header; a frame that is too long is refused by it.
    if (length > maxFrameSize || (held[3] === FrameType.data && !(held[4]! & Flag.padded))) return frameHeaderBytes;
    return frameHeaderBytes + length;
  }
}

export function writeFrameHeader(out: Output, length: number, type: number, flags: number, stream: number): void {
  const at = out.reserve(frameHeaderBytes);
  const { buffer } = out;
  putFrameHeader(buffer, at, length, type, flags, stream);
  out.advance(at + frameHeaderBytes);
}

function putFrameHeader(buffer: Buffer, at: number, length: number, type: number, flags: number, stream: number): void {
  buffer[at] = length >>> 16;
  buffer[at + 1] = length >>> 8;
  buffer[at + 2] = length;
  buffer[at + 3] = type;
  buffer[at + 4] = flags;
  buffer[at + 5] = stream >>> 24;
  buffer[at + 6] = stream >>> 16;
  buffer[at + 7] = stream >>> 8;
  buffer[at + 8] = stream;
}

/** A frame as it came, with other flags perhaps. */
export function writeFrame(out: Output, type: number, flags: number, stream: number, data: Buffer, start = 0, end = data.length): void {
  writeFrameHeader(out, end - start, type, flags, stream);
  out.append(data, start, end);
}

/** RST_STREAM and WINDOW_UPDATE: a number of 32 bits. */
export function writeNumber(out: Output, type: number, stream: number, value: number): void {
  writeFrameHeader(out, 4, type, 0, stream);
  const at = out.reserve(4);
  out.buffer.writeUInt32BE(value, at);
  out.advance(at + 4);
}

export function writeGoaway(out: Output, lastStream: number, code: number, message: string): void {
  const text = Buffer.from(message.slice(0, 200), 'latin1');
  writeFrameHeader(out, 8 + text.length, FrameType.goaway, 0, 0);
  const at = out.reserve(8);
  out.buffer.writeUInt32BE(lastStream, at);
  out.buffer.writeUInt32BE(code, at + 4);
  out.advance(at + 8);
  out.append(text, 0, text.length);
}

export function writeSettings(out: Output, settings: readonly (readonly [number, number])[]): void {
  writeFrameHeader(out, settings.length * 6, FrameType.settings, 0, 0);
  let at = out.reserve(settings.length * 6);
  for (const [id, value] of settings) {
    out.buffer.writeUInt16BE(id, at);
    out.buffer.writeUInt32BE(value, at + 2);
    at += 6;
  }
  out.advance(at);
}

/**
 * HEADERS, and CONTINUATION where the block is longer than a frame. `write` appends the block, which was given room for a frame's
 * header before it.
 */
export function writeHeaders(out: Output, stream: number, endStream: boolean, write: () => void): void {
  const header = out.reserve(frameHeaderBytes);
  out.advance(header + frameHeaderBytes);
  write();
  const block = header + frameHeaderBytes;
  const length = out.length - block;
  const flags = endStream ? Flag.endStream : 0;
  if (length <= maxFrameSize) return putFrameHeader(out.buffer, header, length, FrameType.headers, flags | Flag.endHeaders, stream);
  const rest = Buffer.from(out.buffer.subarray(block + maxFrameSize, block + length));
  putFrameHeader(out.buffer, header, maxFrameSize, FrameType.headers, flags, stream);
  out.advance(block + maxFrameSize);
  for (let at = 0; at < rest.length; at += maxFrameSize) {
    const part = Math.min(maxFrameSize, rest.length - at);
    writeFrame(out, FrameType.continuation, at + part === rest.length ? Flag.endHeaders : 0, stream, rest, at, at + part);
  }
}
