/** What rules say of one HTTP request at a point where they are to be read. */
import type { Subject } from './compile.ts';
import { evaluate } from './evaluate.ts';
import type { PeerView, World } from './evaluate.ts';
import { httpRuleMatches } from './http.ts';
import type { HttpRequest } from './http.ts';
import type { Direction } from './policy.ts';

/** Any rule at the point may let the request pass. */
export function requestPasses(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number, request: HttpRequest): boolean {
  const { l7 } = evaluate(world, subject, direction, peer, protocol, port);
  return l7?.protocol === 'http' && l7.tls?.fault === undefined && l7.rules.some(rule => httpRuleMatches(rule, request));
}
