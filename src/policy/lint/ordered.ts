/** The kinds whose rules are ordered: rules that are never asked, and policies whose order nobody settled. */
import { isClusterPolicy } from '../parse-cluster.ts';
import { policyText, tierOrder } from '../policy.ts';
import type { Direction, Policy, PolicySpec, Rule } from '../policy.ts';
import type { ScenarioPod } from '../scenario.ts';
import type { World } from '../world.ts';
import type { Checked } from './finding.ts';
import { covers, coversSelector, where } from './shadows.ts';
import type { Placed } from './shadows.ts';

const directions: readonly Direction[] = ['ingress', 'egress'];

export function checkOrdered(checked: Checked): void {
  const { world, policy } = checked;
  const earlier = placedRules(world, p => p.tier === 'admin' && p.mode !== 'shadow');
  for (const spec of policy.specs) for (const rule of spec.rules) if (policy.tier === 'normal') checkAdminBefore(checked, { policy, spec, rule }, earlier);
  if (!isClusterPolicy(policy.kind)) return;
  checkEqualPriority(checked);
  for (const spec of policy.specs) {
    for (const rule of spec.rules) {
      checkEarlier(checked, { policy, spec, rule });
      if (rule.effect === 'pass') checkPass(checked, spec, rule);
    }
    if (policy.tier === 'baseline') for (const direction of directions) checkBaseline(checked, spec, direction);
  }
}

/** Rules of some policies, in the order in which they are asked. */
function placedRules(world: World, isWanted: (policy: Policy) => boolean): readonly Placed[] {
  return world.policies.filter(isWanted).toSorted(tierOrder).flatMap(p => p.specs.flatMap(spec => spec.rules.map((rule): Placed => ({ policy: p, spec, rule }))));
}

const words = { allow: 'allows', deny: 'denies', pass: 'passes on', unauthenticated: 'denies', inspect: 'allows' } as const;

/** Within a tier the first that applies decides. */
function checkEarlier({ world, policy, report }: Checked, own: Placed): void {
  const before = placedRules(world, p => p.tier === policy.tier && (p === policy || p.mode === 'enforce')).filter(p => p.rule.direction === own.rule.direction);
  const first = before.slice(0, before.findIndex(p => p.rule === own.rule)).find(p => covers(p, own) && !isSpared(p, own));
  if (!first) return;
  const same = first.rule.effect === own.rule.effect;
  report(same ? 'redundant' : 'unreachable', same ? 'info' : 'error', own.rule.path, `this rule is never asked: ${where(first)} comes first and ${words[first.rule.effect]} all that it is about`, same ? 'remove it, or narrow the other' : 'put it before the other, or narrow the other');
}

/** A denial in audit leaves the rest to those who come after. */
function isSpared(earlier: Placed, own: Placed): boolean {
  return earlier.policy.mode === 'audit' && earlier.rule.effect === 'deny' && own.rule.effect !== 'deny';
}

/** What the tier admin decides is never asked of a NetworkPolicy, unless something before that may decide otherwise. */
function checkAdminBefore({ report }: Checked, own: Placed, admin: readonly Placed[]): void {
  if (own.rule.peers !== 'any' && own.rule.peers.length === 0) return;
  const sameDirection = admin.filter(p => p.rule.direction === own.rule.direction);
  const index = sameDirection.findIndex(p => p.policy.mode === 'enforce' && p.rule.effect !== 'pass' && p.rule.notEnforced === undefined && covers(p, own));
  if (index < 0 || sameDirection.slice(0, index).some(p => p.rule.effect !== sameDirection[index]!.rule.effect)) return;
  const { rule } = sameDirection[index]!;
  if ((rule.effect === 'deny') === (own.rule.effect === 'deny')) return;
  report('shadowed', 'error', own.rule.path, `this rule never takes effect: ${where(sameDirection[index]!)} is asked before any NetworkPolicy and ${words[rule.effect]} all that it is about`, 'narrow that rule, or let it Pass what this one is about');
}

/** The API leaves open which of them is asked first. */
function checkEqualPriority({ world, policy, report }: Checked): void {
  const others = world.policies.filter(p => p !== policy && p.tier === policy.tier && p.priority === policy.priority && tierOrder(p, policy) < 0 && isClusterPolicy(p.kind));
  const other = others.find(p => overlap(world, p, policy));
  if (other) report('equal-priority', 'warning', policy.kind === 'BaselineAdminNetworkPolicy' ? 'metadata.name' : 'spec.priority', `${policyText(other)} has the same priority${policy.kind === 'BaselineAdminNetworkPolicy' || other.kind === 'BaselineAdminNetworkPolicy' ? ' (a BaselineAdminNetworkPolicy counts as 0)' : ''} and selects pods that this one selects too: which is asked first is left open (here ${policyText(other)}, by kind and name)`, 'give each a priority of its own');
}

function overlap(world: World, a: Policy, b: Policy): boolean {
  const pods = world.scenario.pods.filter(pod => !pod.hostNetwork);
  return a.specs.some(x => b.specs.some(y => coversSelector(x.subject, y.subject) || coversSelector(y.subject, x.subject) || pods.some(pod => x.subject.matches(pod.labels) && y.subject.matches(pod.labels))));
}

/** Passing on is for those who come after. */
function checkPass({ world, policy, report }: Checked, spec: PolicySpec, rule: Rule): void {
  const say = (message: string) => report('pass-to-nobody', 'info', rule.path, `${message}, so Pass allows`, 'leave it for policies to come, or write that it is allowed');
  if (policy.tier === 'baseline') return say('after the tier Baseline comes nothing but the default, which allows');
  const pods = selected(world, spec);
  if (pods.length > 0 && pods.every(pod => !isAskedAfter(world, pod, rule.direction))) say(`no policy of a later tier says anything about ${rule.direction} of the pods that it selects`);
}

function isAskedAfter(world: World, pod: ScenarioPod, direction: Direction): boolean {
  const { subject } = world.memberOf(pod)!;
  return world.indexed(subject, direction).set.enforced || world.engine.rulesFor(subject, direction).some(({ policy }) => policy.tier !== 'admin');
}

/** Where default deny has the last word in the tier normal, the baseline is not asked. */
function checkBaseline({ world, report }: Checked, spec: PolicySpec, direction: Direction): void {
  const pods = selected(world, spec);
  if (pods.length === 0 || !spec.rules.some(r => r.direction === direction)) return;
  if (!pods.every(pod => world.indexed(world.memberOf(pod)!.subject, direction).set.enforced)) return;
  const closing = world.policies.find(p => p.mode === 'enforce' && p.specs.some(s => !s.selectsNodes && s.defaultDeny[direction] && s.subject.matches(pods[0]!.labels)));
  report('baseline-not-asked', 'info', `${spec.path}.${direction}`, `NetworkPolicies close ${direction} of every pod that this selects (${closing ? `${policyText(closing)} that of ${pods[0]!.namespace}/${pods[0]!.name}` : 'by the policy mode'}): the baseline is never asked`, 'nothing to do if it is meant for pods to come');
}

function selected(world: World, spec: PolicySpec): readonly ScenarioPod[] {
  return world.scenario.pods.filter(pod => !pod.hostNetwork && spec.subject.matches(pod.labels));
}
