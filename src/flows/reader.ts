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
  /** Wait between two looks while something comes, and when nothing has come for long; milliseconds. */
  readonly busyMs?: number;
  readonly restMs?: number;
  /** How full the fullest ring is, 0 to 1. */
  readonly pending: () => number;
}

/** A ring that has got so full between two looks is looked at sooner. */
const hurries: readonly { readonly fullness: number; readonly waitMs: number }[] = [{ fullness: 0.3, waitMs: 1 }, { fullness: 0.15, waitMs: 5 }];
/** Looks without anything to see before a node is at rest: a second. */
const quietLooks = 50;

/**
 * Looks at the rings on a timer. A wake-up by the kernel for every connection would cost more than the datapath itself
 * (measured: +12 % for an event a connection), and a timer's costs as much as reading a hundred records: so a look every 20 ms,
 * which delays nobody who watches, and one every 100 ms at rest, in which 300,000 records a second fit into the rings. How full
 * one had got decides whether the next look is due sooner. `drain` returns how many it took and whether there was more.
 */
export function pollRings(drain: () => { taken: number; more: boolean }, options: PollOptions): void {
  const { signal, busyMs = 20, restMs = 100, pending } = options;
  let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  let quiet = 0;
  const turn = () => {
    if (signal.aborted) return;
    const fullness = pending();
    const { taken, more } = drain();
    quiet = taken === 0 ? quiet + 1 : 0;
    if (more) timer = setImmediate(turn);
    else timer = setTimeout(turn, hurries.find(hurry => fullness > hurry.fullness)?.waitMs ?? (quiet > quietLooks ? restMs : busyMs));
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
