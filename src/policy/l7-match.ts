/**
 * HTTP rules decided for one request, as upstream's proxy decides them.
 *
 * Texts are as the wire has them, a character for a byte (latin1). Several headers of one name are one value, joined with "," in
 * their order, as Envoy joins them before it compares: a rule for `x: a` does not match a request that says it twice.
 */
import type { HeaderL7Match, HttpL7Rule } from '../model/l7.ts';
import { compileExpression } from './l7-expression.ts';
import type { Expression } from './l7-expression.ts';
import { secondReading } from './l7-path.ts';

export interface HttpView {
  readonly method: string;
  /** With its query; empty when there is none (CONNECT): then no expression matches it. */
  readonly path: string;
  /** The authority: the URI's, or the Host header's; empty when there is none: then no expression matches it. */
  readonly host: string;
  /** All values of a header, joined with ","; the name in lower case. Undefined: it is not there. */
  header(name: string): string | undefined;
}

export interface HeaderMutation {
  readonly op: 'add' | 'delete' | 'replace';
  /** In lower case. */
  readonly name: string;
  /** Absent where it is deleted. */
  readonly value?: string;
}

/** What a header match has to tell: a value that should have been there, or one that should not. A secret's is "[redacted]". */
export interface HeaderNote {
  readonly kind: 'missing' | 'rejected';
  readonly name: string;
  readonly value: string;
}

export interface HttpAnswer {
  readonly passes: boolean;
  /** The rule that let it pass, else 0. */
  readonly rule: number;
  readonly mutations: readonly HeaderMutation[];
  readonly notes: readonly HeaderNote[];
}

/** Why a rule does not match: the first field that does not hold. */
export interface HttpMiss {
  readonly rule: number;
  /** Place of the rule in the list. */
  readonly index: number;
  readonly field: 'method' | 'path' | 'host' | 'header' | 'expression';
  /** Of a header. */
  readonly name?: string;
  /** What the rule asks for; absent: that the header is there. */
  readonly wanted?: string;
  /** What the request has; absent: nothing. */
  readonly actual?: string;
}

export interface HttpMatcher {
  /** Headers that rules name, in lower case: all that a view is asked for. */
  readonly headerNames: readonly string[];
  /** Whether any rule may change requests. */
  readonly mutates: boolean;
  /** Rules that can never match, and why: an expression that RE2 does not take. */
  readonly faults: readonly { readonly rule: number; readonly fault: string }[];
  /** Where servers may read the path in two ways, both must match (l7-path.ts). */
  match(request: HttpView): HttpAnswer;
  /** Of the rules that do not match, the one that comes nearest. Undefined: there are no rules. */
  nearest(request: HttpView): HttpMiss | undefined;
}

const redacted = '[redacted]';
const none: readonly never[] = Object.freeze([]);
const refused: HttpAnswer = Object.freeze({ passes: false, rule: 0, mutations: none, notes: none });

interface CompiledRule {
  readonly rule: number;
  readonly index: number;
  readonly method: Expression | undefined;
  readonly path: Expression | undefined;
  readonly host: Expression | undefined;
  /** Conditions, and those that also mend. */
  readonly conditions: readonly HeaderL7Match[];
  readonly actions: readonly HeaderL7Match[];
  /** An expression that cannot be used: never matches. */
  readonly fault?: string;
  readonly passes: HttpAnswer;
}

/** No rules: nothing passes. Never throws: a rule that cannot be compiled never matches, and is told of in `faults`. */
export function compileHttpRules(rules: readonly HttpL7Rule[]): HttpMatcher {
  return new RulesMatcher(rules);
}

/** A class: one `match` for all sets, where a function of each set's own would be called through a pointer. */
class RulesMatcher implements HttpMatcher {
  readonly headerNames: readonly string[];
  readonly mutates: boolean;
  readonly faults: readonly { readonly rule: number; readonly fault: string }[];
  readonly #rules: readonly CompiledRule[];
  readonly #acting: boolean;

  constructor(rules: readonly HttpL7Rule[]) {
    const compiled = rules.map(compileRule);
    this.#rules = compiled;
    this.#acting = compiled.some(rule => rule.actions.length > 0);
    this.headerNames = [...new Set(compiled.flatMap(rule => [...rule.conditions, ...rule.actions].map(h => h.name)))];
    this.mutates = rules.some(rule => rule.headers.some(({ mismatch }) => mismatch !== undefined && mismatch !== 'LOG'));
    this.faults = compiled.flatMap(({ rule, fault }) => (fault === undefined ? [] : [{ rule, fault }]));
  }

