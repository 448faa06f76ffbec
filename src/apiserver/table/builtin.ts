import type { Column } from './column.ts';
export const nameColumn: Column = { name: 'Name', type: 'string', format: 'name', description: 'Name of the object, unique in its namespace.', priority: 0, cell: o => o.metadata.name };
export const ageColumn: Column = { name: 'Age', type: 'date', description: 'Time since the object was made.', priority: 0, cell: o => o.metadata.creationTimestamp ?? '<unknown>' };
export function builtinColumns(_collection: string): readonly Column[] { return [nameColumn, ageColumn]; }
