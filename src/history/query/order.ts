import type { GroupMeasure, HistoryGroup } from '../../model/history.ts';

/** Largest first; equal ones by their keys. */
export function byMeasure(order: GroupMeasure): (a: HistoryGroup, b: HistoryGroup) => number {
  return (a, b) => b[order] - a[order] || compareKeys(a.key, b.key);
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  return 0;
}
