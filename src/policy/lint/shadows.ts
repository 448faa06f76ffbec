/**
 * Rules that can never decide: all that they allow is denied, or denied already; or allowed by a wider rule. Told from the
 * text alone, so what is said holds for every pod that may come.
 */
import { cidrContains, labelKeys } from '../../model/identity.ts';
import type { EndpointSelector, Requirement } from '../../model/selector.ts';
import { parsePrefix } from '../../std/ip.ts';
import { maxPort, policyText } from '../policy.ts';
import type { Peer, Policy, PolicySpec, PortMatch, Rule } from '../policy.ts';
import type { Checked } from './finding.ts';

export interface Placed { readonly policy: Policy; readonly spec: PolicySpec; readonly rule: Rule }

export function checkShadows({ world, policy, report }: Checked): void {
  if (policy.tier !== 'normal') return;
  // What another policy in audit or shadow says takes nothing from this one.
  const all = world.policies.filter(p => p.tier === 'normal' && (p === policy || p.mode === 'enforce')).flatMap(p => p.specs.flatMap(spec => spec.rules.map((rule): Placed => ({ policy: p, spec, rule }))));
  for (const own of all.filter(placed => placed.policy === policy)) {
    if (own.rule.peers !== 'any' && own.rule.peers.length === 0) continue;
    const wider = all.filter(other => other.rule !== own.rule && other.rule.direction === own.rule.direction && other.spec.selectsNodes === own.spec.selectsNodes && covers(other, own));
    const deny = wider.find(other => other.policy.mode !== 'audit' && other.rule.effect === 'deny' && other.rule.notEnforced === undefined);
    if (own.rule.effect !== 'deny' && deny) {
      report('shadowed', 'error', own.rule.path, `this rule never takes effect: ${where(deny)} denies all that it allows, and a denial always wins`, 'narrow the denial, or remove this rule');
      continue;
    }
    // Of two that say the same, only the later is called redundant.
    const same = wider.find(other => other.rule.effect === own.rule.effect && !(covers(own, other) && other.rule.address > own.rule.address));
    if (same && (own.rule.effect === 'allow' || own.rule.effect === 'deny')) {
      report('redundant', 'info', own.rule.path, `this rule adds nothing: ${where(same)} ${same.rule.effect === 'deny' ? 'denies' : 'allows'} all of it already`, 'remove it, or narrow the other');
    }
    if (own.rule.effect === 'inspect') {
      const plain = wider.find(({ rule }) => rule.effect === 'allow');
      if (plain) report('l7-bypassed', 'error', own.rule.path, `the requests of this rule are not restricted: ${where(plain)} allows the same ports to the same peers without looking at requests`, 'give the other rule the same L7 rules, or narrow it');
    }
  }
}

export function where({ policy, rule }: Placed): string {
  return `${policyText(policy)} (${rule.path})`;
}

export function covers(outer: Placed, inner: Placed): boolean {
  return coversSelector(outer.spec.subject, inner.spec.subject) && coversPeers(outer.rule.peers, inner.rule.peers) && coversPorts(outer.rule.ports, inner.rule.ports);
}

/** Fewer requirements select more. */
export function coversSelector(outer: EndpointSelector, inner: EndpointSelector): boolean {
  const texts = new Set(inner.requirements.map(r => JSON.stringify(r)));
  return outer.requirements.every(r => texts.has(JSON.stringify(r)) || inner.requirements.some(i => implies(i, r)));
}

function implies(inner: Requirement, outer: Requirement): boolean {
  const [i, o] = [namespaceByName(inner), namespaceByName(outer)];
  if (i.key !== o.key || (i.source !== o.source && o.source !== 'any')) return false;
  return (o.operator === 'In' && i.operator === 'In' && i.values.every(v => o.values.includes(v))) || (o.operator === 'Exists' && (i.operator === 'In' || i.operator === 'Exists'));
}

/** Every namespace bears its name as a label, which nobody can change. */
function namespaceByName(r: Requirement): Requirement {
  return r.key === `${labelKeys.namespaceLabels}kubernetes.io/metadata.name` ? { ...r, key: labelKeys.namespace } : r;
}

function coversPeers(outer: Rule['peers'], inner: Rule['peers']): boolean {
  if (outer === 'any') return true;
  if (inner === 'any') return false;
  return inner.every(i => outer.some(o => coversPeer(o, i)));
}

function coversPeer(outer: Peer, inner: Peer): boolean {
  if (outer.type === 'selector' && inner.type === 'selector') return coversSelector(outer.selector, inner.selector);
  if (outer.type === 'selector') return inner.type !== 'service' && outer.selector.requirements.length === 1 && outer.selector.requirements[0]!.source === 'reserved' && outer.selector.requirements[0]!.key === 'world';
  if (outer.type === 'cidr' && inner.type === 'cidr') return outer.except.length === 0 && (outer.pods === true || inner.pods !== true) && cidrContains(parsePrefix(outer.cidr), parsePrefix(inner.cidr));
  return JSON.stringify(outer) === JSON.stringify(inner);
}

function coversPorts(outer: Rule['ports'], inner: Rule['ports']): boolean {
  if (outer === 'any') return true;
  if (inner === 'any') return false;
  return inner.every(i => outer.some(o => coversPort(o, i)));
}

function coversPort(outer: PortMatch, inner: PortMatch): boolean {
  if (outer.protocol !== inner.protocol) return false;
  if ('name' in outer) return 'name' in inner && inner.name === outer.name;
  if ('name' in inner) return outer.start <= 1 && outer.end === maxPort;
  return outer.start <= inner.start && inner.end <= outer.end;
}
