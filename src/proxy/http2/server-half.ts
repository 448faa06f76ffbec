import { serverGarbled } from './answer.ts';
import { ConnectionFault, ErrorCode } from './error.ts';
import type { Exchange } from './exchange.ts';
import type { Field } from './field.ts';
import { Half } from './half.ts';
import { readAnswer, trailerFault } from './message.ts';
import { maxWindow, type Settings } from './settings.ts';
import type { Stream } from './stream.ts';

/** Resets that a server sends because of what the client did on the stream. */
const clientsFault: readonly number[] = [ErrorCode.protocol, ErrorCode.flowControl, ErrorCode.streamClosed, ErrorCode.frameSize, ErrorCode.enhanceYourCalm];

/** What the server sends: answers to requests that have passed. */
export class ServerHalf extends Half {
  constructor(exchange: Exchange) {
    super(exchange, 'server');
  }

  protected idle(id: number): boolean {
    return id % 2 === 0 || id > this.exchange.lastStream;
  }

  protected block(id: number, endStream: boolean, fields: Field[] | undefined): void {
    const { exchange } = this;
    if (this.idle(id)) throw new ConnectionFault(ErrorCode.protocol, 'an answer to nothing');
    const stream = exchange.streams.get(id);
    // It was ended by the client when this was on its way.
    if (stream === undefined) return exchange.control('server');
    if (stream.serverDone) throw new ConnectionFault(ErrorCode.streamClosed, 'HEADERS after the end of the answer');
    if (fields === undefined) return exchange.refuse(stream, ErrorCode.protocol, 'server');
    if (stream.answered) return this.#trailers(stream, endStream, fields);
    const head = readAnswer(fields);
    if (typeof head === 'string' || (head.status < 200 && endStream)) return exchange.refuse(stream, ErrorCode.protocol, 'server');
    if (head.status >= 200) {
      const bodyless = stream.head.method === 'HEAD' || head.status === 204 || head.status === 304;
      stream.serverLeft = bodyless ? 0 : stream.head.tunnel ? -1 : head.contentLength;
      if (endStream && stream.serverLeft > 0) return exchange.refuse(stream, ErrorCode.protocol, 'server');
      stream.answered = true;
      exchange.tellAnswer(stream, head.status);
    }
    exchange.headers('client', id, fields, endStream);
    if (endStream) this.ends(stream);
  }

  #trailers(stream: Stream, endStream: boolean, fields: Field[]): void {
    const { exchange } = this;
    if (!endStream || stream.serverLeft > 0 || trailerFault(fields) !== undefined) return exchange.refuse(stream, ErrorCode.protocol, 'server');
    exchange.headers('client', stream.id, fields, true);
    this.ends(stream);
  }

  protected body(stream: Stream, octets: number, endStream: boolean): boolean {
    const { serverLeft } = stream;
    if (stream.serverDone) throw new ConnectionFault(ErrorCode.streamClosed, 'DATA after the end of the answer');
    if (!stream.answered || (serverLeft >= 0 && (octets > serverLeft || (endStream && octets < serverLeft)))) {
      this.exchange.refuse(stream, ErrorCode.protocol, 'server');
      return false;
    }
    if (serverLeft > 0) stream.serverLeft = serverLeft - octets;
    return true;
  }

  protected ends(stream: Stream): void {
    stream.serverDone = true;
    if (stream.clientDone) this.exchange.gone(stream);
  }

  protected wasReset(stream: Stream, code: number): void {
    const { exchange } = this;
    if (!stream.answered) exchange.tellAnswer(stream, serverGarbled.status);
    if (clientsFault.includes(code)) exchange.countReset();
  }

  protected window(octets: number): number {
    this.exchange.serverWindow += octets;
    if (this.exchange.serverWindow > maxWindow) throw new ConnectionFault(ErrorCode.flowControl, 'a window over 2^31-1');
    return octets;
  }

  protected room(octets: number): boolean {
    return this.exchange.clientTakes(octets);
  }

  protected taken(octets: number): void {
    this.exchange.clientWindow -= octets;
  }

  protected settings({ enableConnectProtocol }: Settings): void {
    if (enableConnectProtocol !== undefined) this.exchange.extendedConnect = enableConnectProtocol;
  }

  protected firstSettings(): readonly (readonly [number, number])[] {
    return [];
  }

  protected goaway(data: Buffer, start: number, end: number): void {
    const { exchange } = this;
    exchange.passGoaway('client', data, start, end);
    // What comes after the last is as if it had never been: the client may ask another server for it.
    const last = data.readUInt32BE(start) & maxWindow;
    exchange.finalStream = Math.min(exchange.finalStream, last);
    for (const stream of exchange.streams.all()) if (stream.id > last) exchange.gone(stream);
  }
}
