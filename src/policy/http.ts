/** HTTP rules as policies state them, decided for one request: for simulation and tests, and the proxy's oracle. */

export type L7Type = 'http' | 'dns' | 'kafka' | 'l7proto';

export interface HttpRule {
  /** Expressions over the whole of the method, the path with its query, and the authority. Absent: any. */
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers: readonly HeaderRule[];
}

export interface HeaderRule {
  readonly name: string;
  /** Exactly this; absent: the header is there. */
  readonly value?: string;
  /** The value stands in a Secret, which is not read here: never holds. */
  readonly secret?: true;
}

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** All that is set must match. */
export function httpRuleMatches(rule: HttpRule, request: HttpRequest): boolean {
  const headers = new Map(Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const));
  const host = request.host ?? headers.get('host');
  if (!matchesWhole(rule.method, request.method) || !matchesWhole(rule.path, request.path) || !matchesWhole(rule.host, host)) return false;
  return rule.headers.every(({ name, value, secret }) => {
    const actual = headers.get(name.toLowerCase());
    return !secret && actual !== undefined && (value === undefined || value === actual);
  });
}

function matchesWhole(expression: string | undefined, text: string | undefined): boolean {
  if (expression === undefined || expression === '') return true;
  return text !== undefined && toRegExp(expression).test(text);
}

/** RE2 as JavaScript has it; `.` takes every character but a line end, as in RE2. */
function toRegExp(expression: string): RegExp {
  const flags = /^\(\?([imsU]+)\)/.exec(expression)?.[1] ?? '';
  const body = expression.replaceAll(/\(\?[imsU]+\)/g, '').replaceAll('(?P<', '(?<').replaceAll('[[:alnum:]]', '[A-Za-z0-9]').replaceAll('[[:alpha:]]', '[A-Za-z]').replaceAll('[[:digit:]]', '[0-9]');
  return new RegExp(`^(?:${body})$`, flags.replaceAll(/[^ims]/g, ''));
}
