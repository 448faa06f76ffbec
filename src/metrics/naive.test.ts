import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FlowView } from '../flows/consumer.ts';
import type { FlowEndpoint } from '../model/flow.ts';
import { icmpName } from '../flows/icmp.ts';
import { dropReasonName } from '../flows/reasons.ts';
import { expose } from './exposition.ts';
import { FlowMetrics } from './flow-metrics.ts';
import { parseMetricList } from './options.ts';
import { end, view } from './testing.ts';

/*
 * Random flows under random configurations: what is written out must be what a counter says that looks at one flow at a time
 * and remembers nothing but its sums. It is written from the description of Hubble's metrics and shares nothing with the plugins.
 */

interface Asked { readonly plugin: string; readonly flags: readonly string[]; readonly contexts: Readonly<Record<string, readonly string[]>> }

const identifiers = ['identity', 'namespace', 'pod', 'pod-name', 'dns', 'ip', 'reserved-identity', 'workload', 'workload-name', 'app'];
const labels = ['source_ip', 'source_pod', 'source_namespace', 'source_workload', 'source_workload_kind', 'source_app', 'destination_ip', 'destination_pod', 'destination_namespace', 'destination_workload', 'destination_workload_kind', 'destination_app', 'traffic_direction'];
const flagsOf: Readonly<Record<string, readonly string[]>> = { dns: ['query', 'ignoreAAAA'], 'flows-to-world': ['any-drop', 'port', 'syn-only'] };

type Add = (metric: string, labels: Record<string, string>, value?: number) => void;

function naiveContext(asked: Asked, flow: FlowView, inverted: boolean): Record<string, string> {
  const [source, destination] = inverted ? [flow.destination, flow.source] : [flow.source, flow.destination];
  const found: Record<string, string> = {};
  const app = (end: FlowEndpoint) => ['app.kubernetes.io/name', 'k8s-app', 'app'].flatMap(key => end.labels.filter(label => label.startsWith(`k8s:${key}=`)).map(label => label.split('=')[1]!)).find(value => value !== '') ?? '';
  for (const label of asked.contexts['labelsContext'] ?? []) {
    const end = label.startsWith('source_') ? source : destination;
    switch (label.replace(/^(source|destination)_/, '')) {
      case 'traffic_direction': found[label] = flow.direction.toLowerCase(); break;
      case 'ip': found[label] = end.ip; break;
      case 'pod': found[label] = end.podName ?? ''; break;
      case 'namespace': found[label] = end.namespace ?? ''; break;
      case 'workload': found[label] = end.workloads?.[0]?.name ?? ''; break;
      case 'workload_kind': found[label] = end.workloads?.[0]?.kind ?? ''; break;
      case 'app': found[label] = app(end); break;
    }
  }
  const call = (end: FlowEndpoint, identifier: string): string => {
    const prefix = end.namespace === undefined ? '' : `${end.namespace}/`;
    switch (identifier) {
      case 'identity': return end.labels.join(',');
      case 'namespace': return end.namespace ?? '';
      case 'pod': return end.podName ? prefix + end.podName : '';
      case 'pod-name': return end.podName ?? '';
      case 'dns': return (end.names ?? []).join(',');
      case 'ip': return end.ip;
      case 'reserved-identity': return end.labels.includes('reserved:kube-apiserver') ? 'reserved:kube-apiserver' : end.labels.find(label => label.startsWith('reserved:')) ?? '';
      case 'workload': return end.workloads?.[0] ? prefix + end.workloads[0].name : '';
      case 'workload-name': return end.workloads?.[0]?.name ?? '';
      default: return app(end);
    }
  };
  for (const [role, end] of [['source', source], ['destination', destination]] as const) {
    const names = ['', 'Egress', 'Ingress'].map(direction => `${role}${direction}Context`);
    if (names.every(name => asked.contexts[name] === undefined)) continue;
    const own = flow.direction === 'UNKNOWN' ? undefined : asked.contexts[`${role}${flow.direction === 'EGRESS' ? 'Egress' : 'Ingress'}Context`];
    found[role] = (own ?? asked.contexts[`${role}Context`] ?? []).map(identifier => call(end, identifier)).find(value => value !== '') ?? '';
  }
  return found;
}

