/** Records of requests and answers for flows. */
import type { FlowL7 } from '../../model/flow.ts';
import type { SessionRecord, Wire } from '../protocol.ts';
import type { Judgement, Opinion } from './judge.ts';

/** What is known of a request: texts as the wire has them. */
export interface RequestFacts {
  readonly method: string;
  readonly url: string;
  readonly protocol: string;
  readonly headers?: readonly { readonly key: string; readonly value: string }[];
  readonly traceId?: string;
}

/** One record for each end that judged, with what header matches noted. */
export function recordRequest(wire: Wire<unknown>, facts: RequestFacts, judgement: Judgement): void {
  for (const opinion of judgement.opinions) {
    wire.record(recordOf(opinion.passes ? 'FORWARDED' : 'DROPPED', opinion, { type: 'REQUEST', http: httpOf(facts, opinion) }, facts.traceId));
  }
}

/** What could not be read, and the answer to it. */
export function recordMalformed(wire: Wire<unknown>, facts: RequestFacts, directions: readonly Opinion['direction'][]): void {
  for (const direction of directions) wire.record(recordOf('ERROR', { direction, rule: 0 }, { type: 'REQUEST', http: httpOf(facts) }, facts.traceId));
}

export function recordAnswer(wire: Wire<unknown>, facts: RequestFacts, opinions: readonly Opinion[], code: number, latencyUs: number): void {
  for (const opinion of opinions) {
    const http = { code, method: facts.method, url: facts.url, protocol: facts.protocol, ...(facts.headers && { headers: facts.headers }) };
    wire.record(recordOf('FORWARDED', opinion, { type: 'RESPONSE', latencyNs: latencyUs * 1000, http }, facts.traceId));
  }
}

function recordOf(verdict: SessionRecord['verdict'], { direction, rule }: Pick<Opinion, 'direction' | 'rule'>, l7: FlowL7, traceId: string | undefined): SessionRecord {
  return traceId === undefined ? { verdict, direction, rule, l7 } : { verdict, direction, rule, l7, traceId };
}

function httpOf({ method, url, protocol, headers }: RequestFacts, opinion?: Opinion): NonNullable<FlowL7['http']> {
  const notes = opinion === undefined || opinion.notes.length === 0 ? undefined : opinion.notes.map(({ kind, name, value }) => ({ key: `${kind}:${name}`, value }));
  if (headers === undefined && notes === undefined) return { method, url, protocol };
  return { method, url, protocol, headers: [...(headers ?? []), ...(notes ?? [])] };
}

/** Trace id of a W3C `traceparent`; undefined when it is none. */
export function traceIdOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(header)?.[1];
}
