/**
 * Several expressions as one deterministic automaton over bytes, each to match the whole text: a table that is walked a byte at a
 * time, whatever the expressions are. Pure.
 */
import { hasByte, type ByteSet, type Expression } from './expression.ts';

export interface Automaton {
  /** By byte: its column. */
  readonly columns: Uint8Array;
  readonly columnCount: number;
  /** `next[state * columnCount + column]`; state 0 is dead, state 1 the beginning. */
  readonly next: Uint16Array;
  readonly states: number;
  /** By state: a bit for each expression that matches a text which ends here. */
  readonly matches: BigUint64Array;
}

export const maxExpressions = 64;
export const maxAutomatonStates = 65_535;
export const deadState = 0;
export const startState = 1;

/** Undefined where the limits do not allow it. */
export function buildAutomaton(expressions: readonly Expression[], limits: { readonly maxStates?: number; readonly maxNodes?: number } = {}): Automaton | undefined {
  if (expressions.length > maxExpressions) return undefined;
  const nfa = new Nfa(limits.maxNodes ?? 20_000);
  const starts = expressions.map((expression, i) => nfa.add(expression, nfa.match(i)));
  if (starts.includes(-1)) return undefined;
  const { columns, samples } = nfa.columns();
  const maxStates = Math.min(limits.maxStates ?? maxAutomatonStates, maxAutomatonStates);
  const members: (readonly number[])[] = [[], nfa.closure(starts, true, false)];
  const numbers = new Map(members.map((set, i) => [set.join(), i] as const));
  // A beginning that is dead is still state 1.
  if (members[1]!.length === 0) numbers.set('', deadState);
  const rows: Uint16Array[] = [new Uint16Array(samples.length)];
  for (let state = startState; state < members.length; state++) {
    const row = new Uint16Array(samples.length);
    for (const [column, byte] of samples.entries()) {
      const set = nfa.closure(nfa.step(members[state]!, byte), false, false);
      const key = set.join();
      let number = numbers.get(key);
      if (number === undefined) {
        number = members.push(set) - 1;
        if (number >= maxStates) return undefined;
        numbers.set(key, number);
      }
      row[column] = number;
    }
    rows.push(row);
  }
  const matches = BigUint64Array.from(members, (set, state) => nfa.matched(set, state === startState));
  return minimised({ columns, columnCount: samples.length, rows, matches });
}

/** One bit for each expression that matches all of data[start, end). */
export function walk(automaton: Automaton, data: Uint8Array, start = 0, end = data.length): bigint {
  const { next, columns, columnCount } = automaton;
  let state = startState;
  for (let i = start; i < end && state !== deadState; i++) state = next[state * columnCount + columns[data[i]!]!]!;
  return automaton.matches[state]!;
}

type Node =
  | { readonly kind: 'bytes'; readonly set: ByteSet; readonly next: number }
  | { readonly kind: 'split'; readonly to: number[] }
  | { readonly kind: 'begin' | 'end'; readonly next: number }
  | { readonly kind: 'match'; readonly expression: number };

