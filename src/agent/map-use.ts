import type { MapStatus } from '../model/status.ts';

/** A map whose entries can be counted a piece at a time. */
export interface Countable {
  readonly spec: { readonly name: string; readonly maxEntries: number };
  /** The size of one piece after another. */
  counts(): Iterable<number>;
}

/** Counting walks the map, and whoever waits for a node asks for its status many times a second: at most this part of the time is spent on it. */
const share = 0.05;
const leastMs = 500;

/**
 * How full maps are. A map is counted in turns of the event loop, again only when twenty times what it cost has gone by, and
 * never twice at once; in between the last number is told.
 */
export class MapUse {
  readonly #maps: readonly Countable[];
  readonly #now: () => number;
  #known: readonly MapStatus[] | undefined;
  #counting: Promise<readonly MapStatus[]> | undefined;
  #notBefore = 0;

  constructor(maps: readonly Countable[], now: () => number = () => performance.now()) {
    this.#maps = maps;
    this.#now = now;
  }

  /** The first call waits for the first count; later ones get what is known, and begin the next where it is time. */
  async read(): Promise<readonly MapStatus[]> {
    if (this.#counting === undefined && (this.#known === undefined || this.#now() >= this.#notBefore)) {
      this.#counting = this.#count();
      // Who asks next hears of a failure: then nothing is known any more.
      this.#counting.catch(() => (this.#known = undefined));
    }
    return this.#known ?? (await this.#counting!);
  }

  async #count(): Promise<readonly MapStatus[]> {
    let spentMs = 0;
    const rows: MapStatus[] = [];
    try {
      await nextTurn();
      for (const map of this.#maps) {
        let used = 0;
        const pieces = map.counts()[Symbol.iterator]();
        for (;;) {
          const startedAt = this.#now();
          const piece = pieces.next();
          spentMs += this.#now() - startedAt;
          if (piece.done) break;
          used += piece.value;
          await nextTurn();
        }
        rows.push({ name: map.spec.name, used, max: map.spec.maxEntries });
      }
      this.#known = rows;
      return rows;
    } finally {
      this.#notBefore = this.#now() + Math.max(leastMs, spentMs / share);
      this.#counting = undefined;
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
