import { Duplex } from 'node:stream';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { TlsContexts } from './contexts.ts';

/** Who hears of one side's TLS. All calls come from the event loop, none from within a call of this. */
export interface EndOwner {
  /** Bytes for the wire. */
  cipher(data: Buffer): void;
  /** The wire is not to be read, or is again. */
  full(on: boolean): void;
  /** The keys are there: `alpn` is what both have agreed on. */
  secure(alpn: string | undefined): void;
  plain(data: Buffer): void;
  ended(): void;
  failed(error: Error): void;
  /** What was written has gone to the wire. */
  drained(): void;
  /** After `end`: all has gone to the wire. */
  finished(): void;
}

const keepBytes = 65_536;

/** TLS on one side of the proxy, over the bytes that its wire gives it. */
export class TlsEnd {
  readonly #wire: Duplex;
  readonly #owner: EndOwner;
  #socket: TLSSocket | undefined;
  #isPaused = false;
  #isGone = false;

  private constructor(owner: EndOwner) {
    this.#owner = owner;
    this.#wire = new Duplex({
      readableHighWaterMark: keepBytes,
      read: () => {
        if (!this.#isGone) owner.full(false);
      },
      write: (chunk: Buffer, _encoding, done) => {
        if (!this.#isGone) owner.cipher(chunk);
        done();
      },
      final: done => {
        done();
        if (!this.#isGone) owner.finished();
      },
    });
    this.#wire.on('error', error => this.#fail(error));
  }

  /** As the server of the client. `alpn`: the one protocol that is agreed to; undefined: none is named. */
  static server(terminating: NonNullable<TlsContexts['terminating']>, alpn: string | undefined, owner: EndOwner): TlsEnd {
    const end = new TlsEnd(owner);
    const { ca, ...own } = terminating;
    const server = createServer({ ...own, ...(ca !== undefined && { ca, requestCert: true, rejectUnauthorized: true }), ...(alpn !== undefined && { ALPNProtocols: [alpn] }), allowHalfOpen: true });
    server.on('secureConnection', socket => end.#secured(socket));
    server.on('tlsClientError', error => end.#fail(error));
    server.emit('connection', end.#wire);
    return end;
  }

  /** As a client of the server, which must prove to be `serverName` where that is known. */
  static client({ context, isPinned }: NonNullable<TlsContexts['originating']>, serverName: string | undefined, alpn: readonly string[], owner: EndOwner): TlsEnd {
    const end = new TlsEnd(owner);
    const socket = connect({
      socket: end.#wire, secureContext: context, rejectUnauthorized: true, ALPNProtocols: [...alpn],
      ...(serverName !== undefined && { servername: serverName }),
      // Without a name there is only the authority to go by: one that the policy has named, not any of the world's.
      ...(serverName === undefined && { checkServerIdentity: () => (isPinned ? undefined : new Error('the server\'s name is not known, and trustedCA is not set')) }),
    });
    socket.on('error', error => end.#fail(error));
    socket.once('secureConnect', () => end.#secured(socket));
    return end;
  }

  /** From the wire; copied. */
  feed(data: Buffer, start: number, end: number): void {
    if (this.#isGone) return;
    if (!this.#wire.push(Buffer.from(data.subarray(start, end)))) this.#owner.full(true);
  }

  feedEnd(): void {
    if (!this.#isGone) this.#wire.push(null);
  }

  /** Copied. False: no more until `drained`. */
  write(data: Buffer, start: number, end: number): boolean {
    return this.#socket === undefined || this.#isGone || this.#socket.write(Buffer.from(data.subarray(start, end)));
  }

  end(): void {
    if (!this.#isGone) this.#socket?.end();
  }

  /** No `plain` until it is taken back, from now on. */
  pause(on: boolean): void {
    this.#isPaused = on;
    if (on) this.#socket?.pause();
    else this.#socket?.resume();
  }

  destroy(): void {
    this.#isGone = true;
    this.#socket?.destroy();
    this.#wire.destroy();
  }

  #secured(socket: TLSSocket): void {
    if (this.#isGone) return void socket.destroy();
    this.#socket = socket;
    socket.on('error', error => this.#fail(error));
    socket.on('drain', () => this.#isGone || this.#owner.drained());
    this.#owner.secure(typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined);
    if (this.#isGone) return;
    socket.on('data', (part: Buffer) => this.#isGone || this.#owner.plain(part));
    socket.on('end', () => this.#isGone || this.#owner.ended());
    if (this.#isPaused) socket.pause();
  }

  #fail(error: Error): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#owner.failed(error);
  }
}
