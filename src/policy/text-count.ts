/** Texts that somebody names, each once however many name it: prefixes, names. */
export class TextCount {
  readonly #counts = new Map<string, number>();
  #sorted: readonly string[] | undefined;
  #revision = 0;

  /** Counts changes of `sorted`. */
  get revision(): number {
    return this.#revision;
  }

  get sorted(): readonly string[] {
    return (this.#sorted ??= [...this.#counts.keys()].sort());
  }

  change(text: string, by: 1 | -1): void {
    const before = this.#counts.get(text) ?? 0;
    if (before + by > 0) this.#counts.set(text, before + by);
    else this.#counts.delete(text);
    if (before > 0 && before + by > 0) return;
    this.#sorted = undefined;
    this.#revision++;
  }
}
