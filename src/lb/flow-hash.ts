/**
 * Where a flow stands in a service's Maglev table: `service_hash` of `bpf/lib/service_choice.h`, bit by bit. The kernel chooses; this
 * tells people and tests what it chooses.
 */
import { type Addr, isIPv4 } from '../std/ip.ts';

export interface Flow {
  readonly source: Addr;
  readonly destination: Addr;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** IP protocol number. */
  readonly protocol: number;
}

/** `seed` is `config.maglev_seed`. With affinity only the client's address counts. 32 bits, without sign. */
export function flowHash(flow: Flow, seed: number, affinity: boolean): number {
  const source = wordsOf(flow.source), destination = wordsOf(flow.destination);
  const v6 = !isIPv4(flow.source);
  const start = (0xdeadbeef + seed) | 0;
  const s: State = { a: start, b: start, c: start };
  if (v6) mixUpperWords(s, source);
  s.a = (s.a + source[3]) | 0;
  if (!affinity) {
    if (v6) {
      mix(s);
      mixUpperWords(s, destination);
    }
    s.b = (s.b + destination[3]) | 0;
    s.c = (s.c + ((flow.sourcePort << 16) | flow.destinationPort)) | 0;
    mix(s);
    s.a = (s.a + flow.protocol) | 0;
  }
  finish(s);
  return s.c >>> 0;
}

type Words = readonly [number, number, number, number];
interface State { a: number; b: number; c: number }

function wordsOf(addr: Addr): Words {
  const view = new DataView(addr.buffer, addr.byteOffset, 16);
  return [view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12)];
}

function mixUpperWords(s: State, words: Words): void {
  s.a = (s.a + words[0]) | 0;
  s.b = (s.b + words[1]) | 0;
  s.c = (s.c + words[2]) | 0;
  mix(s);
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** Bob Jenkins's lookup3 (public domain, 2006). */
function mix(s: State): void {
  s.a = (s.a - s.c) ^ rotate(s.c, 4); s.c = (s.c + s.b) | 0;
  s.b = (s.b - s.a) ^ rotate(s.a, 6); s.a = (s.a + s.c) | 0;
  s.c = (s.c - s.b) ^ rotate(s.b, 8); s.b = (s.b + s.a) | 0;
  s.a = (s.a - s.c) ^ rotate(s.c, 16); s.c = (s.c + s.b) | 0;
  s.b = (s.b - s.a) ^ rotate(s.a, 19); s.a = (s.a + s.c) | 0;
  s.c = (s.c - s.b) ^ rotate(s.b, 4); s.b = (s.b + s.a) | 0;
}

function finish(s: State): void {
  s.c = ((s.c ^ s.b) - rotate(s.b, 14)) | 0;
  s.a = ((s.a ^ s.c) - rotate(s.c, 11)) | 0;
  s.b = ((s.b ^ s.a) - rotate(s.a, 25)) | 0;
  s.c = ((s.c ^ s.b) - rotate(s.b, 16)) | 0;
  s.a = ((s.a ^ s.c) - rotate(s.c, 4)) | 0;
  s.b = ((s.b ^ s.a) - rotate(s.a, 14)) | 0;
  s.c = ((s.c ^ s.b) - rotate(s.b, 24)) | 0;
}
