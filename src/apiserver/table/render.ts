import type { Form } from '../http/accept.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import type { Column } from './column.ts';
import { ageOf } from './age.ts';

/** Which object a table row carries: `includeObject` of the query. */
export type Included = 'None' | 'Metadata' | 'Object';

/** An object as only its metadata (meta/v1 PartialObjectMetadata). */
export function partialMetadata(object: KubeObject): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

export function renderTable(type: ResourceType, objects: readonly KubeObject[], listMetadata: JsonObject, options: { included: Included; now: Date; definitions: boolean }): JsonObject {
  const columns = type.columns;
  return {
    kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata: listMetadata,
    columnDefinitions: options.definitions ? columns.map(definition) : null,
    rows: objects.map(object => row(columns, object, options.included, options.now)),
  };
}

function definition(column: Column): JsonObject {
  const { name, type, description, priority } = column;
  return { name, type: type === 'date' && column.format === undefined ? 'string' : type, format: column.format ?? (name === 'Name' ? 'name' : ''), description, priority };
}

function row(columns: readonly Column[], object: KubeObject, included: Included, now: Date): JsonObject {
  const made: JsonObject = { cells: columns.map(column => cell(column, object, now)) };
  if (included === 'Object') made['object'] = object;
  if (included === 'Metadata') made['object'] = partialMetadata(object);
  return made;
}

/** A broken object must not hide the others: a cell that cannot be computed is empty. */
function cell(column: Column, object: KubeObject, now: Date): Json {
  try {
    const value = column.cell(object, now);
    return column.type === 'date' && typeof value === 'string' ? ageOf(value, now) : value;
  } catch {
    return '<invalid>';
  }
}

/** One object in the form that was asked for. */
export function renderObject(type: ResourceType, object: KubeObject, form: Form, options: { included: Included; now: Date }): JsonObject {
  if (form === 'table') return renderTable(type, [object], { resourceVersion: object.metadata.resourceVersion ?? '' }, { ...options, definitions: true });
  return form === 'metadata' ? partialMetadata(object) : object;
}