function naive(asked: Asked, flow: FlowView, into: Add): void {
  if (flow.packetless || flow.shadow) return;
  const { l7, verdict, type, protocol } = flow;
  const passed = verdict === 'FORWARDED' || verdict === 'REDIRECTED';
  const add: Add = (metric, own, value) => into(`hubble_${metric}`, { ...own, ...naiveContext(asked, flow, asked.plugin === 'httpV2') }, value);
  const layer4 = ['TCP', 'UDP', 'SCTP', 'ICMPv4', 'ICMPv6'].includes(protocol) ? protocol : 'Unknown L4';
  const word = type === 'l7' ? (l7?.dns ? 'DNS' : l7?.http ? 'HTTP' : l7?.kafka ? 'Kafka' : 'Unknown L7') : layer4;
  const reporter = ({ EGRESS: 'client', INGRESS: 'server', UNKNOWN: 'unknown' } as const)[flow.direction];
  const hasPort = ['TCP', 'UDP', 'SCTP'].includes(protocol);
  switch (asked.plugin) {
    case 'dns': {
      const { dns } = l7 ?? {};
      if (!dns || (dns.observationSource === 'kernel' && [flow.source, flow.destination][flow.isReply === true ? 1 : 0]!.id === 0) || (asked.flags.includes('ignoreAAAA') && String(dns.qtypes) === 'AAAA')) return;
      const query: Record<string, string> = asked.flags.includes('query') ? { query: dns.query } : {};
      const base = { qtypes: (dns.qtypes ?? []).join(','), ips_returned: String((dns.ips ?? []).length), ...query };
      if (verdict === 'DROPPED') return add('dns_queries_total', { ...base, rcode: 'Policy denied' });
      if (flow.isReply !== true) return add('dns_queries_total', { ...base, rcode: '' });
      add('dns_responses_total', { ...base, rcode: { 0: 'No Error', 2: 'Server Failure', 3: 'Non-Existent Domain' }[dns.rcode ?? 0] ?? '' });
      for (const each of dns.rrtypes ?? []) add('dns_response_types_total', { type: each, qtypes: base.qtypes, ...query });
      return;
    }
    case 'drop': return verdict === 'DROPPED' && type !== 'policy-verdict' ? add('drop_total', { reason: flow.dropReasonCode === undefined ? 'DROP_REASON_UNKNOWN' : dropReasonName(flow.dropReasonCode).name, protocol: word }) : undefined;
    case 'flow': {
      const subtype = type === 'trace' ? flow.observationPoint! : type === 'l7' ? (word === 'Unknown L7' ? '' : word) : '';
      return add('flows_processed_total', { protocol: word, type: { trace: 'Trace', l7: 'L7', drop: 'Drop' }[type as string] ?? 'PolicyVerdict', subtype, verdict });
    }
    case 'flows-to-world': {
      if (!flow.destination.labels.includes('reserved:world')) return;
      if (verdict === 'DROPPED' ? !asked.flags.includes('any-drop') && ![133, 181].includes(flow.dropReasonCode ?? 0) : flow.isReply === true) return;
      if (asked.flags.includes('syn-only') && (flow.isReply === true || !flow.tcpFlags?.includes('SYN'))) return;
      return add('flows_to_world_total', { protocol: word, verdict, ...(asked.flags.includes('port') ? { port: hasPort ? String(flow.destinationPort ?? '') : '' } : {}) });
    }
    case 'http': case 'httpV2': {
      const { http } = l7 ?? {};
      if (!http) return;
      const base = { method: http.method, protocol: http.protocol, reporter };
      const v2 = asked.plugin === 'httpV2';
      if (l7?.type === 'REQUEST' && !v2) add('http_requests_total', base);
      if (l7?.type !== 'RESPONSE') return;
      add(v2 ? 'http_requests_total' : 'http_responses_total', { ...base, status: String(http.code) });
      add('http_request_duration_seconds_count', { method: http.method, reporter });
      return add('http_request_duration_seconds_sum', { method: http.method, reporter }, (l7.latencyNs ?? 0) / 1e9);
    }
    case 'icmp': return protocol.startsWith('ICMP') ? add('icmp_total', { family: protocol.slice(-2) === 'v4' ? 'IPv4' : 'IPv6', type: icmpName(protocol, flow.icmpType!, flow.icmpCode!) }) : undefined;
    case 'kafka': {
      const { kafka } = l7 ?? {};
      if (!kafka || l7?.type !== 'REQUEST') return;
      const base = { topic: kafka.topic ?? '', api_key: kafka.apiKey, reporter };
      add('kafka_requests_total', { ...base, error_code: String(kafka.errorCode ?? 0) });
      add('kafka_request_duration_seconds_count', base);
      return add('kafka_request_duration_seconds_sum', base, (l7.latencyNs ?? 0) / 1e9);
    }
    case 'port-distribution': return passed && flow.isReply === false && layer4 !== 'Unknown L4' ? add('port_distribution_total', { protocol, port: hasPort ? String(flow.destinationPort) : '0' }) : undefined;
    case 'sctp': return passed && protocol === 'SCTP' && flow.sctpChunkType ? add('sctp_chunk_types_total', { chunk_type: flow.sctpChunkType, family: flow.ipVersion }) : undefined;
    case 'tcp': {
      if (!passed || protocol !== 'TCP') return;
      const flags = new Set(flow.tcpFlags);
      if (flags.has('FIN')) add('tcp_flags_total', { flag: 'FIN', family: flow.ipVersion });
      if (flags.has('SYN')) add('tcp_flags_total', { flag: flags.has('ACK') ? 'SYN-ACK' : 'SYN', family: flow.ipVersion });
      if (flags.has('RST')) add('tcp_flags_total', { flag: 'RST', family: flow.ipVersion });
      return;
    }
    case 'policy': {
      const direction = flow.direction === 'UNKNOWN' ? 'traffic_direction_unknown' : flow.direction.toLowerCase();
      const action = verdict.toLowerCase();
      if (type === 'policy-verdict' && flow.source.identity !== 1) return add('policy_verdicts_total', { direction, action, match: flow.policyMatch!.toLowerCase() });
      return type === 'l7' && l7?.dns?.observationSource !== 'kernel' ? add('policy_verdicts_total', { direction, action, match: `l7/${l7?.dns ? 'dns' : l7?.http ? 'http' : 'kafka'}` }) : undefined;
    }
  }
}

