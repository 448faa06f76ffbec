/**
 * RE2 expressions (https://github.com/google/re2/wiki/Syntax) over bytes, as a tree. What a finite automaton cannot do or what needs
 * tables of Unicode is refused by name; whoever meets such an expression takes another way.
 */

/** Bytes that match, 256 bits. */
export type ByteSet = Uint8Array;

export type Expression =
  | { readonly kind: 'empty' }
  | { readonly kind: 'bytes'; readonly set: ByteSet }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Expression[] }
  /** `max` Infinity: without end. */
  | { readonly kind: 'repeat'; readonly of: Expression; readonly min: number; readonly max: number }
  | { readonly kind: 'begin' | 'end' };

/** The expression is right, and not for an automaton of bytes. */
export class UnsupportedExpression extends Error {}

/** RE2's own limit. */
const maxRepeat = 1000;
const maxDepth = 250;

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
  readonly multiline: boolean;
}

/** The tree of an expression that RE2 accepts; callers check that it does. */
export function parseExpression(text: string): Expression {
  const parser = new Parser(text);
  const expression = parser.alternation({ ignoreCase: false, dotAll: false, multiline: false }, 0);
  if (!parser.done) throw new UnsupportedExpression(`unexpected ")" in "${text}"`);
  return expression;
}

class Parser {
  readonly #chars: readonly string[];
  #at = 0;
  /** Between `\Q` and `\E`: every character stands for itself. */
  #quoting = false;

  constructor(text: string) {
    this.#chars = [...text];
  }

  get done(): boolean {
    return this.#at >= this.#chars.length;
  }

