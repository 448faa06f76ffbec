import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlowView } from '../flows/consumer.ts';
import { expose } from './exposition.ts';
import { FlowMetrics } from './flow-metrics.ts';
import { parseMetricList } from './options.ts';
import { end, view } from './testing.ts';

/** Samples without heads, histograms by count and sum. */
function samples(metrics: FlowMetrics): string[] {
  return expose(metrics.families(), 'text').split('\n').filter(line => line !== '' && !line.startsWith('#') && !/_bucket\{.*le="[\d.]+"/.test(line));
}

function counted(options: string, ...flows: FlowView[]): string[] {
  const metrics = new FlowMetrics(parseMetricList([options]));
  for (const flow of flows) metrics.flow(flow);
  return samples(metrics);
}

const pod = (name: string, more: Partial<FlowView['source']> = {}) =>
  end({ namespace: 'shop', podName: name, labels: ['k8s:app=a', 'k8s:app.kubernetes.io/name=named', 'k8s:io.kubernetes.pod.namespace=shop'], workloads: [{ name: 'web', kind: 'Deployment' }], ...more });
const world = end({ ip: '1.1.1.1', identity: 2, labels: ['cidr:1.1.1.1/32', 'reserved:world'], names: ['one.one.', 'dns.'] });

test('contexts: what an end is called, the first that is not empty', () => {
  const of = (identifier: string, source = pod('web-1')) => /source="([^"]*)"/.exec(counted(`drop:sourceContext=${identifier}`, view({ type: 'drop', verdict: 'DROPPED', dropReasonCode: 133, source }))[0]!)![1];
  assert.equal(of('namespace'), 'shop');
  assert.equal(of('pod'), 'shop/web-1');
  assert.equal(of('pod-name'), 'web-1');
  assert.equal(of('workload'), 'shop/web');
  assert.equal(of('workload-name'), 'web');
  assert.equal(of('app'), 'named');
  assert.equal(of('ip'), '10.0.0.1');
  assert.equal(of('identity'), 'k8s:app=a,k8s:app.kubernetes.io/name=named,k8s:io.kubernetes.pod.namespace=shop');
  assert.equal(of('reserved-identity'), '');
  assert.equal(of('reserved-identity', world), 'reserved:world');
  assert.equal(of('reserved-identity', end({ labels: ['reserved:remote-node', 'reserved:kube-apiserver'] })), 'reserved:kube-apiserver');
  assert.equal(of('dns', world), 'one.one.,dns.');
  assert.equal(of('pod|dns|ip', world), 'one.one.,dns.');
  assert.equal(of('pod|ip', world), '1.1.1.1');
});

test('contexts of one direction stand before those of both', () => {
  const lines = counted('drop:sourceContext=namespace;sourceEgressContext=pod;destinationIngressContext=ip',
    ...(['EGRESS', 'INGRESS', 'UNKNOWN'] as const).map(direction => view({ type: 'drop', verdict: 'DROPPED', dropReasonCode: 133, direction, source: pod('web-1') })));
  assert.deepEqual(lines.map(line => [/source="([^"]*)"/.exec(line)![1], /destination="([^"]*)"/.exec(line)![1]]), [['shop/web-1', ''], ['shop', '10.0.0.2'], ['shop', '']]);
});

test('all labels of labelsContext', () => {
  const labels = ['source_ip', 'source_pod', 'source_namespace', 'source_workload', 'source_workload_kind', 'source_app', 'destination_ip', 'destination_pod', 'destination_namespace', 'destination_workload', 'destination_workload_kind', 'destination_app', 'traffic_direction'];
  assert.deepEqual(counted(`flow:labelsContext=${labels.join(',')}`, view({ source: pod('web-1'), destination: world })), [
    'hubble_flows_processed_total{destination_app="",destination_ip="1.1.1.1",destination_namespace="",destination_pod="",destination_workload="",destination_workload_kind="",protocol="TCP",source_app="named",source_ip="10.0.0.1",source_namespace="shop",source_pod="web-1",source_workload="web",source_workload_kind="Deployment",subtype="to-endpoint",traffic_direction="ingress",type="Trace",verdict="FORWARDED"} 1',
  ]);
});

