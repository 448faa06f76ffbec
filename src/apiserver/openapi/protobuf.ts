import { asArray, asObject, asObjects } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { WireWriter } from './wire.ts';

/**
 * An OpenAPI v2 document as `openapi.v2.Document` of gnostic (openapiv2/OpenAPIv2.proto), the only form that kubectl reads
 * for client-side validation and, before 1.27, for explain. Only what kubectl looks at is written: definitions whole, paths
 * with the kinds and query parameters of their operations.
 */
export function encodeDocument(document: JsonObject): Buffer {
  const info = asObject(document['info']) ?? {};
  const paths = new WireWriter();
  for (const [name, item] of Object.entries(asObject(document['paths']) ?? {})) paths.message(2, named(name, pathItem(asObject(item) ?? {})));
  const definitions = new WireWriter();
  for (const [name, schema] of Object.entries(asObject(document['definitions']) ?? {})) definitions.message(1, named(name, encodeSchema(asObject(schema) ?? {})));
  return new WireWriter()
    .text(1, '2.0')
    .message(2, new WireWriter().text(1, info['title']).text(2, info['version']))
    .message(8, paths)
    .message(9, definitions)
    .finish();
}

const named = (name: string, value: WireWriter): WireWriter => new WireWriter().text(1, name).message(2, value);

/** JSON is YAML: what the document carries as free values is written as it is. */
const anyValue = (value: Json): WireWriter => new WireWriter().text(2, JSON.stringify(value));

function vendorExtensions(writer: WireWriter, field: number, from: JsonObject): void {
  for (const [name, value] of Object.entries(from)) if (name.startsWith('x-') && value !== undefined) writer.message(field, named(name, anyValue(value)));
}

const methods: readonly (readonly [string, number])[] = [['get', 2], ['put', 3], ['post', 4], ['delete', 5], ['patch', 8]];

function pathItem(item: JsonObject): WireWriter {
  const writer = new WireWriter();
  for (const [method, field] of methods) {
    const operation = asObject(item[method]);
    if (operation) writer.message(field, encodeOperation(operation));
  }
  return writer;
}

function encodeOperation(operation: JsonObject): WireWriter {
  const writer = new WireWriter().text(3, operation['description']).text(5, operation['operationId']);
  for (const parameter of asObjects(operation['parameters'])) {
    if (parameter['in'] !== 'query') continue;
    const query = new WireWriter().text(2, 'query').text(4, parameter['name']).text(6, parameter['type']);
    // ParametersItem.parameter → Parameter.non_body_parameter → NonBodyParameter.query_parameter_sub_schema
    writer.message(8, new WireWriter().message(1, new WireWriter().message(2, new WireWriter().message(3, query))));
  }
  vendorExtensions(writer, 13, operation);
  return writer;
}

function encodeSchema(schema: JsonObject): WireWriter {
  const writer = new WireWriter()
    .text(1, schema['$ref']).text(2, schema['format']).text(4, schema['description'])
    .double(6, schema['multipleOf']).double(7, schema['maximum']).flag(8, schema['exclusiveMaximum']).double(9, schema['minimum']).flag(10, schema['exclusiveMinimum'])
    .integer(11, schema['maxLength']).integer(12, schema['minLength']).text(13, schema['pattern'])
    .integer(14, schema['maxItems']).integer(15, schema['minItems']).flag(16, schema['uniqueItems']);
  for (const name of asArray(schema['required'])) writer.text(19, name);
  for (const value of asArray(schema['enum'])) writer.message(20, anyValue(value));
  const additional = asObject(schema['additionalProperties']);
  if (additional) writer.message(21, new WireWriter().message(1, encodeSchema(additional)));
  if (schema['type'] !== undefined) writer.message(22, new WireWriter().text(1, schema['type']));
  const items = asObject(schema['items']);
  if (items) writer.message(23, new WireWriter().message(1, encodeSchema(items)));
  const properties = asObject(schema['properties']);
  if (properties) {
    const list = new WireWriter();
    for (const [name, property] of Object.entries(properties)) list.message(1, named(name, encodeSchema(asObject(property) ?? {})));
    writer.message(25, list);
  }
  vendorExtensions(writer, 31, schema);
  return writer;
}
