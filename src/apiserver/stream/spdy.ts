import type { Duplex } from 'node:stream';
import { createInflate, type Inflate } from 'node:zlib';
import { dataFrame, headerDictionary, parseHeaders, pingFrame, replyFrame, resetFrame, SpdyDecoder, SpdyError, type SpdyFrame } from './spdy-frames.ts';

/** A stream that the client has opened. */
export interface SpdyStream {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  onData: (data: Buffer) => void;
  /** The client sends no more. */
  onEnd: () => void;
  /** The client wants to hear no more of it. */
  onReset: () => void;
  /** False when the connection is full: wait for `onDrain`. */
  write(data: Uint8Array): boolean;
  onDrain: () => void;
  /** Sends no more. */
  end(data?: Uint8Array): void;
  reset(): void;
}

const protocolError = 1;
const refused = 3;
const streamLimit = 4096;
/** Of a compressed block; what comes of it is at most a thousand times as long. */
const headersLimit = 4096;

class Stream implements SpdyStream {
  readonly id: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly #server: SpdyServer;
  onData: (data: Buffer) => void = () => {};
  onEnd: () => void = () => {};
  onReset: () => void = () => {};
  onDrain: () => void = () => {};
  theirEnd = false;
  ourEnd = false;

  constructor(server: SpdyServer, id: number, headers: ReadonlyMap<string, string>) {
    this.#server = server;
    this.id = id;
    this.headers = headers;
  }

  write(data: Uint8Array): boolean {
    return this.ourEnd || this.#server.send(dataFrame(this.id, data));
  }

  end(data: Uint8Array = new Uint8Array()): void {
    if (this.ourEnd) return;
    this.ourEnd = true;
    this.#server.send(dataFrame(this.id, data, true));
    this.#server.forget(this);
  }

  reset(): void {
    if (this.ourEnd && this.theirEnd) return;
    this.ourEnd = true;
    this.theirEnd = true;
    this.#server.send(resetFrame(this.id, 5));
    this.#server.forget(this);
  }
}

/**
 * The server's end of SPDY/3.1 over a connection that is a byte stream. Streams are the client's to open; `onStream` gets each
 * when it has been accepted, and throws to refuse it. Ends the connection when the client breaks the protocol.
 */
export class SpdyServer {
  readonly #connection: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #decoder = new SpdyDecoder();
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary });
  readonly #streams = new Map<number, Stream>();
  #inflated: Buffer[] = [];
  #replied = false;
  #working: Promise<void> = Promise.resolve();

  constructor(connection: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#connection = connection;
    this.#onStream = onStream;
    this.#inflate.on('data', (data: Buffer) => this.#inflated.push(data));
    this.#inflate.on('error', () => {});
    connection.on('data', (bytes: Buffer) => this.#read(bytes));
    connection.on('drain', () => this.#streams.forEach(stream => stream.onDrain()));
    connection.on('error', () => {});
    connection.on('close', () => this.#closed());
  }

  send(bytes: Buffer): boolean {
    return this.#connection.destroyed || this.#connection.write(bytes);
  }

  forget(stream: Stream): void {
    if (stream.ourEnd && stream.theirEnd) this.#streams.delete(stream.id);
  }

  /** Nothing more is read until `resume`: a stream's receiver is slow, and all streams share the connection. */
  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  /** Frames are handled one after the other: decompressing headers takes a turn of the loop. */
  #read(bytes: Buffer): void {
    let frames: SpdyFrame[];
    try {
      frames = this.#decoder.push(bytes);
    } catch (error) {
      this.#connection.destroy(error as Error);
      return;
    }
    this.#working = this.#working.then(async () => {
      for (const frame of frames) await this.#handle(frame);
    }).catch((error: unknown) => void this.#connection.destroy(error as Error));
  }

  async #handle(frame: SpdyFrame): Promise<void> {
    switch (frame.kind) {
      case 'open': return this.#open(frame.stream, frame.final, await this.#headers(frame.headers));
      case 'headers': return void (await this.#headers(frame.headers));
      case 'ping': return void this.send(pingFrame(frame.id));
      case 'data': return this.#data(frame.stream, frame.data, frame.final);
      case 'reset': return this.#reset(frame.stream);
      case 'leave': case 'other': return;
    }
  }

  async #headers(block: Buffer): Promise<Map<string, string>> {
    if (block.length > headersLimit) throw new SpdyError('headers that are too long');
    this.#inflated = [];
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once('error', reject);
      this.#inflate.write(block, () => {
        this.#inflate.off('error', reject);
        resolve();
      });
    });
    return parseHeaders(Buffer.concat(this.#inflated));
  }

  #open(id: number, final: boolean, headers: Map<string, string>): void {
    if (id % 2 === 0 || this.#streams.has(id)) return void this.send(resetFrame(id, protocolError));
    if (this.#streams.size >= streamLimit) return void this.send(resetFrame(id, refused));
    const stream = new Stream(this, id, headers);
    stream.theirEnd = final;
    this.#streams.set(id, stream);
    this.send(replyFrame(id, !this.#replied));
    this.#replied = true;
    try {
      this.#onStream(stream);
    } catch {
      stream.reset();
    }
  }

  #data(id: number, data: Buffer, final: boolean): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.theirEnd) return;
    if (data.length > 0) stream.onData(data);
    if (!final) return;
    stream.theirEnd = true;
    stream.onEnd();
    this.forget(stream);
  }

  #reset(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    stream.theirEnd = true;
    stream.ourEnd = true;
    this.#streams.delete(id);
    stream.onReset();
  }

  #closed(): void {
    this.#inflate.destroy();
    for (const id of [...this.#streams.keys()]) this.#reset(id);
  }
}
