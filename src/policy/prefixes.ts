/**
 * Port ranges as prefixes of the 16-bit port, which is how the kernel's longest-prefix map holds them, and the smallest
 * table of nested prefixes for a function of the port.
 */
import { maxPort } from './policy.ts';

export interface PortPrefix {
  readonly port: number;
  /** Leading bits that count, 0–16. */
  readonly bits: number;
}

/** The fewest prefixes that cover start..end (inclusive) exactly, ascending; an end below the start counts as the start. */
export function rangeToPrefixes(start: number, end: number): readonly PortPrefix[] {
  const prefixes: PortPrefix[] = [];
  const last = Math.max(start, end);
  for (let port = start; port <= last;) {
    let size = port === 0 ? maxPort + 1 : port & -port;
    while (port + size - 1 > last) size >>= 1;
    prefixes.push({ port, bits: 16 - Math.log2(size) });
    port += size;
  }
  return prefixes;
}

/** A step of a function of the port: from `start` up to the next interval's start it has `value` (an index). */
export interface Interval {
  readonly start: number;
  readonly value: number;
}

export interface PrefixRow extends PortPrefix {
  readonly value: number;
}

/**
 * The fewest rows whose longest match gives the function (Draves et al., "Constructing optimal IP routing tables", 1999).
 * `intervals` are sorted and begin at 0. `inherited` is what a lookup without any row gives.
 *
 * Bottom up, each node learns which values would serve it best at its root (those that both halves agree on, else those
 * of either); top down, a row is made where the value inherited is not among them.
 */
export function optimalPrefixes(intervals: readonly Interval[], inherited: number): readonly PrefixRow[] {
  const rows: PrefixRow[] = [];
  emit(build(intervals, 0, 0, 0, intervals.length), 0, 0, inherited, rows);
  return rows;
}

interface Node {
  readonly best: readonly number[];
  readonly low?: Node;
  readonly high?: Node;
}

/** The node of prefix `port`/`bits`; intervals[from, to) are those that touch it. */
function build(intervals: readonly Interval[], port: number, bits: number, from: number, to: number): Node {
  if (to - from === 1) return { best: [intervals[from]!.value] };
  const middle = port + (1 << (15 - bits));
  let split = from;
  while (split < to && intervals[split]!.start < middle) split++;
  // The interval that begins below the middle and reaches over it belongs to both halves.
  const highFrom = split < to && intervals[split]!.start === middle ? split : split - 1;
  const low = build(intervals, port, bits + 1, from, split);
  const high = build(intervals, middle, bits + 1, highFrom, to);
  return { best: common(low.best, high.best), low, high };
}

/** Both lists are ascending: those in both, else those in either, in one walk. A table of many rules has long lists. */
function common(a: readonly number[], b: readonly number[]): readonly number[] {
  const both: number[] = [];
  const either: number[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const [x, y] = [a[i] ?? Infinity, b[j] ?? Infinity];
    const least = Math.min(x, y);
    if (x === y) both.push(least);
    either.push(least);
    if (x === least) i++;
    if (y === least) j++;
  }
  return both.length > 0 ? both : either;
}

/** Is the value in an ascending list? */
function contains(list: readonly number[], value: number): boolean {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return list[low] === value;
}

function emit(node: Node, port: number, bits: number, inherited: number, rows: PrefixRow[]): void {
  let value = inherited;
  if (!contains(node.best, inherited)) {
    value = node.best[0]!;
    rows.push({ port, bits, value });
  }
  if (!node.low || !node.high) return;
  emit(node.low, port, bits + 1, value, rows);
  emit(node.high, port + (1 << (15 - bits)), bits + 1, value, rows);
}
