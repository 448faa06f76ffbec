import type { Flow, FlowEndpoint, TcpFlag } from '../model/flow.ts';
import { CirriError } from '../std/errors.ts';
import { isAddr, parseAddr, parsePrefix, prefixHas } from '../std/ip.ts';
import { EventType } from './event.ts';
import { observationPoints } from './enrich.ts';
import { parseLabelSelector } from './label-selector.ts';
import { globToRegExp, nodeNamePattern } from './pattern.ts';
import { dropReasonName } from './reasons.ts';

/**
 * Hubble's FlowFilter (flow.proto) in its JSON names: all fields that are set must match; within a field any value does.
 * A whitelist is an OR of filters, a blacklist drops what any of its filters matches.
 */
export interface FlowFilter {
  readonly uuid?: readonly string[];
  readonly source_ip?: readonly string[];
  readonly source_pod?: readonly string[];
  readonly source_fqdn?: readonly string[];
  readonly source_label?: readonly string[];
  readonly source_service?: readonly string[];
  readonly source_identity?: readonly number[];
  readonly source_port?: readonly string[];
  readonly destination_ip?: readonly string[];
  readonly destination_pod?: readonly string[];
  readonly destination_fqdn?: readonly string[];
  readonly destination_label?: readonly string[];
  readonly destination_service?: readonly string[];
  readonly destination_identity?: readonly number[];
  readonly destination_port?: readonly string[];
  readonly verdict?: readonly string[];
  readonly drop_reason_desc?: readonly string[];
  readonly event_type?: readonly { readonly type?: number; readonly match_sub_type?: boolean; readonly sub_type?: number }[];
  readonly protocol?: readonly string[];
  readonly reply?: readonly boolean[];
  readonly traffic_direction?: readonly string[];
  readonly tcp_flags?: readonly Readonly<Partial<Record<TcpFlag, boolean>>>[];
  readonly node_name?: readonly string[];
  readonly ip_version?: readonly string[];
  readonly interface?: readonly { readonly name?: string; readonly index?: number }[];
}

export type FlowPredicate = (flow: Flow) => boolean;

/** Compiles one filter. Throws CirriError ERR_FLOW_FILTER naming the field and the value that does not parse. */
export function compileFilter(filter: FlowFilter): FlowPredicate {
  const tests: FlowPredicate[] = [];
  for (const [field, values] of Object.entries(filter) as [keyof FlowFilter, readonly unknown[] | undefined][]) {
    if (values === undefined || values.length === 0) continue;
    const compile = fields[field] as ((values: readonly unknown[]) => FlowPredicate) | undefined;
    if (!compile) throw filterError(field, 'is not a filter that is known here');
    tests.push(compile(values));
  }
  return flow => tests.every(test => test(flow));
}

/** Whitelist and blacklist together. */
export function compileFilters(whitelist: readonly FlowFilter[], blacklist: readonly FlowFilter[]): FlowPredicate {
  const wanted = whitelist.map(compileFilter);
  const unwanted = blacklist.map(compileFilter);
  return flow => (wanted.length === 0 || wanted.some(test => test(flow))) && !unwanted.some(test => test(flow));
}

const source = (flow: Flow) => flow.source;
const destination = (flow: Flow) => flow.destination;

const fields: { readonly [F in keyof FlowFilter]-?: (values: NonNullable<FlowFilter[F]>) => FlowPredicate } = {
  uuid: values => flow => values.includes(flow.id),
  source_ip: values => byIp(values, source, 'source_ip'),
  source_pod: values => byPod(values, source),
  source_fqdn: values => byName(values, source, 'source_fqdn'),
  source_label: values => byLabel(values, source),
  source_service: values => byService(values, flow => (flow.isReply === true ? flow.service : undefined)),
  source_identity: values => flow => values.includes(flow.source.identity),
  source_port: values => byPort(values, flow => flow.sourcePort, 'source_port'),
  destination_ip: values => byIp(values, destination, 'destination_ip'),
  destination_pod: values => byPod(values, destination),
  destination_fqdn: values => byName(values, destination, 'destination_fqdn'),
  destination_label: values => byLabel(values, destination),
  destination_service: values => byService(values, flow => (flow.isReply === true ? undefined : flow.service)),
  destination_identity: values => flow => values.includes(flow.destination.identity),
  destination_port: values => byPort(values, flow => flow.destinationPort, 'destination_port'),
  verdict: values => flow => values.includes(flow.verdict),
  drop_reason_desc: values => flow => flow.dropReason !== undefined && values.some(value => isReason(flow, value)),
  event_type: values => flow => values.some(value => isEventType(flow, value)),
  protocol: values => byProtocol(values),
  reply: values => flow => flow.isReply !== undefined && values.includes(flow.isReply),
  traffic_direction: values => flow => values.includes(flow.direction === 'UNKNOWN' ? 'TRAFFIC_DIRECTION_UNKNOWN' : flow.direction),
  tcp_flags: values => flow => flow.tcpFlags !== undefined && values.some(value => hasFlags(flow.tcpFlags!, value)),
  node_name: values => byNode(values),
  ip_version: values => flow => values.includes(flow.ipVersion),
  interface: values => flow => values.some(value => value.name === undefined || value.name === flow.interfaceName),
};

type EndpointOf = (flow: Flow) => FlowEndpoint;

