/**
 * One policy set while identities come and go: the rules of a subject in one direction, bound to matchers.
 *
 *     identity ──► rules that select it ──► path in a tree of rules ──► class ──► rows
 *
 * The tree shares work: identities that the same rules select share a path, and a path is flattened once. The number of
 * a class is a hash of its rows, so that it does not depend on who came first.
 */
import { fnv1a } from '../model/identity.ts';
import { CirriError } from '../std/errors.ts';
import { ContentHash } from './content-hash.ts';
import { flatten, outcomeText } from './flatten.ts';
import type { Candidate, Fallbacks, Row, Span } from './flatten.ts';
import { unkept } from './l7-in-set.ts';
import type { SetL7 } from './l7-in-set.ts';
import { resolvePorts } from './matchers.ts';
import type { IdentityRecord, Matcher } from './matchers.ts';
import type { Direction, PortMatch } from './policy.ts';
import type { RuleInfo } from './rule-info.ts';
import type { Work } from './work.ts';

/** A row of the kernel's `policy_verdicts`; `portBits` 0 is any port, `protocol` null any protocol. */
export interface VerdictRow extends Row {
  readonly class: number;
}

/** A set as the kernel gets it; never changes. */
export interface CompiledSet {
  /** Depends on rules alone, not on identities: the same key stays the same set while identities come and go. */
  readonly key: string;
  /** Of `classes` and `verdicts`: equal hash, equal content. */
  readonly hash: string;
  readonly direction: Direction;
  /** In default deny. */
  readonly enforced: boolean;
  /** identity → class ≥ 1; what is missing is class 0. */
  readonly classes: ReadonlyMap<number, number>;
  /** Sorted; class 0 is always there. */
  readonly verdicts: readonly VerdictRow[];
  /** All rules of the set, also those that never decide. */
  readonly rules: ReadonlyMap<number, RuleInfo>;
}

/** What one identity changes in one set. */
export interface SetDelta {
  readonly key: string;
  readonly identity: number;
  /** Add these rows first… */
  readonly rows: readonly VerdictRow[];
  /** …then write this class for the identity (0: delete its entry)… */
  readonly class: number;
  /** …then delete the rows of this class, which nobody has any more. */
  readonly droppedClass?: number;
  /** Hash of the set's content before and after. Empty: what changes is not known, and compiling the set will say why. */
  readonly before: string;
  readonly after: string;
}

export interface BoundRule {
  readonly candidate: Omit<Candidate, 'spans'>;
  /** 'any': selects every peer, known or not. */
  readonly matchers: 'any' | readonly Matcher<PolicySet>[];
  readonly spans: Candidate['spans'];
  /** The rule selects addresses by their names. */
  readonly byName: boolean;
  /** Names of ports that each peer resolves for itself (egress). */
  readonly names: readonly Extract<PortMatch, { name: string }>[];
}

interface TreeNode {
  readonly parent: TreeNode | undefined;
  readonly rule: number;
  readonly spans: Candidate['spans'];
  readonly children: Map<number | string, TreeNode>;
  class: number | undefined;
}

export interface PolicySetOptions {
  readonly key: string;
  readonly direction: Direction;
  readonly enforced: boolean;
  /** In the order of `candidate.order`. */
  readonly rules: readonly BoundRule[];
  readonly fallbacks: Fallbacks;
  readonly infos: ReadonlyMap<number, RuleInfo>;
  readonly l7: SetL7;
}

interface ClassState {
  readonly rows: readonly VerdictRow[];
  readonly text: string;
  identities: number;
}

/** A quarter of what the kernel holds for a whole node. A set beyond it is refused before it fills the memory. */
const maxRows = 1 << 18;

export class PolicySet {
  readonly key: string;
  readonly direction: Direction;
  readonly enforced: boolean;
  readonly #rules: readonly BoundRule[];
  readonly #fallbacks: Fallbacks;
  readonly #infos: ReadonlyMap<number, RuleInfo>;
  readonly #l7: SetL7;
  readonly #everyone: readonly Candidate[];
  /** Rules on names, which an address may come to have. */
  readonly #byName: readonly Candidate[];
  readonly #root: TreeNode = { parent: undefined, rule: -1, spans: 'any', children: new Map(), class: 0 };
  readonly #work: Work;
  /** How many subjects have this set. */
  subjects = 0;
  #classes = new Map<number, number>();
  /** Somebody holds `#classes` as it is. */
  #isShared = false;
  readonly #states = new Map<number, ClassState>();
  readonly #baseText: string;
  readonly #hash = new ContentHash();
  #snapshot: CompiledSet | undefined;
  #rows = 0;
  /** Nothing more is known of a set that could not follow the identities that came: it is refused as a whole. */
  #refused: CirriError | undefined;

