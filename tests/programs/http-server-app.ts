/** A server over a TcpEnd that answers each request it sees, in the ways that servers have; what answered which request is in the answer. */
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { HttpConnectionModel } from '../differential/http-connection-model.ts';
import { readRequests } from '../differential/http-requests.ts';
import type { ReadRequest } from '../differential/http-requests.ts';
import type { Random } from '../differential/random.ts';
import type { TcpEnd } from './tcp-end.ts';

export interface ServerHabits {
  /** Answers before it has seen the body; the share of requests. */
  readonly early?: number;
  readonly interim?: number;
  readonly closes?: number;
  /** Agrees to another protocol where one is asked for. */
  readonly upgrades?: number;
  /** Sends more than it was asked for. */
  readonly unasked?: number;
}

const everything = compileHttpRules([{ rule: 1, headers: [] }]);

export class HttpServerApp {
  readonly faults: string[] = [];
  answered = 0;
  readonly #end: TcpEnd;
  readonly #model: HttpConnectionModel;
  readonly #random: Random;
  readonly #habits: ServerHabits;
  #tunnel = false;
  #over = false;
  #continued = -1;

  constructor(end: TcpEnd, model: HttpConnectionModel, random: Random, habits: ServerHabits) {
    this.#end = end;
    this.#model = model;
    this.#random = random;
    this.#habits = habits;
  }

  /** Answers what is there to answer; not `idle`: some of it, or none. */
  act(idle: boolean): void {
    if (this.#end.state !== 'open' || this.#over) return;
    if (this.#tunnel) return this.#finish(true);
    const read = readRequests(this.#end.received, everything);
    if (read.fault !== 0) {
      this.faults.push(`the server cannot read what it got: ${JSON.stringify(this.#end.received.toString('latin1', Math.max(0, read.at - 40), read.at + 40))}`);
      this.#over = true;
      return;
    }
    for (let request = read.requests[this.answered]; request !== undefined && !this.#over && !this.#tunnel; request = read.requests[this.answered]) {
      if (!idle && this.#random.chance(0.4)) return;
      if (request.end === undefined && request.expects && this.#continued < this.answered) {
        this.#continued = this.answered;
        this.#write('HTTP/1.1 100 Continue\r\n\r\n', false);
        return;
      }
      if (request.end === undefined && !this.#random.chance(this.#habits.early ?? 0)) break;
      this.#answer(request);
    }
    this.#finish(idle);
  }

  #finish(idle: boolean): void {
    if (!this.#end.peerEnded || !idle || this.#over) return;
    this.#over = true;
    this.#end.end();
  }

  #answer(request: ReadRequest): void {
    const { interim = 0, closes = 0, upgrades = 0 } = this.#habits;
    if (this.#random.chance(interim)) this.#write(this.#random.pick(['HTTP/1.1 102 Processing\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n']), false);
    if (request.upgrade && this.#random.chance(upgrades)) {
      this.#tunnel = true;
      this.#model.tunnelAfter = this.answered++;
      this.#write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n', true);
      return;
    }
    const index = this.answered++;
    const ends = request.closes || this.#random.chance(closes);
    this.#write(answerTo(request, index, ends, this.#random), true);
    if (!ends) return;
    this.#over = true;
    this.#end.end();
  }

  #write(text: string, endsAnswer: boolean): void {
    const bytes = Buffer.from(text, 'latin1');
    this.#model.serverWrote(bytes, endsAnswer);
    this.#end.write(bytes);
  }
}

function answerTo({ path, isHead, minor }: ReadRequest, index: number, closes: boolean, random: Random): string {
  const head = `X-Answer: ${index}\r\nX-Path: ${path.slice(0, 200)}\r\n${closes ? 'Connection: close\r\n' : minor === 0 ? 'Connection: keep-alive\r\n' : ''}`;
  const body = random.pick(['', 'ok', `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`, 'x'.repeat(random.integer(1, 3000))]);
  const kind = random.pick(['length', 'length', 'chunked', '204', '304', ...(closes && !isHead ? ['close'] : [])]);
  if (kind === '204') return `HTTP/1.1 204 No Content\r\n${head}\r\n`;
  if (kind === '304') return `HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n${head}\r\n`;
  if (kind === 'close') return `HTTP/1.1 200 OK\r\n${head}\r\n${body}`;
  if (kind === 'length' || minor === 0) return `HTTP/1.1 ${random.pick(['200 OK', '404 Not Found', '500 X'])}\r\nContent-Length: ${body.length}\r\n${head}\r\n${isHead ? '' : body}`;
  const chunks = body === '' ? [] : [body.slice(0, Math.ceil(body.length / 2)), body.slice(Math.ceil(body.length / 2))].filter(chunk => chunk !== '');
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${head}\r\n${isHead ? '' : `${chunks.map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`}`;
}
