import type { Flow } from '../../model/flow.ts';
import { hostText, safe, showsId, typeText, verdictText, type FieldOptions } from './fields.ts';

/** Columns of `-o table` and entries of `-o dict`, in Hubble's order. */
export function flowColumns(flow: Flow, options: FieldOptions & { readonly nodeNames: boolean }): readonly (readonly [header: string, value: string])[] {
  return [
    ['TIMESTAMP', options.formatTime(flow.time)],
    ...(options.nodeNames ? ([['NODE', safe(flow.nodeName)]] as const) : []),
    ['SOURCE', hostText(flow, flow.source, options)],
    ['DESTINATION', hostText(flow, flow.destination, options)],
    ['TYPE', typeText(flow)],
    ['VERDICT', verdictText(flow, options)],
    ['SUMMARY', safe(flow.summary)],
    ...(options.ids === 'all' ? ([['FLOW', showsId(flow, 'all') ? safe(flow.id) : '']] as const) : []),
  ];
}

/**
 * Text in columns as Go's tabwriter sets it with a minimum width of 2 and three spaces between: a column is as wide as its
 * widest cell, the last one is not padded.
 */
export function alignColumns(rows: readonly (readonly string[])[], gap = 3): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => void (widths[i] = Math.max(widths[i] ?? 2 - gap, cell.length)));
  return rows.map(row => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]! + gap))).join(''));
}
