/** Right-aligned keys, one a line. Entries are separated by `dictSeparator`. */
export function dictEntry(columns: readonly (readonly [key: string, value: string])[], width = 11): string {
  return columns.map(([key, value]) => `${key.padStart(width)}: ${value}`).join('\n');
}

export const dictSeparator = '------------';
