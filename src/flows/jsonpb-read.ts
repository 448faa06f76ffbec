import type { Flow, FlowConnection, FlowEndpoint, FlowL7, FlowPolicy, FlowRule, FlowService, TcpFlag } from '../model/flow.ts';
import { observationPoints, policyMatches } from './enrich.ts';
import { capturePoints, eventWords } from './flow-words.ts';
import type { Json } from './jsonpb.ts';
import { canonicalTime } from './query.ts';
import { dropReasonCodes, dropReasonName } from './reasons.ts';

/**
 * The inverse of `flowToJson`, for files of flows, servers' answers and filters tried on other people's data. What is missing
 * gets the value that protobuf gives it. Accepts a response with its `flow` or the flow alone.
 */
export function flowFromJson(json: unknown): Flow {
  const outer = record(json);
  const body = record('flow' in outer ? outer['flow'] : outer);
  const ip = record(body['IP']);
  const type = typeOf(body);
  const l4 = Object.entries(record(body['l4']))[0];
  const isReply = body['is_reply'];
  const source = endpointFrom(ip['source'], body['source'], body['source_names']);
  const destination = endpointFrom(ip['destination'], body['destination'], body['destination_names']);
  const time = text(body['time']) ?? text(outer['time']);
  return defined<Flow>({
    time: time === undefined ? '1970-01-01T00:00:00.000000000Z' : canonicalTime(time),
    nodeName: text(body['node_name']) ?? text(outer['node_name']) ?? '',
    nodeLabels: texts(body['node_labels']),
    verdict: (text(body['verdict']) ?? 'VERDICT_UNKNOWN') as Flow['verdict'],
    type,
    ...reasonFrom(body, type),
    direction: (text(body['traffic_direction']) ?? 'UNKNOWN') as Flow['direction'],
    isReply: typeof isReply === 'boolean' ? isReply : undefined,
    ipVersion: (text(ip['ipVersion']) ?? 'IP_NOT_USED') as Flow['ipVersion'],
    protocol: l4?.[0] ?? '',
    source, destination,
    ...layer4From(l4?.[0] ?? '', record(l4?.[1])),
    ethernet: present(body['ethernet'], end => ({ source: text(end['source']) ?? '', destination: text(end['destination']) ?? '' })),
    sourceXlated: text(ip['source_xlated']),
    encrypted: ip['encrypted'] === true ? true : undefined,
    tunnel: present(body['tunnel'], tunnelFrom),
    authType: text(body['auth_type']) as Flow['authType'],
    l7: present(body['l7'], l7From),
    traceId: text(record(record(body['trace_context'])['parent'])['trace_id']),
    ipTraceId: present(body['ip_trace_id'], id => number(id['trace_id'])),
    ipTraceOption: count(record(body['ip_trace_id'])['ip_option_type']),
    proxyPort: count(body['proxy_port']),
    file: present(body['file'], file => ({ name: text(file['name']) ?? '', line: number(file['line']) })),
    socketTranslation: text(body['sock_xlate_point']),
    socketCookie: big(body['socket_cookie']),
    cgroupId: big(body['cgroup_id']),
    egressAllowedBy: policiesFrom(body['egress_allowed_by']),
    ingressAllowedBy: policiesFrom(body['ingress_allowed_by']),
    egressDeniedBy: policiesFrom(body['egress_denied_by']),
    ingressDeniedBy: policiesFrom(body['ingress_denied_by']),
    policyLog: texts(body['policy_log']),
    policyMatch: matchFrom(body, type),
    ...servicesFrom(body, isReply === true),
    ...detailsFrom(record(body['cirri'])),
    summary: text(body['Summary']) ?? '',
    interfaceName: text(record(body['interface'])['name']),
    interfaceIndex: count(record(body['interface'])['index']),
    id: text(body['uuid']) ?? '',
  });
}

function typeOf(body: Json): Flow['type'] {
  const event = number(record(body['event_type'])['type']);
  return eventWords.get(event) ?? (event !== 0 ? 'unknown' : body['Type'] === 'L7' || body['l7'] !== undefined ? 'l7' : body['Type'] === 'SOCK' ? 'sock' : 'unknown');
}

