import { BIGINT, DuckDBDataChunk, INTEGER, LIST, type DuckDBAppender } from '@duckdb/node-api';
import duckdb, { type Vector } from '@duckdb/node-bindings';
import { batchRows, isEarlier } from './batch.ts';
import { runColumns } from './schema.ts';

/** What all flows of a run have in common: the first columns of the table, numbers of this partition's rows. */
const keyColumns = runColumns.filter(({ type }) => type === 'INTEGER').length;

/** Fewer flows are no run: a row of the table is more than theirs. */
export const leastRun = 8;
/** Runs of a batch; flows of others stay flows. */
const mostRuns = 512;
const chains = 1024;

/** Finds in a batch the flows that differ in time, suffix, the client's port and latency alone, and writes them as one row. */
export class RunWriter {
  /** Of the run that the next flow belongs to. */
  readonly key = new Int32Array(keyColumns);
  readonly #keys = new Int32Array(mostRuns * keyColumns);
  readonly #counts = new Int32Array(mostRuns);
  readonly #heads = new Int32Array(chains);
  readonly #next = new Int32Array(mostRuns);
  readonly #runOf = new Int32Array(batchRows);
  #runs = 0;
  readonly #chunk = DuckDBDataChunk.create(runColumns.map(({ type }) => (type === 'INTEGER' ? INTEGER : type === 'BIGINT' ? BIGINT : LIST(type === 'BIGINT[]' ? BIGINT : INTEGER))), mostRuns);
  readonly #column = new Int32Array(mostRuns);
  /** Times are 64-bit numbers in two words, here and below. */
  readonly #first = new Uint32Array(2 * mostRuns);
  readonly #last = new Uint32Array(2 * mostRuns);
  /** Where in its lists a run begins, and how long it is: two 64-bit numbers each, as DuckDB has them. */
  readonly #entries = new Uint32Array(mostRuns * 4);
  readonly #at = new Int32Array(mostRuns);
  /** The rows of the runs, in the order of the lists. */
  readonly #rows = new Int32Array(batchRows);
  readonly #times = new Uint32Array(2 * batchRows);
  readonly #numbers = new Int32Array(batchRows);

  begin(): void {
    this.#runs = 0;
    this.#heads.fill(-1);
  }

  /** The row belongs to the run of `key`. */
  add(row: number): void {
    const run = this.#find();
    this.#runOf[row] = run;
    if (run >= 0) this.#counts[run]!++;
  }

  /** The row belongs to none. */
  skip(row: number): void {
    this.#runOf[row] = -1;
  }

  isInRun(row: number): boolean {
    const run = this.#runOf[row]!;
    return run >= 0 && this.#counts[run]! >= leastRun;
  }

  /** Writes what is a run. Returns how many flows those are. */
  write(appender: DuckDBAppender, rows: number, times: Uint32Array, lists: readonly Int32Array[]): number {
    const kept: number[] = [];
    for (let run = 0; run < this.#runs; run++) if (this.#counts[run]! >= leastRun) kept.push(run);
    if (kept.length === 0) return 0;
    const { chunk } = this.#chunk;
    duckdb.data_chunk_reset(chunk);
    duckdb.data_chunk_set_size(chunk, kept.length);
    for (let column = 0; column < keyColumns; column++) {
      for (let i = 0; i < kept.length; i++) this.#column[i] = this.#keys[kept[i]! * keyColumns + column]!;
      copyTo(duckdb.data_chunk_get_vector(chunk, column), this.#column, 4 * kept.length);
    }
    const count = this.#place(kept, rows, times);
    copyTo(duckdb.data_chunk_get_vector(chunk, keyColumns), this.#first, 8 * kept.length);
    copyTo(duckdb.data_chunk_get_vector(chunk, keyColumns + 1), this.#last, 8 * kept.length);
    this.#list(keyColumns + 2, kept.length, this.#times, 8, count);
    for (const [i, values] of lists.entries()) {
      for (let at = 0; at < count; at++) this.#numbers[at] = values[this.#rows[at]!]!;
      this.#list(keyColumns + 3 + i, kept.length, this.#numbers, 4, count);
    }
    appender.appendDataChunk(this.#chunk);
    return count;
  }

  /** The rows and their times into the order of the lists, with where each list begins and what it spans. */
  #place(kept: readonly number[], rows: number, times: Uint32Array): number {
    let count = 0;
    for (const [i, run] of kept.entries()) {
      this.#at[run] = count;
      this.#entries[4 * i] = count;
      this.#entries[4 * i + 2] = this.#counts[run]!;
      count += this.#counts[run]!;
    }
    for (let row = 0; row < rows; row++) if (this.isInRun(row)) this.#rows[this.#at[this.#runOf[row]!]!++] = row;
    const list = this.#times;
    for (let at = 0; at < count; at++) {
      const row = this.#rows[at]!;
      list[2 * at] = times[2 * row]!;
      list[2 * at + 1] = times[2 * row + 1]!;
    }
    for (let i = 0; i < kept.length; i++) {
      const begin = this.#entries[4 * i]!;
      let [first, last] = [begin, begin];
      for (let at = begin + 1, end = begin + this.#entries[4 * i + 2]!; at < end; at++) {
        if (isEarlier(list, at, first)) first = at;
        else if (isEarlier(list, last, at)) last = at;
      }
      this.#first.set(list.subarray(2 * first, 2 * first + 2), 2 * i);
      this.#last.set(list.subarray(2 * last, 2 * last + 2), 2 * i);
    }
    return count;
  }

  #list(column: number, runs: number, values: Uint32Array | Int32Array, width: number, count: number): void {
    const vector = duckdb.data_chunk_get_vector(this.#chunk.chunk, column);
    duckdb.list_vector_reserve(vector, count);
    duckdb.list_vector_set_size(vector, count);
    copyTo(vector, this.#entries, 16 * runs);
    copyTo(duckdb.list_vector_get_child(vector), values, width * count);
  }

  /** The run of `key`; -1 when there are too many. */
  #find(): number {
    const { key } = this;
    let hash = 0;
    for (let i = 0; i < keyColumns; i++) hash = Math.imul(hash ^ key[i]!, 0x9e3779b1) ^ (hash >>> 15);
    const chain = (hash ^ (hash >>> 13)) & (chains - 1);
    for (let run = this.#heads[chain]!; run >= 0; run = this.#next[run]!) if (this.#is(run)) return run;
    if (this.#runs === mostRuns) return -1;
    const run = this.#runs++;
    this.#keys.set(key, run * keyColumns);
    this.#counts[run] = 0;
    this.#next[run] = this.#heads[chain]!;
    this.#heads[chain] = run;
    return run;
  }

  #is(run: number): boolean {
    const first = run * keyColumns;
    for (let i = 0; i < keyColumns; i++) if (this.#keys[first + i] !== this.key[i]) return false;
    return true;
  }
}

function copyTo(vector: Vector, values: Int32Array | Uint32Array, bytes: number): void {
  duckdb.copy_data_to_vector(vector, 0, values.buffer as ArrayBuffer, values.byteOffset, bytes);
}
