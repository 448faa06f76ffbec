import { ConnectionFault, ErrorCode } from './error.ts';

/**
 * The code of RFC 7541 appendix B. It is canonical: codes of one length follow each other in the order of their symbols, so the
 * lengths say all. As runs: symbols from `0` on, "length" or "length×count".
 */
const runs = '13 23 28×7 24 30 28×2 30 28×8 30 28×9 6 10×2 12 13 6 8 11 10×2 8 11 8 6×3 5×3 6×7 7 8 15 6 12 10 13 6 7×22 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6×3 5 7×2 6×3 5 6 7 6 5×2 6 7×5 15 11 14 13 28'
  + ' 20 22 20×2 22×3 23 22 23×5 24 23 24×2 22 23 24 23×4 21 22 23 22 23×2 24 22 21 20 22×2 23×2 21 23 22×2 24 21 22 23×2 21×2 22 21 23 22 23×2 20 22×3 23 22×2 23'
  + ' 26×2 20 19 22 23 22 25 26×3 27×2 26 24 25 19 21 26 27×2 26 27 24 21×2 26×2 28 27×3 20 24 20 21 22 21×2 23 22×2 25×2 24×2 26 23 26 27 26×2 27×5 28 27×5 26 30';

const endOfString = 256;
const lengths = Uint8Array.from(runs.split(' ').flatMap(run => {
  const [length, count = '1'] = run.split('×');
  return Array.from({ length: Number(count) }, () => Number(length));
}));
const codes = canonicalCodes(lengths);

function canonicalCodes(of: Uint8Array): Uint32Array {
  const result = new Uint32Array(of.length);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol < of.length; symbol++) if (of[symbol] === length) result[symbol] = code++;
  }
  return result;
}

/**
 * A machine over half bytes: transitions[state * 16 + bits] has the next state in bits 0–7, EMITS and the symbol in bits 16–23, or
 * FAILS where the end-of-string code would be complete. A state is an inner node of the tree; 0 is the root.
 */
const EMITS = 0x100;
const FAILS = 0x200;
const { transitions, accepts } = buildMachine();

function buildMachine(): { readonly transitions: Int32Array; readonly accepts: Uint8Array } {
  // children[2 * node + bit]: another inner node, or ~symbol.
  const children: number[] = [0, 0];
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    let node = 0;
    for (let bit = lengths[symbol]! - 1; bit > 0; bit--) {
      const edge = 2 * node + ((codes[symbol]! >>> bit) & 1);
      if (children[edge] === 0) {
        children[edge] = children.length / 2;
        children.push(0, 0);
      }
      node = children[edge]!;
    }
    children[2 * node + (codes[symbol]! & 1)] = ~symbol;
  }
  const states = children.length / 2;
  const table = new Int32Array(states * 16);
  for (let state = 0; state < states; state++) {
    for (let bits = 0; bits < 16; bits++) table[state * 16 + bits] = step(children, state, bits);
  }
  // What may stand at the end: up to seven bits of ones, the beginning of the end-of-string code.
  const ends = new Uint8Array(states);
  for (let node = 0, depth = 0; depth < 8; depth++) {
    ends[node] = 1;
    node = children[2 * node + 1]!;
  }
  return { transitions: table, accepts: ends };
}

function step(children: readonly number[], state: number, bits: number): number {
  let node = state;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = children[2 * node + ((bits >>> bit) & 1)]!;
    if (next >= 0) {
      node = next;
      continue;
    }
    if (~next === endOfString) return FAILS;
    emitted = EMITS | (~next << 16);
    node = 0;
  }
  return node | emitted;
}

/** Decodes data[start, end) into `into`, which has room for 8/5 of it; returns how many bytes there are. */
export function huffmanDecode(data: Uint8Array, start: number, end: number, into: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = data[at]!;
    const first = transitions[(state << 4) | (byte >>> 4)]!;
    if (first & EMITS) into[length++] = first >> 16;
    const second = transitions[((first & 0xff) << 4) | (byte & 15)]!;
    if (second & EMITS) into[length++] = second >> 16;
    if ((first | second) & FAILS) throw new ConnectionFault(ErrorCode.compression, 'the end-of-string code within a string');
    state = second & 0xff;
  }
  if (!accepts[state]) throw new ConnectionFault(ErrorCode.compression, 'a string with wrong padding');
  return length;
}

/** Bytes that `text` (one byte a character) takes. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
}

/** Writes `text` to `into` at `at`; returns the offset after it. */
export function huffmanEncode(text: string, into: Uint8Array, at: number): number {
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let left = lengths[symbol]!;
    const code = codes[symbol]!;
    // At most 7 bits wait, so up to 16 fit beside them: 32-bit arithmetic is enough.
    while (left > 0) {
      const take = Math.min(left, 16);
      pending = (pending << take) | ((code >>> (left - take)) & ((1 << take) - 1));
      bits += take;
      left -= take;
      while (bits >= 8) {
        bits -= 8;
        into[at++] = pending >>> bits;
        pending &= (1 << bits) - 1;
      }
    }
  }
  if (bits > 0) into[at++] = (pending << (8 - bits)) | (0xff >>> bits);
  return at;
}
