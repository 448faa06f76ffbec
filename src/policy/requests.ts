/** What rules say of one HTTP request at a point that they leave to the proxy. */
import type { Subject } from './compile.ts';
import { portsMatched, selectsPeer } from './evaluate.ts';
import type { PeerView, World } from './evaluate.ts';
import { httpRuleMatches } from './http.ts';
import type { HttpRequest } from './http.ts';
import type { Direction, Rule } from './policy.ts';

/** Any rule at the point that waits for the proxy may let the request pass. */
export function requestPasses(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number, request: HttpRequest): boolean {
  return rulesAt(world, subject, direction, peer, protocol, port).some(rule => rule.http?.some(h => httpRuleMatches(h, request)));
}

function rulesAt(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number): readonly Rule[] {
  const specs = world.policies.filter(p => p.mode !== 'shadow').flatMap(p => p.specs).filter(s => s.selectsNodes === (subject.isHost ?? false) && s.subject.matches(subject.labels));
  return specs.flatMap(s => s.rules).filter(r => r.direction === direction && (r.effect === 'unproxied' || r.proxied) && selectsPeer(r, peer, world) && portsMatched(r, subject, peer, protocol, port, world) !== undefined);
}