  constructor({ key, direction, enforced, rules, fallbacks, infos, l7 }: PolicySetOptions, work: Work) {
    this.key = key;
    this.direction = direction;
    this.enforced = enforced;
    this.#rules = rules;
    this.#fallbacks = fallbacks;
    this.#infos = infos;
    this.#l7 = l7;
    this.#work = work;
    this.#everyone = rules.filter(r => r.matchers === 'any').map(r => ({ ...r.candidate, spans: r.spans }));
    this.#byName = rules.filter(r => r.byName).map(r => ({ ...r.candidate, spans: r.spans }));
    const rows = flatten(this.#everyone, fallbacks, l7, this.#byName);
    this.#baseText = rowsText(rows);
    this.#addClass(0, rows, this.#baseText);
    for (const [i, rule] of rules.entries()) for (const matcher of rule.matchers === 'any' ? [] : rule.matchers) this.#use(matcher, i);
  }

  /** Classifies every identity that some rule selects. */
  fill(identity: (id: number) => IdentityRecord): void {
    this.#work.setsBuilt++;
    const nodes = new Map<number, TreeNode>();
    for (const [i, rule] of this.#rules.entries()) {
      for (const matcher of rule.matchers === 'any' ? [] : rule.matchers) {
        for (const id of matcher.identities) {
          const node = nodes.get(id) ?? this.#root;
          if (node.rule !== i) nodes.set(id, this.#step(node, i, rule.names.length > 0 ? identity(id) : undefined));
        }
      }
    }
    for (const [id, node] of nodes) this.#setClass(id, this.#classOf(node));
  }

  /** The identity is now selected by these rules (indexes, any order). Returns the change, if there is one. */
  assign(identity: IdentityRecord, rules: readonly number[]): SetDelta | undefined {
    if (this.#refused) return undefined;
    try {
      return this.#change(identity.id, this.#classOf(this.#walk(identity, rules)));
    } catch (error) {
      if (!(error instanceof CirriError)) throw error;
      this.#refused = error;
      return { key: this.key, identity: identity.id, rows: [], class: 0, before: '', after: '' };
    }
  }

  remove(id: number): SetDelta | undefined {
    return this.#change(id, 0);
  }

  /** The class that an identity would have, and its rows when the set does not have them yet. Changes nothing. */
  classify(identity: IdentityRecord, rules: readonly number[]): { class: number; rows: readonly VerdictRow[] } {
    const node = this.#walk(identity, rules);
    const number = this.#classOf(node);
    return { class: number, rows: this.#states.has(number) ? [] : withClass(number, this.#rowsOf(node)) };
  }

  /** Those that the set uses, each once. */
  matchers(): ReadonlySet<Matcher<PolicySet>> {
    return new Set(this.#rules.flatMap(rule => (rule.matchers === 'any' ? [] : rule.matchers)));
  }

  /** It may be otherwise in a set that is made anew. */
  get mayRecover(): boolean {
    return this.#refused?.code === unkept;
  }

  /** Nobody has the set any more. */
  release(): void {
    for (const { rows } of this.#states.values()) this.#l7.drop(rows);
  }

  /** Shares the classes until the next one changes: a set that is not asked for is never copied. Throws for a set that is too large. */
  snapshot(): CompiledSet {
    if (this.#refused) throw this.#refused;
    this.#isShared = true;
    return (this.#snapshot ??= {
      key: this.key, hash: this.#hash.toString(), direction: this.direction, enforced: this.enforced, classes: this.#classes,
      verdicts: [...this.#states].sort(([a], [b]) => a - b).flatMap(([, state]) => state.rows), rules: this.#infos,
    });
  }

  #use(matcher: Matcher<PolicySet>, rule: number): void {
    const rules = matcher.users.get(this);
    if (!rules) matcher.users.set(this, [rule]);
    else if (rules.at(-1) !== rule) rules.push(rule);
  }

  #walk(identity: IdentityRecord, rules: readonly number[]): TreeNode {
    let node = this.#root;
    for (const rule of [...rules].sort((a, b) => a - b)) if (node.rule !== rule) node = this.#step(node, rule, identity);
    return node;
  }

  /** `identity` is needed only for rules with named ports. */
  #step(node: TreeNode, rule: number, identity: IdentityRecord | undefined): TreeNode {
    const bound = this.#rules[rule]!;
    const spans = bound.names.length === 0 ? bound.spans : withNamedPorts(bound, identity!);
    const edge = spans === bound.spans ? rule : `${rule} ${spansText(spans)}`;
    let next = node.children.get(edge);
    if (!next) {
      next = { parent: node, rule, spans, children: new Map(), class: undefined };
      node.children.set(edge, next);
    }
    return next;
  }

  #rowsOf(node: TreeNode): readonly Row[] {
    const candidates = [...this.#everyone];
    for (let n: TreeNode | undefined = node; n?.parent; n = n.parent) candidates.push({ ...this.#rules[n.rule]!.candidate, spans: n.spans });
    return flatten(candidates, this.#fallbacks, this.#l7, this.#byName);
  }

  /** The class number: 0 when the rows are those of class 0. */
  #classOf(node: TreeNode): number {
    if (node.class !== undefined) return node.class;
    if (this.#rows > maxRows) throw this.#tooLargeError();
    const rows = this.#rowsOf(node);
    this.#rows += rows.length;
    const text = rowsText(rows);
    node.class = text === this.#baseText ? 0 : this.#numberFor(text);
    this.#pending.set(node.class, { rows, text });
    return node.class;
  }

  #tooLargeError(): CirriError {
    return new CirriError('ERR_POLICY_SIZE', `the policies of one subject at ${this.direction} need more than ${maxRows} rows for the peers that they tell apart: ${this.#rules.length} rules, ${this.#pending.size} kinds of peers`, {
      mend: 'write fewer ports and ranges into rules for any peer, or fewer rules that select one peer each',
    });
  }

  /** Rows of classes that a tree node has led to; a class enters the set with its first identity. */
  readonly #pending = new Map<number, { rows: readonly Row[]; text: string }>();

  #numberFor(text: string): number {
    let number = fnv1a(text) || 1;
    for (let other = this.#pending.get(number); other && other.text !== text; other = this.#pending.get(number)) number = (number + 1) >>> 0 || 1;
    return number;
  }

  #change(id: number, next: number): SetDelta | undefined {
    const previous = this.#classes.get(id) ?? 0;
    if (previous === next) return undefined;
    const isNew = next !== 0 && !this.#states.has(next);
    const before = this.#hash.toString();
    this.#setClass(id, next);
    return {
      key: this.key, identity: id, class: next, rows: isNew ? this.#states.get(next)!.rows : [],
      ...(previous !== 0 && !this.#states.has(previous) && { droppedClass: previous }), before, after: this.#hash.toString(),
    };
  }

  #setClass(id: number, next: number): void {
    const previous = this.#classes.get(id) ?? 0;
    if (previous === next) return;
    this.#work.classesChanged++;
    this.#ownClasses();
    if (next !== 0) {
      if (!this.#states.has(next)) this.#addClass(next, this.#pending.get(next)!.rows, this.#pending.get(next)!.text);
      this.#states.get(next)!.identities++;
      this.#classes.set(id, next);
      this.#hash.changePair(id, next, 1);
    } else {
      this.#classes.delete(id);
    }
    if (previous !== 0) {
      this.#hash.changePair(id, previous, -1);
      if (--this.#states.get(previous)!.identities === 0) this.#dropClass(previous);
    }
  }

  #ownClasses(): void {
    this.#snapshot = undefined;
    if (!this.#isShared) return;
    this.#work.classesCopied += this.#classes.size;
    this.#classes = new Map(this.#classes);
    this.#isShared = false;
  }

  #addClass(number: number, rows: readonly Row[], text: string): void {
    this.#l7.take(rows);
    this.#states.set(number, { rows: withClass(number, rows), text, identities: 0 });
    this.#hash.add(`class ${number} ${text}`);
  }

  #dropClass(number: number): void {
    this.#l7.drop(this.#states.get(number)!.rows);
    this.#hash.remove(`class ${number} ${this.#states.get(number)!.text}`);
    this.#states.delete(number);
  }
}

/**
 * Spans of a rule for one peer. Where pods of one identity give a name different numbers, an allow rule opens none of them
 * (it would open the wrong port of some pod) and a deny rule closes all.
 */
function withNamedPorts(rule: BoundRule, identity: IdentityRecord): Candidate['spans'] {
  const spans: Span[] = rule.spans === 'any' ? [] : [...rule.spans];
  for (const { name, protocol } of rule.names) {
    const ports = resolvePorts(identity.namedPorts, name, protocol);
    if (ports.length > 1 && rule.candidate.verdict !== 'deny') continue;
    for (const port of ports) spans.push({ protocol, start: port, end: port });
  }
  return spans;
}

function spansText(spans: Candidate['spans']): string {
  return spans === 'any' ? 'any' : spans.map(s => `${s.protocol}:${s.start}-${s.end}`).join(',');
}

export function rowsText(rows: readonly Row[]): string {
  return rows.map(r => `${r.protocol ?? '*'} ${r.port}/${r.portBits} ${outcomeText(r)}`).join('\n');
}

function withClass(number: number, rows: readonly Row[]): readonly VerdictRow[] {
  return rows.map(row => ({ class: number, ...row }));
}