const client = end({ id: 3 });
const question = { type: 'l7', source: client, tcpFlags: [], protocol: 'UDP', direction: 'EGRESS', l7: { type: 'REQUEST', dns: { query: 'db.shop.', observationSource: 'kernel', qtypes: ['A'] } } } as const;
const answer = { ...question, isReply: true, source: end({ ip: '10.0.0.2' }), destination: client, l7: { type: 'RESPONSE', dns: { query: 'db.shop.', observationSource: 'kernel', qtypes: ['A'], rcode: 3 } } } as const;
const twoRecords = { ...answer, l7: { type: 'RESPONSE', dns: { ...answer.l7.dns, rcode: 0, ips: ['1.1.1.1', '1.1.1.2'], rrtypes: ['CNAME', 'A', 'A'] } } } as const;

test('dns: questions, answers and their records', () => {
  assert.deepEqual(counted('dns:query', view(question), view(answer), view(twoRecords)), [
    'hubble_dns_queries_total{ips_returned="0",qtypes="A",query="db.shop.",rcode=""} 1',
    'hubble_dns_response_types_total{qtypes="A",query="db.shop.",type="CNAME"} 1',
    'hubble_dns_response_types_total{qtypes="A",query="db.shop.",type="A"} 2',
    'hubble_dns_responses_total{ips_returned="0",qtypes="A",query="db.shop.",rcode="Non-Existent Domain"} 1',
    'hubble_dns_responses_total{ips_returned="2",qtypes="A",query="db.shop.",rcode="No Error"} 1',
  ]);
});

test("dns: what both nodes see is counted on the client's", () => {
  assert.deepEqual(counted('dns', view({ ...question, source: end() }), view({ ...answer, destination: end(), source: end({ id: 9 }) })), []);
});

test('dns: a refused question, and AAAA left out', () => {
  const aaaa = { ...question, l7: { type: 'REQUEST', dns: { ...question.l7.dns, qtypes: ['AAAA'] } } } as const;
  assert.deepEqual(counted('dns:ignoreAAAA', view({ ...question, verdict: 'DROPPED' }), view(aaaa)), ['hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode="Policy denied"} 1']);
  assert.equal(counted('dns', view(aaaa)).length, 1);
});

test('drop: each packet once, a verdict is none', () => {
  const denied = { verdict: 'DROPPED', dropReason: 'Policy denied', dropReasonCode: 133 } as const;
  assert.deepEqual(counted('drop', view({ ...denied, type: 'policy-verdict' }), view({ ...denied, type: 'drop' }), view({ ...denied, type: 'drop', dropReasonCode: 221, dropReason: 'Policy not ready', protocol: 'UDP' })), [
    'hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 1',
    'hubble_drop_total{protocol="UDP",reason="POLICY_NOT_READY"} 1',
  ]);
});

test('what is no packet is not counted', () => {
  assert.deepEqual(counted('flow', view({ packetless: true }), view({ type: 'policy-verdict', verdict: 'TRACED', shadow: 'deny' })), []);
});

test('flow: types, subtypes and protocols in upstream\'s words', () => {
  const lines = counted('flow', view(question), view({ type: 'sock', verdict: 'TRACED' }), view({ protocol: 'IP-89', type: 'drop', verdict: 'DROPPED' }), view({ type: 'policy-verdict', verdict: 'AUDIT' }));
  assert.deepEqual(lines, [
    'hubble_flows_processed_total{protocol="DNS",subtype="DNS",type="L7",verdict="FORWARDED"} 1',
    'hubble_flows_processed_total{protocol="Unknown flow",subtype="7",type="Unknown",verdict="TRACED"} 1',
    'hubble_flows_processed_total{protocol="Unknown L4",subtype="",type="Drop",verdict="DROPPED"} 1',
    'hubble_flows_processed_total{protocol="TCP",subtype="",type="PolicyVerdict",verdict="AUDIT"} 1',
  ]);
});

