/**
 * Peers compiled once: equal peers of all policies are one Matcher, which keeps the identities it selects.
 *
 *     identity's labels ──► SelectorIndex ──► matchers that may match ──► matchers that do
 *     new matcher ──► IdentitySource ──► identities that it may select ──► those that it does
 *
 * so that neither a new identity nor a new selector is compared with all of the other.
 */
import { cidrContains, identityNetwork, identityPrefix, isWorld, prefixFamily, reserved } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import { formatPrefix, maskPrefix, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { SelectorIndex } from './label-index.ts';
import { protocols } from './policy.ts';
import { PrefixCover } from './prefix-cover.ts';
import type { ResolvedCidr } from './resolve.ts';

/** A named container port; the protocol as a pod's spec writes it, or its number. */
export interface NamedPort {
  readonly protocol: string | number;
  readonly port: number;
}

export type NamedPorts = ReadonlyMap<string, NamedPort>;

export interface IdentityRecord {
  readonly id: number;
  readonly labels: LabelSet;
  /** What the identity stands for outside the cluster. */
  readonly prefix: Prefix | undefined;
  /** The longest of the `networks` that a pod's address lies in. */
  readonly network: Prefix | undefined;
  /** Named ports of its pods, one map for each distinct pod template. */
  readonly namedPorts: readonly NamedPorts[];
  readonly namedPortsText: string;
}

export interface Matcher<User> {
  readonly text: string;
  readonly identities: Set<number>;
  readonly users: Map<User, number[]>;
  matches(identity: IdentityRecord): boolean;
}

/** Where a new matcher finds the identities that it may select. */
export interface IdentitySource {
  selected(selector: EndpointSelector): Iterable<IdentityRecord>;
  within(outer: Prefix): Iterable<IdentityRecord>;
  withPort(key: string): Iterable<IdentityRecord>;
}

interface Entry<User> extends Matcher<User> {
  readonly selector: EndpointSelector;
  /** Takes it out of its index. */
  readonly leave: () => void;
}

export class MatcherIndex<User> {
  readonly #identities: IdentitySource;
  readonly #all = new Map<string, Entry<User>>();
  readonly #bySelector = new SelectorIndex<Entry<User>>(entry => entry.selector);
  readonly #byPrefix = new Map<string, Set<Entry<User>>>();
  readonly #byPort = new Map<string, Set<Entry<User>>>();
  /** How many prefixes of each length there are: only these lengths are asked for. */
  readonly #prefixLengths = { ipv4: new Map<number, number>(), ipv6: new Map<number, number>() };

  constructor(identities: IdentitySource) {
    this.#identities = identities;
  }

  get size(): number {
    return this.#all.size;
  }

  selector(selector: EndpointSelector): Matcher<User> {
    return this.#intern(`selector ${selector.text}`, () => this.#identities.selected(selector), text => {
      const entry: Entry<User> = { ...newMatcher<User>(text), selector, matches: identity => selector.matches(identity.labels), leave: () => this.#bySelector.remove(entry) };
      this.#bySelector.add(entry);
      return entry;
    });
  }

  cidr({ cidr, except, pods }: ResolvedCidr): Matcher<User> {
    const outer = parsePrefix(cidr);
    const holes = new PrefixCover(except.map(parsePrefix));
    const selects = (prefix: Prefix | undefined) => prefix !== undefined && cidrContains(outer, prefix) && !holes.covers(prefix);
    const matches = ({ prefix, network }: IdentityRecord) => selects(prefix) || (pods && selects(network));
    return this.#intern(`cidr ${formatPrefix(outer)}${pods ? ' with pods' : ''} except ${[...except].sort().join(' ')}`, () => this.#identities.within(outer), text => {
      const lengths = this.#prefixLengths[prefixFamily(outer)];
      const entry = this.#keyed(text, matches, this.#byPrefix, formatPrefix(outer), () => count(lengths, outer.bits, -1));
      count(lengths, outer.bits, 1);
      return entry;
    });
  }

  /** Identities with a pod that has a port of this name. */
  namedPort(name: string, protocol: number): Matcher<User> {
    const key = `${name}/${protocol}`;
    return this.#intern(`port ${key}`, () => this.#identities.withPort(key), text =>
      this.#keyed(text, identity => resolvePorts(identity.namedPorts, name, protocol).length > 0, this.#byPort, key));
  }

  /** The matchers that select the identity. */
  matching(identity: IdentityRecord): Matcher<User>[] {
    const found = new Set<Matcher<User>>(this.#bySelector.matching(identity.labels));
    const consider = (matchers: Iterable<Matcher<User>> | undefined) => {
      for (const matcher of matchers ?? []) if (matcher.matches(identity)) found.add(matcher);
    };
    if (identity.prefix) this.#considerPrefixes(identity.prefix, consider);
    if (identity.network) this.#considerPrefixes(identity.network, consider);
    for (const key of portKeys(identity)) consider(this.#byPort.get(key));
    return [...found];
  }

  /** Whether this is still the one matcher of its text: what nobody uses is forgotten. */
  isCurrent(matcher: Matcher<User>): boolean {
    return this.#all.get(matcher.text) === matcher;
  }

  /** The user lets go of the matcher. */
  release(matcher: Matcher<User>, user: User): void {
    if (!matcher.users.delete(user) || matcher.users.size > 0) return;
    this.#all.get(matcher.text)?.leave();
    this.#all.delete(matcher.text);
  }

  #considerPrefixes(prefix: Prefix, consider: (matchers: Iterable<Matcher<User>> | undefined) => void): void {
    for (const bits of this.#prefixLengths[prefixFamily(prefix)].keys()) {
      if (bits <= prefix.bits) consider(this.#byPrefix.get(formatPrefix(maskPrefix({ addr: prefix.addr, bits }))));
    }
  }

  #keyed(text: string, matches: Matcher<User>['matches'], index: Map<string, Set<Entry<User>>>, key: string, onLeave: () => void = () => {}): Entry<User> {
    const entry: Entry<User> = {
      ...newMatcher<User>(text), selector: EndpointSelector.everything, matches,
      leave: () => {
        const entries = index.get(key);
        if (entries?.delete(entry) && entries.size === 0) index.delete(key);
        onLeave();
      },
    };
    index.set(key, (index.get(key) ?? new Set()).add(entry));
    return entry;
  }

  #intern(text: string, candidates: () => Iterable<IdentityRecord>, make: (text: string) => Entry<User>): Matcher<User> {
    const known = this.#all.get(text);
    if (known) return known;
    const entry = make(text);
    for (const identity of candidates()) if (entry.matches(identity)) entry.identities.add(identity.id);
    this.#all.set(text, entry);
    return entry;
  }
}

