/**
 * The plain reading of the rules, for tests, probes and explanations: slow, obvious, and written without a look at the
 * compiler, which must always give the same answer. And the kernel's lookup, modelled.
 */
import { cidrContains, identityNetwork, identityPrefix, isWorld } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { parsePrefix } from '../std/ip.ts';
import type { CidrGroup, CompiledSet, EngineOptions, NamedPorts, Service, Subject, VerdictRow } from './compile.ts';
import { protocolNumber } from './matchers.ts';
import { policyAddress, policyText, tierOrder } from './policy.ts';
import type { CidrPeer, Direction, Effect, Peer, Policy, PolicyMode, PortMatch, Rule, Tier } from './policy.ts';

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
  /** `redirect`: the proxy decides, request by request. `audit`: passes, and is reported. */
  readonly verdict: 'allow' | 'deny' | 'redirect' | 'audit';
  /** Address of the rule that decides. */
  readonly rule: string;
  /** What it would be with the shadow policies in force, where that is another verdict. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: string };
}

/** One question to one end. `peer` undefined is one of whom nothing is known: only rules for any peer apply to it. */
interface Question {
  readonly world: World;
  readonly subject: Subject;
  readonly direction: Direction;
  readonly peer: PeerView | undefined;
  readonly protocol: number;
  readonly port: number;
}

type Answer = { readonly verdict: 'allow' | 'deny' | 'redirect' | 'pass'; readonly rule: string };

/**
 * May this peer talk with the subject? Asked in turn: allow-localhost, the tier admin, the tier normal, the tier baseline, and
 * where nobody says anything, yes. Policies in audit and in shadow each make a question of their own of it.
 */
export function evaluate(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number): Evaluation {
  const question = { world, subject, direction, peer, protocol, port };
  const enforced = answer(question, (mode, verdict) => mode === 'enforce' || (mode === 'audit' && verdict !== 'deny'));
  const has = (wanted: PolicyMode) => world.policies.some(p => p.mode === wanted);
  const audited = has('audit') ? answer(question, mode => mode !== 'shadow') : enforced;
  const shadow = has('shadow') ? answer(question, (mode, verdict) => mode !== 'audit' || verdict !== 'deny') : enforced;
  const denies = enforced.verdict === 'deny';
  return {
    ...(!denies && audited.verdict === 'deny' ? { verdict: 'audit', rule: audited.rule } : { verdict: enforced.verdict as 'allow', rule: enforced.rule }),
    ...((shadow.verdict === 'deny') !== denies && { shadow: { verdict: shadow.verdict === 'deny' ? 'deny' : 'allow', rule: shadow.rule } }),
  };
}

/** `takesPart` says which policies are heard, and with which of their verdicts; default deny is heard as a denial. */
function answer(question: Question, takesPart: (mode: PolicyMode, verdict: Answer['verdict']) => boolean): Answer {
  const { world, subject, direction, peer } = question;
  const mode = world.options?.mode ?? 'default';
  if (mode === 'never') return { verdict: 'allow', rule: `default/never/${direction}` };
  const selecting = policiesInOrder(world.policies).flatMap(policy => policy.specs
    .filter(spec => spec.selectsNodes === (subject.isHost ?? false) && spec.subject.matches(subject.labels))
    .map(spec => ({ policy, spec })));
  const denying = selecting.filter(({ policy, spec }) => spec.defaultDeny[direction] && takesPart(policy.mode, 'deny')).map(({ policy }) => policy);
  const rules = (tier: Tier) => selecting.filter(({ policy }) => policy.tier === tier)
    .flatMap(({ policy, spec }) => spec.rules.filter(rule => rule.direction === direction && takesPart(policy.mode, meaningOf(rule, world))));
  const restricted = mode === 'always' || selecting.some(({ spec }) => spec.defaultDeny[direction]) || selecting.some(({ spec }) => spec.rules.some(r => r.direction === direction));

  const localhost = direction === 'ingress' && !subject.isHost && (world.options?.allowLocalhost ?? 'always') === 'always';
  if (localhost && peer?.labels.has('reserved', 'host') && restricted) return { verdict: 'allow', rule: 'builtin/allow-localhost/ingress' };
  const first = firstRule(question, rules('admin'));
  if (first && first.verdict !== 'pass') return first;
  const normal = strongestRule(question, rules('normal'));
  if (normal) return normal;
  const names = [...new Set(denying.map(policyText))].join(',');
  if (denying.length > 0 || mode === 'always') return { verdict: 'deny', rule: names === '' ? `default/always/${direction}` : `default/deny/${direction}/${names}` };
  const last = firstRule(question, rules('baseline'));
  // Nobody comes after the tier baseline: what it passes on is allowed.
  return last ? { ...last, verdict: last.verdict === 'pass' ? 'allow' : last.verdict } : { verdict: 'allow', rule: `default/allow/${direction}` };
}

