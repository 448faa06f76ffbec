import { readiness } from '../sys/epoll.ts';
import { errnoName } from '../sys/errno.ts';
import { type Stable, stable } from '../sys/memory.ts';
import { lastErrno, recvAt, sendAt } from '../sys/native.ts';
import { closeByReset, closeSocket, shutdownWrite } from '../sys/net.ts';
import { errno, socketError } from '../sys/streams.ts';
import type { Gather } from './gather.ts';
import type { Loop, Watched } from './loop.ts';
import type { Side } from './protocol.ts';

/** Of a leg's events: what its owner does about them. */
export interface LegOwner {
  readable(leg: Leg): void;
  /** All that was queued has been written. */
  drained(leg: Leg): void;
  connected(leg: Leg): void;
  /** It can no longer be used; `code` as "ECONNRESET". */
  broken(leg: Leg, code: string): void;
}

interface Chunk {
  readonly memory: Stable;
  start: number;
  end: number;
}

const smallestChunk = 16 << 10;
const reads = readiness.in | readiness.peerEnd;
/** With these, what follows the bytes that have come tells of itself no more. */
const ending = readiness.peerEnd | readiness.hangup | readiness.error;

/** One of the two sockets of a connection, with what waits to be written to it. */
export class Leg implements Watched {
  readonly side: Side;
  readonly fd: number;
  queuedBytes = 0;
  connecting: boolean;
  /** It has sent its FIN. */
  ended = false;
  /** We are to send ours, once all is written. */
  ending = false;
  closed = false;
  readonly #loop: Loop;
  readonly #owner: LegOwner;
  readonly #token: number;
  readonly #queue: Chunk[] = [];
  #interest: number;
  /** Of the event that is being handled. */
  #events = 0;
  #reading: boolean;
  #wantsRoom = false;
  #finished = false;
  /** Out of the epoll: not in it yet, or it would report an end over and over that nobody wants to hear of yet. */
  #detached: boolean;

  constructor(loop: Loop, owner: LegOwner, side: Side, fd: number, connecting: boolean) {
    this.#loop = loop;
    this.#owner = owner;
    this.side = side;
    this.fd = fd;
    this.connecting = connecting;
    this.#reading = true;
    this.#detached = connecting;
    this.#interest = connecting ? 0 : reads;
    this.#token = connecting ? loop.enlist(this) : loop.watch(this, fd, reads | readiness.edge);
  }

  get idle(): boolean {
    return this.queuedBytes === 0 && !this.connecting;
  }

  /** We have sent our FIN. */
  get finished(): boolean {
    return this.#finished;
  }

