import { readFileSync, renameSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { CirriError, errorText } from '../std/errors.ts';
import { literal, rowsOf } from './database.ts';
import { bytesOfFlow, createTables, formatVersion, runTablePattern, sumColumns, upgradeTables, type RunTable } from './schema.ts';

/** One file of the history: a day, or less of it when there is much. */
export interface Partition {
  readonly name: string;
  readonly path: string;
  /** Name of the attached database. */
  readonly alias: string;
  /** UTC, `20261128`. */
  readonly day: string;
  /** Of the oldest and the newest flow, nanoseconds; undefined while there is none. */
  first: bigint | undefined;
  last: bigint | undefined;
  flows: number;
  /** Nothing is added any more. */
  sealed: boolean;
  /** Of an older format nothing is asked that it has not; what is written to becomes the newest. */
  version: number;
  /** Oldest first. */
  runs: RunTable[];
  /** Of a sealed one: its sums are there, being much less than its flows. */
  summed: boolean;
}

export const partitionPattern = /^flows-(\d{8})-(\d{4})\.duckdb$/;

export function partitionName(day: string, index: number): string {
  return `flows-${day}-${String(index).padStart(4, '0')}.duckdb`;
}

export function dayOf(timeNs: bigint): string {
  return new Date(Number(timeNs / 1_000_000n)).toISOString().slice(0, 10).replaceAll('-', '');
}

/** Bytes on the disk, with what waits in the write-ahead log. */
export function partitionBytes(partition: Pick<Partition, 'path'>): number {
  return [partition.path, `${partition.path}.wal`].reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
}

let aliases = 0;

/** Attaches the file, making it when it is not there. Throws ERR_HISTORY_NEWER for a newer store's file, and what DuckDB says of a damaged one. */
export async function openPartition(connection: DuckDBConnection, folder: string, name: string, node: string): Promise<Partition> {
  const path = join(folder, name);
  const alias = `p${++aliases}`;
  const isNew = !existsSync(path);
  await connection.run(`ATTACH ${literal(path)} AS ${alias}`);
  try {
    if (isNew) await createAll(connection, alias, node);
    return await lookInto(connection, { name, path, alias, day: partitionPattern.exec(name)![1]! });
  } catch (error) {
    await connection.run(`DETACH ${alias}`).catch(() => {});
    throw error;
  }
}

async function createAll(connection: DuckDBConnection, alias: string, node: string): Promise<void> {
  await connection.run('BEGIN');
  for (const statement of createTables(alias)) await connection.run(statement);
  await connection.run(`INSERT INTO ${alias}.format VALUES (${formatVersion}, ${literal(node)})`);
  await connection.run('COMMIT');
}

async function lookInto(connection: DuckDBConnection, partition: Pick<Partition, 'name' | 'path' | 'alias' | 'day'>): Promise<Partition> {
  const { alias, name } = partition;
  const [[version] = [0]] = await rowsOf(connection, `SELECT max(version) FROM ${alias}.format`);
  if (Number(version) > formatVersion) {
    throw new CirriError('ERR_HISTORY_NEWER', `${name} has format ${String(version)}, newer than ${formatVersion}, which is read here`, { where: partition.path });
  }
  const runs = await runTables(connection, alias);
  const known = { ...partition, version: Number(version), runs };
  const sealed = await connection.runAndReadAll(`SELECT first, last, flows FROM ${alias}.sealed`);
  const seal = sealed.getRows()[0] as [bigint, bigint, bigint] | undefined;
  if (seal) {
    const [[sums] = [0]] = await rowsOf(connection, `SELECT count(*) FROM ${alias}.sums`);
    return { ...known, first: seal[0], last: seal[1], flows: Number(seal[2]), sealed: true, summed: Number(sums) > 0 };
  }
  const range = await connection.runAndReadAll(`SELECT min(time), max(time), count(*) FROM ${alias}.flows`);
  const [first, last, flows] = range.getRows()[0] as [bigint | null, bigint | null, bigint];
  const whole: Pick<RunTable, 'first' | 'last'> = { first: first ?? undefined, last: last ?? undefined };
  for (const table of runs) widen(whole, table);
  return { ...known, ...whole, flows: Number(flows) + runs.reduce((sum, table) => sum + table.flows, 0), sealed: false, summed: false };
}

async function runTables(connection: DuckDBConnection, alias: string): Promise<RunTable[]> {
  const names = (await rowsOf(connection, `SELECT table_name FROM duckdb_tables() WHERE database_name = ${literal(alias)}`)).flatMap(([name]) => (runTablePattern.test(String(name)) ? [String(name)] : []));
  const numberOf = (name: string) => Number(runTablePattern.exec(name)?.[1] ?? 0);
  const tables: RunTable[] = [];
  for (const name of names.sort((a, b) => numberOf(a) - numberOf(b))) {
    const [first, last, flows] = (await connection.runAndReadAll(`SELECT min(first), max(last), coalesce(sum(len(times)), 0)::BIGINT FROM ${alias}.${name}`)).getRows()[0] as [bigint | null, bigint | null, bigint];
    tables.push({ name, flows: Number(flows), first: first ?? undefined, last: last ?? undefined });
  }
  return tables;
}

/** So that it holds the other's time too. */
export function widen(range: { first: bigint | undefined; last: bigint | undefined }, { first, last }: { readonly first: bigint | undefined; readonly last: bigint | undefined }): void {
  if (first !== undefined && (range.first === undefined || first < range.first)) range.first = first;
  if (last !== undefined && (range.last === undefined || last > range.last)) range.last = last;
}

/** Before anything is written to it. */
export async function upgradePartition(connection: DuckDBConnection, partition: Partition): Promise<void> {
  if (partition.version >= formatVersion) return;
  await connection.run('BEGIN');
  for (const statement of upgradeTables(partition.alias)) await connection.run(statement);
  await connection.run('COMMIT');
  partition.version = formatVersion;
  partition.runs = await runTables(connection, partition.alias);
}

/** Rows summed up at a time: what bounds the memory that sealing takes. */
const rowsPerStep = 1_000_000;

/**
 * Sums the partition up, a step at a time with room for inserts and questions in between, and marks it. The sums of two steps may
 * have the same key: they are added up by whoever asks. Where nearly every flow is the only one of its kind, sums are more work than
 * flows, and none are kept: more than `sumsShare` of the flows.
 */
export async function sealPartition(connection: DuckDBConnection, partition: Partition, sumsShare: number, signal: AbortSignal): Promise<boolean> {
  const { alias, first, last } = partition;
  if (first === undefined || last === undefined) return false;
  const keys = sumColumns.join(', ');
  const facts = keys.replace('server_port', `CASE WHEN kind IN (SELECT id FROM ${alias}.kinds WHERE is_reply) THEN source_port ELSE destination_port END AS server_port`);
  await connection.run(`DELETE FROM ${alias}.sums`);
  for (let from = 0; from < partition.flows; from += rowsPerStep) {
    if (signal.aborted) return false;
    await connection.run(`INSERT INTO ${alias}.sums SELECT ${facts}, count(*), sum(${bytesOfFlow}), min(time), max(time)
      FROM ${alias}.flows WHERE rowid >= ${from} AND rowid < ${from + rowsPerStep} GROUP BY ALL`);
  }
  for (const { name } of partition.runs) await connection.run(`INSERT INTO ${alias}.sums SELECT ${keys}, sum(len(times))::BIGINT, 0, min(first), max(last) FROM ${alias}.${name} GROUP BY ALL`);
  const [[sums] = [0]] = await rowsOf(connection, `SELECT count(*) FROM ${alias}.sums`);
  const isWorthIt = Number(sums) <= partition.flows * sumsShare;
  if (!isWorthIt) await connection.run(`DELETE FROM ${alias}.sums`);
  await connection.run(`INSERT INTO ${alias}.sealed VALUES (${first}, ${last}, ${partition.flows})`);
  await connection.run(`CHECKPOINT ${alias}`);
  partition.sealed = true;
  partition.summed = isWorthIt;
  return true;
}

export async function removePartition(connection: DuckDBConnection, partition: Partition): Promise<void> {
  await connection.run(`DETACH ${partition.alias}`);
  for (const path of [partition.path, `${partition.path}.wal`]) rmSync(path, { force: true });
}

/** Renames a damaged file so that nobody opens it again and somebody may look at it. Returns the new name. */
export function setAside(folder: string, name: string): string {
  const stamp = new Date().toISOString().replace(/[-:]/g, '').slice(0, 15);
  const aside = `history.corrupt-${stamp}-${name}`;
  for (const end of ['', '.wal']) {
    if (existsSync(join(folder, name + end))) renameSync(join(folder, name + end), join(folder, aside + end));
  }
  return aside;
}

export const asidePattern = /^history\.corrupt-.*\.duckdb$/;

/** True for what DuckDB says of a file whose bytes are wrong. */
export function isDamage(error: unknown): boolean {
  return /corrupt|checksum|not a valid DuckDB|Serialization Error|could not read (all|enough)|replaying WAL|INTERNAL Error/i.test(errorText(error));
}

/** True when there is no room on the disk, or no right to write there. */
export function isNoRoom(error: unknown): boolean {
  return /No space left|ENOSPC|Disk quota|could not write|Read-only file system/i.test(errorText(error));
}

/**
 * Damage can make DuckDB crash rather than throw. The name of the file is on the disk while it is opened: a store that finds
 * it there for the second time does not try a third.
 */
export class OpeningMark {
  readonly #path: string;

  constructor(folder: string) {
    this.#path = join(folder, 'opening');
  }

  /** How often the file was begun and never finished. */
  failures(name: string): number {
    const [known, count] = this.#read();
    return known === name ? count : 0;
  }

  begin(name: string): void {
    writeFileSync(this.#path, `${name} ${this.failures(name) + 1}`);
  }

  end(): void {
    rmSync(this.#path, { force: true });
  }

  #read(): [string, number] {
    try {
      const [name = '', count = '0'] = readFileSync(this.#path, 'utf8').split(' ');
      return [name, Number(count)];
    } catch {
      return ['', 0];
    }
  }
}