test('flows-to-world: port, any-drop and syn-only', () => {
  const to = { destination: world, direction: 'EGRESS' } as const;
  const dropped = { ...to, type: 'drop', verdict: 'DROPPED' } as const;
  const flows = [view(to), view({ ...to, tcpFlags: ['ACK'] }), view({ ...to, isReply: true }), view({ ...dropped, dropReasonCode: 133 }), view({ ...dropped, dropReasonCode: 181 }), view({ ...dropped, dropReasonCode: 134 }), view()];
  assert.deepEqual(counted('flows-to-world:port', ...flows), ['hubble_flows_to_world_total{port="80",protocol="TCP",verdict="FORWARDED"} 2', 'hubble_flows_to_world_total{port="80",protocol="TCP",verdict="DROPPED"} 2']);
  assert.deepEqual(counted('flows-to-world:any-drop;syn-only', ...flows), ['hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 1', 'hubble_flows_to_world_total{protocol="TCP",verdict="DROPPED"} 3']);
});

const request = view({ type: 'l7', direction: 'EGRESS', source: pod('web-1'), destination: pod('db-1', { ip: '10.0.0.9' }), l7: { type: 'REQUEST', http: { method: 'GET', url: '/', protocol: 'HTTP/1.1' } } });
const response = view({ ...request, source: request.destination, destination: request.source, isReply: true, l7: { type: 'RESPONSE', latencyNs: 1_500_000_000, http: { code: 500, method: 'GET', url: '/', protocol: 'HTTP/1.1' } } });

test('http counts requests and answers; httpV2 answers as from the client', () => {
  assert.deepEqual(counted('http:sourceContext=pod', request, response), [
    'hubble_http_request_duration_seconds_bucket{method="GET",reporter="client",source="shop/db-1",le="+Inf"} 1',
    'hubble_http_request_duration_seconds_sum{method="GET",reporter="client",source="shop/db-1"} 1.5',
    'hubble_http_request_duration_seconds_count{method="GET",reporter="client",source="shop/db-1"} 1',
    'hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="client",source="shop/web-1"} 1',
    'hubble_http_responses_total{method="GET",protocol="HTTP/1.1",reporter="client",source="shop/db-1",status="500"} 1',
  ]);
  assert.deepEqual(counted('httpV2:sourceContext=pod;destinationContext=pod', request, response), [
    'hubble_http_request_duration_seconds_bucket{destination="shop/db-1",method="GET",reporter="client",source="shop/web-1",le="+Inf"} 1',
    'hubble_http_request_duration_seconds_sum{destination="shop/db-1",method="GET",reporter="client",source="shop/web-1"} 1.5',
    'hubble_http_request_duration_seconds_count{destination="shop/db-1",method="GET",reporter="client",source="shop/web-1"} 1',
    'hubble_http_requests_total{destination="shop/db-1",method="GET",protocol="HTTP/1.1",reporter="client",source="shop/web-1",status="500"} 1',
  ]);
});

