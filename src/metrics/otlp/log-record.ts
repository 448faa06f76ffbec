import type { FlowView } from '../../flows/consumer.ts';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';

/** OTLP's AnyValue in its JSON form: 64-bit integers are text. */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } };

export interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

/** opentelemetry.proto.logs.v1.LogRecord, proto3 JSON as OTLP has it: lowerCamelCase, ids in hex, enums as numbers. */
export interface LogRecord {
  readonly timeUnixNano: string;
  readonly observedTimeUnixNano: string;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: AnyValue;
  readonly attributes: readonly KeyValue[];
  readonly traceId?: string;
  readonly eventName: string;
}

const info = { severityNumber: 9, severityText: 'INFO' };
const warn = { severityNumber: 13, severityText: 'WARN' };

/**
 * A flow as a log record: OpenTelemetry's semantic conventions where they have a name (network, source, destination, http, url,
 * dns, k8s below source and destination), `hubble.` for the rest. `observedMs`: milliseconds since 1970.
 */
export function logRecord(flow: FlowView, observedMs: number): LogRecord {
  return { ...head(flow, observedMs), attributes: [...endAttributes(flow.source, 'source'), ...endAttributes(flow.destination, 'destination'), ...attributes(flow)] };
}

/** `JSON.stringify(logRecord(…))`; what ends look like is written once and kept with them. */
export function logLine(flow: FlowView, observedMs: number): string {
  const rest = JSON.stringify(attributes(flow)).slice(1);
  return `${JSON.stringify(head(flow, observedMs)).slice(0, -1)},"attributes":[${endText(flow.source, 'source')},${endText(flow.destination, 'destination')},${rest}}`;
}

function head(flow: FlowView, observedMs: number): Omit<LogRecord, 'attributes'> {
  const traceId = flow.traceId !== undefined && /^[0-9a-fA-F]{32}$/.test(flow.traceId) ? flow.traceId.toLowerCase() : undefined;
  return {
    timeUnixNano: `${flow.seconds}${String(flow.nanos).padStart(9, '0')}`,
    observedTimeUnixNano: `${Math.floor(observedMs)}000000`,
    ...(flow.verdict === 'DROPPED' || flow.verdict === 'ERROR' ? warn : info),
    body: { stringValue: sentence(flow) },
    ...(traceId === undefined ? {} : { traceId }),
    eventName: 'hubble.flow',
  };
}

/** `shop/web:40000 -> shop/db:5432 to-endpoint FORWARDED (TCP Flags: SYN)`. */
function sentence(flow: Flow): string {
  const kind = flow.type === 'drop' ? flow.dropReason ?? 'dropped' : flow.type === 'trace' ? flow.observationPoint ?? 'trace' : flow.type;
  return `${endName(flow.source, flow.sourcePort)} ${flow.isReply === true ? '<-' : '->'} ${endName(flow.destination, flow.destinationPort)} ${kind} ${flow.verdict} (${flow.summary})`;
}

function endName(end: FlowEndpoint, port: number | undefined): string {
  const name = end.podName === undefined ? end.names?.[0] ?? (end.ip.includes(':') ? `[${end.ip}]` : end.ip) : `${end.namespace ?? ''}/${end.podName}`;
  return port === undefined ? name : `${name}:${port}`;
}

/** Gathers attributes; what is not there is no attribute. */
function gather() {
  const list: KeyValue[] = [];
  return {
    list,
    text: (key: string, value: string | undefined) => value !== undefined && value !== '' && void list.push({ key, value: { stringValue: value } }),
    integer: (key: string, value: number | undefined) => value !== undefined && void list.push({ key, value: { intValue: String(Math.trunc(value)) } }),
    texts: (key: string, values: readonly string[] | undefined) => values !== undefined && values.length > 0 && void list.push({ key, value: { arrayValue: { values: values.map(stringValue => ({ stringValue })) } } }),
  };
}

