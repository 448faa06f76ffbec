import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { errorText } from '../std/errors.ts';
import { decodeMessage, formatTimeout, frameMessages, MessageParser } from './frames.ts';
import { IncomingMessages } from './incoming.ts';
import { RpcError, RpcStatus, type RpcTarget } from './types.ts';

export interface RpcClientOptions {
  readonly userAgent?: string;
  readonly maxMessageBytes?: number;
  readonly connectTimeoutMs?: number;
  /** Pings so often while calls run; an unanswered one ends the connection. Servers of others may forbid it: without it, none. */
  readonly keepAliveMs?: number;
}

export interface CallSettings {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

const windowBytes = 1024 * 1024;

/**
 * One connection to one server, opened at the first call and again at the next call after it broke. Everything that fails is
 * an RpcError: UNAVAILABLE when there is no connection, else what the server says.
 */
export class RpcClient {
  readonly target: RpcTarget;
  readonly #options: RpcClientOptions;
  #session: ClientHttp2Session | undefined;
  #headers: ReadonlyMap<string, string> = new Map();
  #failure: Error | undefined;
  #closed = false;

  constructor(target: RpcTarget, options: RpcClientOptions = {}) {
    this.target = target;
    this.#options = options;
  }

  /** Headers of the last answer, names in lower case: servers tell their version there. */
  get headers(): ReadonlyMap<string, string> {
    return this.#headers;
  }

  /** One request, one answer. Rejects with RpcError. */
  async unary(path: string, message: Uint8Array, settings: CallSettings = {}): Promise<Uint8Array> {
    let answer: Uint8Array | undefined;
    for await (const batch of this.batches(path, message, settings)) {
      if (answer || batch.length > 1) throw new RpcError(RpcStatus.internal, `${path}: more than one answer`);
      answer = batch[0];
    }
    if (!answer) throw new RpcError(RpcStatus.internal, `${path}: no answer`);
    return answer;
  }

  /** The answers as they come. `message` may be several, for a bidi method: all are sent, then the sending side ends. */
  async *stream(path: string, message: Uint8Array | readonly Uint8Array[], settings: CallSettings = {}): AsyncGenerator<Uint8Array, void> {
    for await (const batch of this.batches(path, message, settings)) yield* batch;
  }

