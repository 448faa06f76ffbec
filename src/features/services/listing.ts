import { frontendOf, rowFlag, serving } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';

/** A row as people and JSON read it. */
export interface ServiceListing {
  readonly id: number | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: string;
  /** `10.96.0.10:53/UDP`. */
  readonly frontend: string;
  readonly scope: 'external' | 'internal';
  /** Names of `rowFlag`. */
  readonly flags: readonly string[];
  readonly algorithm: 'random' | 'maglev';
  /** Seconds; 0 is none. */
  readonly affinityTimeout: number;
  readonly sources: readonly string[];
  readonly backends: readonly BackendListing[];
}

export interface BackendListing {
  readonly address: string;
  readonly state: string;
  readonly nodeName: string;
  readonly weight: number;
  /** Gets new connections. */
  readonly serving: boolean;
}

export function listing(row: ServiceRow, id: number | undefined): ServiceListing {
  const chosen = new Set(serving(row));
  return {
    id,
    namespace: row.namespace,
    name: row.name,
    portName: row.portName,
    type: row.type,
    frontend: frontendOf(row.key),
    scope: row.scope === 0 ? 'external' : 'internal',
    flags: Object.entries(rowFlag).filter(([, bit]) => (row.flags & bit) !== 0).map(([name]) => name),
    algorithm: row.maglev > 0 ? 'maglev' : 'random',
    affinityTimeout: row.affinityTimeout,
    sources: row.sources,
    backends: row.backends.map(b => ({ address: b.key, state: b.state, nodeName: b.nodeName, weight: b.state === 'maintenance' ? 0 : (b.weight ?? 1), serving: chosen.has(b) })),
  };
}

export function byName(a: ServiceListing, b: ServiceListing): number {
  const text = (l: ServiceListing) => `${l.namespace}/${l.name} ${l.frontend} ${l.scope}`;
  const [left, right] = [text(a), text(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
