/** The program that re2js makes of an expression, in arrays that can be walked. What it has that RE2 lacks is refused. */
import type { RE2JS } from 're2js';

export interface Program {
  readonly count: number;
  readonly start: number;
  /** How many instructions follow without a byte: 2 of alternatives, 1 of captures, 0 of all that ask something. */
  readonly forks: Uint8Array;
  readonly out: Uint16Array;
  readonly other: Uint16Array;
  /** Bits of what must hold at the place of an instruction; 0 where it asks nothing. */
  readonly conditionOf: Uint8Array;
  /** Whether any instruction has conditions. */
  readonly conditional: boolean;
  /** Whether conditions ask for what stood before: line begins, text begins, words. */
  readonly asks: boolean;
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** Of each class: whether its bytes belong to words, or end lines. */
  readonly word: Uint8Array;
  readonly line: Uint8Array;
  consumes(at: number, column: number): boolean;
  isMatch(at: number): boolean;
}

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  readonly runes: ArrayLike<number>;
  matchRune(rune: number): boolean;
}

/** Numbers of re2js' instructions (2.10; `src/policy/l7-expression.test.ts` holds the two against each other). */
const alternative = 1;
const alternativeMatch = 2;
const capture = 3;
const condition = 4;
const fail = 5;
const match = 6;
const nothing = 7;
const rune = 8;
const runeAny = 10;
const runeAnyNotLine = 11;

/** Throws an Error that says what cannot be used. */
export function readProgram(compiled: RE2JS, largest: number): Program {
  const { inst: instructions, start } = programOf(compiled);
  if (instructions.length > largest) throw new Error(`too large an expression: ${instructions.length} instructions, at most ${largest} are taken`);
  if (instructions.some(({ op }) => op > runeAnyNotLine)) throw new Error('lookbehind does not exist in RE2');
  const { classOf, representatives } = classesOf(instructions);
  const conditions = instructions.map(i => (i.op === condition ? i.arg : 0));
  const bits = conditions.reduce((all, one) => all | one, 0);
  const rows = new Map(distinct(instructions).map(([key, i]) => [key, Uint8Array.from(representatives, byte => (takes(i, byte) ? 1 : 0))]));
  const consuming = instructions.map(i => rows.get(keyOf(i))!);
  return {
    count: instructions.length, start,
    forks: Uint8Array.from(instructions, ({ op }) => (op === alternative || op === alternativeMatch ? 2 : op === capture || op === nothing ? 1 : 0)),
    out: Uint16Array.from(instructions, i => i.out),
    other: Uint16Array.from(instructions, i => (i.op === alternative || i.op === alternativeMatch ? i.arg : 0)),
    conditionOf: Uint8Array.from(conditions),
    conditional: bits !== 0,
    asks: (bits & (1 | 4 | 16 | 32)) !== 0,
    classOf, classes: representatives.length,
    word: Uint8Array.from(representatives, byte => (isWord(byte) ? 1 : 0)),
    line: Uint8Array.from(representatives, byte => (byte === 10 ? 1 : 0)),
    consumes: (at, column) => consuming[at]![column] === 1,
    isMatch: at => instructions[at]!.op === match,
  };
}

function programOf(compiled: RE2JS): { readonly inst: readonly Instruction[]; readonly start: number } {
  const { prog } = (compiled as unknown as { re2Input: { prog: { inst: readonly Instruction[]; start: number } } }).re2Input;
  const [first] = prog.inst;
  // Number 0 of every program is a failure: this is the layout that the numbers above are of.
  if (first?.op !== fail || typeof first.matchRune !== 'function') throw new Error('this version of re2js has programs of another shape');
  return prog;
}

function takes(instruction: Instruction, byte: number): boolean {
  const { op } = instruction;
  if (op < rune) return false;
  if (op === runeAny) return true;
  if (op === runeAnyNotLine) return byte !== 10;
  return instruction.matchRune(byte);
}

/** Bytes that no instruction tells apart are one class. */
function classesOf(instructions: readonly Instruction[]): { classOf: Uint8Array; representatives: readonly number[] } {
  const asking = instructions.filter(({ op }) => op >= rune);
  const classOf = new Uint8Array(128);
  const known = new Map<string, number>();
  const representatives: number[] = [];
  const columns = distinct(asking).map(([, i]) => i);
  for (let byte = 0; byte < 128; byte++) {
    const key = `${isWord(byte)}${byte === 10}${columns.map(i => (takes(i, byte) ? 1 : 0)).join('')}`;
    let found = known.get(key);
    if (found === undefined) {
      found = representatives.length;
      known.set(key, found);
      representatives.push(byte);
    }
    classOf[byte] = found;
  }
  return { classOf, representatives };
}

/** One instruction of each that take the same. */
function distinct(instructions: readonly Instruction[]): readonly (readonly [string, Instruction])[] {
  return [...new Map(instructions.map(i => [keyOf(i), i]))];
}

function keyOf({ op, arg, runes }: Instruction): string {
  if (op < rune) return 'none';
  return op >= runeAny ? String(op) : `${arg & 1}:${textOf(runes)}`;
}

/** What is repeated has one list, and that of letters has more than a thousand numbers. */
const textsOfRunes = new WeakMap<object, string>();

function textOf(runes: ArrayLike<number>): string {
  let text = textsOfRunes.get(runes);
  if (text === undefined) textsOfRunes.set(runes, (text = Array.from(runes).join()));
  return text;
}

function isWord(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || byte === 95 || (byte >= 97 && byte <= 122);
}
