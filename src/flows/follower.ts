import type { Flow } from '../model/flow.ts';
import type { LostFlows } from './consumer.ts';
import type { FlowPredicate } from './filter.ts';

/** What a follower gets: flows, and between them what was lost there. */
export type Followed = { readonly flow: Flow } | { readonly lost: LostFlows };

/**
 * One reader of new flows, with a queue of its own. A reader that is too slow loses the oldest ones and is told how many of
 * which class, where they would have been.
 */
export class FlowFollower {
  readonly matches: FlowPredicate;
  readonly #queueLimit: number;
  readonly #leave: () => void;
  readonly #signal: AbortSignal;
  #queue: Followed[] = [];
  #head = 0;
  /** Flows in the queue; losses of the kernel's stand between them, at most one of a class in a row. */
  #flows = 0;
  #lostDrops = 0;
  #lostFlows = 0;
  #waiting: (() => void) | undefined;
  #done = false;

  constructor(matches: FlowPredicate, queueLimit: number, leave: () => void, signal: AbortSignal) {
    this.matches = matches;
    this.#queueLimit = queueLimit;
    this.#leave = leave;
    this.#signal = signal;
    if (signal.aborted) this.#done = true;
    else signal.addEventListener('abort', this.#end, { once: true });
  }

  /** A flow that matches. */
  offer(flow: Flow): void {
    while (this.#flows >= this.#queueLimit) this.#lose();
    this.#queue.push({ flow });
    this.#flows++;
    this.#wake();
  }

  /** Something was lost on the way here. */
  lost(lost: LostFlows): void {
    for (let at = this.#queue.length - 1; at >= this.#head; at--) {
      const entry = this.#queue[at]!;
      if ('flow' in entry) break;
      if (entry.lost.class !== lost.class) continue;
      this.#queue[at] = { lost: { ...lost, count: entry.lost.count + lost.count } };
      return;
    }
    this.#queue.push({ lost });
    this.#wake();
  }

  /** Everything queued now, in order; waits while there is nothing. Empty only at the end. */
  async next(): Promise<Followed[]> {
    if (this.#head === this.#queue.length && !this.#done) {
      await new Promise<void>(resolve => {
        this.#waiting = resolve;
      });
    }
    const batch = [...this.#takeLost(), ...this.#queue.slice(this.#head)];
    this.#queue = [];
    this.#head = this.#flows = 0;
    return batch;
  }

  #takeLost(): Followed[] {
    const lost = ([['drops', this.#lostDrops], ['flows', this.#lostFlows]] as const).filter(([, count]) => count > 0);
    this.#lostDrops = this.#lostFlows = 0;
    return lost.map(([name, count]) => ({ lost: { source: 'HUBBLE_RING_BUFFER', class: name, count } }));
  }

  /** The oldest entry goes; a loss that was told there goes with it, as one more. */
  #lose(): void {
    const entry = this.#queue[this.#head]!;
    if ('flow' in entry) {
      this.#flows--;
      if (entry.flow.verdict === 'DROPPED') this.#lostDrops++;
      else this.#lostFlows++;
    } else if (entry.lost.class === 'drops') this.#lostDrops += entry.lost.count;
    else this.#lostFlows += entry.lost.count;
    this.#head++;
    if (this.#head <= this.#queueLimit) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  readonly #end = (): void => {
    this.#done = true;
    this.#leave();
    this.#signal.removeEventListener('abort', this.#end);
    this.#wake();
  };

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
}
