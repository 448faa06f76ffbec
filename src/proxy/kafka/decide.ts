/** What becomes of one whole request. */
import type { Layers } from '../protocol.ts';
import type { Struct } from './codec.ts';
import { denial, KafkaError, writeResponse } from './deny.ts';
import { ApiKey } from './messages.ts';
import type { Message } from './messages.ts';
import { fetchSessionAt, list, readBody, topicsOf } from './request.ts';
import type { RequestHeader, Topics } from './request.ts';
import { newerVersionAsked, tellOffsets, tellTopics, tellVersions } from './rewrite.ts';
import type { Rewrite } from './rewrite.ts';
import { judge, topicFilter } from './rules.ts';
import type { KafkaJudgement, KafkaRules } from './rules.ts';
import { writeRequest } from './write-request.ts';

export interface Decision {
  readonly judgement: KafkaJudgement;
  readonly topics: Topics;
  readonly outcome:
    /** `instead`: other bytes than the client's go to the server. */
    | { readonly kind: 'pass'; readonly hasAnswer: boolean; readonly rewrite?: Rewrite; readonly instead?: Buffer }
    /** `answer`: undefined when the client waits for none. */
    | { readonly kind: 'refuse'; readonly answer: Buffer | undefined; readonly errorCode: number }
    /** There is no answer that the client could read. */
    | { readonly kind: 'close' };
}

const hidden: Topics = { kind: 'hidden' };

/**
 * [start, end) is the whole request without its size. Throws KafkaFault for what cannot be read. May change the bytes: a Fetch that
 * asks for a session is made one that does not.
 */
export function decide(layers: Layers<KafkaRules>, header: RequestHeader, bytes: Buffer, start: number, end: number): Decision {
  const { message, apiVersion: version, correlationId } = header;
  if (!message) return decideUnknown(layers, header);
  const body = readBody(message, version, bytes, header.body, end);
  const topics = topicsOf(message.key, version, body);
  const filter = topicFilter(layers, header);
  const judgement = judge(layers, header, topics);
  const refuse = (answer: Buffer | undefined, errorCode: number): Decision => ({ judgement, topics, outcome: { kind: 'refuse', answer, errorCode } });
  const pass = (rewrite?: Rewrite): Decision => ({ judgement, topics, outcome: { kind: 'pass', hasAnswer: !isSilent(message, body), ...(rewrite && { rewrite }) } });

  if (filter && topics.kind !== 'hidden' && keyPasses(layers, header)) {
    const asked = topics.kind === 'all' ? judge(layers, header, { kind: 'none' }) : judgement;
    if (message.key === ApiKey.metadata) return { judgement: asked, topics, outcome: { kind: 'pass', hasAnswer: true, ...askedTopics(message, header, body, topics, filter) } };
    if (message.key === ApiKey.offsetFetch && topics.kind === 'all') return { judgement: asked, topics, outcome: { kind: 'pass', hasAnswer: true, rewrite: tellOffsets(message, version, filter) } };
  }
  if (!judgement.passes) {
    const { bytes: answer, errorCode } = denial(message, header, body);
    return refuse(isSilent(message, body) ? undefined : answer, errorCode);
  }
  if (message.key === ApiKey.apiVersions) return pass(tellVersions(version));
  if (message.key === ApiKey.saslHandshake && version === 0) {
    return refuse(writeResponse(message, version, correlationId, { errorCode: KafkaError.unsupportedVersion, mechanisms: [] }), KafkaError.unsupportedVersion);
  }
  if (message.key === ApiKey.fetch && version >= 7 && filter) {
    // The topics of a session are those of its earlier requests, perhaps another connection's: each Fetch has to name its own (KIP-227).
    if (body['sessionId'] !== 0) return refuse(writeResponse(message, version, correlationId, { errorCode: KafkaError.fetchSessionIdNotFound }), KafkaError.fetchSessionIdNotFound);
    bytes.writeInt32BE(-1, fetchSessionAt(header) + 4);
  }
  return pass();
}

function decideUnknown(layers: Layers<KafkaRules>, header: RequestHeader): Decision {
  const judgement = judge(layers, header, hidden);
  if (header.apiKey === ApiKey.apiVersions) {
    const answer = newerVersionAsked(header.correlationId);
    return { judgement, topics: { kind: 'none' }, outcome: { kind: 'refuse', answer, errorCode: KafkaError.unsupportedVersion } };
  }
  return { judgement, topics: hidden, outcome: judgement.passes ? { kind: 'pass', hasAnswer: true } : { kind: 'close' } };
}

function keyPasses(layers: Layers<KafkaRules>, header: RequestHeader): boolean {
  return judge(layers, header, { kind: 'none' }).passes;
}

/** A Produce that asks for no acknowledgement has no response. */
function isSilent(message: Message, body: Struct): boolean {
  return message.key === ApiKey.produce && body['acks'] === 0;
}

/**
 * Metadata is asked for by clients for themselves, of all topics that they have ever used: as brokers do, it is answered for those that
 * are allowed. The server never sees the others.
 */
function askedTopics(message: Message, header: RequestHeader, body: Struct, topics: Topics, filter: (topic: string) => boolean): { rewrite?: Rewrite; instead?: Buffer } {
  const { apiVersion: version } = header;
  if (topics.kind === 'all') return { rewrite: tellTopics(message, version, filter, []) };
  if (topics.kind !== 'named') return {};
  const refused = topics.names.filter(name => !filter(name));
  if (refused.length === 0) return {};
  const asked = list(body, 'topics').filter(topic => filter(topic['name'] as string));
  return { instead: writeRequest(message, header, { ...body, topics: asked }), rewrite: tellTopics(message, version, filter, refused) };
}