const ends: readonly FlowEndpoint[] = [
  end({ ip: '10.0.0.1', id: 7, namespace: 'shop', podName: 'web-1', labels: ['k8s:app=web', 'k8s:k8s-app=other'], workloads: [{ name: 'web', kind: 'Deployment' }] }),
  end({ ip: '10.0.0.2', namespace: 'shop', podName: 'web-2', labels: ['k8s:app=web', 'k8s:k8s-app=other'], workloads: [{ name: 'web', kind: 'Deployment' }] }),
  end({ ip: '10.0.0.3', namespace: 'shop"\\\n', podName: 'db-0', labels: ['k8s:app=', 'k8s:app.kubernetes.io/name=db'], workloads: [{ name: 'db', kind: 'StatefulSet' }] }),
  end({ ip: '1.1.1.1', identity: 2, labels: ['reserved:world'], names: ['one.', 'two.'] }),
  end({ ip: 'fd00::1', identity: 1, labels: ['reserved:host'] }),
  end({ ip: '172.30.0.1', identity: 7, labels: ['reserved:remote-node', 'reserved:kube-apiserver'] }),
];

const l7 = fc.oneof(
  fc.record({ query: fc.constantFrom('a.', 'b.'), observationSource: fc.constantFrom('kernel', 'proxy'), qtypes: fc.constantFrom(['A'], ['AAAA'], ['A', 'AAAA'], []), ips: fc.constantFrom([], ['1.1.1.1']), rcode: fc.constantFrom(0, 2, 3, 77), rrtypes: fc.constantFrom([], ['A', 'A', 'CNAME']) }).map(dns => ({ dns })),
  fc.record({ method: fc.constantFrom('GET', 'PUT'), url: fc.constant('/'), protocol: fc.constantFrom('HTTP/1.1', 'HTTP/2'), code: fc.constantFrom(200, 503) }).map(http => ({ http })),
  fc.record({ apiVersion: fc.constant(1), apiKey: fc.constantFrom('fetch', 'produce'), correlationId: fc.constant(1), topic: fc.constantFrom('t', undefined), errorCode: fc.constantFrom(0, -1, undefined) }).map(kafka => ({ kafka: kafka as NonNullable<FlowView['l7']>['kafka'] })),
).chain(message => fc.record({ type: fc.constantFrom('REQUEST' as const, 'RESPONSE' as const, 'SAMPLE' as const), latencyNs: fc.constantFrom(0, 5_000_000, 3_000_000_000), ...Object.fromEntries(Object.entries(message).map(([key, value]) => [key, fc.constant(value)])) }) as unknown as fc.Arbitrary<NonNullable<FlowView['l7']>>);

