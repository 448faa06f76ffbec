import type { Flow, FlowConnection, FlowEndpoint, FlowL7, FlowPolicy } from '../model/flow.ts';
import { policyMatches } from './enrich.ts';
import { eventTypeOf } from './filter.ts';
import { capturePoints } from './flow-words.ts';
import { dropReasonName } from './reasons.ts';

/**
 * proto3 JSON of `observer.GetFlowsResponse` with the field names of the .proto files, in their order: what Hubble's clients and
 * exporters read. Fields with protobuf's zero are left out, 64-bit numbers are text. `cirri` holds what Hubble has no field for.
 */
export interface FlowResponseJson {
  readonly flow: Readonly<Record<string, unknown>>;
  readonly node_name: string;
  readonly time: string;
}

export type Json = Readonly<Record<string, unknown>>;

export function flowToJson(flow: Flow): FlowResponseJson {
  const time = trimTime(flow.time);
  return { flow: bodyOf(flow, time), node_name: flow.nodeName, time };
}

function bodyOf(flow: Flow, time: string): Json {
  const { type, subType } = eventTypeOf(flow);
  const services = flow.services ?? (flow.service && { [flow.isReply === true ? 'source' : 'destination']: flow.service }) ?? {};
  return unset({
    time,
    uuid: flow.id,
    verdict: flow.verdict === 'VERDICT_UNKNOWN' ? undefined : flow.verdict,
    drop_reason: flow.dropReasonCode,
    auth_type: flow.authType === 'DISABLED' ? undefined : flow.authType,
    ethernet: flow.ethernet && unset({ source: flow.ethernet.source, destination: flow.ethernet.destination }),
    IP: ipJson(flow),
    l4: l4Json(flow),
    tunnel: flow.tunnel && tunnelJson(flow.tunnel),
    source: endpointJson(flow.source),
    destination: endpointJson(flow.destination),
    Type: typeWord(flow),
    node_name: flow.nodeName,
    node_labels: flow.nodeLabels,
    source_names: flow.source.names,
    destination_names: flow.destination.names,
    l7: flow.l7 && l7Json(flow.l7),
    event_type: type === 0 && subType === 0 ? undefined : unset({ type, sub_type: subType }),
    source_service: services.source && unset({ name: services.source.name, namespace: services.source.namespace }),
    destination_service: services.destination && unset({ name: services.destination.name, namespace: services.destination.namespace }),
    traffic_direction: flow.direction === 'UNKNOWN' ? undefined : flow.direction,
    policy_match_type: flow.policyMatch === undefined ? undefined : Math.max(0, policyMatches.indexOf(flow.policyMatch)),
    trace_observation_point: flow.observationPoint?.toUpperCase().replaceAll('-', '_'),
    trace_reason: flow.traceReason === 'unknown' ? undefined : flow.traceReason?.toUpperCase(),
    file: flow.file && unset({ name: flow.file.name, line: flow.file.line }),
    ip_trace_id: flow.ipTraceId === undefined ? undefined : unset({ trace_id: String(flow.ipTraceId), ip_option_type: flow.ipTraceOption }),
    drop_reason_desc: reasonName(flow),
    is_reply: flow.isReply ?? undefined,
    debug_capture_point: flow.type === 'capture' ? capturePoints[subType] : undefined,
    interface: flow.interfaceName === undefined && flow.interfaceIndex === undefined ? undefined : unset({ index: flow.interfaceIndex, name: flow.interfaceName }),
    proxy_port: flow.proxyPort,
    trace_context: flow.traceId === undefined ? undefined : { parent: { trace_id: flow.traceId } },
    sock_xlate_point: flow.socketTranslation,
    socket_cookie: flow.socketCookie ? String(flow.socketCookie) : undefined,
    cgroup_id: flow.cgroupId ? String(flow.cgroupId) : undefined,
    Summary: flow.summary,
    egress_allowed_by: flow.egressAllowedBy?.map(policyJson),
    ingress_allowed_by: flow.ingressAllowedBy?.map(policyJson),
    egress_denied_by: flow.egressDeniedBy?.map(policyJson),
    ingress_denied_by: flow.ingressDeniedBy?.map(policyJson),
    policy_log: flow.policyLog,
    cirri: detailsJson(flow),
  }, ['is_reply']);
}

function typeWord(flow: Flow): string | undefined {
  if (flow.l7 !== undefined || flow.type === 'l7') return 'L7';
  if (flow.type === 'sock') return 'SOCK';
  return flow.type === 'unknown' && flow.protocol === '' ? undefined : 'L3_L4';
}

/** Absent where there is no IP in it. */
function ipJson({ source, destination, ipVersion, sourceXlated, encrypted }: Flow): Json | undefined {
  const ip = unset({
    source: source.ip, source_xlated: sourceXlated, destination: destination.ip, encrypted: encrypted === true ? true : undefined,
    ipVersion: ipVersion === 'IPv4' || ipVersion === 'IPv6' ? ipVersion : undefined,
  });
  return Object.keys(ip).length === 0 ? undefined : ip;
}

