/** One query to one answer: ours from the zone, the rest from upstream. Never throws; bytes that are no query get no answer. */
import { decodeQuery, encodeAnswer, rcode, readName, truncate, type, udpLimit } from './codec.ts';
import type { Answer, Query, ResourceRecord } from './codec.ts';
import type { Forward } from './forward.ts';
import { lookup } from './zone.ts';
import type { Zone } from './zone.ts';

export interface Responder {
  readonly zone: () => Zone | undefined;
  readonly forward: Forward;
  /** Counts by how it ended. */
  readonly count: (outcome: 'local' | 'forwarded' | 'failed' | 'refused' | 'malformed') => void;
}

export async function respond(bytes: Uint8Array, overTcp: boolean, r: Responder): Promise<Uint8Array | undefined> {
  let query: Query;
  try {
    query = decodeQuery(bytes);
  } catch {
    r.count('malformed');
    return malformed(bytes);
  }
  // An answer is never answered: two servers would do so for ever.
  if (query.flags & 0x8000) return undefined;
  try {
    return await answerTo(query, bytes, overTcp, r);
  } catch {
    // One question that we fail at must not end the answering of all others.
    r.count('failed');
    return encodeAnswer({ ...query, questions: [] }, { rcode: rcode.serverFailure, authoritative: false, answers: [], authority: [], additional: [] }, 512);
  }
}

async function answerTo(query: Query, bytes: Uint8Array, overTcp: boolean, r: Responder): Promise<Uint8Array> {
  const limit = overTcp ? 65_535 : udpLimit(query);
  const plain = (code: number) => encodeAnswer(query, { rcode: code, authoritative: false, answers: [], authority: [], additional: [] }, limit);
  const refused = refusal(query);
  if (refused !== undefined) {
    r.count('refused');
    return plain(refused);
  }
  const zone = r.zone();
  const question = query.questions[0]!;
  const result = zone === undefined ? { kind: 'elsewhere' as const } : lookup(zone, question.name, question.type);
  if (result.kind === 'answer') {
    r.count('local');
    return encodeAnswer(query, result.answer, limit);
  }
  if (result.kind === 'alias') return encodeAnswer(query, await followAlias(query, result.records, result.target, r), limit);
  const answer = query.recursionDesired ? await r.forward(bytes, overTcp) : undefined;
  r.count(answer ? 'forwarded' : 'failed');
  if (!answer) return plain(rcode.serverFailure);
  return answer.length > limit ? truncate(answer) : answer;
}

function refusal(query: Query): number | undefined {
  if (query.opcode !== 0) return rcode.notImplemented;
  if (query.questions.length !== 1) return rcode.formatError;
  if (query.edns && query.edns.version !== 0) return rcode.badVersion;
  const question = query.questions[0]!;
  if (question.class !== 1 || question.type === type.AXFR || question.type === 251) return rcode.refused;
  return undefined;
}

/** The alias, and what upstream says of its target: addresses only, that is what askers follow it for. */
async function followAlias(query: Query, records: readonly ResourceRecord[], target: string, r: Responder): Promise<Answer> {
  const qtype = query.questions[0]!.type;
  const ask = encodeQuestion(target, qtype);
  const reply = qtype === type.A || qtype === type.AAAA ? await r.forward(ask, false) : undefined;
  r.count(reply ? 'forwarded' : 'failed');
  const answers = reply ? [...records, ...addressRecords(reply)] : records;
  return { rcode: rcode.ok, authoritative: true, answers, authority: [], additional: [] };
}

export function encodeQuestion(name: string, qtype: number): Uint8Array {
  const labels = name.split('.').map(label => Buffer.from(label).subarray(0, 63));
  const body = labels.flatMap(label => [Buffer.from([label.length]), label]);
  return Buffer.concat([Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), ...body, Buffer.from([0, qtype >> 8, qtype & 255, 0, 1])]);
}

/** A, AAAA and CNAME records of an answer; what is broken ends the list. */
function addressRecords(bytes: Uint8Array): ResourceRecord[] {
  const out: ResourceRecord[] = [];
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 12;
    for (let i = 0; i < view.getUint16(4); i++) at = readName(bytes, at).end + 4;
    for (let i = 0; i < view.getUint16(6); i++) {
      const { name, end } = readName(bytes, at);
      const recordType = view.getUint16(end);
      const recordTtl = view.getUint32(end + 4);
      const length = view.getUint16(end + 8);
      const data = end + 10;
      if ((recordType === type.A && length === 4) || (recordType === type.AAAA && length === 16)) out.push({ name, type: recordType, ttl: recordTtl, address: Uint8Array.from(bytes.subarray(data, data + length)) });
      if (recordType === type.CNAME) out.push({ name, type: type.CNAME, ttl: recordTtl, target: readName(bytes, data).name });
      at = data + length;
    }
  } catch {
    // What was read so far is good.
  }
  return out;
}

/** FORMERR with the asker's id, when there is at least that and it is a question. */
function malformed(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 12 || bytes[2]! & 0x80) return undefined;
  return Uint8Array.from([bytes[0]!, bytes[1]!, 0x80 | (bytes[2]! & 0x79), 0x80 | rcode.formatError, 0, 0, 0, 0, 0, 0, 0, 0]);
}
