import type { Flow, FlowEndpoint, FlowRule, TcpFlag } from '../model/flow.ts';
import { EventType, Protocol, type FlowEvent } from './event.ts';
import { icmpName } from './icmp.ts';
import { dropReasonName } from './reasons.ts';

/** What the node knows about numbers and addresses at the moment an event is seen. Every look-up is synchronous and cheap. */
export interface FlowLookups {
  /** Labels of an identity, `k8s:app=x`. The same array for the same identity, so that flows share it. */
  identityLabels(identity: number): readonly string[] | undefined;
  podByAddr(ip: string): { readonly namespace: string; readonly name: string } | undefined;
  serviceByAddr(ip: string, port: number, protocol: 'TCP' | 'UDP' | 'SCTP'): { readonly namespace: string; readonly name: string } | undefined;
  /** DNS names under which the address was handed out. */
  namesOf(ip: string): readonly string[] | undefined;
  rule(id: number): FlowRule | undefined;
  interfaceName(ifindex: number): string | undefined;
  /** Enum name of a drop reason of our own (220 and up). */
  dropReason(code: number): string | undefined;
}

export interface EnrichOptions {
  readonly nodeName: string;
  /** Nanoseconds to add to CLOCK_MONOTONIC for the time since 1970. */
  readonly clockOffsetNs: bigint;
  /** Tells two events of the same nanosecond apart. */
  readonly sequence: number;
}

const noLabels: readonly string[] = [];
const noName = () => undefined;

/** Look-ups of a node that knows nothing yet. */
export const emptyLookups: FlowLookups = {
  identityLabels: noName,
  podByAddr: noName,
  serviceByAddr: noName,
  namesOf: noName,
  rule: noName,
  interfaceName: noName,
  dropReason: noName,
};

/** Event + look-ups → flow. Pure. */
export function enrich(event: FlowEvent, lookups: FlowLookups, options: EnrichOptions): Flow {
  const protocol = protocolName(event.protocol);
  const isIcmp = event.protocol === Protocol.icmp || event.protocol === Protocol.icmp6;
  // An echo's identifier stands where the client's port would: it tells two pings apart.
  const hasPorts = event.sourcePort !== 0 || event.destinationPort !== 0;
  const wallNs = event.timeNs + options.clockOffsetNs;
  const type = event.type === EventType.drop ? 'drop' : event.type === EventType.trace ? 'trace' : 'policy-verdict';
  const rule = event.rule === 0 ? undefined : lookups.rule(event.rule);
  const interfaceName = event.ifindex === 0 ? undefined : lookups.interfaceName(event.ifindex);
  const service = serviceOf(event, protocol, lookups);
  const policyMatch = (type === 'policy-verdict' || event.rule !== 0) && !event.shadow ? policyMatches[event.match] : undefined;
  return {
    time: formatTimeNs(wallNs),
    nodeName: options.nodeName,
    verdict: verdictOf(event),
    type,
    ...(type === 'drop' && { dropReason: dropReasonName(event.reasonOrPoint, lookups.dropReason).text, dropReasonCode: event.reasonOrPoint }),
    ...(type === 'trace' && { observationPoint: observationPoints[event.reasonOrPoint] ?? `point-${event.reasonOrPoint}` }),
    direction: event.direction === 1 ? 'INGRESS' : event.direction === 2 ? 'EGRESS' : 'UNKNOWN',
    isReply: event.reply,
    ipVersion: event.ipv6 || event.source.includes(':') ? 'IPv6' : 'IPv4',
    protocol,
    source: endpointOf(event.source, event.sourceIdentity, event.sourceEndpoint, lookups),
    destination: endpointOf(event.destination, event.destinationIdentity, event.destinationEndpoint, lookups),
    ...(hasPorts && { sourcePort: event.sourcePort, destinationPort: event.destinationPort }),
    ...(event.protocol === Protocol.tcp && { tcpFlags: tcpFlagsOf(event.tcpFlags) }),
    ...(isIcmp && { icmpType: event.icmpType, icmpCode: event.icmpCode }),
    ...(service && { service }),
    ...(policyMatch !== undefined && { policyMatch }),
    ...(rule && { rule }),
    ...(event.shadow && { shadow: event.verdict === 2 ? 'deny' as const : 'allow' as const }),
    summary: summaryOf(event, protocol),
    ...(interfaceName !== undefined && { interfaceName }),
    id: `${options.nodeName}-${wallNs.toString(36)}-${(options.sequence % 1296).toString(36)}`,
  };
}

