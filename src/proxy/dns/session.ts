import type { Session, Side, Wire } from '../protocol.ts';
import { answerWith, flag, flagsOf, isBareError, readAddresses, readQuery, readQuestion } from './message.ts';
import type { Question } from './message.ts';
import { recordAnswer, recordFault, recordQuery } from './record.ts';
import { judgeDns } from './rules.ts';
import type { DnsOpinion, DnsRules } from './rules.ts';
import type { NameTables } from './tables.ts';

/** Questions of one connection that wait for their answers; the oldest gives way. */
const maxPending = 256;
const serverFailure = 2;
const typeIxfr = 251;
const typeAxfr = 252;
const nothing = Buffer.alloc(0);

interface Asked {
  readonly question: Question;
  readonly opinions: readonly DnsOpinion[];
  readonly atUs: number;
}

/**
 * DNS over TCP (RFC 7766): messages with their length before them, many on a connection, answered in any order. As over UDP, a question
 * is judged by its name, an answer must be one to what was asked, and its addresses are learned before the client has it.
 */
export class DnsSession implements Session {
  readonly #wire: Wire<DnsRules>;
  readonly #tables: NameTables;
  /** For whom addresses are learned; 0: its node learns them. */
  readonly #clientEndpoint: number;
  readonly #held: Record<Side, Buffer> = { client: nothing, server: nothing };
  /** By id and question. */
  readonly #asked = new Map<string, Asked>();
  #isClosed = false;

  constructor(wire: Wire<DnsRules>, tables: NameTables, clientEndpoint: number) {
    this.#clientEndpoint = clientEndpoint;
    this.#wire = wire;
    this.#tables = tables;
  }

  get idle(): boolean {
    return this.#asked.size === 0 && this.#held.client.length === 0 && this.#held.server.length === 0;
  }

  data(from: Side, data: Buffer, start: number, end: number): void {
    if (this.#isClosed) return;
    // At most one message, 65,537 bytes, is ever kept.
    const held = this.#held[from];
    const bytes = held.length === 0 ? data.subarray(start, end) : Buffer.concat([held, data.subarray(start, end)]);
    let at = 0;
    while (bytes.length - at >= 2 && !this.#isClosed) {
      const next = at + 2 + bytes.readUInt16BE(at);
      if (next > bytes.length) break;
      const whole = bytes.subarray(at, next);
      if (!(from === 'client' ? this.#query(whole) : this.#answer(whole))) return this.#unreadable(from, bytes.subarray(at));
      at = next;
    }
    this.#held[from] = at === bytes.length ? nothing : Buffer.from(bytes.subarray(at));
  }

  ended(from: Side): void {
    if (this.#isClosed) return;
    if (from === 'client' && this.#held.client.length === 0) this.#wire.end('server');
    else this.#close();
  }

  serverFailed(): void {
    if (!this.#isClosed) this.#close();
  }

  timeout(): void {}

  closed(): void {
    this.#isClosed = true;
    this.#asked.clear();
    this.#held.client = this.#held.server = nothing;
  }

  /** False: it is none. */
  #query(whole: Buffer): boolean {
    const question = readQuery(whole.subarray(2));
    if (!question) return false;
    const opinions = judgeDns(this.#wire.layers(), question.name);
    recordQuery(this.#wire, question, opinions);
    if (opinions.some(opinion => !opinion.passes)) {
      const answer = answerWith(this.#tables.refusal, whole.subarray(2), question);
      this.#wire.send('client', answer, 0, answer.length);
      return true;
    }
    if (this.#asked.size >= maxPending) this.#asked.delete(this.#asked.keys().next().value!);
    this.#asked.set(keyOf(question), { question, opinions, atUs: this.#wire.now() });
    this.#wire.send('server', whole, 0, whole.length);
    return true;
  }

  #answer(whole: Buffer): boolean {
    const message = whole.subarray(2);
    if (message.length < 12 || !(flagsOf(message) & flag.response) || flagsOf(message) & flag.opcode) return false;
    const question = readQuestion(message);
    const asked = question ? this.#asked.get(keyOf(question)) : this.#askedById(message);
    // Nobody asked for it: it is not handed on, and nothing is learned.
    if (!asked) return true;
    const isLast = asked.question.type !== typeAxfr && asked.question.type !== typeIxfr;
    const learned = !question || this.#learn(message, question);
    if (isLast || !learned) this.#asked.delete(keyOf(asked.question));
    const answer = learned ? whole : answerWith(serverFailure, message, question);
    recordAnswer(this.#wire, asked.question, asked.opinions, answer.subarray(2), this.#wire.now() - asked.atUs);
    this.#wire.send('client', answer, 0, answer.length);
    return true;
  }

  /** What was asked with this id, where the message repeats no question: an error, or one more message of a zone's transfer. */
  #askedById(message: Buffer): Asked | undefined {
    if (message.readUInt16BE(4) !== 0) return undefined;
    const id = message.readUInt16BE(0);
    for (const asked of this.#asked.values()) {
      const isTransfer = asked.question.type === typeAxfr || asked.question.type === typeIxfr;
      if (asked.question.id === id && (isTransfer || isBareError(message))) return asked;
    }
    return undefined;
  }

  /** False: its addresses could not be read, or there is no room for them. The client would be refused what it was told. */
  #learn(message: Buffer, question: Question): boolean {
    const identity = this.#tables.identityOf(question.name);
    if (identity === 0 || this.#clientEndpoint === 0) return true;
    const addresses = readAddresses(message, question);
    if (!addresses) return false;
    try {
      for (const { address, ttl } of addresses) this.#tables.learn(this.#clientEndpoint, address, identity, ttl);
      return true;
    } catch {
      return false;
    }
  }

  /** What is no DNS passes where names are only learned, and ends the connection where they are judged. */
  #unreadable(from: Side, rest: Buffer): void {
    const layers = this.#wire.layers();
    const opinions = judgeDns(layers, undefined);
    if (opinions.every(opinion => opinion.passes)) {
      for (const side of ['client', 'server'] as const) {
        const bytes = side === from ? rest : this.#held[side];
        this.#wire.send(side === 'client' ? 'server' : 'client', bytes, 0, bytes.length);
      }
      this.#isClosed = true;
      return this.#wire.passAll();
    }
    recordFault(this.#wire, opinions, from === 'client' ? 'REQUEST' : 'RESPONSE');
    this.#close();
  }

  #close(): void {
    this.#isClosed = true;
    this.#wire.close('written');
  }
}

function keyOf(question: Question): string {
  return `${question.id} ${question.key}`;
}
