import type { KeptListeners, ProxyHello, ProxyStatus, RecordLine } from '../model/l7-proxy.ts';
import { frameVersion } from '../model/l7-frame.ts';
import { errorText } from '../std/errors.ts';
import { formatAddr } from '../std/ip.ts';
import type { Logger } from '../std/log.ts';
import { stable } from '../sys/memory.ts';
import { lastErrno, recvAt, sendAt } from '../sys/native.ts';
import { closeSocket } from '../sys/net.ts';
import { errno } from '../sys/streams.ts';
import { FrameWriter, roomOfEntry } from './frame-writer.ts';
import type { Admission } from './host.ts';
import { answerRecords, requestRecords } from './http/record.ts';
import type { HttpFacts, HttpOpinion, SessionRecord } from './protocol.ts';

const roomBytes = 1 << 20;
/** Sent when so much waits, or with the next tick. */
const batchBytes = 32 << 10;
/** Longer texts are not told of. A character is at most six bytes in JSON. */
const longestRecord = 16 << 10;
const roomOfRecord = 6 * longestRecord + (32 << 10);
const roomOfFrame = longestRecord + roomOfEntry;
const longestHello = 64 << 10;

/**
 * What sessions tell, on its way to the agent in batches: requests and answers of HTTP as frames (model/l7-frame.ts), everything else as
 * a line each (`RecordLine`). Nobody waits for it: while the agent is away or slow, what there is no room for is counted, and the count
 * is told.
 */
export class RecordLines {
  sent = 0;
  lost = 0;
  readonly #open: () => number | undefined;
  readonly #hello: ProxyHello;
  readonly #log: Logger;
  readonly #room = stable(roomBytes);
  readonly #buffer = Buffer.from(this.#room.bytes.buffer);
  readonly #writer = new FrameWriter(this.#buffer);
  readonly #answer = stable(4096);
  #flushAt = batchBytes;
  #fd: number | undefined;
  /** What the agent has said of itself so far; undefined: its line has been read. */
  #heard: string | undefined = '';
  #framed = false;
  /** Records in the room, by the place behind them: those of a flush together. */
  readonly #batches: { end: number; count: number }[] = [];
  /** Since the last of them. */
  #count = 0;
  /** Lost, and not told yet. */
  #untold = 0;

  /** `open`: a socket that whoever is told has the other end of; undefined while nobody does. */
  constructor(options: { readonly hello: ProxyHello }, dependencies: { readonly open: () => number | undefined; readonly log: Logger }) {
    this.#open = dependencies.open;
    this.#hello = options.hello;
    this.#log = dependencies.log;
  }

  get connected(): boolean {
    return this.#fd !== undefined;
  }

  /** The agent understands frames, as far as is known yet. */
  get framed(): boolean {
    return this.#framed;
  }

