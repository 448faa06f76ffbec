import type { Flow, FlowEndpoint, FlowPolicy } from '../../../src/model/flow.ts';
import { nanoseconds } from '../parts/format.ts';

/** Who an end is, in two parts: where, and the name. */
export function endName(end: FlowEndpoint, service?: Flow['service']): { readonly namespace?: string; readonly name: string; readonly isAddress: boolean } {
  const name = end.podName ?? end.workloads?.[0]?.name;
  if (name !== undefined) return { name, isAddress: false, ...(end.namespace !== undefined && { namespace: end.namespace }) };
  // A service without anybody behind it: it was asked for, and nobody was reached.
  if (service?.ip === end.ip) return { name: service.name, namespace: service.namespace, isAddress: false };
  if (end.ip === '::' && end.identity === 0) return { name: 'unknown', isAddress: true };
  const [dns] = end.names ?? [];
  if (dns !== undefined) return { name: dns.replace(/\.$/, ''), isAddress: false };
  const reserved = end.labels.map(label => /^reserved:(?!world)(.+)$/.exec(label)?.[1]).find(each => each !== undefined);
  return reserved === undefined ? { name: end.ip, isAddress: true } : { name: reserved, isAddress: false };
}

export function portOf(flow: Flow): string {
  const port = flow.isReply === true ? flow.sourcePort : flow.destinationPort;
  const protocol = flow.l7?.dns ? 'DNS' : flow.l7?.http ? 'HTTP' : flow.l7?.kafka ? 'Kafka' : flow.protocol;
  return port === undefined ? protocol : `${protocol} ${port}`;
}

/** What was said, where it was read: `GET /orders/7`, `403 in 2 ms`, `DNS Query api.example.com. A`. */
export function saidIn({ l7, summary }: Flow): string {
  if (!l7?.http) return l7 ? summary : '';
  const { method, url, code } = l7.http;
  // Where it goes to stands in the row.
  if (l7.type !== 'RESPONSE') return `${method} ${url.replace(/^https?:\/\/[^/]*/, '') || '/'}`;
  return `${code ?? 'no status'}${l7.latencyNs ? ` in ${nanoseconds(l7.latencyNs)}` : ''}`;
}

/** The policy that decided, as a short text; for drops without one, why. */
export function decidedBy(flow: Flow): string {
  if (flow.verdict === 'DROPPED' || flow.verdict === 'AUDIT' || flow.verdict === 'ERROR') {
    const by = [...flow.ingressDeniedBy ?? [], ...flow.egressDeniedBy ?? []];
    if (by.length > 0) return by.map(policyName).join(', ');
    if (flow.rule) return ruleText(flow);
    return flow.dropReason ?? '';
  }
  const by = [...flow.ingressAllowedBy ?? [], ...flow.egressAllowedBy ?? []];
  if (by.length > 0) return by.map(policyName).join(', ');
  return flow.rule && flow.rule.effect !== 'default-allow' ? ruleText(flow) : '';
}

function ruleText({ rule }: Flow): string {
  if (!rule) return '';
  if (rule.effect === 'default-deny') return rule.namespace === undefined && rule.name === 'always' ? 'default deny' : `${rule.namespace === undefined ? '' : `${rule.namespace}/`}${rule.name}`;
  return `${rule.namespace === undefined ? '' : `${rule.namespace}/`}${rule.name}`;
}

export function policyName({ name, namespace }: FlowPolicy): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export const verdictWords: Readonly<Record<Flow['verdict'], string>> = {
  FORWARDED: 'forwarded', DROPPED: 'dropped', AUDIT: 'audited', REDIRECTED: 'to layer 7', ERROR: 'error', TRANSLATED: 'translated', TRACED: 'shadow', VERDICT_UNKNOWN: 'unknown',
};

/** The map node that an end is counted under: the ids of src/model/service-map.ts. */
export function mapNodeOf(end: FlowEndpoint): string {
  const [workload] = end.workloads ?? [];
  if (workload && end.namespace !== undefined) return `workload:${end.namespace}/${workload.kind}/${workload.name}`;
  if (end.podName !== undefined) return `pod:${end.namespace ?? ''}/${end.podName}`;
  const [name] = end.names ?? [];
  if (name !== undefined) return `name:${name.replace(/\.$/, '')}`;
  const cidr = end.labels.map(label => /^cidr:(.+?)=?$/.exec(label)?.[1]).find(each => each !== undefined);
  if (cidr !== undefined) return `cidr:${cidr}`;
  return `reserved:${end.labels.map(label => /^reserved:(.+)$/.exec(label)?.[1]).find(each => each !== undefined) ?? 'world'}`;
}
