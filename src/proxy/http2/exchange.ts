import { randomBytes } from 'node:crypto';
import type { HttpMatcher } from '../../policy/l7-match.ts';
import { judge, type Judgement } from '../http/judge.ts';
import type { HttpLimits } from '../http/limits.ts';
import { recordAnswer, recordRequest, type RequestFacts } from '../http/record.ts';
import type { Wire } from '../protocol.ts';
import type { OwnAnswer } from './answer.ts';
import { accessDenied, badRequest, serverGarbled } from './answer.ts';
import { ConnectionFault, ErrorCode } from './error.ts';
import type { Field } from './field.ts';
import { Flag, FrameType, writeFrame, writeFrameHeader, writeGoaway, writeHeaders, writeNumber } from './frame.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { controlBudget, earnedByMessage, resetBudget } from './limits.ts';
import type { RequestHead } from './message.ts';
import { Output } from './output.ts';
import { maxWindow } from './settings.ts';
import type { Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';

const initialWindow = 65_535;
/** DATA from here on is handed to the wire as it lies there, not gathered first. */
const largeBytes = 2048;
/** Calls of drain, two seconds apart, that a client may let go by without an acknowledgement. */
const callsWithoutEcho = 5;

/**
 * What the two halves of a connection share: the streams that both sides have, what goes out to each, and the windows.
 *
 * Windows are between client and server: their WINDOW_UPDATEs pass. Two things are between us and one of them. DATA that does not
 * pass (its stream was denied or is gone) is given back to its sender at once. And DATA of our own takes of the client's window
 * what the server believes to have: this `debt` is held back from the client's next WINDOW_UPDATEs, and until then a server that
 * uses all it believes to have waits (`clientTakes`).
 */
export class Exchange {
  readonly wire: Wire<HttpMatcher>;
  readonly limits: HttpLimits;
  readonly streams = new StreamTable();
  /** Of the header lists of open streams. */
  keptOctets = 0;
  /** Streams that were answered before their request was whole: how much more of it is read and thrown away. */
  readonly refused = new Map<number, number>();
  readonly toClient = new Output();
  readonly toServer = new Output();
  readonly forClient = new HpackEncoder();
  readonly forServer = new HpackEncoder();
  readonly clientControl = controlBudget();
  readonly serverControl = controlBudget();
  readonly resets = resetBudget();
  /** The highest stream the client has opened, passed on or not. */
  lastStream = 0;
  /** No streams after this one: the client was told so, by GOAWAY of the server or of our own. */
  finalStream = maxWindow;
  /** Octets that the client would take on the connection now, and the server. */
  clientWindow = initialWindow;
  serverWindow = initialWindow;
  /** SETTINGS_INITIAL_WINDOW_SIZE of the client. */
  clientStreamWindow = initialWindow;
  debt = 0;
  /** SETTINGS passed on that their receivers have not acknowledged; of those to the client, the first is our own. */
  unacknowledged = { client: 0, server: 0 };
  /** The server takes extended CONNECT. */
  extendedConnect = false;
  /** Nothing is read any more. */
  over = false;
  /** What of a drain has been said: nothing; that no more streams should come; which was the last. */
  #drained: 'no' | 'asked' | 'told' = 'no';
  #drainPing: Buffer | undefined;
  #drainCalls = 0;
  #giveBack = { client: 0, server: 0 };

  constructor(wire: Wire<HttpMatcher>, limits: HttpLimits) {
    this.wire = wire;
    this.limits = limits;
  }

  /** Part of a message came: it pays for frames that are none. */
  message(): void {
    this.clientControl.earn(earnedByMessage);
    this.serverControl.earn(earnedByMessage);
  }

  /** A frame that is no message. */
  control(from: 'client' | 'server'): void {
    const budget = from === 'client' ? this.clientControl : this.serverControl;
    if (!budget.take(this.wire.now())) throw new ConnectionFault(ErrorCode.enhanceYourCalm, 'too many frames that carry no message');
  }

  /** DATA that goes no further: its sender may send as much again. */
  giveBack(to: 'client' | 'server', octets: number): void {
    this.#giveBack[to] += octets;
  }

  /** False: DATA of the server must wait until the client takes more, as we have sent some of our own. */
  clientTakes(octets: number): boolean {
    if (octets <= this.clientWindow) return true;
    if (this.debt === 0) throw new ConnectionFault(ErrorCode.flowControl, 'more DATA than the client takes');
    return false;
  }

  /** WINDOW_UPDATE of the client for the connection; what of it is the server's. */
  clientWindowGrows(octets: number): number {
    this.clientWindow += octets;
    if (this.clientWindow > maxWindow) throw new ConnectionFault(ErrorCode.flowControl, 'a window over 2^31-1');
    const held = Math.min(octets, this.debt);
    this.debt -= held;
    return octets - held;
  }

  /** Part of a body as a frame of its own, so that no frame stays open on the other side: frames of others may go between. */
  data(to: 'client' | 'server', stream: number, flags: number, data: Buffer, start: number, end: number): void {
    const out = to === 'client' ? this.toClient : this.toServer;
    if (end - start < largeBytes) return writeFrame(out, FrameType.data, flags, stream, data, start, end);
    writeFrameHeader(out, end - start, FrameType.data, flags, stream);
    this.#flush(to, out);
    this.wire.send(to, data, start, end);
  }

  headers(to: 'client' | 'server', stream: number, fields: readonly Field[], endStream: boolean): void {
    const out = to === 'client' ? this.toClient : this.toServer;
    const encoder = to === 'client' ? this.forClient : this.forServer;
    writeHeaders(out, stream, endStream, () => encoder.encode(fields, out));
  }

  reset(to: 'client' | 'server', stream: number, code: number): void {
    writeNumber(to === 'client' ? this.toClient : this.toServer, FrameType.rstStream, stream, code);
  }

  /**
   * An answer of our own to a request of the client. `clientDone`: its message is whole. Otherwise the rest is thrown away, as there
   * are clients that lose the answer when they are told to send no more (curl 7); who has very much to send, and gRPC, which says
   * so, are told.
   */
  answer(id: number, head: RequestHead | undefined, answer: OwnAnswer, clientDone: boolean): void {
    const { plain, grpc } = answer;
    if (head?.grpc) this.headers('client', id, grpc, true);
    else {
      const room = Math.min(this.clientWindow, this.clientStreamWindow) >= plain.body.length;
      const isHead = head?.method === 'HEAD';
      const withBody = room && head !== undefined && !isHead;
      this.headers('client', id, withBody || isHead ? plain.withBody : plain.bare, !withBody);
      if (withBody) {
        this.data('client', id, Flag.endStream, plain.body, 0, plain.body.length);
        this.clientWindow -= plain.body.length;
        this.debt += plain.body.length;
      }
    }
    if (clientDone) return;
    if (head === undefined || head.grpc || head.tunnel || head.contentLength > this.limits.swallowedBytes) this.reset('client', id, ErrorCode.none);
    else this.refused.set(id, this.limits.swallowedBytes);
  }

  /** DATA of a stream that was answered before: its window is given back, until it is too much. */
  swallow(id: number, octets: number, clientDone: boolean): void {
    const left = (this.refused.get(id) ?? -1) - octets;
    if (left < 0 || clientDone) {
      if (!clientDone && this.refused.has(id)) this.reset('client', id, ErrorCode.none);
      this.refused.delete(id);
    } else if (octets > 0) {
      this.refused.set(id, left);
      writeNumber(this.toClient, FrameType.windowUpdate, id, octets);
    }
  }

  /** A request that policy does not let pass, before the server has seen any of it. */
  deny(id: number, head: RequestHead, facts: RequestFacts, judgement: Judgement, clientDone: boolean): void {
    const answer = judgement.malformed ? badRequest : accessDenied;
    this.answer(id, head, answer, clientDone);
    facts.answeredUs = facts.askedUs;
    recordRequest(this.wire, facts, judgement);
    recordAnswer(this.wire, facts, judgement.opinions, answer.status);
  }

  /** Asks policy again for streams that run: one that it does not let pass any more ends here. */
  judgeAgain(): void {
    const layers = this.wire.layers();
    for (const stream of this.streams.all()) {
      const judgement = judge(layers, stream.head);
      if (judgement.passes) continue;
      this.reset('server', stream.id, ErrorCode.cancel);
      if (stream.answered) this.reset('client', stream.id, ErrorCode.cancel);
      else this.answer(stream.id, stream.head, accessDenied, stream.clientDone);
      stream.facts.askedUs = this.wire.now();
      recordRequest(this.wire, stream.facts, judgement);
      this.gone(stream);
    }
  }

  /** The message on a stream is malformed: neither side hears more of it. */
  refuse(stream: Stream, code: number, blame: 'client' | 'server'): void {
    this.reset('server', stream.id, blame === 'client' ? ErrorCode.cancel : code);
    if (blame === 'server' && !stream.answered) this.answerFor(stream, serverGarbled);
    else this.reset('client', stream.id, blame === 'client' ? code : ErrorCode.internal);
    this.gone(stream);
    this.countReset();
  }

  /** An answer of our own in the server's place. */
  answerFor(stream: Stream, answer: OwnAnswer): void {
    this.answer(stream.id, stream.head, answer, stream.clientDone);
    this.tellAnswer(stream, answer.status);
  }

  tellAnswer({ facts, judgement }: Stream, status: number): void {
    facts.answeredUs = this.wire.now();
    recordAnswer(this.wire, facts, judgement.opinions, status);
  }

  countReset(): void {
    if (!this.resets.take(this.wire.now())) throw new ConnectionFault(ErrorCode.enhanceYourCalm, 'too many streams were reset', 'client');
  }

  /** Both sides have ended it, or one has reset it. */
  gone(stream: Stream): void {
    if (this.streams.delete(stream)) this.keptOctets -= stream.octets;
    if (this.streams.size === 0 && this.#drained === 'told') this.#finish();
  }

  /**
   * Takes no more streams, and ends the connection when those that run have ended. In two steps (RFC 9113 §6.8): first the client is
   * asked to begin no more; at the next call after it has heard that, by the acknowledgement of a PING behind it, or after some more
   * calls, it is told which was the last: a client may answer the PING before those who begin its requests have heard. So no request
   * is lost that was on its way, whatever its client does with one that was not taken.
   */
  drain(): void {
    if (this.#drained === 'told') return;
    if (this.#drained === 'no') {
      this.#drained = 'asked';
      this.#drainPing = randomBytes(8);
      // The server may have said which is the last; that never grows again.
      writeGoaway(this.toClient, this.finalStream, ErrorCode.none, 'the proxy goes');
      return writeFrame(this.toClient, FrameType.ping, 0, 0, this.#drainPing);
    }
    if (this.#drainPing && ++this.#drainCalls < callsWithoutEcho) return;
    this.#drained = 'told';
    this.finalStream = Math.min(this.finalStream, this.lastStream);
    writeGoaway(this.toClient, this.finalStream, ErrorCode.none, 'the proxy goes');
    if (this.streams.size === 0) this.#finish();
  }

  /** True: an acknowledgement of our own PING, which is nobody else's. */
  heardPing(data: Buffer, start: number, end: number): boolean {
    if (!this.#drainPing || data.compare(this.#drainPing, 0, 8, start, end) !== 0) return false;
    this.#drainPing = undefined;
    return true;
  }

  /** GOAWAY of one side for the other. The client's names the streams of a push: there are none. */
  passGoaway(to: 'client' | 'server', data: Buffer, start: number, end: number): void {
    const last = to === 'client' ? data.readUInt32BE(start) & maxWindow : 0;
    writeGoaway(to === 'client' ? this.toClient : this.toServer, last, data.readUInt32BE(start + 4), data.toString('latin1', start + 8, end));
  }

  #finish(): void {
    if (this.over) return;
    writeGoaway(this.toServer, 0, ErrorCode.none, '');
    this.finish();
  }

  /** Nothing more is read; what is written goes out. */
  finish(): void {
    this.over = true;
    this.flush();
    this.wire.close('written');
  }

  /** Hands everything that was written to the wire. */
  flush(): void {
    for (const side of ['client', 'server'] as const) {
      const octets = this.#giveBack[side];
      const out = side === 'client' ? this.toClient : this.toServer;
      if (octets > 0) writeNumber(out, FrameType.windowUpdate, 0, octets);
      this.#giveBack[side] = 0;
      this.#flush(side, out);
    }
  }

  #flush(side: 'client' | 'server', out: Output): void {
    if (out.length === 0) return;
    this.wire.send(side, out.buffer, 0, out.length);
    out.clear();
  }
}