  /** `a|b`, up to a closing bracket or the end. */
  alternation(flags: Flags, depth: number): Expression {
    if (depth > maxDepth) throw new UnsupportedExpression('brackets within brackets, too deep');
    const choices: Expression[] = [];
    const state = { flags };
    let parts: Expression[] = [];
    for (;;) {
      if (this.#quoting ? this.#take('\\E') : this.#take('\\Q')) {
        this.#quoting = !this.#quoting;
        const last = this.#quoting ? undefined : parts.pop();
        if (last) parts.push(this.#repeated(last));
        continue;
      }
      if (this.done || (this.#peek === ')' && !this.#quoting)) break;
      if (!this.#quoting && this.#take('|')) {
        choices.push(sequence(parts));
        parts = [];
        continue;
      }
      const atom = this.#quoting ? literal(this.#chars[this.#at++]!, state.flags) : this.#atom(state, depth);
      if (atom) parts.push(this.#quoting ? atom : this.#repeated(atom));
    }
    choices.push(sequence(parts));
    return choices.length === 1 ? choices[0]! : { kind: 'choice', parts: choices };
  }

  get #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #take(text: string): boolean {
    if (!this.#startsWith(text)) return false;
    this.#at += text.length;
    return true;
  }

  #startsWith(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#chars[this.#at + i] !== text[i]) return false;
    return true;
  }

  /** Undefined: flags for what follows, which are no part of the text. */
  #atom(state: { flags: Flags }, depth: number): Expression | undefined {
    const char = this.#chars[this.#at++]!;
    switch (char) {
      case '(': return this.#group(state, depth);
      case '[': return bytes(this.#class(state.flags));
      case '.': return anyCharacter(state.flags.dotAll);
      case '^': return { kind: 'begin' };
      case '$': return { kind: 'end' };
      case '\\': return this.#escape(state.flags);
      default: return literal(char, state.flags);
    }
  }

  #group(state: { flags: Flags }, depth: number): Expression | undefined {
    let { flags } = state;
    if (this.#take('?P<') || this.#take('?<')) {
      while (!this.done && !this.#take('>')) this.#at++;
    } else if (this.#take('?')) {
      let on = true;
      for (;;) {
        const char = this.#chars[this.#at++];
        if (char === ':') break;
        if (char === ')') return void (state.flags = flags);
        if (char === '-') on = false;
        else if (char === 'i') flags = { ...flags, ignoreCase: on };
        else if (char === 's') flags = { ...flags, dotAll: on };
        else if (char === 'm') flags = { ...flags, multiline: on };
        else if (char !== 'U') throw new UnsupportedExpression(`a group with "?${char ?? ''}"`);
      }
    }
    const inner = this.alternation(flags, depth + 1);
    if (!this.#take(')')) throw new UnsupportedExpression('a bracket that is not closed');
    return inner;
  }

  /** `*`, `+`, `?`, `{n,m}`, lazy or not: for a match of the whole that is the same. */
  #repeated(atom: Expression): Expression {
    let result = atom;
    for (;;) {
      const bounds = this.#bounds();
      if (!bounds) return result;
      this.#take('?');
      result = { kind: 'repeat', of: result, ...bounds };
    }
  }

  #bounds(): { readonly min: number; readonly max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    if (this.#peek !== '{') return undefined;
    const close = this.#chars.indexOf('}', this.#at);
    const match = close < 0 ? null : /^(\d+)(,(\d*))?$/.exec(this.#chars.slice(this.#at + 1, close).join(''));
    // A brace that says no number stands for itself.
    if (!match) return undefined;
    this.#at = close + 1;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3]);
    if (min > maxRepeat || (max !== Infinity && max > maxRepeat)) throw new UnsupportedExpression(`more than ${maxRepeat} repetitions`);
    return { min, max };
  }

  #escape(flags: Flags): Expression {
    const char = this.#chars[this.#at++];
    switch (char) {
      case 'A': return { kind: 'begin' };
      case 'z': return { kind: 'end' };
      case 'b': case 'B': throw new UnsupportedExpression('a word boundary');
      case 'C': throw new UnsupportedExpression('\\C');
      case 'p': case 'P': throw new UnsupportedExpression('a class of Unicode');
      case undefined: throw new UnsupportedExpression('a backslash at the end');
    }
    const known = perlClass(char);
    if (known) return bytes(known);
    return literal(this.#escaped(char), flags);
  }

  /** What stands behind a backslash, as a character. */
  #escaped(char: string): string {
    const simple = controls[char];
    if (simple !== undefined) return simple;
    if (char === 'x') {
      const braces = this.#take('{');
      let digits = '';
      while (/^[0-9a-fA-F]$/.test(this.#peek ?? '') && (braces || digits.length < 2)) digits += this.#chars[this.#at++];
      if (braces) this.#take('}');
      return String.fromCodePoint(Number.parseInt(digits || '0', 16));
    }
    if (/^[0-7]$/.test(char)) {
      let digits = char;
      while (digits.length < 3 && /^[0-7]$/.test(this.#peek ?? '')) digits += this.#chars[this.#at++];
      return String.fromCodePoint(Number.parseInt(digits, 8));
    }
    return char;
  }

  #class(flags: Flags): ByteSet {
    const set = new Uint8Array(32);
    const negated = this.#take('^');
    let first = true;
    while (first || !this.#take(']')) {
      if (this.done) throw new UnsupportedExpression('a class that is not closed');
      first = false;
      const named = this.#namedClass();
      if (named) {
        for (let i = 0; i < 32; i++) set[i]! |= named[i]!;
        continue;
      }
      const from = this.#classCharacter();
      let to = from;
      if (this.#peek === '-' && this.#chars[this.#at + 1] !== ']' && this.#chars[this.#at + 1] !== undefined) {
        this.#at++;
        to = this.#classCharacter();
      }
      addRange(set, from, to, flags.ignoreCase);
    }
    if (!negated) return set;
    const others = set.map(byte => ~byte & 0xff);
    return others;
  }

  #namedClass(): ByteSet | undefined {
    if (this.#startsWith('[:')) {
      const end = this.#chars.findIndex((char, i) => i > this.#at + 1 && char === ':' && this.#chars[i + 1] === ']');
      const name = end < 0 ? '' : this.#chars.slice(this.#at + 2, end).join('');
      const set = posixClass(name.replace(/^\^/, ''));
      if (!set) return undefined;
      this.#at = end + 2;
      return name.startsWith('^') ? set.map(byte => ~byte & 0xff) : set;
    }
    if (this.#peek !== '\\') return undefined;
    const next = this.#chars[this.#at + 1] ?? '';
    if (next === 'p' || next === 'P') throw new UnsupportedExpression('a class of Unicode');
    const set = perlClass(next);
    if (set) this.#at += 2;
    return set;
  }

  #classCharacter(): number {
    const char = this.#chars[this.#at++]!;
    const text = char === '\\' ? this.#escaped(this.#chars[this.#at++] ?? '') : char;
    return text.codePointAt(0)!;
  }
}

const controls: Readonly<Record<string, string>> = { a: '\x07', f: '\f', t: '\t', n: '\n', r: '\r', v: '\v' };

function sequence(parts: readonly Expression[]): Expression {
  return parts.length === 0 ? { kind: 'empty' } : parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
}

function bytes(set: ByteSet): Expression {
  return { kind: 'bytes', set };
}

/** One character: a byte, or the bytes of its UTF-8. */
function literal(char: string, { ignoreCase }: Flags): Expression {
  const code = char.codePointAt(0)!;
  if (code < 128) {
    const set = new Uint8Array(32);
    addRange(set, code, code, ignoreCase);
    return bytes(set);
  }
  if (ignoreCase) throw new UnsupportedExpression('letters beyond ASCII in any case');
  return sequence([...new TextEncoder().encode(char)].map(byte => bytes(byteSet([[byte, byte]]))));
}

/** A line end apart; texts that are matched have none. */
function anyCharacter(dotAll: boolean): Expression {
  return bytes(dotAll ? byteSet([[0, 255]]) : byteSet([[0, 9], [11, 255]]));
}

export function byteSet(ranges: readonly (readonly [from: number, to: number])[]): ByteSet {
  const set = new Uint8Array(32);
  for (const [from, to] of ranges) for (let byte = from; byte <= to; byte++) set[byte >> 3]! |= 1 << (byte & 7);
  return set;
}

export function hasByte(set: ByteSet, byte: number): boolean {
  return (set[byte >> 3]! & (1 << (byte & 7))) !== 0;
}

function addRange(set: ByteSet, from: number, to: number, ignoreCase: boolean): void {
  if (from > 127 || to > 127) throw new UnsupportedExpression('characters beyond ASCII in a class');
  for (let code = from; code <= to; code++) {
    set[code >> 3]! |= 1 << (code & 7);
    const other = ignoreCase && /[a-zA-Z]/.test(String.fromCharCode(code)) ? code ^ 32 : code;
    set[other >> 3]! |= 1 << (other & 7);
  }
}

const digits = [[48, 57]] as const;
const upper = [[65, 90]] as const;
const lower = [[97, 122]] as const;
const word = [...digits, ...upper, ...lower, [95, 95]] as const;
const space = [[9, 10], [12, 13], [32, 32]] as const;

function perlClass(letter: string): ByteSet | undefined {
  const ranges = { d: digits, w: word, s: space }[letter.toLowerCase()];
  if (!ranges || letter.length !== 1) return undefined;
  const set = byteSet(ranges);
  return letter === letter.toLowerCase() ? set : set.map(byte => ~byte & 0xff);
}

function posixClass(name: string): ByteSet | undefined {
  const ranges: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
    alnum: [...digits, ...upper, ...lower], alpha: [...upper, ...lower], ascii: [[0, 127]], blank: [[9, 9], [32, 32]], cntrl: [[0, 31], [127, 127]],
    digit: digits, graph: [[33, 126]], lower, print: [[32, 126]], punct: [[33, 47], [58, 64], [91, 96], [123, 126]], space: [[9, 13], [32, 32]],
    upper, word, xdigit: [...digits, [65, 70], [97, 102]],
  };
  const found = ranges[name];
  return found && byteSet(found);
}