  match(request: HttpView): HttpAnswer {
    const cleaned = secondReading(request.path);
    if (cleaned === undefined) return this.#matchOne(request);
    if (cleaned === null) return refused;
    // What is done to its headers is the first reading's.
    const answer = this.#matchOne(request);
    if (!answer.passes) return answer;
    const other = this.#matchOne(withPath(request, cleaned));
    return other.passes ? answer : other;
  }

  nearest(request: HttpView): HttpMiss | undefined {
    return nearestOfReadings(this.#rules, request);
  }

  #matchOne(request: HttpView): HttpAnswer {
    return this.#acting ? matchWithActions(this.#rules, request) : matchPlain(this.#rules, request);
  }
}

function compileRule(rule: HttpL7Rule, index: number): CompiledRule {
  const passes: HttpAnswer = Object.freeze({ passes: true, rule: rule.rule, mutations: none, notes: none });
  const headers = rule.headers.map(h => ({ ...h, name: h.name.toLowerCase(), ...(h.value !== undefined && { value: bytesOf(h.value) }) }));
  const base = {
    rule: rule.rule, index, passes,
    conditions: headers.filter(h => h.mismatch === undefined),
    actions: headers.filter(h => h.mismatch !== undefined),
  };
  const unfit = headers.map(headerFault).find(found => found !== undefined);
  if (unfit !== undefined) return { ...base, method: undefined, path: undefined, host: undefined, fault: unfit };
  try {
    return { ...base, method: expression(rule.method), path: expression(rule.path), host: expression(rule.host) };
  } catch (error) {
    return { ...base, method: undefined, path: undefined, host: undefined, fault: (error as Error).message };
  }
}

function expression(text: string | undefined): Expression | undefined {
  return text === undefined || text === '' ? undefined : compileExpression(text);
}

