/** Prefixes in the order of their first addresses, so that those within a wider one stand together. */
import { addrToBigint } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';

interface Item<T> {
  readonly first: bigint;
  readonly value: T;
}

export class PrefixOrder<T> {
  readonly #sorted: Item<T>[];

  /** IPv4 and IPv6 in one order: what lies in ::/0 by its bytes alone must be told apart by the caller. */
  constructor(items: Iterable<readonly [prefix: Prefix, value: T]> = []) {
    this.#sorted = [...items].map(([prefix, value]) => ({ first: addrToBigint(prefix.addr), value })).sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  }

  add(prefix: Prefix, value: T): void {
    const first = addrToBigint(prefix.addr);
    this.#sorted.splice(this.#lowerBound(first), 0, { first, value });
  }

  remove(prefix: Prefix, value: T): void {
    const first = addrToBigint(prefix.addr);
    for (let i = this.#lowerBound(first); i < this.#sorted.length && this.#sorted[i]!.first === first; i++) {
      if (this.#sorted[i]!.value !== value) continue;
      this.#sorted.splice(i, 1);
      return;
    }
  }

  /** Everything that begins within the prefix. */
  *within(outer: Prefix): Generator<T> {
    const first = addrToBigint(outer.addr);
    const end = first + (1n << BigInt(128 - outer.bits));
    for (let i = this.#lowerBound(first); i < this.#sorted.length && this.#sorted[i]!.first < end; i++) yield this.#sorted[i]!.value;
  }

  #lowerBound(first: bigint): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]!.first < first) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
