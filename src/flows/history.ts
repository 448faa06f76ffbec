import { Columns } from './columns.ts';

/**
 * The node's last flows in columns, oldest written over first. Drops have room of their own: no amount of other flows can push
 * them out. Within a turn records may come in any order; `settle` puts them in the order of time.
 */
export class FlowHistory {
  readonly columns: Columns;
  readonly #common: Sequence;
  readonly #drops: Sequence;
  /** Slots that came since the last settling, and did not settle then; the first `waiting` count. */
  #turn: Uint32Array;
  /** What the last settling gave out. */
  #settled: Uint32Array;
  #waiting = 0;
  #lastTime = 0;
  #isMixed = false;
  readonly #onFull: () => void;

  /** `onFull`: everything that waits must settle now, or it would be written over. */
  constructor(options: { readonly capacity: number; readonly dropCapacity: number }, onFull: () => void) {
    this.#common = new Sequence(0, options.capacity);
    this.#drops = new Sequence(options.capacity, options.dropCapacity);
    this.columns = new Columns(options.capacity + options.dropCapacity);
    this.#turn = new Uint32Array(options.capacity + options.dropCapacity);
    this.#settled = new Uint32Array(options.capacity + options.dropCapacity);
    this.#onFull = onFull;
  }

  /** Flows ever settled. */
  get seen(): number {
    return this.#common.count + this.#drops.count;
  }

  /** Flows that have not settled. */
  get waiting(): number {
    return this.#waiting;
  }

  get size(): number {
    return this.#common.size + this.#drops.size;
  }

  get capacity(): number {
    return this.#common.capacity + this.#drops.capacity;
  }

  /** Keeps a record and returns its slot. */
  push(record: DataView, at: number, length: number, isDrop: boolean): number {
    const sequence = isDrop ? this.#drops : this.#common;
    if (sequence.waiting === sequence.capacity) this.#onFull();
    const slot = sequence.claim();
    this.columns.write(slot, record, at, length);
    const time = this.columns.times[slot]!;
    if (time < this.#lastTime) this.#isMixed = true;
    this.#lastTime = time;
    this.#turn[this.#waiting++] = slot;
    return slot;
  }

  /** Ends a turn: how many records from before `beforeNs` have settled. `settled` has them until the next time. */
  settle(beforeNs: number): number {
    const { times } = this.columns;
    if (this.#isMixed) this.#sort();
    this.#isMixed = false;
    const turn = this.#turn;
    const waiting = this.#waiting;
    let end = waiting;
    while (end > 0 && times[turn[end - 1]!]! >= beforeNs) end--;
    if (end === waiting) {
      this.#common.settleAll();
      this.#drops.settleAll();
    } else for (let i = 0; i < end; i++) this.#sequenceOf(turn[i]!).settleOne();
    this.#turn = this.#settled;
    this.#settled = turn;
    for (let i = end; i < waiting; i++) this.#turn[i - end] = turn[i]!;
    this.#waiting = waiting - end;
    return end;
  }

  /** Slots in the order of time; as many count as `settle` said. */
  get settled(): Uint32Array {
    return this.#settled;
  }

  *newestFirst(): Generator<number> {
    const [common, drops, { sequences }] = [this.#common, this.#drops, this.columns];
    let [a, b] = [common.count - 1, drops.count - 1];
    const [firstA, firstB] = [common.count - common.size, drops.count - drops.size];
    while (a >= firstA || b >= firstB) {
      const takeCommon = b < firstB || (a >= firstA && sequences[common.at(a)]! > sequences[drops.at(b)]!);
      yield takeCommon ? common.at(a--) : drops.at(b--);
    }
  }

  *oldestFirst(): Generator<number> {
    const [common, drops, { sequences }] = [this.#common, this.#drops, this.columns];
    let [a, b] = [common.count - common.size, drops.count - drops.size];
    while (a < common.count || b < drops.count) {
      const takeCommon = b >= drops.count || (a < common.count && sequences[common.at(a)]! < sequences[drops.at(b)]!);
      yield takeCommon ? common.at(a++) : drops.at(b++);
    }
  }

  #sort(): void {
    const { times } = this.columns;
    const slots = this.#turn.subarray(0, this.#waiting);
    // A list rather than the array itself: TimSort finds the runs of the rings in it, and merges them.
    const sorted = Array.from(slots).sort((a, b) => times[a]! - times[b]!);
    slots.set(sorted);
    for (const slot of sorted) this.#sequenceOf(slot).place(slot);
    this.#common.placed = this.#drops.placed = 0;
  }

  #sequenceOf(slot: number): Sequence {
    return slot < this.#common.capacity ? this.#common : this.#drops;
  }
}

/** Slots of one class in the order of time: a ring of slot numbers, of which those from `count` on wait to settle. */
class Sequence {
  readonly capacity: number;
  count = 0;
  waiting = 0;
  placed = 0;
  readonly #slots: Uint32Array;

  constructor(first: number, capacity: number) {
    this.capacity = capacity;
    this.#slots = Uint32Array.from({ length: capacity }, (_, i) => first + i);
  }

  /** Flows held: what waits has taken the places of the oldest. */
  get size(): number {
    return Math.min(this.count, this.capacity - this.waiting);
  }

  at(index: number): number {
    return this.#slots[index % this.capacity]!;
  }

  claim(): number {
    return this.#slots[(this.count + this.waiting++) % this.capacity]!;
  }

  /** The next of those that wait, in the order that they settle in. */
  place(slot: number): void {
    this.#slots[(this.count + this.placed++) % this.capacity] = slot;
  }

  settleOne(): void {
    this.count++;
    this.waiting--;
  }

  settleAll(): void {
    this.count += this.waiting;
    this.waiting = 0;
  }
}
