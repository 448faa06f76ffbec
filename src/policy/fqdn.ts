/**
 * DNS names in policies: `matchName` and `matchPattern`, compared as fully qualified lower-case names
 * with the final dot.
 */
import type { Rule } from './policy.ts';

/** Labels of identities for addresses of names: `fqdn:*.example.com`. */
export const fqdnSource = 'fqdn';

/** Patterns of toFQDNs (and domainNames) that a rule has among its peers. */
export function fqdnsOf({ peers }: Pick<Rule, 'peers'>): readonly string[] {
  if (peers === 'any') return [];
  return peers.flatMap(peer => (peer.type === 'selector' ? peer.selector.requirements.filter(r => r.source === fqdnSource).map(r => r.key) : []));
}

/** Why a name cannot stand in matchName, or undefined. */
export function matchNameFault(name: string): string | undefined {
  if (name.length > 255) return 'a name has at most 255 characters';
  return /^[-a-zA-Z0-9_.]+$/.test(name) ? undefined : 'only letters, digits, "-", "_" and "." may stand in a name';
}

/** Why a pattern cannot stand in matchPattern, or undefined. */
export function matchPatternFault(pattern: string): string | undefined {
  if (pattern.length > 255) return 'a pattern has at most 255 characters';
  return /^[-a-zA-Z0-9_.*]+$/.test(pattern) ? undefined : 'only letters, digits, "-", "_", "." and "*" may stand in a pattern';
}

/** `API.stripe.com` → `api.stripe.com.`. */
export function qualifyName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower : `${lower}.`;
}

export interface NamePattern {
  /** The name qualified and in lower case. */
  test(name: string): boolean;
}

/**
 * A pattern over qualified names: `*` is any run of DNS characters within a label, `*.x` has at least one, `**.x` is any depth
 * from one label up, a lone `*` is every name. Label by label and piece by piece, without going back: an expression with many
 * `*` would try all ways to share the letters out.
 */
export function namePattern(pattern: string): NamePattern {
  const text = pattern.toLowerCase();
  if (/^\*+$/.test(text)) return { test: name => name === '.' || (name.endsWith('.') && name.slice(0, -1).split('.').every(isLabel)) };
  const [first, ...rest] = qualifyName(text).split('.') as [string, ...string[]];
  const matchers = rest.map(labelPattern);
  const restMatches = (labels: readonly string[]) => labels.length === matchers.length && matchers.every((matches, i) => matches(labels[i]!));
  if (/^\*\*+$/.test(first)) {
    return { test: name => {
      const labels = name.split('.');
      const deep = labels.length - rest.length;
      return deep > 0 && labels.slice(0, deep).every(isLabel) && restMatches(labels.slice(deep));
    } };
  }
  const firstMatches = first === '*' ? isLabel : labelPattern(first);
  return { test: name => {
    const [head, ...labels] = name.split('.') as [string, ...string[]];
    return firstMatches(head) && restMatches(labels);
  } };
}

function isLabel(text: string): boolean {
  return /^[-a-z0-9_]+$/.test(text);
}

/** The first piece at the beginning, the last at the end, each of the others as early as it comes. */
function labelPattern(pattern: string): (label: string) => boolean {
  const pieces = pattern.split(/\*+/);
  const [head, tail] = [pieces[0]!, pieces.at(-1)!];
  if (pieces.length === 1) return label => label === pattern;
  return label => {
    if (label.length < head.length + tail.length || !label.startsWith(head) || !label.endsWith(tail) || !/^[-a-z0-9_]*$/.test(label)) return false;
    let at = head.length;
    const end = label.length - tail.length;
    for (const piece of pieces.slice(1, -1)) {
      at = label.indexOf(piece, at);
      if (at < 0 || at + piece.length > end) return false;
      at += piece.length;
    }
    return true;
  };
}
