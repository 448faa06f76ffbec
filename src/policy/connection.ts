/**
 * One connection through the world: egress of the source, then ingress of the destination, after the service was resolved
 * to a pod and its port, as the datapath does it.
 */
import { CirriError } from '../std/errors.ts';
import type { Subject } from './compile.ts';
import { peerIdentity, portText, targetPort } from './ends.ts';
import type { End, PortOfConnection, Target } from './ends.ts';
import { protocolName } from './policy.ts';
import type { Direction } from './policy.ts';
import type { ScenarioPod } from './scenario.ts';
import type { Decision, World } from './world.ts';

/** What one end says. */
export interface Step extends Decision {
  readonly direction: Direction;
  readonly pod: ScenarioPod;
  readonly subject: Subject;
  readonly peer: End;
  readonly identity: number;
  readonly protocol: number;
  /** At the pod: behind a service this is not the port that was asked for. */
  readonly port: number;
  /** `policies/web.yaml:12` of the rule. */
  readonly place?: string;
}

/** From one party to one party. */
export interface Leg {
  readonly from: End;
  readonly to: End;
  readonly protocol: number;
  readonly port: number;
  readonly verdict: 'allow' | 'deny';
  /** Empty where no end is a pod: nobody asks. */
  readonly steps: readonly Step[];
}

export interface Connection {
  readonly from: Target;
  readonly to: Target;
  readonly asked: PortOfConnection;
  /** `mixed`: the name stands for parties that are treated differently. */
  readonly verdict: 'allow' | 'deny' | 'mixed';
  readonly legs: readonly Leg[];
  readonly notes: readonly string[];
}

export function connect(world: World, from: Target, to: Target, asked: PortOfConnection): Connection {
  const legs = from.ends.flatMap(source => to.ends.flatMap(destination => {
    const port = portAt(to, destination, asked);
    return port === undefined ? [] : [leg(world, source, destination, asked.protocol, port)];
  }));
  if (legs.length === 0) throw noSuchPort(to, asked);
  const verdicts = new Set(legs.map(l => l.verdict));
  const verdict = verdicts.size > 1 ? 'mixed' : legs[0]!.verdict;
  return { from, to, asked, verdict, legs, notes: [...from.notes, ...to.notes, ...translationNote(to, asked, legs)] };
}

export function leg(world: World, from: End, to: End, protocol: number, port: number): Leg {
  const steps: Step[] = [];
  if (from.type === 'pod') steps.push(step(world, from.pod, 'egress', to, protocol, port));
  if (to.type === 'pod') steps.push(step(world, to.pod, 'ingress', from, protocol, port));
  return { from, to, protocol, port, verdict: steps.some(s => s.verdict === 'deny') ? 'deny' : 'allow', steps };
}

export function step(world: World, pod: ScenarioPod, direction: Direction, peer: End, protocol: number, port: number): Step {
  const { subject } = world.memberOf(pod)!;
  const identity = peerIdentity(world, direction, peer, pod);
  const decision = world.decide(subject, direction, identity, protocol, port);
  const place = world.placeOf(decision.rule);
  return { direction, pod, subject, peer, identity, protocol, port, ...decision, ...(place !== undefined && { place }) };
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
