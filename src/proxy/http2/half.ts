import { ConnectionFault, ErrorCode } from './error.ts';
import type { Exchange } from './exchange.ts';
import type { Field } from './field.ts';
import { Flag, type FrameSink, FrameType, writeFrame, writeNumber, writeSettings } from './frame.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { listLimits, maxBlockFrames } from './limits.ts';
import { readSettings, type Settings } from './settings.ts';
import type { Stream } from './stream.ts';

/** What both directions have in common: blocks are put together, and frames of the connection are checked and passed on. */
export abstract class Half implements FrameSink {
  protected readonly exchange: Exchange;
  readonly #from: 'client' | 'server';
  readonly #to: 'client' | 'server';
  readonly #decoder = new HpackDecoder(listLimits);
  #settingsSeen = false;
  /** A header block whose CONTINUATION must come next: its stream, 0: none. */
  #blockStream = 0;
  #blockFlags = 0;
  #blockFrames = 0;
  #blockLength = 0;
  #block: Buffer[] = [];
  /** Where the DATA frame goes that is being read. */
  #dataStream: Stream | undefined;
  #dataFlags = 0;
  #dataCarries = false;

  constructor(exchange: Exchange, from: 'client' | 'server') {
    this.exchange = exchange;
    this.#from = from;
    this.#to = from === 'client' ? 'server' : 'client';
  }

  /** A header block is not whole yet, or not even the first SETTINGS have come. */
  get unfinished(): boolean {
    return this.#blockStream > 0 || !this.#settingsSeen;
  }

  get started(): boolean {
    return this.#settingsSeen;
  }

  /** A header block of a stream, decoded, and the size of its list; undefined when that was over the limits. */
  protected abstract block(id: number, endStream: boolean, fields: Field[] | undefined, octets: number): void;
  protected abstract settings(settings: Settings): void;
  /** WINDOW_UPDATE of the connection: what of it the other side may know. */
  protected abstract window(octets: number): number;
  /** DATA of a stream that both have; false: it is malformed, and the stream is gone. */
  protected abstract body(stream: Stream, octets: number, endStream: boolean): boolean;
  protected abstract ends(stream: Stream): void;
  protected abstract wasReset(stream: Stream, code: number): void;
  protected abstract goaway(data: Buffer, start: number, end: number): void;
  /** DATA, or the end, of a stream that the other side does not have any more. */
  protected closedBody(_id: number, _octets: number, _endStream: boolean): void {}
  /** No frame has named the stream before. */
  protected abstract idle(id: number): boolean;
  /** Whether the other side has room for so much DATA; false: it must wait. */
  protected abstract room(octets: number): boolean;
  protected abstract taken(octets: number): void;

