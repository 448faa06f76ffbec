/**
 * Policies proposed from what was seen: for each workload of a namespace one CiliumNetworkPolicy that allows what passed, and
 * by being there denies the rest. Selectors rather than addresses, names rather than addresses of the world.
 */
import { isWorld, labelKeys } from '../model/identity.ts';
import { LabelSet, parseLabel } from '../model/labels.ts';
import type { ObservedEnd, ObservedPair } from '../model/observed.ts';
import { minimalSelector } from './minimal-selector.ts';
import { observedPod } from './observed.ts';
import { writtenNames, writtenPrefixes } from './recommend-outside.ts';
import { writtenPorts, type SeenPort, type WrittenPorts } from './recommend-ports.ts';
import type { Scenario, ScenarioPod } from './scenario.ts';

export interface RecommendOptions {
  readonly namespace: string;
  /** Only of these workloads; all when left out. */
  readonly workloads?: readonly string[];
  /** Pairs with fewer connections are taken for accidents; default 1. */
  readonly minConnections?: number;
  /** Addresses instead of names: for clusters that do not learn names. */
  readonly addresses?: boolean;
  /** With the DNS rule without which Cilium learns no names. */
  readonly dnsRules?: boolean;
  /** Denied connections are proposed as well. */
  readonly includeDenied?: boolean;
}

/** A policy to write out, and what it rests on. */
export interface Proposal {
  readonly workload: string;
  readonly policy: ProposedPolicy;
  readonly connections: number;
  readonly pairs: number;
}

export interface ProposedPolicy {
  readonly apiVersion: 'cilium.io/v2';
  readonly kind: 'CiliumNetworkPolicy';
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly description: string;
    readonly endpointSelector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly enableDefaultDeny: { readonly ingress: boolean; readonly egress: boolean };
    readonly ingress: readonly ProposedRule[];
    readonly egress: readonly ProposedRule[];
  };
}

export type ProposedRule = Readonly<Record<string, unknown>>;

export interface Recommendation {
  readonly proposals: readonly Proposal[];
  /** What was seen and is not proposed, with the reason. */
  readonly left: readonly { readonly pair: ObservedPair; readonly reason: 'denied' | 'rare' }[];
}

export function recommend(scenario: Scenario, pairs: readonly ObservedPair[], options: RecommendOptions): Recommendation {
  const { namespace, minConnections = 1, includeDenied = false } = options;
  const seen = podsSeen(scenario, pairs);
  const selectorOf = (end: ObservedEnd) => minimalSelector(seen.get(textOf(end.labels))!, [...seen.values()]);
  const left: Recommendation['left'][number][] = [];
  const arrived = deniedOnArrival(pairs);
  const subjects = new Map<string, Subject>();
  for (const pair of pairs) {
    const own = pair.direction === 'EGRESS' ? pair.source : pair.destination;
    if (own.namespace !== namespace || !isWanted(own, options.workloads)) continue;
    if ((pair.verdict === 'DROPPED' || arrived(pair)) && !includeDenied) left.push({ pair, reason: 'denied' });
    else if (pair.count < minConnections) left.push({ pair, reason: 'rare' });
    else {
      const matchLabels = selectorOf(own);
      const key = JSON.stringify(matchLabels);
      const subject = subjects.get(key) ?? { matchLabels, names: new Set<string>(), pairs: [] };
      subjects.set(key, subject);
      subject.names.add(own.workload?.name ?? own.podName ?? namespace);
      subject.pairs.push(pair);
    }
  }
  const taken = new Set<string>();
  const proposals = [...subjects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, subject]) => {
    const workload = [...subject.names].sort()[0]!;
    // Pods of one workload with different labels are two subjects.
    let name = policyName(workload);
    for (let i = 2; taken.has(name); i++) name = `${policyName(workload)}-${i}`;
    taken.add(name);
    return propose(subject, workload, name, selectorOf, options);
  });
  return { proposals: proposals.sort((a, b) => (a.policy.metadata.name < b.policy.metadata.name ? -1 : 1)), left };
}

interface Subject {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly names: Set<string>;
  readonly pairs: ObservedPair[];
}

type SelectorOf = (end: ObservedEnd) => Readonly<Record<string, string>>;

function propose(subject: Subject, workload: string, name: string, selectorOf: SelectorOf, options: RecommendOptions): Proposal {
  const { namespace } = options;
  const connections = subject.pairs.reduce((sum, pair) => sum + pair.count, 0);
  const times = subject.pairs.flatMap(pair => [pair.first, pair.last]).sort();
  const rules = (direction: ObservedPair['direction']) => rulesOf(subject.pairs.filter(pair => pair.direction === direction), direction, selectorOf, options);
  return {
    workload, connections, pairs: subject.pairs.length,
    policy: {
      apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy',
      metadata: { name, namespace },
      spec: {
        description: `Proposed by cirri policy recommend from ${connections === 1 ? '1 connection' : `${connections} connections`} seen between ${times[0]!.slice(0, 19)}Z and ${times.at(-1)!.slice(0, 19)}Z.`,
        endpointSelector: { matchLabels: subject.matchLabels },
        enableDefaultDeny: { ingress: true, egress: true },
        ingress: rules('INGRESS'), egress: rules('EGRESS'),
      },
    },
  };
}

/** One kind of peer as it is written, and the ports that were used with it. */
interface Peer { readonly field: string; readonly items: readonly unknown[]; readonly ports: SeenPort[] }

