import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { formatAddr, isAddr, isIPv4, parseAddr, parsePrefix, prefixHas, type Prefix } from '../std/ip.ts';
import { filterError } from './filter-error.ts';
import { parseLabelSelector } from './label-selector.ts';
import { fqdnPattern } from './pattern.ts';
import { compilePatterns } from './regex.ts';
import type { FlowPredicate } from './filter.ts';

export type EndOf = (flow: Flow) => FlowEndpoint;

/**
 * What is asked of one end. Ends are shared between flows and never change, so each is asked once and the answer kept with it
 * for as long as it lives.
 */
function byEnd(endOf: EndOf, matches: (end: FlowEndpoint) => boolean): FlowPredicate {
  const answers = new WeakMap<FlowEndpoint, boolean>();
  return flow => {
    const end = endOf(flow);
    let answer = answers.get(end);
    if (answer === undefined) answers.set(end, (answer = matches(end)));
    return answer;
  };
}

export function byIp(values: readonly string[], endOf: EndOf, field: string): FlowPredicate {
  const has = addressMatcher(values, field);
  return byEnd(endOf, ({ ip }) => has(ip));
}

/** Addresses and prefixes: whether a text is one of the addresses or an address within a prefix. */
export function addressMatcher(values: readonly string[], field: string): (ip: string) => boolean {
  const exact = new Set<string>();
  const prefixes: Prefix[] = [];
  for (const value of values) {
    try {
      if (value.includes('/')) prefixes.push(parsePrefix(value));
      else exact.add(formatAddr(parseAddr(value)));
    } catch (error) {
      throw filterError(field, `"${value}" is not an address or a prefix`, error);
    }
  }
  return ip => {
    if (exact.has(ip)) return true;
    if (!isAddr(ip)) return false;
    const addr = parseAddr(ip);
    // An IPv4 address is no part of ::/0, although it is kept mapped into IPv6.
    return exact.has(formatAddr(addr)) || prefixes.some(prefix => isIPv4(prefix.addr) === isIPv4(addr) && prefixHas(prefix, addr));
  };
}

export function byPod(values: readonly string[], endOf: EndOf, field: string): FlowPredicate {
  const matches = nameMatcher(values, field);
  return byEnd(endOf, ({ namespace = '', podName = '' }) => matches(namespace, podName));
}

export function byService(values: readonly string[], serviceOf: (flow: Flow) => { readonly namespace: string; readonly name: string } | undefined, field: string): FlowPredicate {
  const matches = nameMatcher(values, field);
  return flow => {
    const service = serviceOf(flow);
    return service !== undefined && matches(service.namespace, service.name);
  };
}

/** `ns/prefix`, `ns/`, `/prefix` (any namespace) or `prefix` (namespace default). What has no name at all matches nothing. */
function nameMatcher(values: readonly string[], field: string): (namespace: string, name: string) => boolean {
  const wanted = values.map(value => {
    if (value === '') throw filterError(field, 'an empty name selects nothing; write "ns/" for a whole namespace');
    const slash = value.indexOf('/');
    return { namespace: slash < 0 ? 'default' : value.slice(0, slash), prefix: value.slice(slash + 1) };
  });
  return (namespace, name) => (namespace !== '' || name !== '') && wanted.some(each => (each.namespace === '' || each.namespace === namespace) && name.startsWith(each.prefix));
}

export function byFqdn(values: readonly string[], endOf: EndOf, field: string): FlowPredicate {
  const matches = compilePatterns(field, [fqdnPattern(values, message => filterError(field, message))]);
  return byEnd(endOf, ({ names }) => names?.some(name => matches(name.replace(/\.$/, '').toLowerCase())) ?? false);
}

export function byLabel(values: readonly string[], endOf: EndOf): FlowPredicate {
  const selectors = values.map(parseLabelSelector);
  return byEnd(endOf, ({ labels }) => selectors.some(matches => matches(labels)));
}

export function byCluster(values: readonly string[], endOf: EndOf, field: string): FlowPredicate {
  if (values.includes('')) throw filterError(field, 'a cluster has a name');
  const names = new Set(values);
  return flow => {
    const { clusterName } = endOf(flow);
    return clusterName !== undefined && names.has(clusterName);
  };
}

/** An empty name or kind is any; both empty: any workload. */
export function byWorkload(values: readonly { readonly name?: string; readonly kind?: string }[], endOf: EndOf): FlowPredicate {
  return byEnd(endOf, ({ workloads }) => workloads?.some(workload => values.some(({ name = '', kind = '' }) =>
    (name === '' || name === workload.name) && (kind === '' || kind === workload.kind))) ?? false);
}
