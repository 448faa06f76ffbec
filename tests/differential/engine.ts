/**
 * The engine as the product uses it, kept while the cluster changes: objects are parsed, identities come and go, policies are
 * replaced. Three answers to a question: the compiled tables by the model of the kernel's lookup, the plain evaluation, and
 * (for pods) the world of the command-line tools. Rules on HTTP are asked of the kernel's tables in the first, of the matcher in the others.
 */
import { NodeLabelKeys } from '../../src/agent/node-label-keys.ts';
import { NodeIdentities } from '../../src/features/addresses/node-identities.ts';
import { cidrIdentityLabels, firstPrefixIdentity, networkIdentityLabels, reservedIdentities } from '../../src/model/identity.ts';
import type { L7Set } from '../../src/model/l7.ts';
import type { LabelSet } from '../../src/model/labels.ts';
import { LabelSet as Labels } from '../../src/model/labels.ts';
import { PolicyEngine } from '../../src/policy/compile.ts';
import type { CompiledSet, NamedPorts, Subject } from '../../src/policy/compile.ts';
import { identityOf, podEnd } from '../../src/policy/ends.ts';
import { evaluate, lookup } from '../../src/policy/evaluate.ts';
import { tablesOfSet } from '../../src/policy/http-tables.ts';
import { parsePolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { askL7 } from '../../src/policy/requests.ts';
import type { L7Request } from '../../src/policy/requests.ts';
import { readScenario } from '../../src/policy/scenario.ts';
import type { Scenario, ScenarioPod } from '../../src/policy/scenario.ts';
import { walkHttpTables } from '../../src/policy/testing-http-tables.ts';
import { World } from '../../src/policy/world.ts';
import { formatPrefix, parseAddr, parsePrefix, prefixHas } from '../../src/std/ip.ts';
import { here } from './generate.ts';
import { requests } from './naive-requests.ts';
import type { Request } from './naive-requests.ts';
import { clusterName, ofKind, policiesOf } from './objects.ts';
import type { Answer, Direction, KubeObject, Peer, Question, Settings } from './objects.ts';

/** An object that the generator holds for valid and the parser does not is a disagreement too. */
export class Refused extends Error {}

export class Engine {
  readonly settings: Settings;
  readonly engine: PolicyEngine;
  #objects: readonly KubeObject[] = [];
  #scenario!: Scenario;
  #policies: readonly Policy[] = [];
  #world: World | undefined;
  #sets = new Map<string, CompiledSet>();
  readonly #destinations = new Map<string, LabelSet>();
  #pods = new Map<string, ScenarioPod>();
  /** Numbers that stay while their labels or prefix do. */
  readonly #identities = new Map<string, number>();
  readonly #prefixes = new Map<string, number>();
  readonly #nodes = new NodeIdentities();
  #next = 300;
  #nextPrefix = firstPrefixIdentity;

  constructor(settings: Settings) {
    this.settings = settings;
    this.engine = new PolicyEngine(settings);
  }

  get objects(): readonly KubeObject[] {
    return this.#objects;
  }

  get pods(): ReadonlyMap<string, ScenarioPod> {
    return this.#pods;
  }

  /** Prefixes with an identity of their own. */
  get prefixes(): ReadonlyMap<string, number> {
    return this.#prefixes;
  }

  /** Brings the engine to this cluster, from whatever it held before, one piece after the other. */
  load(objects: readonly KubeObject[]): void {
    const scenario = readScenario(objects.map(object => ({ object: object as never, place: (field: string) => field })), { clusterName });
    this.#policies = policiesOf(objects).map(object => {
      const result = parsePolicy(object, { clusterName, nodeLabels: this.settings.nodeLabels });
      if (result.errors) throw new Refused(`${object.kind} ${object.metadata.name}: ${result.errors.map(e => `${e.path}: ${e.message}`).join('; ')}`);
      return result.policy;
    });
    this.#objects = objects;
    this.#scenario = scenario;
    this.#world = undefined;
    this.#sets.clear();
    this.#destinations.clear();
    this.#pods = new Map(scenario.pods.map(p => [`${p.namespace}/${p.name}`, p]));
    this.engine.setServices(scenario.services);
    this.engine.setCidrGroups(scenario.groups);
    this.engine.setPolicies(this.#policies);
    this.#loadIdentities();
    this.#loadPrefixes();
    this.#loadNodes();
  }

  #loadNodes(): void {
    if (!this.settings.nodeLabels) return;
    const asked = new NodeLabelKeys();
    for (const policy of this.#policies) asked.change(undefined, policy);
    const { added, removed } = this.#nodes.set(this.#labelledNodes(), asked.keys, clusterName);
    for (const [id, labels] of added) this.engine.upsertIdentity(id, labels);
    for (const id of removed) this.engine.removeIdentity(id);
  }

  #labelledNodes() {
    return ofKind(this.#objects, 'Node').map(({ metadata, status }) => ({
      name: metadata.name, local: metadata.name === here, labels: metadata.labels ?? {}, addresses: status.addresses.map(a => a.address),
    }));
  }

  #loadIdentities(): void {
    const ports = new Map<string, NamedPorts[]>();
    const labels = new Map<string, LabelSet>();
    for (const pod of this.#scenario.pods) ports.set(pod.labels.toString(), [...(ports.get(pod.labels.toString()) ?? []), pod.namedPorts]);
    for (const pod of this.#scenario.pods) {
      for (const set of [pod.labels, ...pod.addresses.map(address => this.#asDestination(pod, address))]) {
        labels.set(set.toString(), set);
        ports.set(set.toString(), ports.get(pod.labels.toString())!);
      }
    }
    for (const [text, id] of this.#identities) {
      if (ports.has(text)) continue;
      this.engine.removeIdentity(id);
      this.#identities.delete(text);
    }
    for (const [text, set] of labels) {
      if (!this.#identities.has(text)) this.#identities.set(text, this.#next++);
      this.engine.upsertIdentity(this.#identities.get(text)!, set, ports.get(text)!);
    }
  }

  /** The labels by which egress policy sees a pod at this address: its own, and the longest of the networks that policies name. */
  #asDestination(pod: ScenarioPod, address: string): LabelSet {
    const key = `${pod.namespace}/${pod.name} ${address}`;
    const known = this.#destinations.get(key);
    if (known) return known;
    const network = this.engine.networkPrefixes().filter(text => text.includes(':') === address.includes(':') && prefixHas(parsePrefix(text), parseAddr(address)))
      .sort((a, b) => parsePrefix(b).bits - parsePrefix(a).bits)[0];
    const labels = network === undefined ? pod.labels : networkIdentityLabels(pod.labels, network);
    this.#destinations.set(key, labels);
    return labels;
  }

  #loadPrefixes(): void {
    const wanted = this.engine.cidrPrefixes();
    for (const [prefix, id] of this.#prefixes) {
      if (wanted.includes(prefix)) continue;
      this.engine.removeIdentity(id);
      this.#prefixes.delete(prefix);
    }
    for (const prefix of wanted) {
      if (!this.#prefixes.has(prefix)) this.#prefixes.set(prefix, this.#nextPrefix++);
      this.engine.upsertIdentity(this.#prefixes.get(prefix)!, cidrIdentityLabels(prefix, wanted));
    }
    if (this.engine.missingPrefixes().length > 0) throw new Error(`prefixes without an identity: ${this.engine.missingPrefixes().join(' ')}`);
  }

  /** Another engine that is given all at once, with the same numbers for identities. */
  fromScratch(): Engine {
    const fresh = new Engine(this.settings);
    for (const [text, id] of this.#identities) fresh.#identities.set(text, id);
    for (const [prefix, id] of this.#prefixes) fresh.#prefixes.set(prefix, id);
    fresh.#nodes.adopt(this.#labelledNodes().filter(n => !n.local).flatMap(n => n.addresses.map(text => {
      const { addr, bits } = parsePrefix(text);
      return [{ addr, prefixBits: bits }, { identity: this.#nodes.of(n) }] as const;
    })));
    fresh.load(this.#objects);
    return fresh;
  }

  subject(subject: Question['subject']): Subject {
    if ('pod' in subject) {
      const pod = this.#pods.get(subject.pod)!;
      return { labels: pod.labels, namedPorts: pod.namedPorts };
    }
    const labels = ofKind(this.#objects, 'Node').find(n => n.metadata.name === subject.node)!.metadata.labels ?? {};
    return { labels: Labels.of(['reserved:host', ...Object.entries(labels).map(([key, value]) => `k8s:${key}=${value}`)]), namedPorts: new Map(), isHost: true };
  }

  set(subject: Question['subject'], direction: Direction): CompiledSet {
    const key = `${JSON.stringify(subject)} ${direction}`;
    const known = this.#sets.get(key) ?? this.engine.compile(this.subject(subject), direction);
    this.#sets.set(key, known);
    return known;
  }

  /** The number under which the subject's policy sees the peer. */
  peerOf(q: Question): number {
    if (!('pod' in q.peer) || q.direction === 'ingress') return this.identity(q.peer, q.subject);
    return this.destination(q.peer.pod, q.v6);
  }

  /** The number under which egress policy sees a pod at one of its addresses. */
  destination(key: string, v6: boolean): number {
    const pod = this.#pods.get(key)!;
    return this.#identities.get(this.#asDestination(pod, pod.addresses[v6 ? 1 : 0]!).toString())!;
  }

  /** The number under which the kernel would know the peer. */
  identity(peer: Peer, subject: Question['subject']): number {
    if ('pod' in peer) return this.#identities.get(this.#pods.get(peer.pod)!.labels.toString())!;
    if ('node' in peer && peer.node === this.#nodeOf(subject)) return 1;
    if ('node' in peer) return this.settings.nodeLabels ? this.#nodes.of(this.#labelledNodes().find(n => n.name === peer.node)!) : 6;
    if ('reserved' in peer) return reservedIdentities.find(r => r.name === peer.reserved)!.id;
    return this.outsideIdentity(peer.outside);
  }

  /** By the longest prefix, as the address map finds it. */
  outsideIdentity(address: string): number {
    const found = [...this.#prefixes].map(([text, id]) => ({ prefix: parsePrefix(text), text, id }))
      .filter(({ prefix, text }) => text.includes(':') === address.includes(':') && prefixHas(prefix, parseAddr(address)))
      .sort((a, b) => b.prefix.bits - a.prefix.bits)[0];
    return found?.id ?? (address.includes(':') ? 10 : 9);
  }

  #nodeOf(subject: Question['subject']): string {
    return 'node' in subject ? subject.node : this.#pods.get(subject.pod)!.node!;
  }

  // ---- answers ----

  byTables(q: Question): Answer {
    const row = lookup(this.set(q.subject, q.direction), this.peerOf(q), q.protocol, q.port);
    if (!row) throw new Error('no row');
    const l7 = row.l7 === undefined ? undefined : this.engine.l7Sets().get(row.l7);
    return { ...answerOf({ ...row, l7 }, l7 && inKernel(l7)), keep: row.keepEstablished ?? false };
  }

  byEvaluation(q: Question): Answer {
    const view = this.engine.identities.get(this.peerOf(q));
    return answerOf(evaluate({ policies: this.#policies, services: this.#scenario.services, cidrGroups: this.#scenario.groups, options: this.settings }, this.subject(q.subject), q.direction, view, q.protocol, q.port));
  }

  /**
   * What the tools say. Undefined where they know more than the agents that are asked here (labels of nodes), and for a
   * destination by another of its addresses than the one that they compare with networks.
   */
  byWorld(q: Question): Answer | undefined {
    const world = (this.#world ??= new World(this.#scenario, this.settings));
    if (!this.settings.nodeLabels && world.tellsNodesApart) return undefined;
    const member = 'node' in q.subject ? world.nodeMember(q.subject.node)! : world.memberOf(this.#pods.get(q.subject.pod)!)!;
    const identity = this.#worldIdentity(world, q);
    return identity === undefined ? undefined : answerOf(world.decide(member.subject, q.direction, identity, q.protocol, q.port));
  }

  #worldIdentity(world: World, { subject, direction, peer, v6 }: Question): number | undefined {
    if ('outside' in peer) return world.identityOfPrefix(formatPrefix(parsePrefix(peer.outside)));
    if ('reserved' in peer) return this.identity(peer, subject);
    if ('node' in peer) return identityOf(world, { type: 'node', text: peer.node, node: peer.node }, direction, this.#nodeOf(subject));
    const pod = this.#pods.get(peer.pod)!;
    const identity = identityOf(world, podEnd(pod), direction);
    const sees = direction === 'ingress' ? pod.labels : this.#asDestination(pod, pod.addresses[v6 ? 1 : 0]!);
    return world.labelsOf(identity)!.equals(sees) ? identity : undefined;
  }
}

const tables = new WeakMap<L7Set, ReturnType<typeof tablesOfSet>>();

/** Rules on HTTP as the kernel carries them out, where it can. */
export function httpTables(set: L7Set): ReturnType<typeof tablesOfSet> {
  const compiled = tables.get(set) ?? tablesOfSet(set);
  tables.set(set, compiled);
  return compiled;
}

function inKernel(set: L7Set): ((request: L7Request) => boolean) | undefined {
  const compiled = httpTables(set);
  if ('unfit' in compiled) return undefined;
  return request => 'http' in request && walkHttpTables(compiled.tables, { ...request.http, host: '', headers: [] }).passes;
}

function answerOf({ verdict, l7, shadow }: { readonly verdict: Answer['verdict']; readonly l7?: L7Set | undefined; readonly shadow?: { readonly verdict: 'allow' | 'deny' } }, passes = (request: L7Request) => askL7(l7!, request).passes): Answer {
  if (verdict === 'redirect' && !l7) throw new Error('a redirect without a set');
  return { verdict, ...(l7 && { passing: requests.filter(request => passes(requestOf(request))), ...(l7.protocol === 'http' && { reader: l7.kernel ? 'kernel' as const : 'proxy' as const }) }), ...(shadow && { shadow: shadow.verdict }) };
}

function requestOf(text: Request): L7Request {
  const [first, second] = text.split(' ') as [string, string];
  return first === 'name' ? { dns: second } : first === 'server' ? { serverName: second } : { http: { method: first, path: second } };
}
