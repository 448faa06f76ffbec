import type { NodeMaps } from '../../datapath/maps.ts';
import { firstPrefixIdentity, firstRemoteNodeIdentity } from '../../model/identity.ts';
import { LabelSet } from '../../model/labels.ts';
import type { FeatureStatus } from '../../model/status.ts';
import { buildNameAutomaton, maxNameStates, walkStates, type NameAutomaton } from '../../policy/name-automaton.ts';
import { errorText } from '../../std/errors.ts';
import { parseAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { livingIdentities, monotonicSeconds, type AddressPut, type AddressScan, type CrowdedAddress } from './addresses.ts';
import { KernelAutomaton, type NumberedAutomaton } from './kernel-automaton.ts';
import { NameStore, PatternSetNumbers, type PatternSet } from './numbers.ts';
import { NameRules, type DnsSet } from './rules.ts';

/** The engine, as far as names go. */
export interface NameEngine {
  /** Patterns of toFQDNs and of rules.dns, in lower case, without a final dot. */
  nameSelectors(): readonly string[];
  /** Those of toFQDNs. */
  fqdnSelectors(): readonly string[];
  /** Counts changes of both. */
  readonly nameRevision: number;
  upsertIdentity(id: number, labels: LabelSet): void;
  removeIdentity(id: number): void;
}

/** A name that a pod was told an address under. */
export interface LearnedName {
  readonly endpoint: number;
  readonly name: string;
  readonly ip: string;
  /** End of its TTL, CLOCK_MONOTONIC. */
  readonly ttlEndNs: number;
}

export interface NamesDependencies {
  readonly maps: Pick<NodeMaps, 'nameAutomaton' | 'nameRules' | 'nameAddresses'>;
  readonly store: NameStore;
  readonly engine: NameEngine;
  readonly log: Logger;
  readonly put: AddressPut;
  /** Whether the kernel is to look for identities of names: told once the automaton has some, and before it loses the last. */
  readonly setInUse: (inUse: boolean) => void;
  /** Asks for a pass. */
  readonly onWork: () => void;
  readonly nowSeconds?: () => number;
}

/** The third quarter of the numbers that stay on a node is for names; prefixes and networks have the first three. */
export const nameIdentities = { first: firstPrefixIdentity + 3 * (1 << 22), last: firstRemoteNodeIdentity - 1 } as const;
/** More joined ones would cost every policy set a row each. */
const maxIdentities = 8_192;
/** The first may have begun before the automaton changed, and an answer been on its way. */
const unusedScans = 3;

/**
 * DNS names of policies, from the engine to the kernel, in an order in which no packet meets a gap:
 *
 *     1 `refresh`: a new automaton is built; its sets of patterns get numbers, which are kept in a file; the engine hears of new
 *       identities; rules for new classes are written
 *     2 `allow`: rules of a layer 7 set, before a verdict's row names it
 *     3 `commit`: when policy sets know the identities and endpoints have them, the new automaton takes the old one's place
 *     4 `retire`: rules that nothing leads to go
 *
 * An identity stays known while an address bears it (`take` of a scan).
 */
export class DnsNames {
  readonly #deps: NamesDependencies;
  readonly #automaton: KernelAutomaton;
  readonly #classes: PatternSetNumbers;
  readonly #identities: PatternSetNumbers;
  readonly #now: () => number;
  readonly rules: NameRules;
  #revision = -1;
  #built: NumberedAutomaton | undefined;
  #inForce: NumberedAutomaton | undefined;
  #savedRevision = -1;
  /** Identities that the engine knows. */
  readonly #told = new Set<number>();
  /** Identities that no automaton hands out any more, and how many scans have found no address with them. */
  readonly #unused = new Map<number, number>();
  #crowded: readonly CrowdedAddress[] = [];
  /** By step. */
  readonly #troubles = new Map<string, string>();
  #addresses = 0;

  constructor(dependencies: NamesDependencies) {
    this.#deps = dependencies;
    const { maps, store, log } = dependencies;
    this.#now = dependencies.nowSeconds ?? monotonicSeconds;
    this.#automaton = new KernelAutomaton(maps.nameAutomaton);
    this.rules = new NameRules(maps.nameRules);
    const { names, error } = store.load();
    this.#classes = new PatternSetNumbers('class', { first: 1, last: 0xffff_fffe }, names?.classes);
    this.#identities = new PatternSetNumbers('identity', nameIdentities, names?.identities);
    if (names) return;
    // What the numbers in the kernel mean is not known: they are not given again.
    if (error !== undefined) log.error('the numbers of DNS names cannot be read: addresses that pods have looked up must be looked up again', { error });
    const greatest = this.#automaton.greatest();
    this.#classes.skipTo(Math.max(greatest.class, this.rules.greatestClass()));
    const used = [...maps.nameAddresses.entries()].flatMap(([, { slots }]) => slots.map(slot => slot.identity));
    this.#identities.skipTo(used.reduce((a, b) => Math.max(a, b), greatest.identity));
  }

  /** Call when the engine has the policies, before their sets are loaded; not before the first lists are there. */
  refresh(): void {
    if (this.#savedRevision < 0) for (const [id] of this.#identities.entries()) this.#tell(id);
    this.#attempt('refresh', () => {
      this.#joinIdentities();
      if (this.#deps.engine.nameRevision !== this.#revision) this.#build();
      this.#save();
    });
  }

  /** A layer 7 set of kind dns: its rows are there when this returns. Throws when they do not fit. */
  allow(number: number, set: DnsSet): void {
    this.rules.allow(number, set);
  }

  /** Call when policy sets and endpoints are up to date. True when the automaton changed: then names that were learned before may have other identities. */
  commit(): boolean {
    if (!this.#built) return false;
    const built = this.#built;
    let changed = false;
    this.#attempt('commit', () => {
      if (built !== this.#inForce) {
        const inUse = built.identities.some(id => id !== 0);
        if (!inUse) this.#deps.setInUse(false);
        changed = this.#automaton.put(built);
        if (inUse) this.#deps.setInUse(true);
        this.#inForce = built;
        this.#noteUnused(built);
      }
      this.#joinAddresses();
    });
    return changed;
  }

  /** `sets`: the layer 7 sets that rows of verdicts may name. */
  retire(sets: { has(number: number): boolean }): void {
    if (!this.#inForce || this.#inForce !== this.#built) return;
    const inForce = this.#inForce;
    this.#attempt('retire', () => {
      this.rules.retain(sets, classesOf(inForce));
      const current = new Set(inForce.classes);
      for (const [number] of this.#classes.entries()) if (!current.has(number)) this.#classes.release(number);
    });
  }

  /**
   * What a walk over the addresses has found: those of crowded ones are joined in the next pass. Returns identities that nothing
   * hands out and no address has had for some scans; `release` those that no connection has either.
   */
  take(scan: AddressScan): number[] {
    this.#addresses = scan.rows;
    if (!this.#inForce) return [];
    const current = new Set([...this.#inForce.identities, ...(this.#built?.identities ?? [])]);
    for (const [id] of this.#identities.entries()) {
      if (current.has(id) || scan.identities.has(id)) this.#unused.delete(id);
      else this.#unused.set(id, (this.#unused.get(id) ?? 0) + 1);
    }
    this.#crowded = scan.crowded.filter(({ identities }) => identities.length > 1 && identities.every(id => this.#identities.patterns(id)));
    if (this.#crowded.length > 0) this.#deps.onWork();
    return [...this.#unused].filter(([, scans]) => scans >= unusedScans).map(([id]) => id);
  }

  /** Nothing has these any more. */
  release(identities: readonly number[]): void {
    for (const id of identities) {
      if ((this.#unused.get(id) ?? 0) < unusedScans) continue;
      this.#unused.delete(id);
      this.#identities.release(id);
      if (this.#told.delete(id)) this.#deps.engine.removeIdentity(id);
    }
    if (identities.length > 0) this.#deps.onWork();
  }

  /** Gives addresses that pods were told before their names were selected what those names mean now. Throws where there is no room. */
  *relearn(learned: Iterable<LearnedName>): Generator<void> {
    const automaton = this.#inForce;
    const { nameAddresses } = this.#deps.maps;
    const now = this.#now();
    for (const { endpoint, name, ip, ttlEndNs } of learned) {
      yield;
      if (automaton !== this.#inForce) return;
      const identity = automaton ? this.identityOf(name) : 0;
      const expiresS = Math.ceil(ttlEndNs / 1e9);
      if (identity === 0 || expiresS <= now) continue;
      const key = { endpoint, addr: parseAddr(ip) };
      const present = nameAddresses.lookup(key);
      if (!present || !livingIdentities(present, now).includes(identity)) this.#deps.put({ key, identity, expiresS, replaces: [] });
    }
  }

  /** Of the addresses of this name; 0 for none. */
  identityOf(name: string): number {
    if (!this.#inForce) return 0;
    const { automaton, identities } = this.#inForce;
    return identities[automaton.accepting[walkStates(automaton.next, name)]!]!;
  }

  /** The patterns in force that this name matches. */
  walk(name: string): PatternSet {
    return this.#inForce?.automaton.walk(name) ?? [];
  }

  labels(id: number): LabelSet | undefined {
    const patterns = this.#identities.patterns(id);
    return patterns && nameIdentityLabels(patterns);
  }

  patterns(identity: number): PatternSet | undefined {
    return this.#identities.patterns(identity);
  }

  *entries(): Generator<readonly [number, LabelSet]> {
    for (const [id, patterns] of this.#identities.entries()) yield [id, nameIdentityLabels(patterns)];
  }

  get engine(): Pick<NameEngine, 'nameSelectors' | 'fqdnSelectors'> {
    return this.#deps.engine;
  }

  get automaton(): NameAutomaton | undefined {
    return this.#inForce?.automaton;
  }

  status(): FeatureStatus {
    const automaton = this.#built?.automaton;
    const leftOut = automaton?.leftOut ?? [];
    const text = `${this.#deps.engine.nameSelectors().length} selectors, ${automaton && automaton.sets.length > 1 ? automaton.states : 0} states of ${maxNameStates.toLocaleString('en')}, ${this.#identities.size} identities, ${this.#addresses} addresses`;
    if (this.#troubles.size > 0) return { name: 'DNSNames', state: 'degraded', detail: `${text}; ${[...new Set(this.#troubles.values())].join('; ')}` };
    if (leftOut.length > 0) return { name: 'DNSNames', state: 'degraded', detail: `${text}; no room for ${leftOut.length}, which match nothing: ${leftOut.slice(0, 3).join(' ')}${leftOut.length > 3 ? ' …' : ''}` };
    return { name: 'DNSNames', state: 'on', detail: text };
  }

  #build(): void {
    const { engine, log } = this.#deps;
    const revision = engine.nameRevision;
    const automaton = buildNameAutomaton(engine.nameSelectors());
    const fqdns = new Set(engine.fqdnSelectors());
    const classes = automaton.sets.map(patterns => (patterns.length === 0 ? 0 : this.#classes.numberOf(patterns)));
    const identities = automaton.sets.map(patterns => {
      const selected = patterns.filter(pattern => fqdns.has(pattern));
      return selected.length === 0 ? 0 : this.#identities.numberOf(selected);
    });
    const built = { automaton, classes, identities };
    // The file first: no number is in the kernel whose meaning could be lost.
    this.#save();
    for (const id of identities) if (id !== 0) this.#tell(id);
    this.rules.setClasses(new Map([...(this.#inForce ? classesOf(this.#inForce) : []), ...classesOf(built)]));
    this.#built = built;
    this.#revision = revision;
    if (automaton.leftOut.length > 0) log.error('names of policies have no room in the automaton; they match nothing', { patterns: automaton.leftOut.length, first: automaton.leftOut[0] });
  }

  /** Of crowded addresses: the identity of all their patterns together. */
  #joinIdentities(): void {
    for (const { identities } of this.#crowded) {
      if (this.#identities.size >= maxIdentities) return;
      this.#tell(this.#identities.numberOf(this.#union(identities)));
    }
  }

  #joinAddresses(): void {
    const { nameAddresses } = this.#deps.maps;
    for (const { key, identities } of this.#crowded) {
      const identity = this.#identities.known(this.#union(identities));
      const present = nameAddresses.lookup(key);
      if (identity === undefined || !present || !this.#told.has(identity)) continue;
      const joined = present.slots.filter(slot => identities.includes(slot.identity));
      this.#deps.put({ key, identity, expiresS: Math.max(...joined.map(slot => slot.expiresS), 0), replaces: identities });
    }
    this.#crowded = [];
  }

  #union(identities: readonly number[]): PatternSet {
    return [...new Set(identities.flatMap(id => this.#identities.patterns(id) ?? []))].sort();
  }

  #tell(id: number): void {
    const labels = this.#told.has(id) ? undefined : this.labels(id);
    if (!labels) return;
    this.#deps.engine.upsertIdentity(id, labels);
    this.#told.add(id);
  }

  #noteUnused({ identities }: NumberedAutomaton): void {
    for (const id of identities) this.#unused.delete(id);
  }

  #save(): void {
    const revision = this.#classes.revision + this.#identities.revision;
    if (revision === this.#savedRevision) return;
    this.#deps.store.save({ classes: this.#classes.stored(), identities: this.#identities.stored() });
    this.#savedRevision = revision;
  }

  /** What was in force stays: the pass is others' too. */
  #attempt(step: string, run: () => void): void {
    try {
      run();
      this.#troubles.delete(step);
    } catch (error) {
      const message = errorText(error);
      if (message !== this.#troubles.get(step)) this.#deps.log.error('DNS names could not be brought into the kernel; what was in force stays', { error: message });
      this.#troubles.set(step, message);
    }
  }
}

/** Labels of the addresses of names that these patterns match: each pattern, and the world that they lie in. */
export function nameIdentityLabels(patterns: PatternSet): LabelSet {
  return LabelSet.fromLabels([...patterns.map(key => ({ source: 'fqdn', key, value: '' })), { source: 'reserved', key: 'world', value: '' }]);
}

function classesOf({ automaton, classes }: NumberedAutomaton): Map<number, PatternSet> {
  return new Map(automaton.sets.flatMap((patterns, i) => (patterns.length === 0 ? [] : [[classes[i]!, patterns] as const])));
}
