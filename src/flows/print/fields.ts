import { faultKey } from '../http-events.ts';
import type { Flow, FlowEndpoint, FlowPolicy, FlowService } from '../../model/flow.ts';
import { reservedName } from '../../model/identity.ts';
import { observationPoints } from '../enrich.ts';
import { capturePoints, socketPoints } from '../flow-words.ts';
import { dropReasonName } from '../reasons.ts';
import { grouped } from './numbers.ts';
import type { Paint } from './paint.ts';
import { safe } from './safe.ts';

export { safe } from './safe.ts';

/** The parts that Hubble's line formats share, in its own words. */
export interface FieldOptions {
  readonly paint: Paint;
  /** Names instead of addresses (Hubble's --ip-translation). */
  readonly names: boolean;
  /** Names of policies and rules, where known. */
  readonly policyNames: boolean;
  /** ` [node]`, or a column. */
  readonly nodeNames: boolean;
  readonly formatTime: (time: string) => string;
  /** Which flows show the id that `cirri policy explain` takes. */
  readonly ids: ShownIds;
  /** What we add to Hubble's lines: rules of drops, shadow verdicts in words. */
  readonly ours: boolean;
}

export type ShownIds = 'none' | 'denied' | 'all';

/** Both ends: `ns/pod:port`, a service, DNS names or the address; MAC addresses where there is no IP. */
export function hostTexts(flow: Flow, options: FieldOptions): readonly [source: string, destination: string] {
  const { paint } = options;
  if (flow.source.ip === '' && flow.destination.ip === '') {
    const { ethernet } = flow;
    return ethernet ? [paint.host(safe(ethernet.source)), paint.host(safe(ethernet.destination))] : ['', ''];
  }
  const ports = flow.protocol.startsWith('ICMP') ? [] : [flow.sourcePort, flow.destinationPort];
  return [paint.host(hostText(flow.source, ports[0], sourceService(flow), options)), paint.host(hostText(flow.destination, ports[1], destinationService(flow), options))];
}

/** An address with a port stands in brackets when it has colons. */
function hostText(end: FlowEndpoint, port: number | undefined, service: FlowService | undefined, { names, paint }: FieldOptions): string {
  const host = safe((names ? nameOf(end, service) : undefined) ?? end.ip);
  if (port === undefined || port === 0) return host;
  return `${/[:%]/.test(host) ? `[${host}]` : host}:${paint.port(String(port))}`;
}

function nameOf(end: FlowEndpoint, service: FlowService | undefined): string | undefined {
  const joined = (namespace: string | undefined, name: string) => (namespace === undefined || namespace === '' ? name : `${namespace}/${name}`);
  if (end.podName !== undefined) return joined(end.namespace, end.podName);
  if (service) return joined(service.namespace, service.name);
  return end.names && end.names.length > 0 ? end.names.map(name => name.replace(/\.$/, '')).join(',') : undefined;
}

/** The service whose address or backend the source is: of replies. */
function sourceService({ services, service, isReply }: Flow): FlowService | undefined {
  return services ? services.source : isReply === true ? service : undefined;
}

function destinationService({ services, service, isReply }: Flow): FlowService | undefined {
  return services ? services.destination : isReply === true ? undefined : service;
}

/** `(world)` or `(ID:12345)`. */
export function identityText(end: FlowEndpoint, paint: Paint): string {
  return paint.identity(`(${end.identity === 0 ? 'unknown' : reservedName(end.identity) ?? `ID:${end.identity}`})`);
}

/** What kind of event: observation point, reason of a drop, `policy-verdict:L3-L4 INGRESS`, `http-request`. */
export function typeText(flow: Flow, options: { readonly ours: boolean }): string {
  const { l7, subType } = flow;
  if (l7) {
    const kind = l7.type.toLowerCase();
    return safe(l7.http ? `http-${kind}` : l7.dns ? `dns-${kind} ${l7.dns.observationSource}` : l7.kafka ? `kafka-${kind}` : `l7-${kind}`);
  }
  switch (flow.type) {
    case 'drop': return safe(subType === undefined ? flow.dropReason ?? dropReasonName(flow.dropReasonCode ?? 0).text : dropReasonName(subType).text);
    // A connection that ended by age or by revocation was seen nowhere.
    case 'trace': return safe(flow.observationPoint ?? (flow.connection && subType === undefined ? 'connection' : undefined) ?? observationPoints[subType ?? 0] ?? String(subType));
    case 'policy-verdict': return `policy-verdict:${flow.shadow !== undefined && options.ours ? 'shadow' : safe(flow.policyMatch ?? 'none')} ${flow.direction === 'UNKNOWN' ? 'TRAFFIC_DIRECTION_UNKNOWN' : flow.direction}`;
    case 'capture': return capturePoints[subType ?? 0] ?? 'DBG_CAPTURE_POINT_UNKNOWN';
    case 'sock': return safe(socketPoints.find(([word]) => word === flow.socketTranslation)?.[1] ?? flow.socketTranslation ?? socketPoints[0]![0]);
    default: return 'UNKNOWN';
  }
}

