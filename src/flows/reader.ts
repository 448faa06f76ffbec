import { decodeEvent } from './decode.ts';
import type { FlowEvent } from './event.ts';

/** A kernel ring as src/ebpf/ring.ts gives it: records are valid during the callback only. */
export interface EventRing {
  drain(onRecord: (bytes: DataView, offset: number, length: number) => void, limit?: number): number;
}

/** The two rings: drops have one to themselves, so that no amount of other events can push them out. */
export interface EventRings {
  readonly drops: EventRing;
  readonly flows: EventRing;
}

/** Takes what the rings hold, at most `limit` of each, in the order of time. */
export class EventReader {
  readonly #rings: EventRings;
  #unknown = 0;

  constructor(rings: EventRings) {
    this.#rings = rings;
  }

  /** Records that were not understood. */
  get unknown(): number {
    return this.#unknown;
  }

  read(limit: number): FlowEvent[] {
    const events: FlowEvent[] = [];
    const take = (bytes: DataView, offset: number, length: number) => {
      const event = decodeEvent(bytes, offset, length);
      if (event) events.push(event);
      else this.#unknown++;
    };
    this.#rings.drops.drain(take, limit);
    this.#rings.flows.drain(take, limit);
    // Two rings and several CPUs: nearly in order already, which is what the engine's sort is best at.
    return events.sort(byTime);
  }
}

function byTime(a: FlowEvent, b: FlowEvent): number {
  return a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0;
}

export interface PollOptions {
  readonly signal: AbortSignal;
  /** Shortest and longest wait between two looks, milliseconds. */
  readonly busyMs?: number;
  readonly idleMs?: number;
  /** Somebody is watching: never wait longer than `busyMs`. */
  readonly watched: () => boolean;
}

/**
 * Looks at the rings on a timer. A wake-up by the kernel for every connection would cost more than the datapath itself
 * (measured: +12 % for an event a connection), a look every 5 ms costs 0.2 % of a core and delays nobody.
 * `drain` returns how many it took and whether there was more.
 */
export function pollRings(drain: () => { taken: number; more: boolean }, options: PollOptions): void {
  const { signal, busyMs = 5, idleMs = 20, watched } = options;
  let idleTurns = 0;
  let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  const turn = () => {
    if (signal.aborted) return;
    const { taken, more } = drain();
    idleTurns = taken > 0 ? 0 : idleTurns + 1;
    if (more) timer = setImmediate(turn);
    else timer = setTimeout(turn, watched() || idleTurns < 20 ? busyMs : idleMs);
  };
  timer = setTimeout(turn, busyMs);
  signal.addEventListener('abort', () => clearTimeout(timer as NodeJS.Timeout), { once: true });
}
