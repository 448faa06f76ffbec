/** For a denial: the rules that would nearly have allowed it, and the field by which each missed. */
import { identityPrefix, isWorld, labelKeys } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import type { Requirement } from '../model/selector.ts';
import { formatPrefix } from '../std/ip.ts';
import type { Step } from './connection.ts';
import { entryPath, valueAt } from './edit.ts';
import { portText } from './ends.ts';
import { portsMatched, selectsPeer } from './evaluate.ts';
import { policyAddress } from './policy.ts';
import type { Peer, Policy, PolicySpec, Rule, Tier } from './policy.ts';
import { describePeers, describePorts } from './rule-info.ts';
import type { World } from './world.ts';
import { isWritten, peerPath, requirementPath } from './written.ts';

export interface NearMiss {
  readonly policy: Policy;
  readonly rule: Rule;
  /** The one field, as far as there is one: `spec.ingress[0].fromEndpoints[0].matchLabels.app`. */
  readonly field: string;
  readonly place: string | undefined;
  readonly missed: 'peer' | 'port' | 'peer and port';
  /** `wants app=frontend, demo/stranger has app=stranger`. */
  readonly text: string;
  /** How many things would have to be otherwise. */
  readonly distance: number;
}

/** The policies that put the step's pod into default deny, and where they say so. */
export function closingPolicies(world: World, step: Step): readonly { readonly policy: Policy; readonly field: string; readonly place: string | undefined }[] {
  return world.policies.flatMap(policy => (policy.mode === 'enforce' ? policy.specs : []).filter(s => s.defaultDeny[step.direction] && isSubject(s, step)).map(spec => {
    const source = world.sourceOf(policyAddress(policy));
    // A NetworkPolicy closes a direction that it does not mention, so the nearest field above may be all there is.
    const field = `${spec.path}.${step.direction}`;
    return { policy, field: valueAt(source?.object, field) === undefined ? spec.path : field, place: source?.place(field) || undefined };
  }));
}

export function isSubject(spec: PolicySpec, { member: { subject } }: Step): boolean {
  return spec.selectsNodes === (subject.isHost ?? false) && spec.subject.matches(subject.labels);
}

interface PartMiss { readonly field: string; readonly text: string; readonly count: number }

/**
 * Rules that would be asked before the one that denied, or instead of a default denial, and would let it pass. In the tiers admin
 * and baseline those are the earlier ones; a denial of the tier normal yields to the tier admin only.
 */
function rulesBefore(world: World, step: Step): readonly { readonly policy: Policy; readonly rule: Rule }[] {
  const all = world.engine.rulesFor(step.member.subject, step.direction);
  const deciding = all.findIndex(({ info }) => info.id === step.rule.id);
  const tier: Tier | 'default' = deciding < 0 ? 'default' : all[deciding]!.policy.tier;
  return all.filter(({ policy, rule }, i) => {
    if (policy.mode === 'shadow' || (rule.peers !== 'any' && rule.peers.length === 0)) return false;
    const opens = rule.effect === 'allow' || rule.effect === 'inspect';
    switch (tier) {
      case 'admin': return policy.tier === 'admin' && i < deciding && (opens || rule.effect === 'pass');
      case 'normal': return policy.tier === 'admin' && opens;
      case 'baseline': return i < deciding && (opens || (rule.effect === 'pass' && policy.tier === 'baseline'));
      case 'default': return policy.tier !== 'baseline' && opens;
    }
  });
}

/** The nearest first. */
export function nearMisses(world: World, step: Step): readonly NearMiss[] {
  const view = world.viewOf(step.identity);
  const around = { services: world.scenario.services, cidrGroups: world.scenario.groups };
  return rulesBefore(world, step)
    .map(({ policy, rule }) => {
      const source = world.sourceOf(policyAddress(policy));
      const peer = selectsPeer(rule, view, around) ? undefined : peerMiss(world, step, rule, view?.labels, source?.object);
      const port = portsMatched(rule, step.member.subject, view, step.protocol, step.port) !== undefined ? undefined : portMiss(step, rule, source?.object);
      return { policy, rule, peer, port, source };
    })
    .filter(({ peer, port }) => peer !== undefined || port !== undefined)
    .map(({ policy, rule, peer, port, source }): NearMiss => {
      const field = (peer ?? port)!.field;
      return {
        policy, rule, field, place: source?.place(field),
        missed: peer && port ? 'peer and port' : peer ? 'peer' : 'port',
        text: [peer?.text, port?.text].filter(t => t !== undefined).join('; and '),
        distance: (peer?.count ?? 0) + (port?.count ?? 0),
      };
    })
    .sort((a, b) => a.distance - b.distance || (a.missed === 'port' ? 0 : 1) - (b.missed === 'port' ? 0 : 1));
}

// ---- peers ----

