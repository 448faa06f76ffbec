import type { Field } from './field.ts';

const entries = 32;
const longest = 48;

/**
 * Literals that came before, by their bytes. Servers such as nginx write the same fields out in every answer; one that is found here
 * is neither decoded nor checked again, and is the same object, which our encoder knows. Only what says all of itself: literals
 * whose name is in the dynamic table mean something else each time.
 */
export class LiteralCache {
  readonly #bytes = Buffer.allocUnsafeSlow(entries * longest);
  readonly #lengths = new Uint8Array(entries);
  readonly #fields: (Field | undefined)[] = new Array<Field | undefined>(entries).fill(undefined);

  /** Undefined: data[start, end) was not seen lately. */
  find(data: Buffer, start: number, end: number): Field | undefined {
    const length = end - start;
    const place = placeOf(data, start, end);
    if (this.#lengths[place] !== length) return undefined;
    const at = place * longest;
    for (let i = 0; i < length; i++) if (this.#bytes[at + i] !== data[start + i]) return undefined;
    return this.#fields[place];
  }

  keep(data: Buffer, start: number, end: number, field: Field): void {
    const place = placeOf(data, start, end);
    const at = place * longest;
    for (let i = start; i < end; i++) this.#bytes[at + i - start] = data[i]!;
    this.#lengths[place] = end - start;
    this.#fields[place] = field;
  }
}

/**
 * Where the strings of a literal end that begins at `start` and whose strings begin at `at`; −1: it is too long to be kept, or not
 * all there.
 */
export function literalEnd(data: Buffer, start: number, at: number, limit: number, hasName: boolean): number {
  let end = at;
  for (let strings = hasName ? 2 : 1; strings > 0; strings--) {
    if (end >= limit) return -1;
    // 127 stands for a length that goes on, which is too long.
    end += 1 + (data[end]! & 0x7f);
  }
  return end <= limit && end - start <= longest ? end : -1;
}

function placeOf(data: Buffer, start: number, end: number): number {
  return ((data[start]! * 31 + data[end - 1]!) * 31 + data[(start + end) >> 1]! * 7 + end - start) % entries;
}