test('icmp, kafka, port-distribution, sctp, tcp and policy', () => {
  const echo = { protocol: 'ICMPv4', icmpType: 8, icmpCode: 0 } as const;
  assert.deepEqual(counted('icmp', view({ ...echo, tcpFlags: [] }), view({ protocol: 'ICMPv6', icmpType: 1, icmpCode: 4, ipVersion: 'IPv6' })), ['hubble_icmp_total{family="IPv4",type="EchoRequest"} 1', 'hubble_icmp_total{family="IPv6",type="DestinationUnreachable(Port)"} 1']);
  const kafka = view({ type: 'l7', l7: { type: 'REQUEST', latencyNs: 1000, kafka: { apiVersion: 1, apiKey: 'fetch', correlationId: 1, topic: 't' } } });
  assert.ok(counted('kafka', kafka).includes('hubble_kafka_requests_total{api_key="fetch",error_code="0",reporter="server",topic="t"} 1'));
  assert.deepEqual(counted('port-distribution', view(), view({ isReply: true }), view({ isReply: undefined }), view({ verdict: 'DROPPED' }), view(echo)), ['hubble_port_distribution_total{port="80",protocol="TCP"} 1', 'hubble_port_distribution_total{port="0",protocol="ICMPv4"} 1']);
  assert.deepEqual(counted('sctp', view({ protocol: 'SCTP', sctpChunkType: 'INIT' }), view({ protocol: 'SCTP', sctpChunkType: 'UNSUPPORTED' })), ['hubble_sctp_chunk_types_total{chunk_type="INIT",family="IPv4"} 1']);
  assert.deepEqual(counted('tcp', view({ tcpFlags: ['SYN', 'FIN', 'RST'] }), view({ tcpFlags: ['SYN'], verdict: 'DROPPED' }), view({ tcpFlags: ['SYN', 'ACK'], verdict: 'REDIRECTED' })), [
    'hubble_tcp_flags_total{family="IPv4",flag="FIN"} 1', 'hubble_tcp_flags_total{family="IPv4",flag="SYN"} 1', 'hubble_tcp_flags_total{family="IPv4",flag="RST"} 1', 'hubble_tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1',
  ]);
  assert.deepEqual(counted('policy', view({ type: 'policy-verdict', policyMatch: 'L3-L4', verdict: 'DROPPED' }), view({ type: 'policy-verdict', source: end({ identity: 1 }) }), view(question), view({ ...question, l7: { ...question.l7, dns: { ...question.l7.dns, observationSource: 'proxy' } } }), view()), [
    'hubble_policy_verdicts_total{action="dropped",direction="ingress",match="l3-l4"} 1', 'hubble_policy_verdicts_total{action="forwarded",direction="egress",match="l7/dns"} 1',
  ]);
});

test('connection: from who opened it to who answered, whichever end tells', () => {
  const client = pod('web-1');
  const server = pod('db-0', { ip: '10.0.0.9' });
  const totals = { packetsOut: 5, bytesOut: 500, packetsBack: 4, bytesBack: 4000, durationNs: 1, end: 'closed' } as const;
  const flows = [
    view({ source: server, destination: client, isReply: true, direction: 'EGRESS', connectLatencyNs: 20_000_000 }),
    view({ source: client, destination: server, direction: 'EGRESS', connection: totals }),
    view({ source: server, destination: client, isReply: true, direction: 'EGRESS', connection: { ...totals, end: 'reset' } }),
    view({ source: client, destination: server, direction: 'INGRESS', packetless: true, connection: { ...totals, end: 'idle' } }),
    view({ source: client, destination: server }),
  ];
  const labels = (more: string) => `{destination="shop/db-0",${more},source="shop/web-1"}`;
  assert.deepEqual(counted('connection:sourceContext=pod;destinationContext=pod', ...flows).sort(), [
    `hubble_connect_duration_seconds_bucket${labels('protocol="TCP",reporter="client"').replace('}', ',le="+Inf"}')} 1`,
    `hubble_connect_duration_seconds_count${labels('protocol="TCP",reporter="client"')} 1`,
    `hubble_connect_duration_seconds_sum${labels('protocol="TCP",reporter="client"')} 0.02`,
    `hubble_connection_bytes_total${labels('reporter="client",sender="client"')} 1000`, `hubble_connection_bytes_total${labels('reporter="client",sender="server"')} 8000`,
    `hubble_connection_bytes_total${labels('reporter="server",sender="client"')} 500`, `hubble_connection_bytes_total${labels('reporter="server",sender="server"')} 4000`,
    `hubble_connections_ended_total${labels('end="closed",protocol="TCP",reporter="client"')} 1`, `hubble_connections_ended_total${labels('end="idle",protocol="TCP",reporter="server"')} 1`,
    `hubble_connections_ended_total${labels('end="reset",protocol="TCP",reporter="client"')} 1`,
  ]);
});

