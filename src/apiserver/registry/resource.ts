import type { KubeObject } from '../object.ts';
import type { NameRule } from '../schema/names.ts';
import type { Schema } from '../schema/schema.ts';
import type { FieldError } from '../status.ts';
import type { Column } from '../table/column.ts';

/** One resource in one version, as the API serves it: everything that is special about a kind is data or a hook here. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** The collection in the store; versions of one resource share it. */
  readonly collection: string;
  /** The apiVersion in which objects are stored. */
  readonly storedAs: string;
  readonly schema: Schema;
  /** Name of the type in OpenAPI documents. */
  readonly typeName: string;
  /** Whether strategic merge patches are understood: built-in types only, as upstream. */
  readonly strategic: boolean;
  readonly custom: boolean;
  readonly deprecationWarning?: string;
  readonly statusSubresource: boolean;
  readonly scale?: ScalePaths;
  /** Further subresources for discovery; their routes are in verbs/subresources.ts. */
  readonly subresources: readonly SubresourceInfo[];
  readonly selectableFields: readonly string[];
  readonly columns: readonly Column[];
  readonly nameRule: NameRule;
  readonly hooks: Hooks;
  /** Between the served form and the stored one, where they differ by more than apiVersion. */
  readonly conversion?: { toServed(stored: KubeObject): KubeObject; toStored(served: KubeObject): KubeObject };
}

export interface SubresourceInfo { readonly name: string; readonly kind: string; readonly group?: string; readonly version?: string; readonly verbs: readonly string[] }

/** Dotted paths below the object. */
export interface ScalePaths { readonly specReplicas: string; readonly statusReplicas: string; readonly selector?: string }

/** What a schema cannot say about a kind. Objects passed in are the hook's to change, `old` never is. */
export interface Hooks {
  /** Defaults that depend on other fields; after the schema's own. */
  readonly setDefaults?: (object: KubeObject, old: KubeObject | undefined) => void;
  /** What the server decides: initial status, allocated addresses. May throw ApiError. `undo` gives back what it took when the write fails. */
  readonly prepare?: (object: KubeObject, old: KubeObject | undefined, options: { dryRun: boolean }) => { undo(): void } | void;
  readonly validate?: (object: KubeObject, old: KubeObject | undefined) => FieldError[];
  readonly warnings?: (object: KubeObject) => string[];
  /** After an object is gone from the store. */
  readonly removed?: (object: KubeObject) => void;
  /** After an object was written. */
  readonly written?: (object: KubeObject) => void;
  /** Seconds that a deletion leaves the object in place, given what the client asked for. Absent: none. */
  readonly gracePeriodSeconds?: (object: KubeObject, asked: number | undefined) => number;
  /** Top-level fields whose change makes a new generation. Default: everything but metadata and status. Empty: no generation at all. */
  readonly generationFields?: readonly string[];
}

export function apiVersionOf(type: { readonly group: string; readonly version: string }): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** What a client may do to every stored resource. */
export const storageVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;