/** Enum name of the verdict; policy verdicts say ALLOWED, DENIED, AUDITED and by whom. */
export function verdictText(flow: Flow, options: FieldOptions): string {
  const { paint } = options;
  const judged = flow.type === 'policy-verdict';
  if (judged && flow.shadow !== undefined && options.ours) return paint.careful(`${flow.shadow === 'deny' ? 'DENIED' : 'ALLOWED'} by shadow policy ${shadowPolicy(flow)}`);
  const by = (list: 'allowed' | 'denied') => (options.policyNames ? policyNames(decidedBy(flow, list)) : '');
  switch (flow.verdict) {
    case 'FORWARDED': case 'REDIRECTED': return paint.good(judged ? `ALLOWED${by('allowed')}` : flow.verdict);
    case 'DROPPED': case 'ERROR': return paint.bad(judged ? `DENIED${by('denied')}` : flow.verdict);
    case 'AUDIT': return paint.careful(judged ? `AUDITED${options.ours ? by('denied') : ''}` : 'AUDIT');
    case 'TRACED': case 'TRANSLATED': return paint.careful(flow.verdict);
    default: return 'VERDICT_UNKNOWN';
  }
}

/** A difference without its policy's name would be of no use, so it is there without `--print-policy-names` too. */
function shadowPolicy({ rule }: Flow): string {
  if (!rule) return '(gone)';
  return safe(rule.namespace === undefined ? rule.name : `${rule.namespace}/${rule.name}`);
}

/** The flow's own lists of its direction; where only the rule is known, that. */
function decidedBy(flow: Flow, word: 'allowed' | 'denied'): readonly FlowPolicy[] {
  const [egress, ingress] = word === 'allowed' ? [flow.egressAllowedBy, flow.ingressAllowedBy] : [flow.egressDeniedBy, flow.ingressDeniedBy];
  const list = flow.direction === 'EGRESS' ? egress : flow.direction === 'INGRESS' ? ingress : undefined;
  if (list !== undefined && list.length > 0) return list;
  return flow.rule && flow.rule.effect !== 'default-allow' ? [flow.rule] : [];
}

/** ` BY a (Kind), b (Kind)`; what has no name or no kind is not named. */
export function policyNames(policies: readonly FlowPolicy[]): string {
  const named = policies.filter(({ name, kind }) => name !== '' && kind !== undefined && kind !== '').map(({ name, kind }) => (kind === 'default' ? name : `${name} (${kind})`));
  return named.length === 0 ? '' : safe(` BY ${named.join(', ')}`);
}

/** The flow's one line, with what Hubble puts around it. */
export function summaryText({ ipTraceId, summary, authType }: Flow, paint: Paint): string {
  const trace = ipTraceId === undefined || ipTraceId === 0 ? '' : `IP Trace ID: ${ipTraceId}; `;
  const auth = authType === undefined || authType === 'DISABLED' ? '' : `; Auth: ${authType === 'TEST_ALWAYS_FAIL' ? paint.bad(authType) : paint.good(safe(authType))}`;
  return trace + safe(summary) + auth;
}

/** Our own addition to a drop's line: ` [rule payments/payment-service-ingress: default deny]`. */
export function ruleText(flow: Flow): string {
  const { rule } = flow;
  if (!rule || flow.type !== 'drop') return '';
  const name = rule.namespace ? `${rule.namespace}/${rule.name}` : rule.name;
  const what = rule.effect === 'default-deny' ? 'default deny' : rule.path;
  return safe(` [rule ${name}: ${what}]`);
}

/**
 * Ours too: ` [closed: 5 packets 420 B out, 4 packets 1,203 B back in 12.3 ms]` at a connection's end, ` [answered after 0.8 ms]` at its first
 * answer, ` [kernel]` of requests and answers that no proxy has carried, with what is wrong with them.
 */
export function connectionText({ connection, connectLatencyNs, inKernel, l7 }: Flow): string {
  if (inKernel) {
    const fault = l7?.http?.headers?.find(({ key }) => key === faultKey)?.value;
    return fault === undefined ? ' [kernel]' : safe(` [kernel: ${fault}]`);
  }
  if (connection) {
    const { packetsOut, bytesOut, packetsBack, bytesBack, durationNs, end } = connection;
    const way = (packets: number, bytes: number) => `${grouped(packets)} packet${packets === 1 ? '' : 's'} ${grouped(bytes)} B`;
    return ` [${end}: ${way(packetsOut, bytesOut)} out, ${way(packetsBack, bytesBack)} back in ${timeText(durationNs)}]`;
  }
  return connectLatencyNs === undefined || connectLatencyNs === 0 ? '' : ` [answered after ${timeText(connectLatencyNs)}]`;
}

function timeText(ns: number): string {
  const [value, unit] = ns < 1e6 ? [ns / 1e3, 'µs'] : ns < 1e9 ? [ns / 1e6, 'ms'] : [ns / 1e9, 's'];
  return `${value < 100 ? value.toFixed(1) : grouped(Math.round(value))} ${unit}`;
}

/** Also ours: ` [flow node1-dn0f5peknvy7-7]`, to be pasted into `cirri policy explain`. Who sees a denial asks why. */
export function idText(flow: Flow): string {
  return safe(` [flow ${flow.id}]`);
}

export function showsId(flow: Flow, ids: ShownIds): boolean {
  const denied = flow.type === 'drop' || flow.verdict === 'DROPPED' || flow.verdict === 'AUDIT';
  return flow.id !== '' && (ids === 'all' || (ids === 'denied' && denied));
}
