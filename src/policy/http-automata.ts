/**
 * Automata over bytes whose states say which rules hold: what one condition of an HTTP rule asks, and the product of many.
 *
 *     expression | exact value ──► Automaton of one condition, least states ──► combine ──► Automaton of a field of the request
 *
 * Rules of different conditions are different bits, so a product of automata with the least states has the least states itself, and
 * more conditions never take fewer: what has too many on the way has too many in the end, and is stopped there.
 */
import type { ExpressionTable } from './l7-expression.ts';

export interface Automaton {
  /** Of each byte. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** next[state × classes + class]. */
  readonly next: Int32Array;
  readonly start: number;
  /** By state: the rules that hold where a text ends there. */
  readonly masks: readonly bigint[];
}

/** Cells that may still be looked at: one for all automata of a set. */
export interface Work {
  left: number;
}

/** Undefined: more states than `most`, or the work is used up. */
export type Combined = Automaton | undefined;

const bytes = 256;

/** One state: every text is as good as another. */
export function everything(mask: bigint): Automaton {
  return { classOf: new Uint8Array(bytes), classes: 1, next: new Int32Array(1), start: 0, masks: [mask] };
}

/** Any text but the empty one. */
export function notEmpty(yes: bigint, no: bigint): Automaton {
  return { classOf: new Uint8Array(bytes), classes: 1, next: Int32Array.of(1, 1), start: 0, masks: [no, yes] };
}

/** Exactly this, a character for a byte. */
export function exactly(text: string, yes: bigint, no: bigint): Automaton {
  const known = new Map<number, number>();
  for (let i = 0; i < text.length; i++) if (!known.has(text.charCodeAt(i))) known.set(text.charCodeAt(i), known.size);
  const classes = Math.min(known.size + 1, bytes);
  const classOf = Uint8Array.from({ length: bytes }, (_, byte) => known.get(byte) ?? known.size);
  const next = new Int32Array((text.length + 2) * classes);
  for (let i = 0; i < text.length; i++) next[(i + 1) * classes + classOf[text.charCodeAt(i)]!] = i + 2;
  return { classOf, classes, next, start: 1, masks: Array.from({ length: text.length + 2 }, (_, state) => (state === text.length + 1 ? yes : no)) };
}

/** Bytes beyond ASCII lead to its dead state. */
export function ofExpression(table: ExpressionTable, yes: bigint, no: bigint): Automaton {
  const classes = table.classes + 1;
  const classOf = new Uint8Array(bytes).fill(table.classes);
  classOf.set(table.classOf);
  const states = table.accepting.length;
  const next = new Int32Array(states * classes);
  for (let state = 0; state < states; state++) next.set(table.next.subarray(state * table.classes, (state + 1) * table.classes), state * classes);
  return mergeClasses(leastStates({ classOf, classes, next, start: table.start, masks: Array.from(table.accepting, accepts => (accepts === 1 ? yes : no)) }));
}

/** Hopcroft's: classes of states are split until all members of one go to one and the same by each byte. */
export function leastStates({ classOf, classes, next, start, masks }: Automaton): Automaton {
  const states = masks.length;
  const before = new Predecessors(next, classes);
  const parts = new Parts(masks);
  const waiting = new Set(Array.from({ length: parts.count }, (_, part) => part));
  for (const splitter of waiting) {
    waiting.delete(splitter);
    const members = parts.members(splitter);
    for (let column = 0; column < classes; column++) {
      for (const member of members) before.each(member, column, state => parts.mark(state));
      parts.split((part, cut) => waiting.add(waiting.has(part) || parts.size(cut) <= parts.size(part) ? cut : part));
    }
  }
  const count = parts.count;
  const least = new Int32Array(count * classes);
  const of: bigint[] = [];
  for (let state = 0; state < states; state++) {
    const part = parts.of(state);
    of[part] = masks[state]!;
    for (let column = 0; column < classes; column++) least[part * classes + column] = parts.of(next[state * classes + column]!);
  }
  return { classOf, classes, next: least, start: parts.of(start), masks: of };
}

/** Which states lead to one by a class of bytes, as lists in two arrays. */
class Predecessors {
  readonly #from: Int32Array;
  readonly #at: Int32Array;
  readonly #classes: number;

  constructor(next: Int32Array, classes: number) {
    this.#classes = classes;
    this.#at = new Int32Array(next.length + 1);
    for (let i = 0; i < next.length; i++) this.#at[next[i]! * classes + (i % classes) + 1]!++;
    for (let i = 0; i < next.length; i++) this.#at[i + 1]! += this.#at[i]!;
    const filled = this.#at.slice();
    this.#from = new Int32Array(next.length);
    for (let i = 0; i < next.length; i++) this.#from[filled[next[i]! * classes + (i % classes)]!++] = Math.floor(i / classes);
  }

  each(state: number, column: number, visit: (from: number) => void): void {
    const cell = state * this.#classes + column;
    for (let i = this.#at[cell]!; i < this.#at[cell + 1]!; i++) visit(this.#from[i]!);
  }
}

/** A partition of states: the members of a part lie beside each other, those that are marked in front. */
class Parts {
  readonly #order: Int32Array;
  readonly #place: Int32Array;
  readonly #part: Int32Array;
  readonly #first: number[] = [];
  readonly #end: number[] = [];
  readonly #marked: number[] = [];
  #touched: number[] = [];

