/** Random DNS messages, and broken ones. */
import { address, alias, answerTo, dnsType, type DnsRecord, readQuestion } from './dns-message.ts';

/** An answer to what was asked, with up to forty records. */
export function answerFor(random: () => number, asked: Uint8Array): Uint8Array {
  const end = readQuestion(asked)?.end ?? asked.length;
  const plain = answerTo({ name: 'x', answers: Array.from({ length: Math.floor(random() ** 3 * 40) }, () => record(random)) });
  const head = Uint8Array.from([...asked.subarray(0, 2), 0x81, 0x80, ...asked.subarray(4, 6), ...plain.subarray(6, 12), ...asked.subarray(12, end), ...plain.subarray(12 + 7)]);
  if (random() < 0.1) head[2]! |= 2;
  return head;
}

function record(random: () => number): DnsRecord {
  const owner = random() < 0.7 ? 12 : pick(random, ['', 'a.b.c', 'x.example.org']);
  const byte = (): number => Math.floor(random() * 256);
  const made = random() < 0.25 ? alias(pick(random, ['cdn.net', 'x']), owner)
    : random() < 0.5 ? address(`198.18.${byte()}.${byte()}`, { owner, ttl: byte() * 100 }) : address(`2001:db8::${byte().toString(16)}:${byte().toString(16)}`, { owner, ttl: 0x80000000 + byte() });
  return { ...made, ...(random() < 0.1 && { class: 3 }), ...(random() < 0.05 && { type: dnsType.txt }) };
}

/** Mostly one or two bytes, or cut, or longer. */
export function mutate(random: () => number, bytes: Uint8Array, share: number): Uint8Array {
  if (random() >= share) return bytes;
  const kind = random();
  if (kind < 0.2) return bytes.subarray(0, Math.floor(random() * bytes.length));
  if (kind < 0.3) return Uint8Array.from([...bytes, ...Array.from({ length: 1 + Math.floor(random() * 40) }, () => Math.floor(random() * 256))]);
  if (kind < 0.35) return Uint8Array.from({ length: Math.floor(random() * 80) }, () => Math.floor(random() * 256));
  const copy = bytes.slice();
  // Mostly where the structure is: the header, and lengths.
  for (let i = 0; i < 1 + random() * 2; i++) copy[Math.floor(random() ** 2 * copy.length)] = pick(random, [0, 1, 2, 3, 63, 64, 0x80, 0xc0, 0xff, 0x5f, 0x7f, Math.floor(random() * 256)]);
  return copy;
}

export const pick = <T>(random: () => number, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

/** mulberry32 */
export function seeded(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
