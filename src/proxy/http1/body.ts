/** Where a message's body ends (RFC 9112 §6, §7), byte by byte only where there are no data: chunks' sizes, extensions and trailers. */
import { carriageReturn, hexValue, inValue, lineFeed, tokenLower } from './bytes.ts';
import { fault } from './faults.ts';
import type { HeaderNames } from './fields.ts';

const atSizeStart = 0;
const inSize = 1;
const inExtensionName = 2;
const atExtensionValue = 3;
const inExtensionValue = 4;
const inQuoted = 5;
const afterEscape = 6;
const afterQuoted = 7;
const atSizeEnd = 8;
const inData = 9;
const atDataEnd = 10;
const atDataLine = 11;
const atTrailer = 12;
const inTrailerName = 13;
const inTrailerValue = 14;
const atTrailerEnd = 15;
const atLastLine = 16;

/** What a trailer may not be, besides the names that rules ask for: servers may take trailers for headers. */
const forbiddenTrailers = new Set(['authorization', 'connection', 'content-encoding', 'content-length', 'content-type', 'cookie', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']);
const longestSize = 13;

export class Body {
  /** None, or all of it has been seen. */
  done = true;
  /** A fault at the place that `feed` gave. */
  fault = 0;
  /** Until the connection ends. */
  untilClose = false;
  /** Data bytes still to come, of a length or a chunk; within a chunk's size, what has been read of it. */
  #remaining = 0;
  #chunked = false;
  #state = atSizeStart;
  #digits = 0;
  #extension = 0;
  #trailer = 0;
  #name = '';
  readonly #mostExtension: number;
  readonly #mostTrailer: number;

  constructor(limits: { readonly extensionBytes: number; readonly trailerBytes: number }) {
    this.#mostExtension = limits.extensionBytes;
    this.#mostTrailer = limits.trailerBytes;
  }

  begin(length: number, chunked: boolean, untilClose = false): void {
    this.fault = 0;
    this.#chunked = chunked;
    this.untilClose = untilClose;
    this.#remaining = chunked ? 0 : length;
    this.done = !chunked && !untilClose && length === 0;
    this.#state = atSizeStart;
    this.#digits = this.#extension = this.#trailer = 0;
  }

  /** The place of the first byte of data[i, end) that is not the body's; all before it may go on. Sets `done` or `fault`. */
  feed(data: Buffer, i: number, end: number, names?: HeaderNames): number {
    if (this.untilClose) return end;
    if (this.#chunked) return this.#chunks(data, i, end, names);
    const taken = Math.min(this.#remaining, end - i);
    this.#remaining -= taken;
    if (this.#remaining === 0) this.done = true;
    return i + taken;
  }

  /** How many bytes from here on need no look. */
  get passable(): number {
    return this.done || (this.#chunked && this.#state !== inData) ? 0 : this.#remaining;
  }

  /** That many of `passable` pass elsewhere; never the last one, which is to tell that they are through. */
  passed(bytes: number): void {
    this.#remaining -= bytes;
  }

  #chunks(data: Buffer, from: number, end: number, names: HeaderNames | undefined): number {
    let i = from;
    while (i < end) {
      if (this.#state === inData) {
        const taken = Math.min(this.#remaining, end - i);
        this.#remaining -= taken;
        i += taken;
        if (this.#remaining === 0) this.#state = atDataEnd;
        continue;
      }
      const found = this.#state < inData ? this.#size(data[i]!) : this.#lines(data[i]!, names);
      if (found < 0) {
        this.fault = found;
        return i;
      }
      i++;
      if (this.done) return i;
    }
    return i;
  }

  #size(byte: number): number {
    switch (this.#state) {
      case atSizeStart:
      case inSize: {
        const digit = hexValue[byte]!;
        if (digit !== 255) {
          if (++this.#digits > longestSize) return fault.chunkSize;
          this.#remaining = this.#remaining * 16 + digit;
          return this.#go(inSize);
        }
        if (this.#state === atSizeStart) return fault.chunkSize;
        if (byte === carriageReturn) return this.#go(atSizeEnd);
        return byte === 59 ? this.#extensionByte(inExtensionName, true) : fault.chunkSize;
      }
      case atSizeEnd:
        if (byte !== lineFeed) return fault.chunkSize;
        this.#digits = 0;
        return this.#go(this.#remaining === 0 ? atTrailer : inData);
      default: return this.#extensionPart(byte);
    }
  }

  /** *( ";" token [ "=" ( token / quoted-string ) ] ), without blanks, as llhttp has it. */
  #extensionPart(byte: number): number {
    switch (this.#state) {
      case inExtensionName:
        if (tokenLower[byte] !== 0) return this.#extensionByte(inExtensionName);
        if (this.#name === ';') return fault.chunkExtension;
        if (byte === 61) return this.#extensionByte(atExtensionValue);
        return this.#extensionEnd(byte);
      case atExtensionValue:
        if (byte === 34) return this.#extensionByte(inQuoted);
        return tokenLower[byte] !== 0 ? this.#extensionByte(inExtensionValue) : fault.chunkExtension;
      case inExtensionValue: return tokenLower[byte] !== 0 ? this.#extensionByte(inExtensionValue) : this.#extensionEnd(byte);
      case inQuoted:
        if (byte === 34) return this.#extensionByte(afterQuoted);
        if (byte === 92) return this.#extensionByte(afterEscape);
        return inValue[byte] === 1 ? this.#extensionByte(inQuoted) : fault.chunkExtension;
      case afterEscape: return inValue[byte] === 1 ? this.#extensionByte(inQuoted) : fault.chunkExtension;
      default: return this.#extensionEnd(byte);
    }
  }

  #extensionEnd(byte: number): number {
    if (byte === carriageReturn) return this.#go(atSizeEnd);
    return byte === 59 ? this.#extensionByte(inExtensionName, true) : fault.chunkExtension;
  }

  #extensionByte(state: number, begins = false): number {
    this.#name = begins ? ';' : '';
    return ++this.#extension > this.#mostExtension ? fault.chunkExtension : this.#go(state);
  }

  #lines(byte: number, names: HeaderNames | undefined): number {
    switch (this.#state) {
      case atDataEnd: return byte === carriageReturn ? this.#go(atDataLine) : fault.chunkEnd;
      case atDataLine: return byte === lineFeed ? this.#go(atSizeStart) : fault.chunkEnd;
      case atLastLine:
        if (byte !== lineFeed) return fault.trailer;
        this.done = true;
        return 0;
      case atTrailer:
        if (byte === carriageReturn) return this.#go(atLastLine);
        this.#name = '';
        return this.#trailerName(byte, names);
      case inTrailerName: return this.#trailerName(byte, names);
      case inTrailerValue:
        if (byte === carriageReturn) return this.#go(atTrailerEnd);
        return inValue[byte] === 1 ? this.#trailerByte(inTrailerValue) : fault.trailer;
      default: return byte === lineFeed ? this.#go(atTrailer) : fault.trailer;
    }
  }

  #trailerName(byte: number, names: HeaderNames | undefined): number {
    const lower = tokenLower[byte]!;
    if (lower !== 0) {
      if (this.#name.length < 256) this.#name += String.fromCharCode(lower);
      return this.#trailerByte(inTrailerName);
    }
    if (byte !== 58 || this.#name === '' || forbiddenTrailers.has(this.#name) || names?.slotOf.has(this.#name)) return fault.trailer;
    return this.#trailerByte(inTrailerValue);
  }

  #trailerByte(state: number): number {
    return ++this.#trailer > this.#mostTrailer ? fault.trailer : this.#go(state);
  }

  #go(state: number): number {
    this.#state = state;
    return 0;
  }
}
