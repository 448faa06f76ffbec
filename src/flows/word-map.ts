/**
 * Values under keys of a few 32-bit words: no text and no object for a look-up. Holds at least the last `capacity` keys that were
 * asked for and at most twice as many: when the young generation is full it becomes the old one, and what is asked for again
 * moves back. What is forgotten is forgotten here only; whoever holds the value keeps it.
 */
export class WordMap<V> {
  readonly capacity: number;
  readonly #keyWords: number;
  readonly #mask: number;
  #young: Generation<V>;
  #old: Generation<V>;

  constructor(capacity: number, keyWords: number) {
    this.capacity = capacity;
    this.#keyWords = keyWords;
    const slots = 2 ** Math.ceil(Math.log2(capacity * 2));
    this.#mask = slots - 1;
    this.#young = createGeneration(slots, keyWords);
    this.#old = createGeneration(slots, keyWords);
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** `key` may be a longer array that is reused. */
  get(key: Int32Array): V | undefined {
    const hash = this.#hash(key);
    const at = this.#find(this.#young, key, hash);
    if (this.#young.used[at] !== 0) return this.#young.values[at];
    const before = this.#find(this.#old, key, hash);
    if (this.#old.used[before] === 0) return undefined;
    const value = this.#old.values[before]!;
    this.set(key, value);
    return value;
  }

  set(key: Int32Array, value: V): void {
    if (this.#young.size >= this.capacity) this.#turn();
    const young = this.#young;
    const at = this.#find(young, key, this.#hash(key));
    if (young.used[at] === 0) {
      young.used[at] = 1;
      young.size++;
      for (let i = 0, first = at * this.#keyWords; i < this.#keyWords; i++) young.keys[first + i] = key[i]!;
    }
    young.values[at] = value;
  }

  #turn(): void {
    const emptied = this.#old;
    this.#old = this.#young;
    emptied.used.fill(0);
    emptied.values.fill(undefined);
    emptied.size = 0;
    this.#young = emptied;
  }

  /** The key's place, or the free one where it would go: half of the places are free at least. */
  #find(generation: Generation<V>, key: Int32Array, hash: number): number {
    const { used, keys } = generation;
    const words = this.#keyWords;
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      if (used[at] === 0) return at;
      const first = at * words;
      let i = 0;
      while (i < words && keys[first + i] === key[i]) i++;
      if (i === words) return at;
    }
  }

  #hash(key: Int32Array): number {
    let hash = 0;
    for (let i = 0; i < this.#keyWords; i++) {
      hash = Math.imul(hash ^ key[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash;
  }
}

interface Generation<V> {
  readonly keys: Int32Array;
  readonly used: Uint8Array;
  readonly values: (V | undefined)[];
  size: number;
}

function createGeneration<V>(slots: number, keyWords: number): Generation<V> {
  return { keys: new Int32Array(slots * keyWords), used: new Uint8Array(slots), values: new Array<V | undefined>(slots).fill(undefined), size: 0 };
}
