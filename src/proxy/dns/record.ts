import { DnsType, dnsTypeName, parseDns } from '../../model/dns.ts';
import type { FlowL7 } from '../../model/flow.ts';
import type { Wire } from '../protocol.ts';
import type { Question } from './message.ts';
import type { DnsOpinion } from './rules.ts';

export function recordQuery(wire: Wire<unknown>, question: Question, opinions: readonly DnsOpinion[]): void {
  for (const { direction, rule, passes } of opinions) {
    wire.record({ verdict: passes ? 'FORWARDED' : 'DROPPED', direction, rule, l7: { type: 'REQUEST', dns: { query: question.name, qtypes: [dnsTypeName(question.type)], observationSource: 'proxy' } } });
  }
}

export function recordAnswer(wire: Wire<unknown>, question: Question, opinions: readonly DnsOpinion[], message: Buffer, latencyUs: number): void {
  const l7: FlowL7 = { type: 'RESPONSE', latencyNs: Math.round(latencyUs * 1000), dns: dnsOf(question, message) };
  for (const { direction, rule } of opinions) wire.record({ verdict: 'FORWARDED', direction, rule, l7 });
}

function dnsOf(question: Question, message: Buffer): NonNullable<FlowL7['dns']> {
  const read = parseDns(message);
  const answers = read?.answers ?? [];
  const ips = answers.flatMap(answer => answer.ip ?? []);
  const cnames = answers.flatMap(answer => (answer.type === DnsType.cname ? answer.target ?? [] : []));
  const rrtypes = [...new Set(answers.map(answer => dnsTypeName(answer.type)))];
  return {
    query: question.name, qtypes: [dnsTypeName(question.type)], observationSource: 'proxy', rcode: read?.rcode ?? message.readUInt16BE(2) & 15,
    ...(ips.length > 0 && { ips }), ...(cnames.length > 0 && { cnames }), ...(rrtypes.length > 0 && { rrtypes }),
    ...(answers.length > 0 && { ttl: Math.min(...answers.map(answer => answer.ttl)) }),
  };
}

export function recordFault(wire: Wire<unknown>, opinions: readonly DnsOpinion[], type: FlowL7['type']): void {
  for (const { direction } of opinions) wire.record({ verdict: 'ERROR', direction, rule: 0, l7: { type, dns: { query: '', observationSource: 'proxy' } } });
}
