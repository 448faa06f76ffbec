/**
 * A scenario, decided: the engine's sets for each pod, and the kernel's lookup in them.
 *
 *     Scenario ─► identities, prefixes ─► PolicyEngine ─► set of (subject, direction) ─► class of the peer ─► row ─► rule
 *
 * The answer is that of the tables the agent would load. Sets and rows are found once and kept: a decision is three map
 * lookups, a million of them take less than a second.
 */
import { cidrContains, cidrIdentityLabels, firstPrefixIdentity, prefixFamily, reserved, reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { parsePrefix } from '../std/ip.ts';
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
  readonly labels: LabelSet;
  readonly subject: Subject;
}

export interface Decision {
  readonly verdict: 'allow' | 'deny';
  readonly rule: RuleInfo;
}

interface Indexed {
  readonly set: CompiledSet;
  /** By class, the longest prefix first. */
  readonly rows: ReadonlyMap<number, readonly VerdictRow[]>;
  /** What each row says, in the same order: made once, handed out a million times a second. */
  readonly decisions: ReadonlyMap<number, readonly { readonly row: VerdictRow; readonly decision: Decision }[]>;
}

export class World {
  readonly scenario: Scenario;
  readonly engine: PolicyEngine;
  readonly policies: readonly Policy[];
  readonly #members = new Map<ScenarioPod, Member>();
  readonly #prefixes: readonly { readonly prefix: Prefix; readonly text: string; readonly id: number }[];
  readonly #sets = new Map<Subject, Record<Direction, Indexed | undefined>>();
  readonly #bySet = new Map<string, Indexed>();
  readonly #places = new Map<RuleInfo, string>();
  readonly #sources = new Map<string, ScenarioPolicy>();
  readonly #byPrefix = new Map<string, number>();

  constructor(scenario: Scenario, options: EngineOptions = {}) {
    this.scenario = scenario;
    this.engine = new PolicyEngine(options);
    for (const policy of scenario.policies) this.#sources.set(policy.address, policy);
    // Of policies with one address the last counts.
    this.policies = [...this.#sources.values()].flatMap(p => (p.policy ? [p.policy] : []));
    this.engine.setServices(scenario.services);
    this.engine.setCidrGroups(scenario.groups);
    this.engine.setPolicies(this.policies);
    this.#addPods();
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
    const { set, decisions } = this.indexed(subject, direction);
    for (const { row, decision } of decisions.get(set.classes.get(peer) ?? 0) ?? []) {
      if (row.protocol === null || (row.protocol === protocol && (row.port ^ port) >>> (16 - row.portBits) === 0)) return decision;
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
    const known = this.#sets.get(subject)?.[direction];
    if (known) return known;
    const set = this.engine.compile(subject, direction);
    // Pods whose rules are the same share one.
    const indexed = this.#bySet.get(set.key) ?? indexSet(set);
    this.#bySet.set(set.key, indexed);
    this.#sets.set(subject, { ingress: undefined, egress: undefined, ...this.#sets.get(subject), [direction]: indexed });
    return indexed;
  }

  /** The policy as written, by `CiliumNetworkPolicy/shop/web`. */
  sourceOf(address: string): ScenarioPolicy | undefined {
    return this.#sources.get(address);
  }

  /** `policies/web.yaml:12` for a rule, undefined for defaults. */
  placeOf(rule: RuleInfo): string | undefined {
    if (rule.kind === 'default') return undefined;
    const known = this.#places.get(rule);
    if (known !== undefined) return known || undefined;
    const place = this.sourceOf(`${rule.kind}/${rule.namespace ?? ''}/${rule.name}`)?.place(rule.path) ?? '';
    this.#places.set(rule, place);
    return place || undefined;
  }

  #addPods(): void {
    const byIdentity = new Map<string, { id: number; ports: Map<string, NamedPorts>; labels: LabelSet }>();
    const members = new Map<string, Member>();
    for (const pod of this.scenario.pods) {
      if (pod.hostNetwork) continue;
      const key = pod.labels.toString();
      const identity = byIdentity.get(key) ?? { id: 256 + byIdentity.size, ports: new Map<string, NamedPorts>(), labels: pod.labels };
      byIdentity.set(key, identity);
      const portsText = namedPortsText([pod.namedPorts]);
      identity.ports.set(portsText, pod.namedPorts);
      const memberKey = `${identity.id} ${portsText}`;
      const member = members.get(memberKey) ?? { identity: identity.id, labels: pod.labels, subject: { labels: pod.labels, namedPorts: pod.namedPorts } };
      members.set(memberKey, member);
      this.#members.set(pod, member);
    }
    for (const { id, labels, ports } of byIdentity.values()) this.engine.upsertIdentity(id, labels, [...ports.values()]);
  }
}

function indexSet(set: CompiledSet): Indexed {
  const rows = new Map<number, VerdictRow[]>();
  for (const row of set.verdicts) {
    const list = rows.get(row.class);
    if (list) list.push(row);
    else rows.set(row.class, [row]);
  }
  for (const list of rows.values()) list.sort((a, b) => rowBits(b) - rowBits(a));
  const decisionOf = (row: VerdictRow): Decision => ({ verdict: row.verdict === 'deny' ? 'deny' : 'allow', rule: set.rules.get(row.rule)! });
  return { set, rows, decisions: new Map([...rows].map(([number, list]) => [number, list.map(row => ({ row, decision: decisionOf(row) }))])) };
}

function rowBits(row: VerdictRow): number {
  return row.protocol === null ? 0 : 16 + row.portBits;
}

/** `host`, `world`, …: the numbers of what has no pod. */
export const entityIdentities: Readonly<Record<string, number>> = Object.fromEntries([
  ...reservedIdentities.map(r => [r.name, r.id] as const), ['world', reserved.worldIPv4],
]);
