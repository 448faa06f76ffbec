/**
 * From the rules that concern one class of peers to the rows of its table.
 *
 *     rules of the class ──► per protocol and view: a function port → deciding rule ──► fewest longest-prefix rows
 *
 * Levels are asked in turn, and `pass` hands a point over to the next: allow-localhost, tier admin, tier normal (default deny
 * is its last word), tier baseline, default allow. In the tiers admin and baseline the first rule decides. In the tier normal
 * the stronger effect does; then the narrower range of ports, the rule that names the peer and the order of policies say
 * whose name and counter the verdict bears. Levels and strengths are compared, never added up: nothing can overflow.
 */
import type { L7Set } from '../model/l7.ts';
import { CirriError } from '../std/errors.ts';
import { optimalPrefixes } from './prefixes.ts';
import type { Interval } from './prefixes.ts';
import { maxPort, protocols } from './policy.ts';
import type { PolicyMode } from './policy.ts';

export type Verdict = 'allow' | 'deny' | 'redirect' | 'audit';

/** Hubble's numbers (policy match type). */
export const matchType = { none: 0, l3Only: 1, l3L4: 2, l4Only: 3, all: 4, l3Proto: 5, protoOnly: 6 } as const;
export type MatchType = (typeof matchType)[keyof typeof matchType];

export interface Span {
  readonly protocol: number;
  readonly start: number;
  readonly end: number;
}

/** Asked in this order. */
export const levels = { localhost: 0, admin: 1, normal: 2, defaultDeny: 3, baseline: 4, defaultAllow: 5 } as const;
export type Level = (typeof levels)[keyof typeof levels];

/** A rule as it applies to one class of peers, names resolved. */
export interface Candidate {
  readonly rule: number;
  readonly verdict: Verdict | 'pass';
  readonly level: Level;
  /** Within the tier normal; greater is stronger. */
  readonly strength: number;
  /** Position: by priority, kind, namespace and name of the policy, then as written. */
  readonly order: number;
  /** The rule names peers and this class is among them. */
  readonly specific: boolean;
  readonly mode: PolicyMode;
  readonly keepEstablished: boolean;
  readonly spans: 'any' | readonly Span[];
  /** Of a redirect: what the rule lets pass. */
  readonly l7?: L7Set;
}

/** What is said where no rule says anything: with the enforced policies, with those in audit too, with those in shadow instead. */
export interface Fallbacks {
  readonly enforced: Candidate;
  readonly audit: Candidate;
  readonly shadow: Candidate;
}

export interface Row {
  /** null: any protocol. */
  readonly protocol: number | null;
  readonly port: number;
  /** 0: any port; up to 16. */
  readonly portBits: number;
  readonly verdict: Verdict;
  readonly rule: number;
  readonly match: MatchType;
  /** Of a redirect: the number of the set of all that the rules there let pass. */
  readonly l7?: number;
  /** What it would be with the shadow policies in force, where that is another verdict. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: number };
  /** On a denial: connections that were allowed before go on. */
  readonly keepEstablished?: true;
  /** On a denial by a rule: a rule on names would be asked before it, so an address may be allowed by its name. */
  readonly asksNames?: true;
}

/** Where the sets of redirects get their numbers. */
export interface L7Sets {
  /** The set of these rules together; `conflict` is the rule id that says why they cannot hold together. */
  merged(redirects: readonly Candidate[]): { readonly l7: number } | { readonly conflict: number };
  /** All names may be asked, and are learned; undefined where nobody waits for names. */
  readonly learned: ((rule: number) => number) | undefined;
}

type View = keyof Fallbacks;

/** Who takes part: a policy in audit allows as others do, and only the view `audit` hears its denials. */
const takesPart: Readonly<Record<View, (candidate: Candidate) => boolean>> = {
  enforced: ({ mode, verdict }) => mode === 'enforce' || (mode === 'audit' && verdict !== 'deny'),
  audit: ({ mode }) => mode !== 'shadow',
  shadow: ({ mode, verdict }) => mode !== 'audit' || verdict !== 'deny',
};

/** DNS. Questions by UDP are read in the kernel wherever they may pass; by TCP somebody has to be asked to read them. */
export const namePort = 53;
export const nameProtocol = protocols.TCP;

