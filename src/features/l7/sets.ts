import { mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { L7Set } from '../../model/l7.ts';
import { L7Numbers } from '../../policy/l7-numbers.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';

/** A file that no row names stays for so long: connections have rows of their own, and a proxy that starts anew reads what they name. */
const keepMs = 10 * 60_000;

export type L7SetsInUse = ReadonlyMap<number, L7Set>;

/**
 * The node's layer 7 sets, a file each: what the proxy reads when a connection comes with a number that it does not know. Written
 * before a row can name them; of an earlier agent's the numbers are kept.
 */
export class L7SetFiles {
  /** Told of each set before a row names it, again when one comes back. Throwing keeps the row from being written. */
  readonly onNumber: ((number: number, set: L7Set) => void)[] = [];
  /** After a pass with which all rows stand: sets that are not in it are named by no row. */
  readonly onRetire: ((inUse: L7SetsInUse) => void)[] = [];
  readonly #folder: string;
  readonly #numbers: L7Numbers;
  readonly #now: () => number;
  readonly #log: Logger;
  /** Files, and since when no row names them. */
  readonly #files = new Map<number, number | undefined>();

  constructor(folder: string, dependencies: { readonly log: Logger; readonly now?: () => number }) {
    this.#folder = folder;
    this.#log = dependencies.log;
    this.#now = dependencies.now ?? (() => performance.now());
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const existing = this.#read();
    this.#numbers = new L7Numbers(existing);
    for (const [number] of existing) this.#files.set(number, this.#now());
  }

  get size(): number {
    return this.#files.size;
  }

  /** The number of a set, whose file is there when it returns. Throws when it cannot be written: then no row is. */
  numberOf(set: L7Set): number {
    const number = this.#numbers.numberOf(set);
    if (!this.#files.has(number)) this.#write(number, set);
    this.#files.set(number, undefined);
    for (const tell of this.onNumber) tell(number, set);
    return number;
  }

  retire(inUse: L7SetsInUse): void {
    const now = this.#now();
    for (const tell of this.onRetire) tell(inUse);
    for (const [number, since] of this.#files) {
      if (inUse.has(number)) this.#files.set(number, undefined);
      else if (since === undefined) this.#files.set(number, now);
      else if (now - since > keepMs) this.#remove(number);
    }
  }

  #path(number: number): string {
    return join(this.#folder, `${number}.json`);
  }

  /** Root only: it may hold keys. Under another name first, so that nobody reads half a set. */
  #write(number: number, set: L7Set): void {
    const path = this.#path(number);
    writeFileSync(`${path}.new`, JSON.stringify(set) + '\n', { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  #remove(number: number): void {
    try {
      unlinkSync(this.#path(number));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return void this.#log.warn('a layer 7 set that nothing names stays', { number, error: errorText(error) });
    }
    this.#files.delete(number);
  }

  #read(): (readonly [number, L7Set])[] {
    return readdirSync(this.#folder).flatMap(name => {
      const match = /^(\d+)\.json$/.exec(name);
      try {
        if (match) return [[Number(match[1]), JSON.parse(readFileSync(join(this.#folder, name), 'utf8')) as L7Set] as const];
      } catch (error) {
        // The proxy refuses it too. If policy asks for the set, it is written anew.
        this.#log.warn('a layer 7 set cannot be read', { name, error: errorText(error) });
      }
      return [];
    });
  }
}
