/**
 * A scenario, decided: the engine's sets for each pod, and the kernel's lookup in them.
 *
 *     Scenario ─► identities, prefixes ─► PolicyEngine ─► set of (subject, direction) ─► class of the peer ─► row ─► rule
 *
 * The answer is that of the tables the agent would load. Sets and rows are found once and kept: a decision is three map
 * lookups, a million of them take less than a second.
 */
import { cidrContains, cidrIdentityLabels, firstPrefixIdentity, firstRemoteNodeIdentity, labelKeys, networkIdentityLabels, prefixFamily, reserved, reservedIdentities } from '../model/identity.ts';
import type { L7Set } from '../model/l7.ts';
import { LabelSet } from '../model/labels.ts';
import type { EndpointSelector } from '../model/selector.ts';
import { parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { PolicyEngine } from './compile.ts';
import type { CompiledSet, EngineOptions, NamedPorts, RuleInfo, Subject, VerdictRow } from './compile.ts';
import type { PeerView } from './evaluate.ts';
import { fqdnSource, namePattern, qualifyName } from './fqdn.ts';
import { namedPortsText } from './matchers.ts';
import { hostSubject, longestNetwork, nodeIdentityLabels } from './members.ts';
import type { Direction, Policy } from './policy.ts';
import type { Scenario, ScenarioPod, ScenarioPolicy } from './scenario.ts';

/** One pod's (or node's) side of the engine; pods that the engine cannot tell apart share one. */
export interface Member {
  readonly identity: number;
  /** Who it is to egress policies of others, which may tell pods apart by their addresses. */
  readonly destination: number;
  readonly labels: LabelSet;
  readonly subject: Subject;
  /** Whose annotation puts it into audit. */
  readonly audit?: ScenarioPod['audit'];
}

export interface Decision {
  /** `audit`: passes, and is reported. `redirect`: the proxy decides, where there is one. */
  readonly verdict: VerdictRow['verdict'];
  readonly rule: RuleInfo;
  /** Why a denial is only reported: the policy's mode, or the annotation of pod or namespace. */
  readonly audit?: 'policy' | NonNullable<ScenarioPod['audit']>;
  /** Of a redirect: what passes. */
  readonly l7?: L7Set;
  /** With the shadow policies in force it would be this. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: RuleInfo };
  /** A denial by a rule that a rule on names comes before. */
  readonly asksNames?: true;
  /** A denial that does not end connections which were allowed before. */
  readonly keepEstablished?: true;
}

/** What a row says is made once: it is handed out a million times a second. */
interface DecidedRow extends VerdictRow {
  readonly decision: Decision;
}

interface Indexed {
  readonly set: CompiledSet;
  /** By class, the longest prefix first. */
  readonly rows: ReadonlyMap<number, readonly DecidedRow[]>;
}

export class World {
  readonly scenario: Scenario;
  readonly engine: PolicyEngine;
  readonly policies: readonly Policy[];
  readonly options: EngineOptions;
  readonly #members = new Map<ScenarioPod, Member>();
  readonly #nodes = new Map<string, Member & { readonly remote: number }>();
  readonly #prefixes: readonly { readonly prefix: Prefix; readonly text: string; readonly id: number }[];
  readonly #sets = new Map<Subject, Record<Direction, Indexed | undefined>>();
  readonly #bySet = new WeakMap<CompiledSet, Indexed>();
  readonly #places = new Map<RuleInfo, string>();
  readonly #sources = new Map<string, ScenarioPolicy>();
  readonly #byPrefix = new Map<string, number>();
  readonly #byNames = new Map<string, number>();

  constructor(scenario: Scenario, options: EngineOptions = {}) {
    this.scenario = scenario;
    this.options = options;
    this.engine = new PolicyEngine({ mode: scenario.policyMode, httpReader: scenario.httpReader, ...options });
    for (const policy of scenario.policies) this.#sources.set(policy.address, policy);
    // Of policies with one address the last counts.
    this.policies = [...this.#sources.values()].flatMap(p => (p.policy ? [p.policy] : []));
    this.engine.setServices(scenario.services);
    this.engine.setCidrGroups(scenario.groups);
    this.engine.setSecrets(scenario.secrets);
    this.engine.setPolicies(this.policies);
    this.#addNodes();
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

  /** A node as a subject of host policies and as a peer: `identity` to its own pods, `remote` to all others. */
  nodeMember(name: string): (Member & { readonly remote: number }) | undefined {
    return this.#nodes.get(name);
  }

  /** Some policy is for nodes. */
  get restrictsNodes(): boolean {
    return this.policies.some(p => p.specs.some(s => s.selectsNodes));
  }

  /** Some policy is for nodes or tells them apart by their labels: `node` is more than `host` or `remote-node`. */
  get tellsNodesApart(): boolean {
    return this.restrictsNodes || this.policies.flatMap(p => p.specs).flatMap(s => s.rules)
      .some(({ peers }) => peers !== 'any' && peers.some(p => p.type === 'selector' && isForSomeNodes(p.selector)));
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

  /** The same of an endpoint that may be in audit as a whole: what is denied there passes, and nothing is read. */
  judge({ subject, audit }: Member, direction: Direction, peer: number, protocol: number, port: number): Decision {
    const decision = this.decide(subject, direction, peer, protocol, port);
    if (audit === undefined || decision.verdict === 'allow' || decision.verdict === 'audit') return decision;
    const { l7: _, ...unread } = decision;
    return decision.verdict === 'redirect' ? { ...unread, verdict: 'allow' } : { ...decision, verdict: 'audit', audit };
  }

  /** Of addresses outside that pods were told for a name; undefined where no policy selects it. */
  identityOfName(name: string): number | undefined {
    const asked = qualifyName(name);
    const patterns = this.engine.fqdnSelectors().filter(pattern => namePattern(pattern).test(asked));
    if (patterns.length === 0) return undefined;
    const text = patterns.join(' ');
    const known = this.#byNames.get(text);
    if (known !== undefined) return known;
    const id = firstNameIdentity + this.#byNames.size;
    this.#byNames.set(text, id);
    this.engine.upsertIdentity(id, LabelSet.of([...patterns.map(pattern => `${fqdnSource}:${pattern}`), 'reserved:world', 'reserved:world-ipv4']));
    // Sets that were compiled before do not know it.
    this.#sets.clear();
    return id;
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
    const indexed = this.#bySet.get(set) ?? indexSet(set, this.engine.l7Sets());
    this.#bySet.set(set, indexed);
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

  #addNodes(): void {
    const { clusterName, nodes } = this.scenario;
    for (const [i, node] of nodes.entries()) {
      const [identity, remote] = [firstHostIdentity + i, firstRemoteNodeIdentity + i];
      const subject = hostSubject(node.labels, clusterName);
      this.engine.upsertIdentity(identity, nodeIdentityLabels('host', node.labels, clusterName));
      this.engine.upsertIdentity(remote, nodeIdentityLabels('remote-node', node.labels, clusterName));
      this.#nodes.set(node.name, { identity, destination: identity, remote, labels: subject.labels, subject });
    }
  }

  #addPods(): void {
    const networks = this.engine.networkPrefixes();
    const identities = new Map<string, { id: number; labels: LabelSet; ports: Map<string, NamedPorts> }>();
    const members = new Map<string, Member>();
    const identityFor = (labels: LabelSet, first: number, pod: ScenarioPod) => {
      const key = `${first} ${labels.toString()}`;
      const known = identities.get(key) ?? { id: first + identities.size, labels, ports: new Map() };
      identities.set(key, known);
      known.ports.set(namedPortsText([pod.namedPorts]), pod.namedPorts);
      return known.id;
    };
    for (const pod of this.scenario.pods) {
      if (pod.hostNetwork) continue;
      const identity = identityFor(pod.labels, firstPodIdentity, pod);
      const network = longestNetwork(networks, pod.addresses);
      const destination = network === undefined ? identity : identityFor(networkIdentityLabels(pod.labels, network), firstDestinationIdentity, pod);
      const key = `${identity} ${destination} ${pod.audit ?? ''} ${namedPortsText([pod.namedPorts])}`;
      const member = members.get(key) ?? { identity, destination, labels: pod.labels, subject: { labels: pod.labels, namedPorts: pod.namedPorts }, ...(pod.audit !== undefined && { audit: pod.audit }) };
      members.set(key, member);
      this.#members.set(pod, member);
    }
    for (const { id, labels, ports } of identities.values()) this.engine.upsertIdentity(id, labels, [...ports.values()]);
  }
}

/** Nodes, and not all of them. */
function isForSomeNodes({ requirements }: EndpointSelector): boolean {
  return requirements.some(r => r.source === 'node')
    || (requirements.some(r => r.source === 'reserved' && (r.key === 'host' || r.key === 'remote-node')) && requirements.some(r => r.source !== 'reserved' && r.key !== labelKeys.cluster));
}

const firstPodIdentity = 256;
/** In one world of all nodes each is the host to its own pods: numbers that no agent uses. */
const firstHostIdentity = 3 << 24;
/** Of pods by the network that their address lies in. */
const firstDestinationIdentity = 4 << 24;
const firstNameIdentity = 5 << 24;

function decisionOf(row: VerdictRow, set: CompiledSet, l7Sets: ReadonlyMap<number, L7Set>): Decision {
  const decision: Decision = { verdict: row.verdict, rule: set.rules.get(row.rule)!, ...(row.l7 !== undefined && { l7: l7Sets.get(row.l7)! }) };
  if (row.verdict !== 'audit' && row.shadow === undefined && row.keepEstablished === undefined && row.asksNames === undefined) return decision;
  return {
    ...decision, ...(row.verdict === 'audit' && { audit: 'policy' as const }), ...(row.keepEstablished && { keepEstablished: true as const }), ...(row.asksNames && { asksNames: true as const }),
    ...(row.shadow && { shadow: { verdict: row.shadow.verdict, rule: set.rules.get(row.shadow.rule)! } }),
  };
}

function indexSet(set: CompiledSet, l7Sets: ReadonlyMap<number, L7Set>): Indexed {
  const rows = new Map<number, DecidedRow[]>();
  for (const row of set.verdicts) {
    const decided = { ...row, decision: decisionOf(row, set, l7Sets) };
    const list = rows.get(row.class);
    if (list) list.push(decided);
    else rows.set(row.class, [decided]);
  }
  for (const list of rows.values()) list.sort((a, b) => rowBits(b) - rowBits(a));
  return { set, rows };
}

function rowBits(row: VerdictRow): number {
  return row.protocol === null ? 0 : 16 + row.portBits;
}

/** `host`, `world`, …: the numbers of what has no pod. */
export const entityIdentities: Readonly<Record<string, number>> = Object.fromEntries([
  ...reservedIdentities.map(r => [r.name, r.id] as const), ['world', reserved.worldIPv4],
]);
