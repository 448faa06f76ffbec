import type { ProxyHello, ProxyStatus } from '../model/l7-proxy.ts';
import { errorText } from '../std/errors.ts';
import { formatAddr } from '../std/ip.ts';
import type { Logger } from '../std/log.ts';
import { stable } from '../sys/memory.ts';
import { lastErrno, readAt, writeAt } from '../sys/native.ts';
import { closeSocket } from '../sys/net.ts';
import { connectUnix, errno } from '../sys/streams.ts';
import type { Admission } from './host.ts';
import type { SessionRecord } from './protocol.ts';

const roomBytes = 512 << 10;
/** Sent when so much waits, or with the next tick. */
const batchBytes = 16 << 10;
const longestRecord = 16 << 10;

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
  #length = 0;
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
    if (this.#fd === undefined) return this.#lose(1);
    const trace = record.traceId === undefined ? '' : `,${JSON.stringify(record.traceId)}`;
    const line = `[${Math.round(timeUs)},${endsText(about)},"${record.verdict}","${record.direction}",${record.rule},${JSON.stringify(record.l7)}${trace}]\n`;
    // A character is at most three bytes of UTF-8.
    if (line.length > longestRecord || this.#length + 3 * line.length > roomBytes) return this.#lose(1);
    this.#length += this.#buffer.write(line, this.#length);
    this.sent++;
    if (this.#length >= batchBytes) this.flush();
  }

  /** What the worker says of itself, now and then. */
  status(status: ProxyStatus): void {
    const line = `{"status":${JSON.stringify(status)}}\n`;
    if (this.#fd !== undefined && this.#length + 3 * line.length < roomBytes) this.#length += this.#buffer.write(line, this.#length);
  }

  /** With each tick. */
  flush(): void {
    if (this.#fd === undefined) return this.#connect();
    if (this.#untold > 0 && this.#length < roomBytes - 64) {
      this.#length += this.#buffer.write(`{"lost":${this.#untold}}\n`, this.#length);
      this.#untold = 0;
    }
    if (this.#length === 0) return this.#lookForEnd();
    const written = writeAt(this.#fd, this.#room.address, this.#length);
    if (written < 0) {
      if (lastErrno() !== errno.again) this.#disconnect();
      return;
    }
    this.#buffer.copyWithin(0, written, this.#length);
    this.#length -= written;
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
    if (this.#fd !== undefined) this.#length = this.#buffer.write(JSON.stringify(this.#hello) + '\n', 0);
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
    for (let i = 0; i < this.#length; i++) if (this.#buffer[i] === 0x0a) lines++;
    this.#lose(lines);
    this.#length = 0;
  }

  #lose(count: number): void {
    this.lost += count;
    this.#untold += count;
  }
}

/** What lines have of a connection, made once for each of its rows. */
function endsText(about: Admission): string {
  if (about.told?.row === about.row) return about.told.text;
  const { client, server, row } = about;
  const text = `"${formatAddr(client.addr)}",${client.port},"${formatAddr(server.addr)}",${server.port},${row.sourceIdentity},${row.destinationIdentity},${row.sourceEndpoint},${row.destinationEndpoint},${row.service}`;
  about.told = { row, text };
  return text;
}
