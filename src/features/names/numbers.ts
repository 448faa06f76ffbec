import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { CirriError, errorText } from '../../std/errors.ts';

/** What a number means: exactly these patterns match. Sorted. */
export type PatternSet = readonly string[];

export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** As it is kept over restarts. */
export interface StoredNumbers {
  readonly sets: readonly (readonly [number, PatternSet])[];
  readonly next: number;
}

/**
 * Numbers of sets of patterns. A number means one set for as long as a row of the kernel may bear it; one that was let go is
 * not given again before all others of the range.
 */
export class PatternSetNumbers {
  readonly #range: NumberRange;
  readonly #what: string;
  readonly #byText = new Map<string, number>();
  readonly #byNumber = new Map<number, PatternSet>();
  #next: number;
  #revision = 0;

  constructor(what: string, range: NumberRange, stored?: StoredNumbers) {
    this.#what = what;
    this.#range = range;
    this.#next = stored && stored.next >= range.first && stored.next <= range.last ? stored.next : range.first;
    for (const [number, patterns] of stored?.sets ?? []) if (number >= range.first && number <= range.last) this.#put(number, patterns);
  }

  /** Counts changes of what is to be kept. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  /** The one that it has, or a new one. Throws when the range is used up. */
  numberOf(patterns: PatternSet): number {
    const known = this.#byText.get(patterns.join());
    if (known !== undefined) return known;
    const number = this.#free();
    this.#put(number, patterns);
    this.#next = number === this.#range.last ? this.#range.first : number + 1;
    return number;
  }

  known(patterns: PatternSet): number | undefined {
    return this.#byText.get(patterns.join());
  }

  patterns(number: number): PatternSet | undefined {
    return this.#byNumber.get(number);
  }

  entries(): IterableIterator<[number, PatternSet]> {
    return this.#byNumber.entries();
  }

  /** No row bears it any more. */
  release(number: number): void {
    const patterns = this.#byNumber.get(number);
    if (!patterns) return;
    this.#byNumber.delete(number);
    this.#byText.delete(patterns.join());
    this.#revision++;
  }

  /** Numbers up to this one may be in use, and what they mean is not known. */
  skipTo(number: number): void {
    if (number < this.#next || number >= this.#range.last) return;
    this.#next = number + 1;
    this.#revision++;
  }

  stored(): StoredNumbers {
    return { sets: [...this.#byNumber], next: this.#next };
  }

  #put(number: number, patterns: PatternSet): void {
    this.#byNumber.set(number, patterns);
    this.#byText.set(patterns.join(), number);
    this.#revision++;
  }

  #free(): number {
    const { first, last } = this.#range;
    for (let i = 0; i <= this.#byNumber.size; i++) {
      const number = first + ((this.#next - first + i) % (last - first + 1));
      if (!this.#byNumber.has(number)) return number;
    }
    throw new CirriError('ERR_NAMES_FULL', `no number is left for another ${this.#what} of DNS names`, { mend: 'use fewer different names and patterns in policies' });
  }
}

export interface StoredNames {
  readonly classes: StoredNumbers;
  readonly identities: StoredNumbers;
}

/** A file that is replaced as a whole. */
export class NameStore {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Undefined where there is none; `error` for one that cannot be read. */
  load(): { readonly names?: StoredNames; readonly error?: string } {
    if (!existsSync(this.#file)) return {};
    try {
      const value: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      if (!isStoredNames(value)) throw new Error('it does not hold sets of patterns by number');
      return { names: value };
    } catch (error) {
      return { error: errorText(error) };
    }
  }

  save(names: StoredNames): void {
    writeFileSync(`${this.#file}.new`, JSON.stringify(names), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function isStoredNames(value: unknown): value is StoredNames {
  return isObject(value) && isStoredNumbers(value['classes']) && isStoredNumbers(value['identities']);
}

function isStoredNumbers(value: unknown): value is StoredNumbers {
  return isObject(value) && Number.isSafeInteger(value['next']) && Array.isArray(value['sets']) && value['sets'].every(entry =>
    Array.isArray(entry) && Number.isSafeInteger(entry[0]) && Array.isArray(entry[1]) && entry[1].every(pattern => typeof pattern === 'string'));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
