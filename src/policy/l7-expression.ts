/**
 * Expressions of HTTP rules: RE2's syntax, over the whole of a text, in time linear in the text whatever the expression.
 *
 *     text ──re2js──▶ program (alternatives, classes of characters) ──on demand──▶ states × classes of bytes
 *
 * re2js parses; its program is walked here as an automaton whose states are made when they are first reached and kept in a table
 * with a bound: a step of a known state is one look-up. An expression whose states do not fit (`.*a.{30}`) forgets them and goes on.
 * Texts are what a request line may bear: a text with anything outside of ASCII matches nothing.
 */
import { RE2JS } from 're2js';
import { CirriError, errorText } from '../std/errors.ts';
import { readProgram } from './l7-program.ts';
import type { Program } from './l7-program.ts';

export const longestExpression = 4096;
/** Instructions of a program: what a step that makes a state costs at most. */
export const largestProgram = 5000;
const mostStates = 1024;
/** Instructions that all kept states of an expression name together. */
const mostMembers = 65_536;
/** What one text may cost in visited instructions when states do not fit: then it does not match. About 50 ms. */
const mostWork = 1_000_000;
const unknownState = -1;
const deadState = 0;

export interface Expression {
  readonly text: string;
  /** The whole of it. */
  matches(text: string): boolean;
  /** Instructions visited so far to make states: for tests of how the cost grows. */
  readonly work: number;
  /** All states at once, for a matcher elsewhere (the kernel); undefined when there are more, or it takes more than `visits` instructions. State 0 is dead. */
  table(most: number, visits?: number): ExpressionTable | undefined;
}

export interface ExpressionTable {
  readonly start: number;
  /** Of each byte below 128. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** next[state × classes + class]. */
  readonly next: Int32Array;
  readonly accepting: Uint8Array;
}