/** Reason, observation point, capture point: what the event's sub-type stands for, and the sub-type where it says something else. */
function reasonFrom(body: Json, type: Flow['type']): Partial<Flow> {
  const sub = count(record(body['event_type'])['sub_type']) ?? 0;
  const name = text(body['drop_reason_desc']);
  const code = count(body['drop_reason']) ?? (name === undefined ? undefined : dropReasonCodes.get(name));
  const reason = {
    dropReasonCode: code,
    dropReason: code !== undefined ? dropReasonName(code).text : name,
  };
  const subType = (implied: number) => (sub === implied ? undefined : sub);
  switch (type) {
    case 'drop': return { ...reason, subType: subType(code ?? 0) };
    case 'trace': {
      const point = text(body['trace_observation_point'])?.toLowerCase().replaceAll('_', '-') ?? observationPoints[sub];
      return { ...reason, observationPoint: point, traceReason: text(body['trace_reason'])?.toLowerCase() as Flow['traceReason'], subType: subType(Math.max(0, observationPoints.indexOf(point ?? ''))) };
    }
    case 'capture': {
      const point = Object.entries(capturePoints).find(([, word]) => word === body['debug_capture_point'])?.[0];
      return { ...reason, subType: subType(0) ?? (point === undefined ? undefined : Number(point)) };
    }
    default: return { ...reason, subType: subType(0) };
  }
}

function layer4From(protocol: string, layer: Json): Partial<Flow> {
  switch (protocol) {
    case 'ICMPv4': case 'ICMPv6': return { icmpType: number(layer['type']), icmpCode: number(layer['code']) };
    case 'TCP': case 'UDP': case 'SCTP': {
      const ports = { sourcePort: count(layer['source_port']), destinationPort: count(layer['destination_port']) };
      if (protocol === 'SCTP') return { ...ports, sctpChunkType: text(layer['chunk_type']) };
      if (protocol === 'UDP') return ports;
      const flags = record(layer['flags']);
      return { ...ports, tcpFlags: printedFlags.filter(flag => flags[flag] === true) };
    }
    default: return {};
  }
}

const printedFlags: readonly TcpFlag[] = ['SYN', 'ACK', 'RST', 'FIN', 'PSH', 'URG', 'ECE', 'CWR', 'NS'];

function tunnelFrom(tunnel: Json): NonNullable<Flow['tunnel']> {
  const ip = record(tunnel['IP']);
  return defined({
    protocol: (text(tunnel['protocol']) ?? 'UNKNOWN') as 'VXLAN', source: text(ip['source']) ?? '', destination: text(ip['destination']) ?? '', vni: count(tunnel['vni']),
  });
}

function l7From(l7: Json): FlowL7 {
  return defined<FlowL7>({
    type: (text(l7['type']) ?? 'UNKNOWN_L7_TYPE') as FlowL7['type'],
    latencyNs: count(l7['latency_ns']),
    dns: present(l7['dns'], dns => defined({
      query: text(dns['query']) ?? '', ips: texts(dns['ips']), ttl: count(dns['ttl']), cnames: texts(dns['cnames']), observationSource: text(dns['observation_source']) ?? '',
      rcode: count(dns['rcode']), qtypes: texts(dns['qtypes']), rrtypes: texts(dns['rrtypes']),
    })),
    http: present(l7['http'], http => defined({
      code: count(http['code']), method: text(http['method']) ?? '', url: text(http['url']) ?? '', protocol: text(http['protocol']) ?? '',
      headers: records(http['headers'])?.map(header => ({ key: text(header['key']) ?? '', value: text(header['value']) ?? '' })),
    })),
    kafka: present(l7['kafka'], kafka => defined({
      errorCode: count(kafka['error_code']), apiVersion: number(kafka['api_version']), apiKey: text(kafka['api_key']) ?? '', correlationId: number(kafka['correlation_id']), topic: text(kafka['topic']),
    })),
  });
}

