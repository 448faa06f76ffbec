/** One connection through a box by hand: each segment at an offset that the test gives, and all of it before the eyes of the model. */
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { HttpConnectionModel } from '../differential/http-connection-model.ts';
import type { Box, Passed } from './http-world.ts';
import { distance, plus, segment, tcpFlag } from './tcp-segment.ts';
import type { Segment, TcpOptions } from './tcp-segment.ts';

export interface ByHand {
  /** Offset in the peer's stream that is acknowledged; all that has been sent there, unless given. */
  readonly ack?: number;
  readonly flags?: number;
  readonly options?: TcpOptions;
  readonly urgent?: number;
  readonly window?: number;
  readonly packet?: number;
}

export interface Isns {
  readonly client: number;
  readonly server: number;
}

export class HttpByHand {
  readonly model: HttpConnectionModel;
  readonly isns: Isns;
  readonly #box: Box;
  /** What the client has been sent, and the server: offsets behind it, for acknowledgements. */
  #clientHas = 0;
  #serverHas = 0;
  #wrote = 0;

  constructor(box: Box, matcher: HttpMatcher, isns: Isns = { client: 1000, server: 0xfffffff0 }) {
    this.#box = box;
    this.isns = isns;
    this.model = new HttpConnectionModel({ matcher, honest: false, judgesClient: true });
  }

  open(options: TcpOptions = { mss: 1460 }): this {
    this.syn(this.isns.client, options);
    this.pass('server', segment({ seq: this.isns.server, ack: plus(this.isns.client, 1), flags: tcpFlag.syn | tcpFlag.ack, options }));
    this.client(0, '');
    return this;
  }

  syn(isn: number, options: TcpOptions = { mss: 1460 }): Passed {
    return this.pass('client', segment({ seq: isn, ack: 0, flags: tcpFlag.syn, options }));
  }

  /** Bytes of the client from an offset of its stream on. */
  client(at: number, payload: string | Buffer, o: ByHand = {}): Passed {
    return this.pass('client', this.segmentOf('client', at, payload, o));
  }

  server(at: number, payload: string | Buffer, o: ByHand = {}): Passed {
    return this.pass('server', this.segmentOf('server', at, payload, o));
  }

  /** The server's application answers: the next bytes of its stream, whole. */
  answer(text: string, o: ByHand = {}): Passed {
    const bytes = Buffer.from(text, 'latin1');
    this.model.serverWrote(bytes, true);
    const at = this.#wrote;
    this.#wrote += bytes.length;
    return this.server(at, bytes, o);
  }

  segmentOf(from: 'client' | 'server', at: number, payload: string | Buffer, o: ByHand): Segment {
    const own = from === 'client' ? this.isns.client : this.isns.server, other = from === 'client' ? this.isns.server : this.isns.client;
    const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
    const acked = o.ack ?? (from === 'client' ? this.#clientHas : this.#serverHas);
    return segment({
      seq: plus(own, 1 + at), ack: plus(other, 1 + acked), flags: o.flags ?? tcpFlag.ack, payload: bytes, ...(o.options && { options: o.options }), ...(o.urgent && { urgent: o.urgent }), ...(o.window !== undefined && { window: o.window }), ...(o.packet && { packet: o.packet }),
    });
  }

  pass(from: 'client' | 'server', s: Segment): Passed {
    if (from === 'client') this.model.clientSent(s);
    else this.model.serverSent(s);
    return this.seen(from === 'client' ? this.#box.fromClient(s) : this.#box.fromServer(s));
  }

  /** Of the client, as `client`, but what comes out of the box is lost. */
  lost(at: number, payload: string, o: ByHand = {}): void {
    const s = this.segmentOf('client', at, payload, o);
    this.model.clientSent(s);
    this.#box.fromClient(s);
  }

  /** What came out of the box by another way than `pass`. */
  seen(passed: Passed): Passed {
    for (const s of passed.toServer) {
      this.model.serverGot(s);
      if (s.payload.length > 0) this.#serverHas = Math.max(this.#serverHas, distance(s.seq, plus(this.isns.client, 1)) + s.payload.length);
    }
    for (const s of passed.toClient) {
      this.model.clientGot(s);
      const end = distance(s.seq, plus(this.isns.server, 1)) + s.payload.length;
      if (!(s.flags & (tcpFlag.syn | tcpFlag.rst))) this.#clientHas = Math.max(this.#clientHas, end);
    }
    return passed;
  }

  /** All that the server can have read. */
  get atServer(): string {
    return this.model.atServer.bytes.toString('latin1');
  }

  get atClient(): string {
    return this.model.atClient.bytes.toString('latin1');
  }

  faults(): readonly string[] {
    this.model.finish({});
    return this.model.faults;
  }
}