function rulesOf(pairs: readonly ObservedPair[], direction: ObservedPair['direction'], selectorOf: SelectorOf, options: RecommendOptions): readonly ProposedRule[] {
  const word = direction === 'EGRESS' ? 'to' : 'from';
  const peers = new Map<string, Peer>();
  const outside = new Map<string, { readonly port: SeenPort; readonly ends: ObservedEnd[] }>();
  const add = (field: string, items: readonly unknown[], port: SeenPort) => {
    const key = JSON.stringify([field, items]);
    const peer = peers.get(key) ?? { field, items, ports: [] };
    peers.set(key, peer);
    peer.ports.push(port);
  };
  for (const pair of pairs) {
    const end = direction === 'EGRESS' ? pair.destination : pair.source;
    const port: SeenPort = { protocol: pair.protocol, port: pair.port };
    const entity = entityOf(end);
    if (end.namespace !== undefined) add(`${word}Endpoints`, [endpointItem(end, selectorOf, options.namespace)], port);
    else if (entity !== undefined) add(`${word}Entities`, [entity], port);
    else {
      const key = `${port.protocol} ${port.port}`;
      const group = outside.get(key) ?? { port, ends: [] };
      outside.set(key, group);
      group.ends.push(end);
    }
  }
  for (const { port, ends } of outside.values()) {
    // Who comes in from outside has no name that he was looked up by.
    const named = direction === 'EGRESS' && options.addresses !== true ? ends.filter(end => (end.names ?? []).length > 0) : [];
    for (const item of writtenNames(named.flatMap(end => end.names!))) add('toFQDNs', [item], port);
    const prefixes = writtenPrefixes(ends.filter(end => !named.includes(end)).map(end => end.ip!));
    if (prefixes === 'world') add(`${word}Entities`, ['world'], port);
    else for (const prefix of prefixes) add(`${word}CIDR`, [prefix], port);
  }
  return together([...peers.values()], options);
}

/** Peers of one kind with the same ports are one rule. */
function together(peers: readonly Peer[], options: RecommendOptions): readonly ProposedRule[] {
  const usesNames = peers.some(peer => peer.field === 'toFQDNs');
  const rules = new Map<string, { readonly field: string; readonly items: unknown[]; readonly ports: WrittenPorts }>();
  for (const { field, items, ports } of peers) {
    for (const written of writtenPorts(ports, { dnsRules: usesNames && options.dnsRules === true && field === 'toEndpoints' })) {
      const key = JSON.stringify([field, written]);
      const rule = rules.get(key) ?? { field, items: [], ports: written };
      rules.set(key, rule);
      rule.items.push(...items);
    }
  }
  return [...rules.values()]
    .sort((a, b) => (a.field + JSON.stringify(a.items) < b.field + JSON.stringify(b.items) ? -1 : 1))
    .map(({ field, items, ports }) => ({ [field]: sorted(items), ...ports }));
}

function sorted(items: readonly unknown[]): unknown[] {
  return [...items].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function endpointItem(end: ObservedEnd, selectorOf: SelectorOf, namespace: string): unknown {
  const own = end.namespace === namespace ? {} : { [`k8s:${labelKeys.namespace}`]: end.namespace! };
  return { matchLabels: { ...own, ...selectorOf(end) } };
}

/** What is no pod and not the world, in the words of policies; the cluster's own nodes are never addresses. */
function entityOf(end: ObservedEnd): string | undefined {
  const labels = end.labels.map(text => parseLabel(text)).filter(label => label.source === 'reserved').map(label => label.key);
  for (const entity of ['host', 'kube-apiserver', 'remote-node', 'health', 'ingress', 'init', 'unmanaged']) if (labels.includes(entity)) return entity;
  return end.ip === undefined && isWorld(LabelSet.of(end.labels)) ? 'world' : undefined;
}

/** What left one pod and was never let in at the other did not pass, whatever the first end said. */
function deniedOnArrival(pairs: readonly ObservedPair[]): (pair: ObservedPair) => boolean {
  const keyOf = ({ source, destination, protocol, port }: ObservedPair) => JSON.stringify([textOf(source.labels), source.ip, textOf(destination.labels), protocol, port]);
  const ingress = pairs.filter(pair => pair.direction === 'INGRESS' && pair.destination.namespace !== undefined);
  const admitted = new Set(ingress.filter(pair => pair.verdict !== 'DROPPED').map(keyOf));
  const denied = new Set(ingress.filter(pair => pair.verdict === 'DROPPED').map(keyOf));
  return pair => pair.direction === 'EGRESS' && denied.has(keyOf(pair)) && !admitted.has(keyOf(pair));
}

/** All pods that were seen or are there, one of each set of labels: what a selector has to tell apart. */
function podsSeen(scenario: Scenario, pairs: readonly ObservedPair[]): ReadonlyMap<string, ScenarioPod> {
  const pods = new Map(scenario.pods.filter(pod => !pod.hostNetwork).map(pod => [pod.labels.toString(), pod] as const));
  for (const { source, destination } of pairs) {
    for (const end of [source, destination]) {
      const text = textOf(end.labels);
      if (end.namespace !== undefined && !pods.has(text)) pods.set(text, observedPod(end, scenario));
    }
  }
  return pods;
}

function textOf(labels: readonly string[]): string {
  return LabelSet.of(labels).toString();
}

function isWanted(end: ObservedEnd, workloads: readonly string[] | undefined): boolean {
  return workloads === undefined || workloads.some(name => name === end.workload?.name || name === end.podName);
}

/** RFC 1123, and short enough. */
function policyName(workload: string): string {
  return workload.toLowerCase().replace(/[^a-z0-9.-]+/g, '-').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '').slice(0, 240) || 'workload';
}
