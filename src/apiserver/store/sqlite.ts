import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { CirriError } from '../../std/errors.ts';

/**
 * The durable half of the store: one SQLite file. WAL with synchronous=NORMAL: a commit is in the page cache before the
 * client has its answer, so a kill -9 loses nothing; a power cut can lose the last moments, never the file.
 */
export interface Persistence {
  load(onRow: (row: StoredRow) => void): { revision: number; deletions: ReadonlyMap<string, number> };
  put(row: StoredRow): void;
  remove(collection: string, namespace: string, name: string, revision: number): void;
  /** All writes inside happen or none does. */
  transaction<T>(section: () => T): T;
  close(): void;
}

export interface StoredRow {
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly json: string;
}

const layout = `
CREATE TABLE IF NOT EXISTS objects (id INTEGER PRIMARY KEY, collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deletions (collection TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
`;

const layoutVersion = 1;

export function openSqlite(path: string): Persistence {
  const database = open(path);
  const insert = database.prepare('INSERT INTO objects (id, collection, namespace, name, revision, json) VALUES (?, ?, ?, ?, ?, ?)');
  const update = database.prepare('UPDATE objects SET revision = ?, json = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM objects WHERE id = ?');
  const mark = database.prepare('INSERT INTO deletions (collection, revision) VALUES (?, ?) ON CONFLICT DO UPDATE SET revision = excluded.revision');
  const begin = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  const rollback = database.prepare('ROLLBACK');
  // Names are unique by the store's own map, so rows are found by number and the table needs no second tree.
  const ids = new Map<string, number>();
  const idOf = (collection: string, namespace: string, name: string) => `${collection}\0${namespace}\0${name}`;
  let nextId = 1;
  let depth = 0;

  const transaction = <T>(section: () => T): T => {
    if (depth > 0) return section();
    begin.run();
    depth++;
    const undo: [string, number | undefined][] = [];
    pendingIds = undo;
    try {
      const result = section();
      commit.run();
      return result;
    } catch (error) {
      if (database.isTransaction) rollback.run();
      for (const [key, id] of undo.reverse()) id === undefined ? ids.delete(key) : ids.set(key, id);
      throw error;
    } finally {
      depth--;
      pendingIds = undefined;
    }
  };
  let pendingIds: [string, number | undefined][] | undefined;

  return {
    load(onRow) {
      let revision = 0;
      const rows = database.prepare('SELECT id, collection, namespace, name, revision, json FROM objects').all() as unknown as (StoredRow & { id: number })[];
      for (const row of rows) {
        ids.set(idOf(row.collection, row.namespace, row.name), row.id);
        nextId = Math.max(nextId, row.id + 1);
        revision = Math.max(revision, row.revision);
        onRow(row);
      }
      const deletions = new Map<string, number>();
      for (const row of database.prepare('SELECT collection, revision FROM deletions').iterate()) {
        deletions.set(String(row['collection']), Number(row['revision']));
        revision = Math.max(revision, Number(row['revision']));
      }
      return { revision, deletions };
    },
    put({ collection, namespace, name, revision, json }) {
      const key = idOf(collection, namespace, name);
      const id = ids.get(key);
      if (id !== undefined) {
        update.run(revision, json, id);
      } else {
        insert.run(nextId, collection, namespace, name, revision, json);
        pendingIds?.push([key, undefined]);
        ids.set(key, nextId++);
      }
    },
    remove(collection, namespace, name, revision) {
      transaction(() => {
        const key = idOf(collection, namespace, name);
        const id = ids.get(key);
        if (id !== undefined) {
          remove.run(id);
          pendingIds?.push([key, id]);
          ids.delete(key);
        }
        mark.run(collection, revision);
      });
    },
    transaction,
    close: () => database.close(),
  };
}

function open(path: string): DatabaseSync {
  try {
    // SQLite gives its WAL the mode of the file itself.
    closeSync(openSync(path, 'a', 0o600));
    const database = new DatabaseSync(path);
    // One process owns the file: a second API server on the same state folder must not start.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA busy_timeout = 3000;');
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    if (version > layoutVersion) throw new Error(`it was written by a newer version (layout ${version}, this one knows ${layoutVersion})`);
    database.exec(`${layout} PRAGMA user_version = ${layoutVersion};`);
    return database;
  } catch (cause) {
    throw new CirriError('ERR_STORE', `opening the API's store ${path}`, {
      cause, mend: 'another API server may be running on this state folder; stop it, or set CIRRI_INSTANCE or CIRRI_STATE to another one',
    });
  }
}

/** A store without a file, for tests. */
export function memoryPersistence(): Persistence {
  return {
    load: () => ({ revision: 0, deletions: new Map() }),
    put: () => {},
    remove: () => {},
    transaction: section => section(),
    close: () => {},
  };
}
