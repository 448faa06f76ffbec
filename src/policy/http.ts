/** HTTP rules decided for one request: for simulation and tests. */
import type { HttpL7Rule } from '../model/l7.ts';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** All that is set must match. */
export function httpRuleMatches(rule: HttpL7Rule, request: HttpRequest): boolean {
  const headers = new Map(Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const));
  const host = request.host ?? headers.get('host');
  if (!matchesWhole(rule.method, request.method) || !matchesWhole(rule.path, request.path) || !matchesWhole(rule.host, host)) return false;
  return rule.headers.every(({ name, value, missing, mismatch }) => {
    const actual = headers.get(name);
    // A mismatch that is mended lets the request pass.
    return !missing && (mismatch !== undefined || (actual !== undefined && (value === undefined || value === actual)));
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
