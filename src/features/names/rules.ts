import type { NameRule, NameRuleKey } from '../../datapath/generated/structs.ts';
import type { L7Set } from '../../model/l7.ts';
import type { PatternSet } from './numbers.ts';

/** `NAME_CLASS_ANY` (bpf/lib/names.h). */
export const anyNameClass = 0xffffffff;

export type DnsSet = Extract<L7Set, { readonly protocol: 'dns' }>;

/** What is needed of `name_rules`. */
export interface RuleMap {
  entries(): Iterable<readonly [NameRuleKey, NameRule]>;
  updateBatch(entries: readonly (readonly [NameRuleKey, NameRule])[]): void;
  deleteBatch(keys: readonly NameRuleKey[]): void;
}

/**
 * Which names may be asked under which layer 7 set: a row for each set and each class of names of which it has a pattern. Rows are
 * written when a set or a class is made known, which is before anything in the kernel leads to it, and go when nothing does any more.
 */
export class NameRules {
  readonly #map: RuleMap;
  /** By set: the rule of each pattern. */
  readonly #sets = new Map<number, ReadonlyMap<string, number>>();
  #classes: ReadonlyMap<number, PatternSet> = new Map();
  #rows: number;
  #swept = false;

  constructor(map: RuleMap) {
    this.#map = map;
    this.#rows = [...map.entries()].length;
  }

  /** Rows in the kernel. */
  get rows(): number {
    return this.#rows;
  }

  get sets(): ReadonlyMap<number, ReadonlyMap<string, number>> {
    return this.#sets;
  }

  /** The greatest class that a row has, whoever has written it. */
  greatestClass(): number {
    let greatest = 0;
    for (const [{ class: number }] of this.#map.entries()) if (number !== anyNameClass) greatest = Math.max(greatest, number);
    return greatest;
  }

  /** Throws when the rows do not fit. */
  allow(number: number, set: DnsSet): void {
    if (this.#sets.has(number)) return;
    const rules = new Map<string, number>();
    for (const { pattern, rule } of set.rules) if (!rules.has(pattern)) rules.set(pattern, rule);
    const everyName = [...rules].find(([pattern]) => /^\*+$/.test(pattern));
    this.#write([...(everyName ? [[{ l7: number, class: anyNameClass }, { rule: everyName[1] }] as const] : []), ...rowsOf(number, rules, this.#classes)]);
    this.#sets.set(number, rules);
  }

  /** Classes that names may be of from now on, with those that they may be of until the next `retain`. Throws when the rows do not fit. */
  setClasses(classes: ReadonlyMap<number, PatternSet>): void {
    const added = new Map([...classes].filter(([number]) => !this.#classes.has(number)));
    this.#write([...this.#sets].flatMap(([number, rules]) => rowsOf(number, rules, added)));
    this.#classes = classes;
  }

  /** Removes the rows of other sets and classes than these. Call when nothing in the kernel leads there any more. */
  retain(sets: { has(number: number): boolean }, classes: ReadonlyMap<number, PatternSet>): void {
    const gone = [...this.#sets.keys()].filter(number => !sets.has(number));
    const isSame = gone.length === 0 && this.#classes.size === classes.size;
    this.#classes = classes;
    for (const number of gone) this.#sets.delete(number);
    if (this.#swept && isSame) return;
    this.#swept = true;
    const stale = [...this.#map.entries()].map(([key]) => key).filter(key => !this.#sets.has(key.l7) || (key.class !== anyNameClass && !classes.has(key.class)));
    this.#map.deleteBatch(stale);
    this.#rows -= stale.length;
  }

  #write(rows: readonly (readonly [NameRuleKey, NameRule])[]): void {
    if (rows.length === 0) return;
    try {
      this.#map.updateBatch(rows);
    } finally {
      // Some may have been there since an earlier life, or not have got in.
      this.#rows = [...this.#map.entries()].length;
    }
  }
}

function rowsOf(l7: number, rules: ReadonlyMap<string, number>, classes: ReadonlyMap<number, PatternSet>): (readonly [NameRuleKey, NameRule])[] {
  const rows: (readonly [NameRuleKey, NameRule])[] = [];
  for (const [number, patterns] of classes) {
    const matching = patterns.find(pattern => rules.has(pattern));
    if (matching !== undefined) rows.push([{ l7, class: number }, { rule: rules.get(matching)! }]);
  }
  return rows;
}
