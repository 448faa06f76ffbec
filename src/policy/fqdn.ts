/**
 * DNS names in policies: `matchName` and `matchPattern`, compared as fully qualified lower-case names
 * with the final dot.
 */

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

/**
 * The pattern as an expression over qualified names: `*` is any run of DNS characters within a label, `*.x` has at least
 * one, `**.x` is any depth from one label up, a lone `*` is every name.
 */
export function patternToRegExp(pattern: string): RegExp {
  const text = pattern.toLowerCase();
  if (/^\*+$/.test(text)) return /^(?:(?:[-a-z0-9_]+\.)+|\.)$/;
  const qualified = qualifyName(text);
  const deep = /^\*\*+\./.exec(qualified);
  const head = deep ? '[-a-z0-9_]+(?:\\.[-a-z0-9_]+)*\\.' : qualified.startsWith('*.') ? '[-a-z0-9_]+\\.' : '';
  const rest = deep ? qualified.slice(deep[0].length) : qualified.startsWith('*.') ? qualified.slice(2) : qualified;
  return new RegExp(`^${head}${rest.replaceAll('.', '\\.').replaceAll(/\*+/g, '[-a-z0-9_]*')}$`);
}
