/**
 * A 128-bit hash of a set of entries that can be kept up to date entry by entry: the sum, lane by lane, of each entry's
 * hash. Not for secrets: it names contents, and whoever shares by it also compares keys.
 */
export class ContentHash {
  readonly #lanes = new Uint32Array(4);

  add(entry: string): void {
    this.#change(entry, 1);
  }

  remove(entry: string): void {
    this.#change(entry, -1);
  }

  /** An entry that is two numbers: there are very many of them, and nothing is allocated for one. `sign` -1 takes it out. */
  changePair(first: number, second: number, sign: 1 | -1): void {
    const lanes = this.#lanes;
    for (let i = 0; i < 4; i++) {
      const mixed = mix(Math.imul(first ^ seeds[i]!, 0x85ebca6b) ^ mix(second + seeds[i]!));
      lanes[i] = lanes[i]! + sign * mixed;
    }
  }

  toString(): string {
    return [...this.#lanes].map(lane => lane.toString(16).padStart(8, '0')).join('');
  }

  #change(entry: string, sign: 1 | -1): void {
    const hash = hash128(entry);
    for (let i = 0; i < 4; i++) this.#lanes[i] = this.#lanes[i]! + sign * hash[i]!;
  }
}

const seeds: readonly number[] = [0x9e3779b9, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f];

/** Four 32-bit lanes: multiply and rotate per character (MurmurHash3's mixing), each lane fed with its neighbour. */
export function hash128(text: string): Uint32Array {
  let a = 0x9e3779b9, b = 0x85ebca6b, c = 0xc2b2ae35, d = 0x27d4eb2f;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x85ebca6b) ^ (b >>> 15);
    b = Math.imul(b ^ code, 0xc2b2ae35) ^ (c >>> 13);
    c = Math.imul(c ^ code, 0x27d4eb2f) ^ (d >>> 16);
    d = Math.imul(d ^ code, 0x165667b1) ^ (a >>> 14);
  }
  return Uint32Array.of(mix(a ^ (d >>> 7) ^ text.length), mix(b ^ a), mix(c ^ b), mix(d ^ c));
}

export function hashText(text: string): string {
  return [...hash128(text)].map(lane => lane.toString(16).padStart(8, '0')).join('');
}

/** MurmurHash3's finalizer. */
function mix(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