test('what would be too many series is counted together, and how much', () => {
  const metrics = new FlowMetrics(parseMetricList(['port-distribution']), { limit: 3 });
  for (let port = 1; port <= 10; port++) metrics.flow(view({ destinationPort: port }));
  metrics.flow(view({ destinationPort: 2 }));
  assert.deepEqual(samples(metrics), [
    'hubble_metrics_series_overflow_total{metric="hubble_port_distribution_total"} 7',
    'hubble_port_distribution_total{port="1",protocol="TCP"} 1', 'hubble_port_distribution_total{port="2",protocol="TCP"} 2', 'hubble_port_distribution_total{port="3",protocol="TCP"} 1',
    'hubble_port_distribution_total{port="overflow",protocol="overflow"} 7',
  ]);
});

test('so are too many combinations of context labels', () => {
  const metrics = new FlowMetrics(parseMetricList(['flow:sourceContext=ip']), { limit: 4 });
  for (let i = 0; i < 50; i++) metrics.flow(view({ source: end({ ip: `10.0.0.${i}` }) }));
  assert.equal(metrics.series, 4);
  assert.equal(metrics.overflowed, 46);
});

test('series of a pod that is gone go; the pod that comes back begins at 0, also from the same end', () => {
  const metrics = new FlowMetrics(parseMetricList(['flow:sourceContext=pod;destinationContext=ip', 'drop', 'icmp:labelsContext=source_namespace,source_pod']));
  const source = pod('web-1');
  const flow = view({ source });
  for (let i = 0; i < 3; i++) metrics.flow(flow);
  metrics.flow(view({ source: pod('web-2') }));
  metrics.flow(view({ source, protocol: 'ICMPv4', icmpType: 8 }));
  assert.equal(metrics.forgetPod('shop', 'web-9'), 0);
  assert.equal(metrics.forgetPod('shop', 'web-1'), 3);
  assert.equal(samples(metrics).filter(line => line.includes('web-1')).length, 0);
  metrics.flow(flow);
  metrics.flow(view({ source: pod('web-1') }));
  assert.deepEqual(samples(metrics).filter(line => line.includes('web-1')).map(line => line.split(' ').at(-1)), ['2'], 'the old end and a new one are the same series');
});

test('a name that pods of two namespaces share goes when both are gone', () => {
  const metrics = new FlowMetrics(parseMetricList(['flow:sourceContext=pod-name']));
  metrics.flow(view({ source: pod('db-0') }));
  metrics.flow(view({ source: pod('db-0', { namespace: 'other' }) }));
  assert.equal(metrics.forgetPod('shop', 'db-0'), 0);
  assert.equal(metrics.forgetPod('other', 'db-0'), 1);
});

test('other plugins: those that stay keep their series, filters choose flows', () => {
  const metrics = new FlowMetrics(parseMetricList(['flow', 'tcp']));
  metrics.flow(view());
  const [flow] = parseMetricList(['flow']);
  metrics.configure([{ ...flow!, include: [{ source_pod: ['shop/web-1'] }], exclude: [{ verdict: ['DROPPED'] }] }]);
  metrics.flow(view());
  metrics.flow(view({ source: pod('web-1') }));
  metrics.flow(view({ source: pod('web-1'), verdict: 'DROPPED' }));
  assert.deepEqual(samples(metrics), ['hubble_flows_processed_total{protocol="TCP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 2']);
  metrics.configure(parseMetricList(['flow:sourceContext=ip']));
  metrics.flow(view());
  assert.deepEqual(samples(metrics).map(line => line.split(' ').at(-1)), ['1'], 'other labels begin anew');
});

test('a configuration that is refused changes nothing', () => {
  const metrics = new FlowMetrics(parseMetricList(['flow']));
  metrics.flow(view());
  const [tcp] = parseMetricList(['tcp']);
  assert.throws(() => metrics.configure([{ ...tcp!, include: [{ source_ip: ['not an address'] }] }]));
  assert.deepEqual(metrics.names, ['flow']);
  assert.equal(metrics.series, 1);
});