  ready(events: number): void {
    this.#events = events;
    if (this.connecting) return this.#finishConnect();
    if ((events & readiness.out) !== 0 && this.#interest & readiness.out) {
      this.flush();
      if (this.closed) return;
    }
    if ((events & ~readiness.out) === 0) return;
    if (this.#reading && !this.ended) return this.#owner.readable(this);
    if ((events & (readiness.error | readiness.hangup)) === 0) return;
    // What it has sent may still be wanted, of a server that has closed; nobody waits for a client that is gone.
    if ((events & readiness.error) !== 0 && (this.side === 'client' || this.ended)) return this.#owner.broken(this, socketError(this.fd) ?? 'ECONNRESET');
    this.#detach();
  }

  /** Bytes read to the start of the loop's buffer, 0 at the end, -1 for nothing now; what is broken is told and -1. */
  read(most: number): number {
    const count = recvAt(this.fd, this.#loop.read.address, most, 0);
    if (count >= 0) {
      if (count === most || (count > 0 && (this.#events & ending) !== 0)) this.again();
      return count;
    }
    const code = lastErrno();
    if (code !== errno.again && code !== errno.interrupted) this.#owner.broken(this, errnoName(code));
    return -1;
  }

  /** There may be more to read than has been: it is told of that once more. A read that was not filled has emptied the socket. */
  again(): void {
    if (!this.closed && !this.#detached) this.#loop.epoll.modify(this.fd, this.#interest | readiness.edge, this.#token);
  }

  /** Reads from now on, or no more. */
  set reading(on: boolean) {
    if (this.#reading === on) return;
    this.#reading = on;
    this.#update();
  }

  get reading(): boolean {
    return this.#reading;
  }

  /** Bytes that are to be written with all others of the call; at once where there is no room. */
  gather(gather: Gather, data: Buffer, start: number, end: number): void {
    if (gather.add(data, start, end)) return;
    this.writeGathered(gather);
    if (this.closed || gather.add(data, start, end)) return;
    this.enqueue(data.subarray(start, end));
    this.flush();
  }

  /** Writes what was gathered; what the socket does not take is kept. */
  writeGathered(gather: Gather): void {
    const { length } = gather;
    if (length === 0) return;
    const written = this.queuedBytes === 0 ? this.#write(gather.address, length) : 0;
    if (written >= 0 && written < length) this.enqueue(gather.rest(written));
    gather.clear();
  }

  /** A copy of the bytes, to be written after all that waits already. */
  enqueue(bytes: Uint8Array): void {
    const last = this.#queue.at(-1);
    if (last && last.memory.bytes.length - last.end >= bytes.length) {
      last.memory.bytes.set(bytes, last.end);
      last.end += bytes.length;
    } else {
      const memory = stable(Math.max(smallestChunk, bytes.length));
      memory.bytes.set(bytes);
      this.#queue.push({ memory, start: 0, end: bytes.length });
    }
    this.queuedBytes += bytes.length;
    this.#loop.queuedBytes += bytes.length;
    this.#update();
  }

  /** What waits here is the other's to write. */
  moveQueue(to: Leg): void {
    for (const { memory, start, end } of this.#queue.splice(0)) to.enqueue(memory.bytes.subarray(start, end));
    to.ending = this.ending;
    this.#loop.queuedBytes -= this.queuedBytes;
    this.queuedBytes = 0;
  }

  /** It still connects: to be told when it has, if nobody is yet. */
  awaitConnected(): void {
    if (this.connecting) this.#update();
  }

  /** Besides the queue, the owner wants to know when it can be written to again: `drained`. */
  awaitRoom(): void {
    this.#wantsRoom = true;
    this.#update();
  }

  flush(): void {
    for (let chunk = this.#queue[0]; chunk; chunk = this.#queue[0]) {
      const written = this.#write(chunk.memory.address + chunk.start, chunk.end - chunk.start);
      if (written < 0) return;
      chunk.start += written;
      this.queuedBytes -= written;
      this.#loop.queuedBytes -= written;
      if (chunk.start < chunk.end) return;
      this.#queue.shift();
    }
    this.#wantsRoom = false;
    this.#owner.drained(this);
    if (!this.closed) this.#update();
  }

  /** FIN, once all is written: the owner asks again when it has drained. */
  finish(): void {
    this.ending = true;
    if (this.#finished || !this.idle) return;
    this.#finished = true;
    shutdownWrite(this.fd);
  }

  /** `handed`: another process has it too, and goes on with it. */
  close(at: 'reset' | 'written' | 'handed'): void {
    if (this.closed) return;
    this.closed = true;
    this.#loop.queuedBytes -= this.queuedBytes;
    this.queuedBytes = 0;
    this.#queue.length = 0;
    // A socket leaves the epoll with its last descriptor.
    if (at === 'handed' && !this.#detached) this.#loop.epoll.remove(this.fd);
    this.#loop.unwatch(this.#token);
    if (at === 'reset') closeByReset(this.fd);
    else closeSocket(this.fd);
  }

  /**
   * Bytes written, fewer than asked for when the socket is full or still connects; broken ones are told, then -1. Where the other end is on
   * this machine, the kernel has mostly connected when it returns from beginning to: then the first bytes go at once, and there is nothing
   * to wait for.
   */
  #write(address: number, length: number): number {
    const written = sendAt(this.fd, address, length, 0);
    if (written >= 0) {
      if (this.connecting) this.#connected();
      return written;
    }
    const code = lastErrno();
    if (code === errno.again || code === errno.interrupted) return 0;
    this.#owner.broken(this, errnoName(code));
    return -1;
  }

  #finishConnect(): void {
    const code = socketError(this.fd);
    if (code !== undefined) return this.#owner.broken(this, code);
    this.#connected();
    if (!this.closed) this.flush();
  }

  #connected(): void {
    this.connecting = false;
    this.#update();
    this.#owner.connected(this);
  }

  #update(): void {
    if (this.closed) return;
    const interest = (this.#reading && !this.ended && !this.connecting ? reads : 0) | (this.connecting || this.queuedBytes > 0 || this.#wantsRoom ? readiness.out : 0);
    if (interest === this.#interest && !(this.#detached && interest !== 0)) return;
    this.#interest = interest;
    if (!this.#detached) return this.#loop.epoll.modify(this.fd, interest | readiness.edge, this.#token);
    if (interest === 0) return;
    this.#detached = false;
    this.#loop.epoll.add(this.fd, interest | readiness.edge, this.#token);
  }

  #detach(): void {
    if (this.#detached || this.#interest !== 0) return;
    this.#detached = true;
    this.#loop.epoll.remove(this.fd);
  }

  /** It has sent its FIN: nothing more will come. */
  sawEnd(): void {
    this.ended = true;
    this.#update();
  }
}
