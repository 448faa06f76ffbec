import type { Flow, FlowEndpoint, TcpFlag } from '../model/flow.ts';
import { eventTypeOf } from './filter.ts';
import { observationPoints, policyMatches } from './enrich.ts';
import { dropReasonName } from './reasons.ts';

/** proto3 JSON of `observer.GetFlowsResponse` with the field names of the .proto files: what Hubble's clients and exporters read. */
export interface FlowResponseJson {
  readonly flow: Readonly<Record<string, unknown>>;
  readonly node_name: string;
  readonly time: string;
}

export function flowToJson(flow: Flow): FlowResponseJson {
  const time = trimTime(flow.time);
  return { flow: { ...bodyOf(flow, time) }, node_name: flow.nodeName, time };
}

function bodyOf(flow: Flow, time: string): Record<string, unknown> {
  const { type, subType } = eventTypeOf(flow);
  const point = flow.observationPoint?.toUpperCase().replaceAll('-', '_');
  const reply = flow.isReply === true;
  const { service } = flow;
  return unset({
    time,
    uuid: flow.id,
    verdict: flow.verdict,
    drop_reason: flow.dropReasonCode,
    IP: { source: flow.source.ip, destination: flow.destination.ip, ipVersion: flow.ipVersion },
    l4: l4Of(flow),
    source: endpointJson(flow.source),
    destination: endpointJson(flow.destination),
    Type: flow.type === 'l7' ? 'L7' : 'L3_L4',
    node_name: flow.nodeName,
    source_names: flow.source.names,
    destination_names: flow.destination.names,
    event_type: unset({ type, sub_type: subType || undefined }),
    source_service: service && reply ? { name: service.name, namespace: service.namespace } : undefined,
    destination_service: service && !reply ? { name: service.name, namespace: service.namespace } : undefined,
    traffic_direction: flow.direction === 'UNKNOWN' ? undefined : flow.direction,
    policy_match_type: flow.policyMatch === undefined ? undefined : Math.max(0, policyMatches.indexOf(flow.policyMatch)) || undefined,
    trace_observation_point: point,
    drop_reason_desc: flow.dropReasonCode === undefined ? undefined : dropReasonName(flow.dropReasonCode, () => flow.dropReason?.replaceAll(' ', '_')).name,
    is_reply: flow.isReply,
    interface: flow.interfaceName === undefined ? undefined : { name: flow.interfaceName },
    Summary: flow.summary,
    ...policiesOf(flow),
    shadow: flow.shadow,
  });
}

function l4Of(flow: Flow): Record<string, unknown> | undefined {
  const ports = { source_port: flow.sourcePort, destination_port: flow.destinationPort };
  switch (flow.protocol) {
    case 'TCP': {
      const flags = flow.tcpFlags && flow.tcpFlags.length > 0 ? Object.fromEntries(flow.tcpFlags.map(flag => [flag, true])) : undefined;
      return { TCP: unset({ ...ports, flags }) };
    }
    case 'UDP': return { UDP: unset(ports) };
    case 'SCTP': return { SCTP: unset(ports) };
    case 'ICMPv4': case 'ICMPv6': return { [flow.protocol]: unset({ type: flow.icmpType || undefined, code: flow.icmpCode || undefined }) };
    default: return undefined;
  }
}

function endpointJson(end: FlowEndpoint): Record<string, unknown> {
  return unset({
    ID: end.id || undefined,
    identity: end.identity || undefined,
    namespace: end.namespace,
    labels: end.labels.length > 0 ? end.labels : undefined,
    pod_name: end.podName,
  });
}

/** `ingress_denied_by` and its three sisters; the default denial names the policies that turned it on. */
function policiesOf(flow: Flow): Record<string, unknown> {
  const { rule } = flow;
  if (!rule || flow.direction === 'UNKNOWN' || rule.effect === 'default-allow') return {};
  if (flow.shadow !== undefined) return { shadow_by: [policyOf(rule)] };
  const word = flow.verdict === 'DROPPED' || rule.effect === 'deny' || rule.effect === 'default-deny' ? 'denied' : 'allowed';
  return { [`${flow.direction.toLowerCase()}_${word}_by`]: [policyOf(rule)] };
}

function policyOf(rule: NonNullable<Flow['rule']>): Record<string, unknown> {
  return unset({ name: rule.name, namespace: rule.namespace, kind: rule.kind === 'default' ? undefined : rule.kind });
}