/** The rows of a class, by protocol and port; the first is always the one for any protocol. */
export function flatten(candidates: readonly Candidate[], fallbacks: Fallbacks, sets: L7Sets, byName: readonly Candidate[] = []): readonly Row[] {
  const rulings = viewsNeeded(candidates, fallbacks).map(view => new Ruling(candidates.filter(takesPart[view]), fallbacks[view], view));
  const names = new Stage(byName.filter(takesPart.enforced));
  // No rule that is looked into is for any protocol: there is no redirect here.
  const base = outcome(rulings.map(r => [r.view, { claim: r.base, redirects: none }] as const), sets, { learns: false, name: names.all });
  const protocolsNamed = new Set([...rulings.flatMap(r => r.protocols), ...names.spans.keys(), ...(sets.learned ? [nameProtocol] : [])]);
  const rows: Row[] = [{ protocol: null, port: 0, portBits: 0, ...base }];
  for (const protocol of [...protocolsNamed].sort((a, b) => a - b)) rows.push(...protocolRows(protocol, rulings, base, sets, names));
  return rows;
}

/** Nearly always one. */
function viewsNeeded(candidates: readonly Candidate[], fallbacks: Fallbacks): readonly View[] {
  const views: View[] = ['enforced'];
  if (fallbacks.audit.rule !== fallbacks.enforced.rule || candidates.some(c => c.mode === 'audit')) views.push('audit');
  if (fallbacks.shadow.rule !== fallbacks.enforced.rule || candidates.some(c => c.mode === 'shadow')) views.push('shadow');
  return views;
}

interface Claim extends Span {
  readonly candidate: Candidate;
  /** Number of ports; greater than all of them for a claim on any protocol. */
  readonly size: number;
}

function claimAll(candidate: Candidate): Claim {
  return { candidate, protocol: -1, start: 0, end: maxPort, size: maxPort + 2 };
}

/** What decides at a point, and of a redirect all that cover the point, in the order of their rules. */
interface Decision {
  readonly claim: Claim;
  readonly redirects: readonly Claim[];
}

const none: readonly Claim[] = [];

/**
 * Who decides in one view. What can pass a point on, and what comes after it, are kept apart; so are, in the view `enforced`,
 * the redirects of policies in audit: they let pass what nobody else would, and never limit what somebody allows.
 */
class Ruling {
  readonly view: View;
  readonly #first: Stage;
  readonly #second: Stage;
  readonly #audited: Stage;

  constructor(candidates: readonly Candidate[], fallback: Candidate, view: View) {
    this.view = view;
    const isAudited = (c: Candidate) => view === 'enforced' && c.mode === 'audit' && c.verdict === 'redirect';
    this.#first = new Stage(candidates.filter(c => c.level <= levels.admin));
    this.#second = new Stage([...candidates.filter(c => c.level > levels.admin && !isAudited(c)), fallback]);
    this.#audited = new Stage(candidates.filter(isAudited));
  }

