/**
 * The policy engine: policies and identities in, tables for the kernel out.
 *
 *     policies ──► PolicyStore ──► rules that select the subject ──► PolicySet ──► classes: identity → class
 *     identities ──► IdentityStore ──► matchers (equal peers once) ────┘     └──► verdicts: class × protocol × port → verdict, rule
 *
 * The result depends on the current policies and identities alone, never on the order in which they came. A change costs what
 * it touches: it returns the subjects whose sets may be others now (to be compiled again), or what it changes in the sets.
 *
 * Before a set that names prefixes is used, the prefixes of `cidrPrefixes()` must have their identities, in the engine and in
 * the address map: an address that still has the identity of a wider prefix would be judged by that one.
 */
import { reservedIdentities } from '../model/identity.ts';
import type { L7Set } from '../model/l7.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { formatPrefix } from '../std/ip.ts';
import { productProvides, subjectText } from './engine-options.ts';
import type { EngineOptions, Subject } from './engine-options.ts';
import { levels } from './flatten.ts';
import { fqdnsOf } from './fqdn.ts';
import { IdentityStore } from './identity-store.ts';
import { LabelIndex } from './label-index.ts';
import { SetL7 } from './l7-in-set.ts';
import { L7InUse, L7Numbers } from './l7-numbers.ts';
import type { SecretKey } from './l7-rules.ts';
import { allIPv4, allIPv6, identityRecord, MatcherIndex, rulesByUser } from './matchers.ts';
import type { Matcher, NamedPorts } from './matchers.ts';
import { policyAddress } from './policy.ts';
import type { Direction, Policy, PolicySpec, Rule } from './policy.ts';
import { PolicyStore } from './policy-store.ts';
import type { PreparedRule } from './policy-store.ts';
import { PolicySet } from './policy-set.ts';
import type { BoundRule, CompiledSet, SetDelta, VerdictRow } from './policy-set.ts';
import type { CidrGroup, ResolvedPeers, Service } from './resolve.ts';
import { localhostAddress, localhostInfo, RememberedRules, RuleIds } from './rule-info.ts';
import type { RuleInfo } from './rule-info.ts';
import { resolveSpans } from './resolve-spans.ts';
import type { ResolvedSpans } from './resolve-spans.ts';
import { ruleCandidate, setRules } from './set-rules.ts';
import type { SetRules } from './set-rules.ts';
import { Work } from './work.ts';

export { subjectText } from './engine-options.ts';
export type { EngineOptions, Subject } from './engine-options.ts';
export type { NamedPort, NamedPorts } from './matchers.ts';
export type { CompiledSet, SetDelta, VerdictRow } from './policy-set.ts';
export type { RuleInfo } from './rule-info.ts';
export type { CidrGroup, Service } from './resolve.ts';

const reservedLabels: ReadonlyMap<number, LabelSet> = new Map(reservedIdentities.map(r => [r.id, r.labels] as const));

/** A subject that somebody has asked for, and its sets. */
interface Compiled {
  readonly text: string;
  readonly subject: Subject;
  readonly sets: Record<Direction, PolicySet | undefined>;
  /** The rules may be others since the set was made. */
  readonly stale: Record<Direction, boolean>;
}

/** Subjects that have to be compiled again, by `subjectText`. */
export type StaleSubjects = ReadonlySet<string>;

export class PolicyEngine {
  /** What has been done so far, for tests that count. */
  readonly work = new Work();
  readonly #options: Required<EngineOptions>;
  readonly #ids = new RuleIds();
  readonly #identities = new IdentityStore(this.work);
  readonly #matchers = new MatcherIndex<PolicySet>(this.#identities);
  readonly #policies: PolicyStore<PolicySet>;
  readonly #l7 = new L7InUse();
  readonly #sets = new Map<string, PolicySet>();
  readonly #infos = new RememberedRules();
  readonly #subjects = new Map<string, Compiled>();
  readonly #subjectsByLabel = new LabelIndex<Compiled>(compiled => compiled.subject.labels);

  constructor(options: EngineOptions = {}) {
    this.#options = { mode: 'default', allowLocalhost: 'always', worldFamily: 'ipv4', provides: productProvides, httpReader: 'proxy', l7: new L7Numbers(), ...options };
    this.#policies = new PolicyStore(this.#ids, this.work, this.#options);
    for (const { id, labels } of reservedIdentities) this.upsertIdentity(id, labels);
  }

  // ---- inputs ----