/** Why it cannot be used, in RE2's words; undefined: it can. */
export function expressionFault(text: string): string | undefined {
  try {
    compileExpression(text);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

/** Throws CirriError ERR_L7_EXPRESSION. */
export function compileExpression(text: string): Expression {
  if (text.length > longestExpression) throw fault(`an expression of ${text.length} characters; at most ${longestExpression} are taken`);
  let program: Program;
  try {
    program = readProgram(RE2JS.compile(text), largestProgram);
  } catch (error) {
    throw fault(errorText(error));
  }
  return new Automaton(text, program);
}

function fault(message: string): CirriError {
  return new CirriError('ERR_L7_EXPRESSION', message, { mend: 'write an RE2 expression; "*" alone is not one, ".*" is' });
}

/** What stood before the place where a state is: it decides `^`, `\b` and their like. */
const atBegin = 0;
const afterLine = 1;
const afterWord = 2;
const afterOther = 3;

class Automaton implements Expression {
  readonly text: string;
  readonly #program: Program;
  readonly #classes: number;
  #next: Int32Array;
  #members: Uint16Array[] = [];
  #before: number[] = [];
  #accepts: Int8Array;
  #ids = new Map<string, number>();
  #kept = 0;
  #start = 0;
  #spent = 0;
  #budget = 0;
  /** A sparse set of instructions, and the stack of a walk. */
  readonly #dense: Uint16Array;
  readonly #sparse: Uint16Array;
  #size = 0;
  readonly #stack: number[] = [];

  constructor(text: string, program: Program) {
    this.text = text;
    this.#program = program;
    this.#classes = program.classes;
    this.#next = new Int32Array(16 * program.classes);
    this.#accepts = new Int8Array(16);
    this.#dense = new Uint16Array(program.count);
    this.#sparse = new Uint16Array(program.count);
    this.#forget();
  }

  get work(): number {
    return this.#spent;
  }

  matches(text: string): boolean {
    const classOf = this.#program.classOf;
    const classes = this.#classes;
    let state = this.#start;
    let next = this.#next;
    this.#budget = mostWork;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) return false;
      const column = classOf[code]!;
      let to = next[state * classes + column]!;
      if (to === unknownState) {
        to = this.#step(state, column);
        if (this.#budget < 0) return false;
        next = this.#next;
      }
      if (to === deadState) return false;
      state = to;
    }
    return this.#acceptsAt(state);
  }

  table(most: number, visits = Infinity): ExpressionTable | undefined {
    const { classOf } = this.#program;
    const last = this.#spent + visits;
    this.#forget();
    for (let state = 1; state < this.#members.length; state++) {
      if (this.#members.length > most || this.#members.length > mostStates - 1) return undefined;
      for (let column = 0; column < this.#classes; column++) {
        this.#budget = mostWork;
        if (this.#next[state * this.#classes + column] === unknownState) this.#step(state, column, true);
        if (this.#kept > mostMembers || this.#spent > last) return undefined;
      }
    }
    const states = this.#members.length;
    const accepting = Uint8Array.from({ length: states }, (_, state) => (state > 0 && this.#acceptsAt(state) ? 1 : 0));
    return { start: this.#start, classOf, classes: this.#classes, next: this.#next.slice(0, states * this.#classes), accepting };
  }

  /** No states but the dead one and the start. */
  #forget(): void {
    this.#members = [new Uint16Array(0)];
    this.#before = [afterOther];
    this.#ids = new Map();
    this.#kept = 0;
    this.#next.fill(unknownState);
    this.#next.fill(deadState, 0, this.#classes);
    this.#accepts.fill(-1);
    this.#accepts[deadState] = 0;
    this.#size = 0;
    this.#add(this.#program.start);
    this.#start = this.#intern(this.#program.asks ? atBegin : afterOther);
  }

  /** The state after one more byte, made if it is not there. Forgets the others when there is no room, unless `keep`. */
  #step(state: number, column: number, keep = false): number {
    const { conditional, consumes, out, word, line } = this.#program;
    const members = this.#members[state]!;
    const isWord = word[column] === 1;
    const isLine = line[column] === 1;
    this.#size = 0;
    let from: Uint16Array | readonly number[] = members;
    if (conditional) from = this.#pastConditions(members, conditionsAt(this.#before[state]!, isWord, isLine, false));
    this.#budget -= from.length;
    this.#spent += from.length;
    this.#size = 0;
    for (const at of from) if (consumes(at, column)) this.#add(out[at]!);
    if (this.#size === 0) {
      this.#next[state * this.#classes + column] = deadState;
      return deadState;
    }
    const full = this.#members.length >= mostStates || this.#kept > mostMembers;
    if (full && !keep) {
      // What is in the set now is the state that is wanted; it survives in the set's own arrays.
      const set = this.#dense.slice(0, this.#size);
      this.#forget();
      this.#size = 0;
      for (const at of set) this.#put(at);
      return this.#intern(this.#beforeAfter(isWord, isLine));
    }
    const to = this.#intern(this.#beforeAfter(isWord, isLine));
    this.#next[state * this.#classes + column] = to;
    return to;
  }

  #beforeAfter(isWord: boolean, isLine: boolean): number {
    if (!this.#program.asks) return afterOther;
    return isLine ? afterLine : isWord ? afterWord : afterOther;
  }

  #acceptsAt(state: number): boolean {
    const known = this.#accepts[state]!;
    if (known >= 0) return known === 1;
    const { conditional, isMatch } = this.#program;
    const members = this.#members[state]!;
    const all: Iterable<number> = conditional ? this.#pastConditions(members, conditionsAt(this.#before[state]!, false, false, true)) : members;
    let accepts = false;
    for (const at of all) if (isMatch(at)) accepts = true;
    this.#accepts[state] = accepts ? 1 : 0;
    return accepts;
  }

  /** The instructions of a state and those behind conditions that hold there. */
  #pastConditions(members: Uint16Array, holding: number): readonly number[] {
    const { conditionOf, out } = this.#program;
    this.#size = 0;
    for (const at of members) this.#put(at);
    for (let i = 0; i < this.#size; i++) {
      const at = this.#dense[i]!;
      const wanted = conditionOf[at]!;
      if (wanted !== 0 && (wanted & ~holding) === 0) this.#add(out[at]!);
    }
    return [...this.#dense.subarray(0, this.#size)];
  }

  /** An instruction and all that follow it without a byte or a condition. */
  #add(from: number): void {
    const { forks, out, other } = this.#program;
    const stack = this.#stack;
    stack.length = 0;
    stack.push(from);
    while (stack.length > 0) {
      const at = stack.pop()!;
      if (!this.#put(at)) continue;
      const fork = forks[at]!;
      if (fork > 0) stack.push(out[at]!);
      if (fork > 1) stack.push(other[at]!);
    }
  }

  #put(at: number): boolean {
    const slot = this.#sparse[at]!;
    if (slot < this.#size && this.#dense[slot] === at) return false;
    this.#sparse[at] = this.#size;
    this.#dense[this.#size++] = at;
    this.#budget--;
    this.#spent++;
    return true;
  }

  /** The number of the state that has the set's instructions. Forks are left out: they say nothing that is not there already. */
  #intern(before: number): number {
    const members = this.#dense.slice(0, this.#size).filter(at => this.#program.forks[at] === 0).sort();
    if (members.length === 0) return deadState;
    const key = `${before}:${members.join()}`;
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#members.length;
    this.#room(id);
    this.#members.push(members);
    this.#before.push(before);
    this.#kept += members.length;
    this.#ids.set(key, id);
    this.#accepts[id] = -1;
    return id;
  }

  #room(id: number): void {
    if (id < this.#accepts.length) return;
    const next = new Int32Array(this.#next.length * 2).fill(unknownState);
    next.set(this.#next);
    this.#next = next;
    const accepts = new Int8Array(this.#accepts.length * 2).fill(-1);
    accepts.set(this.#accepts);
    this.#accepts = accepts;
  }
}

/** re2js' bits of what holds between two bytes: line begins 1, ends 2, text begins 4, ends 8, word boundary 16, none 32. */
function conditionsAt(before: number, isWord: boolean, isLine: boolean, atEnd: boolean): number {
  let holding = 0;
  if (before === atBegin) holding |= 1 | 4;
  if (before === afterLine) holding |= 1;
  if (atEnd) holding |= 2 | 8;
  else if (isLine) holding |= 2;
  return holding | ((before === afterWord) !== isWord ? 16 : 32);
}
