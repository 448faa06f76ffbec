/** For a default denial: the rules that would nearly have allowed it, and the field by which each missed. */
import { identityPrefix, isWorld, labelKeys } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector, selectorKey } from '../model/selector.ts';
import type { Requirement } from '../model/selector.ts';
import { formatPrefix } from '../std/ip.ts';
import type { Step } from './connection.ts';
import { entryPath, valueAt } from './edit.ts';
import { portText } from './ends.ts';
import { portsMatched, selectsPeer } from './evaluate.ts';
import { policyAddress } from './policy.ts';
import type { Peer, Policy, Rule } from './policy.ts';
import { describePeers, describePorts } from './rule-info.ts';
import type { World } from './world.ts';

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
  return world.policies.filter(policy => policy.mode === 'enforce').flatMap(policy => policy.specs.filter(s => !s.selectsNodes && s.defaultDeny[step.direction] && s.subject.matches(step.subject.labels)).map(spec => {
    const source = world.sourceOf(policyAddress(policy));
    // A NetworkPolicy closes a direction that it does not mention, so the nearest field above may be all there is.
    const field = `${spec.path}.${step.direction}`;
    return { policy, field: valueAt(source?.object, field) === undefined ? spec.path : field, place: source?.place(field) || undefined };
  }));
}

interface PartMiss { readonly field: string; readonly text: string; readonly count: number }

/** The nearest first. */
export function nearMisses(world: World, step: Step): readonly NearMiss[] {
  const view = world.viewOf(step.identity);
  const around = { services: world.scenario.services, cidrGroups: world.scenario.groups };
  return world.engine.rulesFor(step.subject, step.direction)
    .filter(({ policy, rule }) => policy.mode !== 'shadow' && (rule.effect === 'allow' || rule.effect === 'unproxied') && (rule.peers === 'any' || rule.peers.length > 0))
    .map(({ policy, rule }) => {
      const source = world.sourceOf(policyAddress(policy));
      const peer = selectsPeer(rule, view, around) ? undefined : peerMiss(world, step, rule, view?.labels, source?.object);
      const port = portsMatched(rule, step.subject, view, step.protocol, step.port) !== undefined ? undefined : portMiss(step, rule, source?.object);
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
  const misses = peers.map((peer, i) => onePeerMiss(world, step, peer, itemPath(object, entry, i), object, labels));
  return misses.sort((a, b) => a.count - b.count)[0] ?? { field: entry, text: `is for ${describePeers(rule.peers)}`, count: 2 };
}

/** Where the i-th peer was written; entities stand for several peers, so for them the whole list. */
function itemPath(object: unknown, entry: string, index: number): string {
  const fields = valueAt(object, entry);
  const name = typeof fields === 'object' && fields !== null
    ? Object.keys(fields).find(k => (/^(from|to)([A-Z]|$)/.test(k)) && !/^toPorts$|Requires$/.test(k) && Array.isArray((fields as Record<string, unknown>)[k]))
    : undefined;
  if (name === undefined) return entry;
  return /Entities|Groups|FQDNs|Services/.test(name) ? `${entry}.${name}` : `${entry}.${name}[${index}]`;
}

function onePeerMiss(world: World, step: Step, peer: Peer, path: string, object: unknown, labels: LabelSet | undefined): PartMiss {
  const who = step.peer.text;
  switch (peer.type) {
    case 'selector': {
      if (peer.written !== undefined || !labels) return { field: path, text: `is for ${peer.written ?? describePeers([peer])}, which ${who} is not`, count: 2 };
      const failed = peer.selector.requirements.filter(r => !EndpointSelector.of([r]).matches(labels));
      const own = failed.filter(r => r.key !== labelKeys.cluster);
      const first = own[0] ?? failed[0]!;
      return { field: requirementPath(object, path, first), text: own.map(r => requirementText(r, labels, who, isWritten(object, path, r))).join(', and '), count: Math.max(1, own.length) };
    }
    case 'cidr': return { field: path, text: cidrText(peer.cidr, peer.except, labels, who), count: labels && isWorld(labels) ? 1 : 2 };
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

interface Place { readonly path: string; readonly source: string }

/** `…fromEndpoints[0].matchLabels.app`; what scope added stands at the selector itself. */
function requirementPath(object: unknown, path: string, r: Requirement): string {
  return writtenAt(object, path, r)?.path ?? path;
}

function isWritten(object: unknown, path: string, r: Requirement): boolean {
  return writtenAt(object, path, r) !== undefined;
}

function writtenAt(object: unknown, path: string, r: Requirement): Place | undefined {
  const key = r.key.startsWith(labelKeys.namespaceLabels) ? r.key.slice(labelKeys.namespaceLabels.length) : r.key;
  for (const at of [path, `${path}.podSelector`, `${path}.namespaceSelector`]) {
    const wanted = at.endsWith('.namespaceSelector') ? key : r.key;
    const labels = valueAt(object, `${at}.matchLabels`);
    for (const text of Object.keys(typeof labels === 'object' && labels !== null ? labels : {})) {
      if (selectorKey(text).key === wanted) return { path: `${at}.matchLabels[${text}]`, source: text };
    }
    const expressions = valueAt(object, `${at}.matchExpressions`);
    const index = Array.isArray(expressions) ? expressions.findIndex(e => selectorKey(String((e as { key?: unknown } | null)?.key)).key === wanted) : -1;
    if (index >= 0) return { path: `${at}.matchExpressions[${index}]`, source: wanted };
  }
  return undefined;
}

// ---- ports ----

function portMiss(step: Step, rule: Rule, object: unknown): PartMiss {
  const entry = entryPath(rule.path);
  const fields = valueAt(object, entry) as { toPorts?: readonly { ports?: readonly unknown[] }[]; ports?: readonly unknown[]; icmps?: unknown } | undefined;
  const field = fields?.icmps ? `${entry}.icmps`
    : fields?.ports ? (fields.ports.length === 1 ? `${entry}.ports[0]` : `${entry}.ports`)
    : fields?.toPorts?.length === 1 && fields.toPorts[0]?.ports?.length === 1 ? `${entry}.toPorts[0].ports[0].port`
    : `${entry}.toPorts`;
  const named = rule.ports !== 'any' && rule.ports.some(p => 'name' in p);
  return { field, text: `is for ${describePorts(rule.ports)}; asked is ${portText(step)}${named ? ` (${step.direction === 'ingress' ? 'the pod' : 'the peer'} may not give that name to a port)` : ''}`, count: 1 };
}
