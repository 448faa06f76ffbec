/**
 * One connection through the world: egress of the source, then ingress of the destination, after the service was resolved
 * to a pod and its port, as the datapath does it.
 */
import { reserved } from '../model/identity.ts';
import { CirriError } from '../std/errors.ts';
import type { RuleInfo } from './compile.ts';
import { kernelRefusal, readAtProxy, readerOf } from './http-reader.ts';
import type { Read } from './http-reader.ts';
import { identityOf, nodeOf, portText, targetPort } from './ends.ts';
import type { End, PortOfConnection, Target } from './ends.ts';
import { protocolName } from './policy.ts';
import type { Direction } from './policy.ts';
import { askL7 } from './requests.ts';
import type { L7Request } from './requests.ts';
import type { ScenarioPod } from './scenario.ts';
import type { Decision, Member, World } from './world.ts';

/** What one end says. */
export interface Step extends Decision {
  readonly direction: Direction;
  /** Whose policies are asked: a pod, or a node where policies are for nodes. */
  readonly end: End;
  readonly pod?: ScenarioPod;
  readonly member: Member;
  readonly peer: End;
  readonly identity: number;
  readonly protocol: number;
  /** At the pod: behind a service this is not the port that was asked for. */
  readonly port: number;
  /** `policies/web.yaml:12` of the rule. */
  readonly place?: string;
  /** Who reads, where rules on HTTP hold. */
  readonly read?: Read;
  /** Where what is said is read: whether the request that was asked about passes. */
  readonly request?: 'passes' | 'refused';
  /** The rule that lets it pass, or comes nearest, where that is not the one of the verdict. */
  readonly requestRule?: RuleInfo;
  /** What kept it: `method: POST, not GET`. */
  readonly refusal?: string;
}

export type LegVerdict = 'allow' | 'audit' | 'deny';

/** From one party to one party. */
export interface Leg {
  readonly from: End;
  readonly to: End;
  readonly protocol: number;
  readonly port: number;
  /** `audit`: passes, and an end reports it, because its denial is not enforced. */
  readonly verdict: LegVerdict;
  /** Empty where no end is a pod: nobody asks. */
  readonly steps: readonly Step[];
}

export interface Connection {
  readonly from: Target;
  readonly to: Target;
  readonly asked: PortOfConnection;
  /** `mixed`: the name stands for parties that are treated differently. */
  readonly verdict: LegVerdict | 'mixed';
  readonly legs: readonly Leg[];
  readonly notes: readonly string[];
}

/** Whether what is read there lets `request` pass counts too. */
export function connect(world: World, from: Target, to: Target, asked: PortOfConnection, request?: L7Request): Connection {
  const legs = from.ends.flatMap(source => to.ends.flatMap(destination => {
    const port = portAt(to, destination, asked);
    return port === undefined ? [] : [leg(world, source, destination, asked.protocol, port, request)];
  }));
  if (legs.length === 0) throw noSuchPort(to, asked);
  const verdicts = new Set(legs.map(l => l.verdict));
  const verdict = verdicts.size > 1 ? 'mixed' : legs[0]!.verdict;
  return { from, to, asked, verdict, legs, notes: [...new Set([...from.notes, ...to.notes, ...translationNote(to, asked, legs), ...legs.flatMap(l => addressNotes(world, l))])] };
}

export function leg(world: World, from: End, to: End, protocol: number, port: number, request?: L7Request): Leg {
  const asked = stepsAt(world, from, 'egress', to, protocol, port, { request });
  const steps = [...asked, ...stepsAt(world, to, 'ingress', from, protocol, port, { request, atProxy: asked.some(step => step.l7) })];
  const verdict = steps.some(s => s.verdict === 'deny') ? 'deny' : steps.some(s => s.verdict === 'audit') ? 'audit' : 'allow';
  return { from, to, protocol, port, verdict, steps };
}

/**
 * Whose policies an end brings with it: a pod's; a node's where there are policies for nodes. What a node sends to its own pods
 * and to API servers is never asked about (docs/policies.md, policies for nodes).
 */
export function memberAt(world: World, end: End, direction: Direction, other: End): Member | undefined {
  if (end.type === 'pod') return world.memberOf(end.pod);
  const node = end.type === 'node' && world.restrictsNodes ? nodeOf(end, other) : undefined;
  if (node === undefined || (direction === 'egress' && (isPodOf(other, node) || isApiServer(other)))) return undefined;
  return world.nodeMember(node);
}

