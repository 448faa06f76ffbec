import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { encodeMessage, frameMessages, MessageParser, parseTimeout } from './frames.ts';
import { IncomingMessages } from './incoming.ts';
import { RpcError, RpcStatus, type Call, type Method } from './types.ts';

export interface CallOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
  /** A unary request must have come in whole within this time. */
  readonly requestTimeoutMs: number;
}

const contentType = 'application/grpc';
const room = Promise.resolve();

/**
 * One call from its headers to its trailers:
 *
 *     headers ─► handle(call) ─► [headers] messages… ─► trailers with the status
 *                                an error before the first message: the status in the only headers
 */
export class ServerCall implements Call {
  readonly metadata: ReadonlyMap<string, string>;
  readonly #stream: ServerHttp2Stream;
  readonly #options: CallOptions;
  readonly #incoming: IncomingMessages;
  readonly #leaving = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #early: NodeJS.Immediate | undefined;
  #status: { code: number; message: string } | undefined;
  #waitingForRoom: { promise: Promise<void>; resolve: () => void } | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, options: CallOptions) {
    this.#stream = stream;
    this.#options = options;
    this.metadata = metadataOf(headers);
    this.#incoming = new IncomingMessages(stream, new MessageParser(options.maxMessageBytes, this.metadata.get('grpc-encoding')));
    stream.on('error', () => this.#leave());
    stream.once('close', () => this.#leave());
    stream.once('aborted', () => this.#leave());
    stream.on('drain', () => this.#giveRoom());
  }

  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  get peerName(): string | undefined {
    const socket = this.#stream.session?.socket as Partial<TLSSocket> | undefined;
    const name: unknown = socket?.getPeerCertificate?.().subject?.CN;
    return typeof name === 'string' ? name : undefined;
  }

  get pendingBytes(): number {
    return this.#stream.writableLength;
  }

  async read(): Promise<Uint8Array | undefined> {
    const message = await this.#incoming.next();
    this.#sendHeadersSoon();
    return message;
  }

  write(...messages: readonly Uint8Array[]): Promise<void> {
    return messages.length === 0 ? room : this.writeFramed(frameMessages(messages));
  }

  writeFramed(messages: Uint8Array): Promise<void> {
    if (this.#status || this.#stream.destroyed) return room;
    this.#sendHeaders();
    if (this.#stream.write(messages)) return room;
    this.#waitingForRoom ??= Promise.withResolvers<void>();
    return this.#waitingForRoom.promise;
  }

  /** Runs the method and ends the call with its status. Never throws. */
  async run(method: Method, log: Logger): Promise<void> {
    try {
      this.#startTimers(method);
      if (method.kind === 'bidi') this.#sendHeadersSoon();
      try {
        await method.handle(this);
      } finally {
        clearImmediate(this.#early);
      }
      this.finish(RpcStatus.ok, '');
    } catch (error) {
      if (error instanceof RpcError) return this.finish(error.code, error.message);
      if (!this.signal.aborted) log.error('a gRPC call failed', { path: method.path, error: errorText(error) });
      this.finish(RpcStatus.unknown, errorText(error));
    }
  }

  /** Ends the call; only the first end counts. */
  finish(code: number, message: string): void {
    if (this.#status) return;
    this.#status = { code, message };
    for (const timer of this.#timers) clearTimeout(timer);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return this.#leave();
    try {
      if (stream.headersSent) stream.end();
      else if (code === RpcStatus.ok) {
        this.#sendHeaders();
        stream.end();
      } else {
        stream.respond({ ...this.#firstHeaders(), ...statusHeaders(code, message) }, { endStream: true });
        this.#refuseMore();
      }
    } catch {
      stream.destroy();
    }
    this.#leave();
  }

  #firstHeaders(): Record<string, string | number> {
    return { ':status': 200, 'content-type': contentType, 'grpc-accept-encoding': 'identity', ...this.#options.headers };
  }

  /** A client may wait for headers where answers take their time; a refusal in the same turn still is the only headers. */
  #sendHeadersSoon(): void {
    this.#early ??= setImmediate(() => this.#sendHeaders());
  }

  #sendHeaders(): void {
    const stream = this.#stream;
    if (stream.headersSent || stream.destroyed || stream.closed) return;
    stream.once('wantTrailers', () => {
      const { code, message } = this.#status ?? { code: RpcStatus.unknown, message: 'the call ended without a status' };
      if (stream.destroyed) return;
      stream.sendTrailers(statusHeaders(code, message));
      this.#refuseMore();
    });
    stream.respond(this.#firstHeaders(), { waitForTrailers: true });
  }

  /** What the client still sends is of no interest: it is told so once the answer is out (RFC 9113, section 8.1). */
  #refuseMore(): void {
    if (!this.#incoming.isComplete) setImmediate(() => this.#stream.destroyed || this.#stream.close(constants.NGHTTP2_NO_ERROR));
  }

  #startTimers(method: Method): void {
    const timeoutMs = parseTimeout(this.metadata.get('grpc-timeout'));
    if (timeoutMs !== undefined) this.#timers.push(setTimeout(() => this.finish(RpcStatus.deadlineExceeded, 'context deadline exceeded'), timeoutMs));
    if (method.kind === 'bidi') return;
    this.#timers.push(setTimeout(() => {
      if (!this.#incoming.isComplete) this.finish(RpcStatus.deadlineExceeded, `the request did not come in within ${this.#options.requestTimeoutMs / 1000} seconds`);
    }, this.#options.requestTimeoutMs));
  }

  #leave(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#status ??= { code: RpcStatus.cancelled, message: 'the client left' };
    if (!this.#leaving.signal.aborted) this.#leaving.abort(new RpcError(this.#status.code || RpcStatus.cancelled, this.#status.message));
    this.#incoming.end();
    this.#giveRoom();
  }

  #giveRoom(): void {
    this.#waitingForRoom?.resolve();
    this.#waitingForRoom = undefined;
  }
}

function statusHeaders(code: number, message: string): Record<string, string> {
  return { 'grpc-status': String(code), ...(message !== '' && { 'grpc-message': encodeMessage(message) }) };
}

function metadataOf(headers: IncomingHttpHeaders): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(':') && value !== undefined) metadata.set(name, Array.isArray(value) ? value.join(',') : value);
  }
  return metadata;
}
