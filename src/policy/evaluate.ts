/**
 * The plain reading of the rules, for tests, probes and explanations: slow, obvious, and written without a look at the
 * compiler, which must always give the same answer. And the kernel's lookup, modelled.
 */
import { cidrContains, identityPrefix, isWorld } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { parsePrefix } from '../std/ip.ts';
import type { CidrGroup, CompiledSet, EngineOptions, NamedPorts, Service, Subject, VerdictRow } from './compile.ts';
import { protocolNumber } from './matchers.ts';
import { policyAddress, policyText } from './policy.ts';
import type { Direction, Effect, Peer, Policy, PortMatch, Rule } from './policy.ts';

export interface World {
  readonly policies: readonly Policy[];
  readonly services?: readonly Service[];
  readonly cidrGroups?: readonly CidrGroup[];
  readonly options?: EngineOptions;
}

export interface PeerView {
  readonly labels: LabelSet;
  readonly namedPorts?: readonly NamedPorts[];
}

export interface Evaluation {
  readonly verdict: 'allow' | 'deny';
  /** Address of the rule that decides. */
  readonly rule: string;
}

/**
 * May this peer talk with the subject? The strongest applicable rule decides: allow-localhost, deny, unmet
 * authentication, allow, unmet proxy condition, and where there is none, the default. `peer` undefined is one of whom
 * nothing is known: only rules for any peer apply to it.
 */
export function evaluate(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number): Evaluation {
  const mode = world.options?.mode ?? 'default';
  if (mode === 'never') return { verdict: 'allow', rule: `default/never/${direction}` };
  const selecting = policiesInOrder(world.policies).flatMap(policy => policy.specs
    .filter(spec => spec.selectsNodes === (subject.isHost ?? false) && spec.subject.matches(subject.labels))
    .map(spec => ({ policy, spec })));
  const rules = selecting.flatMap(({ spec }) => spec.rules).filter(rule => rule.direction === direction);
  const denying = selecting.filter(({ spec }) => spec.defaultDeny[direction]).map(({ policy }) => policy);
  const defaultDenies = mode === 'always' || denying.length > 0;

  const localhost = direction === 'ingress' && !subject.isHost && (world.options?.allowLocalhost ?? 'always') === 'always';
  if (localhost && peer?.labels.has('reserved', 'host') && (rules.length > 0 || defaultDenies)) return { verdict: 'allow', rule: 'builtin/allow-localhost/ingress' };

  const effects: readonly Effect[] = ['deny', 'unauthenticated', 'allow', 'unproxied'];
  for (const effect of effects) {
    let best: { rule: Rule; ports: number } | undefined;
    for (const rule of rules.filter(r => r.effect === effect && selectsPeer(r, peer, world))) {
      const ports = portsMatched(rule, subject, peer, protocol, port);
      if (ports === undefined) continue;
      const better = !best || ports < best.ports || (ports === best.ports && best.rule.peers === 'any' && rule.peers !== 'any');
      if (better) best = { rule, ports };
    }
    if (best) return { verdict: effect === 'allow' ? 'allow' : 'deny', rule: best.rule.address };
  }
  const names = [...new Set(denying.map(policyText))].join(',');
  if (defaultDenies) return { verdict: 'deny', rule: names === '' ? `default/always/${direction}` : `default/deny/${direction}/${names}` };
  return { verdict: 'allow', rule: `default/allow/${direction}` };
}

/** Of policies with one address the last counts. */
function policiesInOrder(policies: readonly Policy[]): readonly Policy[] {
  const byAddress = new Map(policies.map(p => [policyAddress(p), p] as const));
  return [...byAddress.keys()].sort().map(address => byAddress.get(address)!);
}

/** `world` is needed for services and CIDR groups. */
export function selectsPeer(rule: Rule, peer: PeerView | undefined, world: Omit<World, 'policies'>): boolean {
  if (rule.peers === 'any') return true;
  return peer !== undefined && rule.peers.some(p => matchesPeer(p, peer, world));
}

