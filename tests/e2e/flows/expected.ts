import type { Flow, FlowEndpoint } from '../../../src/model/flow.ts';
import type { Call, Called } from './application.ts';

/** An end as the test knows it: a pod of the application, the cluster's DNS, or what lies outside. */
export interface Party {
  readonly ip: string;
  readonly node?: string;
  readonly namespace?: string;
  readonly pod?: string;
  readonly workload?: string;
  /** DNS name that the client has looked up. */
  readonly name?: string;
}

/** What policies say of one direction of a call. */
export interface Judged {
  readonly verdict: 'allow' | 'deny';
  /** A rule that denies, not the default. */
  readonly rule?: true;
  /** Those that decided, `namespace/name`, sorted; none where nothing restricts. */
  readonly by?: readonly string[];
}

/** One call that was made, with all that is known of it. */
export interface Deed {
  readonly call: Call;
  readonly said: Called;
  readonly client: Party;
  readonly server: Party;
  /** The pod's port, after translation. */
  readonly port: number;
  /** `namespace/name:port` of the service that was asked for. */
  readonly service?: string;
  readonly egress: Judged;
  readonly ingress: Judged;
}

const protocols = { tcp: 'TCP', udp: 'UDP', icmp: 'ICMPv4', dns: 'UDP' } as const;

/** The flows that a call leaves on both nodes, each as a line of text. */
export function expectedFlows(deed: Deed): string[] {
  const { client, server, egress, ingress, said, call } = deed;
  const lines: string[] = [];
  const say = (node: string, what: string, direction: string, isReply: boolean | undefined, more = '') =>
    lines.push([node, what, direction, `${partyText(client)} ${said.ownPort} > ${partyText(server)} ${deed.port} ${protocols[call.kind]}`, isReply === undefined ? 'either way' : isReply ? 'back' : 'forth', serviceAt(deed, node), more].filter(Boolean).join(' | '));
  const denied = (node: string, direction: string, { by = [], rule }: Judged) => {
    const why = `denied by ${by.join(',')} | ${rule ? 'Policy denied by denylist' : 'Policy denied'}`;
    for (const what of ['policy-verdict DROPPED', 'drop DROPPED']) say(node, what, direction, undefined, why);
  };
  const allowed = (node: string, direction: string, { by = [] }: Judged) => say(node, 'policy-verdict FORWARDED', direction, false, by.length > 0 ? `allowed by ${by.join(',')}` : '');
  const near = client.node!;
  const far = server.node;
  if (egress.verdict === 'deny') {
    denied(near, 'EGRESS', egress);
    return lines;
  }
  allowed(near, 'EGRESS', egress);
  const isLocal = near === far;
  if (!isLocal) say(near, 'trace FORWARDED', 'EGRESS', false, 'first');
  if (far !== undefined) {
    if (ingress.verdict === 'deny') {
      denied(far, 'INGRESS', ingress);
      return lines;
    }
    allowed(far, 'INGRESS', ingress);
    say(far, 'trace FORWARDED', 'INGRESS', false, 'first');
  }
  const hasAnswer = said.outcome === 'answered' || (call.kind === 'tcp' && said.outcome === 'refused');
  for (const node of new Set([near, far].filter(one => one !== undefined))) {
    if (!hasAnswer) continue;
    const back = node === near ? 'EGRESS' : 'INGRESS';
    const forth = node === far ? 'INGRESS' : 'EGRESS';
    if (said.outcome === 'refused') say(node, 'trace FORWARDED', back, true, 'answer | end reset');
    else say(node, 'trace FORWARDED', back, true, 'answer');
    if (call.kind === 'tcp' && said.outcome === 'answered') {
      say(node, 'trace FORWARDED', back, true, 'closes');
      say(node, 'trace FORWARDED', forth, false, 'end closed');
    }
    if (call.kind === 'dns' && node === near) {
      say(node, 'l7 FORWARDED', forth, false, `asks ${call.name}. A`);
      say(node, 'l7 FORWARDED', back, true, `says ${said.rcode === 0 ? said.ips?.join(',') : `rcode ${said.rcode}`} to ${call.name}. A`);
    }
  }
  return lines;
}

/** A service is told where it was translated: on the client's node. */
function serviceAt({ service, client }: Deed, node: string): string {
  return service !== undefined && node === client.node ? `service ${service}` : '';
}

function partyText({ namespace, pod, workload, name, ip }: Party): string {
  return pod === undefined ? `${ip}${name === undefined ? '' : ` (${name})`}` : `${namespace}/${pod}${workload === undefined ? '' : ` (${workload})`}`;
}

/** The same line of a flow that a node told. */
export function flowLine(flow: Flow): string {
  const isBack = flow.isReply === true;
  const [client, server] = isBack ? [flow.destination, flow.source] : [flow.source, flow.destination];
  const [clientPort, serverPort] = isBack ? [flow.destinationPort, flow.sourcePort] : [flow.sourcePort, flow.destinationPort];
  const service = flow.service && `service ${flow.service.namespace}/${flow.service.name}:${flow.service.port}`;
  return [
    flow.nodeName, `${flow.type} ${flow.verdict}`, flow.direction, `${endText(client)} ${clientPort} > ${endText(server)} ${serverPort} ${flow.protocol}`,
    flow.isReply === undefined ? 'either way' : isBack ? 'back' : 'forth', service, policyText(flow), flow.dropReason, traceText(flow), dnsText(flow),
  ].filter(Boolean).join(' | ');
}

function endText(end: FlowEndpoint): string {
  const workload = end.workloads?.[0];
  return partyText({
    ip: end.ip, ...(end.podName !== undefined && { namespace: end.namespace!, pod: end.podName }), ...(workload && { workload: `${workload.kind}/${workload.name}` }),
    ...(end.names && { name: end.names.join(',') }),
  });
}

function policyText(flow: Flow): string {
  const [allowed, denied] = flow.direction === 'INGRESS' ? [flow.ingressAllowedBy, flow.ingressDeniedBy] : [flow.egressAllowedBy, flow.egressDeniedBy];
  const names = (list: Flow['ingressAllowedBy']) => (list ?? []).map(policy => `${policy.namespace}/${policy.name}`).sort().join(',');
  return allowed ? `allowed by ${names(allowed)}` : denied ? `denied by ${names(denied)}` : '';
}

function traceText(flow: Flow): string {
  if (flow.type !== 'trace') return '';
  const parts: string[] = [];
  if (flow.traceReason === 'new') parts.push('first');
  if (flow.connectLatencyNs !== undefined) parts.push('answer');
  if (flow.connection) parts.push(`end ${flow.connection.end}`);
  else if (flow.tcpFlags?.includes('FIN')) parts.push('closes');
  return parts.length === 0 ? 'says nothing' : parts.join(' | ');
}

function dnsText({ l7 }: Flow): string {
  if (!l7?.dns) return '';
  const { query, qtypes = [], rcode, ips } = l7.dns;
  const question = `${query} ${qtypes.join(',')}`;
  return l7.type === 'REQUEST' ? `asks ${question}` : `says ${rcode === 0 ? (ips ?? []).join(',') : `rcode ${rcode}`} to ${question}`;
}
