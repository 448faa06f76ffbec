/** Header fields of one message: all are checked, of those with a known name the places are kept, and nothing becomes a string. */
import { carriageReturn, isText, lineFeed, tokenLower, inValue } from './bytes.ts';
import { fault } from './faults.ts';

export const slot = { host: 0, connection: 1, contentLength: 2, transferEncoding: 3, upgrade: 4, expect: 5, traceparent: 6 } as const;
const framingNames = ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'expect', 'traceparent'];

/** Names worth keeping: those that frame messages, then those that rules or flows ask for. */
export class HeaderNames {
  readonly slotOf: ReadonlyMap<string, number>;
  readonly count: number;
  /** Candidates by the length of the name. */
  readonly byLength: (readonly { readonly bytes: Uint8Array; readonly slot: number }[] | undefined)[] = [];

  constructor(wanted: readonly string[]) {
    const names = [...new Set([...framingNames, ...wanted.map(name => name.toLowerCase())])];
    this.slotOf = new Map(names.map((name, i) => [name, i]));
    this.count = names.length;
    for (const [i, name] of names.entries()) {
      const bytes = Buffer.from(name, 'latin1');
      this.byLength[bytes.length] = [...(this.byLength[bytes.length] ?? []), { bytes, slot: i }];
    }
  }
}

const knownNames = new Map<string, HeaderNames>();

/** For the same names always the same object: connections by the thousand ask for few. */
export function headerNames(wanted: readonly string[]): HeaderNames {
  const key = wanted.join('\n');
  let found = knownNames.get(key);
  if (found === undefined) {
    if (knownNames.size >= 256) knownNames.clear();
    knownNames.set(key, (found = new HeaderNames(wanted)));
  }
  return found;
}

export class Fields {
  readonly names: HeaderNames;
  buffer: Buffer = Buffer.alloc(0);
  /** Place of the first value of each slot; start < 0: not there. */
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** Further values, `repeatCount` of them: slot, start, end, one after the other. */
  readonly #repeats: number[] = [];
  repeatCount = 0;
  count = 0;
  /** More of them are too many. */
  readonly most: number;

  constructor(names: HeaderNames, most: number) {
    this.names = names;
    this.starts = new Int32Array(names.count).fill(-1);
    this.ends = new Int32Array(names.count);
    this.most = most;
  }

  /** Lines from `at` on. The place behind the empty line; 0: more is needed; negative: a fault. */
  parse(buffer: Buffer, at: number, end: number): number {
    this.buffer = buffer;
    // Few there are: a loop takes less than the call of fill().
    for (let at = 0; at < this.starts.length; at++) this.starts[at] = -1;
    this.repeatCount = this.count = 0;
    let i = at;
    for (;;) {
      if (i >= end) return 0;
      if (buffer[i] === carriageReturn) {
        if (i + 1 >= end) return 0;
        return buffer[i + 1] === lineFeed ? i + 2 : fault.fieldName;
      }
      const name = i;
      while (i < end && tokenLower[buffer[i]!] !== 0) i++;
      if (i >= end) return 0;
      if (buffer[i] !== 58 || i === name) return fault.fieldName;
      const length = i - name;
      i++;
      while (i < end && (buffer[i] === 32 || buffer[i] === 9)) i++;
      const start = i;
      while (i < end && inValue[buffer[i]!] === 1) i++;
      if (i >= end) return 0;
      if (buffer[i] !== carriageReturn) return fault.fieldValue;
      if (i + 1 >= end) return 0;
      if (buffer[i + 1] !== lineFeed) return fault.fieldValue;
      if (++this.count > this.most) return fault.tooManyFields;
      const candidates = this.names.byLength[length];
      if (candidates !== undefined) this.#keep(candidates, buffer, name, start, i);
      i += 2;
    }
  }

