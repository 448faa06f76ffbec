import { backoffMs, Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { Table } from './table.ts';

/**
 * The kernel's side of a table: maps, routes, links. Calls are synchronous (a syscall each or a batch); a failure of one row
 * must not touch the others.
 */
export interface Target<R> {
  /** Keys of what is in place already, from whoever made it: what a restart adopts. */
  list(): Iterable<string>;
  /** Makes each row true. The result has one entry a row: undefined, or why it failed. */
  apply(rows: readonly R[]): readonly (Error | undefined)[];
  /** Removes what stands under each key. Removing what is gone already succeeds. */
  remove(keys: readonly string[]): readonly (Error | undefined)[];
}

/** How one row stands. Rows that are done carry no status at all. */
export interface RowStatus {
  readonly key: string;
  readonly state: 'pending' | 'error';
  readonly operation: 'apply' | 'remove';
  readonly error?: string;
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface ReconcilerOptions<R> {
  readonly desired: Table<R>;
  readonly target: Target<R>;
  readonly log: Logger;
  /** Rows per turn, so that a long table does not hold the event loop. */
  readonly batch?: number;
  readonly now?: () => number;
  readonly random?: () => number;
  /** After each turn that changed the target. */
  readonly onApplied?: (applied: readonly R[], removed: readonly string[]) => void;
  /** When a row fails, or fails for another reason than before. */
  readonly onFailed?: (key: string, operation: 'apply' | 'remove', error: Error) => void;
}

interface Work {
  readonly operation: 'apply' | 'remove';
  attempts: number;
  error?: string;
  since: number;
  notBefore: number;
}

/**
 * Makes a target equal to a table, and keeps it so: level-triggered, in bounded turns, each row with its own retries and
 * back-off. Nothing is removed before every producer of the table has delivered its first list.
 *
 *     desired ──changes──► work (key → apply | remove) ──turn──► target
 *                             ▲                            │
 *                             └────── failed: back-off ◄───┘
 */
export class Reconciler<R> {
  readonly #options: Required<Omit<ReconcilerOptions<R>, 'onApplied' | 'onFailed'>> & Pick<ReconcilerOptions<R>, 'onApplied' | 'onFailed'>;
  readonly #work = new Map<string, Work>();
  readonly #inPlace: Set<string>;
  readonly #signal = new Signal();
  readonly #changes;
  #pruned = false;

  constructor(options: ReconcilerOptions<R>) {
    this.#options = { batch: 4096, now: Date.now, random: Math.random, ...options };
    this.#inPlace = new Set(options.target.list());
    this.#changes = options.desired.changes(() => this.#signal.mark());
  }

  /** Rows not done, the failing ones included. */
  *statuses(): Generator<RowStatus> {
    for (const [key, work] of this.#work) {
      yield {
        key,
        state: work.error === undefined ? 'pending' : 'error',
        operation: work.operation,
        attempts: work.attempts,
        since: work.since,
        ...(work.error === undefined ? {} : { error: work.error }),
      };
    }
  }

  get pending(): number {
    return this.#work.size;
  }

  get failed(): number {
    let count = 0;
    for (const work of this.#work.values()) if (work.error !== undefined) count++;
    return count;
  }

  /** True when the target equals the table and may be relied upon. */
  get settled(): boolean {
    return this.#work.size === 0 && !this.#changes.pending && this.#pruned;
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = this.turn();
      if (next === 0) await new Promise(resolve => setImmediate(resolve));
      else await this.#signal.wait(next === undefined ? { signal } : { timeoutMs: next, signal });
    }
    this.#changes.stop();
  }

  /** Turns until nothing is due. For start-up and tests: what fails stays behind as a status. */
  settle(): void {
    while (this.turn() === 0);
  }

  /** One bounded turn. Returns ms until the next is due: 0 at once, undefined when only a change can make work. */
  turn(): number | undefined {
    this.#collect();
    const due = this.#due();
    const applies = due.filter(([, work]) => work.operation === 'apply');
    const removes = due.filter(([, work]) => work.operation === 'remove');
    const applied = this.#apply(applies);
    const removed = this.#remove(removes);
    if (applied.length + removed.length > 0) this.#options.onApplied?.(applied, removed);
    return this.#nextDueIn();
  }

  /** Says that a row is no longer in place as far as anybody knows (an audit found it gone or changed). */
  invalidate(key: string): void {
    const operation = this.#options.desired.has(key) ? 'apply' : 'remove';
    this.#queue(key, operation);
    this.#signal.mark();
  }

  #collect(): void {
    const { desired } = this.#options;
    const { changed, deleted } = this.#changes.take();
    for (const row of changed) this.#queue(desired.keyOf(row), 'apply');
    for (const key of deleted) this.#queue(key, 'remove');
    if (this.#pruned || !desired.synced) return;
    for (const key of this.#inPlace) if (!desired.has(key)) this.#queue(key, 'remove');
    this.#pruned = true;
  }

  #queue(key: string, operation: Work['operation']): void {
    const { desired, now } = this.#options;
    if (operation === 'remove') {
      // Never in place and never tried: nothing to remove.
      if (!this.#inPlace.has(key) && !this.#work.has(key)) return;
      if (!desired.synced) return;
    }
    this.#work.set(key, { operation, attempts: 0, since: now(), notBefore: 0 });
  }

  #due(): [string, Work][] {
    const now = this.#options.now();
    const due: [string, Work][] = [];
    for (const entry of this.#work) {
      if (entry[1].notBefore > now) continue;
      due.push(entry);
      if (due.length >= this.#options.batch) break;
    }
    return due;
  }

  #apply(entries: readonly [string, Work][]): R[] {
    const rows: R[] = [];
    const works: [string, Work][] = [];
    for (const entry of entries) {
      const row = this.#options.desired.get(entry[0]);
      if (row === undefined) {
        this.#work.delete(entry[0]);
        this.#queue(entry[0], 'remove');
        continue;
      }
      rows.push(row);
      works.push(entry);
    }
    if (rows.length === 0) return rows;
    const results = this.#attempt(() => this.#options.target.apply(rows), rows.length);
    return rows.filter((_, i) => {
      const [key, work] = works[i]!;
      // Even a failed apply may have left something behind that a later removal must look for.
      this.#inPlace.add(key);
      return this.#finish(key, work, results[i]);
    });
  }

  #remove(entries: readonly [string, Work][]): string[] {
    const keys = entries.map(([key]) => key);
    if (keys.length === 0) return keys;
    const results = this.#attempt(() => this.#options.target.remove(keys), keys.length);
    return keys.filter((key, i) => {
      const done = this.#finish(key, entries[i]![1], results[i]);
      if (done) this.#inPlace.delete(key);
      return done;
    });
  }

  #attempt(run: () => readonly (Error | undefined)[], count: number): readonly (Error | undefined)[] {
    try {
      return run();
    } catch (error) {
      // A target that throws has failed for every row of the batch; rows are then retried in their own time.
      return new Array<Error>(count).fill(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #finish(key: string, work: Work, error: Error | undefined): boolean {
    const { desired, now, random, log } = this.#options;
    if (error === undefined) {
      this.#work.delete(key);
      return true;
    }
    const text = errorText(error);
    if (work.error !== text) {
      log.warn('row failed', { table: desired.name, key, operation: work.operation, error: text, attempts: work.attempts + 1 });
      this.#options.onFailed?.(key, work.operation, error);
    }
    work.error = text;
    work.notBefore = now() + backoffMs(work.attempts, { random });
    work.attempts++;
    return false;
  }

  #nextDueIn(): number | undefined {
    if (this.#changes.pending) return 0;
    const now = this.#options.now();
    let next: number | undefined;
    for (const work of this.#work.values()) {
      const wait = Math.max(0, work.notBefore - now);
      if (next === undefined || wait < next) next = wait;
      if (next === 0) break;
    }
    return next === undefined ? undefined : Math.ceil(next);
  }
}
