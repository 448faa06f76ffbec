/** From the specs that select a subject to what a set is made of: its rules, its defaults, and the key that names them. */
import type { L7Set } from '../model/l7.ts';
import { hashText } from './content-hash.ts';
import type { EngineOptions, Subject } from './compile.ts';
import { levels } from './flatten.ts';
import type { Candidate, Fallbacks, Level, Verdict } from './flatten.ts';
import type { Direction, Effect, Policy, Rule, Tier } from './policy.ts';
import type { PreparedRule, PreparedSpec } from './policy-store.ts';
import { resolveSpans } from './resolve-spans.ts';
import { defaultInfo } from './rule-info.ts';
import type { Provides, RuleIds, RuleInfo } from './rule-info.ts';

/** Strength of an effect within the tier normal: the strongest rule decides. What is to be read and nobody can read is weaker still. */
export const strengths: Readonly<Record<Effect, number>> = { deny: 4, unauthenticated: 3, allow: 2, pass: 2, inspect: 1 };

const levelOf: Readonly<Record<Tier, Level>> = { admin: levels.admin, normal: levels.normal, baseline: levels.baseline };

interface Default {
  readonly info: RuleInfo;
  readonly candidate: Candidate;
}

/** What of a subject's policies makes its set in one direction. */
export interface SetRules<User> {
  readonly key: string;
  readonly rules: readonly PreparedRule<User>[];
  readonly defaults: Readonly<Record<keyof Fallbacks, Default>>;
  readonly allowsLocalhost: boolean;
}

export function setRules<User>(specs: readonly PreparedSpec<User>[], subject: Subject, direction: Direction, options: Required<EngineOptions>, ids: RuleIds): SetRules<User> {
  const defaults = setDefaults(specs, direction, options, ids);
  const rules = specs.flatMap(s => s.rules.filter(r => r.rule.direction === direction));
  const restricted = rules.length > 0 || Object.values(defaults).some(d => d.info.effect === 'default-deny');
  const allowsLocalhost = direction === 'ingress' && !subject.isHost && options.allowLocalhost === 'always' && restricted;
  const defaultsText = Object.values(defaults).map(d => `${d.info.id} ${d.info.because} ${d.candidate.keepEstablished}`);
  const rulesText = rules.map(r => `${r.info.id} ${r.fingerprint} ${namedSpansText(r.rule, direction, subject)}`);
  return { key: hashText([direction, ...defaultsText, allowsLocalhost, ...rulesText].join('\n')), rules, defaults, allowsLocalhost };
}

/** Default deny or allow, in each view of the policies. */
function setDefaults(specs: readonly PreparedSpec<unknown>[], direction: Direction, options: Required<EngineOptions>, ids: RuleIds): SetRules<unknown>['defaults'] {
  const of = (modes: readonly Policy['mode'][]): Default => {
    const denying = [...new Set(specs.filter(s => s.spec.defaultDeny[direction] && modes.includes(s.policy.mode)).map(s => s.policy))];
    const info = defaultInfo(direction, options.mode, denying, address => ids.idOf(address));
    return { info, candidate: defaultCandidate(info, denying.length > 0 && denying.every(p => p.keepEstablished)) };
  };
  return { enforced: of(['enforce']), audit: of(['enforce', 'audit']), shadow: of(['enforce', 'shadow']) };
}

function defaultCandidate(info: RuleInfo, keepEstablished: boolean): Candidate {
  const denies = info.effect === 'default-deny';
  return {
    rule: info.id, verdict: denies ? 'deny' : 'allow', level: denies ? levels.defaultDeny : levels.defaultAllow,
    strength: 0, order: Infinity, specific: false, mode: 'enforce', keepEstablished, spans: 'any',
  };
}

/** A rule as it takes part in a set, but for the ports. */
export function ruleCandidate({ rule, info, policy, l7 }: PreparedRule<unknown>, order: number, provides: Provides): Omit<Candidate, 'spans'> {
  const ruled = verdictOf(rule, policy.tier, provides, l7);
  return {
    rule: info.id, ...ruled, level: levelOf[policy.tier], order, specific: rule.peers !== 'any', mode: policy.mode, keepEstablished: policy.keepEstablished, ...(l7 && ruled.verdict === 'redirect' && { l7 }),
  };
}

/** What an effect comes to with what there is to carry it out. */
function verdictOf({ effect, l7: asked }: Rule, tier: Tier, { authentication }: Provides, l7: L7Set | undefined): { readonly verdict: Verdict | 'pass'; readonly strength: number } {
  if (effect === 'inspect' || (effect === 'unauthenticated' && asked && authentication)) return l7 ? { verdict: 'redirect', strength: strengths.inspect } : { verdict: 'deny', strength: strengths.inspect - 1 };
  if (effect === 'unauthenticated') return authentication ? { verdict: 'allow', strength: strengths.allow } : { verdict: 'deny', strength: strengths.unauthenticated };
  // After the last tier comes the default, which allows.
  return { verdict: effect === 'pass' && tier === 'baseline' ? 'allow' : effect, strength: strengths[effect] };
}

function namedSpansText(rule: Rule, direction: Direction, subject: Subject): string {
  return rule.ports !== 'any' && rule.ports.some(p => 'name' in p) ? JSON.stringify(resolveSpans(rule, direction, subject).spans) : '';
}
