import type { Flow, FlowEndpoint, FlowL7 } from '../../model/flow.ts';
import { fnv1a } from '../../model/identity.ts';
import { eventTypeOf } from '../filter.ts';
import { capturePoints, socketPoints } from '../flow-words.ts';
import { flowToJson, type Json } from '../jsonpb.ts';
import { dropReasonName } from '../reasons.ts';
import { policyNames } from './fields.ts';
import { safe } from './safe.ts';

/**
 * `cilium monitor`'s lines, from flows. What upstream reads from the packet and we do not keep is left at its zero: the source
 * file of a drop where the kernel does not name it. `flow 0x…` is a hash of the connection's ends.
 */
export interface MonitorOptions {
  /** Identities and addresses as numbers, without names. */
  readonly numeric: boolean;
  /** 1: pods, labels and policies below each line. 2: the whole event in JSON too. */
  readonly verbosity: 0 | 1 | 2;
}

/** The lines of one event, the first of them upstream's. */
export function monitorLines(flow: Flow, options: MonitorOptions): string[] {
  const lines = [monitorLine(flow, options)];
  if (options.verbosity >= 1) lines.push(...detailLines(flow));
  if (options.verbosity >= 2) lines.push(`    ${safe(JSON.stringify(flowToJson(flow).flow))}`);
  return lines;
}

function monitorLine(flow: Flow, options: MonitorOptions): string {
  const ids = `identity ${identity(flow.source, options)}->${identity(flow.destination, options)}`;
  switch (flow.type) {
    case 'drop':
      return `xx drop (${safe(reasonOf(flow))}) flow ${hashOf(flow)} to endpoint ${flow.destination.id}, ifindex ${flow.interfaceIndex ?? 0}, file ${safe(flow.file?.name ?? 'unknown')}:${flow.file?.line ?? 0}, , ${ids}: ${packet(flow)}`;
    case 'trace':
      return `${traceHead(flow)} flow ${hashOf(flow)} , ${flow.encrypted ? 'encrypted ' : ''}${ids} state ${flow.traceReason ?? 'unknown'} ifindex ${safe(flow.interfaceName ?? String(flow.interfaceIndex ?? 0))} orig-ip ${safe(flow.sourceXlated ?? '0.0.0.0')}: ${packet(flow)}`;
    case 'policy-verdict': {
      const ingress = flow.direction === 'INGRESS';
      const [local, remote] = ingress ? [flow.destination, flow.source] : [flow.source, flow.destination];
      return `Policy verdict log: flow ${hashOf(flow)} local EP ID ${local.id}, remote ID ${identity(remote, options)}, proto ${protocolNumber(flow.protocol)}, ${ingress ? 'ingress' : 'egress'}, ` +
        `action ${actionOf(flow)}, auth: ${(flow.authType ?? 'DISABLED').toLowerCase()}, match ${safe(flow.policyMatch ?? 'none')}, ${packet(flow)}`;
    }
    case 'l7': return l7Line(flow, ids);
    case 'sock':
      return `CPU 00: [${safe(socketPoints.find(([word]) => word === flow.socketTranslation)?.[1] ?? 'unknown')}] cgroup_id: ${flow.cgroupId ?? 0n} sock_cookie: ${flow.socketCookie ?? 0n}, dst [${safe(flow.destination.ip)}]:${flow.destinationPort ?? 0} ${safe(flow.protocol.toLowerCase())}`;
    case 'capture': return `CPU 00: MARK 0x0 FROM ${flow.source.id} ${capturePoints[flow.subType ?? 0] ?? 'DBG_CAPTURE_POINT_UNKNOWN'}: ${packet(flow)}`;
    case 'debug': return `CPU 00: MARK 0x0 FROM ${flow.source.id} DEBUG: ${safe(flow.summary)}`;
    default: return `?? event ${eventTypeOf(flow).type}: ${packet(flow)}`;
  }
}

/** One object a line, in upstream's names. */
export function monitorJson(flow: Flow): Json {
  const l4 = flow.sourcePort === undefined ? {} : { l4: { src: String(flow.sourcePort), dst: String(flow.destinationPort ?? 0) } };
  const labels = { srcLabel: flow.source.identity, dstLabel: flow.destination.identity };
  const summary = { ethernet: flow.ethernet ? `${flow.ethernet.source} -> ${flow.ethernet.destination}` : '', l3: { src: flow.source.ip, dst: flow.destination.ip }, ...l4, [flow.ipVersion.toLowerCase()]: packet(flow) };
  const common = { node: flow.nodeName, time: flow.time, mark: hashOf(flow), source: flow.source.id, bytes: 0, ...labels, dstID: flow.destination.id };
  switch (flow.type) {
    case 'drop': return { type: 'drop', ...common, reason: reasonOf(flow), file: flow.file?.name ?? '', line: flow.file?.line ?? 0, summary };
    case 'trace': return { type: 'trace', ...common, observationPoint: flow.observationPoint, traceSummary: traceHead(flow), state: flow.traceReason ?? 'unknown', ifindex: flow.interfaceName ?? '', encrypted: flow.encrypted === true, summary };
    case 'policy-verdict': return { type: 'policy-verdict', ...common, direction: flow.direction.toLowerCase(), action: actionOf(flow), matchType: flow.policyMatch ?? 'none', proto: protocolNumber(flow.protocol), summary };
    case 'l7': return { type: 'logRecord', observationPoint: flow.direction, srcEpID: flow.source.id, srcEpLabels: flow.source.labels, srcIdentity: flow.source.identity, dstEpID: flow.destination.id, dstEpLabels: flow.destination.labels, dstIdentity: flow.destination.identity, verdict: flow.verdict, ...flow.l7 };
    default: return { type: flow.type === 'sock' ? 'trace_sock' : flow.type, ...common, summary };
  }
}

