/**
 * HTTP rules as the kernel carries them out: the tables of `struct http_set` (bpf/lib/http.h), or why they cannot be.
 *
 *     rules ──► conditions of method, path, host, header fields ──► an automaton of each ──► rows of one table
 *
 * What passes, and by which rule, is what compileHttpRules (l7-match.ts) says. The kernel does without what only a proxy can do:
 * changing requests, and telling what a request lacks.
 */
import type { HeaderL7Match, HttpL7Rule, L7Set } from '../model/l7.ts';
import { combine, everything, exactly, notEmpty, ofExpression } from './http-automata.ts';
import type { Automaton, Work } from './http-automata.ts';
import { namesAutomaton } from './http-names.ts';
import { httpLimits, mostRows, TableWriter } from './http-rows.ts';
import { compileExpression } from './l7-expression.ts';
import type { Expression } from './l7-expression.ts';
import { bytesOf } from './l7-match.ts';
import { canonicalText } from './l7-sets.ts';

/** `unfit` is for users: why the proxy must carry the rules out. */
export type HttpTables = { readonly tables: Buffer } | { readonly unfit: string };

/** Instructions visited, and cells of automata filled, for one set: about half a second. */
const mostVisits = 8_000_000;
const mostCells = 4_000_000;
/** Characters of all expressions of a set: compiling is bounded by them. */
const mostText = 65_536;
/** States of one expression. */
const mostStates = 1022;
/** A row for each byte: more do not fit beside the names that are always there. */
const longestValue = 2900;
const quoted = 80;
const tooMuchWork = 'its expressions take too much work to become tables';

/** Those of a set: TLS can only be read by whom it ends at. */
export function tablesOfSet(set: L7Set): HttpTables {
  if (set.protocol !== 'http') return { unfit: `${set.protocol} is the proxy's` };
  if (set.tls) return { unfit: 'the proxy begins and ends TLS, and reads the names of servers' };
  return compileHttpTables(set.rules);
}

/** Never throws; time and memory are bounded whatever the rules. A rule with a fault never matches; no rules: nothing passes. */
export function compileHttpTables(rules: readonly HttpL7Rule[]): HttpTables {
  try {
    return { tables: tablesOf(rules) };
  } catch (error) {
    if (error instanceof Unfit) return { unfit: error.message };
    throw error;
  }
}

class Unfit extends Error {}

type Line = 'method' | 'path' | 'host';

interface Conditions {
  readonly rule: number;
  readonly expressions: Readonly<Partial<Record<Line, string>>>;
  /** Of header fields, in lower case; `undefined`: any value. */
  readonly fields: ReadonlyMap<string, string | undefined>;
}

const fieldName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** Upstream's names for parts of the line in header matches. */
const pseudo: ReadonlyMap<string, Line> = new Map([[':method', 'method'], [':path', 'path'], [':authority', 'host']]);

function tablesOf(rules: readonly HttpL7Rule[]): Buffer {
  const work: Work = { left: mostCells };
  const leaves = new Leaves(work);
  const live = holdable(rules, leaves);
  const names = fieldNames(rules);
  if (names.length > httpLimits.fields) throw new Unfit(`${names.length} header fields; the kernel takes ${httpLimits.fields}`);
  const inNames = names.reduce((sum, name) => sum + name.length, 0);
  if (inNames > longestValue) throw new Unfit(`the names of its header fields have ${inNames} bytes together; the kernel compares ${longestValue}`);
  const bits = new Bits(live);
  const ofNames = namesAutomaton(names);
  const parts = [
    ...(['method', 'path', 'host'] as const).map(line => ({ what: `${line}s`, leaves: leavesOfLine(line, bits, leaves) })),
    ...names.map(name => ({ what: `header ${name}`, leaves: leavesOfField(name, bits, leaves) })),
  ];
  const writer = new TableWriter([ofNames, ...parts.flatMap(part => part.leaves)]);
  const room = mostRows(writer.columns);
  const automata = parts.map(part => {
    const all = combine([everything(bits.all), ...part.leaves], room, work);
    if (all === undefined) throw new Unfit(work.left < 0 ? tooMuchWork : `the automaton of ${part.what} needs more than the ${room} rows that there is room for`);
    return all;
  });
  const [method, path, host, ...fields] = automata;
  writer.add('names', ofNames);
  writer.add('method', method!);
  writer.addNotEmpty('path', path!, bits.without('path'));
  writer.addNotEmpty('host', host!, bits.without('host'));
  for (const [i, field] of fields.entries()) writer.addField(names[i]!, field, bits.withoutField(names[i]!));
  const { rows, masks } = writer;
  if (rows > room) throw new Unfit(`its automata need ${rows} rows (${ofNames.masks.length} of names of fields, ${parts.map(({ what }, i) => `${automata[i]!.masks.length} of ${what}`).join(', ')}); there is room for ${room}`);
  if (masks > httpLimits.masks) throw new Unfit(`${masks} combinations of rules; the kernel takes ${httpLimits.masks}`);
  return writer.write(live.map(({ rule }) => rule));
}

/** Names of header fields that rules ask for, those that never hold too: no trailer may have them, as at the proxy. */
function fieldNames(rules: readonly HttpL7Rule[]): readonly string[] {
  return [...new Set(rules.flatMap(({ headers }) => headers.map(({ name }) => name.toLowerCase())))].filter(name => fieldName.test(name));
}

