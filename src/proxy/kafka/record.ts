import type { FlowL7 } from '../../model/flow.ts';
import type { Wire } from '../protocol.ts';
import { apiKeyName } from './messages.ts';
import type { RequestHeader, Topics } from './request.ts';
import type { KafkaJudgement, Opinion } from './rules.ts';

/** Of one request: each topic is a flow, as upstream has it, and more of them than this say nothing more. */
const maxFlows = 16;

/** What is told of a request again with its answer. */
export interface RequestFacts {
  readonly header: Pick<RequestHeader, 'apiKey' | 'apiVersion' | 'correlationId'>;
  /** The only topic, or none. */
  readonly topic: string | undefined;
  readonly opinions: readonly Opinion[];
  readonly atUs: number;
}

/** Each end that judged tells of each topic; what it refuses bears the error. `isPart`: it passes for the topics that are allowed. */
export function recordRequest(wire: Wire<unknown>, header: RequestHeader, topics: Topics, judgement: KafkaJudgement, errorCode: number, isPart: boolean): RequestFacts {
  const names: readonly (string | undefined)[] = topics.kind === 'named' ? topics.names.slice(0, maxFlows) : [undefined];
  for (const opinion of judgement.opinions) {
    for (const name of names) {
      const isDenied = !opinion.passes && (name === undefined || opinion.denied.length === 0 || opinion.denied.includes(name));
      if (!opinion.passes && !isDenied && !isPart) continue;
      wire.record({ verdict: isDenied ? 'DROPPED' : 'FORWARDED', direction: opinion.direction, rule: opinion.rule, l7: { type: 'REQUEST', kafka: kafkaOf(header, name, isDenied ? errorCode : undefined) } });
    }
  }
  return { header: { apiKey: header.apiKey, apiVersion: header.apiVersion, correlationId: header.correlationId }, topic: names.length === 1 ? names[0] : undefined, opinions: judgement.opinions, atUs: wire.now() };
}

/** `errorCode` undefined: the answer was not read. */
export function recordAnswer(wire: Wire<unknown>, { header, topic, opinions, atUs }: RequestFacts, errorCode: number | undefined): void {
  const latencyNs = Math.round((wire.now() - atUs) * 1000);
  for (const { direction, rule } of opinions) {
    wire.record({ verdict: 'FORWARDED', direction, rule, l7: { type: 'RESPONSE', latencyNs, kafka: kafkaOf(header, topic, errorCode) } });
  }
}

/** Bytes that are no request, or a response that nobody asked for. */
export function recordFault(wire: Wire<unknown>, direction: Opinion['direction'], type: 'REQUEST' | 'RESPONSE'): void {
  wire.record({ verdict: 'ERROR', direction, rule: 0, l7: { type, kafka: { apiKey: '', apiVersion: 0, correlationId: 0 } } });
}

function kafkaOf(header: RequestFacts['header'], topic: string | undefined, errorCode: number | undefined): NonNullable<FlowL7['kafka']> {
  return {
    apiKey: apiKeyName(header.apiKey), apiVersion: header.apiVersion, correlationId: header.correlationId,
    ...(topic !== undefined && { topic: Buffer.from(topic, 'latin1').toString('utf8') }), ...(errorCode !== undefined && { errorCode }),
  };
}
