/** A text, and what hangs on it. */
export interface KeptText {
  readonly text: string;
}

/** Longer ones are made anew each time. */
const longestKept = 255;

/**
 * Few hosts and paths are asked for, again and again: their texts are kept, each in the place that its length and some of its bytes lead
 * to, and the next request with the same bytes makes none. What is kept is bounded, and one text takes another one's place.
 */
export class KeptTexts<T extends KeptText> {
  readonly #kept: T[];
  readonly #make: (text: string) => T;

  /** `places`: a power of two. */
  constructor(places: number, make: (text: string) => T) {
    this.#kept = Array.from({ length: places }, () => make(''));
    this.#make = make;
  }

  /** The bytes as latin1. */
  of(buffer: Buffer, start: number, end: number): T {
    const length = end - start;
    const place = length === 0 ? 0 : (5 * length + buffer[start]! + 3 * buffer[end - 1]! + 7 * buffer[start + (length >> 1)]! + 13 * buffer[end - 1 - (length >> 2)]!) & (this.#kept.length - 1);
    const kept = this.#kept[place]!;
    const { text } = kept;
    if (text.length === length) {
      let i = 0;
      while (i < length && text.charCodeAt(i) === buffer[start + i]) i++;
      if (i === length) return kept;
    }
    const made = this.#make(buffer.toString('latin1', start, end));
    if (length <= longestKept) this.#kept[place] = made;
    return made;
  }
}
