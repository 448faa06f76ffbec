import type { Json } from '../object.ts';

/**
 * The schema of a value: OpenAPI v3 as Kubernetes' structural schemas write it (apiextensions JSONSchemaProps), so that a
 * CRD's schema is used as it is. Built-in types are declared in the same form; `typeName` marks those that OpenAPI
 * documents refer to by name, and only they may be recursive.
 */
export interface Schema {
  readonly typeName?: string;
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly format?: string;
  readonly default?: Json;
  readonly nullable?: boolean;
  readonly enum?: readonly Json[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: { readonly [name: string]: Schema };
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
  /** Built-in types: whether items of the list may have the same key. */
  readonly duplicatesAllowed?: boolean;
  /** Built-in types: the fields' numbers in the protobuf form; `1.2` is number 2 of the message inlined as 1. */
  readonly wire?: { readonly [field: string]: string };
  /** Built-in types: fields that Go keeps without a pointer, so that 0 and false say nothing. */
  readonly zeroMeansAbsent?: readonly string[];
}

/** The schema of a field, whether declared or of a map. Undefined: unknown to the schema. */
export function fieldSchema(schema: Schema | undefined, key: string): Schema | undefined {
  if (!schema) return undefined;
  if (schema.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
}

/** True where the schema says nothing about the fields inside. */
export function preservesUnknown(schema: Schema | undefined): boolean {
  return !schema || schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true;
}
