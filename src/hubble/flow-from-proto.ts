import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { observationPoints, policyMatches } from '../flows/enrich.ts';
import { dropReasonName } from '../flows/reasons.ts';
import type { Flow, FlowEndpoint, FlowL7, FlowPolicy, FlowRule, TcpFlag } from '../model/flow.ts';
import { authNumbers, chunkWords, connectionEndNumbers, flagFields, l7Numbers, pointNumbers, socketPointWords, traceReasonNumbers, tunnelNumbers, verdictNumbers, wordOf } from './flow-words.ts';
import type { Connection, FlowDetails, Rule } from './generated/cirri_pb.js';
import type { Endpoint, Flow as FlowMessage, Layer7, Policy, Service, TCPFlags, Tunnel } from './generated/flow_pb.js';

/** The inverse of the encoder, for clients and the relay: flow.Flow as protobuf-es has it → the model. What is missing gets protobuf's zero. */
export function flowFromProto(message: FlowMessage): Flow {
  const { source, destination, IP: ip, l4, cirri: details } = message;
  const type = typeOf(message);
  const isReply = message.isReply;
  return defined<Flow>({
    time: timeText(message.time),
    nodeName: message.nodeName,
    nodeLabels: some(message.nodeLabels),
    verdict: wordOf(verdictNumbers, message.verdict) ?? 'VERDICT_UNKNOWN',
    type,
    ...kindOf(message, type),
    direction: message.trafficDirection === 1 ? 'INGRESS' : message.trafficDirection === 2 ? 'EGRESS' : 'UNKNOWN',
    isReply,
    ipVersion: (ip?.ipVersion === 1 ? 'IPv4' : ip?.ipVersion === 2 ? 'IPv6' : 'IP_NOT_USED') as Flow['ipVersion'],
    protocol: l4?.protocol.case ?? '',
    source: endpointOf(ip?.source, source, message.sourceNames),
    destination: endpointOf(ip?.destination, destination, message.destinationNames),
    ...layer4Of(message),
    ethernet: message.ethernet && { source: message.ethernet.source, destination: message.ethernet.destination },
    sourceXlated: ip?.sourceXlated || undefined,
    encrypted: ip?.encrypted || undefined,
    tunnel: message.tunnel && tunnelOf(message.tunnel),
    authType: message.authType === 0 ? undefined : wordOf(authNumbers, message.authType),
    l7: message.l7 && l7Of(message.l7),
    traceId: message.traceContext?.parent?.traceId || undefined,
    ipTraceId: message.ipTraceId && Number(message.ipTraceId.traceId),
    ipTraceOption: message.ipTraceId?.ipOptionType || undefined,
    proxyPort: message.proxyPort || undefined,
    file: message.file && { name: message.file.name, line: message.file.line },
    socketTranslation: message.sockXlatePoint === 0 ? undefined : socketPointWords[message.sockXlatePoint],
    socketCookie: message.socketCookie || undefined,
    cgroupId: message.cgroupId || undefined,
    egressAllowedBy: policiesOf(message.egressAllowedBy),
    ingressAllowedBy: policiesOf(message.ingressAllowedBy),
    egressDeniedBy: policiesOf(message.egressDeniedBy),
    ingressDeniedBy: policiesOf(message.ingressDeniedBy),
    policyLog: some(message.policyLog),
    ...servicesOf(message),
    policyMatch: matchOf(message, type),
    ...(details && detailsOf(details)),
    summary: message.Summary,
    interfaceName: message.interface?.name || undefined,
    interfaceIndex: message.interface?.index || undefined,
    id: message.uuid,
  });
}