function matchesPeer(peer: Peer, view: PeerView, world: Omit<World, 'policies'>): boolean {
  switch (peer.type) {
    case 'selector': return peer.selector.matches(view.labels);
    case 'cidr': return matchesCidr(peer.cidr, peer.except, view, world);
    case 'cidr-group': return (world.cidrGroups ?? [])
      .filter(g => (peer.name !== undefined ? g.name === peer.name : peer.selector!.matches(g.labels)))
      .some(g => g.cidrs.some(cidr => matchesCidr(cidr, peer.except, view, world)));
    case 'service': return (world.services ?? [])
      .filter(s => peer.namespace === undefined || peer.namespace === s.namespace)
      .filter(s => (peer.name !== undefined ? peer.name === s.name : peer.selector!.matches(s.labels)))
      .some(s => isBehind(view, s, world));
  }
}

function isBehind(view: PeerView, service: Service, world: Omit<World, 'policies'>): boolean {
  const selector = Object.entries(service.selector ?? {});
  if (selector.length === 0) return (service.addresses ?? []).some(address => matchesCidr(address, [], view, world));
  const own = EndpointSelector.ofMatchLabels(Object.fromEntries(selector), 'k8s');
  return own.matches(view.labels) && view.labels.get('k8s', 'io.kubernetes.pod.namespace') === service.namespace;
}

/** A CIDR selects what lies outside the cluster, by the longest prefix that the peer stands for. */
function matchesCidr(cidr: string, except: readonly string[], view: PeerView, world: Omit<World, 'policies'>): boolean {
  if (!isWorld(view.labels)) return false;
  const family = world.options?.worldFamily ?? 'ipv4';
  const whole = view.labels.has('reserved', 'world-ipv4') ? '0.0.0.0/0' : view.labels.has('reserved', 'world-ipv6') ? '::/0' : family === 'ipv4' ? '0.0.0.0/0' : '::/0';
  const prefix = identityPrefix(view.labels) ?? parsePrefix(whole);
  return cidrContains(parsePrefix(cidr), prefix) && !except.some(hole => cidrContains(parsePrefix(hole), prefix));
}

/** How many ports the narrowest matching entry covers (more than there are for every protocol), or undefined when none matches. */
export function portsMatched(rule: Rule, subject: Subject, peer: PeerView | undefined, protocol: number, port: number): number | undefined {
  if (rule.ports === 'any') return 65_538;
  const sizes = rule.ports
    .flatMap(match => numbersOf(rule, match, subject, peer))
    .filter(([number, start, end]) => number === protocol && start <= port && port <= end)
    .map(([, start, end]) => end - start + 1);
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

/** A name means the subject's port at ingress and the peer's at egress; where a peer's pods disagree, nothing is opened. */
function numbersOf(rule: Rule, match: PortMatch, subject: Subject, peer: PeerView | undefined): [number, number, number][] {
  if (!('name' in match)) return [[match.protocol, match.start, match.end]];
  const pods = rule.direction === 'ingress' ? [subject.namedPorts] : peer?.namedPorts ?? [];
  const found = new Set<number>();
  for (const pod of pods) {
    for (const [name, port] of pod) if (name.toLowerCase() === match.name && protocolNumber(port.protocol) === match.protocol) found.add(port.port);
  }
  if (rule.direction === 'egress' && rule.effect === 'allow' && found.size > 1) return [];
  return [...found].map(number => [match.protocol, number, number]);
}

// ---- the kernel ----

/**
 * What bpf/lib/policy.h does: class of the identity (0 when there is none), then the longest prefix over protocol and
 * port. Undefined is DROP_POLICY_NOT_READY.
 */
export function lookup(set: Pick<CompiledSet, 'classes' | 'verdicts'>, identity: number, protocol: number, port: number): VerdictRow | undefined {
  const number = set.classes.get(identity) ?? 0;
  let best: VerdictRow | undefined;
  for (const row of set.verdicts) {
    if (row.class === number && covers(row, protocol, port) && (!best || rowBits(row) > rowBits(best))) best = row;
  }
  return best;
}

function covers(row: VerdictRow, protocol: number, port: number): boolean {
  if (row.protocol === null) return true;
  return row.protocol === protocol && (row.port ^ port) >>> (16 - row.portBits) === 0;
}

function rowBits(row: VerdictRow): number {
  return row.protocol === null ? 0 : 16 + row.portBits;
}
