import type { Column } from './column.ts';
import { ageColumn, nameColumn } from './common.ts';
import { coreColumns } from './core.ts';
import { networkColumns } from './network.ts';
import { nodeColumns } from './nodes.ts';
import { podColumns } from './pods.ts';
import { workloadColumns } from './workloads.ts';

const columns: Readonly<Record<string, readonly Column[]>> = {
  pods: podColumns,
  nodes: nodeColumns,
  ...coreColumns,
  ...workloadColumns,
  ...networkColumns,
};

/** Upstream's columns of a built-in collection; name and age where there is nothing particular to see. */
export function builtinColumns(collection: string): readonly Column[] {
  return columns[collection] ?? [nameColumn, ageColumn];
}
