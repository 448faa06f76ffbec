/**
 * One end of a TCP connection without a kernel, in steps that a test chooses: it cuts what it sends where its seed wants, sends it again when
 * its timer is rung, and takes what RFC 9293 lets it take (RFC 5961 for resets, RFC 7323 for timestamps).
 */
import type { Random } from '../differential/random.ts';
import { distance, lengthOf, plus, segment, tcpFlag } from './tcp-segment.ts';
import type { Segment, TcpOptions } from './tcp-segment.ts';

export interface TcpEndOptions {
  readonly random: Random;
  readonly isn: number;
  /** Most bytes of one segment. */
  readonly mss: number;
  readonly window: number;
  readonly timestamps: boolean;
  readonly sack: boolean;
  /** 0: the clock of timestamps begins there. */
  readonly clock: number;
}

const none = Buffer.alloc(0);

export class TcpEnd {
  readonly isn: number;
  state: 'listen' | 'syn-sent' | 'syn-received' | 'open' | 'reset' = 'listen';
  /** All bytes in order. */
  received = none;
  /** The peer sends no more. */
  peerEnded = false;
  onData: (bytes: Buffer) => void = () => {};
  onEnd: () => void = () => {};
  readonly #o: TcpEndOptions;
  /** Bytes from `isn` + 1 on: all that was written. */
  #written = none;
  #ending = false;
  /** Offsets in what was written; the FIN is the one behind the last. */
  #acked = 0;
  #sent = 0;
  #peerWindow = 65_535;
  #synAcked = false;
  #peerIsn = 0;
  #waiting: { readonly at: number; readonly bytes: Buffer }[] = [];
  #finAt = Infinity;
  #recent = 0;
  #recentKnown = false;
  #clock: number;
  /** What comes of `receive` is an acknowledgement of its own. */
  #owed = false;

  constructor(o: TcpEndOptions) {
    this.#o = o;
    this.isn = o.isn;
    this.#clock = o.clock;
  }

  open(): Segment {
    this.state = 'syn-sent';
    return this.#syn(tcpFlag.syn);
  }

