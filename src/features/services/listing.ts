import type { ServiceListing } from '../../model/service-listing.ts';
import { rowFlag } from '../../lb/rows.ts';
import type { ServiceRow } from '../../lb/rows.ts';

/** A row as people and JSON read it. */
export function listing(row: ServiceRow, id: number | undefined): ServiceListing {
  const flags = Object.entries(rowFlag).filter(([, bit]) => (row.flags & bit) !== 0).map(([name]) => name);
  return {
    id,
    namespace: row.namespace,
    name: row.name,
    portName: row.portName,
    type: row.type,
    frontend: row.key,
    affinityTimeout: row.affinityTimeout,
    flags,
    ...(row.maglev > 0 && { maglev: row.maglev }),
    ...((row.flags & rowFlag.sourceRanges) !== 0 && { sources: row.sources, sourceDeny: (row.flags & rowFlag.sourceDeny) !== 0 }),
    backends: row.backends.map(b => ({ address: b.key, state: b.state, nodeName: b.nodeName, ...(b.weight !== undefined && { weight: b.weight }) })),
  };
}

export function byName(a: ServiceListing, b: ServiceListing): number {
  const [left, right] = [a, b].map(l => `${l.namespace}/${l.name} ${l.frontend}`) as [string, string];
  return left < right ? -1 : left > right ? 1 : 0;
}