/** Tiers admin and baseline: the first that applies. */
function firstRule(question: Question, rules: readonly Rule[]): Answer | undefined {
  const rule = rules.find(r => applies(question, r) !== undefined);
  return rule && { verdict: meaningOf(rule, question.world) as 'allow', rule: rule.address };
}

/** Tier normal: deny, unmet authentication, allow, what the proxy is needed for. The narrowest names the verdict. */
function strongestRule(question: Question, rules: readonly Rule[]): Answer | undefined {
  const provides = question.world.options?.provides;
  const groups: readonly (readonly [readonly Effect[], Answer['verdict']])[] = [
    [['deny'], 'deny'], [['unauthenticated'], 'deny'], [['allow'], 'allow'], [['unproxied'], provides?.proxy ? 'redirect' : 'deny'],
  ];
  for (const [effects, verdict] of groups) {
    let best: { rule: Rule; ports: number } | undefined;
    for (const rule of rules.filter(r => effects.includes(conditionOf(r, provides)))) {
      const ports = applies(question, rule);
      if (ports === undefined) continue;
      const better = !best || ports < best.ports || (ports === best.ports && best.rule.peers === 'any' && rule.peers !== 'any');
      if (better) best = { rule, ports };
    }
    if (best) return { verdict, rule: best.rule.address };
  }
  return undefined;
}

/** With authentication, a rule that requires it is a plain one, or one that only waits for the proxy. */
function conditionOf({ effect, proxied }: Rule, provides: EngineOptions['provides']): Effect {
  return effect !== 'unauthenticated' || !provides?.authentication ? effect : proxied ? 'unproxied' : 'allow';
}

/** What an effect comes to: conditions that nobody can check deny. */
function meaningOf(rule: Rule, { options }: Pick<World, 'options'>): Answer['verdict'] {
  const effect = conditionOf(rule, options?.provides);
  if (effect === 'unproxied') return options?.provides?.proxy ? 'redirect' : 'deny';
  return effect === 'unauthenticated' ? 'deny' : effect;
}

function applies({ world, subject, peer, protocol, port }: Question, rule: Rule): number | undefined {
  return selectsPeer(rule, peer, world) ? portsMatched(rule, subject, peer, protocol, port, world) : undefined;
}

/** Of policies with one address the last counts. */
function policiesInOrder(policies: readonly Policy[]): readonly Policy[] {
  return [...new Map(policies.map(p => [policyAddress(p), p] as const)).values()].sort(tierOrder);
}

/** `world` is needed for services and CIDR groups. */
export function selectsPeer(rule: Rule, peer: PeerView | undefined, world: Omit<World, 'policies'>): boolean {
  if (rule.peers === 'any') return true;
  return peer !== undefined && rule.peers.some(p => matchesPeer(p, peer, world));
}

function matchesPeer(peer: Peer, view: PeerView, world: Omit<World, 'policies'>): boolean {
  switch (peer.type) {
    case 'selector': return peer.selector.matches(view.labels);
    case 'cidr': return matchesCidr(peer.cidr, peer.except, view, world) || (peer.pods === true && matchesNetwork(peer, view));
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

/** A pod by the network that its address lies in. */
function matchesNetwork({ cidr, except }: CidrPeer, view: PeerView): boolean {
  const network = identityNetwork(view.labels);
  return network !== undefined && cidrContains(parsePrefix(cidr), network) && !except.some(hole => cidrContains(parsePrefix(hole), network));
}

/** How many ports the narrowest matching entry covers (more than there are for every protocol), or undefined when none matches. */
export function portsMatched(rule: Rule, subject: Subject, peer: PeerView | undefined, protocol: number, port: number, world: Pick<World, 'options'> = {}): number | undefined {
  if (rule.ports === 'any') return 65_538;
  const sizes = rule.ports
    .flatMap(match => numbersOf(rule, match, subject, peer, meaningOf(rule, world) !== 'deny'))
    .filter(([number, start, end]) => number === protocol && start <= port && port <= end)
    .map(([, start, end]) => end - start + 1);
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

/** A name means the subject's port at ingress and the peer's at egress; where a peer's pods disagree, nothing is opened. */
function numbersOf(rule: Rule, match: PortMatch, subject: Subject, peer: PeerView | undefined, opens: boolean): [number, number, number][] {
  if (!('name' in match)) return [[match.protocol, match.start, match.end]];
  const pods = rule.direction === 'ingress' ? [subject.namedPorts] : peer?.namedPorts ?? [];
  const found = new Set<number>();
  for (const pod of pods) {
    for (const [name, port] of pod) if (name.toLowerCase() === match.name && protocolNumber(port.protocol) === match.protocol) found.add(port.port);
  }
  if (rule.direction === 'egress' && opens && found.size > 1) return [];
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