  add(about: Admission, { l7, verdict, direction, rule, traceId }: SessionRecord, timeUs: number): void {
    if (!this.#hasRoom(roomOfRecord) || JSON.stringify(l7).length > longestRecord) return this.#lose(1);
    const { client, server, row } = about;
    const decidedBy = rule || (direction === 'EGRESS' ? row.egressRule : row.ingressRule);
    const line = [
      Math.floor(timeUs), formatAddr(client.addr), client.port, formatAddr(server.addr), server.port,
      row.sourceIdentity, row.destinationIdentity, row.sourceEndpoint, row.destinationEndpoint, row.service,
      verdict, direction, decidedBy, l7,
    ] as const satisfies RecordLine;
    this.#writer.line(traceId === undefined ? line : [...line, traceId]);
    this.#added(1);
  }

  request(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    if (!this.#framed || facts.method.length > 255) return this.#each(about, requestRecords(facts, opinions), facts.askedUs);
    if (!this.#fits(facts)) return this.#lose(opinions.length);
    this.#writer.request(about, facts, opinions);
    this.#added(opinions.length);
  }

  answer(about: Admission, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    if (!this.#framed || facts.method.length > 255) return this.#each(about, answerRecords(facts, opinions, status), facts.answeredUs);
    if (!this.#fits(facts)) return this.#lose(opinions.length);
    this.#writer.answer(about, facts, opinions, status);
    this.#added(opinions.length);
  }

  /** What the worker says of itself, now and then. */
  status(status: ProxyStatus): void {
    if (this.#hasRoom(roomOfRecord)) this.#writer.line({ status });
  }

  /** With each tick. */
  flush(): void {
    if (this.#fd === undefined) return this.#connect();
    const writer = this.#writer;
    if (this.#untold > 0 && this.#hasRoom(roomOfRecord)) {
      this.#writer.line({ lost: this.#untold });
      this.#untold = 0;
    }
    if (this.#heard !== undefined || writer.at === 0) this.#listen();
    if (this.#fd === undefined || writer.at === 0) return;
    this.#closeBatch();
    const written = sendAt(this.#fd, this.#room.address, writer.at, 0);
    if (written < 0) {
      if (lastErrno() !== errno.again) this.#disconnect();
      return;
    }
    this.#buffer.copyWithin(0, written, writer.at);
    writer.at -= written;
    for (const batch of this.#batches) batch.end -= written;
    while (this.#batches.length > 0 && this.#batches[0]!.end <= 0) this.#batches.shift();
    this.#flushAt = writer.at + batchBytes;
  }

  close(): void {
    this.flush();
    this.#disconnect();
  }

  #each(about: Admission, records: readonly SessionRecord[], timeUs: number): void {
    for (const record of records) this.add(about, record, timeUs);
  }

  #fits({ method, origin, path }: HttpFacts): boolean {
    return method.length + origin.length + path.length <= longestRecord && this.#hasRoom(roomOfFrame);
  }

  #hasRoom(bytes: number): boolean {
    return this.#fd !== undefined && this.#writer.at + bytes <= roomBytes;
  }

  #added(count: number): void {
    this.sent += count;
    this.#count += count;
    if (this.#writer.at < this.#flushAt) return;
    this.flush();
    // An agent that takes nothing is not asked again for each record.
    this.#flushAt = this.#writer.at + batchBytes;
  }

  /** Whole batches are sent, or lost: a frame that was cut says nothing. */
  #closeBatch(): void {
    this.#writer.close();
    if (this.#count === 0) return;
    this.#batches.push({ end: this.#writer.at, count: this.#count });
    this.#count = 0;
  }

  #connect(): void {
    try {
      this.#fd = this.#open();
    } catch (error) {
      this.#log.warn('the agent cannot be told', { error: errorText(error) });
    }
    this.#heard = '';
    if (this.#fd !== undefined) this.#writer.line(this.#hello);
  }

  /** The agent says one line, whether it understands frames; then nothing until its end. */
  #listen(): void {
    const count = recvAt(this.#fd!, this.#answer.address, this.#answer.bytes.length, 0);
    if (count === 0 || (count < 0 && lastErrno() !== errno.again)) return this.#disconnect();
    if (count < 0 || this.#heard === undefined) return;
    this.#heard += Buffer.from(this.#answer.bytes.buffer, 0, count).toString('latin1');
    const end = this.#heard.indexOf('\n');
    if (end < 0 && this.#heard.length < longestHello) return;
    this.#framed = end >= 0 && understandsFrames(this.#heard.slice(0, end));
    this.#heard = undefined;
  }

  #disconnect(): void {
    if (this.#fd === undefined) return;
    closeSocket(this.#fd);
    this.#fd = undefined;
    this.#framed = false;
    this.#closeBatch();
    this.#lose(this.#batches.splice(0).reduce((sum, batch) => sum + batch.count, 0));
    this.#writer.at = 0;
    this.#flushAt = batchBytes;
  }

  #lose(count: number): void {
    this.lost += count;
    this.#untold += count;
  }
}

function understandsFrames(line: string): boolean {
  try {
    return (JSON.parse(line) as KeptListeners).frames === frameVersion;
  } catch {
    return false;
  }
}
