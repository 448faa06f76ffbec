import { compileHttpRules, type HttpMatcher } from '../../policy/l7-match.ts';
import { FakeWire } from '../testing.ts';
import { Field, Indexing, kindOfName, kindWithValue } from './field.ts';
import { Flag, frameHeaderBytes, FrameType, preface, writeFrame, writeHeaders } from './frame.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { Output } from './output.ts';
import { openHttp2 } from './session.ts';
import { staticNames } from './static-table.ts';

/** Lets pass what has such a path. */
export const paths = (path: string): HttpMatcher => compileHttpRules([{ rule: 7, path, headers: [] }]);

export type Line = readonly [name: string, value: string];

export function frame(type: number, flags: number, stream: number, payload: Uint8Array | string | readonly number[] = []): Buffer {
  const out = new Output();
  const data = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload);
  writeFrame(out, type, flags, stream, data);
  return Buffer.from(out.buffer.subarray(0, out.length));
}

export const number = (value: number) => {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
};

export const setting = (id: number, value: number) => Buffer.concat([Buffer.from([0, id]), number(value)]);
export const settings = (...all: Buffer[]) => frame(FrameType.settings, 0, 0, Buffer.concat(all));
export const settingsAck = frame(FrameType.settings, Flag.ack, 0);
export const data = (stream: number, body: string, end = false) => frame(FrameType.data, end ? Flag.endStream : 0, stream, body);

/** Header blocks of one side, in their order. */
export class BlockWriter {
  readonly #encoder = new HpackEncoder();

  block(lines: readonly Line[]): Buffer {
    const out = new Output();
    this.#encoder.encode(lines.map(([name, value]) => new Field(name, value, Indexing.indexed, kindWithValue(kindOfName(name), value), staticNames.get(name) ?? 0)), out);
    return Buffer.from(out.buffer.subarray(0, out.length));
  }

  headers(stream: number, lines: readonly Line[], end = true): Buffer {
    const out = new Output();
    const block = this.block(lines);
    writeHeaders(out, stream, end, () => out.append(block, 0, block.length));
    return Buffer.from(out.buffer.subarray(0, out.length));
  }
}

export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
  /** Of HEADERS, with their CONTINUATIONs. */
  readonly lines?: readonly string[];
}

/** All frames of what was sent; throws where it is none, or its blocks cannot be read. Strict, and apart from what is tested. */
export function readFrames(sent: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = [];
  const decoder = new HpackDecoder({ octets: 1e9, fields: 1e9 });
  let block: { readonly flags: number; readonly stream: number; readonly parts: Buffer[] } | undefined;
  let at = sent.subarray(0, preface.length).equals(preface) ? preface.length : 0;
  while (at < sent.length) {
    if (sent.length - at < frameHeaderBytes) throw new Error('sent part of a frame');
    const length = sent.readUIntBE(at, 3);
    const [type, flags, stream] = [sent[at + 3]!, sent[at + 4]!, sent.readUInt32BE(at + 5)];
    const payload = sent.subarray(at + frameHeaderBytes, at + frameHeaderBytes + length);
    if (payload.length < length || length > 16_384) throw new Error('sent part of a frame, or one that is too long');
    at += frameHeaderBytes + length;
    if (block ? type !== FrameType.continuation || stream !== block.stream : type === FrameType.continuation) throw new Error('sent a block that is interrupted');
    if (type === FrameType.headers) block = { flags, stream, parts: [payload] };
    else if (block) block.parts.push(payload);
    else frames.push({ type, flags, stream, payload });
    if (!block || !(flags & Flag.endHeaders)) continue;
    const whole = Buffer.concat(block.parts);
    frames.push({ type: FrameType.headers, flags: block.flags, stream, payload: whole, lines: decoder.decode(whole, 0, whole.length)!.map(({ name, value }) => `${name}: ${value}`) });
    block = undefined;
  }
  return frames;
}

/** A connection whose both sides have said their SETTINGS. */
export class Talk {
  readonly wire: FakeWire<HttpMatcher>;
  readonly client = new BlockWriter();
  readonly server = new BlockWriter();

  constructor(first: { readonly client?: Buffer; readonly server?: Buffer } = {}) {
    this.wire = new FakeWire({ egress: paths('/allowed.*') });
    this.wire.open(openHttp2(this.wire));
    this.wire.from('client', Buffer.concat([preface, first.client ?? settings(), settingsAck]));
    if (!first.server?.equals(nothing)) this.wire.from('server', Buffer.concat([first.server ?? settings(), settingsAck]));
    this.wire.from('client', first.server?.equals(nothing) ? nothing : settingsAck);
  }

  /** Octets that the server has allowed for the connection, at most: every four bytes of a WINDOW_UPDATE that it may have sent. */
  windowOfServer = 0;

  countServerWindow(bytes: Buffer): void {
    for (let at = 0; at + 13 <= bytes.length; at++) if (bytes[at + 3] === FrameType.windowUpdate) this.windowOfServer += bytes.readUInt32BE(at + 9) & 0x7fff_ffff;
  }

  get toClient(): ReadFrame[] {
    return readFrames(this.wire.sent('client'));
  }

  get toServer(): ReadFrame[] {
    return readFrames(this.wire.sent('server'));
  }

  /** What a side got of one stream, as words. */
  stream(to: 'client' | 'server', id: number): string[] {
    return (to === 'client' ? this.toClient : this.toServer).filter(({ stream }) => stream === id).map(describe);
  }

  /** The code of the GOAWAY that a side got. */
  goaway(to: 'client' | 'server'): number | undefined {
    return (to === 'client' ? this.toClient : this.toServer).find(({ type }) => type === FrameType.goaway)?.payload.readUInt32BE(4);
  }

  /** Octets of WINDOW_UPDATE for the connection that a side got. */
  windowOf(to: 'client' | 'server'): number {
    return (to === 'client' ? this.toClient : this.toServer).filter(({ type, stream }) => type === FrameType.windowUpdate && stream === 0).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  }
}

export const nothing = Buffer.alloc(0);

export function describe({ type, flags, payload, lines }: ReadFrame): string {
  const end = flags & Flag.endStream ? ' END' : '';
  switch (type) {
    case FrameType.headers: return `HEADERS ${lines!.join('; ')}${end}`;
    case FrameType.data: return `DATA ${payload.length > 40 ? payload.length : JSON.stringify(payload.toString('latin1'))}${end}`;
    case FrameType.rstStream: return `RST_STREAM ${payload.readUInt32BE(0)}`;
    case FrameType.windowUpdate: return `WINDOW_UPDATE ${payload.readUInt32BE(0)}`;
    default: return `TYPE ${type}`;
  }
}

export const get = (path: string, ...more: Line[]): Line[] => [[':method', 'GET'], [':scheme', 'http'], [':path', path], [':authority', 'shop'], ...more];
export const post = (path: string, ...more: Line[]): Line[] => [[':method', 'POST'], [':scheme', 'http'], [':path', path], [':authority', 'shop'], ...more];
