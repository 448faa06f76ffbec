/**
 * What applies to one pod, in the order in which it is asked:
 *
 *     allow-localhost ─► tier admin, by priority ─► denials ─► allowances ─► default deny ─► tier baseline ─► default
 *                             └ pass: on to ─────────┘           (tier normal)
 *
 * Default deny is the last word of the tier normal: where it is in force, the tier baseline is not reached.
 */
import type { Subject } from './compile.ts';
import { policyAddress } from './policy.ts';
import type { Direction, Effect, Policy, Tier } from './policy.ts';
import type { RuleInfo } from './rule-info.ts';
import { policiesOfRule } from './usage.ts';
import type { World } from './world.ts';

export interface AppliedRule {
  readonly info: RuleInfo;
  readonly place: string | undefined;
  /** Of its policy: in audit its denials pass, in shadow it decides nothing. */
  readonly mode?: 'audit' | 'shadow';
  /** Only in the tiers admin and baseline. */
  readonly priority?: number;
}

export interface Stage {
  readonly tier?: Tier;
  /** What a rule of this stage does when it applies; the first stage with a rule that applies decides. */
  readonly title: string;
  readonly rules: readonly AppliedRule[];
}

export interface Applies {
  readonly direction: Direction;
  /** In default deny. */
  readonly enforced: boolean;
  readonly stages: readonly Stage[];
}

const order: readonly (readonly [Effect | 'unread', string])[] = [
  ['deny', 'denied, whatever else allows it'],
  ['unauthenticated', 'denied until peers can authenticate, also against rules below'],
  ['allow', 'allowed'],
  ['inspect', 'read, and let pass as far as the rules say'],
  ['unread', 'denied, since nobody can read it'],
];

export function appliesTo(world: World, subject: Subject, direction: Direction): Applies {
  const rules = world.engine.rulesFor(subject, direction).map(({ policy, rule, info }) => ({ policy, effect: rule.effect === 'inspect' && info.notEnforced !== undefined ? 'unread' as const : rule.effect, applied: appliedRule(world, info, policy) }));
  const { set } = world.indexed(subject, direction);
  const defaults = [...set.rules.values()].filter(info => info.kind === 'default').map(info => appliedRule(world, info, undefined));
  const ofTier = (tier: Tier) => rules.filter(({ policy }) => policy.tier === tier);
  const baseline = ofTier('baseline').map(r => r.applied);
  const denying = defaults.filter(({ info }) => info.effect === 'default-deny');
  const stages: readonly Stage[] = [
    { title: 'always allowed', rules: defaults.filter(({ info }) => info.name === 'allow-localhost' && info.effect === 'allow') },
    { tier: 'admin', title: 'admin policies, by priority: the first that applies decides, and pass goes on below', rules: ofTier('admin').map(r => r.applied) },
    ...order.map(([effect, title]) => ({ tier: 'normal' as const, title, rules: ofTier('normal').filter(r => r.effect === effect).map(r => r.applied) })),
    { title: denying.every(d => d.mode === 'shadow') ? 'a shadow only: all else would be denied' : denying.every(d => d.mode) ? 'in audit: all else is reported as denied' : 'all else is denied', rules: denying },
    { tier: 'baseline', title: set.enforced ? 'baseline policies: not reached, since default deny is in force' : 'baseline policies: the first that applies decides', rules: baseline },
    { title: 'all else is allowed', rules: set.enforced ? [] : defaults.filter(({ info }) => info.effect === 'default-allow') },
  ];
  return { direction, enforced: set.enforced, stages: stages.filter(s => s.rules.length > 0) };
}

function appliedRule(world: World, info: RuleInfo, policy: Policy | undefined): AppliedRule {
  const mode = info.mode ?? defaultMode(world, info);
  return { info, place: world.placeOf(info), ...(mode && { mode }), ...(policy && policy.tier !== 'normal' && { priority: policy.priority }) };
}

/** A default denial that would not be there without a policy in shadow, or in audit. */
function defaultMode(world: World, info: RuleInfo): AppliedRule['mode'] {
  const causes = new Set(policiesOfRule(info));
  const modes = new Set(info.kind === 'default' ? world.policies.filter(p => causes.has(policyAddress(p))).map(p => p.mode) : []);
  return modes.has('shadow') ? 'shadow' : modes.has('audit') ? 'audit' : undefined;
}
