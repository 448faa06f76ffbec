/**
 * Flows in columns, as they go from the agent to the store. Numbers of ends, kinds, decisions and services are those of the
 * connection's dictionary (dictionary.ts). What few flows have is apart: totals of connections that ended, and details.
 *
 *     u32 sequence, rows, totals, details, bytes of their texts, bytes of gaps · times · totals · integer columns
 *     · of each detail u32 row, characters · their texts, one behind the other · gaps (JSON)
 */
export const batchRows = 4096;

/** Nanoseconds since 1970 of one flow as the two words of an int64, without a bigint: every product is exact in a double. */
export function writeTime(words: Uint32Array, index: number, seconds: number, nanos: number): void {
  const high = Math.floor(seconds / 65_536) * 1e9;
  const low = (high % 65_536) * 65_536 + (seconds % 65_536) * 1e9 + nanos;
  words[2 * index] = low % 0x1_0000_0000;
  words[2 * index + 1] = Math.floor(high / 65_536) + Math.floor(low / 0x1_0000_0000);
}

/** Which of two such times is the earlier, without a bigint. */
export function isEarlier(times: Uint32Array, a: number, b: number): boolean {
  const [high, otherHigh] = [times[2 * a + 1]!, times[2 * b + 1]!];
  return high < otherHigh || (high === otherHigh && times[2 * a]! < times[2 * b]!);
}

/**
 * One 32-bit number each. Ports, suffix and latency are -1 where the flow has none, dictionary numbers 0. The latency is microseconds to a
 * connection's first answer; with a saying, which has none then, nanoseconds since the request. Of such a flow details say more than it.
 */
export const integerColumns = ['kind', 'source', 'destination', 'sourcePort', 'destinationPort', 'decision', 'service', 'suffix', 'tally', 'latency', 'saying'] as const;
export type IntegerColumn = (typeof integerColumns)[number];
type Columns = Readonly<Record<IntegerColumn, Int32Array>>;

const headBytes = 24;
/** Row, packets out, bytes out, packets back, bytes back, duration: doubles, exact to 2^53. Of an answer whose details are its own the duration alone, and -1. */
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
    const texts = Buffer.from(this.details.map(([, text]) => text).join(''));
    const gaps = Buffer.from(this.gaps.length === 0 ? '' : JSON.stringify(this.gaps));
    const bytes = Buffer.allocUnsafe(headBytes + rows * (8 + 4 * integerColumns.length) + this.totals.length * 8 + this.details.length * 8 + texts.length + gaps.length);
    let at = 0;
    for (const value of [sequence, rows, this.totals.length / totalsWidth, this.details.length, texts.length, gaps.length]) at = bytes.writeUInt32LE(value, at);
    const put = (from: Uint8Array) => {
      bytes.set(from, at);
      at += from.byteLength;
    };
    put(new Uint8Array(this.times.buffer, 0, rows * 8));
    put(new Uint8Array(Float64Array.from(this.totals).buffer));
    for (const name of integerColumns) put(new Uint8Array(this.columns[name].buffer, 0, rows * 4));
    for (const [row, text] of this.details) at = bytes.writeUInt32LE(text.length, bytes.writeUInt32LE(row, at));
    put(texts);
    put(gaps);
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
  if (bytes.length < headBytes) throw new Error(`a batch of ${bytes.length} bytes`);
  const [sequence, rows, totals, details, textsLength, gapsLength] = [0, 4, 8, 12, 16, 20].map(at => bytes.readUInt32LE(at)) as [number, number, number, number, number, number];
  const expected = headBytes + rows * (8 + 4 * integerColumns.length) + totals * totalsWidth * 8 + details * 8 + textsLength + gapsLength;
  if (rows > batchRows || bytes.length !== expected) throw new Error(`a batch of ${bytes.length} bytes for ${rows} rows`);
  // One copy, in which every part lies where numbers of its width may.
  const copy = new Uint8Array(bytes).buffer;
  let at = headBytes;
  const skip = (length: number): number => {
    at += length;
    return at - length;
  };
  return {
    sequence, rows,
    times: new Uint32Array(copy, skip(rows * 8), rows * 2),
    totals: new Float64Array(copy, skip(totals * totalsWidth * 8), totals * totalsWidth),
    columns: makeColumns(() => new Int32Array(copy, skip(rows * 4), rows)),
    details: takeDetails(new Uint32Array(copy, skip(details * 8), details * 2), Buffer.from(copy, skip(textsLength), textsLength).toString()),
    gaps: gapsLength === 0 ? [] : (JSON.parse(Buffer.from(copy, at).toString()) as readonly GapEntry[]),
  };
}

function takeDetails(places: Uint32Array, text: string): Batch['details'] {
  const details: [row: number, text: string][] = [];
  let at = 0;
  for (let i = 0; i < places.length; i += 2) details.push([places[i]!, text.slice(at, (at += places[i + 1]!))]);
  return details;
}

/** The rows of `batch.totals`: whose they are, and the five numbers. */
export function* totalsOf(totals: Float64Array): Generator<{ readonly row: number; readonly values: Float64Array }> {
  for (let at = 0; at < totals.length; at += totalsWidth) yield { row: totals[at]!, values: totals.subarray(at + 1, at + totalsWidth) };
}

/** Of the earliest and the latest flow. */
export function rangeOf(batch: Batch): { readonly first: bigint; readonly last: bigint } | undefined {
  if (batch.rows === 0) return undefined;
  const times = new BigInt64Array(batch.times.buffer, batch.times.byteOffset, batch.rows);
  let [first, last] = [0, 0];
  for (let i = 1; i < batch.rows; i++) {
    if (isEarlier(batch.times, i, first)) first = i;
    else if (isEarlier(batch.times, last, i)) last = i;
  }
  return { first: times[first]!, last: times[last]! };
}
