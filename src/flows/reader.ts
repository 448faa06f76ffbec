/** A kernel ring as src/ebpf/ring.ts gives it: records are valid during the callback only. */
export interface EventRing {
  drain(onRecord: (bytes: DataView, offset: number, length: number) => void, limit?: number): number;
  /** Bytes that wait, and that would fit. */
  pending?(): number;
  readonly size?: number;
}

/** The rings: drops have one to themselves, so that no amount of other events can push them out. */
export interface EventRings {
  readonly drops: EventRing;
  readonly flows: EventRing;
  /** DNS messages. */
  readonly names?: EventRing;
}

export interface PollOptions {
  readonly signal: AbortSignal;
  /** Wait between two looks, while somebody watches, else, and when nothing has come for long; milliseconds. */
  readonly busyMs?: number;
  readonly idleMs?: number;
  readonly restMs?: number;
  readonly watched: () => boolean;
  /** How full the fullest ring is, 0 to 1. */
  readonly pending: () => number;
}

/** A ring that has got this full between two looks is looked at more often. */
const filling = 0.05;
const rushMs = 1;

/**
 * Looks at the rings on a timer. A wake-up by the kernel for every connection would cost more than the datapath itself
 * (measured: +12 % for an event a connection). While somebody watches and there is something to see, a look every 5 ms delays
 * nobody; else one every 25 ms does, and at rest one every 100 ms, in which 300,000 records a second fit into the rings. How full
 * one had got decides when the next look is due. `drain` returns how many it took and whether there was more.
 */
export function pollRings(drain: () => { taken: number; more: boolean }, options: PollOptions): void {
  const { signal, busyMs = 5, idleMs = 25, restMs = 100, watched, pending } = options;
  let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  let quiet = 0;
  const turn = () => {
    if (signal.aborted) return;
    const fullness = pending();
    const { taken, more } = drain();
    quiet = taken === 0 ? quiet + 1 : 0;
    if (more) timer = setImmediate(turn);
    else timer = setTimeout(turn, fullness > filling ? rushMs : quiet > 50 ? restMs : watched() && quiet < 10 ? busyMs : idleMs);
  };
  timer = setTimeout(turn, busyMs);
  signal.addEventListener('abort', () => clearTimeout(timer as NodeJS.Timeout), { once: true });
}

/** 0 for a ring that cannot tell. */
export function fill(ring: EventRing): number {
  return ring.pending && ring.size ? ring.pending() / ring.size : 0;
}

/** True only where all rings can tell. */
export function isEmpty({ drops, flows, names }: EventRings): boolean {
  return drops.pending?.() === 0 && flows.pending?.() === 0 && (names === undefined || names.pending?.() === 0);
}
