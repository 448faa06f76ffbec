import type { Json, JsonObject } from '../object.ts';
import { builtinSchema } from '../schema/builtin.ts';
import type { Schema } from '../schema/schema.ts';
import { ApiError, badRequest, unsupportedMediaType } from '../status.ts';
import { WireReader } from './wire.ts';

/**
 * Reads the protobuf form of built-in objects, in which Go clients (kubectl since 1.32 among them) send what they create. The
 * envelope is `k8s\0` and a runtime.Unknown {1: TypeMeta, 2: raw}; the field numbers stand in the type tables. Answers are
 * always JSON, which all of them accept.
 */
export function decodeProtobuf(body: Buffer): Json {
  if (body.length < 4 || body.readUInt32BE(0) !== magic) throw badRequest('the body of the request is not in the protobuf form of Kubernetes');
  try {
    const envelope = readEnvelope(new WireReader(body, 4, body.length));
    const schema = schemaOf(envelope.apiVersion, envelope.kind);
    return { apiVersion: envelope.apiVersion, kind: envelope.kind, ...decodeMessage(envelope.raw, schema, 0) };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw badRequest(`the body of the request is not valid protobuf: ${(error as Error).message}`);
  }
}

const magic = 0x6b387300;
const deepest = 60;

function readEnvelope(reader: WireReader): { apiVersion: string; kind: string; raw: WireReader } {
  let apiVersion = '';
  let kind = '';
  let raw = reader.empty();
  for (const field of reader.fields()) {
    if (field.number === 1) {
      for (const inner of reader.message().fields()) {
        if (inner.number === 1) apiVersion = inner.reader.text();
        else if (inner.number === 2) kind = inner.reader.text();
        else inner.reader.skip(inner.wireType);
      }
    } else if (field.number === 2) raw = reader.message();
    else reader.skip(field.wireType);
  }
  return { apiVersion, kind, raw };
}

/** Kinds of apimachinery travel under any group. */
const metaKinds = new Set(['DeleteOptions', 'Status']);

function schemaOf(apiVersion: string, kind: string): Schema {
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
  try {
    return builtinSchema(metaKinds.has(kind) ? 'meta.k8s.io' : group, kind);
  } catch {
    throw unsupportedMediaType(`application/vnd.kubernetes.protobuf of ${apiVersion} ${kind}`, ['application/json', 'application/yaml']);
  }
}

interface WireField { readonly name: string; readonly schema: Schema }
interface WireLayout { readonly fields: ReadonlyMap<number, WireField>; readonly inlined: ReadonlyMap<number, ReadonlyMap<number, WireField>> }

const layouts = new WeakMap<object, WireLayout>();

function layoutOf(schema: Schema): WireLayout {
  const properties = schema.properties ?? {};
  const known = layouts.get(properties);
  if (known) return known;
  const fields = new Map<number, WireField>();
  const inlined = new Map<number, Map<number, WireField>>();
  for (const [name, field] of Object.entries(properties)) {
    const [outer = 0, inner] = (schema.wire?.[name] ?? '0').split('.').map(Number);
    if (name === 'apiVersion' && schema.properties?.['kind'] && schema.properties['metadata']) continue;
    if (name === 'kind' && schema.properties?.['apiVersion'] && schema.properties['metadata']) continue;
    if (inner === undefined) {
      if (outer > 0) fields.set(outer, { name, schema: field });
    } else {
      const group = inlined.get(outer) ?? new Map<number, WireField>();
      inlined.set(outer, group.set(inner, { name, schema: field }));
    }
  }
  const layout = { fields, inlined };
  layouts.set(properties, layout);
  return layout;
}

function decodeMessage(reader: WireReader, schema: Schema, depth: number): JsonObject {
  if (depth > deepest) throw badRequest(`the body of the request is nested more than ${deepest} levels deep`);
  const layout = layoutOf(schema);
  const result: JsonObject = {};
  for (const { number, wireType } of reader.fields()) {
    const group = layout.inlined.get(number);
    if (group) {
      const inner = reader.message();
      for (const field of inner.fields()) decodeField(inner, field.wireType, group.get(field.number), schema, result, depth);
    } else decodeField(reader, wireType, layout.fields.get(number), schema, result, depth);
  }
  return result;
}

