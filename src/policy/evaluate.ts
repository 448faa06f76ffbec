/**
 * The plain reading of the rules, for tests, probes and explanations: slow, obvious, and written without a look at the
 * compiler, which must always give the same answer. And the kernel's lookup, modelled.
 */
import { cidrContains, fnv1a, identityNetwork, identityPrefix, isWorld } from '../model/identity.ts';
import type { L7Set } from '../model/l7.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { parsePrefix } from '../std/ip.ts';
import type { CidrGroup, CompiledSet, EngineOptions, NamedPorts, Service, Subject, VerdictRow } from './compile.ts';
import { productProvides } from './engine-options.ts';
import { fqdnsOf } from './fqdn.ts';
import { isCarriedOut, wantsKernel } from './l7-rules.ts';
import type { SecretKey } from './l7-rules.ts';
import { mergeL7, resolveL7 } from './l7-sets.ts';
import { protocolNumber } from './matchers.ts';
import { conflictAddress } from './rule-info.ts';
import type { Provides } from './rule-info.ts';
import { policyAddress, policyText, tierOrder } from './policy.ts';
import type { CidrPeer, Direction, Effect, Peer, Policy, PolicyMode, PortMatch, Rule, Tier } from './policy.ts';

export interface World {
  readonly policies: readonly Policy[];
  readonly services?: readonly Service[];
  readonly cidrGroups?: readonly CidrGroup[];
  readonly secrets?: ReadonlyMap<SecretKey, Readonly<Record<string, string>>>;
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
  /** Of a redirect: all that passes, and the rules that say so, in their order. */
  readonly l7?: L7Set;
  readonly inspected?: readonly Rule[];
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

type Answer = { readonly verdict: 'allow' | 'deny' | 'redirect' | 'pass'; readonly rule: string; readonly l7?: L7Set; readonly inspected?: readonly Rule[] };

/** Whether a policy is heard with this verdict of a rule; default deny is heard as a denial. */
interface Hearing {
  takesPart(mode: PolicyMode, verdict: Answer['verdict']): boolean;
  /** Rules of policies in audit that are to be read let pass what nobody else would, and never limit what somebody allows. */
  readonly auditOnlyAdds?: true;
}

/**
 * May this peer talk with the subject? Asked in turn: allow-localhost, the tier admin, the tier normal, the tier baseline, and
 * where nobody says anything, yes. Policies in audit and in shadow each make a question of their own of it.
 */
export function evaluate(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number): Evaluation {
  const question = { world, subject, direction, peer, protocol, port };
  const enforced = answer(question, { takesPart: (mode, verdict) => mode === 'enforce' || (mode === 'audit' && verdict !== 'deny'), auditOnlyAdds: true });
  const has = (wanted: PolicyMode) => world.policies.some(p => p.mode === wanted);
  const audited = has('audit') ? answer(question, { takesPart: mode => mode !== 'shadow' }) : enforced;
  const shadow = has('shadow') ? answer(question, { takesPart: (mode, verdict) => mode !== 'audit' || verdict !== 'deny' }) : enforced;
  const found = learned(question, merged(question, enforced));
  const denies = enforced.verdict === 'deny';
  return {
    ...(found.verdict !== 'deny' && audited.verdict === 'deny' ? { verdict: 'audit', rule: audited.rule } : found),
    ...((shadow.verdict === 'deny') !== denies && { shadow: { verdict: shadow.verdict === 'deny' ? 'deny' : 'allow', rule: shadow.rule } }),
  };
}

/** The set of a redirect; rules that cannot hold together let nothing pass. */
function merged({ world, direction }: Question, { verdict, rule, inspected }: Answer): Pick<Evaluation, 'verdict' | 'rule' | 'l7' | 'inspected'> {
  if (verdict !== 'redirect') return { verdict: verdict as 'allow', rule };
  const found = mergeL7(inspected!.map(r => l7Of(r, world)!));
  return 'set' in found ? { verdict, rule, l7: found.set, inspected: inspected! } : { verdict: 'deny', rule: conflictAddress(direction, inspected!) };
}

/** Where a rule of the subject waits for names, they are learned from what is plainly allowed; by UDP the kernel does it unasked. */
function learned({ world, subject, direction, protocol, port }: Question, found: ReturnType<typeof merged>): ReturnType<typeof merged> {
  const waits = () => world.options?.mode !== 'never' && providesOf(world).proxy === true && policiesInOrder(world.policies).some(policy => policy.specs
    .some(spec => !spec.selectsNodes && spec.subject.matches(subject.labels) && spec.rules.some(rule => rule.direction === direction && fqdnsOf(rule).length > 0)));
  if (found.verdict !== 'allow' || protocol !== 6 || port !== 53 || subject.isHost || !waits()) return found;
  return { verdict: 'redirect', rule: found.rule, l7: { protocol: 'dns', rules: [{ rule: fnv1a(found.rule) || 1, pattern: '*' }], learn: true } };
}

/** What the rule lets pass, if there is somebody to read it. */
function l7Of(rule: Rule, { options, secrets }: Pick<World, 'options' | 'secrets'>): L7Set | undefined {
  return rule.l7 && providesOf({ options }).proxy && isCarriedOut(rule.l7) ? resolveL7(rule.l7, fnv1a(rule.address) || 1, key => secrets?.get(key), wantsKernel(rule, options?.httpReader)) : undefined;
}

function answer(question: Question, { takesPart, auditOnlyAdds }: Hearing): Answer {
  const { world, subject, direction, peer } = question;
  const mode = world.options?.mode ?? 'default';
  if (mode === 'never') return { verdict: 'allow', rule: `default/never/${direction}` };
  const selecting = policiesInOrder(world.policies).flatMap(policy => policy.specs
    .filter(spec => spec.selectsNodes === (subject.isHost ?? false) && spec.subject.matches(subject.labels))
    .map(spec => ({ policy, spec })));
  const denying = selecting.filter(({ policy, spec }) => spec.defaultDeny[direction] && takesPart(policy.mode, 'deny')).map(({ policy }) => policy);
  const adds = new Set<Rule>();
  const rules = (tier: Tier) => selecting.filter(({ policy }) => policy.tier === tier).flatMap(({ policy, spec }) => spec.rules.filter(rule => {
    const meaning = meaningOf(rule, world);
    if (rule.direction !== direction || !takesPart(policy.mode, meaning)) return false;
    if (auditOnlyAdds && policy.mode === 'audit' && meaning === 'redirect') adds.add(rule);
    return true;
  }));
  const restricted = mode === 'always' || selecting.some(({ spec }) => spec.defaultDeny[direction]) || selecting.some(({ spec }) => spec.rules.some(r => r.direction === direction));

  const localhost = direction === 'ingress' && !subject.isHost && (world.options?.allowLocalhost ?? 'always') === 'always';
  if (localhost && peer?.labels.has('reserved', 'host') && restricted) return { verdict: 'allow', rule: 'builtin/allow-localhost/ingress' };
  const first = firstRule(question, rules('admin'));
  if (first && first.verdict !== 'pass') return first;
  const heard = rules('normal');
  const normal = strongestRule(question, heard.filter(rule => !adds.has(rule)));
  const added = strongestRule(question, [...adds]);
  if (normal) return normal.verdict === 'redirect' && added ? { ...normal, inspected: withoutLimits(question, normal.inspected!, heard.filter(rule => added.inspected!.includes(rule))) } : normal;
  const names = [...new Set(denying.map(policyText))].join(',');
  const last = firstRule(question, rules('baseline'));
  const closed = denying.length > 0 || mode === 'always';
  if (added && (closed || last?.verdict === 'deny')) return added;
  if (closed) return { verdict: 'deny', rule: names === '' ? `default/always/${direction}` : `default/deny/${direction}/${names}` };
  // Nobody comes after the tier baseline: what it passes on is allowed.
  return last ? { ...last, verdict: last.verdict === 'pass' ? 'allow' : last.verdict } : { verdict: 'allow', rule: `default/allow/${direction}` };
}

/** Beside rules that are in force, one in audit is heard only where it can do no more than add. */
function withoutLimits({ world }: Question, enforced: readonly Rule[], audited: readonly Rule[]): readonly Rule[] {
  const protocol = enforced[0]!.l7!.protocol;
  return enforced.every(r => r.l7!.protocol === protocol) ? [...enforced, ...audited.filter(r => r.l7!.protocol === protocol && (protocol === 'dns' || !hasTls(l7Of(r, world)!)))] : enforced;
}

function hasTls(set: L7Set): boolean {
  return set.protocol !== 'dns' && set.tls !== undefined;
}

/** Tiers admin and baseline: the first that applies. */
function firstRule(question: Question, rules: readonly Rule[]): Answer | undefined {
  const rule = rules.find(r => applies(question, r) !== undefined);
  return rule && { verdict: meaningOf(rule, question.world) as 'allow', rule: rule.address };
}

/** Tier normal: deny, unmet authentication, allow, what is to be read, what nobody can read. The narrowest names the verdict. */
function strongestRule(question: Question, rules: readonly Rule[]): Answer | undefined {
  const { world } = question;
  const provides = providesOf(world);
  const groups: readonly (readonly [(rule: Rule) => boolean, Answer['verdict']])[] = [
    [rule => rule.effect === 'deny', 'deny'], [rule => conditionOf(rule, provides) === 'unauthenticated', 'deny'], [rule => conditionOf(rule, provides) === 'allow', 'allow'],
    [rule => meaningOf(rule, world) === 'redirect', 'redirect'], [rule => conditionOf(rule, provides) === 'inspect', 'deny'],
  ];
  for (const [belongs, verdict] of groups) {
    let best: { rule: Rule; ports: number } | undefined;
    const covering: Rule[] = [];
    for (const rule of rules.filter(belongs)) {
      const ports = applies(question, rule);
      if (ports === undefined) continue;
      covering.push(rule);
      const better = !best || ports < best.ports || (ports === best.ports && best.rule.peers === 'any' && rule.peers !== 'any');
      if (better) best = { rule, ports };
    }
    if (best) return { verdict, rule: best.rule.address, ...(verdict === 'redirect' && { inspected: covering }) };
  }
  return undefined;
}

/** With authentication, a rule that requires it is a plain one, or one that is looked into. */
function conditionOf({ effect, l7 }: Rule, provides: Provides): Effect {
  return effect !== 'unauthenticated' || !provides.authentication ? effect : l7 ? 'inspect' : 'allow';
}

function providesOf({ options }: { readonly options?: EngineOptions | undefined }): Provides {
  return options?.provides ?? productProvides;
}

/** What an effect comes to: conditions that nobody can check deny. */
function meaningOf(rule: Rule, world: Pick<World, 'options'>): Answer['verdict'] {
  const provides = providesOf(world);
  const effect = conditionOf(rule, provides);
  if (effect === 'inspect') return provides.proxy && isCarriedOut(rule.l7!) ? 'redirect' : 'deny';
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