export function l4Json(flow: Flow): Json | undefined {
  const ports = { source_port: flow.sourcePort, destination_port: flow.destinationPort };
  switch (flow.protocol) {
    case 'TCP': {
      const flags = flow.tcpFlags ?? [];
      return { TCP: unset({ ...ports, flags: flags.length === 0 ? undefined : Object.fromEntries(tcpFlagOrder.filter(flag => flags.includes(flag)).map(flag => [flag, true])) }) };
    }
    case 'UDP': return { UDP: unset(ports) };
    case 'SCTP': return { SCTP: unset({ ...ports, chunk_type: flow.sctpChunkType === 'UNSUPPORTED' ? undefined : flow.sctpChunkType }) };
    case 'ICMPv4': case 'ICMPv6': return { [flow.protocol]: unset({ type: flow.icmpType, code: flow.icmpCode }) };
    case 'VRRP': case 'IGMP': return { [flow.protocol]: {} };
    default: return undefined;
  }
}

/** In flow.proto's order, not in that of printing. */
const tcpFlagOrder = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS'] as const;

function tunnelJson({ protocol, source, destination, vni }: NonNullable<Flow['tunnel']>): Json {
  const ip = unset({ source, destination, ipVersion: source === '' ? undefined : source.includes(':') ? 'IPv6' : 'IPv4' });
  return unset({ protocol: protocol === 'UNKNOWN' ? undefined : protocol, IP: Object.keys(ip).length === 0 ? undefined : ip, vni });
}

export function endpointJson(end: FlowEndpoint): Json | undefined {
  const json = unset({
    ID: end.id, identity: end.identity, cluster_name: end.clusterName, namespace: end.namespace, labels: end.labels, pod_name: end.podName,
    workloads: end.workloads?.map(({ name, kind }) => unset({ name, kind })),
  });
  return Object.keys(json).length === 0 ? undefined : json;
}

export function l7Json({ type, latencyNs, dns, http, kafka }: FlowL7): Json {
  return unset({
    type: type === 'UNKNOWN_L7_TYPE' ? undefined : type,
    latency_ns: latencyNs === undefined || latencyNs === 0 ? undefined : String(latencyNs),
    dns: dns && unset({
      query: dns.query, ips: dns.ips, ttl: dns.ttl, cnames: dns.cnames, observation_source: dns.observationSource, rcode: dns.rcode, qtypes: dns.qtypes, rrtypes: dns.rrtypes,
    }),
    http: http && unset({ code: http.code, method: http.method, url: http.url, protocol: http.protocol, headers: http.headers?.map(({ key, value }) => unset({ key, value })) }),
    kafka: kafka && unset({ error_code: kafka.errorCode, api_version: kafka.apiVersion, api_key: kafka.apiKey, correlation_id: kafka.correlationId, topic: kafka.topic }),
  });
}

export function reasonName(flow: Flow): string | undefined {
  const { dropReasonCode, dropReason } = flow;
  if (dropReasonCode !== undefined && dropReasonCode !== 0) return dropReasonName(dropReasonCode).name;
  return dropReason?.toUpperCase().replace(/[^A-Z0-9]+/g, '_');
}

export function policyJson({ name, namespace, labels, revision, kind }: FlowPolicy): Json {
  return unset({ name, namespace, labels, revision: revision === undefined || revision === 0 ? undefined : String(revision), kind });
}

export function detailsJson({ rule, shadow, connection, connectLatencyNs, service, inKernel }: Flow): Json | undefined {
  const json = unset({
    rule: rule && unset({ id: rule.id, kind: rule.kind, namespace: rule.namespace, name: rule.name, path: rule.path, effect: rule.effect, because: rule.because }),
    shadow: shadow === undefined ? undefined : `SHADOW_${shadow.toUpperCase()}`,
    connection: connection && connectionJson(connection),
    connect_latency_ns: connectLatencyNs === undefined || connectLatencyNs === 0 ? undefined : String(connectLatencyNs),
    packetless: connection?.end === 'idle' || connection?.end === 'revoked' ? true : undefined,
    service_ip: service?.ip,
    service_port: service?.port,
    in_kernel: inKernel,
  });
  return Object.keys(json).length === 0 ? undefined : json;
}

function connectionJson(connection: FlowConnection): Json {
  const text = (count: number) => (count === 0 ? undefined : String(count));
  return unset({
    packets_out: text(connection.packetsOut), bytes_out: text(connection.bytesOut), packets_back: text(connection.packetsBack), bytes_back: text(connection.bytesBack),
    duration_ns: text(connection.durationNs), end: `CONNECTION_END_${connection.end.toUpperCase()}`,
  });
}

/** protobuf's JSON form of a timestamp: 0, 3, 6 or 9 digits. */
export function trimTime(time: string): string {
  return time.replace(/\.(\d{3})(\d{3})(\d{3})Z$/, (_, a: string, b: string, c: string) =>
    c !== '000' ? `.${a}${b}${c}Z` : b !== '000' ? `.${a}${b}Z` : a !== '000' ? `.${a}Z` : 'Z');
}

/** Without what has protobuf's zero, which is not written. */
function unset(value: Json, kept: readonly string[] = []): Json {
  const json: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(value)) {
    if (entry === undefined || (!kept.includes(name) && (entry === '' || entry === 0 || entry === false || (Array.isArray(entry) && entry.length === 0)))) continue;
    json[name] = entry;
  }
  return json;
}
