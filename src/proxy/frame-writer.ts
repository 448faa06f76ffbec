import { answerEntry, connectionEntry, entry, exchangeEntry, frameHead, frameMark, mostFrameBytes, requestEntry } from '../model/l7-frame.ts';
import type { Admission } from './host.ts';
import type { HttpFacts, HttpOpinion } from './protocol.ts';

/** Room for one entry and its connection, without the request's texts. */
export const roomOfEntry = frameHead + connectionEntry.length + exchangeEntry.texts;
/** Closed when it is longer: the next entry begins a new one. */
const fullFrame = mostFrameBytes >> 1;
/** Shorter texts are copied here, character by character; longer ones are worth a call. */
const shortText = 48;
const lastFrame = 0x3fffffff;

/** Lines, and entries of frames between them, into a buffer. Who writes sees to it that there is room. */
export class FrameWriter {
  /** What has been written ends here. */
  at = 0;
  readonly #buffer: Buffer;
  readonly #view: DataView;
  /** Place of the first entry of the frame that is open; -1: none is. */
  #start = -1;
  /** Which frame it is: what was written into another one cannot be referred to. */
  #frame = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  }

  /** A line; `value` becomes JSON. */
  line(value: unknown): void {
    this.close();
    this.at += this.#buffer.write(`${JSON.stringify(value)}\n`, this.at);
  }

  /** Before it is sent. */
  close(): void {
    if (this.#start < 0) return;
    this.#view.setUint32(this.#start - 4, this.at - this.#start, true);
    this.#start = -1;
  }

  request(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    const at = this.#request(entry.request, about, facts, opinions, requestEntry.texts);
    this.#view.setFloat64(at + requestEntry.time, facts.askedUs, true);
    facts.toldFrame = this.#frame;
    facts.toldAt = at - this.#start;
    facts.toldOpinions = opinions;
  }

  answer(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    const view = this.#view;
    const { askedUs, answeredUs } = facts;
    const latencyNs = Math.floor((answeredUs - askedUs) * 1000);
    if (this.#start < 0 || facts.toldFrame !== this.#frame || facts.toldOpinions !== opinions) {
      const at = this.#request(entry.exchange, about, facts, opinions, exchangeEntry.texts);
      view.setFloat64(at + requestEntry.time, answeredUs, true);
      view.setUint16(at + exchangeEntry.status, status, true);
      view.setFloat64(at + exchangeEntry.latencyNs, latencyNs, true);
      return;
    }
    const { at } = this;
    view.setUint8(at, entry.answer);
    view.setUint16(at + answerEntry.status, status, true);
    view.setUint32(at + answerEntry.request, facts.toldAt, true);
    view.setFloat64(at + answerEntry.time, answeredUs, true);
    view.setFloat64(at + answerEntry.latencyNs, latencyNs, true);
    this.at = at + answerEntry.length;
  }

  /** Its place in the buffer; the time is the caller's to write. */
  #request(kind: number, about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[], texts: number): number {
    if (this.#start < 0 || this.at - this.#start > fullFrame) this.#open();
    const connection = this.#connection(about);
    const view = this.#view;
    const { at } = this;
    const { method, origin, path, traceId } = facts;
    view.setUint8(at, kind);
    view.setUint8(at + requestEntry.opinions, opinions.length);
    view.setUint8(at + requestEntry.protocol, facts.protocol === 'HTTP/1.1' ? 1 : facts.protocol === 'HTTP/2' ? 2 : 0);
    view.setUint8(at + requestEntry.methodLength, method.length);
    view.setUint16(at + requestEntry.originLength, origin.length, true);
    view.setUint16(at + requestEntry.pathLength, path.length, true);
    view.setUint8(at + requestEntry.traceLength, traceId === undefined ? 0 : traceId.length);
    view.setUint32(at + requestEntry.connection, connection, true);
    for (let i = 0; i < opinions.length; i++) this.#opinion(at + requestEntry.opinion + i * requestEntry.opinionLength, kind, about, opinions[i]!);
    let end = this.#text(at + texts, method);
    end = this.#text(end, origin);
    end = this.#text(end, path);
    this.at = traceId === undefined ? end : this.#text(end, traceId);
    return at;
  }

  #opinion(at: number, kind: number, { row }: Admission, { direction, passes, rule }: HttpOpinion): void {
    const view = this.#view;
    const isEgress = direction === 'EGRESS';
    // Of an answer there is nothing to deny.
    view.setUint8(at, passes || kind === entry.exchange ? 0 : 1);
    view.setUint8(at + 1, isEgress ? 0 : 1);
    view.setUint32(at + 4, rule || (isEgress ? row.egressRule : row.ingressRule), true);
  }

  #open(): void {
    this.close();
    this.#frame = this.#frame === lastFrame ? 1 : this.#frame + 1;
    this.#buffer[this.at] = frameMark;
    this.#start = this.at += frameHead;
  }

  /** The place of the connection in this frame, written if it is its first. */
  #connection(about: Admission): number {
    const known = about.told;
    if (known !== undefined && known.row === about.row && known.frame === this.#frame) return known.at;
    const told = known !== undefined && known.row === about.row ? known : (about.told = { row: about.row, bytes: connectionBytes(about), frame: 0, at: 0 });
    told.frame = this.#frame;
    told.at = this.at - this.#start;
    this.#buffer.set(told.bytes, this.at);
    this.at += told.bytes.length;
    return told.at;
  }

  /** The place behind it. */
  #text(at: number, text: string): number {
    const { length } = text;
    const buffer = this.#buffer;
    if (length > shortText) buffer.write(text, at, 'latin1');
    else for (let i = 0; i < length; i++) buffer[at + i] = text.charCodeAt(i);
    return at + length;
  }
}

/** Made once for each row of a connection. */
function connectionBytes({ client, server, row }: Admission): Uint8Array {
  const bytes = Buffer.alloc(connectionEntry.length);
  bytes[0] = entry.connection;
  bytes.writeUInt16LE(client.port, connectionEntry.clientPort);
  bytes.writeUInt16LE(server.port, connectionEntry.serverPort);
  bytes.writeUInt32LE(row.sourceIdentity, connectionEntry.sourceIdentity);
  bytes.writeUInt32LE(row.destinationIdentity, connectionEntry.destinationIdentity);
  bytes.writeUInt32LE(row.sourceEndpoint, connectionEntry.sourceEndpoint);
  bytes.writeUInt32LE(row.destinationEndpoint, connectionEntry.destinationEndpoint);
  bytes.writeUInt32LE(row.service, connectionEntry.service);
  bytes.set(client.addr, connectionEntry.client);
  bytes.set(server.addr, connectionEntry.server);
  return bytes;
}
