/** Records of requests and answers for flows. */
import type { FlowL7 } from '../../model/flow.ts';
import type { HttpFacts, SessionRecord, Wire } from '../protocol.ts';
import type { Judgement, Opinion } from './judge.ts';

/** What is known of a request. */
export interface RequestFacts extends HttpFacts {
  readonly headers?: readonly { readonly key: string; readonly value: string }[] | undefined;
}

/** Facts that nobody has been told of yet, of a request that came at `askedUs`. */
export function newFacts(facts: Omit<RequestFacts, 'answeredUs' | 'toldFrame' | 'toldAt' | 'toldOpinions'>): RequestFacts {
  return { ...facts, answeredUs: 0, toldFrame: 0, toldAt: 0, toldOpinions: undefined };
}

/** One record for each end that judged, with what header matches noted. */
export function recordRequest(wire: Wire<unknown>, facts: RequestFacts, { opinions }: Judgement): void {
  if (opinions.length === 0) return;
  if (facts.headers === undefined && !anyNotes(opinions)) return wire.request(facts, opinions);
  for (const record of requestRecords(facts, opinions)) wire.record(record);
}

/** What could not be read, and the answer to it. */
export function recordMalformed(wire: Wire<unknown>, facts: RequestFacts, directions: readonly Opinion['direction'][]): void {
  for (const direction of directions) wire.record(recordOf('ERROR', { direction, rule: 0 }, { type: 'REQUEST', http: httpOf(facts) }, facts.traceId));
}

/** `facts.answeredUs` is when. */
export function recordAnswer(wire: Wire<unknown>, facts: RequestFacts, opinions: readonly Opinion[], status: number): void {
  if (opinions.length === 0) return;
  if (facts.headers === undefined) return wire.answer(facts, opinions, status);
  for (const record of answerRecords(facts, opinions, status)) wire.record(record);
}

/** The records that `Wire.request` stands for. */
export function requestRecords(facts: RequestFacts, opinions: readonly (Omit<Opinion, 'notes'> & Partial<Opinion>)[]): SessionRecord[] {
  return opinions.map(opinion => recordOf(opinion.passes ? 'FORWARDED' : 'DROPPED', opinion, { type: 'REQUEST', http: httpOf(facts, opinion.notes) }, facts.traceId));
}

/** The records that `Wire.answer` stands for. */
export function answerRecords(facts: RequestFacts, opinions: readonly Omit<Opinion, 'notes'>[], status: number): SessionRecord[] {
  const http = { code: status, ...httpOf(facts) };
  return opinions.map(opinion => recordOf('FORWARDED', opinion, { type: 'RESPONSE', latencyNs: Math.floor((facts.answeredUs - facts.askedUs) * 1000), http }, facts.traceId));
}

function anyNotes(opinions: readonly Opinion[]): boolean {
  for (let i = 0; i < opinions.length; i++) if (opinions[i]!.notes.length > 0) return true;
  return false;
}

function recordOf(verdict: SessionRecord['verdict'], { direction, rule }: Pick<Opinion, 'direction' | 'rule'>, l7: FlowL7, traceId: string | undefined): SessionRecord {
  return traceId === undefined ? { verdict, direction, rule, l7 } : { verdict, direction, rule, l7, traceId };
}

function httpOf({ method, origin, path, protocol, headers }: RequestFacts, notes: Opinion['notes'] = []): NonNullable<FlowL7['http']> {
  const url = origin + path;
  if (headers === undefined && notes.length === 0) return { method, url, protocol };
  return { method, url, protocol, headers: [...(headers ?? []), ...notes.map(({ kind, name, value }) => ({ key: `${kind}:${name}`, value }))] };
}

/** Trace id of a W3C `traceparent`; undefined when it is none. */
export function traceIdOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(header)?.[1];
}
