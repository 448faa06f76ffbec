/** The automaton of header fields' names: in any case of letters, those that frame a message and those that rules ask for. */
import type { Automaton } from './http-automata.ts';

/** `enum http_name` (bpf/lib/http.h). */
export const httpNames: Readonly<Record<string, number>> = {
  host: 1, 'content-length': 2, 'transfer-encoding': 3, connection: 4, upgrade: 5, expect: 6, traceparent: 7,
};

/** The mask of a name that means nothing in a head, and may be no trailer's. */
const noTrailer = 1n << 16n;

/**
 * Masks are no rules here: the low byte is what the name means, the next one the place in `fields` and one. `others` are names in rules that
 * never hold: no server is to see a header that a rule names and nobody has read, so it may not come behind the body either.
 */
export function namesAutomaton(fields: readonly string[], others: readonly string[] = []): Automaton {
  const meaning = new Map<string, bigint>(Object.entries(httpNames).map(([name, kind]) => [name, BigInt(kind)]));
  for (const [place, name] of fields.entries()) meaning.set(name, (meaning.get(name) ?? 0n) | (BigInt(place + 1) << 8n));
  for (const name of others) if (!meaning.has(name)) meaning.set(name, noTrailer);
  const letters = [...new Set([...meaning.keys()].join(''))];
  const classes = letters.length + 1;
  const classOf = new Uint8Array(256);
  for (const [i, letter] of letters.entries()) {
    classOf[letter.charCodeAt(0)] = i + 1;
    classOf[letter.toUpperCase().charCodeAt(0)] = i + 1;
  }
  // A tree: state 0 is no name, state 1 the beginning of all.
  const next: number[] = new Array<number>(2 * classes).fill(0);
  const masks = [0n, 0n];
  for (const [name, mask] of meaning) {
    let state = 1;
    for (let i = 0; i < name.length; i++) {
      const cell = state * classes + classOf[name.charCodeAt(i)]!;
      if (next[cell] === 0) {
        next[cell] = masks.length;
        masks.push(0n);
        next.push(...new Array<number>(classes).fill(0));
      }
      state = next[cell]!;
    }
    masks[state] = mask;
  }
  return { classOf, classes, next: Int32Array.from(next), start: 1, masks };
}
