/**
 * The policy engine: policies and identities in, tables for the kernel out.
 *
 *     policies ──► rules that select the subject ──► PolicySet ──► classes: identity → class
 *     identities ──► matchers (equal peers once) ──────┘     └──► verdicts: class × protocol × port → verdict, rule
 *
 * The result depends on the current policies and identities alone, never on the order in which they came. Before a set
 * that names prefixes is used, the prefixes of `cidrPrefixes()` must have their identities, in the engine and in the
 * address map: an address that still has the identity of a wider prefix would be judged by that one.
 */
import { reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { hashText } from './content-hash.ts';
import { levels } from './flatten.ts';
import type { Candidate, Fallbacks, Level, Verdict } from './flatten.ts';
import { allIPv4, allIPv6, identityRecord, MatcherIndex, namedPortsText } from './matchers.ts';
import type { IdentityRecord, Matcher, NamedPorts } from './matchers.ts';
import { policyAddress, tierOrder } from './policy.ts';
import type { Direction, Effect, Policy, PolicySpec, Rule, Tier } from './policy.ts';
import { PrefixOrder } from './prefix-order.ts';
import { PolicySet } from './policy-set.ts';
import type { BoundRule, CompiledSet, SetDelta, VerdictRow } from './policy-set.ts';
import { resolvePeers } from './resolve.ts';
import type { CidrGroup, ResolvedCidr, ResolvedPeers, Service } from './resolve.ts';
import { resolveSpans } from './resolve-spans.ts';
import type { ResolvedSpans } from './resolve-spans.ts';
import { defaultInfo, localhostAddress, localhostInfo, RuleIds, ruleInfo } from './rule-info.ts';
import type { RuleInfo } from './rule-info.ts';

export type { NamedPort, NamedPorts } from './matchers.ts';
export type { CompiledSet, SetDelta, VerdictRow } from './policy-set.ts';
export type { RuleInfo } from './rule-info.ts';
export type { CidrGroup, Service } from './resolve.ts';

export interface Subject {
  readonly labels: LabelSet;
  readonly namedPorts: NamedPorts;
  /** A node: only policies with a nodeSelector concern it. */
  readonly isHost?: boolean;
}

export interface EngineOptions {
  /** default: subjects that a policy selects; always: everyone; never: nobody. */
  readonly mode?: 'default' | 'always' | 'never';
  /** Whether the node may always reach its pods; `policy` asks the policies. */
  readonly allowLocalhost?: 'always' | 'policy';
  /** What identity 2 stands for where there is one family only. */
  readonly worldFamily?: 'ipv4' | 'ipv6';
  /** What there is to carry out conditions beyond addresses and ports. Without it, what only such a rule would allow is denied. */
  readonly provides?: { readonly proxy?: boolean; readonly authentication?: boolean };
}

/** Strength of an effect within the tier normal: the strongest rule decides. */
export const strengths: Readonly<Record<Effect, number>> = { deny: 4, unauthenticated: 3, allow: 2, pass: 2, unproxied: 1 };

const levelOf: Readonly<Record<Tier, Level>> = { admin: levels.admin, normal: levels.normal, baseline: levels.baseline };

const reservedLabels: ReadonlyMap<number, LabelSet> = new Map(reservedIdentities.map(r => [r.id, r.labels] as const));

const maxRememberedRules = 100_000;

interface PreparedRule {
  readonly policy: Policy;
  readonly rule: Rule;
  readonly info: RuleInfo;
  readonly peers: ResolvedPeers;
  /** Changes when anything that the rule does changes. */
  readonly fingerprint: string;
  bound: 'any' | readonly Matcher<PolicySet>[] | undefined;
}

interface PreparedSpec {
  readonly policy: Policy;
  readonly spec: PolicySpec;
  readonly rules: readonly PreparedRule[];
}

export class PolicyEngine {
  readonly #options: Required<EngineOptions>;
  readonly #ids = new RuleIds();
  readonly #identities = new Map<number, IdentityRecord>();
  readonly #matchers = new MatcherIndex<PolicySet>();
  readonly #sets = new Map<string, PolicySet>();
  readonly #infos = new Map<number, RuleInfo>();
  /** Keys of sets by subject and direction, as long as the policies stay. */
  readonly #keys = new Map<string, string>();
  #policies: readonly Policy[] = [];
  #services: readonly Service[] = [];
  #groups: readonly CidrGroup[] = [];
  #specs: readonly PreparedSpec[] | undefined;
  #prefixOrder: PrefixOrder<IdentityRecord> | undefined;

  constructor(options: EngineOptions = {}) {
    this.#options = { mode: 'default', allowLocalhost: 'always', worldFamily: 'ipv4', provides: {}, ...options };
    for (const { id, labels } of reservedIdentities) this.upsertIdentity(id, labels);
  }

  // ---- inputs ----

  /** All policies that are in force; of two with the same kind, namespace and name the last counts. */
  setPolicies(policies: Iterable<Policy>): void {
    this.#policies = [...new Map([...policies].map(p => [policyAddress(p), p] as const)).values()].sort(tierOrder);
    this.#invalidate();
  }

  /** What `toServices` resolves to. */
  setServices(services: Iterable<Service>): void {
    this.#services = [...services].sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
    this.#invalidate();
  }

  /** What `cidrGroupRef` and `cidrGroupSelector` resolve to. */
  setCidrGroups(groups: Iterable<CidrGroup>): void {
    this.#groups = [...groups].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#invalidate();
  }

  /** All identities at once. The reserved ones are known anyway; give those that bear further labels. */
  setIdentities(identities: Iterable<readonly [id: number, labels: LabelSet, namedPorts?: readonly NamedPorts[]]>): void {
    const next = new Map([...identities].map(i => [i[0], i] as const));
    for (const id of [...this.#identities.keys()]) if (!next.has(id)) this.removeIdentity(id);
    for (const [id, labels, namedPorts] of next.values()) this.upsertIdentity(id, labels, namedPorts);
  }

  /**
   * A new identity, or one whose labels or named ports changed. `namedPorts`: one map for each distinct set of ports among
   * its pods; only egress rules with named ports ask for it. Returns what changes in the sets compiled so far.
   */
  upsertIdentity(id: number, labels: LabelSet, namedPorts: readonly NamedPorts[] = []): readonly SetDelta[] {
    const previous = this.#identities.get(id);
    const record = identityRecord(id, labels, namedPorts, this.#options.worldFamily);
    if (previous && previous.labels.equals(labels) && previous.namedPortsText === record.namedPortsText) return [];
    this.#identities.set(id, record);
    if (record.prefix || record.network || previous?.prefix || previous?.network) this.#prefixOrder = undefined;
    const before = previous ? this.#matchers.matching(previous) : [];
    const after = this.#matchers.matching(record);
    for (const matcher of before) matcher.identities.delete(id);
    for (const matcher of after) matcher.identities.add(id);
    const rules = rulesBySet(after);
    for (const matcher of before) for (const set of matcher.users.keys()) if (!rules.has(set)) rules.set(set, []);
    return present([...rules].map(([set, list]) => set.assign(record, list)));
  }

  /** A reserved identity does not go, it loses its further labels. */
  removeIdentity(id: number): readonly SetDelta[] {
    const labels = reservedLabels.get(id);
    if (labels) return this.upsertIdentity(id, labels);
    const record = this.#identities.get(id);
    if (!record) return [];
    this.#identities.delete(id);
    if (record.prefix || record.network) this.#prefixOrder = undefined;
    const matchers = this.#matchers.matching(record);
    for (const matcher of matchers) matcher.identities.delete(id);
    return present([...rulesBySet(matchers).keys()].map(set => set.remove(id)));
  }

  // ---- outputs ----

  /** Prefixes that need an identity of their own, sorted. The two default routes have theirs already. */
  cidrPrefixes(): string[] {
    const prefixes = this.#prefixesOf(() => true);
    prefixes.delete(formatPrefix(allIPv4));
    prefixes.delete(formatPrefix(allIPv6));
    return [...prefixes].sort();
  }

  /**
   * Prefixes that also select pods by their addresses (`networks`), sorted. A pod whose address lies in one needs, as a
   * destination, an identity that says so: its own labels and `networkLabel` of the longest.
   */
  networkPrefixes(): string[] {
    return [...this.#prefixesOf(cidr => cidr.pods)].sort();
  }

  /** Those of `cidrPrefixes()` that no identity stands for yet. While there are any, sets with CIDRs must not be loaded. */
  missingPrefixes(): string[] {
    const known = new Set([...this.#identities.values()].flatMap(i => (i.prefix ? [formatPrefix(i.prefix)] : [])));
    return this.cidrPrefixes().filter(p => !known.has(p));
  }

  compile(subject: Subject, direction: Direction): CompiledSet {
    const subjectKey = `${direction} ${subject.isHost ?? false} ${namedPortsText([subject.namedPorts])} ${subject.labels.toString()}`;
    const known = this.#sets.get(this.#keys.get(subjectKey) ?? '');
    if (known) return known.snapshot();
    const set = this.#setFor(subject, direction);
    this.#keys.set(subjectKey, set.key);
    return set.snapshot();
  }

  /** The class of an identity in a set, and the rows that the set lacks for it. Changes nothing. */
  classify(set: CompiledSet, identity: number, labels: LabelSet, namedPorts: readonly NamedPorts[] = []): { class: number; rows: readonly VerdictRow[] } {
    const state = this.#sets.get(set.key);
    if (!state) return { class: set.classes.get(identity) ?? 0, rows: [] };
    const record = identityRecord(identity, labels, namedPorts, this.#options.worldFamily);
    const rules = this.#matchers.matching(record).flatMap(m => m.users.get(state) ?? []);
    return state.classify(record, rules);
  }

  /** Class of an identity in each set compiled so far, by the set's key; class 0 is left out. */
  classesFor(identity: number): ReadonlyMap<string, number> {
    const classes = new Map<string, number>();
    const record = this.#identities.get(identity);
    for (const [set, rules] of record ? rulesBySet(this.#matchers.matching(record)) : []) {
      const number = set.classify(record!, rules).class;
      if (number !== 0) classes.set(set.key, number);
    }
    return classes;
  }

  /** Rules of a direction that select the subject, also those that need not decide anything. */
  rulesFor(subject: Subject, direction: Direction): readonly { readonly policy: Policy; readonly rule: Rule; readonly info: RuleInfo }[] {
    return this.#specsFor(subject).flatMap(({ policy, rules }) => rules.filter(r => r.rule.direction === direction).map(({ rule, info }) => ({ policy, rule, info })));
  }

  /** The rule of an id that some set bore; also for a while after its policy has gone, because its events come late. */
  ruleInfo(id: number): RuleInfo | undefined {
    return this.#infos.get(id);
  }

  get identities(): ReadonlyMap<number, { readonly id: number; readonly labels: LabelSet; readonly namedPorts: readonly NamedPorts[] }> {
    return this.#identities;
  }

  // ---- within ----

  /**
   * Sets survive a change of policies: where a subject's rules are the same, so is the key, and the set is found again.
   * A set that was not asked for between two changes is given up.
   */
  #invalidate(): void {
    if (this.#keys.size > 0) {
      const used = new Set(this.#keys.values());
      for (const [key, set] of this.#sets) {
        if (used.has(key)) continue;
        set.release();
        this.#sets.delete(key);
      }
      this.#matchers.sweep();
    }
    this.#keys.clear();
    this.#specs = undefined;
  }

  #prepare(): readonly PreparedSpec[] {
    return (this.#specs ??= this.#policies.flatMap(policy => policy.specs.map(spec => ({
      policy, spec, rules: spec.rules.map(rule => this.#prepareRule(policy, rule)),
    }))));
  }

  #prefixesOf(wanted: (cidr: ResolvedCidr) => boolean): Set<string> {
    const prefixes = new Set<string>();
    for (const { rules } of this.#prepare()) {
      for (const { peers } of rules) {
        for (const cidr of peers === 'any' ? [] : peers.cidrs.filter(wanted)) for (const text of [cidr.cidr, ...cidr.except]) prefixes.add(formatPrefix(parsePrefix(text)));
      }
    }
    return prefixes;
  }

  #prepareRule(policy: Policy, rule: Rule): PreparedRule {
    const peers = resolvePeers(rule.peers, this.#services, this.#groups);
    const info = ruleInfo(policy, rule, this.#ids.idOf(rule.address));
    const peerText = peers === 'any' ? 'any' : JSON.stringify([peers.selectors.map(s => s.text).sort(), peers.cidrs.map(c => `${c.cidr} ${c.pods} ${c.except.join(' ')}`).sort()]);
    const fingerprint = hashText(`${rule.effect} ${rule.proxied ?? false} ${policy.tier} ${policy.mode} ${policy.keepEstablished} ${JSON.stringify(rule.ports)} ${peerText} ${info.because}`);
    return { policy, rule, info, peers, fingerprint, bound: undefined };
  }

  #specsFor(subject: Subject): readonly PreparedSpec[] {
    return this.#prepare().filter(({ spec }) => spec.selectsNodes === (subject.isHost ?? false) && spec.subject.matches(subject.labels));
  }

  #setFor(subject: Subject, direction: Direction): PolicySet {
    const { mode } = this.#options;
    const specs = mode === 'never' ? [] : this.#specsFor(subject);
    const defaults = this.#defaults(specs, direction);
    const { info: fallbackInfo } = defaults.enforced;
    const rules = specs.flatMap(s => s.rules.filter(r => r.rule.direction === direction));
    const withLocalhost = direction === 'ingress' && !subject.isHost && this.#options.allowLocalhost === 'always' && (rules.length > 0 || Object.values(defaults).some(d => d.info.effect === 'default-deny'));
    const spansOf = (rule: PreparedRule) => resolveSpans(rule.rule, direction, subject);
    const defaultsText = Object.values(defaults).map(d => `${d.info.id} ${d.info.because} ${d.candidate.keepEstablished}`);
    const key = hashText([direction, ...defaultsText, withLocalhost, ...rules.map(r => `${r.info.id} ${r.fingerprint} ${spansKey(r, spansOf(r))}`)].join('\n'));
    const known = this.#sets.get(key);
    if (known) return known;
    const bound = rules.flatMap((rule, i) => this.#bind(rule, spansOf(rule), i + 1));
    const infos = new Map([...Object.values(defaults).map(d => d.info), ...rules.map(r => r.info)].map(info => [info.id, info] as const));
    if (withLocalhost) {
      const info = localhostInfo(this.#ids.idOf(localhostAddress));
      infos.set(info.id, info);
      bound.unshift(this.#localhostRule(info));
    }
    this.#remember(infos.values());
    const fallbacks = { enforced: defaults.enforced.candidate, audit: defaults.audit.candidate, shadow: defaults.shadow.candidate };
    const set = new PolicySet(key, direction, fallbackInfo.effect === 'default-deny', bound, fallbacks, infos);
    try {
      set.fill(id => this.#identities.get(id)!);
    } catch (error) {
      set.release();
      throw error;
    }
    this.#sets.set(key, set);
    return set;
  }

  /** Default deny or allow, in each view of the policies. */
  #defaults(specs: readonly PreparedSpec[], direction: Direction): Readonly<Record<keyof Fallbacks, { readonly info: RuleInfo; readonly candidate: Candidate }>> {
    const of = (modes: readonly Policy['mode'][]) => {
      const denying = [...new Set(specs.filter(s => s.spec.defaultDeny[direction] && modes.includes(s.policy.mode)).map(s => s.policy))];
      const info = defaultInfo(direction, this.#options.mode, denying, address => this.#ids.idOf(address));
      return { info, candidate: defaultCandidate(info, denying.length > 0 && denying.every(p => p.keepEstablished)) };
    };
    return { enforced: of(['enforce']), audit: of(['enforce', 'audit']), shadow: of(['enforce', 'shadow']) };
  }

  /** What an effect comes to with what there is to carry it out. */
  #verdictOf({ effect, proxied }: Rule, tier: Tier): { readonly verdict: Verdict | 'pass'; readonly strength: number } {
    const { proxy, authentication } = this.#options.provides;
    if (effect === 'unproxied' || (proxied && authentication)) return { verdict: proxy ? 'redirect' : 'deny', strength: strengths.unproxied };
    if (effect === 'unauthenticated') return authentication ? { verdict: 'allow', strength: strengths.allow } : { verdict: 'deny', strength: strengths.unauthenticated };
    // After the last tier comes the default, which allows.
    return { verdict: effect === 'pass' && tier === 'baseline' ? 'allow' : effect, strength: strengths[effect] };
  }

  /** Keeps the newest; the oldest of very many go. */
  #remember(infos: Iterable<RuleInfo>): void {
    for (const info of infos) {
      this.#infos.delete(info.id);
      this.#infos.set(info.id, info);
    }
    for (const id of this.#infos.keys()) {
      if (this.#infos.size <= maxRememberedRules) break;
      this.#infos.delete(id);
    }
  }

  #bind(prepared: PreparedRule, { spans, names }: ResolvedSpans, order: number): readonly BoundRule[] {
    const { rule, info, policy } = prepared;
    const candidate = {
      rule: info.id, ...this.#verdictOf(rule, policy.tier), level: levelOf[policy.tier], order, specific: rule.peers !== 'any', mode: policy.mode, keepEstablished: policy.keepEstablished,
    };
    const matchers = (prepared.bound ??= this.#bindPeers(prepared.peers));
    if (matchers !== 'any' || names.length === 0) return [{ candidate, matchers, spans, names }];
    // A named port at egress is the peer's: where any peer is meant, the name concerns those that have it.
    const named = names.map(n => this.#matchers.namedPort(n.name, n.protocol, this.#identities.values()));
    return [{ candidate, matchers, spans, names: [] }, { candidate, matchers: [...new Set(named)], spans: [], names }];
  }

  #bindPeers(peers: ResolvedPeers): 'any' | readonly Matcher<PolicySet>[] {
    if (peers === 'any') return 'any';
    const matchers = [
      ...peers.selectors.map(s => this.#matchers.selector(s, this.#identities.values())),
      ...peers.cidrs.map(c => this.#matchers.cidr(c, outer => this.#prefixes().within(outer))),
    ];
    return [...new Set(matchers)];
  }

  /** Identities outside the cluster by prefix; made anew when one of them has come or gone. */
  #prefixes(): PrefixOrder<IdentityRecord> {
    return (this.#prefixOrder ??= new PrefixOrder([...this.#identities.values()].flatMap(i => (i.prefix ?? i.network ? [[(i.prefix ?? i.network)!, i] as const] : []))));
  }

  #localhostRule(info: RuleInfo): BoundRule {
    const host = EndpointSelector.of([{ source: 'reserved', key: 'host', operator: 'Exists', values: [] }]);
    const matcher = this.#matchers.selector(host, this.#identities.values());
    return { candidate: { rule: info.id, verdict: 'allow', level: levels.localhost, strength: 0, order: 0, specific: true, mode: 'enforce', keepEstablished: false }, matchers: [matcher], spans: 'any', names: [] };
  }
}

function defaultCandidate(info: RuleInfo, keepEstablished: boolean): Candidate {
  const denies = info.effect === 'default-deny';
  return {
    rule: info.id, verdict: denies ? 'deny' : 'allow', level: denies ? levels.defaultDeny : levels.defaultAllow,
    strength: 0, order: Infinity, specific: false, mode: 'enforce', keepEstablished, spans: 'any',
  };
}

function spansKey(rule: PreparedRule, { spans }: ResolvedSpans): string {
  return rule.rule.ports !== 'any' && rule.rule.ports.some(p => 'name' in p) ? JSON.stringify(spans) : '';
}

function rulesBySet(matchers: readonly Matcher<PolicySet>[]): Map<PolicySet, number[]> {
  const rules = new Map<PolicySet, number[]>();
  for (const matcher of matchers) {
    for (const [set, indexes] of matcher.users) {
      const list = rules.get(set);
      // One by one: there may be more of them than a call may have arguments.
      if (list) for (const index of indexes) list.push(index);
      else rules.set(set, [...indexes]);
    }
  }
  return rules;
}

function present<T>(values: readonly (T | undefined)[]): readonly T[] {
  return values.filter(v => v !== undefined);
}

