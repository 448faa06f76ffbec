import type { DnsL7Rule } from '../../model/l7.ts';
import { buildNameAutomaton } from '../../policy/name-automaton.ts';
import type { Layers } from '../protocol.ts';

export interface DnsRules {
  /** The rule that lets the name be asked; undefined when none does. */
  ruleOf(name: string): number | undefined;
  /** Nothing is refused: names are read for the sake of their addresses. */
  readonly learns: boolean;
}

/** As the kernel decides: by one automaton of all patterns, whatever there is no room for matching nothing. */
export function compileDnsRules(rules: readonly DnsL7Rule[], learns: boolean): DnsRules {
  if (learns) return { ruleOf: () => 0, learns };
  const automaton = buildNameAutomaton(rules.map(({ pattern }) => pattern));
  const byPattern = new Map([...rules].reverse().map(({ pattern, rule }) => [pattern, rule]));
  return { ruleOf: name => byPattern.get(automaton.walk(name)[0] ?? ''), learns };
}

export interface DnsOpinion {
  readonly direction: 'EGRESS' | 'INGRESS';
  readonly passes: boolean;
  readonly rule: number;
}

/** `name` undefined: the message cannot be read. */
export function judgeDns({ egress, ingress }: Layers<DnsRules>, name: string | undefined): readonly DnsOpinion[] {
  const opinions: DnsOpinion[] = [];
  for (const [direction, rules] of [['EGRESS', egress], ['INGRESS', ingress]] as const) {
    if (!rules || opinions[0]?.passes === false) continue;
    const rule = name === undefined && !rules.learns ? undefined : rules.ruleOf(name ?? '.');
    opinions.push({ direction, passes: rule !== undefined, rule: rule ?? 0 });
  }
  return opinions;
}
