/**
 * Peers compiled once: equal peers of all policies are one Matcher, which keeps the identities it selects.
 *
 *     identity's labels ──► index by key=value ──► matchers that may match ──► matchers that do
 *
 * so that a new identity is compared with the few selectors that name one of its labels, not with all.
 */
import { cidrContains, identityNetwork, identityPrefix, isWorld, prefixFamily, reserved } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { EndpointSelector } from '../model/selector.ts';
import { formatPrefix, maskPrefix, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
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

export class MatcherIndex<User> {
  readonly #all = new Map<string, Matcher<User>>();
  readonly #byLabel = new Map<string, Matcher<User>[]>();
  readonly #byPrefix = new Map<string, Matcher<User>[]>();
  readonly #prefixLengths = { ipv4: new Set<number>(), ipv6: new Set<number>() };
  readonly #byPort = new Map<string, Matcher<User>[]>();
  #others: Matcher<User>[] = [];

  get size(): number {
    return this.#all.size;
  }

  selector(selector: EndpointSelector, identities: Iterable<IdentityRecord>): Matcher<User> {
    return this.#intern(`selector ${selector.text}`, identity => selector.matches(identity.labels), () => identities, matcher => {
      const key = selector.indexKey;
      if (key === undefined) this.#others.push(matcher);
      else append(this.#byLabel, key, matcher);
    });
  }

  /** `within` gives the identities whose prefix or network lies in a prefix (and perhaps others). */
  cidr({ cidr, except, pods }: ResolvedCidr, within: (outer: Prefix) => Iterable<IdentityRecord>): Matcher<User> {
    const outer = parsePrefix(cidr);
    const holes = new PrefixCover(except.map(parsePrefix));
    const selects = (prefix: Prefix | undefined) => prefix !== undefined && cidrContains(outer, prefix) && !holes.covers(prefix);
    const matches = ({ prefix, network }: IdentityRecord) => selects(prefix) || (pods && selects(network));
    return this.#intern(`cidr ${formatPrefix(outer)}${pods ? ' with pods' : ''} except ${[...except].sort().join(' ')}`, matches, () => within(outer), matcher => {
      append(this.#byPrefix, formatPrefix(outer), matcher);
      this.#prefixLengths[prefixFamily(outer)].add(outer.bits);
    });
  }

  /** Identities with a pod that has a port of this name. */
  namedPort(name: string, protocol: number, identities: Iterable<IdentityRecord>): Matcher<User> {
    const key = `${name}/${protocol}`;
    return this.#intern(`port ${key}`, identity => resolvePorts(identity.namedPorts, name, protocol).length > 0, () => identities, matcher => append(this.#byPort, key, matcher));
  }

  /** The matchers that select the identity. */
  matching(identity: IdentityRecord): Matcher<User>[] {
    const found: Matcher<User>[] = [];
    const consider = (matchers: readonly Matcher<User>[] | undefined) => {
      for (const matcher of matchers ?? []) if (matcher.matches(identity)) found.push(matcher);
    };
    for (const { key, value } of identity.labels.labels()) consider(this.#byLabel.get(`${key}=${value}`));
    if (identity.prefix) this.#considerPrefixes(identity.prefix, consider);
    if (identity.network) this.#considerPrefixes(identity.network, consider);
    const ports = new Set(identity.namedPorts.flatMap(pod => [...pod].map(([name, port]) => `${name.toLowerCase()}/${protocolNumber(port.protocol)}`)));
    for (const port of ports) consider(this.#byPort.get(port));
    consider(this.#others);
    return [...new Set(found)];
  }

  /** Forgets what nobody uses. */
  sweep(): void {
    const unused = new Set([...this.#all.values()].filter(m => m.users.size === 0));
    if (unused.size === 0) return;
    for (const matcher of unused) this.#all.delete(matcher.text);
    this.#others = this.#others.filter(m => !unused.has(m));
    for (const index of [this.#byLabel, this.#byPrefix, this.#byPort]) {
      for (const [key, matchers] of index) {
        const kept = matchers.filter(m => !unused.has(m));
        if (kept.length === 0) index.delete(key);
        else if (kept.length < matchers.length) index.set(key, kept);
      }
    }
  }

  #considerPrefixes(prefix: Prefix, consider: (matchers: readonly Matcher<User>[] | undefined) => void): void {
    for (const bits of this.#prefixLengths[prefixFamily(prefix)]) {
      if (bits <= prefix.bits) consider(this.#byPrefix.get(formatPrefix(maskPrefix({ addr: prefix.addr, bits }))));
    }
  }

  #intern(text: string, matches: Matcher<User>['matches'], identities: () => Iterable<IdentityRecord>, index: (matcher: Matcher<User>) => void): Matcher<User> {
    const known = this.#all.get(text);
    if (known) return known;
    const matcher: Matcher<User> = { text, matches, identities: new Set(), users: new Map() };
    for (const identity of identities()) if (matches(identity)) matcher.identities.add(identity.id);
    this.#all.set(text, matcher);
    index(matcher);
    return matcher;
  }
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

function append<T>(index: Map<string, T[]>, key: string, value: T): void {
  const list = index.get(key);
  if (list) list.push(value);
  else index.set(key, [value]);
}
