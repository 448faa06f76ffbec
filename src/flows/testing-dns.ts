export interface WrittenRecord {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  readonly data: Uint8Array;
}

export interface WrittenMessage {
  readonly id: number;
  readonly response?: boolean;
  readonly rcode?: number;
  readonly questions: readonly { readonly name: string; readonly type: number }[];
  readonly answers?: readonly WrittenRecord[];
  readonly additional?: readonly WrittenRecord[];
}

/** A DNS message (RFC 1035 §4) in bytes, without compression; for tests. `firstName`: these bytes as the first question's name. */
export function dnsMessage({ id, response = false, rcode = 0, questions, answers = [], additional = [] }: WrittenMessage, firstName?: Uint8Array): Uint8Array {
  return Uint8Array.from([
    ...uint16(id), response ? 0x81 : 0x01, (response ? 0x80 : 0) | rcode, ...uint16(questions.length), ...uint16(answers.length), 0, 0, ...uint16(additional.length),
    ...questions.flatMap(({ name, type }, i) => [...(i === 0 && firstName ? firstName : wireName(name)), ...uint16(type), 0, 1]),
    ...[...answers, ...additional].flatMap(({ name, type, ttl, data }) => [...wireName(name), ...uint16(type), 0, 1, ...uint16(Math.floor(ttl / 65_536)), ...uint16(ttl), ...uint16(data.length), ...data]),
  ]);
}

export function wireName(name: string): Uint8Array {
  const labels = name === '' ? [] : name.split('.');
  return Uint8Array.from([...labels.flatMap(label => [label.length, ...[...label].map(letter => letter.charCodeAt(0))]), 0]);
}

function uint16(value: number): number[] {
  return [(value >> 8) & 255, value & 255];
}