  /** As `stream`, with all that is there at once: for many small answers. Leaving the loop cancels the call. */
  async *batches(path: string, message: Uint8Array | readonly Uint8Array[], settings: CallSettings = {}): AsyncGenerator<readonly Uint8Array[], void> {
    const { signal, timeoutMs } = settings;
    if (signal?.aborted) throw new RpcError(RpcStatus.cancelled, `${path}: cancelled`);
    const stream = this.#request(path, settings);
    const answer = new Answer(path, stream, this.#options.maxMessageBytes ?? 16 * 1024 * 1024, headers => { this.#headers = headers; }, () => this.#failure);
    const onAbort = () => answer.cancel(new RpcError(RpcStatus.cancelled, `${path}: cancelled`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => answer.cancel(new RpcError(RpcStatus.deadlineExceeded, `${path}: no end within ${timeoutMs} ms`)), timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      stream.end(frameMessages(message instanceof Uint8Array ? [message] : message));
      for (;;) {
        const batch = await answer.messages.batch();
        if (!batch) break;
        yield batch;
      }
      await answer.end;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      answer.cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  #request(path: string, { timeoutMs, metadata }: CallSettings): ClientHttp2Stream {
    if (this.#closed) throw new RpcError(RpcStatus.unavailable, 'the client is closed');
    if (!this.#session || this.#session.closed || this.#session.destroyed) this.#session = this.#connect();
    try {
      return this.#session.request({
        ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', 'user-agent': this.#options.userAgent ?? 'cirri',
        ...(timeoutMs !== undefined && { 'grpc-timeout': formatTimeout(timeoutMs) }), ...metadata,
      });
    } catch (error) {
      throw new RpcError(RpcStatus.unavailable, errorText(error));
    }
  }

  #connect(): ClientHttp2Session {
    const { target, session } = openSession(this.target);
    this.#failure = undefined;
    const timer = setTimeout(() => session.destroy(new Error(`no connection to ${target} within ${this.#options.connectTimeoutMs ?? 10_000} ms`)), this.#options.connectTimeoutMs ?? 10_000);
    let stopPings = () => {};
    session.once('connect', () => {
      clearTimeout(timer);
      session.setLocalWindowSize(4 * windowBytes);
      stopPings = this.#keepAlive(session);
    });
    session.on('error', error => {
      if (this.#session === session || this.#session === undefined) this.#failure = new Error(`${target}: ${errorText(error)}`);
    });
    // A server that is leaving: calls that run may end, new ones get a connection of their own.
    session.once('goaway', () => { if (this.#session === session) this.#session = undefined; });
    session.once('close', () => {
      clearTimeout(timer);
      stopPings();
      if (this.#session === session) this.#session = undefined;
    });
    return session;
  }

  #keepAlive(session: ClientHttp2Session): () => void {
    const { keepAliveMs } = this.#options;
    if (keepAliveMs === undefined) return () => {};
    let waiting = false;
    const timer = setInterval(() => {
      if (waiting) return session.destroy(new Error(`no answer to a ping within ${keepAliveMs} ms`));
      waiting = true;
      session.ping(() => { waiting = false; });
    }, keepAliveMs);
    timer.unref();
    return () => clearInterval(timer);
  }
}

function openSession(target: RpcTarget): { readonly target: string; readonly session: ClientHttp2Session } {
  const settings = { enablePush: false, initialWindowSize: windowBytes };
  if ('socketPath' in target) {
    return { target: `unix://${target.socketPath}`, session: connect('http://localhost', { settings, createConnection: () => connectSocket(target.socketPath) }) };
  }
  const { tls } = target;
  const authority = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
  const session = connect(`${tls ? 'https' : 'http'}://${authority}`, {
    settings,
    ...(tls && { ca: tls.ca, cert: tls.cert, key: tls.key, rejectUnauthorized: !(tls.insecure ?? false), ALPNProtocols: ['h2'], ...(tls.serverName !== undefined && { servername: tls.serverName }) }),
  });
  return { target: authority, session };
}

/** What comes back for one call. */
class Answer {
  readonly messages: IncomingMessages;
  /** Resolves at the status OK and rejects at any other. */
  readonly end: Promise<void>;
  readonly #stream: ClientHttp2Stream;
  readonly #failure: () => Error | undefined;
  #status: { readonly code: number; readonly message: string } | undefined;
  #httpStatus: number | undefined;
  #cause: Error | undefined;

  constructor(path: string, stream: ClientHttp2Stream, maxBytes: number, seen: (headers: ReadonlyMap<string, string>) => void, failure: () => Error | undefined) {
    this.#stream = stream;
    this.#failure = failure;
    this.messages = new IncomingMessages(stream, new MessageParser(maxBytes, undefined));
    stream.on('response', headers => {
      this.#httpStatus = headers[':status'];
      seen(new Map(Object.entries(headers).filter(([name]) => !name.startsWith(':')).map(([name, value]) => [name, String(value)])));
      this.#takeStatus(headers);
    });
    stream.on('trailers', headers => this.#takeStatus(headers));
    stream.on('error', error => { this.#cause ??= error; });
    this.end = new Promise((resolve, reject) => {
      stream.once('close', () => {
        const error = this.#outcome(path);
        if (error) {
          this.messages.fail(error);
          reject(error);
        } else resolve();
        this.messages.end();
      });
    });
    this.end.catch(() => {});
  }

  cancel(reason?: RpcError): void {
    this.#cause ??= reason;
    if (reason) this.messages.fail(reason);
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #takeStatus(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    const code = headers['grpc-status'];
    if (code === undefined) return;
    const message = headers['grpc-message'];
    this.#status = { code: /^\d+$/.test(String(code)) ? Number(code) : RpcStatus.unknown, message: typeof message === 'string' ? decodeMessage(message) : '' };
  }

  #outcome(path: string): RpcError | undefined {
    if (this.#cause instanceof RpcError) return this.#cause;
    if (this.#status) return this.#status.code === RpcStatus.ok ? undefined : new RpcError(this.#status.code, this.#status.message);
    const failure = this.#failure();
    if (failure) return new RpcError(RpcStatus.unavailable, failure.message);
    if (this.#httpStatus !== undefined && this.#httpStatus !== 200) return new RpcError(httpCodes.get(this.#httpStatus) ?? RpcStatus.unknown, `${path}: HTTP status ${this.#httpStatus}`);
    // Where the connection itself ended, the stream's code says nothing.
    const reset = this.#stream.session === undefined || this.#stream.session.destroyed ? 0 : this.#stream.rstCode ?? 0;
    const code = resetCodes.get(reset) ?? (this.#httpStatus === undefined ? RpcStatus.unavailable : RpcStatus.internal);
    return new RpcError(code, `${path}: ${this.#cause ? errorText(this.#cause) : 'the stream ended without a status'}`);
  }
}

const resetCodes: ReadonlyMap<number, number> = new Map([
  [constants.NGHTTP2_REFUSED_STREAM, RpcStatus.unavailable], [constants.NGHTTP2_CANCEL, RpcStatus.cancelled],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, RpcStatus.resourceExhausted], [constants.NGHTTP2_INADEQUATE_SECURITY, RpcStatus.permissionDenied],
]);

const httpCodes: ReadonlyMap<number, number> = new Map([
  [400, RpcStatus.internal], [401, RpcStatus.unauthenticated], [403, RpcStatus.permissionDenied], [404, RpcStatus.unimplemented],
  [429, RpcStatus.unavailable], [502, RpcStatus.unavailable], [503, RpcStatus.unavailable], [504, RpcStatus.unavailable],
]);
