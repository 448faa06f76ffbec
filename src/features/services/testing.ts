import fc from 'fast-check';
import { rowFlag, rowKey } from '../../lb/rows.ts';
import type { BackendRow, ServiceRow } from '../../lb/rows.ts';
import { parseAddr } from '../../std/ip.ts';

/** Backend number n, for tests. */
export function testBackend(n: number, state: BackendRow['state'] = 'active', weight?: number): BackendRow {
  const ip = `10.244.${n >> 8}.${n & 255}`;
  return { key: `${ip}:80/TCP`, addr: parseAddr(ip), port: 80, state, nodeName: 'n1', ...(weight !== undefined && { weight }) };
}

/** The row of service number n, for tests. */
export function testRow(n: number, backends: readonly BackendRow[], more: Partial<ServiceRow> = {}): ServiceRow {
  const ip = `10.96.${n >> 8}.${n & 255}`;
  const of = more.scope ?? 0;
  return {
    key: rowKey(`${ip}:80/TCP`, of), namespace: 'default', name: `s${n}`, portName: '', type: 'ClusterIP', addr: parseAddr(ip), port: 80, protocol: 6, scope: of,
    flags: 0, backends, affinityTimeout: 0, maglev: 0, sources: [], ...more,
  };
}

const backendSet = fc.uniqueArray(fc.tuple(fc.nat(7), fc.constantFrom('active', 'terminating', 'maintenance'), fc.constantFrom(undefined, undefined, 2, 6)), { selector: ([n]) => n, maxLength: 6 })
  .map(list => list.map(([n, state, weight]) => testBackend(n, state, weight)).sort((a, b) => (a.key < b.key ? -1 : 1)));
const traits = fc.record({
  affinityTimeout: fc.constantFrom(0, 0, 60), maglev: fc.constantFrom(0, 0, 31), type: fc.constantFrom('ClusterIP', 'NodePort'), scope: fc.constantFrom(0, 1),
  ranges: fc.record({ flags: fc.constantFrom(rowFlag.sourceRanges, rowFlag.sourceRanges | rowFlag.sourceDeny), sources: fc.subarray(['10.0.0.0/8', '10.1.0.0/16', '192.0.2.7/32'], { minLength: 1 }) }),
  isAsked: fc.boolean(),
}).map(({ ranges, isAsked, ...rest }): Partial<ServiceRow> => ({ ...rest, ...(isAsked && ranges) }));

/** Rows that may stand beside each other: few services and backends, so that they share. */
export const anyRows: fc.Arbitrary<ServiceRow[]> = fc.uniqueArray(fc.tuple(fc.nat(3), backendSet, traits), { selector: ([n, , t]) => `${n}/${t.scope}`, maxLength: 4 })
  .map(list => list.map(([n, set, more]) => testRow(n, set, more)));
