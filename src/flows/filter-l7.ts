import type { Flow } from '../model/flow.ts';
import type { FlowFilter, FlowPredicate } from './filter.ts';
import { filterError } from './filter-error.ts';
import { EventType } from './event.ts';
import { compilePatterns } from './regex.ts';

type Http = NonNullable<NonNullable<Flow['l7']>['http']>;

function byHttp(matches: (http: Http) => boolean): FlowPredicate {
  return flow => {
    const http = flow.l7?.http;
    return http !== undefined && matches(http);
  };
}

/** `404`, or the beginning of one with a plus: `4+`, `50+`. */
export function byStatus(values: readonly string[]): FlowPredicate {
  const whole = new Set<string>();
  const prefixes: string[] = [];
  for (const value of values) {
    if (/^[1-5]\d\d$/.test(value)) whole.add(value);
    else if (/^[1-5]\d?\+$/.test(value)) prefixes.push(value.slice(0, -1));
    else throw filterError('http_status_code', `invalid status code prefix: "${value}"; write 404, 40+ or 4+`);
  }
  return byHttp(({ code = 0 }) => {
    if (code < 100) return false;
    const text = String(code);
    return whole.has(text) || prefixes.some(prefix => text.startsWith(prefix));
  });
}

export function byMethod(values: readonly string[]): FlowPredicate {
  const wanted = new Set(values.map(value => value.toUpperCase()));
  return byHttp(({ method }) => wanted.has(method) || wanted.has(method.toUpperCase()));
}

export function byPath(values: readonly string[]): FlowPredicate {
  const matches = compilePatterns('http_path', values);
  return byHttp(({ url }) => {
    const path = pathOf(url);
    return path !== undefined && matches(path);
  });
}

export function byUrl(values: readonly string[]): FlowPredicate {
  const matches = compilePatterns('http_url', values);
  return byHttp(({ url }) => matches(url));
}

export function byHeader(values: readonly { readonly key?: string; readonly value?: string }[]): FlowPredicate {
  return byHttp(({ headers }) => headers?.some(header => values.some(({ key = '', value = '' }) => header.key === key && header.value === value)) ?? false);
}

export function byDnsQuery(values: readonly string[]): FlowPredicate {
  const matches = compilePatterns('dns_query', values);
  return flow => {
    const query = flow.l7?.dns?.query;
    return query !== undefined && matches(query);
  };
}

/** The decoded path of a request's URI (RFC 9112, section 3.2: an absolute URI or a path), undefined when it is none. */
function pathOf(url: string): string | undefined {
  const rest = url.startsWith('/') ? url : /^[A-Za-z][-+.A-Za-z0-9]*:\/\/[^/?]*(.*)$/s.exec(url)?.[1];
  if (rest === undefined) return undefined;
  const question = rest.indexOf('?');
  const path = question < 0 ? rest : rest.slice(0, question);
  if (!path.includes('%')) return path;
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return undefined;
  return Buffer.from(path.replace(/%([0-9A-Fa-f]{2})|[^\x00-\x7f]+/g, (text, hex: string | undefined) => (hex === undefined ? Buffer.from(text).toString('latin1') : String.fromCharCode(parseInt(hex, 16)))), 'latin1').toString('utf8');
}

const httpFields = ['http_status_code', 'http_method', 'http_path', 'http_url', 'http_header'] as const;

/** What asks for HTTP and, by its event types, shuts it out could never match: an error, as upstream. */
export function checkHttpTypes(filter: FlowFilter): void {
  const types = filter.event_type ?? [];
  if (types.length === 0 || types.some(({ type }) => type === EventType.l7)) return;
  const field = httpFields.find(name => (filter[name]?.length ?? 0) > 0);
  if (field !== undefined) throw filterError(field, 'HTTP is in events of type l7 only, and event_type does not let them in');
}