function traceHead(flow: Flow): string {
  const point = flow.observationPoint ?? '';
  const [way, what] = point.startsWith('to-') ? ['->', point.slice(3)] : ['<-', point.replace(/^from-/, '')];
  const whom =
    what === 'endpoint' ? `endpoint ${way === '->' ? flow.destination.id : flow.source.id}`
    : what === 'proxy' && flow.proxyPort !== undefined ? `proxy port ${flow.proxyPort}`
    : what === 'host' && way === '->' ? 'host from'
    : what;
  return safe(`${way} ${whom}`);
}

function reasonOf(flow: Flow): string {
  return flow.dropReason ?? dropReasonName(flow.dropReasonCode ?? flow.subType ?? 0).text;
}

function actionOf({ verdict, shadow }: Flow): string {
  if (shadow !== undefined) return `shadow-${shadow}`;
  return verdict === 'DROPPED' ? 'deny' : verdict === 'REDIRECTED' ? 'redirect' : verdict === 'AUDIT' ? 'audit' : 'allow';
}

function l7Line(flow: Flow, ids: string): string {
  const { l7, source, destination, verdict } = flow;
  const response = l7?.type === 'RESPONSE';
  const protocol = l7?.http ? 'http' : l7?.dns ? 'dns' : l7?.kafka ? 'kafka' : 'l7';
  const ends = `from ${source.id} (${safe(`[${source.labels.join(' ')}]`)}) to ${destination.id} (${safe(`[${destination.labels.join(' ')}]`)})`;
  const word = verdict.charAt(0) + verdict.slice(1).toLowerCase();
  return `${response ? '<- Response' : '-> Request'} ${protocol} ${ends}, ${ids}, verdict ${word} ${l7 === undefined ? '' : safe(l7Text(l7))}`.trimEnd();
}

function l7Text({ type, http, dns, kafka }: FlowL7): string {
  if (http) return `${http.method} ${http.url} => ${http.code ?? 0}`;
  if (kafka) return `${kafka.apiKey} topic ${kafka.topic ?? ''} => ${kafka.errorCode ?? 0}`;
  if (!dns) return '';
  const query = `DNS ${dns.observationSource}: ${dns.query} ${(dns.qtypes ?? []).join(',')}`;
  return type === 'RESPONSE' ? `${query} TTL: ${dns.ttl ?? 0} Answer: '${[...(dns.ips ?? []), ...(dns.cnames ?? [])].join(',')}'` : query;
}

/** `10.0.0.1:1 -> 10.0.0.2:80 tcp SYN`. */
function packet(flow: Flow): string {
  const end = (ip: string, port: number | undefined) => (port === undefined || flow.protocol.startsWith('ICMP') ? ip : `${ip.includes(':') ? `[${ip}]` : ip}:${port}`);
  const what = flow.protocol.startsWith('ICMP') ? flow.summary.replace(/^ICMPv[46]/, flow.protocol === 'ICMPv4' ? 'icmp' : 'icmpv6') : [flow.protocol.toLowerCase(), ...(flow.tcpFlags ?? [])].join(' ');
  return safe(`${end(flow.source.ip, flow.sourcePort)} -> ${end(flow.destination.ip, flow.destinationPort)} ${what}`);
}

function identity(end: FlowEndpoint, { numeric }: MonitorOptions): string {
  const name = numeric ? undefined : end.labels.length === 1 && end.labels[0]!.startsWith('reserved:') ? end.labels[0]!.slice('reserved:'.length) : undefined;
  return safe(name ?? String(end.identity));
}

function detailLines(flow: Flow): string[] {
  const end = (word: string, { ip, podName, namespace, labels, names }: FlowEndpoint) =>
    `    ${word} ${podName === undefined ? ip : `${namespace}/${podName}`}${names ? ` (${names.join(', ')})` : ''} [${labels.join(' ')}]`;
  const by = policyNames([...(flow.ingressDeniedBy ?? []), ...(flow.egressDeniedBy ?? []), ...(flow.ingressAllowedBy ?? []), ...(flow.egressAllowedBy ?? [])]);
  return [`    ${flow.time} ${flow.nodeName} ${flow.id}`, end('from', flow.source), end('to  ', flow.destination), ...(by === '' ? [] : [`    decided${by.toLowerCase().startsWith(' by') ? ` by${by.slice(3)}` : by}`])].map(safe);
}

/** Of the connection, whichever way the packet goes. */
function hashOf(flow: Flow): string {
  const ends = [`${flow.source.ip} ${flow.sourcePort ?? 0}`, `${flow.destination.ip} ${flow.destinationPort ?? 0}`].sort();
  return `0x${(fnv1a(`${ends.join(' ')} ${flow.protocol}`) >>> 0).toString(16)}`;
}

const protocolNumbers: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132, ICMPv4: 1, ICMPv6: 58 };

function protocolNumber(protocol: string): number {
  return protocolNumbers[protocol] ?? Number(/\d+$/.exec(protocol)?.[0] ?? 0);
}
