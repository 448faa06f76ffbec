import type { Flow } from '../model/flow.ts';
import { CirriError } from '../std/errors.ts';
import { compileFilters, type FlowFilter } from './filter.ts';

/** What a reader asks a node for. */
export interface FlowQuery {
  readonly whitelist?: readonly FlowFilter[];
  readonly blacklist?: readonly FlowFilter[];
  /** RFC 3339; compared as text, since flows have one form of time. */
  readonly since?: string;
  readonly until?: string;
  /** The newest N; or the oldest N. Neither means all in the window. */
  readonly last?: number;
  readonly first?: number;
}

export function compileQuery(query: FlowQuery): (flow: Flow) => boolean {
  const matches = compileFilters(query.whitelist ?? [], query.blacklist ?? []);
  const since = query.since === undefined ? undefined : canonicalTime(query.since);
  const until = query.until === undefined ? undefined : canonicalTime(query.until);
  return flow => (since === undefined || flow.time >= since) && (until === undefined || flow.time <= until) && matches(flow);
}

/** The query as URL parameters of `GET /v1/flows`. */
export function queryToParams(query: FlowQuery & { readonly follow?: boolean }): URLSearchParams {
  const params = new URLSearchParams();
  if (query.follow) params.set('follow', '1');
  for (const field of ['since', 'until', 'last', 'first'] as const) {
    if (query[field] !== undefined) params.set(field, String(query[field]));
  }
  for (const field of ['whitelist', 'blacklist'] as const) {
    const filters = query[field];
    if (filters && filters.length > 0) params.set(field, JSON.stringify(filters));
  }
  return params;
}

/** The inverse; throws CirriError on what does not parse. */
export function queryFromParams(params: URLSearchParams): FlowQuery & { readonly follow: boolean } {
  const count = (name: string) => {
    const text = params.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,9}$/.test(text)) throw new CirriError('ERR_FLOW_QUERY', `"${name}" must be a number, not "${text}"`);
    return Number(text);
  };
  const time = (name: string) => {
    const text = params.get(name);
    return text === null ? undefined : parseTime(text);
  };
  const filters = (name: string) => {
    const text = params.get(name);
    if (text === null) return undefined;
    const value: unknown = JSON.parse(text);
    return (Array.isArray(value) ? value : [value]) as FlowFilter[];
  };
  return dropUndefined({
    follow: ['1', 'true'].includes(params.get('follow') ?? ''),
    since: time('since'),
    until: time('until'),
    last: count('last'),
    first: count('first'),
    whitelist: filters('whitelist'),
    blacklist: filters('blacklist'),
  });
}

const unitsMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A Go duration ("1h43m", "250ms") in milliseconds, undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, , unit] of text.matchAll(/(\d+(\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g)) total += Number(amount) * unitsMs[unit!]!;
  return total;
}

/**
 * The times that `hubble observe --since/--until` takes: a duration before now, RFC 3339 with or without a fraction, RFC
 * 1123Z, `Jan  2 15:04:05.000` of this year, or a date with or without hour and minute. UTC unless it says otherwise.
 */
export function parseTime(text: string, now: Date = new Date()): string {
  const ago = parseDuration(text);
  if (ago !== undefined) return canonicalTime(new Date(now.getTime() - ago).toISOString());
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text)) return canonicalTime(text);
  const short = /^(\d{4}-\d\d-\d\d)(?:[T-](\d\d)(?::?(\d\d))?)?$/.exec(text);
  const stamp = /^([A-Z][a-z]{2})\s+(\d{1,2}) (\d\d:\d\d:\d\d\.\d{3})$/.exec(text);
  const plain =
    short ? `${short[1]}T${short[2] ?? '00'}:${short[3] ?? '00'}:00Z`
    : stamp ? `${stamp[2]} ${stamp[1]} ${now.getUTCFullYear()} ${stamp[3]} UTC`
    : text;
  const parsed = new Date(plain);
  if (Number.isNaN(parsed.getTime())) {
    throw new CirriError('ERR_TIME', `"${text}" is neither a duration nor a time`, { mend: 'write 30s, 5m, 1h30m or 2026-11-20T10:00:00Z' });
  }
  return canonicalTime(parsed.toISOString());
}

/** RFC 3339 in UTC with nine digits, so that text order is the order of time. */
export function canonicalTime(text: string): string {
  const fraction = /\.(\d{1,9})/.exec(text)?.[1] ?? '';
  const whole = new Date(text.replace(/\.\d+/, ''));
  if (Number.isNaN(whole.getTime())) throw new CirriError('ERR_TIME', `"${text}" is not a time`);
  return `${whole.toISOString().slice(0, 19)}.${fraction.padEnd(9, '0')}Z`;
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}
