import type { FlowL7 } from '../model/flow.ts';
import { L7Saying } from './l7-saying.ts';

type Http = NonNullable<FlowL7['http']>;

/** Answers of one request that are told apart and kept; what comes after them takes the place of one. */
const mostAnswers = 8;

/** What a request said, and what was answered to it: one object each. */
export class HttpTold {
  readonly request: L7Saying;
  readonly #answers: L7Saying[] = [];
  #next = 0;

  /** `redact`: what may be told of it. */
  constructor(http: Http, redact: (l7: FlowL7) => FlowL7 = l7 => l7) {
    this.request = new L7Saying(redact({ type: 'REQUEST', http }));
  }

  answer(code: number, protocol: string): L7Saying {
    for (const known of this.#answers) if (known.l7.http!.code === code && known.l7.http!.protocol === protocol) return known;
    const answer = new L7Saying({ type: 'RESPONSE', http: { code, ...this.request.l7.http!, protocol } });
    this.#answers[this.#next] = answer;
    this.#next = (this.#next + 1) % mostAnswers;
    return answer;
  }
}

/** Pairs of places: of the two that a text may have, the one used last stays. */
const pairs = 1024;
const pairBits = 10;
/** What is longer is made anew each time. */
const longestText = 256;
/** Length and two numbers, and the text. */
const keyWords = 3 + longestText / 4;

/**
 * What requests say, found again by the bytes that say it: no text is made of what is known already. Bounded: whoever asks for something
 * else each time turns out what nobody has asked for lately.
 */
export class HttpTexts {
  readonly #told = new Array<HttpTold | undefined>(2 * pairs).fill(undefined);
  readonly #keys = new Int32Array(2 * pairs * keyWords);
  readonly #last = new Uint8Array(pairs);
  readonly #key = new Int32Array(keyWords);
  /** Where `keep` puts it; -1: nowhere. */
  #place = -1;
  #words = 0;
  readonly #redact: ((l7: FlowL7) => FlowL7) | undefined;

  constructor(redact?: (l7: FlowL7) => FlowL7) {
    this.#redact = redact;
  }

  get size(): number {
    return this.#told.reduce((count, told) => count + (told === undefined ? 0 : 1), 0);
  }

  /** `a` and `b`: what decides beside the bytes. Undefined: `keep` is to say what it is. */
  find(view: DataView, at: number, length: number, a: number, b: number): HttpTold | undefined {
    this.#place = -1;
    if (length > longestText) return undefined;
    const key = this.#key;
    const pair = this.#read(view, at, length, a, b);
    const last = this.#last[pair]!;
    for (let way = 0; way < 2; way++) {
      const place = 2 * pair + (way === 0 ? last : 1 - last);
      if (this.#told[place] === undefined || !this.#is(place, key)) continue;
      this.#last[pair] = place & 1;
      return this.#told[place];
    }
    this.#place = 2 * pair + 1 - last;
    return undefined;
  }

  /** Of what `find` has just been asked for. */
  keep(http: Http): HttpTold {
    const told = new HttpTold(http, this.#redact);
    const place = this.#place;
    if (place < 0) return told;
    this.#keys.set(this.#key.subarray(0, this.#words), place * keyWords);
    this.#told[place] = told;
    this.#last[place >> 1] = place & 1;
    return told;
  }

  /** The key, and which pair it belongs to. */
  #read(view: DataView, at: number, length: number, a: number, b: number): number {
    const key = this.#key;
    key[0] = length;
    key[1] = a;
    key[2] = b;
    let hash = Math.imul(Math.imul(length ^ a, 0x9e3779b1) ^ b, 0x85ebca6b);
    let words = 3;
    const whole = at + (length & ~3);
    for (let from = at; from < whole; from += 4) {
      const word = view.getInt32(from, true);
      key[words++] = word;
      hash = Math.imul((hash << 13 | hash >>> 19) ^ word, 0x9e3779b1);
    }
    let rest = 0;
    for (let i = 0, over = length & 3; i < over; i++) rest |= view.getUint8(whole + i) << (8 * i);
    if ((length & 3) !== 0) key[words++] = rest;
    this.#words = words;
    hash = Math.imul(hash ^ rest ^ (hash >>> 16), 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> (32 - pairBits);
  }

  #is(place: number, key: Int32Array): boolean {
    const keys = this.#keys;
    const first = place * keyWords;
    for (let i = 0, count = this.#words; i < count; i++) if (keys[first + i] !== key[i]) return false;
    return true;
  }
}
