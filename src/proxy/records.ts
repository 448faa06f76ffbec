import type { FlowL7 } from '../model/flow.ts';
import type { ProxyHello, ProxyStatus } from '../model/l7-proxy.ts';
import { errorText } from '../std/errors.ts';
import { formatAddr } from '../std/ip.ts';
import type { Logger } from '../std/log.ts';
import { stable } from '../sys/memory.ts';
import { lastErrno, readAt, writeAt } from '../sys/native.ts';
import { closeSocket } from '../sys/net.ts';
import { connectUnix, errno } from '../sys/streams.ts';
import type { Admission } from './host.ts';
import { LineWriter } from './line-writer.ts';
import type { SessionRecord } from './protocol.ts';

const roomBytes = 1 << 20;
/** Sent when so much waits, or with the next tick. */
const batchBytes = 16 << 10;
/** Longer texts are not told of. A character is at most six bytes in JSON. */
const longestRecord = 16 << 10;
const roomOfRecord = 6 * longestRecord + (32 << 10);

/**
 * What sessions tell, on its way to the agent: a line each (`RecordLine`), in batches. Nobody waits for it: while the agent is away or
 * slow, what there is no room for is counted, and the count is told.
 */
export class RecordLines {
  sent = 0;
  lost = 0;
  readonly #path: string;
  readonly #hello: ProxyHello;
  readonly #log: Logger;
  readonly #room = stable(roomBytes);
  readonly #buffer = Buffer.from(this.#room.bytes.buffer);
  readonly #writer = new LineWriter(this.#buffer);
  #flushAt = batchBytes;
  #fd: number | undefined;
  /** Lost, and not told yet. */
  #untold = 0;

  constructor(options: { readonly path: string; readonly hello: ProxyHello }, dependencies: { readonly log: Logger }) {
    this.#path = options.path;
    this.#hello = options.hello;
    this.#log = dependencies.log;
  }

  get connected(): boolean {
    return this.#fd !== undefined;
  }

  add(about: Admission, record: SessionRecord, timeUs: number): void {
    const writer = this.#writer;
    const { l7 } = record;
    const text = isPlain(l7) ? undefined : JSON.stringify(l7);
    const length = text?.length ?? l7.http!.url.length + l7.http!.method.length;
    if (this.#fd === undefined || length > longestRecord || writer.at + roomOfRecord > roomBytes) return this.#lose(1);
    writer.text('[');
    writer.integer(timeUs);
    writer.bytes(endsBytes(about));
    writer.text(record.verdict);
    writer.text('","');
    writer.text(record.direction);
    writer.text('",');
    writer.integer(record.rule || (record.direction === 'EGRESS' ? about.row.egressRule : about.row.ingressRule));
    writer.text(',');
    if (text === undefined) putHttp(writer, l7, l7.http!);
    else writer.json(text);
    if (record.traceId !== undefined) {
      writer.text(',');
      writer.string(record.traceId);
    }
    writer.text(']\n');
    this.sent++;
    if (writer.at < this.#flushAt) return;
    this.flush();
    // An agent that takes nothing is not asked again for each record.
    this.#flushAt = writer.at + batchBytes;
  }

  /** What the worker says of itself, now and then. */
  status(status: ProxyStatus): void {
    if (this.#fd !== undefined && this.#writer.at + roomOfRecord <= roomBytes) this.#line({ status });
  }

  /** With each tick. */
  flush(): void {
    if (this.#fd === undefined) return this.#connect();
    const writer = this.#writer;
    if (this.#untold > 0 && writer.at + roomOfRecord <= roomBytes) {
      this.#line({ lost: this.#untold });
      this.#untold = 0;
    }
    if (writer.at === 0) return this.#lookForEnd();
    const written = writeAt(this.#fd, this.#room.address, writer.at);
    if (written < 0) {
      if (lastErrno() !== errno.again) this.#disconnect();
      return;
    }
    this.#buffer.copyWithin(0, written, writer.at);
    writer.at -= written;
    this.#flushAt = writer.at + batchBytes;
  }

  close(): void {
    this.flush();
    this.#disconnect();
  }

  #connect(): void {
    try {
      this.#fd = connectUnix(this.#path);
    } catch (error) {
      this.#log.warn('the agent cannot be told', { error: errorText(error) });
    }
    if (this.#fd !== undefined) this.#line(this.#hello);
  }

  #line(value: unknown): void {
    this.#writer.json(JSON.stringify(value));
    this.#writer.text('\n');
  }

  /** The agent says one line that does not matter here; its end does. */
  #lookForEnd(): void {
    const count = readAt(this.#fd!, this.#room.address, 4096);
    if (count === 0 || (count < 0 && lastErrno() !== errno.again)) this.#disconnect();
  }

  #disconnect(): void {
    if (this.#fd === undefined) return;
    closeSocket(this.#fd);
    this.#fd = undefined;
    // Whole lines or none: what was cut is lost with the rest.
    let lines = 0;
    for (let i = 0; i < this.#writer.at; i++) if (this.#buffer[i] === 0x0a) lines++;
    this.#lose(lines);
    this.#writer.at = 0;
  }

  #lose(count: number): void {
    this.lost += count;
    this.#untold += count;
  }
}

/** The usual request and answer, which are written piece by piece; everything else goes through JSON. Both read the same. */
function isPlain({ http }: FlowL7): boolean {
  return http !== undefined && http.headers === undefined;
}

function putHttp(writer: LineWriter, l7: FlowL7, http: NonNullable<FlowL7['http']>): void {
  writer.text('{"type":"');
  writer.text(l7.type);
  if (l7.latencyNs !== undefined) {
    writer.text('","latencyNs":');
    writer.integer(l7.latencyNs);
    writer.text(',"http":{');
  } else {
    writer.text('","http":{');
  }
  if (http.code !== undefined) {
    writer.text('"code":');
    writer.integer(http.code);
    writer.text(',');
  }
  writer.text('"method":');
  writer.string(http.method);
  writer.text(',"url":');
  writer.string(http.url);
  writer.text(',"protocol":');
  writer.string(http.protocol);
  writer.text('}}');
}

/** What lines have of a connection between the time and the verdict, made once for each of its rows. */
function endsBytes(about: Admission): Uint8Array {
  if (about.told?.row === about.row) return about.told.bytes;
  const { client, server, row } = about;
  const ends = [formatAddr(client.addr), client.port, formatAddr(server.addr), server.port, row.sourceIdentity, row.destinationIdentity, row.sourceEndpoint, row.destinationEndpoint, row.service];
  const bytes = Buffer.from(`,${JSON.stringify(ends).slice(1, -1)},"`);
  about.told = { row, bytes };
  return bytes;
}
