import type { Flow } from '../../model/flow.ts';
import { hostTexts, showsId, summaryText, typeText, verdictText, type FieldOptions } from './fields.ts';
import type { LostEvents } from './responses.ts';
import { safe } from './safe.ts';

type Columns = readonly (readonly [header: string, value: string])[];

/** Columns of `-o table` and entries of `-o dict`, in Hubble's order. */
export function flowColumns(flow: Flow, options: FieldOptions): Columns {
  const [source, destination] = hostTexts(flow, options);
  return [
    ['TIMESTAMP', options.formatTime(flow.time)],
    ...(options.nodeNames ? ([['NODE', safe(flow.nodeName)]] as const) : []),
    ['SOURCE', source],
    ['DESTINATION', destination],
    ['TYPE', typeText(flow, options)],
    ['VERDICT', verdictText(flow, options)],
    ['SUMMARY', summaryText(flow, options.paint)],
    ...(options.ids === 'all' ? ([['FLOW', showsId(flow, 'all') ? safe(flow.id) : '']] as const) : []),
  ];
}

/** A row of what was lost. Entries leave the destination out. */
export function lostColumns(lost: LostEvents, options: FieldOptions): Columns {
  return [
    ['TIMESTAMP', options.formatTime(lost.time)],
    ...(options.nodeNames ? ([['NODE', safe(lost.nodeName)]] as const) : []),
    ['SOURCE', safe(lost.source)],
    ['DESTINATION', '-'],
    ['TYPE', 'EVENTS LOST'],
    ['VERDICT', '-'],
    ['SUMMARY', `CPU(${lost.cpu ?? 0}) - ${lost.count}${lostPeriod(lost, options)}`],
  ];
}

export function lostPeriod({ first, last }: LostEvents, { formatTime }: FieldOptions): string {
  return first === undefined || last === undefined ? '' : ` (first: ${formatTime(first)}, last: ${formatTime(last)})`;
}

/**
 * Text in columns as Go's tabwriter sets it with a minimum width of 2 and three spaces between: a column is as wide as its
 * widest cell, the last one is not padded.
 */
export function alignColumns(rows: readonly (readonly string[])[], gap = 3): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => void (widths[i] = Math.max(widths[i] ?? 2 - gap, width(cell))));
  return rows.map(row => row.map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat(widths[i]! + gap - width(cell)))).join(''));
}

/** Code points, as tabwriter counts them. */
function width(text: string): number {
  // eslint-disable-next-line no-control-regex
  return /^[\u0000-\uD7FF]*$/.test(text) ? text.length : [...text].length;
}
