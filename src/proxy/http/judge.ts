/** One request before the sets of both ends: each that is there must let it pass. */
import { changedView } from '../../policy/l7-match.ts';
import { secondReading } from '../../policy/l7-path.ts';
import type { HeaderMutation, HeaderNote, HttpAnswer, HttpMatcher, HttpView } from '../../policy/l7-match.ts';
import type { HttpOpinion, Layers } from '../protocol.ts';

export type Direction = HttpOpinion['direction'];

export interface Opinion extends HttpOpinion {
  readonly notes: readonly HeaderNote[];
}

export interface Judgement {
  readonly passes: boolean;
  /** Egress first; none where policy asks for nothing; of a refused request the last one refused. */
  readonly opinions: readonly Opinion[];
  /** In their order; none of a request that is refused. */
  readonly mutations: readonly HeaderMutation[];
  /** Refused because of its path, whatever the rules: answer 400. */
  readonly malformed?: true;
}

const none: readonly never[] = Object.freeze([]);
const unasked: Judgement = Object.freeze({ passes: true, opinions: none, mutations: none });

export function judge(layers: Layers<HttpMatcher>, request: HttpView): Judgement {
  const { egress, ingress } = layers;
  if (egress === undefined && ingress === undefined) return unasked;
  const first = egress?.match(request);
  if (first && !first.passes) return { passes: false, opinions: [opinion('EGRESS', first)], mutations: none, ...malformed(request) };
  const changed = first && first.mutations.length > 0 ? first.mutations : none;
  // The ingress end sees what the egress end has made of the request.
  const second = ingress?.match(changed.length === 0 ? request : changedView(request, changed));
  const opinions = first && second ? [opinion('EGRESS', first), opinion('INGRESS', second)] : [first ? opinion('EGRESS', first) : opinion('INGRESS', second!)];
  if (second && !second.passes) return { passes: false, opinions, mutations: none, ...malformed(request) };
  const more = second?.mutations ?? none;
  return { passes: true, opinions, mutations: more.length === 0 ? changed : [...changed, ...more] };
}

function malformed(request: HttpView): { malformed?: true } {
  return secondReading(request.path) === null ? { malformed: true } : {};
}

function opinion(direction: Direction, { passes, rule, notes }: HttpAnswer): Opinion {
  return { direction, passes, rule, notes };
}
