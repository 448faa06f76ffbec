/**
 * What may pass between a client and a server of one HTTP/1.1 connection that something between them reads and judges, segment by segment:
 *
 *     client ──(what it sent)──▶ ┌─────┐ ──(what the server got)──▶ server
 *                                │ box │
 *     client ◀──(what it got)─── └─────┘ ◀──(what the server sent)── server
 *
 * The model looks at the four and knows nothing of the box. It holds it to this:
 *  a  what the server got are requests that the rules allow, read as src/proxy/http1 reads them, and at most one head that was cut off;
 *  b  no byte reaches the server in two versions, but of a body's data (they decide nothing), or such as it has acknowledged (it takes no
 *     other any more);
 *  c  what the client got is the server's answers, whole and in order, and own ones between them; of an honest client, one for each request;
 *  d  nothing waits for ever: `finish` is told where both ends stand when nothing moves any more;
 *  e  numbers fit: nobody is told of bytes that he has not sent, nothing comes with a gap, the end is where it was.
 */
import type { HttpMatcher } from '../../src/policy/l7-match.ts';
import { distance, plus, shown, tcpFlag } from '../programs/tcp-segment.ts';
import type { Segment } from '../programs/tcp-segment.ts';
import { readRequests } from './http-requests.ts';
import type { ReadStream } from './http-requests.ts';

export interface ModelOptions {
  readonly matcher: HttpMatcher;
  /** The client keeps to TCP and to HTTP: then every request is answered, and nothing ends before its time. */
  readonly honest: boolean;
  /** What the client gets is looked at, too; an honest one's always. Who forges resets and SYNs has himself to thank for what he gets. */
  readonly judgesClient?: boolean;
}

/** One direction as its receiver can have seen it. */
class Received {
  bytes = Buffer.alloc(0);
  /** Bytes that came again and differ, that could still be taken. */
  readonly conflicts: number[] = [];
  /** Sequence number of the first byte; undefined: no SYN yet. */
  first: number | undefined;
  /** Most that the receiver has acknowledged, and most that the sender has sent. */
  acked = 0;
  sent = 0;
  finAt: number | undefined;
  /** It has been acknowledged: the receiver takes nothing any more. */
  finTaken = false;
  /** What the sender itself has sent there, with its FIN. */
  sentFin: number | undefined;

  offset(seq: number): number {
    return this.acked + distance(seq, plus(this.first!, this.acked));
  }

  put(at: number, payload: Buffer): 'gap' | undefined {
    if (at > this.bytes.length) return 'gap';
    for (let i = Math.max(0, -at); i < payload.length && at + i < this.bytes.length; i++) {
      if (at + i >= this.acked && payload[i] !== this.bytes[at + i]) this.conflicts.push(at + i);
    }
    if (at + payload.length > this.bytes.length) this.bytes = Buffer.concat([this.bytes, payload.subarray(this.bytes.length - at)]);
    return undefined;
  }
}

/** An answer of the box's own, as it stands between the server's. */
const ownAnswer = /^HTTP\/1\.1 (403|400|431) [A-Za-z ]+\r\ncontent-length: (\d+)\r\ncontent-type: text\/plain\r\n(connection: close\r\n)?\r\n/;

export type Answered = { readonly by: 'box'; readonly status: number; readonly closes: boolean } | { readonly by: 'server'; readonly index: number };

export class HttpConnectionModel {
  readonly faults: string[] = [];
  /** The bytes as each of the two can have read them. */
  readonly atServer = new Received();
  readonly atClient = new Received();
  /** Ends of the server's final answers in what it has sent, in order: its application says so. */
  readonly answerEnds: number[] = [];
  /** Index of the request after which both ends speak another protocol. */
  tunnelAfter = Infinity;
  clientReset = false;
  serverReset = false;
  readonly #o: ModelOptions;

  constructor(o: ModelOptions) {
    this.#o = o;
  }

  clientSent(s: Segment): void {
    this.#sent(this.atServer, this.atClient, s);
  }

  serverSent(s: Segment): void {
    this.#sent(this.atClient, this.atServer, s);
  }

  serverGot(s: Segment): void {
    if (s.flags & tcpFlag.rst) this.serverReset = true;
    this.#got(this.atServer, this.atClient, s, 'the server');
  }

  clientGot(s: Segment): void {
    if (s.flags & tcpFlag.rst) this.clientReset = true;
    this.#got(this.atClient, this.atServer, s, 'the client');
  }

