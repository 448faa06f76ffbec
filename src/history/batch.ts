/**
 * Flows in columns, as they go from the agent to the store. Numbers of ends, kinds, decisions and services are those of the
 * connection's dictionary (dictionary.ts). What few flows have is apart: totals of connections that ended, and details.
 *
 *     u32 sequence, rows, totals, bytes of the rest · times · integer columns · totals · the rest (JSON)
 */
export const batchRows = 4096;

/** Nanoseconds since 1970 of one flow as the two words of an int64, without a bigint: every product is exact in a double. */
export function writeTime(words: Uint32Array, index: number, seconds: number, nanos: number): void {
  const high = Math.floor(seconds / 65_536) * 1e9;
  const low = (high % 65_536) * 65_536 + (seconds % 65_536) * 1e9 + nanos;
  words[2 * index] = low % 0x1_0000_0000;
  words[2 * index + 1] = Math.floor(high / 65_536) + Math.floor(low / 0x1_0000_0000);
}

/** One 32-bit number each. Ports, suffix and latency are -1 where the flow has none, dictionary numbers 0. */
export const integerColumns = ['kind', 'source', 'destination', 'sourcePort', 'destinationPort', 'decision', 'service', 'suffix', 'tally', 'latencyUs'] as const;
export type IntegerColumn = (typeof integerColumns)[number];
type Columns = Readonly<Record<IntegerColumn, Int32Array>>;

/** Row, packets out, bytes out, packets back, bytes back, duration: doubles, exact to 2^53. */
const totalsWidth = 6;

function makeColumns(make: () => Int32Array): Columns {
  return Object.fromEntries(integerColumns.map(name => [name, make()])) as Record<IntegerColumn, Int32Array>;
}

/** A batch being filled. Its memory is used again when it has been written. */
export class BatchBuilder {
  readonly times: Uint32Array = new Uint32Array(2 * batchRows);
  readonly columns: Columns = makeColumns(() => new Int32Array(batchRows));
  rows = 0;
  totals: number[] = [];
  /** Of flows that say more than the columns hold. */
  details: [row: number, text: string][] = [];
  gaps: GapEntry[] = [];

  get isEmpty(): boolean {
    return this.rows === 0 && this.gaps.length === 0;
  }

  get isFull(): boolean {
    return this.rows === batchRows;
  }

  clear(): void {
    this.rows = 0;
    this.totals = [];
    this.details = [];
    this.gaps = [];
  }

  encode(sequence: number): Buffer {
    const { rows } = this;
    const rest: BatchRest = { details: this.details, gaps: this.gaps };
    const details = Buffer.from(this.details.length + this.gaps.length === 0 ? '' : JSON.stringify(rest));
    const bytes = Buffer.allocUnsafe(16 + rows * (8 + 4 * integerColumns.length) + this.totals.length * 8 + details.length);
    let at = 0;
    for (const value of [sequence, rows, this.totals.length / totalsWidth, details.length]) at = bytes.writeUInt32LE(value, at);
    const put = (from: Uint8Array) => {
      bytes.set(from, at);
      at += from.byteLength;
    };
    put(new Uint8Array(this.times.buffer, 0, rows * 8));
    for (const name of integerColumns) put(new Uint8Array(this.columns[name].buffer, 0, rows * 4));
    put(new Uint8Array(Float64Array.from(this.totals).buffer));
    put(details);
    return bytes;
  }
}

export interface Batch {
  readonly sequence: number;
  readonly rows: number;
  /** Words of int64 nanoseconds. */
  readonly times: Uint32Array<ArrayBuffer>;
  readonly columns: Columns;
  readonly totals: Float64Array;
  readonly details: BatchRest['details'];
  readonly gaps: readonly GapEntry[];
}

/** What is no column. */
interface BatchRest {
  readonly details: readonly (readonly [row: number, text: string])[];
  readonly gaps: readonly GapEntry[];
}

/** Flows that are not in the record; times as in `times`, in nanoseconds as text. */
export interface GapEntry {
  readonly sinceNs: string;
  readonly untilNs: string;
  /** Absent: nobody knows. */
  readonly count?: number;
  readonly class: string;
  readonly reason: string;
}

/** Copies: the bytes may be used again. Throws on bytes that are no batch. */
export function decodeBatch(bytes: Buffer): Batch {
  if (bytes.length < 16) throw new Error(`a batch of ${bytes.length} bytes`);
  const [sequence, rows, totals, detailsLength] = [0, 4, 8, 12].map(at => bytes.readUInt32LE(at)) as [number, number, number, number];
  const expected = 16 + rows * (8 + 4 * integerColumns.length) + totals * totalsWidth * 8 + detailsLength;
  if (rows > batchRows || bytes.length !== expected) throw new Error(`a batch of ${bytes.length} bytes for ${rows} rows`);
  let at = 16;
  const take = (length: number): ArrayBuffer => {
    const copy = new ArrayBuffer(length);
    new Uint8Array(copy).set(bytes.subarray(at, at + length));
    at += length;
    return copy;
  };
  return {
    sequence, rows,
    times: new Uint32Array(take(rows * 8)),
    columns: makeColumns(() => new Int32Array(take(rows * 4))),
    totals: new Float64Array(take(totals * totalsWidth * 8)),
    ...(detailsLength === 0 ? { details: [], gaps: [] } : (JSON.parse(bytes.toString('utf8', at)) as BatchRest)),
  };
}

/** The rows of `batch.totals`: whose they are, and the five numbers. */
export function* totalsOf(totals: Float64Array): Generator<{ readonly row: number; readonly values: Float64Array }> {
  for (let at = 0; at < totals.length; at += totalsWidth) yield { row: totals[at]!, values: totals.subarray(at + 1, at + totalsWidth) };
}