/** Headers that say where a message ends, who is meant, or what becomes of the connection. */
const framing = new Set(['connection', 'content-length', 'expect', 'host', 'http2-settings', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade']);

/** What would make another message of a request: such a rule never matches. */
function headerFault({ name, value, mismatch }: HeaderL7Match): string | undefined {
  if (mismatch === undefined || mismatch === 'LOG') return undefined;
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return `"${name}" is no name of a header`;
  if (framing.has(name)) return `header ${name} may not be changed`;
  return value !== undefined && /[\0-\x08\x0a-\x1f\x7f]/.test(value) ? `the value for header ${name} has control characters` : undefined;
}

/** As the wire has it: a character for a byte of its UTF-8. */
export function bytesOf(value: string): string {
  let ascii = true;
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 127) ascii = false;
  return ascii ? value : Buffer.from(value, 'utf8').toString('latin1');
}

function withPath(request: HttpView, path: string): HttpView {
  return { method: request.method, path, host: request.host, header: name => request.header(name) };
}

function matchPlain(rules: readonly CompiledRule[], request: HttpView): HttpAnswer {
  for (const rule of rules) if (lineHolds(rule, request) && conditionsHold(rule, request)) return rule.passes;
  return refused;
}

function lineHolds(rule: CompiledRule, { method, path, host }: HttpView): boolean {
  return rule.fault === undefined && (rule.method === undefined || rule.method.matches(method)) && (rule.path === undefined || (path !== '' && rule.path.matches(path))) && (rule.host === undefined || (host !== '' && rule.host.matches(host)));
}

function conditionsHold(rule: CompiledRule, request: HttpView): boolean {
  for (const condition of rule.conditions) if (!holds(condition, request.header(condition.name))) return false;
  return true;
}

function holds({ value, missing }: HeaderL7Match, actual: string | undefined): boolean {
  if (missing || actual === undefined) return false;
  return value === undefined || value === '' || value === actual;
}

/**
 * Upstream's order: where any rule acts on headers, all rules are asked, and each whose line holds does what it has to do, whether
 * or not its own conditions hold; what one has changed the next one sees. The first rule that lets the request pass is the one that
 * decided.
 */
function matchWithActions(rules: readonly CompiledRule[], request: HttpView): HttpAnswer {
  const mutations: HeaderMutation[] = [];
  const notes: HeaderNote[] = [];
  const view = changedView(request, mutations);
  let passed: CompiledRule | undefined;
  for (const rule of rules) {
    if (!lineHolds(rule, request)) continue;
    let accepted = conditionsHold(rule, view);
    for (const action of rule.actions) if (!act(action, view.header(action.name), mutations, notes)) accepted = false;
    if (accepted) passed ??= rule;
  }
  if (passed === undefined) return notes.length === 0 ? refused : { passes: false, rule: 0, mutations: none, notes };
  return mutations.length === 0 && notes.length === 0 ? passed.passes : { passes: true, rule: passed.rule, mutations, notes };
}

/** False: the rule cannot hold, as the Secret with its value is not there. */
function act(action: HeaderL7Match, actual: string | undefined, mutations: HeaderMutation[], notes: HeaderNote[]): boolean {
  if (action.missing) return false;
  if (holds(action, actual)) return true;
  const { name, value = '', mismatch } = action;
  const missing = () => notes.push({ kind: 'missing', name, value: action.secret ? redacted : value });
  const rejected = () => notes.push({ kind: 'rejected', name, value: action.secret ? redacted : actual! });
  if (mismatch === 'LOG') missing();
  else if (mismatch === 'ADD') {
    mutations.push({ op: 'add', name, value });
    missing();
  } else if (mismatch === 'DELETE' && actual !== undefined) {
    mutations.push({ op: 'delete', name });
    rejected();
  } else if (mismatch === 'REPLACE') {
    if (actual !== undefined) rejected();
    mutations.push({ op: 'replace', name, value });
    missing();
  }
  return true;
}

/** A request as it is after changes of its headers, those that are pushed later too. */
export function changedView(request: HttpView, mutations: readonly HeaderMutation[]): HttpView {
  return {
    method: request.method, path: request.path, host: request.host,
    header(name) {
      let value = request.header(name);
      for (const mutation of mutations) {
        if (mutation.name !== name) continue;
        value = mutation.op === 'add' && value !== undefined ? `${value},${mutation.value}` : mutation.value;
      }
      return value;
    },
  };
}

function nearestOfReadings(rules: readonly CompiledRule[], request: HttpView): HttpMiss | undefined {
  const cleaned = secondReading(request.path);
  const [first] = rules;
  if (cleaned === null) return first && { rule: first.rule, index: 0, field: 'path', wanted: 'a path below the root', actual: request.path };
  if (cleaned === undefined || !matchPlain(rules, request).passes) return nearest(rules, request);
  return nearest(rules, withPath(request, cleaned));
}

/** How far a rule got, in the order in which people think of requests: host, path, method, headers. */
function nearest(rules: readonly CompiledRule[], request: HttpView): HttpMiss | undefined {
  let best: { readonly miss: HttpMiss; readonly held: number } | undefined;
  for (const rule of rules) {
    const found = missOf(rule, request);
    if (found !== undefined && (best === undefined || found.held > best.held)) best = found;
  }
  return best?.miss;
}

function missOf(rule: CompiledRule, request: HttpView): { readonly miss: HttpMiss; readonly held: number } | undefined {
  const at = { rule: rule.rule, index: rule.index };
  if (rule.fault !== undefined) return { miss: { ...at, field: 'expression', wanted: rule.fault }, held: -1 };
  const lines = (['host', 'path', 'method'] as const).map(field => ({ field, holds: rule[field] === undefined || (request[field] !== '' && rule[field].matches(request[field])) }));
  const headers = rule.conditions.map(condition => ({ condition, holds: holds(condition, request.header(condition.name)) }));
  const line = lines.find(l => !l.holds);
  // A line that does not hold weighs more than any headers that do.
  const held = lines.filter(l => l.holds).length * 1000 + headers.filter(h => h.holds).length;
  if (line) return { miss: { ...at, field: line.field, wanted: rule[line.field]!.text, actual: request[line.field] }, held };
  const header = headers.find(h => !h.holds)?.condition ?? rule.actions.find(a => a.missing);
  if (header === undefined) return undefined;
  const actual = request.header(header.name);
  const wanted = header.secret || header.missing ? redacted : header.value;
  return { miss: { ...at, field: 'header', name: header.name, ...(wanted !== undefined && { wanted }), ...(actual !== undefined && { actual: header.secret ? redacted : actual }) }, held };
}

/** A view of a request that somebody wrote down: `host` counts before the Host header. */
export function viewOf(request: { readonly method: string; readonly path: string; readonly host?: string; readonly headers?: Readonly<Record<string, string>> }): HttpView {
  const headers = new Map(Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), bytesOf(value)] as const));
  return { method: request.method, path: request.path, host: request.host ?? headers.get('host') ?? '', header: name => headers.get(name) };
}