  write(bytes: Buffer): void {
    if (!this.#ending) this.#written = Buffer.concat([this.#written, bytes]);
  }

  end(): void {
    this.#ending = true;
  }

  /** All that was written has been acknowledged, the FIN too. */
  get flushed(): boolean {
    return this.#acked === this.#last;
  }

  get next(): number {
    return plus(this.isn, 1 + this.#sent);
  }

  /** Where its peer's next byte is expected. */
  get expected(): number {
    return plus(this.#peerIsn, 1 + this.received.length + (this.peerEnded ? 1 : 0));
  }

  get progress(): string {
    return `${this.state} ${this.#acked}/${this.#sent}/${this.#written.length} ${this.received.length} ${this.peerEnded}`;
  }

  get #last(): number {
    return this.#written.length + (this.#ending ? 1 : 0);
  }

  get #isOver(): boolean {
    return this.state === 'reset';
  }

  /** New segments, as far as the peer's window goes. */
  poll(): Segment[] {
    if (this.state !== 'open') return [];
    const out: Segment[] = [];
    const limit = Math.min(this.#last, this.#acked + this.#peerWindow);
    while (this.#sent < limit) out.push(this.#piece(this.#sent, limit));
    if (out.length === 0 && this.#owed) out.push(this.#bare());
    this.#owed = false;
    return out;
  }

  /** The retransmission timer: from the first byte that was not acknowledged, newly cut; into a closed window, one byte. */
  ring(): Segment[] {
    this.#clock++;
    if (this.state === 'syn-sent') return [this.#syn(tcpFlag.syn)];
    if (this.state === 'syn-received') return [this.#syn(tcpFlag.syn | tcpFlag.ack)];
    if (this.state !== 'open' || this.#acked >= this.#last) return [];
    const limit = Math.min(this.#last, Math.max(this.#sent, this.#acked + Math.max(1, this.#peerWindow)));
    const out: Segment[] = [];
    // TCP sends the first segment again; with several at once a box sees more kinds of overlap.
    const pieces = this.#o.random.integer(1, 3);
    for (let at = this.#acked, i = 0; at < limit && i < pieces; i++) {
      const again = this.#piece(at, limit);
      at += lengthOf(again);
      out.push(again);
    }
    return out;
  }

  receive(s: Segment): void {
    if (this.#isOver) return;
    this.#clock++;
    if (this.state === 'listen' || this.state === 'syn-sent') return this.#handshake(s);
    if (s.flags & tcpFlag.syn) {
      // A retransmission of the first one, or nothing at all: RFC 5961 §4.
      this.#owed = true;
      return;
    }
    const timestamps = this.#o.timestamps ? s.options?.timestamps : undefined;
    if (timestamps && this.#recentKnown && distance(timestamps[0], this.#recent) < 0 && !(s.flags & tcpFlag.rst)) {
      this.#owed = true;
      return;
    }
    const at = distance(s.seq, plus(this.#peerIsn, 1 + this.received.length)) + this.received.length;
    if (s.flags & tcpFlag.rst) {
      if (s.seq === this.expected) this.state = 'reset';
      else if (at > this.received.length && at < this.received.length + this.#o.window) this.#owed = true;
      return;
    }
    if (!(s.flags & tcpFlag.ack)) return;
    if (at > this.received.length + this.#o.window || at + lengthOf(s) < this.received.length) {
      this.#owed = true;
      return;
    }
    if (!this.#acknowledge(s)) return;
    if (timestamps && at <= this.received.length) {
      this.#recent = timestamps[0];
      this.#recentKnown = true;
    }
    if (lengthOf(s) > 0) this.#owed = true;
    else if (at < this.received.length) this.#owed = true;
    if (s.payload.length > 0 && !this.peerEnded) this.#waiting.push({ at, bytes: s.payload });
    if (s.flags & tcpFlag.fin) this.#finAt = Math.min(this.#finAt, at + s.payload.length);
    this.#take();
  }

  /** A reset as the end itself would send it. */
  abort(): Segment {
    this.state = 'reset';
    return segment({ seq: this.next, ack: this.expected, flags: tcpFlag.rst | tcpFlag.ack });
  }

  #handshake(s: Segment): void {
    if (!(s.flags & tcpFlag.syn) || s.flags & tcpFlag.rst) {
      if (s.flags & tcpFlag.rst && this.state === 'syn-sent') this.state = 'reset';
      return;
    }
    if (this.state === 'syn-sent' && (!(s.flags & tcpFlag.ack) || s.ack !== plus(this.isn, 1))) return;
    this.#peerIsn = s.seq;
    this.#peerWindow = s.window;
    if (s.options?.timestamps) {
      this.#recent = s.options.timestamps[0];
      this.#recentKnown = true;
    }
    if (this.state === 'syn-sent') {
      this.#synAcked = true;
      this.state = 'open';
      this.#owed = true;
    } else this.state = 'syn-received';
  }

  /** False: it acknowledges what was never sent, and is not taken. */
  #acknowledge(s: Segment): boolean {
    if (this.state === 'syn-received') {
      if (distance(s.ack, plus(this.isn, 1)) < 0) return false;
      this.state = 'open';
      this.#synAcked = true;
    }
    const acked = distance(s.ack, plus(this.isn, 1 + this.#acked)) + this.#acked;
    if (acked > this.#sent) {
      this.#owed = true;
      return false;
    }
    if (acked >= this.#acked) {
      this.#acked = acked;
      this.#peerWindow = s.window;
    }
    return true;
  }

  #take(): void {
    for (let found = true; found && !this.peerEnded;) {
      found = false;
      for (const { at, bytes } of this.#waiting) {
        const skip = this.received.length - at;
        if (skip < 0 || skip >= bytes.length) continue;
        const fresh = bytes.subarray(skip, Math.min(bytes.length, this.#finAt - at));
        if (fresh.length === 0) continue;
        this.received = Buffer.concat([this.received, fresh]);
        found = true;
        this.onData(fresh);
      }
      this.#waiting = this.#waiting.filter(({ at, bytes }) => at + bytes.length > this.received.length);
    }
    if (!this.peerEnded && this.#finAt === this.received.length) {
      this.peerEnded = true;
      this.#waiting = [];
      this.onEnd();
    }
  }

  #piece(at: number, limit: number): Segment {
    const { random, mss } = this.#o;
    const most = Math.min(limit, this.#written.length) - at;
    const size = most <= 0 ? 0 : Math.min(most, random.chance(0.4) ? mss : random.integer(1, Math.min(mss, 40)));
    const fin = this.#ending && at + size === this.#written.length && limit > this.#written.length && (size === 0 || random.chance(0.5));
    this.#sent = Math.max(this.#sent, at + size + (fin ? 1 : 0));
    return segment({ ...this.#common(), seq: plus(this.isn, 1 + at), flags: tcpFlag.ack | (size > 0 ? tcpFlag.psh : 0) | (fin ? tcpFlag.fin : 0), payload: this.#written.subarray(at, at + size) });
  }

  #bare(): Segment {
    return segment({ ...this.#common(), seq: this.next, flags: tcpFlag.ack });
  }

  #syn(flags: number): Segment {
    const options = { mss: 1460, ...(this.#o.sack && { sackPermitted: true }), ...this.#stamp() };
    return segment({ seq: this.isn, ack: flags & tcpFlag.ack ? plus(this.#peerIsn, 1) : 0, flags, window: this.#o.window, options });
  }

  #common(): { ack: number; window: number; options: TcpOptions } {
    const sack = this.#o.sack ? this.#waiting.slice(0, 3).map(({ at, bytes }) => [plus(this.#peerIsn, 1 + at), plus(this.#peerIsn, 1 + at + bytes.length)] as const) : [];
    return { ack: this.expected, window: this.#o.window, options: { ...this.#stamp(), ...(sack.length > 0 && { sack }) } };
  }

  #stamp(): TcpOptions {
    return this.#o.timestamps ? { timestamps: [this.#clock >>> 0, this.#recentKnown ? this.#recent : 0] } : {};
  }
}
