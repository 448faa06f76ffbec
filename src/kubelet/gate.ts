/** At most `limit` sections at a time, first come first served: many pods that start at once would only slow each other down. */
export class Gate {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async run<T>(section: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#limit) await new Promise<void>(resolve => this.#waiting.push(resolve));
    else this.#inside++;
    try {
      return await section();
    } finally {
      // The place goes to the next in line without becoming free in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#inside--;
    }
  }
}
