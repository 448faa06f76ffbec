import type { DrainStage, Layers, Session, Side, Wire } from '../protocol.ts';
import { Alert, alertRecord } from './alert.ts';
import { readClientHello } from './client-hello.ts';
import type { TlsContexts } from './contexts.ts';
import { TlsEnd } from './end.ts';
import { InnerWire } from './inner-wire.ts';
import type { Ends } from './inner-wire.ts';
import { judgeName } from './names.ts';
import type { NameRules } from './names.ts';
import { directionsOf, recordFault, recordName } from './record.ts';

/** A client has so long until there are keys on both sides. */
const handshakeMs = 15_000;
const nothing = Buffer.alloc(0);
/** As many bytes tell HTTP/2 from HTTP/1.1; a server of HTTP/2 speaks before it has been asked. */
const distinctBytes = 3;

/** What is within TLS, and what TLS is made with. */
export interface Opening {
  readonly contexts: TlsContexts;
  readonly names: () => Layers<NameRules>;
  /** Of what is within. Undefined: the contexts have changed, the connection is over. */
  readonly layers: () => Layers<unknown> | undefined;
  /** `http` agrees on a protocol by name (RFC 7301). */
  readonly isHttp: boolean;
  readonly openInner: (wire: Wire<unknown>) => Session;
}

/**
 * A connection whose TLS ends here, towards the client, the server, or both; what is within is another protocol's, which sees a wire as
 * if there were no TLS.
 *
 *     client ⇄ wire ⇄ TLS as the server ⇄ session within ⇄ TLS as a client ⇄ wire ⇄ server
 *
 * With TLS on both sides the server's comes first: it is agreed with the client on what the server has agreed on.
 */
export class TerminatedSession implements Session {
  readonly usesStreams = true;
  readonly #wire: Wire<unknown>;
  readonly #opening: Opening;
  readonly #ends: Ends = { client: undefined, server: undefined };
  #held: Buffer = nothing;
  #inner: InnerWire | undefined;
  #hasBegun = false;
  #clientEnded = false;
  #serverName: string | undefined;
  #isClosed = false;

  constructor(wire: Wire<unknown>, opening: Opening) {
    this.#wire = wire;
    this.#opening = opening;
    wire.wake(handshakeMs);
  }

