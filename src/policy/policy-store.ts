/**
 * The policies in force, each prepared once and found by the subjects that it selects.
 *
 *     policy ──► rules with their peers resolved ──► SelectorIndex: labels → specs
 *                        ▲                     └──► prefixes and names that they name, counted
 *     services, groups, Secrets ──┘ a change prepares again the policies that name the object
 */
import type { HttpReader, L7Set } from '../model/l7.ts';
import type { LabelSet } from '../model/labels.ts';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { hashText } from './content-hash.ts';
import { SelectorIndex } from './label-index.ts';
import { fqdnsOf } from './fqdn.ts';
import { describeL7, isCarriedOut, secretsOf, wantsKernel } from './l7-rules.ts';
import type { SecretKey } from './l7-rules.ts';
import { canonicalText, resolveL7 } from './l7-sets.ts';
import type { Matcher } from './matchers.ts';
import { policyAddress, tierOrder } from './policy.ts';
import type { Policy, PolicySpec, Rule } from './policy.ts';
import { resolvePeers, selectsGroup, selectsService } from './resolve.ts';
import type { CidrGroup, NamedObjects, ResolvedCidr, ResolvedPeers, Service } from './resolve.ts';
import { ruleInfo } from './rule-info.ts';
import type { Provides, RuleIds, RuleInfo } from './rule-info.ts';
import { TextCount } from './text-count.ts';
import type { Work } from './work.ts';

export interface PreparedRule<User> {
  readonly policy: Policy;
  readonly rule: Rule;
  readonly info: RuleInfo;
  readonly peers: ResolvedPeers;
  /** What the rule lets pass of what it allows, its Secrets read. */
  readonly l7: L7Set | undefined;
  /** Changes when anything that the rule does changes. */
  readonly fingerprint: string;
  bound: 'any' | readonly Matcher<User>[] | undefined;
}

export interface PreparedSpec<User> {
  readonly policy: Policy;
  readonly spec: PolicySpec;
  /** Among the specs of its policy. */
  readonly position: number;
  readonly rules: readonly PreparedRule<User>[];
}

interface Entry<User> {
  readonly policy: Policy;
  readonly specs: readonly PreparedSpec<User>[];
}

