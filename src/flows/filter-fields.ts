import type { Flow, TcpFlag } from '../model/flow.ts';
import { eventSubTypeOf, eventTypeNumber } from './event-type.ts';
import { filterError } from './filter-error.ts';
import { addressMatcher } from './filter-ends.ts';
import type { FlowFilter, FlowPredicate } from './filter.ts';
import { parseLabelSelector } from './label-selector.ts';
import { nodeNamePattern } from './pattern.ts';
import { dropReasonCodes, dropReasonName } from './reasons.ts';
import { compilePatterns } from './regex.ts';

const verdicts = ['VERDICT_UNKNOWN', 'FORWARDED', 'DROPPED', 'ERROR', 'AUDIT', 'REDIRECTED', 'TRACED', 'TRANSLATED'];
const directions = ['TRAFFIC_DIRECTION_UNKNOWN', 'INGRESS', 'EGRESS'];
const ipVersions = ['IP_NOT_USED', 'IPv4', 'IPv6'];

/** Enum words of flow.proto; a number that has no word here is somebody's newer one, which no flow of ours has. */
function words(field: string, values: readonly unknown[], known: readonly string[]): ReadonlySet<string> {
  for (const value of values) {
    if (typeof value !== 'number' && !known.includes(String(value))) throw filterError(field, `"${String(value)}" is not one of ${known.join(', ')}`);
  }
  return new Set(values.map(value => (typeof value === 'number' ? known[value] ?? '' : String(value))));
}

export function byVerdict(values: readonly string[]): FlowPredicate {
  const wanted = words('verdict', values, verdicts);
  return flow => wanted.has(flow.verdict);
}

export function byDirection(values: readonly string[]): FlowPredicate {
  const wanted = words('traffic_direction', values, directions);
  return flow => wanted.has(flow.direction === 'UNKNOWN' ? 'TRAFFIC_DIRECTION_UNKNOWN' : flow.direction);
}

export function byIpVersion(values: readonly string[]): FlowPredicate {
  const wanted = words('ip_version', values, ipVersions);
  return flow => wanted.has(flow.ipVersion);
}

/** Of dropped flows only. Names are flow.proto's and our own. */
export function byReason(values: readonly (string | number)[]): FlowPredicate {
  const codes = new Set<number>();
  const names = new Set<string>();
  for (const value of values) {
    if (typeof value === 'number') codes.add(value);
    else if (!/^[A-Z0-9_]+$/.test(value)) throw filterError('drop_reason_desc', `"${value}" is not the name of a reason (POLICY_DENIED)`);
    else {
      names.add(value);
      const code = dropReasonCodes.get(value);
      if (code !== undefined) codes.add(code);
    }
  }
  return flow => {
    if (flow.verdict !== 'DROPPED') return false;
    const { dropReasonCode: code } = flow;
    if (code !== undefined) return codes.has(code) || names.has(dropReasonName(code).name);
    return flow.dropReason !== undefined && names.has(flow.dropReason.toUpperCase().replace(/[^A-Z0-9]+/g, '_'));
  };
}

export function byEventType(values: NonNullable<FlowFilter['event_type']>): FlowPredicate {
  return flow => {
    const type = eventTypeNumber(flow);
    for (const wanted of values) {
      if (type === (wanted.type ?? 0) && (wanted.match_sub_type !== true || eventSubTypeOf(flow) === (wanted.sub_type ?? 0))) return true;
    }
    return false;
  };
}

const protocols: Readonly<Record<string, (flow: Flow) => boolean>> = {
  icmp: flow => flow.protocol === 'ICMPv4' || flow.protocol === 'ICMPv6',
  icmpv4: flow => flow.protocol === 'ICMPv4',
  icmpv6: flow => flow.protocol === 'ICMPv6',
  tcp: flow => flow.protocol === 'TCP',
  udp: flow => flow.protocol === 'UDP',
  sctp: flow => flow.protocol === 'SCTP',
  vrrp: flow => flow.protocol === 'VRRP',
  igmp: flow => flow.protocol === 'IGMP',
  dns: flow => flow.l7?.dns !== undefined,
  http: flow => flow.l7?.http !== undefined,
  kafka: flow => flow.l7?.kafka !== undefined,
};