const flows: fc.Arbitrary<FlowView> = fc.record({
  type: fc.constantFrom('trace' as const, 'drop' as const, 'policy-verdict' as const, 'l7' as const),
  verdict: fc.constantFrom('FORWARDED' as const, 'DROPPED' as const, 'REDIRECTED' as const, 'AUDIT' as const, 'ERROR' as const),
  direction: fc.constantFrom('INGRESS' as const, 'EGRESS' as const, 'UNKNOWN' as const),
  isReply: fc.constantFrom(true, false, undefined),
  ipVersion: fc.constantFrom('IPv4' as const, 'IPv6' as const),
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP', 'ICMPv4', 'ICMPv6', 'IP-89'),
  source: fc.constantFrom(...ends), destination: fc.constantFrom(...ends),
  // A new object for the same end, as after a change of it.
  fresh: fc.boolean(),
  destinationPort: fc.constantFrom(53, 80, 443),
  flags: fc.subarray(['SYN', 'ACK', 'FIN', 'RST'] as const),
  icmpType: fc.constantFrom(0, 3, 8, 128, 200), icmpCode: fc.constantFrom(0, 3),
  chunk: fc.constantFrom(undefined, 'INIT', 'ABORT'),
  dropReasonCode: fc.constantFrom(133, 134, 181, undefined),
  policyMatch: fc.constantFrom('L3-L4', 'none', 'all'),
  observationPoint: fc.constantFrom('to-endpoint', 'to-overlay'),
  packetless: fc.constantFrom(false, false, false, true), shadow: fc.constantFrom(undefined, undefined, undefined, 'deny' as const),
  l7,
}).map(({ fresh, flags, chunk, l7: message, source, protocol, destinationPort, dropReasonCode, shadow, ...rest }) => {
  const { tcpFlags: _, sourcePort: __, destinationPort: ___, ...base } = view();
  return {
    ...base, ...rest, protocol, source: fresh ? { ...source } : source,
    ...(['TCP', 'UDP', 'SCTP'].includes(protocol) && { destinationPort }), ...(protocol === 'TCP' && { tcpFlags: flags }), ...(protocol === 'SCTP' && chunk !== undefined && { sctpChunkType: chunk }),
    ...(dropReasonCode !== undefined && { dropReasonCode }), ...(shadow !== undefined && { shadow }), ...(rest.type === 'l7' && { l7: message }),
  };
});

