/** A matrix by namespace: what is too large to be seen by workload. */
import { fullAccess, sameAccess } from './access.ts';
import type { Access } from './access.ts';
import type { Matrix, Party } from './matrix.ts';

/** Parties of one namespace, or all that is no pod. */
export interface Group {
  readonly name: string;
  /** Indexes in the matrix. */
  readonly members: readonly number[];
}

/** `audit`: passes, at some port only because its denial is in audit. */
export type CellKind = 'all' | 'some' | 'audit' | 'none' | 'same';

export interface GroupCell {
  readonly kind: CellKind;
  /** Pairs that may talk on some port, of so many. */
  readonly allowed: number;
  readonly total: number;
}

export const outsideGroup = 'outside the pods';

export function groupsOf(parties: readonly Party[]): readonly Group[] {
  const groups = new Map<string, number[]>();
  for (const [i, party] of parties.entries()) {
    const name = party.namespace ?? outsideGroup;
    const members = groups.get(name);
    if (members) members.push(i);
    else groups.set(name, [i]);
  }
  return [...groups].map(([name, members]) => ({ name, members }));
}

export function cellKind(access: Access | undefined): CellKind {
  if (access === undefined) return 'same';
  return access.length === 0 ? 'none' : access.some(span => span.audit) ? 'audit' : sameAccess(access, fullAccess) ? 'all' : 'some';
}

/** `all` when every pair may talk on every port, `none` when no pair may on any. */
export function groupCell({ access }: Matrix, from: Group, to: Group): GroupCell {
  const kinds = from.members.flatMap(i => to.members.map(j => cellKind(access[i]![j]))).filter(kind => kind !== 'same');
  const allowed = kinds.filter(kind => kind !== 'none').length;
  const full = kinds.every(kind => kind === 'all');
  return { kind: kinds.length === 0 ? 'same' : allowed === 0 ? 'none' : full ? 'all' : 'some', allowed, total: kinds.length };
}
