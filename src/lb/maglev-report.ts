import { maglevTable, type MaglevBackend, type MaglevOptions } from './maglev.ts';

/** How a Maglev table shares its entries, and what one lost backend would change. Shares are parts of 1. */
export interface MaglevReport {
  readonly tableSize: number;
  readonly backends: readonly MaglevShare[];
  /** The largest share beside what its weight promises, as a ratio; the same for the smallest. */
  readonly most: number;
  readonly least: number;
  /** Whether it is the table that the backends, the size and the seed give on every node. */
  readonly asComputed: boolean;
}

export interface MaglevShare {
  readonly name: string;
  readonly weight: number;
  readonly share: number;
  readonly expected: number;
  /** Of the entries that are others', those that would change hands without this backend; undefined for one that was not tried. */
  readonly movedIfLost?: number;
}

/** Trying a loss builds a table: with more backends only the first ones are tried. */
const mostTried = 32;

/** `entries`: the name of the backend of each entry; undefined where it is not known. Pure. */
export function maglevReport(entries: readonly (string | undefined)[], backends: readonly MaglevBackend[], options: MaglevOptions): MaglevReport {
  const counts = new Map<string, number>();
  for (const name of entries) if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  const strangers = [...counts.keys()].filter(name => !backends.some(backend => backend.name === name)).map(name => ({ name, weight: 0 }));
  const all = [...backends, ...strangers].sort((a, b) => (a.name < b.name ? -1 : 1));
  const weights = all.reduce((sum, { weight }) => sum + weight, 0);
  const shares = all.map(({ name, weight }, i): MaglevShare => ({
    name, weight, share: (counts.get(name) ?? 0) / entries.length, expected: weights === 0 ? 0 : weight / weights,
    ...(i < mostTried && backends.length > 1 && weight > 0 && { movedIfLost: movedWithout(name, entries, backends, options) }),
  }));
  const ratios = shares.filter(({ expected }) => expected > 0).map(({ share, expected }) => share / expected);
  const computed = maglevTable(backends, options);
  return {
    tableSize: entries.length, backends: shares, most: Math.max(0, ...ratios), least: ratios.length === 0 ? 0 : Math.min(...ratios),
    asComputed: computed.length === entries.length && entries.every((name, i) => name === backends[computed[i]!]!.name),
  };
}

function movedWithout(lost: string, entries: readonly (string | undefined)[], backends: readonly MaglevBackend[], options: MaglevOptions): number {
  const rest = backends.filter(({ name }) => name !== lost);
  const table = maglevTable(rest, options);
  let others = 0;
  let moved = 0;
  entries.forEach((name, i) => {
    if (name === lost) return;
    others++;
    if (rest[table[i]!]!.name !== name) moved++;
  });
  return others === 0 ? 0 : moved / others;
}
