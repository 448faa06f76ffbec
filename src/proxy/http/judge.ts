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
  if (egress === undefined) return ingress === undefined ? unasked : alone('INGRESS', ingress.match(request), request);
  if (ingress === undefined) return alone('EGRESS', egress.match(request), request);
  return both(egress.match(request), ingress, request);
}

/** What the last one of each end came to: mostly the same rule lets one request after the other pass, and its answer is one object. */
const lastAlone: Record<Direction, { readonly answer: HttpAnswer; readonly judgement: Judgement } | undefined> = { EGRESS: undefined, INGRESS: undefined };

function alone(direction: Direction, answer: HttpAnswer, request: HttpView): Judgement {
  const last = lastAlone[direction];
  if (last !== undefined && last.answer === answer) return last.judgement;
  const opinions = [opinion(direction, answer)];
  if (!answer.passes) return { passes: false, opinions, mutations: none, ...malformed(request) };
  const judgement = { passes: true, opinions, mutations: answer.mutations };
  lastAlone[direction] = { answer, judgement };
  return judgement;
}

function both(first: HttpAnswer, ingress: HttpMatcher, request: HttpView): Judgement {
  if (!first.passes) return { passes: false, opinions: [opinion('EGRESS', first)], mutations: none, ...malformed(request) };
  const changed = first.mutations;
  // The ingress end sees what the egress end has made of the request.
  const second = ingress.match(changed.length === 0 ? request : changedView(request, changed));
  const opinions = [opinion('EGRESS', first), opinion('INGRESS', second)];
  if (!second.passes) return { passes: false, opinions, mutations: none, ...malformed(request) };
  return { passes: true, opinions, mutations: second.mutations.length === 0 ? changed : [...changed, ...second.mutations] };
}

function malformed(request: HttpView): { malformed?: true } {
  return secondReading(request.path) === null ? { malformed: true } : {};
}

function opinion(direction: Direction, { passes, rule, notes }: HttpAnswer): Opinion {
  return { direction, passes, rule, notes };
}
