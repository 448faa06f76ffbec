import { answerEntry, connectionEntry, entry, exchangeEntry, frameDirections, frameProtocols, frameVerdicts, mostFrameBytes, requestEntry } from '../../model/l7-frame.ts';
import { l7Verdicts } from '../../flows/columns.ts';
import { layout } from '../../flows/decode.ts';
import type { HttpTaker } from '../../flows/http-taker.ts';
import type { HttpTexts, HttpTold } from '../../flows/http-told.ts';
import type { L7Record } from '../../flows/l7-record.ts';
import { CirriError } from '../../std/errors.ts';
import { ConnectionRecords, recordWords, type ConnectionRecord } from './connection-records.ts';

/** Verdicts and directions of a frame as the columns have them. */
const verdicts = frameVerdicts.map(verdict => l7Verdicts.indexOf(verdict));
const directions = frameDirections.map(direction => (direction === 'INGRESS' ? 1 : 2));
const forwarded = l7Verdicts.indexOf('FORWARDED');
/** Beside the protocol: the bytes are the proxy's. The kernel's have no such number. */
const ofProxy = 0x8000_0000 | 0;
/** Requests of a frame: each is longer than this. */
const mostRequests = mostFrameBytes / requestEntry.texts;

/**
 * Reads frames (model/l7-frame.ts) into records of the kernel's layout, in their order. What requests say is found by its bytes; an answer
 * is the words of its request's connection with another time: nothing is made for either.
 */
export class FrameReader {
  readonly #service: (key: number) => L7Record['service'];
  readonly #connections = new ConnectionRecords();
  /** Connections and requests of this frame, by their places: numbers in the lists below, from 1. */
  readonly #connectionAt = new Int32Array(mostFrameBytes);
  readonly #requestAt = new Int32Array(mostFrameBytes);
  readonly #known: ConnectionRecord[] = [];
  readonly #told: HttpTold[] = [];
  readonly #traceIds: (string | undefined)[] = [];
  readonly #connectionOf = new Int32Array(mostRequests);
  readonly #words = new Int32Array(recordWords);
  readonly #record = new DataView(this.#words.buffer);
  #frame: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #texts!: HttpTexts;
  #tell!: HttpTaker['tell'];

  constructor(service: (key: number) => L7Record['service']) {
    this.#service = service;
  }

  /** Throws at what is no frame of a worker's, when the records before it have been taken. */
  read(frame: Buffer, texts: HttpTexts, tell: HttpTaker['tell']): void {
    this.#frame = frame;
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    this.#texts = texts;
    this.#tell = tell;
    try {
      for (let at = 0; at < frame.length; ) at = this.#entry(at);
    } finally {
      this.#connectionAt.fill(0, 0, frame.length);
      this.#requestAt.fill(0, 0, frame.length);
      this.#known.length = this.#told.length = this.#traceIds.length = 0;
    }
  }

  /** The place behind it. */
  #entry(at: number): number {
    switch (this.#frame[at]) {
      case entry.connection: {
        if (at + connectionEntry.length > this.#frame.length) refuse('a connection that ends behind it');
        const key = this.#view.getUint32(at + connectionEntry.service, true);
        this.#connectionAt[at] = this.#known.push(this.#connections.of(this.#view, at, key === 0 ? undefined : this.#service(key)));
        return at + connectionEntry.length;
      }
      case entry.request: {
        const next = this.#request(at, requestEntry.texts);
        this.#requestAt[at] = this.#told.length;
        this.#tellRequest(at, this.#told.length - 1);
        return next;
      }
      case entry.answer: {
        const request = this.#view.getUint32(at + answerEntry.request, true);
        const number = request < this.#frame.length ? this.#requestAt[request]! : 0;
        if (number === 0) refuse('the answer to no request of its own');
        this.#tellAnswer(request, number - 1, at, answerEntry.status, answerEntry.latencyNs, answerEntry.time);
        return at + answerEntry.length;
      }
      case entry.exchange: {
        const next = this.#request(at, exchangeEntry.texts);
        this.#tellAnswer(at, this.#told.length - 1, at, exchangeEntry.status, exchangeEntry.latencyNs, requestEntry.time);
        return next;
      }
      default: return refuse(`an entry of kind ${this.#frame[at]}`);
    }
  }

