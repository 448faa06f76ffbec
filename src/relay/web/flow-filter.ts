import { EventType } from '../../flows/event.ts';
import type { FlowFilter } from '../../flows/filter.ts';
import type { WebFilter, WebVerdict } from '../../model/web.ts';
import { webProtocols, webVerdicts } from '../../model/web.ts';
import { CirriError } from '../../std/errors.ts';

/** The filter in a request's parameters. */
export function webFilterOf(params: URLSearchParams): WebFilter {
  const text = (name: string) => params.get(name)?.trim() || undefined;
  const verdict = text('verdict');
  if (verdict !== undefined && !(webVerdicts as readonly string[]).includes(verdict)) throw new CirriError('ERR_FILTER', `no verdict is called ${verdict}`, { mend: `one of ${webVerdicts.join(', ')}` });
  const protocol = text('protocol');
  if (protocol !== undefined && !(webProtocols as readonly string[]).includes(protocol)) throw new CirriError('ERR_FILTER', `no protocol is called ${protocol}`, { mend: `one of ${webProtocols.join(', ')}` });
  const shown = { dns: params.get('dns') === 'true' ? true : undefined, events: params.get('events') === 'all' ? 'all' : undefined };
  const fields = { ...shown, namespace: text('namespace'), label: text('label'), verdict: verdict as WebVerdict | undefined, protocol, text: text('text') };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/**
 * The same as Hubble's filters, so that the nodes apply it: either end may be the one that is meant, hence a filter for each
 * choice of ends. `scope`: namespaces of which an end must be. No filters: everything; undefined: nothing can match.
 */
export function flowFilters(filter: WebFilter, scope?: readonly string[]): readonly FlowFilter[] | undefined {
  const plain: FlowFilter = { ...(filter.verdict !== undefined && { verdict: [filter.verdict] }), ...(filter.protocol !== undefined && { protocol: [filter.protocol] }) };
  if (scope?.length === 0) return undefined;
  const choices: (readonly FlowFilter[])[] = filter.events === 'all' ? [] : [connectionEvents];
  if (filter.namespace !== undefined) choices.push(ends('pod', [`${filter.namespace}/`]));
  // An own end must be there too where the namespace that is asked for is another's.
  if (scope !== undefined && !(filter.namespace !== undefined && scope.includes(filter.namespace))) choices.push(ends('pod', scope.map(name => `${name}/`)));
  if (filter.label !== undefined) choices.push(ends('label', [filter.label]));
  if (filter.text !== undefined) choices.push(textChoices(filter.text));
  const product = choices.reduce<readonly FlowFilter[]>((sofar, choice) => sofar.flatMap(a => choice.flatMap(b => both(a, b))), [plain]);
  if (product.length === 0) return undefined;
  return product.some(each => Object.keys(each).length === 0) ? [] : product;
}

const eventType = (...types: readonly number[]) => types.map(type => ({ type }));
const decided = ['FORWARDED', 'AUDIT', 'REDIRECTED', 'ERROR', 'TRANSLATED', 'TRACED'];

/**
 * One flow a connection: the verdict at the end that decided last, which is the destination's where that is a pod; what the source's
 * end denied or audited; drops, whose verdict is told besides, once; requests.
 */
const connectionEvents: readonly FlowFilter[] = [
  { event_type: eventType(EventType.drop, EventType.l7) },
  { event_type: eventType(EventType.policyVerdict), traffic_direction: ['INGRESS'], verdict: decided },
  { event_type: eventType(EventType.policyVerdict), traffic_direction: ['EGRESS'], verdict: decided, destination_label: ['!io.kubernetes.pod.namespace'] },
  { event_type: eventType(EventType.policyVerdict), traffic_direction: ['EGRESS'], verdict: ['AUDIT'], destination_label: ['io.kubernetes.pod.namespace'] },
];

/** What is left out whatever else matches: lookups of names that went well. */
export function withoutFilters(filter: WebFilter): readonly FlowFilter[] {
  if (filter.dns || filter.protocol === 'DNS' || filter.text === '53') return [];
  return ['TCP', 'UDP', 'DNS'].flatMap(protocol => [{ protocol: [protocol], destination_port: ['53'], verdict: ['FORWARDED', 'TRANSLATED', 'REDIRECTED'] }, { protocol: [protocol], source_port: ['53'], verdict: ['FORWARDED', 'TRANSLATED', 'REDIRECTED'] }]);
}

function ends(field: 'pod' | 'label' | 'ip' | 'fqdn' | 'port' | 'service', values: readonly string[]): readonly FlowFilter[] {
  return [{ [`source_${field}`]: values }, { [`destination_${field}`]: values }] as readonly FlowFilter[];
}

function textChoices(text: string): readonly FlowFilter[] {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return ends('port', [text]);
  if (/^[\d.]+(\/\d+)?$/.test(text) || /^[0-9a-f:]*:[0-9a-f:.]*(\/\d+)?$/i.test(text)) return ends('ip', [text]);
  if (text.includes('/')) return ends('pod', [text]);
  const name = text.toLowerCase().replaceAll(/[^a-z0-9.*_-]/g, '');
  return [...ends('pod', [`/${text}`]), ...(name === '' ? [] : ends('fqdn', [`*${name}*`])), ...ends('service', [`/${text}`])];
}

/** Both at once; of a field that both have, each filter's own values must match, which one filter can say only when one of them is narrower. */
function both(a: FlowFilter, b: FlowFilter): readonly FlowFilter[] {
  const shared = Object.keys(b).filter(key => key in a) as (keyof FlowFilter)[];
  if (shared.length === 0) return [{ ...a, ...b }];
  if (shared.includes('event_type')) return [];
  const merged: Record<string, unknown> = { ...a, ...b };
  for (const key of shared) {
    const values = (a[key] as readonly string[]).flatMap(x => (b[key] as readonly string[]).flatMap(y => narrower(key, x, y) ?? []));
    if (values.length === 0) return [];
    merged[key] = values;
  }
  return [merged as FlowFilter];
}

/** Of pods `ns/` and `/prefix` together are `ns/prefix`; of labels both selectors; of others, nothing unless they are the same. */
function narrower(key: keyof FlowFilter, x: string, y: string): string | undefined {
  if (x === y) return x;
  if (key.endsWith('_label')) return `${x},${y}`;
  if (!key.endsWith('_pod')) return undefined;
  const [[xs, xn], [ys, yn]] = [x, y].map(text => [text.slice(0, text.indexOf('/')), text.slice(text.indexOf('/') + 1)] as const) as [readonly [string, string], readonly [string, string]];
  if (xs !== '' && ys !== '' && xs !== ys) return undefined;
  if (!xn.startsWith(yn) && !yn.startsWith(xn)) return undefined;
  return `${xs || ys}/${xn.length > yn.length ? xn : yn}`;
}
