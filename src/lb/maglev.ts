import { murmur3 } from './murmur3.ts';

/** One who takes part. Tables on two nodes agree when names and weights do, whatever else the nodes call their backends. */
export interface MaglevBackend {
  /** What is hashed: `10.244.1.5:8080/TCP`. */
  readonly name: string;
  /** 1 or more. */
  readonly weight: number;
}

export interface MaglevOptions {
  /** Entries; a prime number, more than there are backends. */
  readonly tableSize: number;
  /** Base64 of 12 bytes; the first four seed the hash of names, the others the hash of packets. */
  readonly hashSeed: string;
}

/**
 * Who serves the connections whose hash is i: for every i below `tableSize` an index into `backends`. Empty without backends.
 *
 * The algorithm of "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016, §3.4), with weights as Envoy and
 * Cilium have them: each backend has an order of preference over the entries, (offset + j × skip) mod M, and in its turn takes
 * the first that is free. A light backend lets turns pass. Names are sorted first, so the order of backends does not matter.
 * Tables are equal to Cilium's for the same seed, size and weights; only that weights with a mean below 2 count here too.
 */
export function maglevTable(backends: readonly MaglevBackend[], options: MaglevOptions): Uint32Array {
  const size = options.tableSize;
  if (backends.length === 0) return new Uint32Array(0);
  if (backends.length >= size) throw new RangeError(`a Maglev table of ${size} entries has no room for ${backends.length} backends`);
  const order = [...backends.keys()].sort((a, b) => (backends[a]!.name < backends[b]!.name ? -1 : 1));
  const names = order.map(i => backends[i]!.name);
  const turns = new Turns(order.map(i => backends[i]!.weight));
  const { at, skip } = preferences(names, options);
  const taken = new Uint32Array(size);
  for (let n = 0; n < size; n++) {
    const who = turns.next(n);
    const step = skip[who]!;
    let entry = at[who]!;
    while (taken[entry] !== 0) {
      entry += step;
      if (entry >= size) entry -= size;
    }
    taken[entry] = who + 1;
    entry += step;
    at[who] = entry >= size ? entry - size : entry;
  }
  return taken.map(who => order[who - 1]!);
}

/** Where each backend looks first, and how far apart its next choices are. */
function preferences(names: readonly string[], { tableSize, hashSeed }: MaglevOptions): { readonly at: Uint32Array; readonly skip: Uint32Array } {
  const seed = Buffer.from(hashSeed, 'base64').readUInt32BE(0);
  const at = new Uint32Array(names.length);
  const skip = new Uint32Array(names.length);
  names.forEach((name, i) => {
    // Upstream hashes a backend's text with its state; a table is only made of active ones.
    const [h1, h2] = murmur3(Buffer.from(`[${name},State:active]`), seed);
    at[i] = Number(h1 % BigInt(tableSize));
    skip[i] = Number(h2 % BigInt(tableSize - 1)) + 1;
  });
  return { at, skip };
}

/** Whose turn it is. Equal weights: one after the other (the long way would give the same). Else who has had its share of the turns so far lets the next one go. */
class Turns {
  readonly #weights: readonly number[];
  readonly #sum: number;
  /** What a backend's weight times the turns so far must have reached before it may go again. */
  readonly #due: Float64Array;
  readonly #isWeighted: boolean;

  constructor(weights: readonly number[]) {
    this.#weights = weights;
    this.#sum = weights.reduce((sum, weight) => sum + weight, 0);
    this.#due = Float64Array.from(weights, weight => weight / weights.length);
    this.#isWeighted = weights.some(weight => weight !== weights[0]);
  }

  next(turn: number): number {
    const count = this.#weights.length;
    let who = turn % count;
    if (!this.#isWeighted) return who;
    while ((turn + 1) * this.#weights[who]! < Math.floor(this.#due[who]!)) who = who + 1 === count ? 0 : who + 1;
    this.#due[who]! += this.#sum;
    return who;
  }
}
