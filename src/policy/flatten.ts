/**
 * From the rules that concern one class of peers to the rows of its table.
 *
 *     rules of the class ──► per protocol: a function port → strongest rule ──► fewest longest-prefix rows
 *
 * Which rule decides where several apply: the stronger effect; then the narrower range of ports; then the rule that names
 * the peer; then the first in the order of policies. Only the first of these can change a verdict, the others decide whose
 * name and counter a verdict bears.
 */
import { optimalPrefixes } from './prefixes.ts';
import type { Interval } from './prefixes.ts';
import { maxPort } from './policy.ts';

export type Verdict = 'allow' | 'deny' | 'redirect' | 'audit';

/** Hubble's numbers (policy match type). */
export const matchType = { none: 0, l3Only: 1, l3L4: 2, l4Only: 3, all: 4, l3Proto: 5, protoOnly: 6 } as const;
export type MatchType = (typeof matchType)[keyof typeof matchType];

export interface Span {
  readonly protocol: number;
  readonly start: number;
  readonly end: number;
}

/** A rule as it applies to one class of peers, names resolved. */
export interface Candidate {
  readonly rule: number;
  readonly verdict: Verdict;
  /** Greater is stronger; 0 is the default verdict. */
  readonly strength: number;
  /** Position: by kind, namespace and name of the policy, then as written. */
  readonly order: number;
  /** The rule names peers and this class is among them. */
  readonly specific: boolean;
  readonly spans: 'any' | readonly Span[];
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
  /** What it would be with the shadow policies in force, where that is another verdict. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: number };
  /** On a denial: connections that were allowed before go on. */
  readonly keepEstablished?: true;
}

/** The rows of a class, by protocol and port; the first is always the one for any protocol. `fallback` applies to all. */
export function flatten(candidates: readonly Candidate[], fallback: Candidate): readonly Row[] {
  let base: Claim = claimAll(fallback);
  const spans = new Map<number, Claim[]>();
  for (const candidate of candidates) {
    if (candidate.spans === 'any') {
      const claim = claimAll(candidate);
      if (stronger(claim, base)) base = claim;
      continue;
    }
    for (const span of candidate.spans) {
      const claims = spans.get(span.protocol);
      const claim = { candidate, ...span, size: span.end - span.start + 1 };
      if (claims) claims.push(claim);
      else spans.set(span.protocol, [claim]);
    }
  }
  const rows: Row[] = [{ protocol: null, port: 0, portBits: 0, ...outcome(base) }];
  for (const protocol of [...spans.keys()].sort((a, b) => a - b)) rows.push(...protocolRows(protocol, spans.get(protocol)!, base));
  return rows;
}

interface Claim extends Span {
  readonly candidate: Candidate;
  /** Number of ports; greater than all of them for a claim on any protocol. */
  readonly size: number;
}

function claimAll(candidate: Candidate): Claim {
  return { candidate, protocol: -1, start: 0, end: maxPort, size: maxPort + 2 };
}

function stronger(a: Claim, b: Claim): boolean {
  if (a.candidate.strength !== b.candidate.strength) return a.candidate.strength > b.candidate.strength;
  if (a.size !== b.size) return a.size < b.size;
  if (a.candidate.specific !== b.candidate.specific) return a.candidate.specific;
  return a.candidate.order < b.candidate.order;
}

function protocolRows(protocol: number, claims: readonly Claim[], base: Claim): Row[] {
  const outcomes: Outcome[] = [outcome(base)];
  const indexes = new Map([[outcomeText(outcomes[0]!), 0]]);
  const intervals: Interval[] = [];
  for (const { start, claim } of sweep(claims, base)) {
    const result = outcome(claim);
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

/** The winning claim from each boundary on, ascending. */
function* sweep(claims: readonly Claim[], base: Claim): Generator<{ start: number; claim: Claim }> {
  const starts = [...claims].sort((a, b) => a.start - b.start);
  const boundaries = [...new Set([0, ...claims.flatMap(c => [c.start, c.end + 1])])].filter(p => p <= maxPort).sort((a, b) => a - b);
  const heap = new ClaimHeap();
  let next = 0;
  for (const start of boundaries) {
    while (next < starts.length && starts[next]!.start <= start) heap.push(starts[next++]!);
    while (heap.top && heap.top.end < start) heap.pop();
    const top = heap.top;
    yield { start, claim: top && stronger(top, base) ? top : base };
  }
}

/** The strongest claim on top; claims that have ended are dropped when they come up. */
class ClaimHeap {
  readonly #items: Claim[] = [];

  get top(): Claim | undefined {
    return this.#items[0];
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

type Outcome = Pick<Row, 'verdict' | 'rule' | 'match'>;

function outcome(claim: Claim): Outcome {
  const { candidate } = claim;
  return { verdict: candidate.verdict, rule: candidate.rule, match: claimMatch(claim) };
}

function claimMatch(claim: Claim): MatchType {
  if (claim.candidate.strength === 0) return matchType.none;
  const { specific } = claim.candidate;
  if (claim.size > maxPort + 1) return specific ? matchType.l3Only : matchType.all;
  if (claim.size === maxPort + 1) return specific ? matchType.l3Proto : matchType.protoOnly;
  return specific ? matchType.l3L4 : matchType.l4Only;
}

function outcomeText(o: Outcome): string {
  return `${o.verdict} ${o.rule} ${o.match}`;
}
