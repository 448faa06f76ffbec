import { addrAt, addrToBigint, formatPrefix, isIPv4, type Addr, type Prefix } from '../std/ip.ts';

/**
 * A node's pod addresses: one offset names the IPv4 and the IPv6 address of a pod, so 10.244.1.57 and fd00:10:244:1::39
 * belong together. Offset 0 is the network, 1 the node's router address, the last one of an IPv4 prefix the broadcast.
 * Freed offsets are taken again only after all others, so that an address rests before it changes hands.
 */
export class AddressPool {
  readonly prefixes: readonly Prefix[];
  readonly capacity: number;
  readonly #used = new Set<number>();
  readonly #first = 2;
  #next = 2;

  /** One prefix per family, at least one. */
  constructor(prefixes: readonly Prefix[]) {
    if (prefixes.length === 0) throw new RangeError('an address pool needs at least one prefix');
    this.prefixes = prefixes;
    // Pods are numbered by the smaller family; 2^16 pods a node are more than a node can hold.
    this.capacity = Math.min(...prefixes.map(prefix => usable(prefix)));
  }

  get allocated(): number {
    return this.#used.size;
  }

  /** The next free addresses, one of each prefix, or undefined when the pool is exhausted. */
  allocate(): readonly Addr[] | undefined {
    for (let tried = 0; tried < this.capacity; tried++) {
      const offset = this.#next;
      this.#next = offset + 1 < this.#first + this.capacity ? offset + 1 : this.#first;
      if (this.#used.has(offset)) continue;
      this.#used.add(offset);
      return this.prefixes.map(prefix => addrAt(prefix, offset));
    }
    return undefined;
  }

  /** Marks an address as taken (adoption at start). False when it is outside of the pool or taken already. */
  claim(addr: Addr): boolean {
    const offset = this.#offsetOf(addr);
    if (offset === undefined || this.#used.has(offset)) return false;
    this.#used.add(offset);
    this.#next = Math.max(this.#next, offset + 1 < this.#first + this.capacity ? offset + 1 : this.#first);
    return true;
  }

  /** Gives back every address of the offset that `addr` belongs to. Releasing what is free is no error. */
  release(addr: Addr): void {
    const offset = this.#offsetOf(addr);
    if (offset !== undefined) this.#used.delete(offset);
  }

  toString(): string {
    return this.prefixes.map(formatPrefix).join(',');
  }

  #offsetOf(addr: Addr): number | undefined {
    for (const prefix of this.prefixes) {
      if (isIPv4(prefix.addr) !== isIPv4(addr)) continue;
      const offset = Number(addrToBigint(addr) - addrToBigint(prefix.addr));
      if (offset >= this.#first && offset < this.#first + this.capacity) return offset;
    }
    return undefined;
  }
}

function usable(prefix: Prefix): number {
  const size = 2 ** Math.min(16, 128 - prefix.bits);
  const broadcast = isIPv4(prefix.addr) ? 1 : 0;
  return Math.max(0, size - 2 - broadcast);
}