/** protobuf's JSON form of a timestamp: 0, 3, 6 or 9 digits. */
function trimTime(time: string): string {
  return time.replace(/\.(\d{3})(\d{3})(\d{3})Z$/, (_, a: string, b: string, c: string) =>
    c !== '000' ? `.${a}${b}${c}Z` : b !== '000' ? `.${a}${b}Z` : a !== '000' ? `.${a}Z` : 'Z');
}

function unset(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined));
}

/**
 * The inverse, for files of flows and for filters tried on other people's data. What is missing gets the value that protobuf
 * gives it. Accepts a response with its `flow` or the flow alone.
 */
export function flowFromJson(json: unknown): Flow {
  const outer = record(json);
  const body = 'flow' in outer ? record(outer['flow']) : outer;
  const ip = record(body['IP']);
  const event = record(body['event_type']);
  const l4 = record(body['l4']);
  const [protocol, layer4] = (Object.entries(l4)[0] ?? ['', {}]) as [string, unknown];
  const ports = record(layer4);
  const isIcmp = protocol.startsWith('ICMP');
  const type = eventWords.get(number(event['type'])) ?? (body['Type'] === 'L7' ? 'l7' : 'trace');
  const subType = number(event['sub_type']);
  const flags = record(ports['flags']);
  const service = record(body['destination_service'] ?? body['source_service']);
  const isReply = body['is_reply'] ?? undefined;
  const reason = body['drop_reason'] ?? (type === 'drop' ? subType : undefined);
  const flow: Flow = {
    time: text(body['time']) ?? '1970-01-01T00:00:00.000000000Z',
    nodeName: text(body['node_name']) ?? '',
    verdict: (text(body['verdict']) ?? 'VERDICT_UNKNOWN') as Flow['verdict'],
    type,
    direction: (text(body['traffic_direction']) ?? 'UNKNOWN') as Flow['direction'],
    isReply: typeof isReply === 'boolean' ? isReply : undefined,
    ipVersion: (text(ip['ipVersion']) ?? 'IP_NOT_USED') as Flow['ipVersion'],
    protocol,
    source: endpointFrom(text(ip['source']), body['source'], body['source_names']),
    destination: endpointFrom(text(ip['destination']), body['destination'], body['destination_names']),
    summary: text(body['Summary']) ?? '',
    id: text(body['uuid']) ?? '',
    ...(typeof body['drop_reason_desc'] === 'string' && { dropReason: body['drop_reason_desc'] }),
    ...(reason !== undefined && { dropReasonCode: number(reason), dropReason: dropReasonName(number(reason)).text }),
    ...(type === 'trace' && { observationPoint: text(body['trace_observation_point'])?.toLowerCase().replaceAll('_', '-') ?? observationPoints[subType] ?? '' }),
    ...(!isIcmp && ports['source_port'] !== undefined && { sourcePort: number(ports['source_port']) }),
    ...(!isIcmp && ports['destination_port'] !== undefined && { destinationPort: number(ports['destination_port']) }),
    ...(isIcmp && { icmpType: number(ports['type']), icmpCode: number(ports['code']) }),
    ...(protocol === 'TCP' && { tcpFlags: Object.keys(flags).filter(flag => flags[flag] === true) as TcpFlag[] }),
    ...(Object.keys(service).length > 0 && { service: { namespace: text(service['namespace']) ?? '', name: text(service['name']) ?? '', ip: '', port: 0 } }),
    ...(body['policy_match_type'] !== undefined && { policyMatch: policyMatches[number(body['policy_match_type'])] ?? 'none' }),
    ...((body['shadow'] === 'allow' || body['shadow'] === 'deny') && { shadow: body['shadow'] }),
    ...(body['interface'] !== undefined && { interfaceName: text(record(body['interface'])['name']) ?? '' }),
  };
  return flow;
}

const eventWords: ReadonlyMap<number, Flow['type']> = new Map([[1, 'drop'], [4, 'trace'], [5, 'policy-verdict'], [129, 'l7']]);

function endpointFrom(ip: string | undefined, value: unknown, names: unknown): FlowEndpoint {
  const end = record(value);
  return {
    ip: ip ?? '',
    identity: number(end['identity']),
    id: number(end['ID']),
    labels: (end['labels'] ?? []) as string[],
    ...(end['namespace'] !== undefined && { namespace: String(end['namespace']) }),
    ...(end['pod_name'] !== undefined && { podName: String(end['pod_name']) }),
    ...(Array.isArray(names) && { names: names as string[] }),
  };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : 0;
}