export class PolicyStore<User> {
  readonly #ids: RuleIds;
  readonly #work: Work;
  readonly #provides: Provides;
  readonly #httpReader: HttpReader;
  readonly #entries = new Map<string, Entry<User>>();
  readonly #bySubject = new SelectorIndex<PreparedSpec<User>>(prepared => prepared.spec.subject);
  readonly #services = new Map<string, Service>();
  readonly #groups = new Map<string, CidrGroup>();
  readonly #secrets = new Map<SecretKey, Readonly<Record<string, string>>>();
  /** Addresses of the policies that name services, groups or Secrets. */
  readonly #naming = { service: new Set<string>(), 'cidr-group': new Set<string>(), secret: new Set<string>() };
  readonly #objects: NamedObjects = {
    services: peer => (peer.namespace !== undefined && peer.name !== undefined
      ? [this.#services.get(`${peer.namespace}/${peer.name}`)].filter(s => s !== undefined)
      : [...this.#services.values()].filter(s => selectsService(peer, s))),
    groups: peer => [...this.#groups.values()].filter(g => selectsGroup(peer, g)),
  };
  /** All prefixes that need an identity, and those of `networks`. */
  readonly prefixes = new TextCount();
  readonly networks = new TextCount();
  /** Patterns of toFQDNs, and these with those of `rules.dns`. */
  readonly fqdns = new TextCount();
  readonly names = new TextCount();

  constructor(ids: RuleIds, work: Work, { provides, httpReader }: { readonly provides: Provides; readonly httpReader: HttpReader }) {
    this.#ids = ids;
    this.#work = work;
    this.#provides = provides;
    this.#httpReader = httpReader;
  }

  addresses(): Iterable<string> {
    return this.#entries.keys();
  }

  get(address: string): Policy | undefined {
    return this.#entries.get(address)?.policy;
  }

  serviceKeys(): Iterable<string> {
    return this.#services.keys();
  }

  groupNames(): Iterable<string> {
    return this.#groups.keys();
  }

  /** Puts the policy in the place of the one with its address. Returns the specs that subjects lose or get. */
  upsert(policy: Policy): readonly PolicySpec[] {
    const address = policyAddress(policy);
    const specs = policy.specs.map((spec, position) => ({ policy, spec, position, rules: spec.rules.map(rule => this.#prepareRule(policy, rule)) }));
    // Before the old ones go, so that what both name has not changed.
    this.#count(specs, 1);
    const before = this.remove(address);
    this.#entries.set(address, { policy, specs });
    for (const spec of specs) this.#bySubject.add(spec);
    for (const kind of namedKinds(policy)) this.#naming[kind].add(address);
    return [...before, ...policy.specs];
  }

  remove(address: string): readonly PolicySpec[] {
    const entry = this.#entries.get(address);
    if (!entry) return [];
    this.#entries.delete(address);
    for (const spec of entry.specs) this.#bySubject.remove(spec);
    for (const addresses of Object.values(this.#naming)) addresses.delete(address);
    this.#count(entry.specs, -1);
    return entry.policy.specs;
  }

  /** The service of this key (`namespace/name`) is now this, or has gone. Returns the specs of the policies that mean it. */
  setService(key: string, service: Service | undefined): readonly PolicySpec[] {
    const before = this.#services.get(key);
    if (service) this.#services.set(key, service);
    else this.#services.delete(key);
    return this.#prepareAgain('service', anyPeer(peer => peer.type === 'service' && [before, service].some(s => s !== undefined && selectsService(peer, s))));
  }

  setGroup(name: string, group: CidrGroup | undefined): readonly PolicySpec[] {
    const before = this.#groups.get(name);
    if (group) this.#groups.set(name, group);
    else this.#groups.delete(name);
    return this.#prepareAgain('cidr-group', anyPeer(peer => peer.type === 'cidr-group' && [before, group].some(g => g !== undefined && selectsGroup(peer, g))));
  }

  /** The Secret of this key is now this, or cannot be read any more. */
  setSecret(key: SecretKey, entries: Readonly<Record<string, string>> | undefined): readonly PolicySpec[] {
    const before = this.#secrets.get(key);
    if (before === entries || (before && entries && canonicalText(before) === canonicalText(entries))) return [];
    if (entries) this.#secrets.set(key, entries);
    else this.#secrets.delete(key);
    return this.#prepareAgain('secret', rule => rule.l7 !== undefined && secretsOf(rule.l7).includes(key));
  }

  secretKeys(): Iterable<SecretKey> {
    return this.#secrets.keys();
  }

  /** Those that policies name, sorted. */
  namedSecrets(): readonly SecretKey[] {
    const rules = [...this.#naming.secret].flatMap(address => this.#entries.get(address)!.policy.specs.flatMap(spec => spec.rules));
    return [...new Set(rules.flatMap(rule => (rule.l7 ? secretsOf(rule.l7) : [])))].sort();
  }

  /** What selects these labels, in the order in which policies are asked. */
  specsFor(labels: LabelSet, isHost: boolean): PreparedSpec<User>[] {
    const specs = this.#bySubject.matching(labels).filter(({ spec }) => spec.selectsNodes === isHost);
    this.#work.specsConsidered += specs.length;
    return specs.sort((a, b) => (a.policy === b.policy ? a.position - b.position : tierOrder(a.policy, b.policy)));
  }

  #prepareAgain(kind: NamedKind, isMeant: (rule: Rule) => boolean): readonly PolicySpec[] {
    const concerned = [...this.#naming[kind]].map(address => this.#entries.get(address)!.policy).filter(policy => policy.specs.some(spec => spec.rules.some(isMeant)));
    return concerned.flatMap(policy => this.upsert(policy));
  }

  #prepareRule(policy: Policy, rule: Rule): PreparedRule<User> {
    this.#work.rulesPrepared++;
    const peers = resolvePeers(rule.peers, this.#objects);
    const info = ruleInfo(policy, rule, this.#ids.idOf(rule.address), this.#provides);
    const l7 = rule.l7 && this.#provides.proxy && isCarriedOut(rule.l7) ? resolveL7(rule.l7, info.id, key => this.#secrets.get(key), wantsKernel(rule, this.#httpReader)) : undefined;
    const peerText = peers === 'any' ? 'any' : JSON.stringify([peers.selectors.map(s => s.text).sort(), peers.cidrs.map(c => `${c.cidr} ${c.pods} ${c.except.join(' ')}`).sort()]);
    const l7Text = l7 ? canonicalText(l7) : rule.l7 ? describeL7(rule.l7) : '';
    const fingerprint = hashText(`${rule.effect} ${l7Text} ${policy.tier} ${policy.mode} ${policy.keepEstablished} ${JSON.stringify(rule.ports)} ${peerText} ${info.because}`);
    return { policy, rule, info, peers, l7, fingerprint, bound: undefined };
  }

  #count(specs: readonly PreparedSpec<User>[], by: 1 | -1): void {
    for (const { rule } of specs.flatMap(s => s.rules)) {
      const fqdns = fqdnsOf(rule);
      for (const pattern of fqdns) this.fqdns.change(pattern, by);
      for (const pattern of [...fqdns, ...dnsPatterns(rule)]) this.names.change(pattern, by);
    }
    for (const cidr of specs.flatMap(s => s.rules).flatMap(({ peers }) => (peers === 'any' ? [] : peers.cidrs))) {
      const texts = prefixTexts(cidr);
      for (const text of texts) this.prefixes.change(text, by);
      if (cidr.pods) for (const text of texts) this.networks.change(text, by);
    }
  }
}

type NamedKind = 'service' | 'cidr-group' | 'secret';

function anyPeer(isMeant: (peer: Exclude<Rule['peers'], 'any'>[number]) => boolean): (rule: Rule) => boolean {
  return rule => rule.peers !== 'any' && rule.peers.some(isMeant);
}

function namedKinds(policy: Policy): ReadonlySet<NamedKind> {
  const kinds = new Set<NamedKind>();
  for (const { peers, l7 } of policy.specs.flatMap(spec => spec.rules)) {
    for (const peer of peers === 'any' ? [] : peers) if (peer.type === 'service' || peer.type === 'cidr-group') kinds.add(peer.type);
    if (l7 && secretsOf(l7).length > 0) kinds.add('secret');
  }
  return kinds;
}

function dnsPatterns({ l7 }: Rule): readonly string[] {
  return l7?.protocol === 'dns' ? l7.rules.map(rule => rule.pattern) : [];
}

function prefixTexts({ cidr, except }: ResolvedCidr): readonly string[] {
  return [cidr, ...except].map(text => formatPrefix(parsePrefix(text)));
}
