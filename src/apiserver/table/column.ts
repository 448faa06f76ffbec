import type { Json, KubeObject } from '../object.ts';

/** A column of a table: `priority` 0 is always shown, 1 with -o wide. */
export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly format?: string;
  readonly description: string;
  readonly priority: 0 | 1;
  /** The cell; a date column returns the time and the table shows its age. */
  readonly cell: (object: KubeObject, now: Date) => Json;
}
