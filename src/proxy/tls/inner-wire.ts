import type { HttpFacts, HttpOpinion, Layers, Session, SessionRecord, Side, Wire } from '../protocol.ts';
import type { TlsEnd } from './end.ts';

/** A side without TLS has none. */
export interface Ends {
  client: TlsEnd | undefined;
  server: TlsEnd | undefined;
}

const otherOf = { client: 'server', server: 'client' } as const;

/** The wire of the session within TLS: what it sends is encrypted where there is TLS, and waits where TLS has more than it can take. */
export class InnerWire implements Wire<unknown> {
  session!: Session;
  readonly #wire: Wire<unknown>;
  readonly #layers: () => Layers<unknown> | undefined;
  readonly #ends: Ends;
  /** Bytes of a side that pass unread. */
  readonly #left = { client: 0, server: 0 };
  readonly #pausedBySession = { client: false, server: false };
  /** The other side has more than it can take. */
  readonly #pausedByOther = { client: false, server: false };
  /** Plain bytes that the client has yet to send before the server's are handed on; both sides' TLS is made before anybody has said anything. */
  #serverWaits: number;
  /** After close('written'): sides whose TLS has yet to end. */
  readonly #closing = { client: false, server: false };

  constructor(wire: Wire<unknown>, layers: () => Layers<unknown> | undefined, ends: Ends, serverWaits: number) {
    this.#serverWaits = serverWaits;
    this.#wire = wire;
    this.#layers = layers;
    this.#ends = ends;
  }

  /** Plain bytes of a side. */
  deliver(from: Side, data: Buffer, start: number, end: number): void {
    const passed = Math.min(this.#left[from], end - start);
    if (passed > 0) {
      this.#left[from] -= passed;
      this.send(otherOf[from], data, start, start + passed);
    }
    if (start + passed < end) this.session.data(from, data, start + passed, end);
    if (from === 'client' && this.#serverWaits > 0) {
      this.#serverWaits = Math.max(0, this.#serverWaits - (end - start));
      this.#pace('server');
    }
  }

  /** After the session has begun. */
  begin(): void {
    this.#pace('client');
    this.#pace('server');
  }

  drained(side: Side): void {
    const from = otherOf[side];
    this.#pausedByOther[from] = false;
    this.#pace(from);
  }

  /** This side has all that was written to it, and the end of it. */
  finished(side: Side): void {
    if (!this.#closing[side]) return this.#wire.end(side);
    this.#closing[side] = false;
    if (!this.#closing.client && !this.#closing.server) this.#wire.close('written');
  }

  layers(): Layers<unknown> {
    const layers = this.#layers();
    if (!layers) this.#wire.close('once');
    return layers ?? {};
  }

  send(to: Side, data: Buffer, start: number, end: number): void {
    const tls = this.#ends[to];
    if (!tls) return this.#wire.send(to, data, start, end);
    if (start === end || tls.write(data, start, end)) return;
    const from = otherOf[to];
    this.#pausedByOther[from] = true;
    this.#pace(from);
  }

  end(to: Side): void {
    const tls = this.#ends[to];
    if (tls) tls.end();
    else this.#wire.end(to);
  }

  close(at: 'once' | 'written'): void {
    if (at === 'once' || (!this.#ends.client && !this.#ends.server)) return this.#wire.close(at);
    // Each TLS side says that it is over (close_notify) before the connection is.
    for (const side of ['client', 'server'] as const) this.#closing[side] = this.#ends[side] !== undefined;
    for (const side of ['client', 'server'] as const) this.#ends[side]?.end();
  }

  passAll(): void {
    this.#left.client = this.#left.server = Infinity;
  }

  pass(from: Side, bytes: number): void {
    this.#left[from] += bytes;
  }

  pause(from: Side, on: boolean): void {
    this.#pausedBySession[from] = on;
    this.#pace(from);
  }

  wake(ms: number): void {
    this.#wire.wake(ms);
  }

  now(): number {
    return this.#wire.now();
  }

  record(record: SessionRecord): void {
    this.#wire.record(record);
  }

  request(facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    this.#wire.request(facts, opinions);
  }

  answer(facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    this.#wire.answer(facts, opinions, status);
  }

  #pace(from: Side): void {
    const on = this.#pausedBySession[from] || this.#pausedByOther[from] || (from === 'server' && this.#serverWaits > 0);
    const tls = this.#ends[from];
    if (tls) tls.pause(on);
    else this.#wire.pause(from, on);
  }
}
