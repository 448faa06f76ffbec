/** DNS messages as the kernel reads them (bpf/lib/dns.h), so that names come to the same over TCP as over UDP. */

const headerBytes = 12;
const maxNameBytes = 255;
const maxLabelBytes = 63;
/** Of one answer. */
const maxAddresses = 256;
const typeA = 1;
const typeAaaa = 28;
const classIn = 1;

export interface Question {
  readonly id: number;
  readonly flags: number;
  /** With the final dot, in lower case. A byte that stands in no host name is written as "?": it matches no pattern. */
  readonly name: string;
  readonly type: number;
  /** Name in lower case, type and class, as bytes. */
  readonly key: string;
  /** Where the question ends. */
  readonly end: number;
}

export interface LearnedAddress {
  /** 4 or 16 bytes. */
  readonly address: Buffer;
  readonly ttl: number;
}

export const flag = { response: 0x8000, opcode: 0x7800, truncated: 0x0200, recursionDesired: 0x0100, recursionAvailable: 0x0080, rcode: 0x000f } as const;

export function flagsOf(message: Buffer): number {
  return message.readUInt16BE(2);
}

/** The only question, without a pointer in its name. Undefined: there is none such. */
export function readQuestion(message: Buffer): Question | undefined {
  if (message.length < headerBytes || message.readUInt16BE(4) !== 1) return undefined;
  let at = headerBytes;
  let name = '';
  for (;;) {
    const size = message[at];
    if (size === undefined || size > maxLabelBytes) return undefined;
    at++;
    if (size === 0) break;
    if (at + size >= message.length || at + size + 1 - headerBytes > maxNameBytes) return undefined;
    name += `${message.toString('latin1', at, at + size).replaceAll(/[^-a-zA-Z0-9_]/g, '?').toLowerCase()}.`;
    at += size;
  }
  if (at + 4 > message.length) return undefined;
  const key = message.toString('latin1', headerBytes, at).replaceAll(/[A-Z]/g, letter => letter.toLowerCase()) + message.toString('latin1', at, at + 4);
  return { id: message.readUInt16BE(0), flags: flagsOf(message), name: name || '.', type: message.readUInt16BE(at), key, end: at + 4 };
}

/** A question and nothing else but what may stand in its additional section. */
export function readQuery(message: Buffer): Question | undefined {
  if (message.length < headerBytes || flagsOf(message) & (flag.response | flag.opcode) || message.readUInt16BE(6) !== 0 || message.readUInt16BE(8) !== 0) return undefined;
  return readQuestion(message);
}

/** The A and AAAA records of the answer section, whoever's they are; undefined when it cannot be read whole. One that says that it was cut is read as far as it goes. */
export function readAddresses(message: Buffer, question: Question): readonly LearnedAddress[] | undefined {
  const found: LearnedAddress[] = [];
  const isCut = (flagsOf(message) & flag.truncated) !== 0;
  const count = message.readUInt16BE(6);
  if (count > maxAddresses) return undefined;
  let at = question.end;
  for (let i = 0; i < count; i++) {
    const data = afterName(message, at);
    if (data === undefined || data + 10 > message.length || data + 10 + message.readUInt16BE(data + 8) > message.length) return isCut ? found : undefined;
    const type = message.readUInt16BE(data);
    const size = message.readUInt16BE(data + 8);
    at = data + 10 + size;
    if ((type !== typeA && type !== typeAaaa) || message.readUInt16BE(data + 2) !== classIn) continue;
    if (size !== (type === typeA ? 4 : 16) || found.length >= maxAddresses) return isCut ? found : undefined;
    const ttl = message.readUInt32BE(data + 4);
    // RFC 2181 §8: the highest bit means 0.
    found.push({ address: message.subarray(data + 10, at), ttl: ttl > 0x7fff_ffff ? 0 : ttl });
  }
  return found;
}

/** A pointer ends a name; where it leads is nothing to us. */
function afterName(message: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const size = message[at];
    if (size === undefined) return undefined;
    if (size >= 0xc0) return at + 2;
    if (size > maxLabelBytes) return undefined;
    at += 1 + size;
    if (size === 0) return at;
  }
}

/** An error that repeats no question, as old servers answer to what they do not know. */
export function isBareError(message: Buffer): boolean {
  return message.readUInt16BE(4) === 0 && message.readUInt16BE(6) === 0 && (flagsOf(message) & flag.rcode) !== 0;
}

/** The answer to a question that is its own: the question, with a code and without records. With its length before it. */
export function answerWith(rcode: number, message: Buffer, question: Question): Buffer {
  const answer = Buffer.alloc(2 + question.end);
  answer.writeUInt16BE(question.end, 0);
  message.copy(answer, 2, 0, question.end);
  answer.writeUInt16BE(flag.response | flag.recursionAvailable | rcode | (question.flags & flag.recursionDesired), 4);
  answer.fill(0, 8, 14);
  return answer;
}
