/** Timers by the hundred milliseconds: one an object, cheap to put off, which is what most are. */
export const tickMs = 100;

export interface Timed {
  /** The tick that it is in the wheel for; 0: not in it. */
  wheelTick: number;
  wheelPrevious: Timed | undefined;
  wheelNext: Timed | undefined;
  /** Its time has come, or it has been put off: it says when it wants to be called next, 0 for never. */
  tick(now: number): number;
}

const slots = 1024;
const mask = slots - 1;

export class Wheel {
  /** The current tick. */
  now: number;
  /** Objects in it. */
  size = 0;
  readonly #heads: (Timed | undefined)[] = new Array<Timed | undefined>(slots).fill(undefined);

  constructor(now: number) {
    this.now = now;
  }

  /** To be called at `tick` or soon after. One that is in for an earlier tick stays, and is asked then: putting off costs nothing. */
  arm(timed: Timed, tick: number): void {
    if (timed.wheelTick !== 0) {
      if (timed.wheelTick <= tick) return;
      this.remove(timed);
    }
    this.#insert(timed, Math.max(tick, this.now + 1));
  }

  remove(timed: Timed): void {
    if (timed.wheelTick === 0) return;
    const { wheelPrevious: previous, wheelNext: next } = timed;
    if (previous) previous.wheelNext = next;
    else this.#heads[timed.wheelTick & mask] = next;
    if (next) next.wheelPrevious = previous;
    timed.wheelPrevious = timed.wheelNext = undefined;
    timed.wheelTick = 0;
    this.size--;
  }

  /** Goes on to `tick`, calling all whose time has come. */
  advance(tick: number): void {
    // After a long sleep each slot is looked at once.
    if (tick - this.now > slots) this.now = tick - slots;
    while (this.now < tick) {
      this.now++;
      for (let timed = this.#heads[this.now & mask]; timed; ) {
        const next: Timed | undefined = timed.wheelNext;
        if (timed.wheelTick <= this.now) {
          this.remove(timed);
          const again = timed.tick(this.now);
          if (again > 0) this.arm(timed, again);
        }
        timed = next;
      }
    }
  }

  #insert(timed: Timed, tick: number): void {
    const head = this.#heads[tick & mask];
    timed.wheelTick = tick;
    timed.wheelNext = head;
    timed.wheelPrevious = undefined;
    if (head) head.wheelPrevious = timed;
    this.#heads[tick & mask] = timed;
    this.size++;
  }
}
