import type { Changes, Table } from '../table/table.ts';

/** Rows of a table by another key, or several. Brought up to date when it is read: as much work as there were changes. */
export class TableIndex<R> {
  readonly #table: Table<R>;
  readonly #changes: Changes<R>;
  readonly #keysOf: (row: R) => readonly string[];
  readonly #members = new Map<string, Set<string>>();
  readonly #indexed = new Map<string, readonly string[]>();

  constructor(table: Table<R>, keysOf: (row: R) => readonly string[]) {
    this.#table = table;
    this.#keysOf = keysOf;
    this.#changes = table.changes();
  }

  get(key: string): R[] {
    this.#catchUp();
    const rows: R[] = [];
    for (const primary of this.#members.get(key) ?? []) {
      const row = this.#table.get(primary);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  #catchUp(): void {
    if (!this.#changes.pending) return;
    const { changed, deleted } = this.#changes.take();
    for (const primary of deleted) this.#put(primary, []);
    for (const row of changed) this.#put(this.#table.keyOf(row), this.#keysOf(row));
  }

  #put(primary: string, keys: readonly string[]): void {
    for (const old of this.#indexed.get(primary) ?? []) {
      if (keys.includes(old)) continue;
      const members = this.#members.get(old);
      members?.delete(primary);
      if (members?.size === 0) this.#members.delete(old);
    }
    for (const key of keys) {
      const members = this.#members.get(key);
      if (members) members.add(primary);
      else this.#members.set(key, new Set([primary]));
    }
    if (keys.length === 0) this.#indexed.delete(primary);
    else this.#indexed.set(primary, keys);
  }
}
