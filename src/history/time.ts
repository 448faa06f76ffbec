import { canonicalTime } from '../flows/query.ts';

/** Nanoseconds since 1970 of an RFC 3339 time. Throws CirriError ERR_TIME. */
export function timeNs(text: string): bigint {
  const canonical = canonicalTime(text);
  return BigInt(Date.parse(`${canonical.slice(0, 19)}Z`)) * 1_000_000n + BigInt(canonical.slice(20, 29));
}

/** RFC 3339 with nine digits, UTC. */
export function timeText(ns: bigint): string {
  return `${new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19)}.${String(ns % 1_000_000_000n).padStart(9, '0')}Z`;
}