/** RFC 3339 with nine digits. */
export function timeText(time: Timestamp | undefined): string {
  const seconds = Number(time?.seconds ?? 0n);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(time?.nanos ?? 0).padStart(9, '0')}Z`;
}

const eventTypes: ReadonlyMap<number, Flow['type']> = new Map([[1, 'drop'], [2, 'debug'], [3, 'capture'], [4, 'trace'], [5, 'policy-verdict'], [7, 'sock'], [129, 'l7']]);

function typeOf(message: FlowMessage): Flow['type'] {
  const event = message.eventType?.type ?? 0;
  return eventTypes.get(event) ?? (event !== 0 ? 'unknown' : message.Type === 2 || message.l7 ? 'l7' : message.Type === 3 ? 'sock' : 'unknown');
}

/** Reason, observation point and sub-type, where the sub-type says something else than those. */
function kindOf(message: FlowMessage, type: Flow['type']): Partial<Flow> {
  const sub = message.eventType?.subType ?? 0;
  const code = message.dropReason || message.dropReasonDesc || undefined;
  const point = message.traceObservationPoint === 0 ? observationPoints[sub] : wordOf(pointNumbers, message.traceObservationPoint);
  const implied = type === 'drop' ? code ?? 0 : type === 'trace' ? Math.max(0, observationPoints.indexOf(point ?? '')) : 0;
  return {
    ...(code !== undefined && { dropReasonCode: code, dropReason: dropReasonName(code).text }),
    ...(type === 'trace' && { observationPoint: point ?? '', ...(message.traceReason !== 0 && { traceReason: wordOf(traceReasonNumbers, message.traceReason) ?? 'unknown' }) }),
    ...(sub !== implied && { subType: sub }),
  };
}

function layer4Of({ l4 }: FlowMessage): Partial<Flow> {
  const protocol = l4?.protocol;
  switch (protocol?.case) {
    case 'ICMPv4': case 'ICMPv6': return { icmpType: protocol.value.type, icmpCode: protocol.value.code };
    case 'TCP': case 'UDP': case 'SCTP': {
      const { sourcePort, destinationPort } = protocol.value;
      const ports = sourcePort === 0 && destinationPort === 0 ? {} : { sourcePort, destinationPort };
      if (protocol.case === 'TCP') return { ...ports, tcpFlags: flagsOf(protocol.value.flags) };
      return protocol.case === 'SCTP' && protocol.value.chunkType !== 0 ? { ...ports, sctpChunkType: chunkWords[protocol.value.chunkType] ?? 'UNSUPPORTED' } : ports;
    }
    default: return {};
  }
}

/** In the order in which they are printed. */
const printedFlags: readonly TcpFlag[] = ['SYN', 'ACK', 'RST', 'FIN', 'PSH', 'URG', 'ECE', 'CWR', 'NS'];

function flagsOf(flags: TCPFlags | undefined): readonly TcpFlag[] {
  return flags ? printedFlags.filter(flag => flag in flagFields && flags[flag]) : [];
}

function tunnelOf({ protocol, IP: ip, vni }: Tunnel): NonNullable<Flow['tunnel']> {
  return { protocol: wordOf(tunnelNumbers, protocol) ?? 'UNKNOWN', source: ip?.source ?? '', destination: ip?.destination ?? '', ...(vni !== 0 && { vni }) };
}

function l7Of(message: Layer7): FlowL7 {
  const { record } = message;
  const base = { type: wordOf(l7Numbers, message.type) ?? 'UNKNOWN_L7_TYPE', ...(message.latencyNs !== 0n && { latencyNs: Number(message.latencyNs) }) } as const;
  switch (record.case) {
    case 'dns': {
      const { query, ips, ttl, cnames, observationSource, rcode, qtypes, rrtypes } = record.value;
      return { ...base, dns: defined({ query, ips: some(ips), ttl: ttl || undefined, cnames: some(cnames), observationSource, rcode: rcode || undefined, qtypes: some(qtypes), rrtypes: some(rrtypes) }) };
    }
    case 'http': {
      const { code, method, url, protocol, headers } = record.value;
      return { ...base, http: defined({ code: code || undefined, method, url, protocol, headers: some(headers.map(({ key, value }) => ({ key, value }))) }) };
    }
    case 'kafka': {
      const { errorCode, apiVersion, apiKey, correlationId, topic } = record.value;
      return { ...base, kafka: defined({ errorCode: errorCode || undefined, apiVersion, apiKey, correlationId, topic: topic || undefined }) };
    }
    default: return base;
  }
}

/** A policy verdict without a match is one by no rule; of others nobody says. */
function matchOf(message: FlowMessage, type: Flow['type']): string | undefined {
  const match = message.policyMatchType;
  if (match !== 0) return policyMatches[match] ?? String(match);
  return type === 'policy-verdict' && !message.cirri?.shadow ? policyMatches[0] : undefined;
}

/** `service` where the side alone is named that ours would name; else `services`. */
function servicesOf({ sourceService, destinationService, isReply, cirri }: FlowMessage): Partial<Flow> {
  const named = (service: Service | undefined) => service && { namespace: service.namespace, name: service.name };
  const [source, destination] = [named(sourceService), named(destinationService)];
  if (!source && !destination) return {};
  const ours = isReply === true ? source : destination;
  if (!ours || (source && destination)) return { services: defined({ source, destination }) };
  return { service: { ...ours, ip: cirri?.serviceIp ?? '', port: cirri?.servicePort ?? 0 } };
}

function detailsOf(details: FlowDetails): Partial<Flow> {
  return {
    ...(details.rule && { rule: ruleOf(details.rule) }),
    ...(details.shadow !== 0 && { shadow: details.shadow === 2 ? 'deny' as const : 'allow' as const }),
    ...(details.connection && { connection: connectionOf(details.connection) }),
    ...(details.inKernel && { inKernel: true as const }),
    ...(details.connectLatencyNs !== 0n && { connectLatencyNs: Number(details.connectLatencyNs) }),
  };
}

function ruleOf({ id, kind, namespace, name, path, effect, because }: Rule): FlowRule {
  return { id, kind, ...(namespace !== '' && { namespace }), name, path, effect: effect as FlowRule['effect'], because };
}

function connectionOf(message: Connection): NonNullable<Flow['connection']> {
  return {
    packetsOut: Number(message.packetsOut), bytesOut: Number(message.bytesOut), packetsBack: Number(message.packetsBack), bytesBack: Number(message.bytesBack),
    durationNs: Number(message.durationNs), end: wordOf(connectionEndNumbers, message.end) ?? 'idle',
  };
}

function policiesOf(policies: readonly Policy[]): readonly FlowPolicy[] | undefined {
  return some(policies.map(({ name, namespace, labels, revision, kind }) => defined<FlowPolicy>({
    name, namespace: namespace || undefined, labels: some(labels), revision: Number(revision) || undefined, kind: kind || undefined,
  })));
}

function endpointOf(ip: string | undefined, end: Endpoint | undefined, names: readonly string[]): FlowEndpoint {
  return defined<FlowEndpoint>({
    ip: ip ?? '',
    identity: end?.identity ?? 0,
    id: end?.ID ?? 0,
    labels: end?.labels ?? [],
    namespace: end?.namespace || undefined,
    podName: end?.podName || undefined,
    clusterName: end?.clusterName || undefined,
    names: some(names),
    workloads: end && some(end.workloads.map(({ name, kind }) => ({ name, kind }))),
  });
}

function some<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** Without the fields that are not there; `isReply` is known to be unknown. */
function defined<T extends object>(value: { readonly [F in keyof T]: T[F] | undefined }): T {
  const found: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(value)) if (entry !== undefined || name === 'isReply') found[name] = entry;
  return found as T;
}