function byIp(values: readonly string[], endpointOf: EndpointOf, field: string): FlowPredicate {
  const exact = new Set<string>();
  const prefixes = values.flatMap(value => {
    try {
      const prefix = parsePrefix(value);
      if (value.includes('/')) return [prefix];
    } catch (error) {
      throw filterError(field, `"${value}" is not an address or a prefix`, error);
    }
    exact.add(value.toLowerCase());
    return [];
  });
  return flow => {
    const { ip } = endpointOf(flow);
    if (exact.has(ip)) return true;
    if (prefixes.length === 0 || !isAddr(ip)) return false;
    const addr = parseAddr(ip);
    return prefixes.some(prefix => prefixHas(prefix, addr));
  };
}

/** `ns/prefix`, `ns/`, `/prefix` (any namespace) or `prefix` (namespace default). */
function nameMatcher(value: string): (namespace: string, name: string) => boolean {
  if (value === '') throw filterError('pod', 'an empty name selects nothing; write "ns/" for a whole namespace');
  const slash = value.indexOf('/');
  const wantedNamespace = slash < 0 ? 'default' : value.slice(0, slash);
  const prefix = value.slice(slash + 1);
  return (namespace, name) => (wantedNamespace === '' || wantedNamespace === namespace) && name.startsWith(prefix);
}

function byPod(values: readonly string[], endpointOf: EndpointOf): FlowPredicate {
  const matchers = values.map(nameMatcher);
  return flow => {
    const { namespace, podName } = endpointOf(flow);
    return namespace !== undefined && matchers.some(matches => matches(namespace, podName ?? ''));
  };
}

function byService(values: readonly string[], serviceOf: (flow: Flow) => Flow['service']): FlowPredicate {
  const matchers = values.map(nameMatcher);
  return flow => {
    const service = serviceOf(flow);
    return service !== undefined && matchers.some(matches => matches(service.namespace, service.name));
  };
}

function byName(values: readonly string[], endpointOf: EndpointOf, field: string): FlowPredicate {
  const pattern = globToRegExp(values, message => filterError(field, message));
  return flow => endpointOf(flow).names?.some(name => pattern.test(name.replace(/\.$/, '').toLowerCase())) ?? false;
}

function byLabel(values: readonly string[], endpointOf: EndpointOf): FlowPredicate {
  const selectors = values.map(parseLabelSelector);
  return flow => {
    const { labels } = endpointOf(flow);
    return selectors.some(matches => matches(labels));
  };
}

function byPort(values: readonly string[], portOf: (flow: Flow) => number | undefined, field: string): FlowPredicate {
  const ports = new Set(values.map(value => {
    if (!/^\d{1,5}$/.test(String(value)) || Number(value) > 65_535) throw filterError(field, `"${value}" is not a port`);
    return Number(value);
  }));
  return flow => {
    const port = portOf(flow);
    return port !== undefined && ports.has(port) && !flow.protocol.startsWith('ICMP');
  };
}

const protocols: ReadonlyMap<string, readonly string[]> = new Map([
  ['icmp', ['ICMPv4', 'ICMPv6']],
  ['icmpv4', ['ICMPv4']],
  ['icmpv6', ['ICMPv6']],
  ['tcp', ['TCP']],
  ['udp', ['UDP']],
  ['sctp', ['SCTP']],
  ['vrrp', ['VRRP']],
  ['igmp', ['IGMP']],
  ['dns', ['DNS']],
  ['http', ['HTTP']],
]);

function byProtocol(values: readonly string[]): FlowPredicate {
  const wanted = new Set(values.flatMap(value => {
    const names = protocols.get(value.toLowerCase());
    if (!names) throw filterError('protocol', `unknown protocol "${value}"; known are ${[...protocols.keys()].join(', ')}`);
    return names;
  }));
  return flow => wanted.has(flow.protocol);
}

function byNode(values: readonly string[]): FlowPredicate {
  const pattern = nodeNamePattern(values, message => filterError('node_name', message));
  return flow => pattern.test(flow.nodeName.includes('/') ? flow.nodeName : `default/${flow.nodeName}`);
}

function isReason(flow: Flow, value: string): boolean {
  const name = flow.dropReasonCode === undefined ? undefined : dropReasonName(flow.dropReasonCode).name;
  return name === value || flow.dropReason?.toUpperCase().replace(/[^A-Z0-9]+/g, '_') === value;
}

const typeNumbers: Readonly<Record<Flow['type'], number>> = {
  unknown: 0, drop: EventType.drop, debug: 2, capture: 3, trace: EventType.trace, 'policy-verdict': EventType.policyVerdict, sock: 7, l7: EventType.l7,
};

/** Event type and sub-type of a flow, as Hubble numbers them. */
export function eventTypeOf(flow: Flow): { readonly type: number; readonly subType: number } {
  const subType =
    flow.subType !== undefined ? flow.subType
    : flow.type === 'drop' ? (flow.dropReasonCode ?? 0)
    : flow.type === 'trace' ? Math.max(0, observationPoints.indexOf(flow.observationPoint ?? ''))
    : 0;
  return { type: typeNumbers[flow.type], subType };
}

function isEventType(flow: Flow, wanted: { readonly type?: number; readonly match_sub_type?: boolean; readonly sub_type?: number }): boolean {
  const { type, subType } = eventTypeOf(flow);
  return type === (wanted.type ?? 0) && (wanted.match_sub_type !== true || subType === (wanted.sub_type ?? 0));
}

function hasFlags(flags: readonly TcpFlag[], wanted: Readonly<Partial<Record<TcpFlag, boolean>>>): boolean {
  return (Object.entries(wanted) as [TcpFlag, boolean][]).every(([flag, set]) => !set || flags.includes(flag));
}

function filterError(field: string, message: string, cause?: unknown): CirriError {
  return new CirriError('ERR_FLOW_FILTER', `flow filter ${field}: ${message}`, { cause });
}
