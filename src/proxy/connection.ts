import { monotonicMicroseconds } from './clock.ts';
import { attemptsOfLocal, type Admission, type Host } from './host.ts';
import { Leg, type LegOwner } from './leg.ts';
import type { Gathering, Loop } from './loop.ts';
import { passThrough } from './pass-through.ts';
import { Passage } from './passage.ts';
import type { DrainStage, HttpFacts, HttpOpinion, Layers, Session, SessionRecord, Side, Wire } from './protocol.ts';
import { type Timed, tickMs } from './wheel.ts';

/** A client, its server, and the session between them. */
export class Connection implements Wire<unknown>, LegOwner, Timed, Gathering {
  readonly about: Admission;
  readonly client: Leg;
  server: Leg | undefined;
  /** The tick of its last bytes. */
  active: number;
  /** Place in the worker's list. */
  index = -1;
  /** Its client has been asked whether it is there. */
  asked = false;
  wheelTick = 0;
  wheelPrevious: Timed | undefined;
  wheelNext: Timed | undefined;
  readonly #host: Host;
  readonly #loop: Loop;
  readonly #session: Session;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #inCall = false;
  #closeAt: 'once' | 'written' | undefined;
  #serverFailure: string | undefined;
  readonly #passage: Passage;
  readonly #paused = { client: false, server: false };
  #suspended = false;
  #wakeTick = 0;
  #connectTick = 0;
  #attempts = 0;
  #closeTick = 0;