/** The rules that each user of these matchers binds to them. */
export function rulesByUser<User>(matchers: readonly Matcher<User>[]): Map<User, number[]> {
  const rules = new Map<User, number[]>();
  for (const matcher of matchers) {
    for (const [user, indexes] of matcher.users) {
      const list = rules.get(user);
      // One by one: there may be more of them than a call may have arguments.
      if (list) for (const index of indexes) list.push(index);
      else rules.set(user, [...indexes]);
    }
  }
  return rules;
}

function newMatcher<User>(text: string): Pick<Matcher<User>, 'text' | 'identities' | 'users'> {
  return { text, identities: new Set(), users: new Map() };
}

function count(counts: Map<number, number>, key: number, by: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}

/** The names of an identity's ports, as `namedPort` asks for them. */
export function portKeys({ namedPorts }: IdentityRecord): ReadonlySet<string> {
  return new Set(namedPorts.flatMap(pod => [...pod].map(([name, port]) => `${name.toLowerCase()}/${protocolNumber(port.protocol)}`)));
}

export function identityRecord(id: number, labels: LabelSet, namedPorts: readonly NamedPorts[], worldFamily: 'ipv4' | 'ipv6'): IdentityRecord {
  return { id, labels, prefix: worldPrefix(id, labels, worldFamily), network: identityNetwork(labels), namedPorts, namedPortsText: namedPortsText(namedPorts) };
}

/** Only what lies outside the cluster has a prefix: CIDR peers never select pods or nodes. */
function worldPrefix(id: number, labels: LabelSet, worldFamily: 'ipv4' | 'ipv6'): Prefix | undefined {
  if (!isWorld(labels)) return undefined;
  const own = identityPrefix(labels);
  if (own) return own;
  const family = id === reserved.worldIPv6 || (labels.has('reserved', 'world-ipv6') && !labels.has('reserved', 'world-ipv4')) ? 'ipv6'
    : id === reserved.worldIPv4 || labels.has('reserved', 'world-ipv4') ? 'ipv4' : worldFamily;
  return family === 'ipv4' ? allIPv4 : allIPv6;
}

export const allIPv4: Prefix = parsePrefix('0.0.0.0/0');
export const allIPv6: Prefix = parsePrefix('::/0');

/** The distinct numbers that pods give to a port name, ascending. */
export function resolvePorts(pods: readonly NamedPorts[], name: string, protocol: number): readonly number[] {
  const ports = new Set<number>();
  for (const pod of pods) {
    for (const [key, port] of pod) if (key.toLowerCase() === name && protocolNumber(port.protocol) === protocol) ports.add(port.port);
  }
  return [...ports].sort((a, b) => a - b);
}

/** -1 for what is no protocol. */
export function protocolNumber(protocol: NamedPort['protocol']): number {
  if (typeof protocol === 'number') return protocol;
  return Object.hasOwn(protocols, protocol) ? protocols[protocol as keyof typeof protocols] : -1;
}

export function namedPortsText(pods: readonly NamedPorts[]): string {
  return pods.map(pod => [...pod].map(([name, p]) => `${name.toLowerCase()}=${protocolNumber(p.protocol)}:${p.port}`).sort().join(',')).sort().join(';');
}
