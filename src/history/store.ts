import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { HistoryGap, HistoryStatus } from '../model/history.ts';
import { CirriError, errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { rangeOf, type Batch, type GapEntry } from './batch.ts';
import { defaultMemoryMegabytes, openDatabase, rowsOf } from './database.ts';
import {
  asidePattern, dayOf, isDamage, isNoRoom, openPartition, OpeningMark, partitionBytes, partitionName, partitionPattern, removePartition, sealPartition, setAside, upgradePartition, widen,
  type Partition,
} from './partition.ts';
import { fullRuns } from './schema.ts';
import { timeText } from './time.ts';
import { PartitionWriter, type FeedDictionary } from './writer.ts';

export interface StoreOptions {
  readonly folder: string;
  readonly node: string;
  readonly days: number;
  readonly maxMegabytes: number;
  readonly memoryMegabytes?: number;
  /** Room that is left to others on the disk, default 64 MB: below it nothing is written. */
  readonly reserveMegabytes?: number;
  readonly now?: () => number;
  /** Sums of a partition are kept when they are at most this share of its flows; default a third. */
  readonly sumsShare?: number;
  /** Flows of a table of runs before another one follows it; see schema.ts. */
  readonly fullRuns?: number;
  /** The cluster's node that has an address. */
  readonly nodeName?: (ip: string) => string | undefined;
}

/** One thing to be written; several are written in one transaction. */
export interface StoreWrite {
  readonly session: string;
  readonly dictionary: FeedDictionary;
  readonly batch: Batch;
}

/** Files of a size at which removing the oldest is a small step. */
const partitionsForSize = 16;
const nsPerMs = 1_000_000n;
const nsPerDay = 86_400_000_000_000n;

/**
 * The flows of one node on the disk, in partitions of a day or less. One writer; any number of readers, each with a connection
 * of its own. Removing what is too old or too much is removing files.
 */
export class HistoryStore {
  readonly options: Required<StoreOptions>;
  readonly #log: Logger;
  #instance!: DuckDBInstance;
  #connection!: DuckDBConnection;
  /** The writer's alone: another statement would end a commit that is waited for. */
  #writing!: DuckDBConnection;
  #partitions: Partition[] = [];
  #writer: PartitionWriter | undefined;
  #active: Partition | undefined;
  readonly #sessions = new Map<string, { sequence: number; ended: boolean; committed: bigint }>();
  #state: HistoryStatus['state'] = 'recording';
  #problem: string | undefined;
  #newer: string[] = [];
  #written = 0;
  /** Gaps found while opening, written with the first batch. */
  #foundGaps: GapEntry[] = [];
  #changes = 0;
  readonly #startedAt: string;

  private constructor(options: StoreOptions, log: Logger) {
    this.options = { memoryMegabytes: defaultMemoryMegabytes, reserveMegabytes: 64, now: Date.now, sumsShare: 1 / 3, fullRuns, nodeName: () => undefined, ...options };
    this.#log = log;
    this.#startedAt = new Date(this.options.now()).toISOString();
  }

  static async open(options: StoreOptions, log: Logger): Promise<HistoryStore> {
    const store = new HistoryStore(options, log);
    await store.#openAll();
    return store;
  }

  /** Newest last; what is older than the retention is no part of any answer even if its file is still there. */
  get partitions(): readonly Partition[] {
    return this.#partitions;
  }

  /** The oldest moment that is answered about. */
  get horizonNs(): bigint {
    return BigInt(this.options.now()) * nsPerMs - BigInt(this.options.days) * nsPerDay;
  }

  /** Counts every coming and going of partitions. */
  get changes(): number {
    return this.#changes;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** A connection for a reader; to be closed by it. */
  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect();
  }

  /** The last batch of the session that is on the disk. */
  committed(session: string): number {
    return this.#sessions.get(session)?.sequence ?? 0;
  }

  /** A feed is there: an earlier one that did not say good-bye took its last moments with it. `leaving`: those that have said it and are still being written. */
  async welcome(session: string, leaving: ReadonlySet<string>): Promise<number> {
    if (this.#sessions.has(session)) return this.committed(session);
    const now = BigInt(this.options.now()) * nsPerMs;
    for (const [other, feed] of this.#sessions) {
      if (feed.ended || leaving.has(other)) continue;
      this.#foundGaps.push({ sinceNs: String(feed.committed), untilNs: String(now), class: 'agent', reason: 'the agent ended without a word: what it had not sent yet is lost' });
      await this.#endSession(other);
    }
    return 0;
  }

  async goodbye(session: string): Promise<void> {
    if (this.#sessions.has(session)) await this.#endSession(session);
  }

  async #endSession(session: string): Promise<void> {
    const feed = this.#sessions.get(session)!;
    this.#sessions.set(session, { ...feed, ended: true });
    if (!this.#active) return;
    const { alias } = this.#active;
    await this.#connection.run(`UPDATE ${alias}.feeds SET ended = true WHERE session = '${session.replaceAll("'", "''")}'`).catch((error: unknown) => this.#log.warn('the end of a feed was not noted', { error: errorText(error) }));
  }

  /** Writes all or nothing. False when it was not written: the reason is in `problem`, and it may be tried again later. */
  async write(writes: readonly StoreWrite[]): Promise<boolean> {
    const rows = writes.reduce((sum, { batch }) => sum + batch.rows, 0);
    try {
      this.#requireRoom();
      const newest = writes.reduce((time, { batch }) => (rangeOf(batch)?.last ?? time), BigInt(this.options.now()) * nsPerMs);
      const writer = await this.#writerFor(newest);
      await writer.begin();
      for (const { batch, dictionary } of writes) writer.write(batch, dictionary);
      for (const gap of [...this.#foundGaps, ...writes.flatMap(({ batch }) => batch.gaps)]) await writer.gap(gap);
      const last = new Map(writes.map(({ session, batch }) => [session, batch.sequence] as const));
      for (const [session, sequence] of last) await writer.feed(session, sequence, false);
      await writer.commit();
      this.#foundGaps = [];
      for (const [session, sequence] of last) this.#sessions.set(session, { sequence, ended: false, committed: BigInt(this.options.now()) * nsPerMs });
      for (const { batch } of writes) this.#account(batch);
      this.#written += rows;
      this.#setState('recording', undefined);
      return true;
    } catch (error) {
      this.#setState(isNoRoom(error) ? 'full' : 'failed', errorText(error));
      if (!(error instanceof CirriError)) await this.#reopen(error);
      return false;
    }
  }

  #setState(state: HistoryStatus['state'], problem: string | undefined): void {
    if (state !== this.#state) {
      if (problem === undefined) this.#log.info('the history is written again');
      else this.#log.error('the history is not written', { problem });
    }
    this.#state = state;
    this.#problem = problem;
  }

  #requireRoom(): void {
    const { folder, reserveMegabytes } = this.options;
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < reserveMegabytes * (1 << 20)) {
      throw new CirriError('ERR_HISTORY_FULL', `No space left on the disk of ${folder}: under ${reserveMegabytes} MB are free`, { mend: 'make room there; the history goes on by itself' });
    }
  }

  #account(batch: Batch): void {
    const range = rangeOf(batch);
    const active = this.#active!;
    active.flows += batch.rows;
    if (range) widen(active, range);
  }

  /** The writer of the partition for this moment: a new one on a new day, and when the last is large. */
  async #writerFor(timeNs: bigint): Promise<PartitionWriter> {
    const day = dayOf(timeNs);
    const mostBytes = (this.options.maxMegabytes / partitionsForSize) * (1 << 20);
    const active = this.#active;
    if (this.#writer && active && day <= active.day && partitionBytes(active) < mostBytes) return this.#writer;
    this.#writer?.close();
    this.#writer = undefined;
    const last = this.#partitions.at(-1);
    if (!active && last && !last.sealed && last.day >= day && partitionBytes(last) < mostBytes) this.#active = last;
    else {
      const later = last && last.day > day ? last.day : day;
      const indices = readdirSync(this.options.folder).flatMap(name => (name.includes(`flows-${later}-`) ? [Number(/-(\d{4})\.duckdb/.exec(name)?.[1] ?? 0)] : []));
      this.#active = await openPartition(this.#connection, this.options.folder, partitionName(later, Math.max(0, ...indices) + 1), this.options.node);
      this.#partitions = [...this.#partitions, this.#active];
      this.#changes++;
    }
    await upgradePartition(this.#connection, this.#active);
    this.#writer = await PartitionWriter.open(this.#writing, this.#active, this.options.fullRuns);
    return this.#writer;
  }

  async #openAll(): Promise<void> {
    const { folder, node } = this.options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#instance = await openDatabase({ folder, memoryMegabytes: this.options.memoryMegabytes });
    this.#connection = await this.#instance.connect();
    this.#writing = await this.#instance.connect();
    const mark = new OpeningMark(folder);
    const found: Partition[] = [];
    this.#newer = [];
    for (const name of readdirSync(folder).filter(file => partitionPattern.test(file)).sort()) {
      if (mark.failures(name) >= 2) {
        this.#putAside(name, 'opening it has ended this process twice');
        continue;
      }
      mark.begin(name);
      try {
        found.push(await openPartition(this.#connection, folder, name, node));
      } catch (error) {
        if (error instanceof CirriError || /newer version|version number/i.test(errorText(error))) {
          this.#newer.push(name);
          this.#log.error('a file of the history is of a newer version and is left alone', { file: name, error: errorText(error) });
        } else if (isNoRoom(error)) throw error;
        else this.#putAside(name, errorText(error));
      }
    }
    mark.end();
    this.#partitions = found;
    for (const { alias } of found) {
      for (const [session, sequence, ended, committed] of (await this.#connection.runAndReadAll(`SELECT session, sequence, ended, committed FROM ${alias}.feeds`)).getRows()) {
        if (Number(sequence) >= this.committed(String(session))) this.#sessions.set(String(session), { sequence: Number(sequence), ended: Boolean(ended), committed: committed as bigint });
      }
    }
    this.#changes++;
  }

  #putAside(name: string, why: string): void {
    const aside = setAside(this.options.folder, name);
    this.#log.error('a file of the history is damaged and was set aside', { file: aside, why });
    const day = partitionPattern.exec(name)![1]!;
    const since = BigInt(Date.parse(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6, 8)}T00:00:00Z`)) * nsPerMs;
    const until = [since + nsPerDay, BigInt(this.options.now()) * nsPerMs].reduce((a, b) => (a < b ? a : b));
    this.#foundGaps.push({ sinceNs: String(since), untilNs: String(until), class: 'store', reason: `${name} was damaged and set aside as ${aside}` });
  }

  /** After an error of the database itself everything is opened anew; a damaged file is found and set aside on the way. */
  async #reopen(cause: unknown): Promise<void> {
    this.#log.warn('the history is opened again', { error: errorText(cause) });
    try {
      this.close();
    } catch (error) {
      this.#log.warn('the database did not close well', { error: errorText(error) });
    }
    if (isDamage(cause) && this.#active) this.#putAside(this.#active.name, errorText(cause));
    this.#active = undefined;
    this.#partitions = [];
    try {
      await this.#openAll();
    } catch (error) {
      this.#setState(isNoRoom(error) ? 'full' : 'failed', errorText(error));
    }
  }

  /** A reader met damage: every partition is read through, and what cannot be read is set aside. */
  async findDamage(): Promise<number> {
    let found = 0;
    for (const partition of [...this.#partitions]) {
      try {
        for (const table of ['flows', 'ends', 'kinds', 'sums', ...partition.runs.map(({ name }) => name)]) await rowsOf(this.#connection, `SELECT bit_xor(hash(COLUMNS(*))) FROM ${partition.alias}.${table}`);
      } catch (error) {
        if (!isDamage(error)) continue;
        found++;
        if (partition === this.#active) {
          await this.#reopen(error);
          return found;
        }
        await this.#connection.run(`DETACH ${partition.alias}`).catch(() => {});
        this.#partitions = this.#partitions.filter(other => other !== partition);
        this.#putAside(partition.name, errorText(error));
        this.#changes++;
      }
    }
    return found;
  }

  /** Housekeeping in small steps: sums up one partition that is over, removes what is too old or too much. True when there is more to do. */
  async tidy(signal: AbortSignal): Promise<boolean> {
    const isOver = (partition: Partition) => !partition.sealed && partition !== this.#active && partition.flows > 0;
    const over = this.#partitions.find(isOver);
    if (over) {
      const connection = await this.connect();
      try {
        await sealPartition(connection, over, this.options.sumsShare, signal);
      } finally {
        connection.closeSync();
      }
    }
    const horizon = this.horizonNs;
    const old = this.#partitions.filter(partition => partition !== this.#active && (partition.last === undefined || partition.last < horizon));
    let excess = this.#partitions.reduce((sum, partition) => sum + partitionBytes(partition), 0) - this.options.maxMegabytes * (1 << 20);
    const large = this.#partitions.filter(partition => {
      if (partition === this.#active || old.includes(partition) || excess <= 0) return false;
      excess -= partitionBytes(partition);
      return true;
    });
    for (const partition of [...old, ...large]) {
      this.#partitions = this.#partitions.filter(other => other !== partition);
      this.#changes++;
      await removePartition(this.#connection, partition);
      this.#log.info('a part of the history was removed', { file: partition.name, flows: partition.flows, why: old.includes(partition) ? `older than ${this.options.days} days` : `more than ${this.options.maxMegabytes} MB` });
    }
    return this.#partitions.some(isOver);
  }

  /** Gaps that touch the time between, oldest first. */
  async gaps(sinceNs?: bigint, untilNs?: bigint): Promise<HistoryGap[]> {
    const connection = await this.connect();
    try {
      const gaps: [bigint, bigint, bigint | null, string, string][] = [];
      for (const { alias } of this.#partitions) gaps.push(...((await connection.runAndReadAll(`SELECT since, until, count, class, reason FROM ${alias}.gaps`)).getRows() as typeof gaps));
      for (const { sinceNs: since, untilNs: until, count, class: gapClass, reason } of this.#foundGaps) gaps.push([BigInt(since), BigInt(until), count === undefined ? null : BigInt(count), gapClass, reason]);
      return gaps
        .filter(([since, until]) => (untilNs === undefined || since <= untilNs) && (sinceNs === undefined || until >= sinceNs))
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([since, until, count, gapClass, reason]) => ({ node: this.options.node, since: timeText(since), until: timeText(until), ...(count !== null && { count: Number(count) }), class: gapClass, reason }));
    } finally {
      connection.closeSync();
    }
  }

  async status(): Promise<HistoryStatus> {
    const { folder, node, days, maxMegabytes, memoryMegabytes } = this.options;
    const filled = this.#partitions.filter(({ flows }) => flows > 0);
    const partitions = filled.map(partition => ({
      name: partition.name, since: timeText(partition.first!), until: timeText(partition.last!), flows: partition.flows, bytes: partitionBytes(partition), sealed: partition.sealed,
    }));
    const [oldest, newest] = [partitions.map(({ since }) => since).sort()[0], partitions.map(({ until }) => until).sort().at(-1)];
    const problem = this.#problem ?? (this.#newer.length > 0 ? `left alone, of a newer version: ${this.#newer.join(', ')}` : undefined);
    return {
      node, state: this.#state, ...(problem !== undefined && { problem }),
      flows: partitions.reduce((sum, { flows }) => sum + flows, 0),
      bytes: partitions.reduce((sum, { bytes }) => sum + bytes, 0),
      ...(oldest !== undefined && { oldest }), ...(newest !== undefined && { newest }),
      partitions,
      retention: { days, megabytes: maxMegabytes },
      written: this.#written,
      gaps: await this.gaps(),
      setAside: existsSync(folder) ? readdirSync(folder).filter(name => asidePattern.test(name)).sort() : [],
      memory: { ...residentMemory(), limitBytes: memoryMegabytes * 1_000_000 },
      startedAt: this.#startedAt,
    };
  }

  close(): void {
    this.#writer?.close();
    this.#writer = undefined;
    this.#connection.closeSync();
    this.#writing.closeSync();
    this.#instance.closeSync();
  }
}

function residentMemory(): { readonly residentBytes: number; readonly peakBytes: number } {
  const text = readFileSync('/proc/self/status', 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { residentBytes: kilobytes('VmRSS'), peakBytes: kilobytes('VmHWM') };
}
