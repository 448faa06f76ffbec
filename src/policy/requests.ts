/** What rules say of one HTTP request at a point where they are to be read. */
import type { Subject } from './compile.ts';
import { evaluate } from './evaluate.ts';
import type { PeerView, World } from './evaluate.ts';
import { compileHttpRules, viewOf } from './l7-match.ts';
import type { Direction } from './policy.ts';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Any rule at the point may let the request pass. */
export function requestPasses(world: World, subject: Subject, direction: Direction, peer: PeerView | undefined, protocol: number, port: number, request: HttpRequest): boolean {
  const { l7 } = evaluate(world, subject, direction, peer, protocol, port);
  return l7?.protocol === 'http' && l7.tls?.fault === undefined && compileHttpRules(l7.rules).match(viewOf(request)).passes;
}
