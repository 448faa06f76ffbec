import { NameTrie, endOfLabel, isLinear, type TrieSet } from './name-trie.ts';

/** Of `struct name_state`: a–z, 0–9, '-', '_', the end of a label, any other byte. */
export const nameColumns = 40;
/** States are numbered in 16 bits. */
export const maxNameStates = 65_535;

/** State 0 refuses for ever, state 1 is the beginning. */
export const deadNameState = 0;
export const startNameState = 1;

export interface NameAutomatonOptions {
  /** At most this many states (65,535). */
  readonly maxStates?: number;
  /** What one construction may do, in members of states looked at; a bound of the time that hostile patterns cost. */
  readonly maxWork?: number;
}

/** Reads a name from its first label on; where it ends says which patterns it matches. */
export interface NameAutomaton {
  /** How many, with the two fixed ones. */
  readonly states: number;
  /** `next[state * nameColumns + column]`. */
  readonly next: Uint16Array;
  /** By state: the number in `sets` of the patterns that match a name that ends here. */
  readonly accepting: Uint32Array;
  /** Distinct, each sorted; 0 is the empty one. */
  readonly sets: readonly (readonly string[])[];
  /** Patterns that there was no room for. No name matches them: whoever allows by them allows less. */
  readonly leftOut: readonly string[];
  /** The patterns that this name matches; letters in any case, with or without the final dot. */
  walk(name: string): readonly string[];
}

/**
 * One deterministic automaton of all patterns (matchName and matchPattern), with the meaning of `namePattern`. Exact names, `*`,
 * `*.x` and `**.x` take at most a state a character. Patterns with `*` elsewhere can multiply with each other: what does not fit
 * is left out, those with the most `*` first.
 */
export function buildNameAutomaton(patterns: Iterable<string>, options: NameAutomatonOptions = {}): NameAutomaton {
  const limits: Limits = { maxStates: Math.min(options.maxStates ?? maxNameStates, maxNameStates), maxWork: options.maxWork ?? 1_500_000 };
  const all = [...new Set(patterns)].sort();
  const { kept, leftOut } = fitLinear(all.filter(isLinear), limits.maxStates);
  const others = all.filter(pattern => !isLinear(pattern)).sort((a, b) => stars(a) - stars(b));
  // Linear: bounded by the labels that a name has, whatever the patterns.
  let built = construct(kept, { ...limits, maxWork: Infinity })!;
  let failures = 0;
  const add = (group: readonly string[]): void => {
    if (group.length === 0) return;
    const tried = failures < maxFailures ? construct([...kept, ...group], limits) : undefined;
    if (tried) {
      built = tried;
      kept.push(...group);
      return;
    }
    failures++;
    if (group.length === 1 || failures >= maxFailures) {
      leftOut.push(...group);
      return;
    }
    const half = group.length >> 1;
    add(group.slice(0, half));
    add(group.slice(half));
  };
  add(others);
  return { ...built, leftOut: leftOut.sort(), walk: name => built.sets[built.accepting[walkStates(built.next, name)]!]! };
}

/** The state in which a name ends. */
export function walkStates(next: Uint16Array, name: string): number {
  const text = name.endsWith('.') ? name.slice(0, -1) : name;
  if (text === '') return startNameState;
  let state = startNameState;
  for (let i = 0; i < text.length && state !== deadNameState; i++) state = next[state * nameColumns + nameColumn(text.charCodeAt(i))]!;
  return next[state * nameColumns + endOfLabel]!;
}

/** Of a character of a name as text, the dot being the end of a label. */
export function nameColumn(code: number): number {
  if (code >= 97 && code <= 122) return code - 97;
  if (code >= 65 && code <= 90) return code - 65;
  if (code >= 48 && code <= 57) return code - 48 + 26;
  if (code === 45) return 36;
  if (code === 95) return 37;
  return code === 46 ? endOfLabel : 39;
}

/** Each failure has cost a whole construction. */
const maxFailures = 5;
/** Of an automaton of linear patterns, beside one for each node of the trie: the dead one, and what a first label can be in. */
const spareStates = 8;

interface Limits {
  readonly maxStates: number;
  readonly maxWork: number;
}

type Built = Pick<NameAutomaton, 'states' | 'next' | 'accepting' | 'sets'>;

const stars = (pattern: string): number => pattern.split(/\*+/).length - 1;

/** A state of such an automaton is told by its furthest node, so nodes are counted instead of states. */
function fitLinear(patterns: readonly string[], maxStates: number): { kept: string[]; leftOut: string[] } {
  const trie = new NameTrie();
  const kept: string[] = [];
  const leftOut: string[] = [];
  for (const pattern of patterns) (trie.add(pattern, maxStates - spareStates) ? kept : leftOut).push(pattern);
  return { kept, leftOut };
}

/** Undefined when the limits do not allow it. */
function construct(patterns: readonly string[], limits: Limits): Built | undefined {
  const trie = new NameTrie();
  // More nodes than this cannot be told apart by so few states, whatever they share.
  for (const pattern of patterns) if (!trie.add(pattern, 4 * limits.maxStates)) return undefined;
  const numbers = new Map<string, number>([['', deadNameState]]);
  const members: TrieSet[] = [[]];
  let work = 0;
  const numberOf = (set: TrieSet): number => {
    const key = set.join();
    let number = numbers.get(key);
    if (number === undefined) {
      number = members.length;
      numbers.set(key, number);
      members.push(set);
    }
    work += set.length;
    return number;
  };
  numberOf(trie.start());
  const rows: Uint16Array[] = [new Uint16Array(nameColumns)];
  for (let state = startNameState; state < members.length; state++) {
    const row = new Uint16Array(nameColumns);
    const { always, steps } = trie.step(members[state]!);
    row.fill(numberOf(always), 0, endOfLabel);
    for (const [column, set] of steps) row[column] = numberOf(set);
    rows.push(row);
    if (members.length > limits.maxStates || work > limits.maxWork) return undefined;
  }
  return { states: members.length, next: flatten(rows), ...acceptingSets(trie, members) };
}

function flatten(rows: readonly Uint16Array[]): Uint16Array {
  const next = new Uint16Array(rows.length * nameColumns);
  rows.forEach((row, i) => next.set(row, i * nameColumns));
  return next;
}

function acceptingSets(trie: NameTrie, members: readonly TrieSet[]): Pick<NameAutomaton, 'accepting' | 'sets'> {
  const accepting = new Uint32Array(members.length);
  const sets: (readonly string[])[] = [[]];
  const numbers = new Map<string, number>([['', 0]]);
  members.forEach((set, state) => {
    const patterns = trie.accepted(set);
    const key = patterns.join();
    let number = numbers.get(key);
    if (number === undefined) {
      number = sets.length;
      numbers.set(key, number);
      sets.push(patterns);
    }
    accepting[state] = number;
  });
  return { accepting, sets };
}
