import { newSeed, parseSeed } from '../../src/cli/test-seed.ts';

/** Randomness from a seed: the same seed gives the same run. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Both ends included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.next() * items.length)]!;
  }

  /** One of the makers, called; a maker's weight is how often it stands in the list. */
  one<T>(...makers: readonly (() => T)[]): T {
    return this.pick(makers)();
  }

  list<T>(low: number, high: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.integer(low, high) }, (_, i) => make(i));
  }

  /** A seed for a generator of its own. */
  seed(): number {
    return Math.floor(this.next() * 2 ** 32);
  }
}

let ownSeed: number | undefined;

/** `CIRRI_SEED`, which `cirri test` has always set; else a new one, the same for all of this process. */
export function seedOfRun(): number {
  const given = process.env['CIRRI_SEED'];
  return given === undefined ? ownSeed ??= newSeed() : parseSeed(given);
}
