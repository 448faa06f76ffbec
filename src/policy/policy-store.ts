/**
 * The policies in force, each prepared once and found by the subjects that it selects.
 *
 *     policy ──► rules with their peers resolved ──► SelectorIndex: labels → specs
 *                        ▲                     └──► prefixes that they name, counted
 *     services, groups ──┘ a change prepares again the policies that name the object
 */
import type { LabelSet } from '../model/labels.ts';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { hashText } from './content-hash.ts';
import { SelectorIndex } from './label-index.ts';
import type { Matcher } from './matchers.ts';
import { policyAddress, tierOrder } from './policy.ts';
import type { Policy, PolicySpec, Rule } from './policy.ts';
import { PrefixCount } from './prefix-count.ts';
import { resolvePeers, selectsGroup, selectsService } from './resolve.ts';
import type { CidrGroup, NamedObjects, ResolvedCidr, ResolvedPeers, Service } from './resolve.ts';
import { ruleInfo } from './rule-info.ts';
import type { RuleIds, RuleInfo } from './rule-info.ts';
import type { Work } from './work.ts';

export interface PreparedRule<User> {
  readonly policy: Policy;
  readonly rule: Rule;
  readonly info: RuleInfo;
  readonly peers: ResolvedPeers;
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
  readonly #entries = new Map<string, Entry<User>>();
  readonly #bySubject = new SelectorIndex<PreparedSpec<User>>(prepared => prepared.spec.subject);
  readonly #services = new Map<string, Service>();
  readonly #groups = new Map<string, CidrGroup>();
  /** Addresses of the policies that name services or groups. */
  readonly #naming = { service: new Set<string>(), 'cidr-group': new Set<string>() };
  readonly #objects: NamedObjects = {
    services: peer => (peer.namespace !== undefined && peer.name !== undefined
      ? [this.#services.get(`${peer.namespace}/${peer.name}`)].filter(s => s !== undefined)
      : [...this.#services.values()].filter(s => selectsService(peer, s))),
    groups: peer => [...this.#groups.values()].filter(g => selectsGroup(peer, g)),
  };
  /** All prefixes that need an identity, and those of `networks`. */
  readonly prefixes = new PrefixCount();
  readonly networks = new PrefixCount();

  constructor(ids: RuleIds, work: Work) {
    this.#ids = ids;
    this.#work = work;
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
    const before = this.remove(address);
    const specs = policy.specs.map((spec, position) => ({ policy, spec, position, rules: spec.rules.map(rule => this.#prepareRule(policy, rule)) }));
    this.#entries.set(address, { policy, specs });
    for (const spec of specs) this.#bySubject.add(spec);
    for (const kind of namedKinds(policy)) this.#naming[kind].add(address);
    this.#countPrefixes(specs, 1);
    return [...before, ...policy.specs];
  }

  remove(address: string): readonly PolicySpec[] {
    const entry = this.#entries.get(address);
    if (!entry) return [];
    this.#entries.delete(address);
    for (const spec of entry.specs) this.#bySubject.remove(spec);
    for (const addresses of Object.values(this.#naming)) addresses.delete(address);
    this.#countPrefixes(entry.specs, -1);
    return entry.policy.specs;
  }

  /** The service of this key (`namespace/name`) is now this, or has gone. Returns the specs of the policies that mean it. */
  setService(key: string, service: Service | undefined): readonly PolicySpec[] {
    const before = this.#services.get(key);
    if (service) this.#services.set(key, service);
    else this.#services.delete(key);
    return this.#prepareAgain('service', peer => peer.type === 'service' && [before, service].some(s => s !== undefined && selectsService(peer, s)));
  }

  setGroup(name: string, group: CidrGroup | undefined): readonly PolicySpec[] {
    const before = this.#groups.get(name);
    if (group) this.#groups.set(name, group);
    else this.#groups.delete(name);
    return this.#prepareAgain('cidr-group', peer => peer.type === 'cidr-group' && [before, group].some(g => g !== undefined && selectsGroup(peer, g)));
  }

  /** What selects these labels, in the order in which policies are asked. */
  specsFor(labels: LabelSet, isHost: boolean): PreparedSpec<User>[] {
    const specs = this.#bySubject.matching(labels).filter(({ spec }) => spec.selectsNodes === isHost);
    this.#work.specsConsidered += specs.length;
    return specs.sort((a, b) => (a.policy === b.policy ? a.position - b.position : tierOrder(a.policy, b.policy)));
  }

  #prepareAgain(kind: NamedKind, isMeant: (peer: Exclude<Rule['peers'], 'any'>[number]) => boolean): readonly PolicySpec[] {
    const concerned = [...this.#naming[kind]].map(address => this.#entries.get(address)!.policy)
      .filter(policy => policy.specs.some(spec => spec.rules.some(rule => rule.peers !== 'any' && rule.peers.some(isMeant))));
    return concerned.flatMap(policy => this.upsert(policy));
  }

  #prepareRule(policy: Policy, rule: Rule): PreparedRule<User> {
    this.#work.rulesPrepared++;
    const peers = resolvePeers(rule.peers, this.#objects);
    const info = ruleInfo(policy, rule, this.#ids.idOf(rule.address));
    const peerText = peers === 'any' ? 'any' : JSON.stringify([peers.selectors.map(s => s.text).sort(), peers.cidrs.map(c => `${c.cidr} ${c.pods} ${c.except.join(' ')}`).sort()]);
    const fingerprint = hashText(`${rule.effect} ${rule.proxied ?? false} ${policy.tier} ${policy.mode} ${policy.keepEstablished} ${JSON.stringify(rule.ports)} ${peerText} ${info.because}`);
    return { policy, rule, info, peers, fingerprint, bound: undefined };
  }

  #countPrefixes(specs: readonly PreparedSpec<User>[], by: 1 | -1): void {
    for (const cidr of specs.flatMap(s => s.rules).flatMap(({ peers }) => (peers === 'any' ? [] : peers.cidrs))) {
      const texts = prefixTexts(cidr);
      for (const text of texts) this.prefixes.change(text, by);
      if (cidr.pods) for (const text of texts) this.networks.change(text, by);
    }
  }
}

type NamedKind = 'service' | 'cidr-group';

function namedKinds(policy: Policy): ReadonlySet<NamedKind> {
  const kinds = new Set<NamedKind>();
  for (const { peers } of policy.specs.flatMap(spec => spec.rules)) {
    for (const peer of peers === 'any' ? [] : peers) if (peer.type === 'service' || peer.type === 'cidr-group') kinds.add(peer.type);
  }
  return kinds;
}

function prefixTexts({ cidr, except }: ResolvedCidr): readonly string[] {
  return [cidr, ...except].map(text => formatPrefix(parsePrefix(text)));
}