const some = (names: readonly string[]) => fc.subarray([...names], { minLength: 1, maxLength: 3 });
const asked: fc.Arbitrary<Asked> = fc.constantFrom('dns', 'drop', 'flow', 'flows-to-world', 'http', 'httpV2', 'icmp', 'kafka', 'policy', 'port-distribution', 'sctp', 'tcp').chain(plugin => fc.record({
  plugin: fc.constant(plugin),
  flags: fc.subarray([...(flagsOf[plugin] ?? [])]),
  contexts: fc.record({
    sourceContext: some(identifiers), sourceEgressContext: some(identifiers), sourceIngressContext: some(identifiers),
    destinationContext: some(identifiers), destinationEgressContext: some(identifiers), destinationIngressContext: some(identifiers), labelsContext: some(labels),
  }, { requiredKeys: [] }) as fc.Arbitrary<Asked['contexts']>,
}));

function written({ plugin, flags, contexts }: Asked): string {
  const options = [...flags, ...Object.entries(contexts).map(([name, list]) => `${name}=${list.join(name === 'labelsContext' ? ',' : '|')}`)];
  return options.length === 0 ? plugin : `${plugin}:${options.join(';')}`;
}

/** `name{labels}` → value of all samples but buckets. */
function told(metrics: FlowMetrics): Map<string, number> {
  const samples = expose(metrics.families(), 'text').split('\n').filter(line => line !== '' && !line.startsWith('#') && !line.includes('_bucket{'));
  return new Map(samples.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

const quoted = (value: string) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;

test('what is counted is what a naive counter counts', () => {
  fc.assert(fc.property(asked, fc.array(flows, { maxLength: 60 }), (config, list) => {
    const metrics = new FlowMetrics(parseMetricList([written(config)]));
    const expected = new Map<string, number>();
    for (const flow of list) {
      metrics.flow(flow);
      naive(config, flow, (metric, own, value = 1) => {
        const key = `${metric}{${Object.keys(own).sort().map(name => `${name}=${quoted(own[name]!)}`).join(',')}}`;
        expected.set(key, (expected.get(key) ?? 0) + value);
      });
    }
    assert.deepEqual(new Map([...told(metrics)].sort()), new Map([...expected].sort()), written(config));
  }), { numRuns: 1500 });
});

test('nothing is lost in overflow, whatever the limit: the sums stay', () => {
  fc.assert(fc.property(asked.filter(({ plugin }) => plugin === 'flow'), fc.array(flows, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (config, list, limit) => {
    const metrics = new FlowMetrics(parseMetricList([written(config)]), { limit });
    for (const flow of list) metrics.flow(flow);
    const processed = [...told(metrics)].filter(([name]) => name.startsWith('hubble_flows_processed_total'));
    assert.equal(processed.reduce((sum, [, value]) => sum + value, 0), list.filter(flow => !flow.packetless && !flow.shadow).length);
    assert.ok(processed.length <= limit + 1);
  }));
});

test('a pod that is forgotten leaves no trace, others stay as they are', () => {
  fc.assert(fc.property(asked.filter(({ plugin }) => plugin === 'flow'), fc.array(flows, { maxLength: 60 }), fc.array(flows, { maxLength: 20 }), (config, before, after) => {
    const metrics = new FlowMetrics(parseMetricList([written(config)]));
    for (const flow of before) metrics.flow(flow);
    const told1 = told(metrics);
    metrics.forgetPod('shop', 'web-1');
    const told2 = told(metrics);
    for (const [name, value] of told2) assert.equal(value, told1.get(name));
    // Only a label that tells this pod from its sisters makes a series its own.
    for (const name of told1.keys()) if (!told2.has(name)) assert.match(name, /web-1|10\.0\.0\.1"/);
    for (const name of told2.keys()) assert.doesNotMatch(name, /"(shop\/)?web-1"|"10\.0\.0\.1"/);
    const again = new FlowMetrics(parseMetricList([written(config)]));
    for (const flow of after) for (const each of [metrics, again]) each.flow(flow);
    for (const [name, value] of told(again)) assert.equal(told(metrics).get(name), value + (told2.get(name) ?? 0), name);
  }));
});
