import { expired } from '../status.ts';
import type { Change, Entry } from './entry.ts';

/** How many changes a collection remembers for watches that resume. */
const historyLength = 8192;

/** All objects of one resource, what changed lately, and who watches. */
export class Collection {
  readonly name: string;
  readonly #entries = new Map<string, Entry>();
  readonly #watchers = new Set<(change: Change) => void>();
  #sorted: Entry[] | undefined;
  #history: Change[] = [];
  /** Every change after this revision is in the history. */
  #oldest: number;

  constructor(name: string, oldest: number) {
    this.name = name;
    this.#oldest = oldest;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** In the order of keys: namespace, then name. */
  sorted(): readonly Entry[] {
    return (this.#sorted ??= [...this.#entries.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)));
  }

  values(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Fills the collection at start, without events. */
  load(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    this.#oldest = Math.max(this.#oldest, entry.revision);
    this.#sorted = undefined;
  }

  apply(change: Change): void {
    if (change.type === 'DELETED') this.#entries.delete(change.entry.key);
    else this.#entries.set(change.entry.key, change.entry);
    if (change.type === 'MODIFIED' && this.#sorted) replaceSorted(this.#sorted, change.entry);
    else this.#sorted = undefined;
    this.#history.push(change);
    if (this.#history.length > 2 * historyLength) this.#trim();
    for (const watcher of this.#watchers) watcher(change);
  }

  #trim(): void {
    const dropped = this.#history.length - historyLength;
    this.#oldest = this.#history[dropped - 1]!.revision;
    this.#history = this.#history.slice(dropped);
  }

  /** The changes after `revision`, oldest first. Throws 410 when they are no longer all known. */
  changesSince(revision: number): readonly Change[] {
    if (revision < this.#oldest) throw expired(revision, this.#oldest);
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#history[middle]!.revision > revision) high = middle;
      else low = middle + 1;
    }
    return this.#history.slice(low);
  }

  watch(onChange: (change: Change) => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }
}

function replaceSorted(sorted: Entry[], entry: Entry): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.key < entry.key) low = middle + 1;
    else high = middle;
  }
  if (sorted[low]?.key === entry.key) sorted[low] = entry;
}
