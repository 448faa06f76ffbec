import type { FlowL7 } from '../model/flow.ts';
import { DnsType, dnsTypeName, type DnsMessage } from '../model/dns.ts';
import type { NameCache } from './name-cache.ts';

/** Where a DNS message was seen. Of a query the client is its source, of an answer its destination. */
export interface DnsSighting {
  readonly clientIp: string;
  readonly clientPort: number;
  /** The client's local endpoint, 0 when it is elsewhere. */
  readonly endpoint: number;
  readonly timeNs: number;
}

interface Question {
  readonly name: string;
  readonly timeNs: number;
}

/** Queries without an answer yet, and those answered lately; the oldest goes. */
const questionsHeld = 8_192;
/** Resolvers give up after 5 s (resolv.conf(5), timeout) and try again with another id. */
const questionLivesNs = 30e9;

/**
 * DNS messages as L7 records: an answer has the time since its question, and what it says of names is learned. Only of answers
 * to what was asked: a message that nobody asked for tells nothing.
 */
export class DnsObserver {
  readonly #names: NameCache;
  readonly #questions = new Map<string, Question>();

  constructor(names: NameCache) {
    this.#names = names;
  }

  observe(message: DnsMessage, sighting: DnsSighting): FlowL7 {
    const { timeNs } = sighting;
    const key = `${sighting.clientIp} ${sighting.clientPort} ${message.id}`;
    const name = message.questions[0]?.name ?? '.';
    const qtypes = message.questions.map(question => dnsTypeName(question.type));
    if (!message.isResponse) {
      this.#ask(key, { name, timeNs });
      return { type: 'REQUEST', dns: { query: name, qtypes, observationSource: 'kernel' } };
    }
    const asked = this.#questions.get(key);
    const isAnswer = asked !== undefined && asked.name === name && timeNs >= asked.timeNs && timeNs - asked.timeNs < questionLivesNs;
    const ips = message.answers.flatMap(answer => answer.ip ?? []);
    const cnames = message.answers.flatMap(answer => (answer.type === DnsType.cname ? answer.target ?? [] : []));
    const ttl = message.answers.reduce((least, answer) => Math.min(least, answer.ttl), Infinity);
    const rrtypes = [...new Set(message.answers.map(answer => dnsTypeName(answer.type)))];
    if (isAnswer && ips.length > 0 && sighting.endpoint !== 0) this.#names.learn(sighting.endpoint, name, ips, ttl, timeNs);
    return {
      type: 'RESPONSE',
      ...(isAnswer && { latencyNs: timeNs - asked.timeNs }),
      dns: {
        query: name, qtypes, rcode: message.rcode, observationSource: 'kernel',
        ...(ips.length > 0 && { ips }), ...(cnames.length > 0 && { cnames }), ...(ttl !== Infinity && { ttl }), ...(rrtypes.length > 0 && { rrtypes }),
      },
    };
  }

  /** A query that is seen twice, at two ends on this node or because it was sent again, was asked when it was first seen. */
  #ask(key: string, question: Question): void {
    const known = this.#questions.get(key);
    if (known?.name === question.name && question.timeNs - known.timeNs < questionLivesNs) return;
    this.#questions.delete(key);
    if (this.#questions.size >= questionsHeld) this.#questions.delete(this.#questions.keys().next().value!);
    this.#questions.set(key, question);
  }
}
