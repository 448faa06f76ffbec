/** How many flows came a second, over the last minute at most. */
export class FlowRate {
  readonly #seen: () => number;
  readonly #nowNs: () => number;
  #samples: { readonly atNs: number; readonly seen: number }[] = [];

  constructor(seen: () => number, nowNs: () => number) {
    this.#seen = seen;
    this.#nowNs = nowNs;
    this.sample();
  }

  /** To be called every few seconds. */
  sample(): void {
    const atNs = this.#nowNs();
    this.#samples = [...this.#samples.filter(sample => atNs - sample.atNs <= 60e9), { atNs, seen: this.#seen() }];
  }

  perSecond(): number {
    const first = this.#samples[0]!;
    const seconds = (this.#nowNs() - first.atNs) / 1e9;
    return seconds <= 0 ? 0 : (this.#seen() - first.seen) / seconds;
  }
}
