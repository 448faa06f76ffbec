/** What is to be said of a step beside its verdict and the rule that decided it. */
import type { L7Set } from '../model/l7.ts';
import type { RuleInfo } from './compile.ts';
import type { Step } from './connection.ts';
import { portsMatched, selectsPeer } from './evaluate.ts';
import { readText } from './http-reader.ts';
import { policyAnnotations, policyText } from './policy.ts';
import type { Policy, Rule } from './policy.ts';
import type { World } from './world.ts';

/** One sentence each, in the order in which they matter. */
export function reasonsOf(world: World, step: Step): readonly string[] {
  const reasons: string[] = [];
  const passed = passedOnBy(world, step);
  if (passed) reasons.push(`before that, ${passed.because}`);
  if (step.audit !== undefined) reasons.push(`the denial is not enforced: ${auditText(step)}`);
  if (step.request === 'refused') reasons.push(`the request is refused: ${step.refusal ?? 'no rule there lets it pass'}${step.requestRule ? ` (nearest: ${placed(step.requestRule)})` : ''}`);
  if (step.request === 'passes') reasons.push(`the request passes${step.requestRule ? `: ${step.requestRule.because}` : ''}`);
  if (step.request === undefined && step.l7) reasons.push(unasked(step.l7));
  if (step.read && (step.read.reader === 'kernel' || step.read.why !== undefined)) reasons.push(readText(step.read));
  if (step.shadow) reasons.push(`with the shadow policies: ${step.shadow.verdict.toUpperCase()} — ${step.shadow.rule.because}`);
  if (step.keepEstablished) reasons.push(`connections that were allowed before go on (${policyAnnotations.established}: keep)`);
  return reasons;
}

function placed({ kind, namespace, name, path }: RuleInfo): string {
  return `${policyText({ kind, name, ...(namespace !== undefined && { namespace }) })} ${path}`;
}

function unasked(l7: L7Set): string {
  if (l7.protocol === 'dns') return l7.learn ? 'names are learned from what is asked there' : 'names are asked as far as the rules say: --dns NAME asks about one';
  if (l7.protocol === 'tls') return l7.tls?.fault ?? 'passes for names of servers that the rules say: --server-name NAME asks about one';
  return l7.tls?.fault ?? `passes request by request: --${l7.protocol} asks about one`;
}

function auditText({ audit, rule, pod }: Step): string {
  if (audit === 'namespace') return `namespace ${pod?.namespace} is in audit (${policyAnnotations.audit}: "true")`;
  if (audit === 'pod') return `pod ${pod?.namespace}/${pod?.name} is in audit (${policyAnnotations.audit}: "true")`;
  if (audit === 'cluster') return 'the whole cluster is in audit (cirri up --audit)';
  return `${rule.kind === 'default' ? 'among the policies that close the endpoint only those in audit do' : 'the policy is in audit'} (${policyAnnotations.mode}: audit)`;
}

/** The rule of the tier admin that handed the point over, where a later tier decided. */
function passedOnBy(world: World, { member, direction, identity, protocol, port, rule: decided }: Step): { readonly because: string } | undefined {
  const view = world.viewOf(identity);
  const around = { services: world.scenario.services, cidrGroups: world.scenario.groups };
  const applies = ({ policy, rule }: { readonly policy: Policy; readonly rule: Rule }) => policy.mode === 'enforce' || (policy.mode === 'audit' && rule.effect !== 'deny')
    ? selectsPeer(rule, view, around) && portsMatched(rule, member.subject, view, protocol, port) !== undefined : false;
  const first = world.engine.rulesFor(member.subject, direction).filter(({ policy }) => policy.tier === 'admin').find(applies);
  return first?.rule.effect === 'pass' && first.info.id !== decided.id ? first.info : undefined;
}
