import { answerRecords, requestRecords } from './http/record.ts';
import type { HttpFacts, HttpOpinion, Layers, Session, SessionRecord, Side, Wire } from './protocol.ts';
import type { Records } from './worker.ts';

/** What a session did to its wire, in order; neighbouring bytes to one side are one entry. */
export type WireAct =
  | { readonly act: 'send'; readonly to: Side; readonly text: string }
  | { readonly act: 'end'; readonly to: Side }
  | { readonly act: 'close'; readonly at: 'once' | 'written' }
  | { readonly act: 'passAll' }
  | { readonly act: 'pass'; readonly from: Side; readonly bytes: number };

/**
 * A wire without sockets, for tests of sessions: remembers what was sent, passes what was to pass, has a clock that stands still
 * until it is moved. `open` gives it its session; then `from` is what a peer sends, whole or cut anywhere.
 */
export class FakeWire<Compiled> implements Wire<Compiled> {
  readonly acts: WireAct[] = [];
  readonly records: SessionRecord[] = [];
  readonly paused = { client: false, server: false };
  current: Layers<Compiled>;
  passing = false;
  closed: 'once' | 'written' | undefined;
  /** What `timeout()` was asked for, in milliseconds from `clockUs`; 0: nothing. */
  wakeMs = 0;
  clockUs = 1_000_000;
  readonly #sent = { client: [] as Buffer[], server: [] as Buffer[] };
  readonly #ended = { client: false, server: false };
  readonly #left = { client: 0, server: 0 };
  #session: Session | undefined;

  constructor(layers: Layers<Compiled>) {
    this.current = layers;
  }

  open(session: Session): Session {
    this.#session = session;
    return session;
  }

  get session(): Session {
    if (!this.#session) throw new Error('the wire has no session yet: call open()');
    return this.#session;
  }

  /** A peer sends; `pieces` bytes a call (all at once by default). Each call's bytes lie somewhere in a larger buffer, and are destroyed after it, as the loop does. */
  from(side: Side, data: Buffer | string, pieces = Infinity): this {
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    for (let at = 0; at < bytes.length && this.closed === undefined; at += pieces) this.#piece(side, bytes.subarray(at, Math.min(bytes.length, at + pieces)));
    return this;
  }

  /** A peer sends, cut at the given places. */
  fromCut(side: Side, bytes: Buffer, cuts: readonly number[]): this {
    const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
    for (let i = 1; i < places.length && this.closed === undefined; i++) this.#piece(side, bytes.subarray(places[i - 1], places[i]));
    return this;
  }

  /** Time goes by; the session's timer fires when it is due. */
  elapse(ms: number): this {
    this.clockUs += ms * 1000;
    if (this.wakeMs === 0) return this;
    this.wakeMs -= ms;
    if (this.wakeMs > 0) return this;
    this.wakeMs = 0;
    this.session.timeout();
    return this;
  }

  /** All that one side was sent. */
  sent(to: Side): Buffer {
    return Buffer.concat(this.#sent[to]);
  }

  sentText(to: Side): string {
    return this.sent(to).toString('latin1');
  }

  /** What one side was sent since the last time. */
  take(to: Side): string {
    const text = this.sentText(to);
    this.#sent[to].length = 0;
    return text;
  }

  isEnded(to: Side): boolean {
    return this.#ended[to];
  }

  layers(): Layers<Compiled> {
    return this.current;
  }

  send(to: Side, data: Buffer, start: number, end: number): void {
    if (start < 0 || end > data.length || start > end) throw new RangeError(`send ${start}..${end} of ${data.length}`);
    if (this.closed !== undefined || this.#ended[to] || start === end) return;
    const copy = Buffer.from(data.subarray(start, end));
    this.#sent[to].push(copy);
    const last = this.acts.at(-1);
    if (last?.act === 'send' && last.to === to) this.acts[this.acts.length - 1] = { ...last, text: last.text + copy.toString('latin1') };
    else this.acts.push({ act: 'send', to, text: copy.toString('latin1') });
  }

  end(to: Side): void {
    this.#ended[to] = true;
    this.acts.push({ act: 'end', to });
  }

  close(at: 'once' | 'written'): void {
    this.closed ??= at;
    this.acts.push({ act: 'close', at });
  }

  passAll(): void {
    this.passing = true;
    this.#left.client = this.#left.server = Infinity;
    this.acts.push({ act: 'passAll' });
  }

  pass(from: Side, bytes: number): void {
    this.#left[from] += bytes;
    this.acts.push({ act: 'pass', from, bytes });
  }

  pause(from: Side, on: boolean): void {
    this.paused[from] = on;
  }

  wake(ms: number): void {
    this.wakeMs = ms;
  }

  now(): number {
    return this.clockUs;
  }

  record(record: SessionRecord): void {
    this.records.push(record);
  }

  request(facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    this.records.push(...requestRecords(facts, opinions));
  }

  answer(facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    this.records.push(...answerRecords(facts, opinions, status));
  }

  #piece(side: Side, piece: Buffer): void {
    if (this.paused[side]) throw new Error(`the ${side} is paused: the loop would not read from it`);
    const passed = Math.min(this.#left[side], piece.length);
    this.#left[side] -= passed;
    if (passed > 0) this.send(side === 'client' ? 'server' : 'client', piece, 0, passed);
    if (passed === piece.length) return;
    const start = 7;
    const buffer = Buffer.alloc(start + piece.length - passed + 5, 0xee);
    piece.copy(buffer, start, passed);
    this.session.data(side, buffer, start, start + piece.length - passed);
    buffer.fill(0xee);
  }
}

/** Records as a list, for tests of workers. */
export class RecordList implements Records {
  readonly list: SessionRecord[] = [];

  add(_about: unknown, record: SessionRecord): void {
    this.list.push(record);
  }

  request(_about: unknown, facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    this.list.push(...requestRecords(facts, opinions));
  }

  answer(_about: unknown, facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    this.list.push(...answerRecords(facts, opinions, status));
  }
}