function attributes(flow: Flow): KeyValue[] {
  const { list, text, integer, texts } = gather();
  text('network.type', flow.ipVersion.toLowerCase());
  text('network.transport', transports[flow.protocol]);
  text('network.protocol.name', flow.l7?.dns ? 'dns' : flow.l7?.http ? 'http' : flow.l7?.kafka ? 'kafka' : undefined);
  integer('source.port', flow.sourcePort);
  integer('destination.port', flow.destinationPort);
  text('hubble.uuid', flow.id);
  text('hubble.verdict', flow.verdict);
  text('hubble.type', flow.type);
  text('hubble.observation_point', flow.observationPoint);
  text('hubble.traffic_direction', flow.direction === 'UNKNOWN' ? undefined : flow.direction);
  if (flow.isReply !== undefined) list.push({ key: 'hubble.is_reply', value: { boolValue: flow.isReply } });
  text('hubble.drop_reason', flow.dropReason);
  integer('hubble.drop_reason_code', flow.dropReasonCode);
  texts('hubble.tcp_flags', flow.tcpFlags);
  text('hubble.service', flow.service && `${flow.service.namespace}/${flow.service.name}`);
  text('hubble.policy', flow.rule && `${flow.rule.kind}/${flow.rule.namespace === undefined ? '' : `${flow.rule.namespace}/`}${flow.rule.name}`);
  text('hubble.policy.effect', flow.rule?.effect);
  text('hubble.policy.match', flow.policyMatch);
  const { dns, http, kafka } = flow.l7 ?? {};
  text('dns.question.name', dns?.query);
  texts('dns.question.types', dns?.qtypes);
  texts('dns.answers', dns?.ips);
  integer('dns.response_code', flow.isReply === true ? dns?.rcode : undefined);
  text('http.request.method', http?.method);
  integer('http.response.status_code', http?.code);
  text('url.full', http?.url);
  text('messaging.destination.name', kafka?.topic);
  integer('hubble.latency_ns', flow.l7?.latencyNs);
  text('hubble.l7.carried_by', flow.inKernel && 'kernel');
  integer('hubble.connect_latency_ns', flow.connectLatencyNs);
  const { connection } = flow;
  if (connection) {
    text('hubble.connection.end', connection.end);
    integer('hubble.connection.bytes_sent', connection.bytesOut);
    integer('hubble.connection.bytes_received', connection.bytesBack);
    integer('hubble.connection.packets_sent', connection.packetsOut);
    integer('hubble.connection.packets_received', connection.packetsBack);
    integer('hubble.connection.duration_ns', connection.durationNs);
  }
  return list;
}

type Role = 'source' | 'destination';

function endAttributes(end: FlowEndpoint, role: Role): KeyValue[] {
  const { list, text, integer, texts } = gather();
  text(`${role}.address`, end.ip);
  text(`${role}.k8s.namespace.name`, end.namespace);
  text(`${role}.k8s.pod.name`, end.podName);
  text(`${role}.k8s.workload.name`, end.workloads?.[0]?.name);
  text(`${role}.k8s.workload.kind`, end.workloads?.[0]?.kind);
  integer(`${role}.hubble.identity`, end.identity);
  texts(`${role}.hubble.labels`, end.labels);
  texts(`${role}.dns.names`, end.names);
  return list;
}

const endTexts: Readonly<Record<Role, WeakMap<FlowEndpoint, string>>> = { source: new WeakMap(), destination: new WeakMap() };

/** Without the brackets; never empty, as there is always an identity. */
function endText(end: FlowEndpoint, role: Role): string {
  const texts = endTexts[role];
  let text = texts.get(end);
  if (text === undefined) texts.set(end, text = JSON.stringify(endAttributes(end, role)).slice(1, -1));
  return text;
}

const transports: Readonly<Record<string, string>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp', ICMPv4: 'icmp', ICMPv6: 'icmpv6' };
