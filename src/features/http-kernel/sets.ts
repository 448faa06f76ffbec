import type { L7Set } from '../../model/l7.ts';
import type { HttpSetPlace } from '../../model/l7-kernel.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import { KernelTables, type OuterMap } from './kernel-tables.ts';

/** As the engine's tables are made: one `struct http_set`, or why the kernel cannot carry the set out. */
export type CompileTables = (set: L7Set) => { readonly tables: Uint8Array } | { readonly unfit: string };

export interface KernelHttpSetsDependencies {
  readonly map: OuterMap;
  readonly compile: CompileTables;
  /** Sets that `map` takes. */
  readonly room: number;
  /** Why the kernel carries out no HTTP at all on this node. */
  readonly unable?: string | undefined;
  readonly log: Logger;
  /** Milliseconds. */
  readonly now?: () => number;
}

interface Carried {
  /** Since when no row names it. */
  since: number | undefined;
}

/** As long as the proxy keeps a set that no row names: connections come back to their policy at their next packet. */
const keepMs = 10 * 60_000;
/** What could not be written is tried again. */
const retryMs = 30_000;

/**
 * HTTP sets that the kernel carries out. A set with `kernel` is there, read back, when `numbered` returns, or it is the proxy's and the
 * reason is kept. One that no row names any more stays for ten minutes, unless another needs its place.
 *
 *     engine ─► numbered ─► compile ─► http_sets ─► wanted pods get programs
 *                              └─► unfit, no room: the proxy
 */
export class KernelHttpSets {
  readonly #deps: KernelHttpSetsDependencies;
  readonly #tables: KernelTables;
  readonly #now: () => number;
  readonly #carried = new Map<number, Carried>();
  /** In the map from an earlier agent, and not asked for yet: what they mean is looked at when they are. */
  readonly #left: Map<number, Carried>;
  /** Those that wanted to be there and are not. */
  readonly #refused = new Map<number, { readonly reason: string; readonly retryAt: number | undefined }>();

  constructor(dependencies: KernelHttpSetsDependencies) {
    this.#deps = dependencies;
    this.#now = dependencies.now ?? (() => performance.now());
    this.#tables = new KernelTables(dependencies.map);
    const now = this.#now();
    this.#left = new Map(this.#tables.numbers().map(number => [number, { since: now }]));
  }

  /** Before a row names the set, each time that one comes to. */
  numbered(number: number, set: L7Set): void {
    if (set.protocol !== 'http' || !set.kernel) return;
    const carried = this.#carried.get(number);
    if (carried) carried.since = undefined;
    else if (this.#isDue(number)) this.#take(number, set);
  }

  /** After a pass with which all rows stand. True when a set has come in that had no place before: then rows of pods may change. */
  retire(inUse: ReadonlyMap<number, L7Set>): boolean {
    const now = this.#now();
    for (const sets of [this.#carried, this.#left]) this.#expire(sets, inUse, now);
    for (const number of this.#refused.keys()) if (!inUse.has(number)) this.#refused.delete(number);
    let came = false;
    for (const [number, set] of inUse) {
      const refused = this.#refused.get(number);
      if (refused?.retryAt === undefined || refused.retryAt > now) continue;
      this.#take(number, set);
      came ||= this.#carried.has(number);
    }
    return came;
  }

  /** Whether the kernel carries out the set of this number. */
  has(number: number): boolean {
    return this.#carried.has(number);
  }

  /** Sets that the kernel carries out. */
  get size(): number {
    return this.#carried.size;
  }

  get unable(): string | undefined {
    return this.#deps.unable;
  }

  /** Of the HTTP sets in use, where each is carried out, and why not in the kernel where it was wanted there. */
  places(inUse: ReadonlyMap<number, L7Set>): HttpSetPlace[] {
    return [...inUse].flatMap(([number, set]) => {
      if (set.protocol !== 'http') return [];
      const isHere = this.#carried.has(number);
      const reason = set.kernel && !isHere ? this.#refused.get(number)?.reason ?? 'not written yet' : undefined;
      return [{ number, rules: set.rules.length, wanted: set.kernel ? 'kernel' as const : 'proxy' as const, place: isHere ? 'kernel' as const : 'proxy' as const, ...(reason !== undefined && { reason }) }];
    });
  }

  #isDue(number: number): boolean {
    const refused = this.#refused.get(number);
    return !refused || (refused.retryAt !== undefined && refused.retryAt <= this.#now());
  }

  #take(number: number, set: L7Set): void {
    const reason = this.#deps.unable === undefined ? this.#write(number, set) : { reason: this.#deps.unable };
    if (reason) {
      this.#refused.set(number, { retryAt: undefined, ...reason });
      return;
    }
    this.#refused.delete(number);
    this.#left.delete(number);
    this.#carried.set(number, { since: undefined });
  }

  #write(number: number, set: L7Set): { readonly reason: string; readonly retryAt?: number } | undefined {
    const compiled = this.#deps.compile(set);
    if ('unfit' in compiled) return { reason: compiled.unfit };
    const later = { retryAt: this.#now() + retryMs };
    if (!this.#left.has(number) && !this.#makeRoom()) return { reason: `the kernel holds ${this.#deps.room} sets, and all of them are in use`, ...later };
    try {
      this.#tables.put(number, compiled.tables);
      return undefined;
    } catch (error) {
      this.#deps.log.error('tables of a layer 7 set could not be brought into the kernel; the proxy carries it', { number, error: errorText(error) });
      return { reason: errorText(error), ...later };
    }
  }

  /** The one that has been out of use for the longest goes: its connections are judged anew before they come to it again. */
  #makeRoom(): boolean {
    if (this.#carried.size + this.#left.size < this.#deps.room) return true;
    let oldest: { readonly number: number; readonly since: number } | undefined;
    for (const sets of [this.#carried, this.#left]) {
      for (const [number, { since }] of sets) if (since !== undefined && (!oldest || since < oldest.since)) oldest = { number, since };
    }
    if (oldest) this.#remove(oldest.number);
    return oldest !== undefined;
  }

  #expire(sets: Map<number, Carried>, inUse: ReadonlyMap<number, L7Set>, now: number): void {
    for (const [number, carried] of sets) {
      // What an earlier agent has put there, and this one would not, goes with the rows that led to it.
      if (this.#deps.unable !== undefined || this.#refused.has(number)) this.#remove(number);
      else if (inUse.has(number)) carried.since = undefined;
      else if (carried.since === undefined) carried.since = now;
      else if (now - carried.since > keepMs) this.#remove(number);
    }
  }

  #remove(number: number): void {
    this.#tables.remove(number);
    this.#carried.delete(number);
    this.#left.delete(number);
  }
}
