/** The layer 7 sets of one policy set: which rules they are made of, and that they are known while a row names them. */
import type { L7Set } from '../model/l7.ts';
import { CirriError, errorText } from '../std/errors.ts';
import { tooManyRedirects } from './flatten.ts';
import type { Candidate, L7Sets, Row } from './flatten.ts';
import type { L7InUse, L7Numbers } from './l7-numbers.ts';
import { mergeL7 } from './l7-sets.ts';
import type { Direction } from './policy.ts';
import { conflictAddress, conflictInfo } from './rule-info.ts';
import type { RuleIds, RuleInfo } from './rule-info.ts';

export interface SetL7Options {
  readonly direction: Direction;
  readonly numbers: Pick<L7Numbers, 'numberOf'>;
  readonly inUse: L7InUse;
  readonly ids: RuleIds;
  /** The set's rules; a conflict is one more. */
  readonly infos: Map<number, RuleInfo>;
  /** Some rule waits for names: where port 53 is plainly allowed they are learned. */
  readonly learns: boolean;
  readonly remember: (info: RuleInfo) => void;
}

/** Of an error that may be gone at the next try. */
export const unkept = 'ERR_L7_SET';

/** All sets of one policy set together; beyond it the set is refused before it fills the memory. */
const maxRules = 1 << 18;

export class SetL7 implements L7Sets {
  #rules = 0;
  readonly #options: SetL7Options;
  /** By the rules that they are made of: many classes have the same. */
  readonly #merged = new Map<string, ReturnType<L7Sets['merged']>>();
  readonly #sets = new Map<number, L7Set>();
  readonly #conflicts = new Map<number, RuleInfo>();
  /** Rows that are given out, by the conflict that they bear: a set's rules depend on what is there, not on what was. */
  readonly #conflictRows = new Map<number, number>();

  readonly learned: ((rule: number) => number) | undefined;

  constructor(options: SetL7Options) {
    this.#options = options;
    this.learned = options.learns ? rule => this.#number(learning(rule)) : undefined;
  }

  merged(redirects: readonly Candidate[]): ReturnType<L7Sets['merged']> {
    const key = redirects.map(r => r.rule).join(' ');
    let merged = this.#merged.get(key);
    if (!merged) this.#merged.set(key, (merged = this.#merge(redirects)));
    return merged;
  }

  /** The rows are given out from now on. */
  take(rows: readonly Row[]): void {
    for (const { l7, rule } of rows) {
      if (l7 !== undefined) this.#take(l7);
      const conflict = this.#conflicts.get(rule);
      if (conflict) this.#takeConflict(conflict);
    }
  }

  drop(rows: readonly Row[]): void {
    for (const { l7, rule } of rows) {
      if (l7 !== undefined) this.#options.inUse.drop(l7);
      if (this.#conflicts.has(rule)) this.#dropConflict(rule);
    }
  }

  #takeConflict(conflict: RuleInfo): void {
    const rows = (this.#conflictRows.get(conflict.id) ?? 0) + 1;
    this.#conflictRows.set(conflict.id, rows);
    if (rows === 1) this.#options.infos.set(conflict.id, conflict);
    this.#options.inUse.takeConflict(conflict);
  }

  #dropConflict(rule: number): void {
    const rows = this.#conflictRows.get(rule)! - 1;
    this.#conflictRows.set(rule, rows);
    if (rows === 0) this.#options.infos.delete(rule);
    this.#options.inUse.dropConflict(rule);
  }

  /** Whoever keeps the sets may have let go of one that no row named; it is asked for anew. */
  #take(number: number): void {
    const set = this.#sets.get(number)!;
    if (!this.#options.inUse.sets.has(number) && this.#numberOf(set) !== number) {
      throw new CirriError('ERR_L7_NUMBER', `layer 7 set ${number} has got another number`, { mend: 'numbers must keep their meaning; restart the agent' });
    }
    this.#options.inUse.take(number, set);
  }

  #merge(redirects: readonly Candidate[]): ReturnType<L7Sets['merged']> {
    const heard = withoutLimits(redirects);
    this.#rules += heard.reduce((sum, r) => sum + r.l7!.rules.length, 0);
    if (this.#rules > maxRules) throw tooManyRedirects();
    const merged = mergeL7(heard.map(r => r.l7!));
    return 'set' in merged ? { l7: this.#number(merged.set) } : { conflict: this.#conflict(heard, merged.conflict) };
  }

  #number(set: L7Set): number {
    const number = this.#numberOf(set);
    this.#sets.set(number, set);
    return number;
  }

  /** Whoever keeps the sets may have no room: then no row may name it, for now. */
  #numberOf(set: L7Set): number {
    try {
      return this.#options.numbers.numberOf(set);
    } catch (cause) {
      throw new CirriError(unkept, `a layer 7 set could not be kept: ${errorText(cause)}`, { cause, mend: 'it is tried again' });
    }
  }

  #conflict(redirects: readonly Candidate[], text: string): number {
    const { direction, ids, infos, remember } = this.#options;
    const rules = [...new Set(redirects.map(r => r.rule))].map(rule => infos.get(rule)!);
    const info = conflictInfo(direction, rules, text, ids.idOf(conflictAddress(direction, rules)));
    this.#conflicts.set(info.id, info);
    remember(info);
    return info.id;
  }
}

/** Every name may be asked, and what is no DNS passes: the rule allows it. */
export function learning(rule: number): L7Set {
  return { protocol: 'dns', rules: [{ rule, pattern: '*' }], learn: true };
}

/** A policy in audit adds what it allows to what the others do; where that would limit them, it is not heard. */
function withoutLimits(redirects: readonly Candidate[]): readonly Candidate[] {
  const enforced = redirects.filter(r => r.mode !== 'audit');
  if (enforced.length === 0 || enforced.length === redirects.length) return redirects;
  return redirects.filter(r => r.mode !== 'audit' || (enforced.every(e => e.l7!.protocol === r.l7!.protocol) && (r.l7!.protocol === 'dns' || r.l7!.tls === undefined)));
}