/** A policy verdict without a match is one by no rule; of others nobody says. */
function matchFrom(body: Json, type: Flow['type']): string | undefined {
  const shadow = record(body['cirri'])['shadow'] !== undefined;
  const match = count(body['policy_match_type']);
  return match !== undefined ? policyMatches[match] ?? String(match) : type === 'policy-verdict' && !shadow ? policyMatches[0] : undefined;
}

/** `service` where one side is named, the one that ours would name; else `services`. */
function servicesFrom(body: Json, isReply: boolean): Partial<Flow> {
  const named = (value: unknown): FlowService | undefined => present(value, service => ({ namespace: text(service['namespace']) ?? '', name: text(service['name']) ?? '' }));
  const [source, destination] = [named(body['source_service']), named(body['destination_service'])];
  if (!source && !destination) return {};
  const ours = isReply ? source : destination;
  if (!ours || (source && destination)) return { services: defined({ source, destination }) };
  const details = record(body['cirri']);
  return { service: { ...ours, ip: text(details['service_ip']) ?? '', port: number(details['service_port']) } };
}

function detailsFrom(details: Json): Partial<Flow> {
  const shadow = text(details['shadow'])?.replace('SHADOW_', '').toLowerCase();
  return {
    rule: present(details['rule'], rule => defined<FlowRule>({
      id: number(rule['id']), kind: text(rule['kind']) ?? '', namespace: text(rule['namespace']), name: text(rule['name']) ?? '', path: text(rule['path']) ?? '',
      effect: (text(rule['effect']) ?? 'allow') as FlowRule['effect'], because: text(rule['because']) ?? '',
    })),
    ...((shadow === 'allow' || shadow === 'deny') && { shadow }),
    connection: present(details['connection'], connection => ({
      packetsOut: number(connection['packets_out']), bytesOut: number(connection['bytes_out']), packetsBack: number(connection['packets_back']), bytesBack: number(connection['bytes_back']),
      durationNs: number(connection['duration_ns']), end: (text(connection['end']) ?? '').replace('CONNECTION_END_', '').toLowerCase() as FlowConnection['end'],
    })),
    connectLatencyNs: count(details['connect_latency_ns']),
    ...(details['in_kernel'] === true && { inKernel: true as const }),
  };
}

function policiesFrom(value: unknown): readonly FlowPolicy[] | undefined {
  return records(value)?.map(policy => defined({
    name: text(policy['name']) ?? '', namespace: text(policy['namespace']), labels: texts(policy['labels']), revision: count(policy['revision']), kind: text(policy['kind']),
  }));
}

function endpointFrom(ip: unknown, value: unknown, names: unknown): FlowEndpoint {
  const end = record(value);
  return defined<FlowEndpoint>({
    ip: text(ip) ?? '',
    identity: number(end['identity']),
    id: number(end['ID']),
    labels: texts(end['labels']) ?? [],
    clusterName: text(end['cluster_name']),
    namespace: text(end['namespace']),
    podName: text(end['pod_name']),
    workloads: records(end['workloads'])?.map(workload => ({ name: text(workload['name']) ?? '', kind: text(workload['kind']) ?? '' })),
    names: texts(names),
  });
}

// ---- readers of one value ----

function record(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function records(value: unknown): readonly Json[] | undefined {
  return Array.isArray(value) && value.length > 0 ? value.map(record) : undefined;
}

function present<T>(value: unknown, read: (json: Json) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(record(value));
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function texts(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.length > 0 ? value.map(String) : undefined;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : 0;
}

/** A number that is not protobuf's zero. */
function count(value: unknown): number | undefined {
  return number(value) || undefined;
}

function big(value: unknown): bigint | undefined {
  return typeof value === 'string' && /^\d+$/.test(value) ? BigInt(value) : undefined;
}

/** Without the fields that are not there. */
function defined<T extends object>(value: { readonly [F in keyof T]: T[F] | undefined }): T {
  const found: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(value)) if (entry !== undefined || name === 'isReply') found[name] = entry;
  return found as T;
}