export function byProtocol(values: readonly string[]): FlowPredicate {
  const wanted = values.map(value => {
    const matches = Object.hasOwn(protocols, value.toLowerCase()) ? protocols[value.toLowerCase()] : undefined;
    if (!matches) throw filterError('protocol', `unknown protocol "${value}"; known are ${Object.keys(protocols).join(', ')}`);
    return matches;
  });
  return flow => wanted.some(matches => matches(flow));
}

/** Ports are TCP's, UDP's and SCTP's; one that a flow does not tell is 0, as in protobuf. */
export function byPort(values: readonly string[], portOf: (flow: Flow) => number | undefined, field: string): FlowPredicate {
  const ports = new Set(values.map(value => {
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) throw filterError(field, `invalid port "${value}"`);
    return Number(value);
  }));
  return flow => {
    const { protocol } = flow;
    return (protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP') && ports.has(portOf(flow) ?? 0);
  };
}

/** All flags that are set in one of the values must be set in the packet. */
export function byFlags(values: NonNullable<FlowFilter['tcp_flags']>): FlowPredicate {
  const wanted = values.map(value => (Object.entries(value) as [TcpFlag, boolean][]).filter(([, set]) => set).map(([flag]) => flag));
  return flow => {
    const { tcpFlags } = flow;
    if (tcpFlags === undefined) return false;
    for (const flags of wanted) if (flags.every(flag => tcpFlags.includes(flag))) return true;
    return false;
  };
}

/** A flow's node without a cluster is one of the cluster `default`. */
export function byNode(values: readonly string[]): FlowPredicate {
  const matches = compilePatterns('node_name', [nodeNamePattern(values, message => filterError('node_name', message))]);
  let lastName: string | undefined;
  let last = false;
  return ({ nodeName }) => {
    if (nodeName !== lastName) {
      lastName = nodeName;
      last = matches((nodeName.includes('/') ? nodeName : `default/${nodeName}`).toLowerCase());
    }
    return last;
  };
}

export function byNodeLabels(values: readonly string[]): FlowPredicate {
  const selectors = values.map(parseLabelSelector);
  let lastLabels: readonly string[] | undefined;
  let last = selectors.some(matches => matches([]));
  return ({ nodeLabels }) => {
    if (nodeLabels !== lastLabels) {
      lastLabels = nodeLabels;
      last = selectors.some(matches => matches(nodeLabels ?? []));
    }
    return last;
  };
}

/** Without name and index, any device that a flow tells of. */
export function byInterface(values: NonNullable<FlowFilter['interface']>): FlowPredicate {
  return flow => {
    const { interfaceName, interfaceIndex } = flow;
    if (interfaceName === undefined && interfaceIndex === undefined) return false;
    return values.some(({ name = '', index = 0 }) => (name === '' || name === interfaceName) && (index === 0 || index === interfaceIndex));
  };
}

export function byXlated(values: readonly string[]): FlowPredicate {
  const has = addressMatcher(values, 'source_ip_xlated');
  return ({ sourceXlated }) => sourceXlated !== undefined && has(sourceXlated);
}

export function byIdentity(values: readonly number[], identityOf: (flow: Flow) => number, field: string): FlowPredicate {
  for (const value of values) if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw filterError(field, `"${String(value)}" is not an identity`);
  const wanted = new Set(values);
  return flow => wanted.has(identityOf(flow));
}

/** IP options' trace ids: numbers, as text where they come from JSON. */
export function byIpTraceId(values: readonly (number | string)[]): FlowPredicate {
  const wanted = new Set(values.map(value => {
    if (!/^\d{1,20}$/.test(String(value))) throw filterError('ip_trace_id', `"${String(value)}" is not a trace id`);
    return Number(value);
  }));
  return flow => flow.ipTraceId !== undefined && wanted.has(flow.ipTraceId);
}

export function byTraceId(values: readonly string[]): FlowPredicate {
  const wanted = new Set(values.filter(value => value !== ''));
  return flow => flow.traceId !== undefined && wanted.has(flow.traceId);
}

export function byUuid(values: readonly string[]): FlowPredicate {
  const wanted = new Set(values);
  return flow => wanted.has(flow.id);
}
