/**
 * A scenario, decided: the engine's sets for each pod, and the kernel's lookup in them.
 *
 *     Scenario ─► identities, prefixes ─► PolicyEngine ─► set of (subject, direction) ─► class of the peer ─► row ─► rule
 *
 * The answer is that of the tables the agent would load. Sets and rows are found once and kept: a decision is three map
 * lookups, a million of them take less than a second.
 */
import { cidrContains, cidrIdentityLabels, firstPrefixIdentity, networkIdentityLabels, prefixFamily, reserved, reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { formatPrefix, parseAddr, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { PolicyEngine } from './compile.ts';
import type { CompiledSet, EngineOptions, NamedPorts, RuleInfo, Subject, VerdictRow } from './compile.ts';
import type { PeerView } from './evaluate.ts';
import { namedPortsText } from './matchers.ts';
import type { Direction, Policy } from './policy.ts';
import type { Scenario, ScenarioPod, ScenarioPolicy } from './scenario.ts';

/** One pod's side of the engine; pods that the engine cannot tell apart share one. */
export interface Member {
  readonly identity: number;
  /** As a destination, in the eyes of egress policy: another one where policies name a network that holds the pod's address. */
  readonly destination: number;
  readonly labels: LabelSet;
  readonly subject: Subject;
}

export interface Decision {
  readonly verdict: 'allow' | 'deny';
  readonly rule: RuleInfo;
  /** Passes though the rule denies, and is reported: the rule's policy or the subject is in audit mode. */
  readonly audit?: true;
  /** Where the policies in shadow would say otherwise. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: RuleInfo };
  /** A denial that does not end connections which were allowed before. */
  readonly keepEstablished?: true;
}

/** Numbers that no agent uses. */
const firstDestinationIdentity = 4 << 24;

interface DecidedRow extends VerdictRow {
  readonly decision: Decision;
}

interface Indexed {
  readonly set: CompiledSet;
  /** The subject is in audit mode. */
  readonly audit: boolean;
  /** By class, the longest prefix first. */
  readonly rows: ReadonlyMap<number, readonly DecidedRow[]>;
}

export class World {
  readonly scenario: Scenario;
  readonly engine: PolicyEngine;
  readonly policies: readonly Policy[];
  readonly #members = new Map<ScenarioPod, Member>();
  readonly #prefixes: readonly { readonly prefix: Prefix; readonly text: string; readonly id: number }[];
  /** By identity and network. */
  readonly #destinations = new Map<number, Map<string, number>>();
  #nextDestination = firstDestinationIdentity;
  readonly #audited = new Set<Subject>();
  readonly #sets = new Map<Subject, Record<Direction, Indexed | undefined>>();
  readonly #sources = new Map<string, ScenarioPolicy>();
  readonly #byPrefix = new Map<string, number>();

  constructor(scenario: Scenario, options: EngineOptions = {}) {
    this.scenario = scenario;
    this.engine = new PolicyEngine({ mode: scenario.policyMode, ...options });
    for (const policy of scenario.policies) this.#sources.set(policy.address, policy);
    // Of policies with one address the last counts.
    this.policies = [...this.#sources.values()].flatMap(p => (p.policy ? [p.policy] : []));
    this.engine.setServices(scenario.services);
    this.engine.setCidrGroups(scenario.groups);
    this.engine.setPolicies(this.policies);
    this.#addPods(this.engine.networkPrefixes().map(text => parsePrefix(text)).sort((a, b) => b.bits - a.bits));
    const prefixes = this.engine.cidrPrefixes();
    this.#prefixes = prefixes.map((text, i) => ({ prefix: parsePrefix(text), text, id: firstPrefixIdentity + i }))
      .sort((a, b) => b.prefix.bits - a.prefix.bits);
    for (const { text, id } of this.#prefixes) this.engine.upsertIdentity(id, cidrIdentityLabels(text, prefixes));
  }

  /** Undefined for a pod in the host's network: it is its node. */
  memberOf(pod: ScenarioPod): Member | undefined {
    return this.#members.get(pod);
  }

  labelsOf(identity: number): LabelSet | undefined {
    return this.engine.identities.get(identity)?.labels;
  }

  /** What is known of a peer, as the evaluator wants it. */
  viewOf(identity: number): PeerView | undefined {
    return this.engine.identities.get(identity);
  }

  /** Prefixes that the policies name, the longest first, with their identities. */
  get prefixes(): readonly { readonly prefix: Prefix; readonly text: string; readonly id: number }[] {
    return this.#prefixes;
  }

  /** What one end says: the subject's set, the peer's class, the longest prefix over protocol and port. */
  decide(subject: Subject, direction: Direction, peer: number, protocol: number, port: number): Decision {
    const { set, rows } = this.indexed(subject, direction);
    for (const row of rows.get(set.classes.get(peer) ?? 0) ?? []) {
      if (row.protocol !== null && (row.protocol !== protocol || (row.port ^ port) >>> (16 - row.portBits) !== 0)) continue;
      return row.decision;
    }
    throw new Error(`set ${set.key} has no row for identity ${peer}`);
  }

  /** Identity of an address, or of all addresses of a prefix as far as no policy names a narrower one: the world's, or that of a prefix of some policy. */
  identityOfPrefix(text: string): number {
    const known = this.#byPrefix.get(text);
    if (known !== undefined) return known;
    const wanted = parsePrefix(text);
    const found = this.#prefixes.find(p => cidrContains(p.prefix, wanted));
    const identity = found?.id ?? (prefixFamily(wanted) === 'ipv4' ? reserved.worldIPv4 : reserved.worldIPv6);
    this.#byPrefix.set(text, identity);
    return identity;
  }

  indexed(subject: Subject, direction: Direction): Indexed {
    const known = this.#sets.get(subject) ?? { ingress: undefined, egress: undefined };
    const found = known[direction];
    if (found) return found;
    const set = this.engine.compile(subject, direction);
    const audit = this.#audited.has(subject);
    const rows = new Map<number, DecidedRow[]>();
    for (const row of set.verdicts) {
      const decided = { ...row, decision: decisionOf(set, row, audit) };
      const list = rows.get(row.class);
      if (list) list.push(decided);
      else rows.set(row.class, [decided]);
    }
    for (const list of rows.values()) list.sort((a, b) => rowBits(b) - rowBits(a));
    const indexed = { set, audit, rows };
    this.#sets.set(subject, { ...known, [direction]: indexed });
    return indexed;
  }

  /** The policy as written, by `CiliumNetworkPolicy/shop/web`. */
  sourceOf(address: string): ScenarioPolicy | undefined {
    return this.#sources.get(address);
  }

  /** `policies/web.yaml:12` for a rule, undefined for defaults. */
  placeOf(rule: RuleInfo): string | undefined {
    if (rule.kind === 'default') return undefined;
    return this.sourceOf(`${rule.kind}/${rule.namespace ?? ''}/${rule.name}`)?.place(rule.path) || undefined;
  }

  #addPods(networks: readonly Prefix[]): void {
    const byIdentity = new Map<string, { id: number; ports: Map<string, NamedPorts>; labels: LabelSet }>();
    const members = new Map<string, Member>();
    for (const pod of this.scenario.pods) {
      if (pod.hostNetwork) continue;
      const key = pod.labels.toString();
      const identity = byIdentity.get(key) ?? { id: 256 + byIdentity.size, ports: new Map<string, NamedPorts>(), labels: pod.labels };
      byIdentity.set(key, identity);
      const portsText = namedPortsText([pod.namedPorts]);
      identity.ports.set(portsText, pod.namedPorts);
      const network = networkOf(pod, networks);
      const memberKey = `${identity.id} ${pod.audit} ${network ?? ''} ${portsText}`;
      const destination = network === undefined ? identity.id : this.#destination(identity.id, network);
      const member = members.get(memberKey) ?? { identity: identity.id, destination, labels: pod.labels, subject: { labels: pod.labels, namedPorts: pod.namedPorts } };
      members.set(memberKey, member);
      if (pod.audit) this.#audited.add(member.subject);
      this.#members.set(pod, member);
    }
    for (const { id, labels, ports } of byIdentity.values()) {
      this.engine.upsertIdentity(id, labels, [...ports.values()]);
      for (const [network, destination] of this.#destinations.get(id) ?? []) this.engine.upsertIdentity(destination, networkIdentityLabels(labels, network), [...ports.values()]);
    }
  }

  #destination(identity: number, network: string): number {
    const own = this.#destinations.get(identity) ?? new Map<string, number>();
    this.#destinations.set(identity, own);
    const known = own.get(network);
    if (known !== undefined) return known;
    own.set(network, this.#nextDestination);
    return this.#nextDestination++;
  }
}

/** The longest network that holds the pod's address. */
function networkOf(pod: ScenarioPod, networks: readonly Prefix[]): string | undefined {
  if (networks.length === 0) return undefined;
  const addresses = pod.addresses.map(parseAddr);
  const found = networks.find(prefix => addresses.some(addr => cidrContains(prefix, { addr, bits: 128 })));
  return found && formatPrefix(found);
}

function decisionOf(set: CompiledSet, row: VerdictRow, auditSubject: boolean): Decision {
  const audit = row.verdict === 'audit' || (auditSubject && row.verdict === 'deny');
  return {
    verdict: row.verdict === 'deny' && !audit ? 'deny' : 'allow', rule: set.rules.get(row.rule)!, ...(audit && { audit }),
    ...(row.shadow && { shadow: { verdict: row.shadow.verdict, rule: set.rules.get(row.shadow.rule)! } }),
    ...(row.keepEstablished && { keepEstablished: row.keepEstablished }),
  };
}

function rowBits(row: VerdictRow): number {
  return row.protocol === null ? 0 : 16 + row.portBits;
}

/** `host`, `world`, …: the numbers of what has no pod. */
export const entityIdentities: Readonly<Record<string, number>> = Object.fromEntries([
  ...reservedIdentities.map(r => [r.name, r.id] as const), ['world', reserved.worldIPv4],
]);
