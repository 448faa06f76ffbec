import { asObjects, asString, at } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import { formatSelector } from '../selectors.ts';
import type { Column } from './column.ts';

export const none = '<none>';
export const unknown = '<unknown>';

/** A column of text or numbers that is always shown. */
export function column(name: string, description: string, cell: Column['cell'], type: Column['type'] = 'string'): Column {
  return { name, type, description, priority: 0, cell };
}

/** A column of -o wide. */
export function wide(name: string, description: string, cell: Column['cell'], type: Column['type'] = 'string'): Column {
  return { name, type, description, priority: 1, cell };
}

export const nameColumn: Column = { name: 'Name', type: 'string', format: 'name', description: 'Name of the object, unique in its namespace.', priority: 0, cell: o => o.metadata.name };
export const ageColumn: Column = { name: 'Age', type: 'date', description: 'Time since the object was made.', priority: 0, cell: o => o.metadata.creationTimestamp ?? unknown };

export const number = (object: unknown, ...path: readonly string[]): number => Number(at(object, ...path) ?? 0);

/** Labels as `a=1,b=2`. */
export function labelsText(labels: Json | undefined): string {
  const entries = Object.entries((labels ?? {}) as JsonObject);
  return entries.length === 0 ? none : entries.map(([key, value]) => `${key}=${String(value)}`).join(',');
}

export function selectorText(selector: Json | undefined): string {
  return formatSelector(selector) || none;
}

const containersOf = (object: KubeObject) => asObjects(at(object, 'spec', 'template', 'spec', 'containers'));

/** What workloads show of their template with -o wide. */
export const templateColumns: readonly Column[] = [
  wide('Containers', 'Names of the containers.', o => containersOf(o).map(c => asString(c['name']) ?? '').join(',')),
  wide('Images', 'Images of the containers.', o => containersOf(o).map(c => asString(c['image']) ?? '').join(',')),
];

export const selectorColumn: Column = wide('Selector', 'Labels of the pods.', o => selectorText(at(o, 'spec', 'selector')));
