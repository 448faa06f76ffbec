/** The prefixes that somebody names, each once however many name it. */
export class PrefixCount {
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

  change(prefix: string, by: 1 | -1): void {
    const before = this.#counts.get(prefix) ?? 0;
    if (before + by > 0) this.#counts.set(prefix, before + by);
    else this.#counts.delete(prefix);
    if (before > 0 && before + by > 0) return;
    this.#sorted = undefined;
    this.#revision++;
  }
}
