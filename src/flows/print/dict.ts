import type { Flow } from '../../model/flow.ts';
import type { FieldOptions } from './fields.ts';
import { flowColumns } from './table.ts';

/** Right-aligned keys, one a line. Entries are separated by `dictSeparator`. */
export function dictEntry(flow: Flow, options: FieldOptions & { readonly nodeNames: boolean }): string {
  return flowColumns(flow, options).map(([key, value]) => `${key.padStart(11)}: ${value}`).join('\n');
}

export const dictSeparator = '------------';