  /** One policy more, or in the place of the one with the same kind, namespace and name. */
  upsertPolicy(policy: Policy): StaleSubjects {
    return this.#policies.get(policyAddress(policy)) === policy ? new Set() : this.#selected(this.#policies.upsert(policy));
  }

  /** By `policyAddress`. */
  removePolicy(address: string): StaleSubjects {
    return this.#selected(this.#policies.remove(address));
  }

  /** All policies that are in force; of two with the same address the last counts. What is the same object as before costs nothing. */
  setPolicies(policies: Iterable<Policy>): StaleSubjects {
    const next = new Map([...policies].map(p => [policyAddress(p), p] as const));
    const gone = [...this.#policies.addresses()].filter(address => !next.has(address));
    return union([...gone.map(address => this.removePolicy(address)), ...[...next.values()].map(policy => this.upsertPolicy(policy))]);
  }

  /** What `toServices` resolves to, by `namespace/name`; undefined: it has gone. */
  setService(key: string, service: Service | undefined): StaleSubjects {
    return this.#selected(this.#policies.setService(key, service));
  }

  setServices(services: Iterable<Service>): StaleSubjects {
    const next = new Map<string, Service>([...services].map(s => [`${s.namespace}/${s.name}`, s]));
    const gone = [...this.#policies.serviceKeys()].filter(key => !next.has(key));
    return union([...gone.map(key => this.setService(key, undefined)), ...[...next].map(([key, service]) => this.setService(key, service))]);
  }

  /** What `cidrGroupRef` and `cidrGroupSelector` resolve to, by name; undefined: it has gone. */
  setCidrGroup(name: string, group: CidrGroup | undefined): StaleSubjects {
    return this.#selected(this.#policies.setGroup(name, group));
  }

  setCidrGroups(groups: Iterable<CidrGroup>): StaleSubjects {
    const next = new Map([...groups].map(g => [g.name, g] as const));
    const gone = [...this.#policies.groupNames()].filter(name => !next.has(name));
    return union([...gone.map(name => this.setCidrGroup(name, undefined)), ...[...next].map(([name, group]) => this.setCidrGroup(name, group))]);
  }

  /** A Secret that rules name (`namespace/name`), its entries as text; undefined: it has gone, or may not be read. */
  setSecret(key: SecretKey, entries: Readonly<Record<string, string>> | undefined): StaleSubjects {
    return this.#selected(this.#policies.setSecret(key, entries));
  }

  setSecrets(secrets: ReadonlyMap<SecretKey, Readonly<Record<string, string>>>): StaleSubjects {
    const gone = [...this.#policies.secretKeys()].filter(key => !secrets.has(key));
    return union([...gone.map(key => this.setSecret(key, undefined)), ...[...secrets].map(([key, entries]) => this.setSecret(key, entries))]);
  }

  /** All identities at once. The reserved ones are known anyway; give those that bear further labels. */
  setIdentities(identities: Iterable<readonly [id: number, labels: LabelSet, namedPorts?: readonly NamedPorts[]]>): void {
    const next = new Map([...identities].map(i => [i[0], i] as const));
    for (const id of [...this.#identities.all.keys()]) if (!next.has(id)) this.removeIdentity(id);
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
    this.#identities.set(record);
    const before = previous ? this.#matchers.matching(previous) : [];
    const after = this.#matchers.matching(record);
    for (const matcher of before) matcher.identities.delete(id);
    for (const matcher of after) matcher.identities.add(id);
    const rules = rulesByUser(after);
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
    const matchers = this.#matchers.matching(record);
    for (const matcher of matchers) matcher.identities.delete(id);
    return present([...rulesByUser(matchers).keys()].map(set => set.remove(id)));
  }

  // ---- outputs ----

  /** Prefixes that need an identity of their own, sorted. The two default routes have theirs already. */
  cidrPrefixes(): string[] {
    return this.#policies.prefixes.sorted.filter(prefix => prefix !== formatPrefix(allIPv4) && prefix !== formatPrefix(allIPv6));
  }

  /** Counts changes of `cidrPrefixes`, so that nobody need compare them. */
  get prefixRevision(): number {
    return this.#policies.prefixes.revision;
  }

  /**
   * Prefixes that also select pods by their addresses (`networks`), sorted. A pod whose address lies in one needs, as a
   * destination, an identity that says so: its own labels and `networkLabel` of the longest.
   */
  networkPrefixes(): string[] {
    return [...this.#policies.networks.sorted];
  }

  /** Those of `cidrPrefixes()` that no identity stands for yet. While there are any, sets with CIDRs must not be loaded. */
  missingPrefixes(): string[] {
    const known = new Set([...this.#identities.all.values()].flatMap(i => (i.prefix ? [formatPrefix(i.prefix)] : [])));
    return this.cidrPrefixes().filter(p => !known.has(p));
  }

  /** Patterns of toFQDNs in force (in lower case, without a final dot), sorted. Rules with one select identities that bear `fqdn:PATTERN`. */
  fqdnSelectors(): readonly string[] {
    return this.#policies.fqdns.sorted;
  }

  /** These and the patterns of `rules.dns`, sorted. */
  nameSelectors(): readonly string[] {
    return this.#policies.names.sorted;
  }

  /** Counts changes of both. */
  get nameRevision(): number {
    return this.#policies.fqdns.revision + this.#policies.names.revision;
  }

  /** The layer 7 sets that rows of compiled sets name, by number. A set stands here before the row is given out. */
  l7Sets(): ReadonlyMap<number, L7Set> {
    return this.#l7.sets;
  }

  /** Counts changes of `l7Sets`. */
  get l7Revision(): number {
    return this.#l7.revision;
  }

  /** Rules of different policies that cannot hold for one port and peer, in the sets compiled so far: nothing passes there. */
  l7Conflicts(): readonly RuleInfo[] {
    return [...this.#l7.conflicts.values()];
  }

  /** Secrets that rules name, sorted: `namespace/name`. */
  secretKeys(): readonly SecretKey[] {
    return this.#policies.namedSecrets();
  }

  compile(subject: Subject, direction: Direction): CompiledSet {
    const compiled = this.#compiled(subject);
    const before = compiled.sets[direction];
    if (before?.mayRecover && this.#sets.get(before.key) === before) this.#sets.delete(before.key);
    if (compiled.stale[direction] || before?.mayRecover) {
      const set = this.#setFor(subject, direction);
      set.subjects++;
      compiled.sets[direction] = set;
      compiled.stale[direction] = false;
      this.#letGo(before);
    }
    return compiled.sets[direction]!.snapshot();
  }

  /** Nobody asks for the subject any more: what is kept for it alone goes. */
  forget(subject: Subject): void {
    const compiled = this.#subjects.get(subjectText(subject));
    if (!compiled) return;
    this.#subjects.delete(compiled.text);
    this.#subjectsByLabel.remove(compiled);
    for (const set of Object.values(compiled.sets)) this.#letGo(set);
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
    for (const [set, rules] of record ? rulesByUser(this.#matchers.matching(record)) : []) {
      const number = set.classify(record!, rules).class;
      if (number !== 0) classes.set(set.key, number);
    }
    return classes;
  }

  /** Rules of a direction that select the subject, also those that need not decide anything. */
  rulesFor(subject: Subject, direction: Direction): readonly { readonly policy: Policy; readonly rule: Rule; readonly info: RuleInfo }[] {
    return this.#policies.specsFor(subject.labels, subject.isHost ?? false).flatMap(({ policy, rules }) => rules.filter(r => r.rule.direction === direction).map(({ rule, info }) => ({ policy, rule, info })));
  }

  /** The rule of an id that some set bore; also for a while after its policy has gone, because its events come late. */
  ruleInfo(id: number): RuleInfo | undefined {
    return this.#infos.get(id);
  }

  get identities(): ReadonlyMap<number, { readonly id: number; readonly labels: LabelSet; readonly namedPorts: readonly NamedPorts[] }> {
    return this.#identities.all;
  }

  // ---- within ----

  #compiled(subject: Subject): Compiled {
    const text = subjectText(subject);
    const known = this.#subjects.get(text);
    if (known) return known;
    const compiled: Compiled = { text, subject, sets: { ingress: undefined, egress: undefined }, stale: { ingress: true, egress: true } };
    this.#subjects.set(text, compiled);
    this.#subjectsByLabel.add(compiled);
    return compiled;
  }

  /** Subjects that these specs select: their rules are to be looked at again. */
  #selected(specs: readonly PolicySpec[]): StaleSubjects {
    const texts = new Set<string>();
    for (const spec of specs) {
      for (const { text, subject, stale } of this.#subjectsByLabel.matching(spec.subject)) {
        if (spec.selectsNodes !== (subject.isHost ?? false)) continue;
        stale.ingress = stale.egress = true;
        texts.add(text);
      }
    }
    return texts;
  }

  /** Where a subject's rules are the same as another's, or as before, so is the key, and the set is found again. */
  #setFor(subject: Subject, direction: Direction): PolicySet {
    const specs = this.#options.mode === 'never' ? [] : this.#policies.specsFor(subject.labels, subject.isHost ?? false);
    const found = setRules(specs, subject, direction, this.#options, this.#ids);
    this.work.setsKeyed++;
    const known = this.#sets.get(found.key);
    if (known) return known;
    const set = this.#build(found, subject, direction);
    this.#sets.set(found.key, set);
    return set;
  }

  #build({ key, rules, defaults, allowsLocalhost }: SetRules<PolicySet>, subject: Subject, direction: Direction): PolicySet {
    const bound = rules.flatMap((rule, i) => this.#bind(rule, resolveSpans(rule.rule, direction, subject), i + 1));
    const infos = new Map([...Object.values(defaults).map(d => d.info), ...rules.map(r => r.info)].map(info => [info.id, info] as const));
    if (allowsLocalhost) {
      const info = localhostInfo(this.#ids.idOf(localhostAddress));
      infos.set(info.id, info);
      bound.unshift(this.#localhostRule(info));
    }
    this.#infos.add(infos.values());
    const fallbacks = { enforced: defaults.enforced.candidate, audit: defaults.audit.candidate, shadow: defaults.shadow.candidate };
    const l7 = new SetL7({ direction, numbers: this.#options.l7, inUse: this.#l7, ids: this.#ids, infos, learns: this.#options.provides.proxy === true && !subject.isHost && rules.some(r => fqdnsOf(r.rule).length > 0), remember: info => this.#infos.add([info]) });
    const set = new PolicySet({ key, direction, enforced: defaults.enforced.info.effect === 'default-deny', rules: bound, fallbacks, infos, l7 }, this.work);
    try {
      set.fill(id => this.#identities.get(id)!);
    } catch (error) {
      this.#release(set);
      throw error;
    }
    return set;
  }

  /** A set that no subject has is given up. */
  #letGo(set: PolicySet | undefined): void {
    if (!set || --set.subjects > 0) return;
    if (this.#sets.get(set.key) === set) this.#sets.delete(set.key);
    this.#release(set);
  }

  #release(set: PolicySet): void {
    set.release();
    for (const matcher of set.matchers()) this.#matchers.release(matcher, set);
  }

  #bind(prepared: PreparedRule<PolicySet>, { spans, names }: ResolvedSpans, order: number): readonly BoundRule[] {
    const candidate = ruleCandidate(prepared, order, this.#options.provides);
    const matchers = this.#matchersOf(prepared);
    const byName = fqdnsOf(prepared.rule).length > 0;
    if (matchers !== 'any' || names.length === 0) return [{ candidate, matchers, spans, byName, names }];
    // A named port at egress is the peer's: where any peer is meant, the name concerns those that have it.
    const named = names.map(n => this.#matchers.namedPort(n.name, n.protocol));
    return [{ candidate, matchers, spans, byName, names: [] }, { candidate, matchers: [...new Set(named)], spans: [], byName, names }];
  }

  /** Kept with the rule for as long as some set uses them. */
  #matchersOf(prepared: PreparedRule<PolicySet>): 'any' | readonly Matcher<PolicySet>[] {
    const { bound, peers } = prepared;
    if (bound !== undefined && (bound === 'any' || bound.every(matcher => this.#matchers.isCurrent(matcher)))) return bound;
    return (prepared.bound = this.#bindPeers(peers));
  }

  #bindPeers(peers: ResolvedPeers): 'any' | readonly Matcher<PolicySet>[] {
    if (peers === 'any') return 'any';
    return [...new Set([...peers.selectors.map(s => this.#matchers.selector(s)), ...peers.cidrs.map(c => this.#matchers.cidr(c))])];
  }

  #localhostRule(info: RuleInfo): BoundRule {
    const host = EndpointSelector.of([{ source: 'reserved', key: 'host', operator: 'Exists', values: [] }]);
    const candidate: BoundRule['candidate'] = { rule: info.id, verdict: 'allow', level: levels.localhost, strength: 0, order: 0, specific: true, mode: 'enforce', keepEstablished: false };
    return { candidate, matchers: [this.#matchers.selector(host)], spans: 'any', byName: false, names: [] };
  }
}

function present<T>(values: readonly (T | undefined)[]): readonly T[] {
  return values.filter(v => v !== undefined);
}

function union(sets: readonly StaleSubjects[]): StaleSubjects {
  return new Set(sets.flatMap(set => [...set]));
}
