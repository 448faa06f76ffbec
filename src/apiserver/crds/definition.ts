import type { JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';

/** A column as a CustomResourceDefinition states it. */
export interface PrinterColumn { readonly name: string; readonly type: string; readonly jsonPath: string; readonly description?: string; readonly priority?: number }

export interface DefinitionVersion {
  readonly name: string;
  readonly schema: Schema;
  readonly status?: boolean;
  readonly columns?: readonly PrinterColumn[];
  /** Only the first version is stored. */
  readonly deprecated?: string;
}

export interface DefinitionOptions {
  /** cilium.io when not given. */
  readonly group?: string;
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** The first one is the stored one. */
  readonly versions: readonly DefinitionVersion[];
}

/** A CustomResourceDefinition. */
export function definition(o: DefinitionOptions): JsonObject {
  const group = o.group ?? 'cilium.io';
  return {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${o.plural}.${group}` },
    spec: {
      group, scope: o.namespaced ? 'Namespaced' : 'Cluster',
      names: { kind: o.kind, listKind: `${o.kind}List`, plural: o.plural, singular: o.kind.toLowerCase(), shortNames: [...o.shortNames], categories: categories(group, o.kind) },
      versions: o.versions.map((v, i) => ({
        name: v.name, served: true, storage: i === 0, schema: { openAPIV3Schema: v.schema as JsonObject },
        ...(v.status ? { subresources: { status: {} } } : {}),
        ...(v.columns ? { additionalPrinterColumns: v.columns.map(c => ({ ...c })) } : {}),
        ...(v.deprecated === undefined ? {} : { deprecated: true, deprecationWarning: v.deprecated }),
      })),
    },
  };
}

function categories(group: string, kind: string): string[] {
  if (group !== 'cilium.io') return [];
  return kind.endsWith('Policy') ? ['cilium', 'ciliumpolicy'] : ['cilium'];
}
