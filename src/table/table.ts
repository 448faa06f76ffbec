import { isDeepStrictEqual } from 'node:util';

/** What a reader has not seen yet. A key is in one of the two, never in both. */
export interface ChangeSet<R> {
  readonly changed: readonly R[];
  readonly deleted: readonly string[];
}

/** One reader's view of a table's changes: marked at once, taken when the reader gets to it. */
export interface Changes<R> {
  /** All changes since the last call; the first call delivers every row there is. */
  take(): ChangeSet<R>;
  /** True when `take` would deliver something. */
  readonly pending: boolean;
  stop(): void;
}

/**
 * A named set of rows, keyed by text: the one form of state between the API and the kernel. Writers upsert and delete;
 * readers are marked and take what changed. A row that is deeply equal to the one in place changes nothing, so a relist
 * wakes nobody. Work per change is proportional to the change: each reader has its own set of dirty keys, which is never
 * larger than the number of keys.
 *
 * A table is *synced* once every registered producer has delivered its first list. Until then nothing that is missing from
 * it may be taken as absent (reconcilers do not prune).
 */
export class Table<R> {
  readonly name: string;
  readonly #keyOf: (row: R) => string;
  readonly #rows = new Map<string, R>();
  readonly #readers = new Set<Reader>();
  readonly #watchers = new Set<() => void>();
  readonly #awaited = new Set<string>();
  readonly #onSynced: (() => void)[] = [];
  #revision = 0;

  constructor(name: string, keyOf: (row: R) => string) {
    this.name = name;
    this.#keyOf = keyOf;
  }

  /** Counts changes of rows; equal revisions mean equal content. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#rows.size;
  }

  keyOf(row: R): string {
    return this.#keyOf(row);
  }

  get(key: string): R | undefined {
    return this.#rows.get(key);
  }

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  rows(): IterableIterator<R> {
    return this.#rows.values();
  }

  keys(): IterableIterator<string> {
    return this.#rows.keys();
  }

  upsert(...rows: readonly R[]): void {
    this.#write(() => {
      for (const row of rows) this.#put(row);
    });
  }

  delete(...keys: readonly string[]): void {
    this.#write(() => {
      for (const key of keys) this.#drop(key);
    });
  }

  /** Makes the rows that `owns` selects (all by default) exactly these: the first list, or a relist, of one producer. */
  replaceAll(rows: Iterable<R>, owns: (row: R) => boolean = () => true): void {
    this.#write(() => {
      const kept = new Set<string>();
      for (const row of rows) {
        kept.add(this.#keyOf(row));
        this.#put(row);
      }
      for (const [key, row] of this.#rows) if (!kept.has(key) && owns(row)) this.#drop(key);
    });
  }

  /** Starts reading changes. `onMark` runs after each batch of changes (many changes, one call) and must only mark. */
  changes(onMark: () => void = () => {}): Changes<R> {
    const reader: Reader = { dirty: new Set(this.#rows.keys()), onMark };
    this.#readers.add(reader);
    return {
      take: () => this.#take(reader),
      get pending() {
        return reader.dirty.size > 0;
      },
      stop: () => void this.#readers.delete(reader),
    };
  }

  /** Calls `onMark` after each batch of changes. Returns the way to stop. For readers that need no delta. */
  watch(onMark: () => void): () => void {
    this.#watchers.add(onMark);
    return () => this.#watchers.delete(onMark);
  }

  /** Registers somebody who will deliver a first list. Register before anything is derived from this table. */
  producer(name: string): { synced(): void } {
    this.#awaited.add(name);
    return {
      synced: () => {
        if (!this.#awaited.delete(name) || this.#awaited.size > 0) return;
        for (const run of this.#onSynced.splice(0)) run();
        this.#notify();
      },
    };
  }

  get synced(): boolean {
    return this.#awaited.size === 0;
  }

  /** Producers whose first list has not come yet. */
  get awaited(): readonly string[] {
    return [...this.#awaited];
  }

  whenSynced(): Promise<void> {
    return this.synced ? Promise.resolve() : new Promise(resolve => this.#onSynced.push(resolve));
  }

  #put(row: R): void {
    const key = this.#keyOf(row);
    const old = this.#rows.get(key);
    if (old !== undefined && isDeepStrictEqual(old, row)) return;
    this.#rows.set(key, row);
    this.#touch(key);
  }

  #drop(key: string): void {
    if (this.#rows.delete(key)) this.#touch(key);
  }

  #touch(key: string): void {
    this.#revision++;
    for (const reader of this.#readers) reader.dirty.add(key);
  }

  #write(change: () => void): void {
    const before = this.#revision;
    change();
    if (this.#revision !== before) this.#notify();
  }

  #notify(): void {
    for (const reader of this.#readers) reader.onMark();
    for (const mark of this.#watchers) mark();
  }

  #take(reader: Reader): ChangeSet<R> {
    const changed: R[] = [];
    const deleted: string[] = [];
    for (const key of reader.dirty) {
      const row = this.#rows.get(key);
      if (row === undefined) deleted.push(key);
      else changed.push(row);
    }
    reader.dirty.clear();
    return { changed, deleted };
  }
}

/** A table as its readers see it: one of richer rows may stand for one of plainer rows. */
export type TableView<R> = Pick<Table<R>, 'changes' | 'rows' | 'synced' | 'watch'>;

interface Reader {
  readonly dirty: Set<string>;
  readonly onMark: () => void;
}