  #keep(candidates: NonNullable<HeaderNames['byLength'][number]>, buffer: Buffer, name: number, start: number, end: number): void {
    for (const { bytes, slot: at } of candidates) {
      let same = 0;
      while (same < bytes.length && tokenLower[buffer[name + same]!] === bytes[same]) same++;
      if (same < bytes.length) continue;
      let last = end;
      while (last > start && (buffer[last - 1] === 32 || buffer[last - 1] === 9)) last--;
      if (this.starts[at]! < 0) {
        this.starts[at] = start;
        this.ends[at] = last;
      } else this.#repeat(at, start, last);
      return;
    }
  }

  #repeat(at: number, start: number, end: number): void {
    const i = 3 * this.repeatCount++;
    this.#repeats[i] = at;
    this.#repeats[i + 1] = start;
    this.#repeats[i + 2] = end;
  }

  has(at: number): boolean {
    return this.starts[at]! >= 0;
  }

  repeated(at: number): boolean {
    for (let i = 0; i < 3 * this.repeatCount; i += 3) if (this.#repeats[i] === at) return true;
    return false;
  }

  /** All values, joined with "," as Envoy does; undefined: not there. */
  value(at: number): string | undefined {
    if (!this.has(at)) return undefined;
    let text = this.buffer.toString('latin1', this.starts[at], this.ends[at]);
    for (let i = 0; i < 3 * this.repeatCount; i += 3) if (this.#repeats[i] === at) text += `,${this.buffer.toString('latin1', this.#repeats[i + 1], this.#repeats[i + 2])}`;
    return text;
  }

  is(at: number, lower: string): boolean {
    return this.has(at) && isText(this.buffer, this.starts[at]!, this.ends[at]!, lower);
  }

  /** -1: not there; else what it says, or a fault below -1. Digits only, once, below 2⁵³. */
  contentLength(): number {
    const start = this.starts[slot.contentLength]!;
    if (start < 0) return -1;
    if (this.repeated(slot.contentLength)) return fault.contentLengthRepeated;
    const end = this.ends[slot.contentLength]!;
    if (end === start || end - start > 15) return fault.contentLength;
    let length = 0;
    for (let i = start; i < end; i++) {
      const digit = this.buffer[i]! - 48;
      if (digit < 0 || digit > 9) return fault.contentLength;
      length = length * 10 + digit;
    }
    return length;
  }

  /** Bits of what Connection says, or a fault: it may not name what ends messages, as the next server would take that away. */
  connection(): number {
    if (!this.has(slot.connection)) return 0;
    let bits = this.#options(this.starts[slot.connection]!, this.ends[slot.connection]!);
    for (let i = 0; i < 3 * this.repeatCount && bits >= 0; i += 3) {
      if (this.#repeats[i] !== slot.connection) continue;
      const more = this.#options(this.#repeats[i + 1]!, this.#repeats[i + 2]!);
      bits = more < 0 ? more : bits | more;
    }
    return bits;
  }

  #options(start: number, end: number): number {
    let bits = 0;
    let i = start;
    while (i < end) {
      while (i < end && (this.buffer[i] === 44 || this.buffer[i] === 32 || this.buffer[i] === 9)) i++;
      const from = i;
      while (i < end && tokenLower[this.buffer[i]!] !== 0) i++;
      if (i < end && this.buffer[i] !== 44 && this.buffer[i] !== 32 && this.buffer[i] !== 9) return fault.connection;
      if (isText(this.buffer, from, i, 'close')) bits |= closes;
      else if (isText(this.buffer, from, i, 'keep-alive')) bits |= keeps;
      else if (isForbidden(this.buffer, from, i)) return fault.connection;
    }
    return bits;
  }
}

export const closes = 1;
export const keeps = 2;
const forbidden = ['content-length', 'transfer-encoding', 'host'];

/** Asked for each request of a client that says Connection: a closure would be made each time. */
function isForbidden(buffer: Buffer, start: number, end: number): boolean {
  for (const name of forbidden) if (isText(buffer, start, end, name)) return true;
  return false;
}