/** Rules that can hold at all, the first of those that ask the same. */
function holdable(rules: readonly HttpL7Rule[], leaves: Leaves): readonly Conditions[] {
  const distinct = new Map<string, Conditions>();
  for (const rule of rules) {
    const acting = rule.headers.find(({ mismatch }) => mismatch !== undefined);
    if (acting) throw new Unfit(acting.mismatch === 'LOG' ? `only the proxy tells which requests lack header ${acting.name} (LOG)` : `only the proxy changes header ${acting.name} (${acting.mismatch})`);
    const conditions = conditionsOf(rule);
    if (conditions === undefined) continue;
    const key = canonicalText([conditions.expressions, [...conditions.fields].sort()]);
    if (!distinct.has(key)) distinct.set(key, conditions);
  }
  const live: Conditions[] = [];
  for (const conditions of distinct.values()) {
    if (!Object.values(conditions.expressions).every(text => leaves.compiles(text))) continue;
    if (live.length === httpLimits.rules) throw new Unfit(`${distinct.size} rules; the kernel takes ${httpLimits.rules}`);
    live.push(conditions);
  }
  return live;
}

/** Undefined: it never holds. */
function conditionsOf({ rule, method, path, host, headers }: HttpL7Rule): Conditions | undefined {
  const fields = new Map<string, string | undefined>();
  for (const header of headers) {
    const name = header.name.toLowerCase();
    const value = wantedOf(header);
    const known = fields.get(name);
    if (header.missing || (known !== undefined && value !== undefined && known !== value)) return undefined;
    if (!pseudo.has(name) && !fieldName.test(name)) return undefined;
    fields.set(name, known ?? value);
  }
  const expressions = Object.fromEntries(Object.entries({ method, path, host }).filter(([, text]) => text !== undefined && text !== ''));
  return { rule, expressions, fields };
}

/** An empty value asks for the header, whatever it says. */
function wantedOf({ value }: HeaderL7Match): string | undefined {
  return value === undefined || value === '' ? undefined : bytesOf(value);
}

// ---- automata of conditions ----

/** Which rules ask what, as masks: bit i is the i-th rule that can hold. */
class Bits {
  readonly all: bigint;
  readonly rules: readonly Conditions[];

  constructor(rules: readonly Conditions[]) {
    this.rules = rules;
    this.all = this.of(() => true);
  }

  of(asks: (rule: Conditions) => boolean): bigint {
    return this.rules.reduce((mask, rule, i) => (asks(rule) ? mask | (1n << BigInt(i)) : mask), 0n);
  }

  /** Rules that say nothing of it. */
  without(line: Line): bigint {
    return this.of(({ expressions, fields }) => expressions[line] === undefined && ![...pseudo].some(([name, of]) => of === line && fields.has(name)));
  }

  withoutField(name: string): bigint {
    return this.of(({ fields }) => !fields.has(name));
  }

  /** By what they ask for: those that ask for it. */
  by(asked: (rule: Conditions) => string | undefined): ReadonlyMap<string, bigint> {
    const found = new Map<string, bigint>();
    for (const [i, rule] of this.rules.entries()) {
      const what = asked(rule);
      if (what !== undefined) found.set(what, (found.get(what) ?? 0n) | (1n << BigInt(i)));
    }
    return found;
  }
}

function leavesOfLine(line: Line, bits: Bits, leaves: Leaves): readonly Automaton[] {
  const { all } = bits;
  const found = [...bits.by(rule => rule.expressions[line])].map(([text, mask]) => leaves.ofExpression(text, all, all & ~mask));
  for (const [name, of] of pseudo) {
    if (of !== line) continue;
    found.push(...leavesOfField(name, bits, leaves));
    const present = bits.of(({ fields }) => fields.has(name) && fields.get(name) === undefined);
    if (present !== 0n) found.push(notEmpty(all, all & ~present));
  }
  return found;
}

function leavesOfField(name: string, bits: Bits, leaves: Leaves): readonly Automaton[] {
  return [...bits.by(rule => rule.fields.get(name))].map(([value, mask]) => leaves.ofValue(name, value, bits.all, bits.all & ~mask));
}

/** Each expression is compiled once; all conditions of a set share the bounds. */
class Leaves {
  readonly #compiled = new Map<string, Expression | undefined>();
  readonly #work: Work;
  #visits = mostVisits;
  #text = mostText;

  constructor(work: Work) {
    this.#work = work;
  }

  compiles(text: string): boolean {
    return this.#compile(text) !== undefined;
  }

  ofExpression(text: string, yes: bigint, no: bigint): Automaton {
    const expression = this.#compile(text)!;
    const before = expression.work;
    const table = expression.table(mostStates, this.#visits);
    this.#visits -= expression.work - before;
    if (this.#visits < 0) throw new Unfit(tooMuchWork);
    if (table === undefined) throw new Unfit(`the expression ${text.length > quoted ? `${text.slice(0, quoted)}…` : text} has more than ${mostStates} states`);
    this.#spend(table.next.length);
    return ofExpression(table, yes, no);
  }

  ofValue(name: string, value: string, yes: bigint, no: bigint): Automaton {
    if (value.length > longestValue) throw new Unfit(`the value of header ${name} has ${value.length} bytes; the kernel compares ${longestValue}`);
    this.#spend(value.length * new Set(value).size);
    return exactly(value, yes, no);
  }

  #spend(cells: number): void {
    this.#work.left -= cells;
    if (this.#work.left < 0) throw new Unfit(tooMuchWork);
  }

  #compile(text: string): Expression | undefined {
    if (!this.#compiled.has(text)) {
      this.#text -= text.length;
      if (this.#text < 0) throw new Unfit(`its expressions have more than ${mostText} characters`);
      let compiled: Expression | undefined;
      try {
        compiled = compileExpression(text);
      } catch {
        // Told by whoever reads the policy, and by the faults of compileHttpRules.
      }
      this.#compiled.set(text, compiled);
    }
    return this.#compiled.get(text);
  }
}