  /** For protocols that no rule names. */
  get base(): Claim {
    return decisive(this.#first.all, this.#second.all!);
  }

  get protocols(): readonly number[] {
    return [this.#first, this.#second, this.#audited].flatMap(stage => [...stage.spans.keys()]);
  }

  /** The deciding claim from each boundary on, ascending. */
  *over(protocol: number): Generator<{ readonly start: number } & Decision> {
    for (const { start, at: [first, second, audited] } of zipped([this.#first, this.#second, this.#audited].map(stage => [...stage.sweep(protocol)]))) {
      const claim = decisive(first!.claim, second!.claim!);
      const opens = audited!.claim !== undefined && (claim.candidate.verdict === 'redirect' || isDefaultDenial(claim));
      if (!opens) yield { start, claim, redirects: claim.candidate.verdict === 'redirect' ? second!.redirects : none };
      else if (claim.candidate.verdict === 'redirect') yield { start, claim, redirects: [...second!.redirects, ...audited!.redirects] };
      else yield { start, claim: audited!.claim!, redirects: audited!.redirects };
    }
  }
}

/** What an allow rule of the tier normal overrules: default deny, and denials of the tier baseline. */
function isDefaultDenial({ candidate }: Claim): boolean {
  return candidate.verdict === 'deny' && candidate.level > levels.normal;
}

/** Steps that each begin at 0, side by side: what each says from each boundary of any of them on. */
function* zipped<T extends { readonly start: number }>(steps: readonly (readonly T[])[]): Generator<{ readonly start: number; readonly at: readonly T[] }> {
  const at = steps.map(() => 0);
  for (let start = 0; start <= maxPort; ) {
    yield { start, at: steps.map((list, i) => list[at[i]!]!) };
    const next = Math.min(...steps.map((list, i) => list[at[i]! + 1]?.start ?? maxPort + 1));
    steps.forEach((list, i) => {
      if (list[at[i]! + 1]?.start === next) at[i]!++;
    });
    start = next;
  }
}

function decisive(first: Claim | undefined, second: Claim): Claim {
  return first && first.candidate.verdict !== 'pass' ? first : second;
}

/** What holds from a port on. */
interface Step {
  readonly start: number;
  readonly claim: Claim | undefined;
  readonly redirects: readonly Claim[];
}

/** Candidates of which the strongest decides at each point: the strongest for all protocols, and claims by protocol. */
class Stage {
  readonly all: Claim | undefined;
  readonly spans = new Map<number, Claim[]>();

  constructor(candidates: readonly Candidate[]) {
    let all: Claim | undefined;
    for (const candidate of candidates) {
      if (candidate.spans === 'any') {
        const claim = claimAll(candidate);
        if (!all || stronger(claim, all)) all = claim;
        continue;
      }
      for (const span of candidate.spans) {
        const claims = this.spans.get(span.protocol);
        const claim = { candidate, ...span, size: span.end - span.start + 1 };
        if (claims) claims.push(claim);
        else this.spans.set(span.protocol, [claim]);
      }
    }
    this.all = all;
  }

  /** The strongest claim from each boundary on, ascending; undefined where there is none. Of a redirect all that are in force there. */
  *sweep(protocol: number): Generator<Step> {
    const starts = [...(this.spans.get(protocol) ?? [])].sort((a, b) => a.start - b.start);
    const boundaries = [...new Set([0, ...starts.flatMap(c => [c.start, c.end + 1])])].filter(p => p <= maxPort).sort((a, b) => a - b);
    const heap = new ClaimHeap();
    let next = 0;
    let listed = 0;
    for (const start of boundaries) {
      while (next < starts.length && starts[next]!.start <= start) heap.push(starts[next++]!);
      while (heap.top && heap.top.end < start) heap.pop();
      const claim = heap.top && (!this.all || stronger(heap.top, this.all)) ? heap.top : this.all;
      const redirects = claim?.candidate.verdict === 'redirect' ? heap.redirects(start) : none;
      listed += redirects.length;
      if (listed > maxRedirects) throw tooManyRedirects();
      yield { start, claim, redirects };
    }
  }
}

/** Rules on requests, counted at each boundary where they are in force: more is refused before it fills the memory. */
const maxRedirects = 1 << 18;

export function tooManyRedirects(): CirriError {
  return new CirriError('ERR_POLICY_SIZE', `the policies of one subject have more than ${maxRedirects} rules on requests for ranges of ports that overlap in different ways`, {
    mend: 'write fewer rules of this kind for ranges that overlap, or give each a port of its own',
  });
}

function stronger(a: Claim, b: Claim): boolean {
  if (a.candidate.level !== b.candidate.level) return a.candidate.level < b.candidate.level;
  if (a.candidate.level === levels.admin || a.candidate.level === levels.baseline) return a.candidate.order < b.candidate.order;
  if (a.candidate.strength !== b.candidate.strength) return a.candidate.strength > b.candidate.strength;
  if (a.size !== b.size) return a.size < b.size;
  if (a.candidate.specific !== b.candidate.specific) return a.candidate.specific;
  return a.candidate.order < b.candidate.order;
}

function protocolRows(protocol: number, rulings: readonly Ruling[], base: Outcome, sets: L7Sets, names: Stage): Row[] {
  const outcomes: Outcome[] = [base];
  const indexes = new Map([[outcomeText(base), 0]]);
  const intervals: Interval[] = [];
  const learns = sets.learned !== undefined && protocol === nameProtocol;
  const steps = rulings.map(r => (learns ? withNamePort([...r.over(protocol)]) : [...r.over(protocol)]));
  for (const { start, at } of zipped<Step>([...steps, [...names.sweep(protocol)]])) {
    const result = outcome(rulings.map((r, i) => [r.view, at[i] as Decision] as const), sets, { learns: learns && start === namePort, name: at.at(-1)!.claim });
    const text = outcomeText(result);
    let value = indexes.get(text);
    if (value === undefined) {
      value = outcomes.push(result) - 1;
      indexes.set(text, value);
    }
    if (intervals.at(-1)?.value !== value) intervals.push({ start, value });
  }
  return optimalPrefixes(intervals, 0).map(row => ({ protocol, port: row.port, portBits: row.bits, ...outcomes[row.value]! }));
}

/** The port of DNS a step of its own. */
function withNamePort<T extends { readonly start: number }>(steps: readonly T[]): T[] {
  const inForce = (port: number) => ({ ...steps.findLast(step => step.start <= port)!, start: port });
  return [...steps.filter(step => step.start < namePort), inForce(namePort), inForce(namePort + 1), ...steps.filter(step => step.start > namePort + 1)];
}

/** The strongest claim on top; claims that have ended are dropped when they come up. */
class ClaimHeap {
  readonly #items: Claim[] = [];

  get top(): Claim | undefined {
    return this.#items[0];
  }

  /** Those that are redirects and have not ended, in the order of their rules. */
  redirects(start: number): readonly Claim[] {
    return this.#items.filter(claim => claim.candidate.verdict === 'redirect' && claim.end >= start).sort((a, b) => a.candidate.order - b.candidate.order);
  }

  push(claim: Claim): void {
    const items = this.#items;
    let i = items.push(claim) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!stronger(items[i]!, items[parent]!)) break;
      [items[i], items[parent]] = [items[parent]!, items[i]!];
      i = parent;
    }
  }

  pop(): void {
    const items = this.#items;
    const last = items.pop()!;
    if (items.length === 0) return;
    items[0] = last;
    for (let i = 0; ;) {
      let best = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < items.length && stronger(items[child]!, items[best]!)) best = child;
      if (best === i) return;
      [items[i], items[best]] = [items[best]!, items[i]!];
      i = best;
    }
  }
}

type Outcome = Omit<Row, 'protocol' | 'port' | 'portBits'>;

/** What is to be known of names at a point. */
interface Names {
  readonly learns: boolean;
  /** The strongest rule on names there, whoever they are for. */
  readonly name: Claim | undefined;
}

function outcome(views: readonly (readonly [View, Decision])[], sets: L7Sets, { learns, name }: Names): Outcome {
  const { claim, redirects } = views[0]![1];
  const of = (view: View) => views.find(([v]) => v === view)?.[1].claim;
  const found = ruled(claim, redirects, sets, learns);
  const audited = found.verdict !== 'deny' && of('audit')?.candidate.verdict === 'deny' ? of('audit') : undefined;
  const shadow = of('shadow');
  const differs = shadow !== undefined && (shadow.candidate.verdict === 'deny') !== (claim.candidate.verdict === 'deny');
  return {
    ...(audited ? { verdict: 'audit', rule: audited.candidate.rule, match: claimMatch(audited) } : found),
    ...(differs && { shadow: { verdict: shadow.candidate.verdict === 'deny' ? 'deny' : 'allow', rule: shadow.candidate.rule } }),
    ...(claim.candidate.verdict === 'deny' && claim.candidate.keepEstablished && { keepEstablished: true }),
    ...(found.verdict === 'deny' && !audited && claim.candidate.level !== levels.defaultDeny && name && stronger(name, claim) && { asksNames: true }),
  };
}

/** Where rules cannot hold together, nothing passes. */
function ruled(claim: Claim, redirects: readonly Claim[], sets: L7Sets, learns: boolean): Pick<Row, 'verdict' | 'rule' | 'match' | 'l7'> {
  const { verdict, rule } = claim.candidate;
  const match = claimMatch(claim);
  if (verdict === 'allow' && learns) return { verdict: 'redirect', rule, match, l7: sets.learned!(rule) };
  if (verdict !== 'redirect') return { verdict: verdict as Verdict, rule, match };
  const merged = sets.merged(redirects.map(r => r.candidate));
  return 'conflict' in merged ? { verdict: 'deny', rule: merged.conflict, match } : { verdict, rule, match, l7: merged.l7 };
}

function claimMatch(claim: Claim): MatchType {
  const { level, specific } = claim.candidate;
  if (level === levels.defaultDeny || level === levels.defaultAllow) return matchType.none;
  if (claim.size > maxPort + 1) return specific ? matchType.l3Only : matchType.all;
  if (claim.size === maxPort + 1) return specific ? matchType.l3Proto : matchType.protoOnly;
  return specific ? matchType.l3L4 : matchType.l4Only;
}

export function outcomeText(o: Outcome): string {
  return `${o.verdict} ${o.rule} ${o.match}${o.l7 === undefined ? '' : ` l7 ${o.l7}`}${o.shadow ? ` shadow ${o.shadow.verdict} ${o.shadow.rule}` : ''}${o.keepEstablished ? ' keep' : ''}${o.asksNames ? ' names' : ''}`;
}
