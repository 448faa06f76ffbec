import type { FlowL7 } from '../model/flow.ts';

/** One line of an L7 record, as Hubble prints it. */
export function l7Summary(l7: FlowL7): string {
  const { dns, http, kafka } = l7;
  if (dns) return dnsSummary(l7.type, dns);
  if (http) {
    const request = `${http.protocol} ${http.method} ${http.url}`;
    return l7.type === 'RESPONSE' ? `${http.protocol} ${http.code ?? 0} ${Math.floor((l7.latencyNs ?? 0) / 1e6)}ms (${http.method} ${http.url})` : request;
  }
  if (!kafka) return '';
  const about = `${kafka.apiKey} correlation id ${kafka.correlationId}${kafka.topic === undefined ? '' : ` topic '${kafka.topic}'`}`;
  return l7.type === 'RESPONSE' ? `Kafka response ${about} return code ${kafka.errorCode ?? 0}` : `Kafka request ${about}`;
}

function dnsSummary(type: FlowL7['type'], dns: NonNullable<FlowL7['dns']>): string {
  const types = (dns.qtypes ?? []).join(',');
  if (type === 'REQUEST') return `DNS Query ${dns.query} ${types}`;
  const parts: string[] = [];
  if (dns.ips && dns.ips.length > 0) parts.push(JSON.stringify(dns.ips.join(',')));
  if (dns.cnames && dns.cnames.length > 0) parts.push(`CNAMEs: ${JSON.stringify(dns.cnames.join(','))}`);
  const answer = dns.rcode !== undefined && dns.rcode !== 0 ? `RCode: ${rcodeNames[dns.rcode] ?? dns.rcode}` : parts.join(' ');
  return `DNS Answer ${answer} TTL: ${dns.ttl ?? 0} (${dns.observationSource === 'proxy' ? 'Proxy' : 'Query'} ${dns.query} ${types})`;
}

/** RFC 1035, 2136. */
const rcodeNames: Readonly<Record<number, string>> = {
  1: 'Format Error', 2: 'Server Failure', 3: 'Non-Existent Domain', 4: 'Not Implemented', 5: 'Query Refused', 6: 'Name Exists when it should not',
  7: 'RR Set Exists when it should not', 8: 'RR Set that should exist does not', 9: 'Server Not Authoritative for zone', 10: 'Name not contained in zone',
};
