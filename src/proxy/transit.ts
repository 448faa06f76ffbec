import { errnoName } from '../sys/errno.ts';
import { type Pipe, errno, spliceSome } from '../sys/streams.ts';
import type { Leg, LegOwner } from './leg.ts';
import type { Loop } from './loop.ts';

/** Less than this at a time is copied: a pipe would cost more than it saves. */
const bulkBytes = 32 << 10;
/** Pipes filled in one turn: others wait. */
const rounds = 4;

/** Bytes of one direction that pass unread: copied while they are few, spliced through a pipe while they are many. */
export class Transit {
  /** In the pipe. */
  held = 0;
  readonly #loop: Loop;
  readonly #owner: LegOwner;
  #pipe: Pipe | undefined;
  #bulk = false;

  constructor(loop: Loop, owner: LegOwner) {
    this.#loop = loop;
    this.#owner = owner;
  }

  /** Takes up to `most` bytes off `from`. Returns how many, 0 at its end, -1 for none now (or when a leg broke, which was told). */
  move(from: Leg, into: Leg, most: number): number {
    return this.#bulk && into.idle && this.#takePipe() ? this.#splice(from, into, most) : this.#copy(from, into, most);
  }

  /** There is room in `into` again. True when nothing is held any more. */
  drain(into: Leg): boolean {
    while (this.held > 0) {
      const moved = spliceSome(this.#pipe!.read, into.fd, this.held);
      if (moved <= 0) {
        if (moved === -errno.again || moved === -errno.interrupted) into.awaitRoom();
        else this.#owner.broken(into, errnoName(-moved));
        return false;
      }
      this.held -= moved;
    }
    return true;
  }

  close(): void {
    if (!this.#pipe) return;
    if (this.held > 0) this.#loop.dropPipe(this.#pipe);
    else this.#loop.givePipe(this.#pipe);
    this.#pipe = undefined;
    this.held = 0;
  }

  #copy(from: Leg, into: Leg, most: number): number {
    const loop = this.#loop;
    const count = from.read(Math.min(most, loop.limits.readBytes));
    if (count <= 0) return count;
    this.#bulk = count >= bulkBytes;
    const gather = into.side === 'client' ? loop.toClient : loop.toServer;
    gather.add(loop.readBuffer, 0, count);
    into.writeGathered(gather);
    return count;
  }

  #splice(from: Leg, into: Leg, most: number): number {
    let total = 0;
    for (let round = 0; round < rounds && total < most; round++) {
      const moved = spliceSome(from.fd, this.#pipe!.write, Math.min(most - total, this.#loop.limits.pipeBytes));
      if (moved <= 0) {
        // The end is seen again, and told, when what came before it has been counted.
        if (moved < 0 && moved !== -errno.again && moved !== -errno.interrupted) return this.#owner.broken(from, errnoName(-moved)), -1;
        if (moved < 0) this.#few();
        if (moved === 0 && total > 0) from.again();
        return total > 0 ? total : moved === 0 ? 0 : -1;
      }
      total += moved;
      this.held = moved;
      if (!this.drain(into)) return total;
      if (moved >= bulkBytes) continue;
      this.#few();
      break;
    }
    from.again();
    return total;
  }

  #few(): void {
    this.#bulk = false;
    this.close();
  }

  #takePipe(): boolean {
    this.#pipe ??= this.#loop.takePipe();
    return this.#pipe !== undefined;
  }
}
