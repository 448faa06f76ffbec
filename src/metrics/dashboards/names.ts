import type { DashboardSpec } from './grafana.ts';
import { quantile, rate, share, top } from './promql.ts';

const failed = 'rcode!="No Error"';
const pair = ['source', 'destination'] as const;
const pairLegend = '{{source}} → {{destination}}';

/** Requests with their status, whichever of the two plugins counts them. */
const withStatus = (by: readonly string[], more: string) => `${rate('hubble_http_requests_total', by, more)} or ${rate('hubble_http_responses_total', by, more)}`;
const serverErrors = 'status=~"5.."';
const anyStatus = 'status!=""';

export const dnsAndHttp: DashboardSpec = {
  uid: 'cirri-dns-http', title: 'Cirri: DNS and HTTP', description: 'Names that are asked for and not found; requests, their errors and how long they take.',
  rows: [
    {
      title: 'DNS', panels: [
        { title: 'Questions', description: 'Plugin dns, read in the kernel: no proxy, whether or not a policy names a name.', kind: 'stat', unit: 'reqps', queries: [{ expr: rate('hubble_dns_queries_total'), legend: 'questions' }] },
        { title: 'Failed', description: 'Answers other than "No Error". Search domains make many names that do not exist.', kind: 'stat', unit: 'percentunit', queries: [{ expr: share(rate('hubble_dns_responses_total', [], failed), rate('hubble_dns_responses_total')), legend: 'failed' }] },
        { title: 'Server failures', description: 'Server Failure and Query Refused: the resolver is at fault.', kind: 'stat', unit: 'reqps', queries: [{ expr: `${rate('hubble_dns_responses_total', [], 'rcode=~"Server Failure|Query Refused"')} or vector(0)`, legend: 'failures' }] },
        { title: 'Questions by type', description: '', kind: 'timeseries', unit: 'reqps', stacked: true, queries: [{ expr: rate('hubble_dns_queries_total', ['qtypes']), legend: '{{qtypes}}' }] },
        { title: 'Answers by outcome', description: '', kind: 'timeseries', unit: 'reqps', stacked: true, queries: [{ expr: rate('hubble_dns_responses_total', ['rcode']), legend: '{{rcode}}' }] },
        { title: 'Who fails to resolve', description: 'Failed answers by whom they went to. Needs destinationContext of the plugin dns.', kind: 'timeseries', unit: 'reqps', queries: [{ expr: top(10, rate('hubble_dns_responses_total', ['destination', 'rcode'], failed)), legend: '{{destination}} {{rcode}}' }] },
        { title: 'Which names fail', description: 'Needs the option query of the plugin dns.', kind: 'table', unit: 'reqps', queries: [{ expr: top(20, `${rate('hubble_dns_responses_total', ['query', 'rcode'], failed)} > 0`), legend: '' }] },
        { title: 'Questions without answer', description: 'Questions less answers: positive where a resolver is silent or out of reach.', kind: 'timeseries', unit: 'reqps', queries: [{ expr: `clamp_min(${rate('hubble_dns_queries_total', ['node'])} - ${rate('hubble_dns_responses_total', ['node'])}, 0)`, legend: '{{node}}' }] },
        { title: 'Records in answers', description: '', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_dns_response_types_total', ['type']), legend: '{{type}}' }] },
      ],
    },
    {
      title: 'HTTP', panels: [
        { title: 'Requests', description: 'Plugins httpV2 or http.', kind: 'stat', unit: 'reqps', queries: [{ expr: rate('hubble_http_requests_total'), legend: 'requests' }] },
        { title: 'Server errors', description: 'Answers with 5xx.', kind: 'stat', unit: 'percentunit', queries: [{ expr: share(`(${withStatus([], serverErrors)})`, `(${withStatus([], anyStatus)})`), legend: '5xx' }] },
        { title: 'p99', description: '', kind: 'stat', unit: 's', queries: [{ expr: quantile(0.99, 'hubble_http_request_duration_seconds'), legend: 'p99' }] },
        { title: 'Requests by status', description: '', kind: 'timeseries', unit: 'reqps', stacked: true, queries: [{ expr: withStatus(['status'], anyStatus), legend: '{{status}}' }] },
        { title: 'Requests by method', description: '', kind: 'timeseries', unit: 'reqps', stacked: true, queries: [{ expr: rate('hubble_http_requests_total', ['method']), legend: '{{method}}' }] },
        { title: 'Error rate by pair', description: 'Needs sourceContext and destinationContext. With httpV2 the client is the source.', kind: 'timeseries', unit: 'percentunit', queries: [{ expr: top(10, share(`(${withStatus(pair, serverErrors)})`, `(${withStatus(pair, anyStatus)})`)), legend: pairLegend }] },
        { title: 'Duration', description: '', kind: 'timeseries', unit: 's', queries: [0.5, 0.9, 0.99].map(q => ({ expr: quantile(q, 'hubble_http_request_duration_seconds'), legend: `p${q * 100}` })) },
        { title: 'Duration by pair (p99)', description: '', kind: 'timeseries', unit: 's', queries: [{ expr: top(10, quantile(0.99, 'hubble_http_request_duration_seconds', pair)), legend: pairLegend }] },
      ],
    },
  ],
};