  constructor(host: Host, about: Admission, clientFd: number, serverFd?: number) {
    this.#host = host;
    this.#loop = host.loop;
    this.about = about;
    this.#passage = new Passage(this.#loop, this);
    this.active = this.#loop.wheel.now;
    this.client = new Leg(this.#loop, this, 'client', clientFd, false);
    if (serverFd !== undefined) this.server = new Leg(this.#loop, this, 'server', serverFd, false);
    this.#inCall = true;
    this.#session = (about.passes ? passThrough : about.protocol).open(this, about.row.sourceEndpoint);
    if (this.#session.usesStreams) this.#loop.streams++;
    this.#leave();
    this.#loop.wheel.arm(this, this.#idleTick());
  }

  /** Could go to another process now. */
  get idle(): boolean {
    const { client, server } = this;
    return this.#state === 'open' && !this.#suspended && client.idle && !client.ended && (!server || (server.idle && !server.ended)) && this.#passage.rests && (this.#passage.all || this.#session.idle);
  }

  get passing(): boolean {
    return this.#passage.all;
  }

  layers(): Layers<unknown> {
    if (this.about.row.generation !== this.#host.generation && !this.#inCall && !this.#host.review(this)) this.close('once');
    return this.about.layers;
  }

  send(to: Side, data: Buffer, start: number, end: number): void {
    if (start >= end || this.#closeAt !== undefined || this.#state !== 'open') return;
    const leg = to === 'client' ? this.client : this.server ?? this.#connect();
    if (!leg || leg.ending || leg.closed) return;
    if (this.#loop.gathering !== this) this.#loop.gatherFor(this);
    leg.gather(to === 'client' ? this.#loop.toClient : this.#loop.toServer, data, start, end);
    if (!this.#inCall) this.#leave();
  }

  end(to: Side): void {
    const leg = to === 'client' ? this.client : this.server;
    if (leg) leg.ending = true;
    if (!this.#inCall) this.#leave();
  }

  close(at: 'once' | 'written'): void {
    if (this.#closeAt !== 'once') this.#closeAt = at;
    if (!this.#inCall) this.#leave();
  }

  passAll(): void {
    this.#passage.passAll();
    if (!this.server) this.#connect();
    if (!this.#inCall) this.#leave();
  }

  pass(from: Side, bytes: number): void {
    this.#passage.left[from] += bytes;
    if (from === 'client' && !this.server) this.#connect();
    if (!this.#inCall) this.#leave();
  }

  pause(from: Side, on: boolean): void {
    this.#paused[from] = on;
    if (!this.#inCall) this.#leave();
  }

  wake(ms: number): void {
    const { wheel } = this.#loop;
    this.#wakeTick = ms === 0 ? 0 : wheel.now + 1 + Math.ceil(ms / tickMs);
    if (ms !== 0) wheel.arm(this, this.#wakeTick);
  }

  now(): number {
    return monotonicMicroseconds();
  }

  record(record: SessionRecord): void {
    this.#host.record(this, record);
  }

  request(facts: HttpFacts, opinions: readonly HttpOpinion[]): void {
    this.#host.request(this, facts, opinions);
  }

  answer(facts: HttpFacts, opinions: readonly HttpOpinion[], status: number): void {
    this.#host.answer(this, facts, opinions, status);
  }

  readable(leg: Leg): void {
    const { side } = leg;
    const { readBytes, totalQueueBytes } = this.#loop.limits;
    if (this.#state === 'closing') {
      if (leg.read(readBytes) !== 0) return;
      leg.sawEnd();
      return this.#leave();
    }
    if (!this.#mayGoOn()) return;
    this.active = this.#loop.wheel.now;
    const left = this.#passage.leftOf(side);
    if (left >= readBytes) return this.#pass(leg);
    const count = leg.read(this.#loop.queuedBytes > totalQueueBytes ? readBytes >> 4 : readBytes);
    if (count < 0) return;
    if (count === 0) leg.sawEnd();
    this.#inCall = true;
    try {
      if (count === 0) this.#session.ended(side);
      else this.#deliver(side, count, left);
    } catch (error) {
      this.#fail(error);
    }
    this.#leave();
  }

  connected(_leg: Leg): void {
    this.#connectTick = 0;
    this.active = this.#loop.wheel.now;
  }

  drained(leg: Leg): void {
    this.active = this.#loop.wheel.now;
    if (this.#state === 'open' && !this.#passage.drain(leg)) return;
    if (!this.#inCall) this.#leave();
  }

  broken(leg: Leg, code: string): void {
    if (leg.closed) return;
    if (this.#state === 'closing' || leg === this.client || this.#passage.all) {
      this.#closeAt = 'once';
    } else {
      leg.close('reset');
      this.server = undefined;
      this.#connectTick = 0;
      this.#passage.left.client = this.#passage.left.server = 0;
      this.#serverFailure = code;
    }
    if (!this.#inCall) this.#leave();
  }

  tick(now: number): number {
    if (this.#state === 'closed') return 0;
    if (this.#suspended) return now + 1;
    if (this.#closeTick !== 0) return now >= this.#closeTick ? (this.#finish('reset'), 0) : this.#closeTick;
    if (this.#connectTick !== 0 && now >= this.#connectTick && this.server) this.#connectAgain(this.server);
    else if (now >= this.#idleTick()) this.close('once');
    else if (this.#wakeTick !== 0 && now >= this.#wakeTick) {
      this.#wakeTick = 0;
      this.#call(() => this.#session.timeout());
    }
    return this.#nextTick();
  }

  /** Compares what is in force with what it knows. */
  review(): void {
    if (this.#state === 'open') this.#mayGoOn();
  }

  /** The process is to end. */
  drain(stage: DrainStage): void {
    if (this.#state === 'open' && !this.#suspended && !this.#passage.all) this.#call(() => this.#session.drain?.(stage));
  }

  /** Reads nothing until it is resumed: another process may be about to take it. */
  suspend(on: boolean): void {
    this.#suspended = on;
    if (this.#state === 'open') this.#settle();
  }

  /** Another process goes on with both sockets. */
  handOver(): void {
    this.#session.closed();
    this.#gone(true);
    this.#passage.close();
    this.client.close('handed');
    this.server?.close('handed');
  }

  #call(run: () => void): void {
    this.#inCall = true;
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
    this.#leave();
  }

  #fail(error: unknown): void {
    this.#closeAt = 'once';
    this.#host.failed(this, error);
  }

  #mayGoOn(): boolean {
    if (this.about.row.generation === this.#host.generation || this.#host.review(this)) return true;
    this.#closeAt = 'once';
    this.#leave();
    return false;
  }

  /** `left` bytes of what was read pass, the rest is the session's. */
  #deliver(side: Side, count: number, left: number): void {
    const { readBuffer } = this.#loop;
    const passed = Math.min(left, count);
    if (passed > 0) this.#passage.passed(side, passed);
    this.send(side === 'client' ? 'server' : 'client', readBuffer, 0, passed);
    if (passed < count) this.#session.data(side, readBuffer, passed, count);
  }

  #pass(leg: Leg): void {
    const into = leg === this.client ? this.server : this.client;
    if (!into) return;
    this.#inCall = true;
    const count = this.#passage.move(leg, into);
    if (count === 0) leg.sawEnd();
    if (count === 0 && this.#passage.all) into.ending = true;
    else if (count === 0) return this.#call(() => this.#session.ended(leg.side));
    this.#leave();
  }

  #connect(): Leg | undefined {
    if (this.#serverFailure !== undefined) return undefined;
    try {
      this.server = new Leg(this.#loop, this, 'server', this.#host.connect(this), true);
    } catch (error) {
      this.#serverFailure = error instanceof Error && 'errno' in error ? String(error.errno) : 'EIO';
      return undefined;
    }
    this.#attempts = 1;
    this.#awaitConnect();
    return this.server;
  }

  #awaitConnect(): void {
    const { connectMs, attemptMs } = this.#host.times;
    // A server of this node answers at once.
    const ms = this.about.row.destinationEndpoint !== 0 && this.#attempts < attemptsOfLocal ? attemptMs : connectMs;
    this.#connectTick = this.#loop.wheel.now + 1 + Math.ceil(ms / tickMs);
    this.#loop.wheel.arm(this, this.#connectTick);
  }

  /** Its port may be another connection's, whose packets then are not ours: another try has another port. */
  #connectAgain(leg: Leg): void {
    if (this.about.row.destinationEndpoint === 0 || this.#attempts >= attemptsOfLocal) return this.broken(leg, 'ETIMEDOUT');
    try {
      this.server = new Leg(this.#loop, this, 'server', this.#host.connect(this), true);
    } catch {
      return this.broken(leg, 'ETIMEDOUT');
    }
    leg.moveQueue(this.server);
    this.server.awaitConnected();
    leg.close('reset');
    this.#attempts++;
    this.#awaitConnect();
  }

  /** After a call into the session, or an event: writes what was gathered and does what was asked for. */
  #leave(): void {
    this.#inCall = true;
    this.writeOut();
    while (this.#serverFailure !== undefined && this.#closeAt === undefined) {
      const code = this.#serverFailure;
      this.#serverFailure = undefined;
      try {
        if (this.#passage.all) this.#closeAt = 'once';
        else this.#session.serverFailed(code);
      } catch (error) {
        this.#fail(error);
      }
      this.writeOut();
    }
    this.server?.awaitConnected();
    this.#inCall = false;
    if (this.#state === 'closing') return this.#goOnClosing();
    if (this.#state === 'closed') return;
    if (this.#closeAt !== undefined) return this.#beginClosing(this.#closeAt);
    this.#settle();
    if (this.#host.draining && this.idle) this.#host.idle(this);
  }

  writeOut(): void {
    const { toClient, toServer, gathering } = this.#loop;
    if (gathering !== this) return;
    this.#loop.gathering = undefined;
    if (toServer.length > 0) {
      if (this.server && this.#closeAt !== 'once') this.server.writeGathered(toServer);
      toServer.clear();
    }
    if (toClient.length > 0) {
      if (this.#closeAt !== 'once') this.client.writeGathered(toClient);
      toClient.clear();
    }
  }

  /** Who is read from, whose FIN is due, and whether all is over. */
  #settle(): void {
    const { client, server } = this;
    const { queueBytes, totalQueueBytes } = this.#loop.limits;
    if (this.#loop.queuedBytes > 2 * totalQueueBytes && client.queuedBytes + (server?.queuedBytes ?? 0) > 0) return this.#beginClosing('once');
    const fromClient = this.#passage.heldOf('client') === 0;
    const fromServer = this.#passage.heldOf('server') === 0;
    if (client.ending && fromServer) client.finish();
    if (server?.ending && fromClient) server.finish();
    if (client.ended && client.finished && (!server || (server.ended && server.finished))) return this.#beginClosing('written');
    client.reading = !this.#suspended && !this.#paused.client && client.queuedBytes <= queueBytes && (server ? server.idle && fromClient : this.#passage.left.client === 0);
    if (server) server.reading = !this.#suspended && !this.#paused.server && client.idle && server.queuedBytes <= queueBytes && fromServer;
  }

  #beginClosing(at: 'once' | 'written'): void {
    this.#closeAt = at;
    this.#state = 'closing';
    try {
      this.#session.closed();
    } catch (error) {
      this.#host.failed(this, error);
    }
    this.#passage.close();
    if (at === 'once') return this.#finish('reset');
    this.client.ending = true;
    if (this.server) this.server.reading = false;
    this.#closeTick = this.#loop.wheel.now + Math.ceil(this.#host.times.lingerMs / tickMs);
    this.#loop.wheel.arm(this, this.#closeTick);
    this.#goOnClosing();
  }

  /** What a client has sent and nobody read would turn our FIN into a reset, and the reset destroys the answer: so it is read. */
  #goOnClosing(): void {
    if (this.#closeAt === 'once') return this.#finish('reset');
    this.client.finish();
    if (this.server?.idle) this.server.close('written');
    if (this.client.ended && this.client.finished && (this.server?.closed ?? true)) return this.#finish('written');
    this.client.reading = true;
  }

  #finish(at: 'reset' | 'written'): void {
    // First: once they are closed, the client may come again from the same port.
    this.#gone(false);
    this.client.close(at);
    this.server?.close(at);
  }

  #gone(handed: boolean): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#loop.wheel.remove(this);
    if (this.#session.usesStreams) this.#loop.streams--;
    this.#host.gone(this, handed);
  }

  #idleTick(): number {
    return this.active + Math.ceil(this.#host.times.idleMs / tickMs);
  }

  #nextTick(): number {
    if (this.#state === 'closed') return 0;
    return Math.min(this.#closeTick || this.#idleTick(), this.#connectTick || Infinity, this.#wakeTick || Infinity);
  }
}
