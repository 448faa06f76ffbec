import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { delay } from '../std/async.ts';

export interface DatabaseOptions {
  /** The history's folder: the only place that DuckDB may touch. */
  readonly folder: string;
  /** DuckDB's own bound for its buffers; what the process takes on top is its code and Node's heap. */
  readonly memoryMegabytes?: number;
  readonly threads?: number;
}

export const defaultMemoryMegabytes = 80;

/**
 * One DuckDB in memory to which the partitions' files are attached. It can reach no file outside its folder, no network and no
 * extension, and its settings are locked: what a query could do beyond reading is kept out here, and once more in sql-guard.ts.
 */
export async function openDatabase(options: DatabaseOptions): Promise<DuckDBInstance> {
  const { folder, memoryMegabytes = defaultMemoryMegabytes, threads = 2 } = options;
  const spill = join(folder, 'spill');
  // What a killed process left there is of use to nobody.
  rmSync(spill, { recursive: true, force: true });
  mkdirSync(spill, { recursive: true, mode: 0o700 });
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads), memory_limit: `${memoryMegabytes}MB` });
  const connection = await instance.connect();
  try {
    for (const statement of [
      `SET temp_directory = ${literal(spill)}`,
      `SET max_temp_directory_size = '1GB'`,
      // The write-ahead log is folded into the file before what it holds in memory becomes much.
      `SET checkpoint_threshold = '8MB'`,
      `SET preserve_insertion_order = false`,
      `SET allocator_flush_threshold = '8MB'`,
      `SET enable_external_file_cache = false`,
      `SET autoinstall_known_extensions = false`,
      `SET autoload_known_extensions = false`,
      `SET TimeZone = 'UTC'`,
      `SET allowed_directories = [${literal(folder)}]`,
      `SET enable_external_access = false`,
      `SET lock_configuration = true`,
    ]) await connection.run(statement);
  } finally {
    connection.closeSync();
  }
  return instance;
}

/** How often is asked whether a statement is done, and how long: then it is left to whoever waits to help. */
const askEveryMs = 2;
const mostAsked = 500;

/**
 * Runs a statement that waits for the disk. DuckDB's own thread carries it out, while a caller of `run` would ask on another, without a
 * pause and all the time, whether it is done. The connection must be used for nothing else meanwhile: that would end it.
 */
export async function runPatiently(connection: DuckDBConnection, sql: string): Promise<void> {
  const prepared = await connection.prepare(sql);
  try {
    const pending = duckdb.pending_prepared(prepared['prepared_statement']);
    for (let asked = 0; asked < mostAsked && !duckdb.pending_execution_is_finished(duckdb.pending_execute_check_state(pending)); asked++) await delay(askEveryMs);
    await duckdb.execute_pending(pending);
  } finally {
    prepared.destroySync();
  }
}

/** A string in SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Numbers and strings of a list as SQL; an empty list is NULL, which is IN nothing. */
export function literals(values: readonly (number | string)[]): string {
  return values.length === 0 ? 'NULL' : values.map(value => (typeof value === 'number' ? String(value) : literal(value))).join(', ');
}

/** All rows of a small answer, bigints as numbers. */
export async function rowsOf(connection: DuckDBConnection, sql: string): Promise<unknown[][]> {
  const reader = await connection.runAndReadAll(sql);
  return reader.getRows().map(row => row.map(plain));
}

/** DuckDB's value as JSON would have it: bigints as numbers (exact to 2^53), lists as arrays. */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value !== null && typeof value === 'object' && 'items' in value && Array.isArray(value.items)) return value.items.map(plain);
  return value;
}