  /** What the server can have read. */
  requests(): ReadStream {
    return readRequests(this.atServer.bytes, this.#o.matcher, this.tunnelAfter, true);
  }

  /** Nothing moves any more. `written`: all that an honest client wrote; `waits`: somebody still waits for something, undefined where nobody does. */
  finish(end: { readonly written?: Buffer; readonly waits?: string | undefined }): void {
    const read = this.requests();
    if (read.fault !== 0) this.#fault('a', `the server got what is malformed (${read.fault}) at ${read.at}: ${quoted(this.atServer.bytes, read.at)}`);
    for (const request of read.requests) if (!request.allowed) this.#fault('a', `the server got a request that no rule allows: ${request.method} ${request.path}`);
    for (const at of this.atServer.conflicts) if (!read.data.some(([from, to]) => at >= from && at < to)) this.#fault('b', `byte ${at} reached the server in two versions: ${quoted(this.atServer.bytes, at)}`);
    if (end.waits !== undefined && !this.clientReset) this.#fault('d', end.waits);
    if (!this.#judgesClient) return;
    for (const at of this.atClient.conflicts.slice(0, 1)) this.#fault('e', `byte ${at} reached the client in two versions: ${quoted(this.atClient.bytes, at)}`);
    const answers = this.answers();
    if (this.#o.honest && end.written) this.#inOrder(answers, end.written);
  }

  /** (c) */
  answers(): Answered[] {
    const got = this.atClient.bytes.toString('latin1'), server = this.#serverBytes;
    const answers: Answered[] = [];
    let at = 0, taken = 0;
    while (at < got.length) {
      if (taken === 0 || this.answerEnds.includes(taken)) {
        const own = ownAnswer.exec(got.slice(at));
        if (own) {
          at += own[0].length;
          const body = got.slice(at, at + Number(own[2]));
          // To HEAD there is none; one that was cut short is a prefix.
          if (!body.startsWith('HTTP/')) at += body.length;
          answers.push({ by: 'box', status: Number(own[1]), closes: own[3] !== undefined });
          continue;
        }
      }
      const next = this.answerEnds.find(end => end > taken) ?? server.length;
      const size = Math.min(next - taken, got.length - at);
      if (size === 0 || server.toString('latin1', taken, taken + size) !== got.slice(at, at + size)) {
        while (size > 0 && server[taken] === got.charCodeAt(at)) taken++, at++;
        this.#fault('c', `the client got what is neither the server's next bytes (from ${taken} on: ${quoted(server, taken)}) nor an own answer in its place: ${JSON.stringify(got.slice(at, at + 80))}`);
        return answers;
      }
      at += size;
      taken += size;
      const index = this.answerEnds.indexOf(taken);
      if (index >= 0) answers.push({ by: 'server', index });
    }
    return answers;
  }

  #serverStream: Buffer[] = [];
  #serverLength = 0;

  get #serverBytes(): Buffer {
    return Buffer.concat(this.#serverStream);
  }

  /** What the server's application has written, in order. */
  serverWrote(bytes: Buffer, endsAnswer: boolean): void {
    this.#serverStream.push(bytes);
    this.#serverLength += bytes.length;
    if (endsAnswer) this.answerEnds.push(this.#serverLength);
  }

  #inOrder(answers: readonly Answered[], written: Buffer): void {
    const expected = this.#expected(written);
    const got = answers.map(answer => (answer.by === 'server' ? `answer ${answer.index}` : answer.status === 431 ? '400' : String(answer.status)));
    const last = answers.at(-1);
    const ended = this.clientReset || this.atClient.finAt !== undefined || (last?.by === 'box' && last.closes);
    const fits = expected.some(list => got.every((one, i) => one === list[i]) && (ended || got.length >= list.length));
    if (!fits) this.#fault('c', `the client should have ${expected.map(list => list.join(', ')).join(' or ')}, and has ${got.join(', ')}${ended ? ' and the end' : ''}`);
  }

  /** What an honest client may get for all that it wrote. */
  #expected(written: Buffer): readonly (readonly string[])[] {
    const read = readRequests(written, this.#o.matcher);
    const expected: string[] = [];
    let allowed = 0;
    for (const request of read.requests) {
      // Targets for proxies are refused, whoever they are for (docs/l7/http-kernel.md).
      if (![47, 42].includes(written[written.indexOf(32, request.start) + 1]!)) return [[...expected, '400']];
      expected.push(request.allowed ? `answer ${allowed++}` : '403');
      if (allowed > this.tunnelAfter) return [expected];
    }
    if (read.fault === 0) return [expected];
    const last = read.requests.at(-1);
    // In a body that passes: instead of the answer, if none of it is on its way, or the end. In one that does not, 403 has been said.
    if (last !== undefined && last.end === undefined) return [[...expected.slice(0, -1), '400'], expected];
    return [[...expected, '400']];
  }

  #sent(there: Received, back: Received, s: Segment): void {
    if (s.flags & tcpFlag.syn) {
      there.first ??= plus(s.seq, 1);
      // Of several SYNs, the one that the other end has taken.
      if (s.flags & tcpFlag.ack && back.bytes.length === 0) back.first = s.ack;
      return;
    }
    if (there.first === undefined) return;
    const end = there.offset(s.seq) + s.payload.length;
    there.sent = Math.max(there.sent, end);
    if (s.flags & tcpFlag.fin) there.sentFin = Math.max(there.sentFin ?? 0, end);
    if (s.flags & tcpFlag.ack && back.first !== undefined && !(s.flags & tcpFlag.rst)) {
      const acked = back.offset(s.ack);
      if (back.finAt !== undefined && acked === back.finAt + 1) back.finTaken = true;
      if (acked > back.acked && acked <= back.bytes.length + 1) back.acked = Math.min(acked, back.bytes.length);
    }
  }

  get #judgesClient(): boolean {
    return this.#o.honest || this.#o.judgesClient === true;
  }

  #got(here: Received, back: Received, s: Segment, who: string): void {
    if (here.first === undefined || (here === this.atClient && !this.#judgesClient)) return;
    const at = here.offset(s.seq);
    if (s.flags & tcpFlag.syn) {
      if (at !== -1 && this.#o.honest) this.#fault('e', `${who} got a SYN in the middle of the connection: ${shown(s)}`);
      if (s.payload.length > 0) this.#fault('a', `${who} got a SYN with bytes: ${shown(s)}`);
      return;
    }
    // What a reset bears nobody reads.
    if (s.flags & tcpFlag.urg && !(s.flags & tcpFlag.rst)) this.#fault('a', `${who} got urgent bytes: ${shown(s)}`);
    this.#numbers(here, back, s, who);
    if (s.flags & tcpFlag.rst) return;
    // Losses before the box may leave a gap for the client, as between any two; towards the server the box passes in order only.
    if (s.payload.length > 0 && here === this.atServer && !here.finTaken && here.put(at, s.payload) === 'gap') this.#fault('e', `${who} got bytes from ${at} on, after ${here.bytes.length}: ${shown(s)}`);
    if (s.payload.length > 0 && here === this.atClient) this.#late(at, s.payload);
    if (s.payload.length > 0 && here.finAt !== undefined && !here.finTaken && at + s.payload.length > here.finAt) this.#fault('e', `${who} got bytes behind the end: ${shown(s)}`);
    if (!(s.flags & tcpFlag.fin) || !this.#acknowledges(back, s)) return;
    const end = at + s.payload.length;
    // Old: its receiver has all of that, and more.
    if (end < here.acked || here.finTaken) return;
    if (here.finAt !== undefined && here.finAt !== end) this.#fault('e', `${who} got the end at ${end}, and before at ${here.finAt}`);
    here.finAt = end;
  }

  /** What acknowledges nothing that was sent, no TCP takes. */
  #acknowledges(back: Received, s: Segment): boolean {
    const acked = s.flags & tcpFlag.ack ? back.offset(s.ack) : -1;
    return acked >= 0 && acked <= Math.max(back.sent, back.sentFin === undefined ? 0 : back.sentFin + 1);
  }

  readonly #waiting: { readonly at: number; readonly payload: Buffer }[] = [];

  /** Towards the client bytes may come out of order: those are looked at when their turn has come. */
  #late(at: number, payload: Buffer): void {
    if (this.atClient.put(at, payload) === 'gap') {
      this.#waiting.push({ at, payload });
      return;
    }
    for (let i = 0; i < this.#waiting.length;) {
      const one = this.#waiting[i]!;
      if (this.atClient.put(one.at, one.payload) === 'gap') {
        i++;
        continue;
      }
      this.#waiting.splice(i, 1);
      i = 0;
    }
  }

  #numbers(here: Received, back: Received, s: Segment, who: string): void {
    if (!(s.flags & tcpFlag.ack) || back.first === undefined) return;
    // What a dishonest client acknowledges is its own affair, and its server's.
    if (here === this.atServer && !this.#o.honest) return;
    const most = Math.max(back.sent, back.sentFin === undefined ? 0 : back.sentFin + 1);
    const acked = back.offset(s.ack);
    if (acked > most) this.#fault('e', `${who} is told of ${acked} bytes, and has sent ${most}: ${shown(s)}`);
    for (const [left, right] of s.options?.sack ?? []) {
      if (back.offset(left) < 0 || back.offset(right) > most || distance(right, left) <= 0) this.#fault('e', `${who} is told of bytes ${back.offset(left)} to ${back.offset(right)} that came early, and has sent ${most}`);
    }
  }

  #fault(property: 'a' | 'b' | 'c' | 'd' | 'e', text: string): void {
    if (this.faults.length < 20) this.faults.push(`(${property}) ${text}`);
  }
}

function quoted(bytes: Buffer, at: number): string {
  return JSON.stringify(bytes.toString('latin1', Math.max(0, at - 20), at + 60));
}