function decodeField(reader: WireReader, wireType: number, field: WireField | undefined, owner: Schema, result: JsonObject, depth: number): void {
  if (!field) return reader.skip(wireType);
  const { name, schema } = field;
  // A status that no table describes is the server's to write.
  if (name === 'status' && !schema.properties) return reader.skip(wireType);
  if (schema.type === 'array') {
    const list = (result[name] ??= []) as Json[];
    list.push(decodeValue(reader, wireType, schema.items ?? {}, depth) ?? null);
  } else if (typeof schema.additionalProperties === 'object') {
    const map = (result[name] ??= {}) as JsonObject;
    decodeEntry(reader.message(), schema.additionalProperties, map, depth);
  } else {
    const value = decodeValue(reader, wireType, schema, depth);
    // Go writes empty strings and the zeros of fields without a pointer: they say nothing.
    if (value === undefined || value === '' || ((value === 0 || value === false) && owner.zeroMeansAbsent?.includes(name))) return;
    result[name] = value;
  }
}

function decodeEntry(reader: WireReader, schema: Schema, map: JsonObject, depth: number): void {
  let key = '';
  let value: Json | undefined;
  for (const { number, wireType } of reader.fields()) {
    if (number === 1) key = reader.text();
    else if (number === 2) value = decodeValue(reader, wireType, schema, depth);
    else reader.skip(wireType);
  }
  if (key === '__proto__') throw badRequest('the body of the request has a field named __proto__');
  map[key] = value ?? '';
}

function decodeValue(reader: WireReader, wireType: number, schema: Schema, depth: number): Json | undefined {
  if (schema['x-kubernetes-int-or-string']) return schema.format === 'quantity' ? decodeQuantity(reader.message()) : decodeIntOrString(reader.message());
  switch (schema.type) {
    case 'string':
      if (schema.format === 'byte') return reader.bytes().toString('base64');
      return schema.format === 'date-time' ? decodeTime(reader.message(), schema.typeName?.endsWith('MicroTime') ?? false) : reader.text();
    case 'integer': return reader.integer(wireType);
    case 'number': return reader.double(wireType);
    case 'boolean': return reader.integer(wireType) !== 0;
    case 'object':
      if (schema.properties) return decodeMessage(reader.message(), schema, depth + 1);
  }
  // FieldsV1 {1: raw} holds JSON; other free-form fields have messages of their own that no table here describes.
  return decodeRawJson(reader.message());
}

function decodeRawJson(reader: WireReader): Json | undefined {
  for (const { number, wireType } of reader.fields()) {
    if (number !== 1 || wireType !== 2) throw unreadable();
    try {
      return JSON.parse(reader.text()) as Json;
    } catch {
      throw unreadable();
    }
  }
  return undefined;
}

const unreadable = () => unsupportedMediaType('application/vnd.kubernetes.protobuf with a field that is only read as JSON', ['application/json', 'application/yaml']);

function decodeTime(reader: WireReader, micro: boolean): string | undefined {
  let seconds: number | undefined;
  let nanos = 0;
  for (const { number, wireType } of reader.fields()) {
    if (number === 1) seconds = reader.integer(wireType);
    else if (number === 2) nanos = reader.integer(wireType);
    else reader.skip(wireType);
  }
  // Year 1 is Go's zero time.
  if (seconds === undefined || seconds < -6e10 || seconds > 2.5e11) return undefined;
  const text = new Date(seconds * 1000).toISOString().slice(0, 19);
  return micro ? `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z` : `${text}Z`;
}

function decodeQuantity(reader: WireReader): string {
  let text = '0';
  for (const { number, wireType } of reader.fields()) {
    if (number === 1) text = reader.text();
    else reader.skip(wireType);
  }
  return text;
}

function decodeIntOrString(reader: WireReader): Json {
  let isText = false;
  let value = 0;
  let text = '';
  for (const { number, wireType } of reader.fields()) {
    if (number === 1) isText = reader.integer(wireType) === 1;
    else if (number === 2) value = reader.integer(wireType);
    else if (number === 3) text = reader.text();
    else reader.skip(wireType);
  }
  return isText ? text : value;
}
