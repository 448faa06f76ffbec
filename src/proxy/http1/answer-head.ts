/** The head of an answer (RFC 9112 §4), and how its body ends. */
import { carriageReturn, inValue, lineFeed } from './bytes.ts';
import { fault } from './faults.ts';
import { Fields, HeaderNames, closes, keeps, slot } from './fields.ts';

const names = new HeaderNames([]);
const versionBytes = Buffer.from('HTTP/1.');

let shared: AnswerHead | undefined;

/** Filled anew by each answer, and read within the call that has parsed it: all connections have one. */
export function answerHead(mostFields: number): AnswerHead {
  return shared?.fields.most === mostFields ? shared : (shared = new AnswerHead(mostFields));
}

export class AnswerHead {
  readonly fields: Fields;
  minor = 1;
  status = 0;
  chunked = false;
  /** -1: there is none. */
  contentLength = -1;
  closes = false;

  constructor(mostFields: number) {
    this.fields = new Fields(names, mostFields);
  }

  /** The place behind the head that begins at `start`; 0: more is needed; negative: a fault. */
  parse(buffer: Buffer, start: number, end: number): number {
    let i = start;
    // "HTTP/1.1 200"
    for (; i < end && i < start + 12; i++) {
      const at = i - start;
      const byte = buffer[i]!;
      const fits = at < 7 ? byte === versionBytes[at] : at === 7 ? byte === 48 || byte === 49 : at === 8 ? byte === 32 : byte >= 48 && byte <= 57;
      if (!fits) return fault.statusLine;
    }
    if (i >= end) return 0;
    this.minor = buffer[start + 7]! - 48;
    this.status = (buffer[start + 9]! - 48) * 100 + (buffer[start + 10]! - 48) * 10 + buffer[start + 11]! - 48;
    if (this.status < 100 || (buffer[i] !== 32 && buffer[i] !== carriageReturn)) return fault.statusLine;
    while (i < end && inValue[buffer[i]!] === 1) i++;
    if (i + 1 >= end) return i < end && buffer[i] !== carriageReturn ? fault.statusLine : 0;
    if (buffer[i] !== carriageReturn || buffer[i + 1] !== lineFeed) return fault.statusLine;
    const after = this.fields.parse(buffer, i + 2, end);
    if (after <= 0) return after;
    const found = this.#framing();
    return found < 0 ? found : after;
  }

  #framing(): number {
    const { fields } = this;
    const options = fields.connection();
    if (options < 0) return options;
    this.closes = (options & closes) !== 0 || (this.minor === 0 && (options & keeps) === 0);
    const length = fields.contentLength();
    if (length < -1) return length;
    this.contentLength = length;
    this.chunked = fields.has(slot.transferEncoding);
    if (!this.chunked) return 0;
    if (this.minor === 0 || !fields.is(slot.transferEncoding, 'chunked') || fields.repeated(slot.transferEncoding)) return fault.transferEncoding;
    return length >= 0 ? fault.bothLengths : 0;
  }
}