  dataBegin(flags: number, id: number, length: number, body: number): boolean {
    this.#expectFrame(FrameType.data, id);
    if (id === 0 || this.idle(id)) throw new ConnectionFault(ErrorCode.protocol, 'DATA on a stream that is not open');
    const { exchange } = this;
    const stream = exchange.streams.get(id);
    if (stream !== undefined && length > 0 && !this.room(length)) return false;
    const endStream = (flags & Flag.endStream) !== 0;
    if (body === 0 && !endStream) exchange.control(this.#from);
    this.#dataFlags = flags;
    this.#dataCarries = body > 0;
    this.#dataStream = stream !== undefined && this.body(stream, body, endStream) ? stream : undefined;
    if (this.#dataStream !== undefined) this.taken(length);
    else {
      exchange.giveBack(this.#from, length);
      if (stream === undefined) this.closedBody(id, length, endStream);
    }
    return true;
  }

  dataPart(data: Buffer, start: number, end: number, last: boolean): void {
    // A part is a frame on the other side, to which that side may answer with its windows.
    if (this.#dataCarries) this.exchange.message();
    const stream = this.#dataStream;
    if (stream === undefined) return;
    if (this.exchange.streams.get(stream.id) !== stream) {
      // It has ended since: by the other side, or as policy has changed.
      this.taken(start - end);
      return this.exchange.giveBack(this.#from, end - start);
    }
    const flags = last ? this.#dataFlags : 0;
    if (end > start || flags & Flag.endStream) this.exchange.data(this.#to, stream.id, flags, data, start, end);
    if (last && flags & Flag.endStream) this.ends(stream);
  }

  frame(type: number, flags: number, id: number, data: Buffer, start: number, end: number): void {
    this.#expectFrame(type, id);
    switch (type) {
      case FrameType.headers: return this.#headers(flags, id, data, start, end);
      case FrameType.continuation: return this.#continuation(flags, data, start, end);
      case FrameType.priority: return this.#priority(id, data, start, end);
      case FrameType.rstStream: return this.#rstStream(id, data, start, end);
      case FrameType.settings: return this.#settings(flags, id, data, start, end);
      case FrameType.pushPromise: throw new ConnectionFault(ErrorCode.protocol, 'PUSH_PROMISE');
      case FrameType.ping: return this.#ping(flags, id, data, start, end);
      case FrameType.goaway:
        if (id !== 0) throw new ConnectionFault(ErrorCode.protocol, 'GOAWAY on a stream');
        if (end - start < 8) throw new ConnectionFault(ErrorCode.frameSize, 'GOAWAY of a wrong size');
        this.exchange.control(this.#from);
        return this.goaway(data, start, end);
      case FrameType.windowUpdate: return this.#windowUpdate(id, data, start, end);
      // Of types that are not known nothing is passed on (RFC 9113 §5.5).
      default: return this.exchange.control(this.#from);
    }
  }

  /** What may come now: SETTINGS first, and within a block its CONTINUATION and nothing else. */
  #expectFrame(type: number, id: number): void {
    if (!this.#settingsSeen && type !== FrameType.settings) throw new ConnectionFault(ErrorCode.protocol, 'something else before SETTINGS');
    if (this.#blockStream > 0 ? type !== FrameType.continuation || id !== this.#blockStream : type === FrameType.continuation) {
      throw new ConnectionFault(ErrorCode.protocol, 'a header block that is interrupted, or goes on without a beginning');
    }
  }

  #headers(flags: number, id: number, data: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionFault(ErrorCode.protocol, 'HEADERS on stream 0');
    let from = start;
    let to = end;
    if (flags & Flag.padded) {
      if (end - start < 1) throw new ConnectionFault(ErrorCode.frameSize, 'HEADERS of a wrong size');
      to -= data[from]!;
      from += 1;
    }
    if (flags & Flag.priority) from += 5;
    if (from > to) throw new ConnectionFault(ErrorCode.protocol, 'HEADERS with more padding than payload');
    this.#blockFlags = flags;
    this.exchange.message();
    if (flags & Flag.endHeaders) return this.#decode(id, data, from, to);
    this.#blockStream = id;
    this.#blockFrames = 0;
    this.#blockLength = 0;
    this.#gather(data, from, to);
  }

  #continuation(flags: number, data: Buffer, start: number, end: number): void {
    this.#gather(data, start, end);
    if (!(flags & Flag.endHeaders)) return;
    const block = Buffer.concat(this.#block);
    const id = this.#blockStream;
    this.#block = [];
    this.#blockStream = 0;
    this.#decode(id, block, 0, block.length);
  }

  /** CVE-2024-27316 and its kin: neither octets nor frames without end. */
  #gather(data: Buffer, start: number, end: number): void {
    this.#blockLength += end - start;
    if (++this.#blockFrames > maxBlockFrames || this.#blockLength > listLimits.octets) throw new ConnectionFault(ErrorCode.enhanceYourCalm, 'a header block without end');
    this.#block.push(Buffer.from(data.subarray(start, end)));
  }

  #decode(id: number, data: Buffer, start: number, end: number): void {
    const fields = this.#decoder.decode(data, start, end);
    this.block(id, (this.#blockFlags & Flag.endStream) !== 0, fields, this.#decoder.octets);
  }

  /** Checked, and not passed on: RFC 9113 has no priorities, and some streams are not there for the server. */
  #priority(id: number, data: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionFault(ErrorCode.protocol, 'PRIORITY on stream 0');
    this.exchange.control(this.#from);
    if (end - start !== 5) throw new ConnectionFault(ErrorCode.frameSize, 'PRIORITY of a wrong size');
    if ((data.readUInt32BE(start) & 0x7fff_ffff) === id) throw new ConnectionFault(ErrorCode.protocol, 'a stream that depends on itself');
  }

  #rstStream(id: number, data: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionFault(ErrorCode.frameSize, 'RST_STREAM of a wrong size');
    if (id === 0 || this.idle(id)) throw new ConnectionFault(ErrorCode.protocol, 'RST_STREAM on a stream that is not open');
    const stream = this.exchange.streams.get(id);
    if (stream === undefined) {
      this.closedBody(id, 0, true);
      return this.exchange.control(this.#from);
    }
    const code = data.readUInt32BE(start);
    this.exchange.reset(this.#to, id, code);
    this.exchange.gone(stream);
    this.wasReset(stream, code);
  }

  #settings(flags: number, id: number, data: Buffer, start: number, end: number): void {
    if (id !== 0) throw new ConnectionFault(ErrorCode.protocol, 'SETTINGS on a stream');
    if ((end - start) % 6 !== 0 || (flags & Flag.ack && end > start)) throw new ConnectionFault(ErrorCode.frameSize, 'SETTINGS of a wrong size');
    this.exchange.control(this.#from);
    if (flags & Flag.ack) {
      if (!this.#settingsSeen || this.exchange.unacknowledged[this.#from] === 0) throw new ConnectionFault(ErrorCode.protocol, 'an acknowledgement of nothing');
      this.exchange.unacknowledged[this.#from]--;
      return this.acknowledged();
    }
    const settings = readSettings(this.#from, data, start, end);
    const { exchange } = this;
    const encoder = this.#from === 'client' ? exchange.forClient : exchange.forServer;
    if (settings.headerTableSize !== undefined) encoder.tableSize = settings.headerTableSize;
    const first = !this.#settingsSeen;
    this.#settingsSeen = true;
    this.settings(settings);
    exchange.unacknowledged[this.#to]++;
    writeSettings(this.#to === 'client' ? exchange.toClient : exchange.toServer, [...(first ? this.firstSettings() : []), ...settings.passed]);
  }

  /** Settings of ours that go with the first that are passed on. */
  protected abstract firstSettings(): readonly (readonly [number, number])[];

  protected acknowledged(): void {
    writeFrame(this.#out, FrameType.settings, Flag.ack, 0, nothing);
  }

  #ping(flags: number, id: number, data: Buffer, start: number, end: number): void {
    if (id !== 0) throw new ConnectionFault(ErrorCode.protocol, 'PING on a stream');
    if (end - start !== 8) throw new ConnectionFault(ErrorCode.frameSize, 'PING of a wrong size');
    this.exchange.control(this.#from);
    if (flags & Flag.ack && this.#from === 'client' && this.exchange.heardPing(data, start, end)) return;
    writeFrame(this.#out, FrameType.ping, flags & Flag.ack, 0, data, start, end);
  }

  #windowUpdate(id: number, data: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw new ConnectionFault(ErrorCode.frameSize, 'WINDOW_UPDATE of a wrong size');
    const octets = data.readUInt32BE(start) & 0x7fff_ffff;
    this.exchange.control(this.#from);
    if (id === 0) {
      if (octets === 0) throw new ConnectionFault(ErrorCode.protocol, 'WINDOW_UPDATE of nothing');
      const passed = this.window(octets);
      if (passed > 0) writeNumber(this.#out, FrameType.windowUpdate, 0, passed);
      return;
    }
    if (this.idle(id)) throw new ConnectionFault(ErrorCode.protocol, 'WINDOW_UPDATE on a stream that is not open');
    const stream = this.exchange.streams.get(id);
    if (stream === undefined) return;
    if (octets === 0) return this.exchange.refuse(stream, ErrorCode.protocol, this.#from);
    writeNumber(this.#out, FrameType.windowUpdate, id, octets);
  }

  get #out() {
    return this.#to === 'client' ? this.exchange.toClient : this.exchange.toServer;
  }
}

const nothing = Buffer.alloc(0);
