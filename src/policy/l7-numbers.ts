/** Numbers of layer 7 sets, and who uses them. */
import { fnv1a } from '../model/identity.ts';
import type { L7Set } from '../model/l7.ts';
import { hashText } from './content-hash.ts';
import { canonicalText } from './l7-sets.ts';
import type { RuleInfo } from './rule-info.ts';

/**
 * 32-bit FNV-1a of the set's canonical text, the next free one on a collision, never 0. Equal sets have one number, and a number
 * keeps its meaning for as long as this lives: what exists on a node already is given at the start.
 */
export class L7Numbers {
  readonly #texts = new Map<number, string>();

  constructor(existing: Iterable<readonly [number, L7Set]> = []) {
    for (const [number, set] of existing) this.#texts.set(number, hashText(canonicalText(set)));
  }

  numberOf(set: L7Set): number {
    const text = canonicalText(set);
    const hash = hashText(text);
    let number = fnv1a(text) || 1;
    for (let other = this.#texts.get(number); other !== undefined && other !== hash; other = this.#texts.get(number)) number = (number + 1) >>> 0 || 1;
    this.#texts.set(number, hash);
    return number;
  }
}

/** What the rows of compiled sets name, counted class by class. */
export class L7InUse {
  readonly sets = new Map<number, L7Set>();
  readonly conflicts = new Map<number, RuleInfo>();
  readonly #counts = new Map<number, number>();
  readonly #conflictCounts = new Map<number, number>();
  /** Counts sets that came and went. */
  revision = 0;

  take(number: number, set: L7Set): void {
    if (count(this.#counts, number, 1) !== 1) return;
    this.sets.set(number, set);
    this.revision++;
  }

  drop(number: number): void {
    if (count(this.#counts, number, -1) === 0 && this.sets.delete(number)) this.revision++;
  }

  takeConflict(info: RuleInfo): void {
    if (count(this.#conflictCounts, info.id, 1) === 1) this.conflicts.set(info.id, info);
  }

  dropConflict(id: number): void {
    if (count(this.#conflictCounts, id, -1) === 0) this.conflicts.delete(id);
  }
}

function count(counts: Map<number, number>, key: number, by: 1 | -1): number {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
  return next;
}