function isPodOf(end: End, node: string): boolean {
  return end.type === 'pod' && end.pod.node === node;
}

function isApiServer(end: End): boolean {
  return end.type === 'identity' && end.identity === reserved.kubeApiserver;
}

interface Reading {
  readonly request: L7Request | undefined;
  /** The proxy has the connection already. */
  readonly atProxy?: boolean;
}

/** One answer, or none from an end that has no policies. */
function stepsAt(world: World, end: End, direction: Direction, peer: End, protocol: number, port: number, reading: Reading): readonly Step[] {
  const member = memberAt(world, end, direction, peer);
  if (!member) return [];
  const own = identityOf(world, peer, direction, nodeOf(end, peer));
  const asOwn = judged(world, member, direction, own, protocol, port, reading);
  // As the kernel does it: where no rule says anything about the address, or one on names comes before it, its name is asked about.
  const named = direction === 'egress' && (asOwn.rule.effect === 'default-deny' || asOwn.asksNames === true) && peer.type === 'identity' && peer.name !== undefined ? world.identityOfName(peer.name) : undefined;
  const identity = named ?? own;
  const decision = named === undefined ? asOwn : judged(world, member, direction, named, protocol, port, reading);
  const place = world.placeOf(decision.rule);
  return [{ direction, end, ...(end.type === 'pod' && { pod: end.pod }), member, peer, identity, protocol, port, ...decision, ...(place !== undefined && { place }) }];
}

/** `shop/web`, `node n1`. */
export function stepAt({ end }: Step): string {
  return end.type === 'node' && end.node !== undefined && !end.text.includes('/') ? `node ${end.node}` : end.text;
}

function judged(world: World, member: Member, direction: Direction, identity: number, protocol: number, port: number, { request, atProxy }: Reading): Decision & Pick<Step, 'read' | 'request' | 'requestRule' | 'refusal'> {
  const judgement = world.judge(member, direction, identity, protocol, port);
  const read = readerOf(judgement.l7, world.scenario.kernelUnable ?? (atProxy ? readAtProxy : undefined));
  const decision = read ? { ...judgement, read } : judgement;
  if (!decision.l7 || !request) return decision;
  const refusal = read?.reader === 'kernel' && 'http' in request ? kernelRefusal(request.http) : undefined;
  const { passes, rule, why } = refusal === undefined ? askL7(decision.l7, request) : { passes: false, why: refusal };
  const other = rule === undefined || rule === decision.rule.id ? undefined : world.engine.ruleInfo(rule);
  return { ...decision, verdict: passes ? 'allow' : 'deny', request: passes ? 'passes' : 'refused', ...(other && { requestRule: other }), ...(why !== undefined && { refusal: why }) };
}

/** What could not be asked for want of an address. */
function addressNotes(world: World, { to, steps }: Leg): readonly string[] {
  if (to.type !== 'pod' || to.pod.addresses.length > 0) return [];
  const egress = steps.find(s => s.direction === 'egress');
  const asksForNetworks = egress && world.engine.rulesFor(egress.member.subject, 'egress').some(({ rule }) => rule.peers !== 'any' && rule.peers.some(p => p.type === 'cidr' && p.pods));
  return asksForNetworks ? [`${to.text} has no address yet: rules with networks, which select pods by their addresses, were not compared with it`] : [];
}

function portAt(to: Target, end: End, asked: PortOfConnection): number | undefined {
  if (!to.service || asked.protocol === 1 || asked.protocol === 58) return asked.port;
  return targetPort(to.service, asked.protocol, asked.port, end.type === 'pod' ? end.pod : undefined);
}

function translationNote(to: Target, asked: PortOfConnection, legs: readonly Leg[]): readonly string[] {
  if (!to.service) return [];
  const ports = [...new Set(legs.map(l => l.port))];
  const moved = ports.length === 1 && ports[0] === asked.port ? '' : `, port ${ports.join(' or ')}: policies see the pod's port, not the service's ${asked.port}`;
  return [`${to.text} is ${[...new Set(legs.map(l => l.to.text))].join(', ')}${moved}`];
}

function noSuchPort(to: Target, asked: PortOfConnection): CirriError {
  const known = (to.service?.ports ?? []).map(p => `${p.port}/${p.protocol}`);
  return new CirriError('ERR_END', `${to.text} has no port ${portText(asked)}${known.length > 0 ? `; it has ${known.join(', ')}` : ''}`, { mend: `choose one of the service's ports, or name a pod to ask about ${asked.port}/${protocolName(asked.protocol)} there` });
}