/** RFC 3339 in UTC with nine digits. */
export function formatTimeNs(wallNs: bigint): string {
  const milliseconds = wallNs / 1_000_000n;
  const rest = Number(wallNs % 1_000_000n);
  const text = new Date(Number(milliseconds)).toISOString();
  return `${text.slice(0, -1)}${String(rest).padStart(6, '0')}Z`;
}

/** TCP flags in Hubble's order of printing. */
export function tcpFlagsOf(bits: number): readonly TcpFlag[] {
  return (tcpFlagCache[bits] ??= tcpFlagBits.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name));
}

/** IANA number → Hubble's protocol word. */
export function protocolName(protocol: number): string {
  switch (protocol) {
    case Protocol.tcp: return 'TCP';
    case Protocol.udp: return 'UDP';
    case Protocol.sctp: return 'SCTP';
    case Protocol.icmp: return 'ICMPv4';
    case Protocol.icmp6: return 'ICMPv6';
    default: return `IP-${protocol}`;
  }
}

/** Names of `policy_match_type`, by number. */
export const policyMatches: readonly string[] = ['none', 'L3-Only', 'L3-L4', 'L4-Only', 'all', 'L3-Proto', 'Proto-Only'];

/** Names of trace observation points as the monitor counts them (to-endpoint is 0 there and 101 in flow.proto). */
export const observationPoints: readonly string[] = [
  'to-endpoint', 'to-proxy', 'to-host', 'to-stack', 'to-overlay', 'from-endpoint', 'from-proxy', 'from-host', 'from-stack',
  'from-overlay', 'from-network', 'to-network', 'from-crypto', 'to-crypto',
];

const tcpFlagBits: readonly (readonly [number, TcpFlag])[] = [
  [0x02, 'SYN'], [0x10, 'ACK'], [0x04, 'RST'], [0x01, 'FIN'], [0x08, 'PSH'], [0x20, 'URG'], [0x40, 'ECE'], [0x80, 'CWR'],
];
const tcpFlagCache: (readonly TcpFlag[])[] = [];

function verdictOf(event: FlowEvent): Flow['verdict'] {
  if (event.type === EventType.drop) return 'DROPPED';
  if (event.type === EventType.trace) return 'FORWARDED';
  if (event.shadow) return 'TRACED';
  if (event.audit || event.verdict === 4) return 'AUDIT';
  if (event.verdict === 2) return 'DROPPED';
  return event.verdict === 3 ? 'REDIRECTED' : 'FORWARDED';
}

function endpointOf(ip: string, identity: number, id: number, lookups: FlowLookups): FlowEndpoint {
  const pod = lookups.podByAddr(ip);
  const names = pod ? undefined : lookups.namesOf(ip);
  return {
    ip,
    identity,
    id,
    ...(pod && { namespace: pod.namespace, podName: pod.name }),
    labels: lookups.identityLabels(identity) ?? noLabels,
    ...(names && names.length > 0 && { names }),
  };
}

function serviceOf(event: FlowEvent, protocol: string, lookups: FlowLookups): Flow['service'] {
  if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP') return undefined;
  // A drop before translation (no backend) still has the service as its destination.
  const ip = event.service ?? event.destination;
  const port = event.service === undefined ? event.destinationPort : event.servicePort;
  const service = lookups.serviceByAddr(ip, port, protocol);
  return service && { namespace: service.namespace, name: service.name, ip, port };
}

function summaryOf(event: FlowEvent, protocol: string): string {
  if (event.protocol === Protocol.tcp) return `TCP Flags: ${tcpFlagsOf(event.tcpFlags).join(', ')}`;
  if (event.protocol === Protocol.icmp || event.protocol === Protocol.icmp6) {
    return `${protocol} ${icmpName(protocol, event.icmpType, event.icmpCode)}`;
  }
  return protocol;
}
