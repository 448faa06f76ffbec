import { asArray, asObject, asObjects, asString, at } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import { compileJsonPath } from '../jsonpath.ts';
import type { ResourceType, ScalePaths } from '../registry/resource.ts';
import { objectMetaSchema } from '../schema/builtin.ts';
import { dnsSubdomain } from '../schema/names.ts';
import type { Schema } from '../schema/schema.ts';
import { ageColumn, nameColumn } from '../table/common.ts';
import type { Column } from '../table/column.ts';

/** The resource types of a definition, one a served version. */
export function customTypes(definition: KubeObject): ResourceType[] {
  const spec = asObject(definition['spec']) ?? {};
  const versions = asObjects(spec['versions']);
  const storage = asString(versions.find(v => v['storage'] === true)?.['name']) ?? '';
  return versions.filter(v => v['served'] === true).map(version => customType(spec, version, storage));
}

function customType(spec: JsonObject, version: JsonObject, storage: string): ResourceType {
  const group = String(spec['group']);
  const names = asObject(spec['names']) ?? {};
  const kind = String(names['kind']);
  const plural = String(names['plural']);
  const name = String(version['name']);
  const scale = scalePaths(at(version, 'subresources', 'scale'));
  const status = at(version, 'subresources', 'status') !== undefined;
  const schema = completeSchema(asObject(at(version, 'schema', 'openAPIV3Schema')) ?? {});
  const warning = version['deprecated'] === true ? asString(version['deprecationWarning']) ?? `${group}/${name} ${kind} is deprecated` : undefined;
  return {
    group, version: name, kind, listKind: String(names['listKind'] ?? `${kind}List`), plural, singular: String(names['singular'] ?? kind.toLowerCase()),
    shortNames: asArray(names['shortNames']).map(String), categories: asArray(names['categories']).map(String), namespaced: spec['scope'] === 'Namespaced',
    collection: `${group}/${plural}`, storedAs: `${group}/${storage}`, schema,
    typeName: `${group.split('.').reverse().join('.')}.${name}.${kind}`, strategic: false, custom: true,
    ...(warning === undefined ? {} : { deprecationWarning: warning }), statusSubresource: status, ...(scale ? { scale } : {}), subresources: [],
    selectableFields: asArray(version['selectableFields']).map(f => (asString(at(f, 'jsonPath')) ?? '').replace(/^\./, '')),
    columns: customColumns(asArray(version['additionalPrinterColumns'])), nameRule: dnsSubdomain, hooks: {},
  };
}

/** The schema of a whole object: the definition's, with the fields that every object has. Its own words on metadata count for names only upstream. */
function completeSchema(root: JsonObject): Schema {
  const schema = root as Schema;
  return { ...schema, properties: { ...schema.properties, apiVersion: { type: 'string', description: 'Version of the schema that the object is written in.' }, kind: { type: 'string', description: 'Kind of the object.' }, metadata: objectMetaSchema } };
}

function scalePaths(scale: Json | undefined): ScalePaths | undefined {
  const path = (key: string) => asString(at(scale, key))?.replace(/^\./, '');
  const specReplicas = path('specReplicasPath');
  const statusReplicas = path('statusReplicasPath');
  const selector = path('labelSelectorPath');
  return specReplicas && statusReplicas ? { specReplicas, statusReplicas, ...(selector ? { selector } : {}) } : undefined;
}

function customColumns(columns: readonly Json[]): Column[] {
  if (columns.length === 0) return [nameColumn, ageColumn];
  return [nameColumn, ...columns.map(customColumn)];
}

function customColumn(column: Json): Column {
  const type = asString(at(column, 'type')) ?? 'string';
  const evaluate = compileJsonPath(asString(at(column, 'jsonPath')) ?? '');
  const format = asString(at(column, 'format'));
  return {
    name: asString(at(column, 'name')) ?? '', type: isColumnType(type) ? type : 'string', description: asString(at(column, 'description')) ?? 'Custom resource definition column (in JSONPath format)',
    priority: at(column, 'priority') ? 1 : 0, ...(format === undefined ? {} : { format }),
    cell: object => cellOf(evaluate?.(object) ?? [], type),
  };
}

function isColumnType(type: string): type is Column['type'] {
  return ['string', 'integer', 'number', 'boolean', 'date'].includes(type);
}

function cellOf(values: readonly Json[], type: string): Json {
  const [value] = values;
  if (value === undefined || value === null) return type === 'date' ? '<unknown>' : null;
  if (type === 'integer' || type === 'number') return typeof value === 'number' ? value : Number.isFinite(Number(value)) ? Number(value) : null;
  if (type === 'boolean') return value;
  if (values.length > 1) return values.map(asText).join(',');
  return asText(value);
}

function asText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
