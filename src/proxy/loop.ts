import { Epoll } from '../sys/epoll.ts';
import { type Stable, stable } from '../sys/memory.ts';
import { watchReadable } from '../sys/native.ts';
import { closePipe, makePipe, type Pipe } from '../sys/streams.ts';
import { Gather } from './gather.ts';
import { tickMs, Wheel } from './wheel.ts';

/** Whoever is told of a descriptor's events. */
export interface Watched {
  ready(events: number): void;
}

/** Whose bytes the loop has gathered. */
export interface Gathering {
  /** Writes them. */
  writeOut(): void;
}

export interface LoopLimits {
  /** Bytes of one read. */
  readonly readBytes: number;
  /** What one side may have waiting to be written before nothing more is read for it. */
  readonly queueBytes: number;
  /** The same over all connections: above it reads are small. Above twice as much whoever adds to it is cut off. */
  readonly totalQueueBytes: number;
  readonly pipes: number;
  readonly pipeBytes: number;
}

export const defaultLimits: LoopLimits = { readBytes: 64 << 10, queueBytes: 64 << 10, totalQueueBytes: 16 << 20, pipes: 64, pipeBytes: 1 << 20 };

/** How long the event loop of Node waits for this one: other work of the process is rare and in no hurry. */
const longestStayMs = 10;
/** How long it waits for more before it goes back: between two messages of a busy connection the way back would cost more. */
const lingerMs = 4;

/**
 * One thread's sockets. It lives within Node's own event loop, which watches its epoll: an idle one costs nothing, a busy one stays
 * with its sockets for up to 10 ms.
 */
export class Loop {
  readonly limits: LoopLimits;
  readonly epoll = new Epoll();
  readonly wheel = new Wheel(Math.floor(performance.now() / tickMs));
  /** Where everything is read into. What is in it is valid until the next read. */
  readonly read: Stable;
  readonly readBuffer: Buffer;
  /** What the session of the moment sends, by side: see `Gather`. */
  readonly toClient: Gather;
  readonly toServer: Gather;
  /** Whose they are: another one's bytes never join them, even if it is called within this one's call. */
  gathering: Gathering | undefined;
  /** Connections whose sessions use streams of Node. */
  streams = 0;
  /** Waiting to be written, over all connections. */
  queuedBytes = 0;
  /** Before the events of a turn are handled, and at each tick. */
  onTurn: () => void = () => {};
  readonly #watched: (Watched | undefined)[] = [];
  readonly #free: number[] = [];
  /** Numbers that were given back in this turn: its later events may still bear them. */
  readonly #freed: number[] = [];
  readonly #pipes: Pipe[] = [];
  #pipesMade = 0;
  #ends = false;

  constructor(limits: LoopLimits = defaultLimits) {
    this.limits = limits;
    this.read = stable(limits.readBytes);
    this.readBuffer = Buffer.from(this.read.bytes.buffer);
    this.toClient = new Gather(this.read, this.readBuffer);
    this.toServer = new Gather(this.read, this.readBuffer);
  }

  /** A number for `add` and `modify` of the epoll; its events go to `watched`. */
  enlist(watched: Watched): number {
    const token = this.#free.pop() ?? this.#watched.length;
    this.#watched[token] = watched;
    return token;
  }

  /** In the epoll from now on. */
  watch(watched: Watched, fd: number, interest: number): number {
    const token = this.enlist(watched);
    this.epoll.add(fd, interest, token);
    return token;
  }

  /** Before the descriptor is closed, or with it. */
  unwatch(token: number): void {
    this.#watched[token] = undefined;
    this.#freed.push(token);
  }

  /** Waits for events and handles them; returns how many there were. */
  turn(timeoutMs: number): number {
    const { epoll } = this;
    const count = epoll.wait(timeoutMs);
    if (count === 0) return 0;
    this.onTurn();
    for (let i = 0; i < count; i++) this.#watched[epoll.token(i)]?.ready(epoll.ready(i));
    while (this.#freed.length > 0) this.#free.push(this.#freed.pop()!);
    return count;
  }

  /** Turns, as long as one comes after the other within `forMs`, for at most 10 ms. */
  stay(forMs: number): void {
    const until = performance.now() + longestStayMs;
    while (this.turn(forMs) > 0 && performance.now() < until && !this.#ends && this.streams === 0);
  }

  gatherFor(next: Gathering): void {
    this.gathering?.writeOut();
    this.gathering = next;
  }

  /** The ticks of all timers; `run` calls it. */
  tick(): void {
    this.onTurn();
    this.wheel.advance(Math.floor(performance.now() / tickMs));
  }

  /**
   * Until the signal: within Node's event loop. Its callbacks for descriptors come from outside of any callback scope: what streams of
   * Node (TLS) put off until the end of theirs would run in the middle of a connection's call, or wait for the next timer. Where
   * sessions use such streams each turn is a callback of its own, and lingers for nothing.
   */
  run(signal: AbortSignal): void {
    let isComing = false;
    const turnOnce = () => {
      isComing = false;
      if (!this.#ends) this.turn(0);
    };
    this.#ends = signal.aborted;
    const watch = watchReadable(this.epoll.fd, () => {
      if (this.streams > 0) {
        if (!isComing) setImmediate(turnOnce);
        isComing = true;
        return;
      }
      this.stay(lingerMs);
    });
    const timer = setInterval(() => this.tick(), tickMs);
    signal.addEventListener('abort', () => {
      this.#ends = true;
      watch.stop();
      clearInterval(timer);
    }, { once: true });
  }

  /** An empty pipe, to be given back empty; undefined when all are in use. */
  takePipe(): Pipe | undefined {
    const kept = this.#pipes.pop();
    if (kept || this.#pipesMade >= this.limits.pipes) return kept;
    this.#pipesMade++;
    return makePipe(this.limits.pipeBytes);
  }

  givePipe(pipe: Pipe): void {
    this.#pipes.push(pipe);
  }

  /** One that has something in it. */
  dropPipe(pipe: Pipe): void {
    closePipe(pipe);
    this.#pipesMade--;
  }

  close(): void {
    this.epoll.close();
    this.#pipes.splice(0).forEach(closePipe);
  }
}