class Nfa {
  readonly #nodes: Node[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  match(expression: number): number {
    return this.#nodes.push({ kind: 'match', expression }) - 1;
  }

  /** From the back: the node where the expression begins, if `next` comes after it. -1: too many. */
  add(expression: Expression, next: number): number {
    if (next < 0 || this.#nodes.length > this.#limit) return -1;
    switch (expression.kind) {
      case 'empty': return next;
      case 'bytes': return this.#nodes.push({ kind: 'bytes', set: expression.set, next }) - 1;
      case 'begin': case 'end': return this.#nodes.push({ kind: expression.kind, next }) - 1;
      case 'sequence': return expression.parts.reduceRight((after, part) => this.add(part, after), next);
      case 'choice': {
        const to = expression.parts.map(part => this.add(part, next));
        return to.includes(-1) ? -1 : this.#nodes.push({ kind: 'split', to }) - 1;
      }
      case 'repeat': return this.#repeat(expression.of, expression.min, expression.max, next);
    }
  }

  #repeat(of: Expression, min: number, max: number, next: number): number {
    let at = next;
    if (max === Infinity) {
      const to = [next];
      const loop = this.#nodes.push({ kind: 'split', to }) - 1;
      const body = this.add(of, loop);
      if (body < 0) return -1;
      to.push(body);
      at = loop;
    } else {
      for (let i = min; i < max && at >= 0; i++) {
        const body = this.add(of, at);
        at = body < 0 ? -1 : this.#nodes.push({ kind: 'split', to: [next, body] }) - 1;
      }
    }
    for (let i = 0; i < min && at >= 0; i++) at = this.add(of, at);
    return at;
  }

  /** Nodes that take a byte or match, sorted; ways through `^` and `$` only at the beginning and at the end. */
  closure(from: readonly number[], atBegin: boolean, atEnd: boolean): readonly number[] {
    const seen = new Set<number>();
    const open = [...from];
    const result: number[] = [];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      const node = this.#nodes[at]!;
      if (node.kind === 'split') open.push(...node.to);
      else if (node.kind === 'begin') atBegin && open.push(node.next);
      else {
        result.push(at);
        if (node.kind === 'end' && atEnd) open.push(node.next);
      }
    }
    return result.sort((a, b) => a - b);
  }

  step(set: readonly number[], byte: number): readonly number[] {
    const to: number[] = [];
    for (const at of set) {
      const node = this.#nodes[at]!;
      if (node.kind === 'bytes' && hasByte(node.set, byte)) to.push(node.next);
    }
    return to;
  }

  matched(set: readonly number[], atBegin: boolean): bigint {
    let bits = 0n;
    for (const at of this.closure(set, atBegin, true)) {
      const node = this.#nodes[at]!;
      if (node.kind === 'match') bits |= 1n << BigInt(node.expression);
    }
    return bits;
  }

  /** Bytes that no expression tells apart share a column; a sample of each. */
  columns(): { readonly columns: Uint8Array; readonly samples: readonly number[] } {
    const sets = new Set(this.#nodes.flatMap(node => (node.kind === 'bytes' ? [Buffer.from(node.set).toString('latin1')] : [])));
    const columns = new Uint8Array(256);
    const samples: number[] = [];
    const byKey = new Map<string, number>();
    const list = [...sets].map(text => Buffer.from(text, 'latin1'));
    for (let byte = 0; byte < 256; byte++) {
      const key = list.map(set => (hasByte(set, byte) ? '1' : '0')).join('');
      let column = byKey.get(key);
      if (column === undefined) {
        column = samples.push(byte) - 1;
        byKey.set(key, column);
      }
      columns[byte] = column;
    }
    return { columns, samples };
  }
}

/** States that cannot be told apart become one (Moore's refinement); the dead one and the beginning keep their numbers. */
function minimised({ columns, columnCount, rows, matches }: { readonly columns: Uint8Array; readonly columnCount: number; readonly rows: readonly Uint16Array[]; readonly matches: BigUint64Array }): Automaton {
  let group = numbered(rows.map((_, state) => `${matches[state]!}`));
  for (let count = 0; group.count > count;) {
    ({ count } = group);
    const before = group;
    group = numbered(rows.map((row, state) => `${before.of[state]!},${Array.from(row, to => before.of[to]!).join()}`));
  }
  const order = renumbered(group.of, rows);
  const next = new Uint16Array(order.size * columnCount);
  const bits = new BigUint64Array(order.size);
  for (const [from, number] of order) {
    bits[number] = matches[from]!;
    for (let column = 0; column < columnCount; column++) next[number * columnCount + column] = order.get(group.first[group.of[rows[from]![column]!]!]!)!;
  }
  return { columns, columnCount, next, states: order.size, matches: bits };
}

function numbered(keys: readonly string[]): { readonly of: readonly number[]; readonly count: number; readonly first: readonly number[] } {
  const numbers = new Map<string, number>();
  const first: number[] = [];
  const of = keys.map((key, i) => {
    let number = numbers.get(key);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(key, number);
      first.push(i);
    }
    return number;
  });
  return { of, count: numbers.size, first };
}

/** By the first state of each group: its new number. The dead one is 0, the beginning 1 even where it is dead too. */
function renumbered(of: readonly number[], rows: readonly Uint16Array[]): ReadonlyMap<number, number> {
  const order = new Map<number, number>([[0, deadState]]);
  const taken = new Set([of[0]!]);
  order.set(startState, startState);
  taken.add(of[startState]!);
  rows.forEach((_, state) => {
    if (taken.has(of[state]!)) return;
    taken.add(of[state]!);
    order.set(state, order.size);
  });
  return order;
}
