import { ApiError } from '../status.ts';

/** Numbers from `first` to `last` of which each is held once. New ones come in turn, so that a number is not used again soon. */
export class NumberPool {
  readonly #what: string;
  readonly #first: number;
  readonly #last: number;
  readonly #taken = new Set<number>();
  #cursor: number;

  /** `dynamicFrom`: numbers below it are only given to those who ask for them. */
  constructor(what: string, first: number, last: number, dynamicFrom = first) {
    this.#what = what;
    this.#first = first;
    this.#last = last;
    this.#cursor = dynamicFrom;
  }

  get range(): string {
    return `${this.#first}-${this.#last}`;
  }

  includes(value: number): boolean {
    return Number.isInteger(value) && value >= this.#first && value <= this.#last;
  }

  has(value: number): boolean {
    return this.#taken.has(value);
  }

  take(value: number): void {
    if (this.includes(value)) this.#taken.add(value);
  }

  give(value: number): void {
    this.#taken.delete(value);
  }

  /** A free number, `wanted` if that is free. Does not take it. Throws 500 when all are taken, as upstream does. */
  choose(wanted?: number): number {
    if (wanted !== undefined && this.includes(wanted) && !this.#taken.has(wanted)) return wanted;
    for (let i = 0; i <= this.#last - this.#first; i++) {
      const value = this.#cursor;
      this.#cursor = value >= this.#last ? this.#first : value + 1;
      if (!this.#taken.has(value)) return value;
    }
    throw new ApiError(500, 'InternalError', `Internal error occurred: all ${this.#last - this.#first + 1} ${this.#what} are taken; delete services that are not needed`);
  }
}