  constructor(masks: readonly bigint[]) {
    const groups = new Map<bigint, number[]>();
    for (const [state, mask] of masks.entries()) {
      const group = groups.get(mask);
      if (group) group.push(state);
      else groups.set(mask, [state]);
    }
    this.#order = Int32Array.from([...groups.values()].flat());
    this.#place = new Int32Array(masks.length);
    this.#part = new Int32Array(masks.length);
    for (const [place, state] of this.#order.entries()) this.#place[state] = place;
    let first = 0;
    for (const group of groups.values()) {
      for (const state of group) this.#part[state] = this.count;
      this.#add(first, (first += group.length));
    }
  }

  get count(): number {
    return this.#first.length;
  }

  of(state: number): number {
    return this.#part[state]!;
  }

  size(part: number): number {
    return this.#end[part]! - this.#first[part]!;
  }

  /** A copy: marks move them. */
  members(part: number): Int32Array {
    return this.#order.slice(this.#first[part], this.#end[part]);
  }

  mark(state: number): void {
    const part = this.#part[state]!;
    const to = this.#first[part]! + this.#marked[part]!;
    const from = this.#place[state]!;
    if (from < to) return;
    if (this.#marked[part]!++ === 0) this.#touched.push(part);
    const other = this.#order[to]!;
    this.#order[to] = state;
    this.#order[from] = other;
    this.#place[state] = to;
    this.#place[other] = from;
  }

  /** What is marked becomes a part of its own where others of its part are not. */
  split(told: (part: number, cut: number) => void): void {
    const touched = this.#touched;
    this.#touched = [];
    for (const part of touched) {
      const marked = this.#marked[part]!;
      this.#marked[part] = 0;
      if (marked === this.size(part)) continue;
      const cut = this.count;
      const first = this.#first[part]!;
      this.#add(first, first + marked);
      this.#first[part] = first + marked;
      for (let i = first; i < first + marked; i++) this.#part[this.#order[i]!] = cut;
      told(part, cut);
    }
  }

  #add(first: number, end: number): void {
    this.#first.push(first);
    this.#end.push(end);
    this.#marked.push(0);
  }
}

/** Bytes that no state tells apart become one class. */
function mergeClasses({ classOf, classes, next, start, masks }: Automaton): Automaton {
  const known = new Map<string, number>();
  const columns: number[] = [];
  const merged = Array.from({ length: classes }, (_, column) => {
    const key = masks.map((_mask, state) => next[state * classes + column]).join();
    const found = known.get(key) ?? known.size;
    if (found === known.size) {
      known.set(key, found);
      columns.push(column);
    }
    return found;
  });
  const fewer = Int32Array.from({ length: masks.length * columns.length }, (_, i) => next[Math.floor(i / columns.length) * classes + columns[i % columns.length]!]!);
  return { classOf: classOf.map(column => merged[column]!), classes: columns.length, next: fewer, start, masks };
}

/** All of them at once: a rule holds where it holds in each. Neighbours are combined first, so that most work is on small ones. */
export function combine(automata: readonly Automaton[], most: number, work: Work): Combined {
  let level = automata;
  while (level.length > 1) {
    const above: Automaton[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [a, b] = [level[i]!, level[i + 1]];
      const both = b === undefined ? a : product(a, b, most, work);
      if (both === undefined) return undefined;
      above.push(both);
    }
    level = above;
  }
  return level[0] !== undefined && level[0].masks.length <= most ? level[0] : undefined;
}

function product(a: Automaton, b: Automaton, most: number, work: Work): Combined {
  const { classOf, pairs } = sharedClasses([a, b]);
  const classes = pairs.length;
  const states = new Map<number, number>();
  const members: (readonly [number, number])[] = [];
  const masks: bigint[] = [];
  const stateOf = (left: number, right: number): number => {
    const key = left * b.masks.length + right;
    let state = states.get(key);
    if (state === undefined) {
      state = members.length;
      states.set(key, state);
      members.push([left, right]);
      masks.push(a.masks[left]! & b.masks[right]!);
    }
    return state;
  };
  stateOf(a.start, b.start);
  const next: number[] = [];
  for (let state = 0; state < members.length; state++) {
    const [left, right] = members[state]!;
    for (const [columnA, columnB] of pairs) next.push(stateOf(a.next[left * a.classes + columnA!]!, b.next[right * b.classes + columnB!]!));
    work.left -= classes;
    if (members.length > most || work.left < 0) return undefined;
  }
  return { classOf, classes, next: Int32Array.from(next), start: 0, masks };
}

/** Classes of bytes that tell apart what any of them tells apart; `pairs`: of each, the classes of all, in their order. */
export function sharedClasses(automata: readonly Automaton[]): { readonly classOf: Uint8Array; readonly pairs: readonly (readonly number[])[] } {
  const known = new Map<string, number>();
  const pairs: number[][] = [];
  const classOf = Uint8Array.from({ length: bytes }, (_, byte) => {
    const pair = automata.map(automaton => automaton.classOf[byte]!);
    const key = pair.join();
    const found = known.get(key) ?? known.size;
    if (found === known.size) {
      known.set(key, found);
      pairs.push(pair);
    }
    return found;
  });
  return { classOf, pairs };
}
