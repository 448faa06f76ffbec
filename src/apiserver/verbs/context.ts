import type { Logger } from '../../std/log.ts';
import type { KubeObject } from '../object.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';

/** A semantic finding about an object: the field, what is wrong and what to do. */
export interface Finding { readonly path: string; readonly message: string; readonly mend: string }

/** Admission by meaning, after the schema: refuses with 422 and names the field. Pure. */
export type SemanticValidation = (object: KubeObject, old?: KubeObject) => { readonly errors: readonly Finding[]; readonly warnings: readonly string[] };

/** What every verb works with. */
export interface ApiContext {
  readonly store: Store;
  readonly registry: Registry;
  readonly validate: SemanticValidation;
  readonly now: () => Date;
  readonly uid: () => string;
  readonly log: Logger;
}

/** How a write is to be done; from the query of the request. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore';
  readonly subresource?: 'status' | 'scale' | '';
  readonly warn: (text: string) => void;
}

/** RFC 3339 in seconds, as metadata has it. */
export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
