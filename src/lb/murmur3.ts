const mask = (1n << 64n) - 1n;
const c1 = 0x87c37b91114253d5n;
const c2 = 0x4cf5ad432745937fn;

/**
 * MurmurHash3_x64_128 (Austin Appleby, public domain) of some bytes: two numbers of 64 bits. Written with bigints: it hashes
 * the names of backends, a few dozen bytes once in their life, and must be exact.
 */
export function murmur3(bytes: Uint8Array, seed: number): readonly [h1: bigint, h2: bigint] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = bytes.length & ~15;
  let h1 = BigInt(seed >>> 0);
  let h2 = h1;
  for (let at = 0; at < whole; at += 16) {
    h1 ^= scramble(view.getBigUint64(at, true), c1, 31n, c2);
    h1 = ((rotate(h1, 27n) + h2) * 5n + 0x52dce729n) & mask;
    h2 ^= scramble(view.getBigUint64(at + 8, true), c2, 33n, c1);
    h2 = ((rotate(h2, 31n) + h1) * 5n + 0x38495ab5n) & mask;
  }
  h1 ^= scramble(tail(bytes, whole), c1, 31n, c2);
  h2 ^= scramble(tail(bytes, whole + 8), c2, 33n, c1);
  const length = BigInt(bytes.length);
  h1 ^= length;
  h2 ^= length;
  h1 = (h1 + h2) & mask;
  h2 = (h2 + h1) & mask;
  h1 = finish(h1);
  h2 = finish(h2);
  h1 = (h1 + h2) & mask;
  return [h1, (h2 + h1) & mask];
}

/** Up to eight bytes from `from` on, little-endian; what is not there is zero, which scrambles to nothing. */
function tail(bytes: Uint8Array, from: number): bigint {
  let word = 0n;
  for (let i = Math.min(bytes.length, from + 8) - 1; i >= from; i--) word = (word << 8n) | BigInt(bytes[i]!);
  return word;
}

function scramble(word: bigint, first: bigint, bits: bigint, second: bigint): bigint {
  return (rotate((word * first) & mask, bits) * second) & mask;
}

function rotate(word: bigint, bits: bigint): bigint {
  return ((word << bits) | (word >> (64n - bits))) & mask;
}

function finish(word: bigint): bigint {
  word = ((word ^ (word >> 33n)) * 0xff51afd7ed558ccdn) & mask;
  word = ((word ^ (word >> 33n)) * 0xc4ceb9fe1a85ec53n) & mask;
  return word ^ (word >> 33n);
}