  /** Makes it the last of those that are known. Returns the place behind it. */
  #request(at: number, texts: number): number {
    const view = this.#view;
    const place = view.getUint32(at + requestEntry.connection, true);
    const connection = place < this.#frame.length ? this.#connectionAt[place]! : 0;
    if (connection === 0) refuse('a request without its connection');
    const count = view.getUint8(at + requestEntry.opinions);
    if (requestEntry.opinion + count * requestEntry.opinionLength > requestEntry.texts) refuse(`${count} opinions`);
    const protocol = view.getUint8(at + requestEntry.protocol);
    if (protocol >= frameProtocols.length) refuse('a protocol without a name');
    const method = view.getUint8(at + requestEntry.methodLength);
    // Origin and path are neighbours: together they are the URL.
    const url = view.getUint16(at + requestEntry.originLength, true) + view.getUint16(at + requestEntry.pathLength, true);
    const text = at + texts;
    const trace = text + method + url;
    const next = trace + view.getUint8(at + requestEntry.traceLength);
    if (next > this.#frame.length) refuse('texts that end behind it');
    const known = this.#texts.find(view, text, method + url, method | (url << 8), ofProxy | protocol);
    this.#told.push(known ?? this.#texts.keep({ method: this.#text(text, text + method), url: this.#text(text + method, trace), protocol: frameProtocols[protocol]! }));
    this.#traceIds.push(next === trace ? undefined : this.#text(trace, next));
    this.#connectionOf[this.#told.length - 1] = connection - 1;
    return next;
  }

  #tellRequest(at: number, number: number): void {
    this.#load(this.#known[this.#connectionOf[number]!]!.request, at + requestEntry.time);
    for (let i = 0, count = this.#view.getUint8(at + requestEntry.opinions); i < count; i++) {
      const verdict = verdicts[this.#view.getUint8(this.#opinion(at, i))] ?? refuse('a verdict without a name');
      this.#tell(this.#record, this.#told[number]!.request, -1, verdict, this.#traceIds[number]);
    }
  }

  #tellAnswer(request: number, number: number, at: number, status: number, latencyNs: number, time: number): void {
    const { http } = this.#told[number]!.request.l7;
    const saying = this.#told[number]!.answer(this.#view.getUint16(at + status, true), http!.protocol);
    const latency = this.#view.getFloat64(at + latencyNs, true);
    this.#load(this.#known[this.#connectionOf[number]!]!.answer, at + time);
    for (let i = 0, count = this.#view.getUint8(request + requestEntry.opinions); i < count; i++) {
      this.#opinion(request, i);
      this.#tell(this.#record, saying, latency, forwarded, this.#traceIds[number]);
    }
  }

  /** The record is that of this direction at this time. A time that no clock shows is refused. */
  #load(words: Int32Array, time: number): void {
    const own = this.#words;
    for (let i = 0; i < recordWords; i++) own[i] = words[i]!;
    const timeUs = Math.floor(this.#view.getFloat64(time, true));
    if (!(timeUs >= 0 && timeUs < 2 ** 53)) refuse('a time that no clock shows');
    // Of nanoseconds, more than a double holds exactly, the two words.
    const high = Math.floor(timeUs / 2 ** 32);
    const low = (timeUs - high * 2 ** 32) * 1000;
    own[0] = low % 2 ** 32;
    own[1] = high * 1000 + Math.floor(low / 2 ** 32);
  }

  /** Direction and rule into the record. Returns the opinion's place. */
  #opinion(request: number, number: number): number {
    const at = request + requestEntry.opinion + number * requestEntry.opinionLength;
    this.#record.setUint8(layout.direction, directions[this.#view.getUint8(at + 1)] ?? refuse('a direction without a name'));
    this.#record.setUint32(layout.rule, this.#view.getUint32(at + 4, true), true);
    return at;
  }

  #text(start: number, end: number): string {
    return this.#frame.toString('latin1', start, end);
  }
}

function refuse(what: string): never {
  throw new CirriError('ERR_L7_FRAME', `a frame of the proxy has ${what}`);
}
