/** Why a connection is allowed or denied, in a sentence: policy, rule path, reason; for a denial also what came closest. */
import type { LabelSet } from '../model/labels.ts';
import { reservedName } from '../model/identity.ts';
import type { CidrGroup, CompiledSet, NamedPorts, Service, Subject } from './compile.ts';
import { lookup, portsMatched, selectsPeer } from './evaluate.ts';
import { policyText, protocolName } from './policy.ts';
import type { Direction, Policy, Rule } from './policy.ts';
import { describePeers, describePorts } from './rule-info.ts';
import type { RuleInfo } from './rule-info.ts';

/** One end's view: its set, and, for the closest rule, its subject and rules (`PolicyEngine.rulesFor`). */
export interface EndView {
  readonly set: CompiledSet;
  readonly subject?: Subject;
  readonly rules?: readonly { readonly policy: Policy; readonly rule: Rule }[];
  readonly services?: readonly Service[];
  readonly cidrGroups?: readonly CidrGroup[];
}

export interface PeerOfEnd {
  readonly identity: number;
  readonly labels?: LabelSet;
  readonly namedPorts?: readonly NamedPorts[];
}

export interface Explanation {
  readonly direction: Direction;
  readonly verdict: 'allow' | 'deny' | 'redirect' | 'audit' | 'not-ready';
  readonly rule?: RuleInfo;
  readonly sentence: string;
  /** For a default denial: the rule that would nearly have allowed it. */
  readonly nearest?: string;
}

/** What one end says of a connection with a peer. */
export function explain(end: EndView, peer: PeerOfEnd, protocol: number, port: number): Explanation {
  const { set } = end;
  const row = lookup(set, peer.identity, protocol, port);
  const rule = row && set.rules.get(row.rule);
  if (!row || !rule) return { direction: set.direction, verdict: 'not-ready', sentence: `${title('deny', set.direction, peer, protocol, port)}: the endpoint's policy is not loaded yet` };
  const nearest = rule.effect === 'default-deny' ? nearestRule(end, peer, protocol, port) : undefined;
  const sentence = `${title(row.verdict, set.direction, peer, protocol, port)}: ${rule.because}`;
  return { direction: set.direction, verdict: row.verdict, rule, sentence, ...(nearest !== undefined && { nearest }) };
}

/** Both ends of a connection, in the order in which they are asked: egress of the source, ingress of the destination. An end outside the cluster has no view. */
export function explainConnection(ends: { source?: EndView; destination?: EndView }, source: PeerOfEnd, destination: PeerOfEnd, protocol: number, port: number): { verdict: 'allow' | 'deny'; steps: readonly Explanation[] } {
  const steps = [
    ...(ends.source ? [explain(ends.source, destination, protocol, port)] : []),
    ...(ends.destination ? [explain(ends.destination, source, protocol, port)] : []),
  ];
  const passes = steps.every(({ verdict }) => verdict !== 'deny' && verdict !== 'not-ready');
  return { verdict: passes ? 'allow' : 'deny', steps };
}

function title(verdict: string, direction: Direction, peer: PeerOfEnd, protocol: number, port: number): string {
  const name = reservedName(peer.identity);
  const who = name ? `reserved:${name}` : peer.labels ? shortLabels(peer.labels) : `identity ${peer.identity}`;
  const what = protocol === 1 || protocol === 58 ? `${protocolName(protocol)} type ${port}` : `port ${port}/${protocolName(protocol)}`;
  return `${direction} ${direction === 'ingress' ? 'from' : 'to'} ${who} on ${what} is ${verdict === 'deny' ? 'denied' : verdict === 'allow' ? 'allowed' : verdict}`;
}

/** `shop/app=web,tier=front`: what the cluster adds is left out. */
function shortLabels(labels: LabelSet): string {
  const namespace = labels.get('k8s', 'io.kubernetes.pod.namespace');
  const own = labels.array.filter(l => !/^k8s:io\.(kubernetes\.pod|cilium\.k8s)\./.test(l)).map(l => l.replace(/^k8s:/, ''));
  return `${namespace === undefined ? '' : `${namespace}/`}${own.join(',')}`;
}

function nearestRule(end: EndView, peer: PeerOfEnd, protocol: number, port: number): string | undefined {
  const rules = (end.rules ?? []).filter(({ rule }) => rule.direction === end.set.direction && rule.effect === 'allow');
  const view = peer.labels && { labels: peer.labels, ...(peer.namedPorts && { namedPorts: peer.namedPorts }) };
  const samePeer = rules.find(({ rule }) => selectsPeer(rule, view, end));
  if (samePeer) return `closest: ${ruleText(samePeer)} allows this peer, but only on ${describePorts(samePeer.rule.ports)}`;
  const samePort = rules.find(({ rule }) => end.subject && portsMatched(rule, end.subject, view, protocol, port) !== undefined && rule.peers !== 'any' && rule.peers.length > 0);
  return samePort && `closest: ${ruleText(samePort)} allows this port, but only ${end.set.direction === 'ingress' ? 'from' : 'to'} ${describePeers(samePort.rule.peers)}`;
}

function ruleText({ policy, rule }: { readonly policy: Policy; readonly rule: Rule }): string {
  return `${policyText(policy)} (${rule.path})`;
}
