/**
 * What both the sets in force and those that take their place tell identities apart by. Rows of addresses change before the
 * endpoints flip, and one number must mean the right thing to the old sets and to the new: so what the old ones ask for goes
 * only after all endpoints have flipped.
 */
export class Overlap {
  #asked: ReadonlySet<string> = new Set();
  #current: ReadonlySet<string> = new Set();

  /** `asked`: what the policies ask for now. `allFlipped`: every endpoint has the sets of the call before. */
  take(asked: Iterable<string>, allFlipped: boolean): ReadonlySet<string> {
    const kept = allFlipped ? this.#asked : this.#current;
    this.#asked = new Set(asked);
    this.#current = new Set([...kept, ...this.#asked]);
    return this.#current;
  }

  /** True while something is kept for the sets of before: another call will let it go. */
  get settling(): boolean {
    return this.#current.size > this.#asked.size;
  }
}