function peerMiss(world: World, step: Step, rule: Rule, labels: LabelSet | undefined, object: unknown): PartMiss {
  const entry = entryPath(rule.path);
  const peers = rule.peers as readonly Peer[];
  const misses = peers.map((peer, i) => onePeerMiss(world, step, peer, peerPath(object, entry, i), object, labels));
  return misses.sort((a, b) => a.count - b.count)[0] ?? { field: entry, text: `is for ${describePeers(rule.peers)}`, count: 2 };
}

function onePeerMiss(world: World, step: Step, peer: Peer, path: string, object: unknown, labels: LabelSet | undefined): PartMiss {
  const who = step.peer.text;
  switch (peer.type) {
    case 'selector': {
      if (peer.written !== undefined || !labels) return { field: path, text: `is for ${peer.written ?? describePeers([peer])}, which ${who} is not`, count: 2 };
      const failed = peer.selector.requirements.filter(r => !EndpointSelector.of([r]).matches(labels));
      const own = failed.filter(r => r.key !== labelKeys.cluster && !(r.key === labelKeys.namespace && r.operator === 'Exists' && failed.length > 1));
      const first = own[0] ?? failed[0]!;
      return { field: requirementPath(object, path, first), text: own.map(r => requirementText(r, labels, who, isWritten(object, path, r))).join(', and '), count: Math.max(1, own.length) };
    }
    case 'cidr': return { field: path, text: peer.pods ? `is for network ${peer.cidr}; ${who} lies outside` : cidrText(peer.cidr, peer.except, labels, who), count: peer.pods || (labels && isWorld(labels)) ? 1 : 2 };
    case 'cidr-group': return { field: path, text: `is for ${describePeers([peer])}${world.scenario.groups.some(g => g.name === peer.name) ? '' : ', which is not there'}`, count: 2 };
    case 'service': return { field: path, text: `is for ${describePeers([peer])}, behind which ${who} is not`, count: 2 };
  }
}

function requirementText(r: Requirement, labels: LabelSet, who: string, written: boolean): string {
  const values = labels.all(r.source, r.key);
  if (r.key === labelKeys.namespace) {
    const wants = written ? `wants namespace ${r.values.join(' or ')}` : `names no namespace, which means pods of ${r.values.join(' or ') || 'some namespace'}`;
    return values.length > 0 ? `${wants}; ${who} is in ${values[0]}` : `${wants}; ${who} is no pod`;
  }
  const key = r.key.startsWith(labelKeys.namespaceLabels) ? `namespace label ${r.key.slice(labelKeys.namespaceLabels.length)}` : r.key;
  const has = values.length > 0 ? `${who} has ${key}=${values[0]}` : `${who} has no ${key}`;
  switch (r.operator) {
    case 'In': return `wants ${key}${r.values.length === 1 ? `=${r.values[0]}` : ` in (${r.values.join(', ')})`}; ${has}`;
    case 'NotIn': return `wants ${key} not in (${r.values.join(', ')}); ${has}`;
    case 'Exists': return `wants the label ${key}; ${has}`;
    case 'DoesNotExist': return `wants no label ${key}; ${has}`;
  }
}

function cidrText(cidr: string, except: readonly string[], labels: LabelSet | undefined, who: string): string {
  if (!labels || !isWorld(labels)) return `is for ${cidr}; a CIDR never selects pods or nodes, and ${who} is one`;
  const own = identityPrefix(labels);
  const hole = own && except.find(e => e === formatPrefix(own));
  return hole ? `is for ${cidr} except ${hole}, in which ${who} lies` : `is for ${cidr}; ${who} lies outside`;
}

// ---- ports ----

function portMiss(step: Step, rule: Rule, object: unknown): PartMiss {
  const entry = entryPath(rule.path);
  const fields = valueAt(object, entry) as { toPorts?: readonly { ports?: readonly unknown[] }[]; ports?: readonly unknown[]; protocols?: readonly unknown[]; icmps?: unknown } | undefined;
  const field = fields?.icmps ? `${entry}.icmps`
    : fields?.protocols ? (fields.protocols.length === 1 ? `${entry}.protocols[0]` : `${entry}.protocols`)
    : fields?.ports ? (fields.ports.length === 1 ? `${entry}.ports[0]` : `${entry}.ports`)
    : fields?.toPorts?.length === 1 && fields.toPorts[0]?.ports?.length === 1 ? `${entry}.toPorts[0].ports[0].port`
    : `${entry}.toPorts`;
  const named = rule.ports !== 'any' && rule.ports.some(p => 'name' in p);
  return { field, text: `is for ${describePorts(rule.ports)}; asked is ${portText(step)}${named ? ` (${step.direction === 'ingress' ? 'the pod' : 'the peer'} may not give that name to a port)` : ''}`, count: 1 };
}
