import type { HttpMatcher } from '../../policy/l7-match.ts';
import { type HttpLimits, httpLimits } from '../http/limits.ts';
import type { Session, Side, Wire } from '../protocol.ts';
import { type OwnAnswer, serverGarbled, serverUnreachable } from './answer.ts';
import { ClientHalf } from './client-half.ts';
import { ConnectionFault, ErrorCode } from './error.ts';
import { Exchange } from './exchange.ts';
import { Flag, FrameReader, FrameType, preface, writeFrame, writeGoaway, writeSettings } from './frame.ts';
import { blockTimeoutMs, listLimits, maxStreams } from './limits.ts';
import { ServerHalf } from './server-half.ts';
import { Setting } from './settings.ts';

/**
 * HTTP/2 (RFC 9113) between one client and one server: header blocks are read, decided and written anew, bodies pass. Streams have
 * the same numbers on both sides; those that policy does not let pass are never seen by the server.
 */
export function openHttp2(wire: Wire<HttpMatcher>, limits: HttpLimits = httpLimits): Session {
  return new Http2Session(wire, limits);
}

class Http2Session implements Session {
  readonly #exchange: Exchange;
  readonly #client: ClientHalf;
  readonly #server: ServerHalf;
  readonly #fromClient: FrameReader;
  readonly #fromServer: FrameReader;
  #prefaceSeen = 0;
  #timed = false;
  /** What the server has sent behind DATA that the client does not take yet. */
  #waiting: Buffer | undefined;
  #serverEnded = false;
  #egress: HttpMatcher | undefined;
  #ingress: HttpMatcher | undefined;

  constructor(wire: Wire<HttpMatcher>, limits: HttpLimits) {
    this.#exchange = new Exchange(wire, limits);
    this.#client = new ClientHalf(this.#exchange);
    this.#server = new ServerHalf(this.#exchange);
    this.#fromClient = new FrameReader(this.#client);
    this.#fromServer = new FrameReader(this.#server);
    ({ egress: this.#egress, ingress: this.#ingress } = wire.layers());
  }

  /** Tables of fields and numbers of streams cannot be handed on; `drain` ends the connection without loss. */
  get idle(): boolean {
    return false;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#exchange.over) return;
    try {
      this.#checkPolicy();
      if (from === 'client') this.#readClient(data, start, end);
      else this.#readServer(data, start, end);
      this.#watch();
      if (!this.#exchange.over) this.#exchange.flush();
    } catch (error) {
      if (!(error instanceof ConnectionFault)) throw error;
      this.#fail(error.blame ?? from, error);
    }
  }

  ended(from: Side): void {
    const exchange = this.#exchange;
    if (exchange.over) return;
    if (from === 'client') return this.#client.started ? exchange.wire.end('server') : exchange.finish();
    this.#serverEnded = true;
    if (this.#waiting !== undefined) return;
    this.#finishStreams(serverGarbled);
    exchange.finish();
  }

  serverFailed(): void {
    if (this.#exchange.over) return;
    this.#finishStreams(serverUnreachable);
    this.#exchange.finish();
  }

  timeout(): void {
    this.#timed = false;
    if (this.#exchange.over || !this.#client.unfinished) return;
    this.#fail('client', new ConnectionFault(ErrorCode.enhanceYourCalm, 'a header block, or the beginning, took too long'));
  }

  closed(): void {
    this.#exchange.over = true;
    this.#exchange.streams.clear();
    this.#waiting = undefined;
  }

  /** The process is to end: no more streams, and the connection ends with the last that runs. Not before our SETTINGS. */
  drain(): void {
    if (this.#exchange.over || this.#prefaceSeen < preface.length) return;
    this.#exchange.drain();
    if (!this.#exchange.over) this.#exchange.flush();
  }

  #readClient(data: Buffer, start: number, end: number): void {
    let at = start;
    while (this.#prefaceSeen < preface.length && at < end) {
      if (data[at++] !== preface[this.#prefaceSeen++]) throw new ConnectionFault(ErrorCode.protocol, 'no preface of HTTP/2');
    }
    if (at > start && this.#prefaceSeen === preface.length) this.#open();
    this.#fromClient.read(data, at, end);
    if (this.#waiting !== undefined && !this.#exchange.over) this.#resume();
  }

  /** Our own SETTINGS go first, so that the client never waits for the server before it has an answer of ours. */
  #open(): void {
    const exchange = this.#exchange;
    writeSettings(exchange.toClient, [[Setting.maxConcurrentStreams, maxStreams], [Setting.maxHeaderListSize, listLimits.octets]]);
    exchange.unacknowledged.client++;
    exchange.toServer.append(preface, 0, preface.length);
  }

  #readServer(data: Buffer, start: number, end: number): void {
    if (this.#waiting !== undefined) {
      this.#waiting = Buffer.concat([this.#waiting, data.subarray(start, end)]);
      return;
    }
    const stopped = this.#fromServer.read(data, start, end);
    if (stopped === end || this.#exchange.over) return;
    this.#waiting = Buffer.from(data.subarray(stopped, end));
    this.#exchange.wire.pause('server', true);
  }

  #resume(): void {
    const waiting = this.#waiting!;
    this.#waiting = undefined;
    let stopped: number;
    try {
      stopped = this.#fromServer.read(waiting, 0, waiting.length);
    } catch (error) {
      if (!(error instanceof ConnectionFault)) throw error;
      return this.#fail(error.blame ?? 'server', error);
    }
    if (this.#exchange.over) return;
    if (stopped < waiting.length) this.#waiting = waiting.subarray(stopped);
    else if (this.#serverEnded) this.ended('server');
    else this.#exchange.wire.pause('server', false);
  }

  #checkPolicy(): void {
    const { egress, ingress } = this.#exchange.wire.layers();
    if (egress === this.#egress && ingress === this.#ingress) return;
    this.#egress = egress;
    this.#ingress = ingress;
    this.#exchange.judgeAgain();
  }

  /** A client that begins something must bring it to its end in time, however it dribbles. */
  #watch(): void {
    const unfinished = this.#client.unfinished;
    if (unfinished === this.#timed) return;
    this.#timed = unfinished;
    this.#exchange.wire.wake(unfinished ? blockTimeoutMs : 0);
  }

  #fail(blame: Side, fault: ConnectionFault): void {
    const exchange = this.#exchange;
    if (blame === 'server') {
      this.#finishStreams(serverGarbled, fault);
    } else {
      writeGoaway(exchange.toClient, exchange.lastStream, fault.code, fault.message);
      if (this.#client.started) writeGoaway(exchange.toServer, 0, ErrorCode.none, '');
    }
    exchange.finish();
  }

  /** The server is gone: what waits for it is answered for it, and the client opens another connection. */
  #finishStreams(answer: OwnAnswer, fault?: ConnectionFault): void {
    const exchange = this.#exchange;
    // The server may have gone before it said anything.
    for (; exchange.unacknowledged.server > 0; exchange.unacknowledged.server--) writeFrame(exchange.toClient, FrameType.settings, Flag.ack, 0, Buffer.alloc(0));
    for (const stream of exchange.streams.all()) {
      if (stream.answered) exchange.reset('client', stream.id, ErrorCode.internal);
      else exchange.answerFor(stream, answer);
    }
    exchange.streams.clear();
    writeGoaway(exchange.toClient, exchange.lastStream, ErrorCode.none, '');
    if (fault !== undefined) writeGoaway(exchange.toServer, 0, fault.code, fault.message);
  }
}