  /** Keys cannot be handed on to another process. */
  get idle(): boolean {
    return false;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    const tls = this.#ends[from];
    if (tls) return tls.feed(data, start, end);
    if (this.#inner) return this.#inner.deliver(from, data, start, end);
    if (from === 'server') return this.#fault(Alert.internalError);
    // Until the session within has begun there is nobody to take more than the hello, or the first bytes.
    this.#held = Buffer.concat([this.#held, data.subarray(start, end)]);
    if (this.#hasBegun) this.#wire.pause('client', true);
    else this.#begin();
  }

  ended(from: Side): void {
    if (this.#isClosed) return;
    const tls = this.#ends[from];
    if (tls) tls.feedEnd();
    else if (this.#inner) this.#inner.session.ended(from);
    else if (from === 'client' && this.#hasBegun) this.#clientEnded = true;
    else this.#fault(undefined);
  }

  serverFailed(code: string): void {
    if (this.#isClosed) return;
    this.#ends.server?.destroy();
    this.#ends.server = undefined;
    if (this.#inner) this.#inner.session.serverFailed(code);
    else this.#fault(this.#opening.contexts.terminating && Alert.internalError);
  }

  timeout(): void {
    if (this.#inner) this.#inner.session.timeout();
    else if (!this.#isClosed) this.#fault(this.#opening.contexts.terminating && Alert.handshakeFailure);
  }

  drain(stage: DrainStage): void {
    const inner = this.#inner;
    if (!inner) return;
    inner.session.drain?.(stage === 'rest' ? 'end' : stage);
    if (stage === 'close' && inner.session.idle) inner.close('written');
  }

  closed(): void {
    this.#isClosed = true;
    this.#held = nothing;
    this.#ends.client?.destroy();
    this.#ends.server?.destroy();
    this.#inner?.session.closed();
    this.#inner = undefined;
  }

  /** With the hello where the client makes TLS, else with its first bytes. */
  #begin(): void {
    const { contexts: { terminating }, isHttp, names } = this.#opening;
    if (!terminating) {
      // "PRI" begins HTTP/2, and no request of HTTP/1.1.
      const begins = this.#held.toString('latin1', 0, 3);
      if (isHttp && begins.length < 3 && 'PRI'.startsWith(begins)) return;
      return this.#toServer(isHttp ? [begins === 'PRI' ? 'h2' : 'http/1.1'] : []);
    }
    const read = readClientHello(this.#held, 0, this.#held.length);
    if (read.kind === 'more') return;
    if (read.kind === 'fault') return this.#fault(read.isTls ? Alert.decodeError : undefined);
    const { serverName, alpn } = read.hello;
    const opinions = judgeName(names(), serverName);
    if (opinions.length > 0) recordName(this.#wire, serverName, opinions);
    if (opinions.some(opinion => !opinion.passes)) return this.#refuse(Alert.accessDenied);
    this.#serverName = serverName;
    const offered = isHttp ? alpn.filter(name => name === 'h2' || name === 'http/1.1') : alpn;
    if (this.#opening.contexts.originating) return this.#toServer(offered);
    // A server that is spoken to in the clear: most know HTTP/1.1, and a client that offers only HTTP/2 means it.
    this.#toClient(offered.includes('http/1.1') ? 'http/1.1' : offered[0]);
  }

  #toServer(alpn: readonly string[]): void {
    this.#hasBegun = true;
    const { contexts: { originating, terminating } } = this.#opening;
    this.#ends.server = TlsEnd.client(originating!, this.#serverName, alpn, {
      ...this.#ownerOf('server'),
      secure: agreed => {
        if (alpn.length > 0 && agreed !== undefined && !alpn.includes(agreed)) return this.#fault(Alert.handshakeFailure);
        // A server may speak first: its bytes wait until there is a session within.
        this.#ends.server?.pause(true);
        if (terminating) this.#toClient(agreed ?? (alpn.includes('http/1.1') ? 'http/1.1' : undefined));
        else if (alpn.includes('h2') && agreed !== 'h2') this.#fault(undefined);
        else this.#open();
      },
    });
  }

  #toClient(alpn: string | undefined): void {
    this.#hasBegun = true;
    const client = TlsEnd.server(this.#opening.contexts.terminating!, alpn, { ...this.#ownerOf('client'), secure: () => this.#open() });
    this.#ends.client = client;
    const held = this.#held;
    this.#held = nothing;
    this.#wire.pause('client', false);
    client.feed(held, 0, held.length);
    if (this.#clientEnded) client.feedEnd();
  }

  #open(): void {
    this.#wire.wake(0);
    const inner = new InnerWire(this.#wire, this.#opening.layers, this.#ends, this.#opening.isHttp && this.#ends.server ? distinctBytes : 0);
    this.#inner = inner;
    inner.session = this.#opening.openInner(inner);
    const held = this.#held;
    this.#held = nothing;
    // What was held back comes from the event loop: after these.
    inner.begin();
    if (held.length > 0) inner.deliver('client', held, 0, held.length);
    if (this.#isClosed) return;
    if (this.#clientEnded && !this.#ends.client) inner.session.ended('client');
  }

  #ownerOf(side: Side) {
    return {
      cipher: (data: Buffer) => this.#isClosed || this.#wire.send(side, data, 0, data.length),
      full: (on: boolean) => this.#isClosed || this.#wire.pause(side, on),
      plain: (data: Buffer) => this.#isClosed || this.#inner?.deliver(side, data, 0, data.length),
      ended: () => this.#isClosed || this.#inner?.session.ended(side),
      drained: () => this.#isClosed || this.#inner?.drained(side),
      finished: () => this.#isClosed || (this.#inner ? this.#inner.finished(side) : undefined),
      failed: () => {
        if (this.#isClosed) return;
        // What TLS has to say of it, an alert, it has said by now.
        this.#fault(side === 'server' && !this.#ends.client && this.#opening.contexts.terminating ? Alert.internalError : undefined);
      },
    };
  }

  #fault(alert: number | undefined): void {
    recordFault(this.#wire, this.#serverName, directionsOf(this.#wire.layers()));
    this.#refuse(alert);
  }

  #refuse(alert: number | undefined): void {
    if (alert !== undefined) {
      const record = alertRecord(alert);
      this.#wire.send('client', record, 0, record.length);
    }
    this.#isClosed = true;
    this.#wire.close('written');
  }
}
