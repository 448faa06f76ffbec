/** What applies to one pod, in the order in which it is asked. */
import type { Subject } from './compile.ts';
import type { Direction, Effect } from './policy.ts';
import type { RuleInfo } from './rule-info.ts';
import type { World } from './world.ts';

export interface Stage {
  /** What a rule of this stage does when it applies; the first stage with a rule that applies decides. */
  readonly title: string;
  readonly rules: readonly { readonly info: RuleInfo; readonly place: string | undefined }[];
}

export interface Applies {
  readonly direction: Direction;
  /** In default deny. */
  readonly enforced: boolean;
  readonly stages: readonly Stage[];
}

const order: readonly (readonly [Effect, string])[] = [
  ['deny', 'denied, whatever else allows it'],
  ['unauthenticated', 'denied until peers can authenticate, also against rules below'],
  ['allow', 'allowed'],
  ['unproxied', 'denied until the proxy can look into it'],
];

export function appliesTo(world: World, subject: Subject, direction: Direction): Applies {
  const rules = world.engine.rulesFor(subject, direction);
  const { set } = world.indexed(subject, direction);
  const placed = (info: RuleInfo) => ({ info, place: world.placeOf(info) });
  const builtin = [...set.rules.values()].filter(info => info.kind === 'default');
  const stages = [
    { title: 'always allowed', rules: builtin.filter(info => info.name === 'allow-localhost' && info.effect === 'allow').map(placed) },
    ...order.map(([effect, title]) => ({ title, rules: rules.filter(r => r.rule.effect === effect).map(r => placed(r.info)) })),
    { title: set.enforced ? 'all else is denied' : 'all else is allowed', rules: builtin.filter(info => info.effect === 'default-deny' || info.effect === 'default-allow').map(placed) },
  ];
  return { direction, enforced: set.enforced, stages: stages.filter(s => s.rules.length > 0) };
}
