import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../std/log.ts';
import { expose, exposition, labelText, negotiate, type MetricFamily } from './exposition.ts';
import { FlowMetrics } from './flow-metrics.ts';
import { parseMetricList } from './options.ts';
import { startMetricsServer } from './server.ts';
import { end, view } from './testing.ts';

const answered = view({
  type: 'l7', isReply: true, direction: 'EGRESS', traceId: 'abc"1', tcpFlags: [],
  l7: { type: 'RESPONSE', latencyNs: 30_000_000, http: { code: 503, method: 'GET', url: '/', protocol: 'HTTP/1.1' } },
});

test('the text format', () => {
  const metrics = new FlowMetrics(parseMetricList(['drop:sourceContext=pod', 'tcp']));
  metrics.flow(view({ type: 'drop', verdict: 'DROPPED', dropReason: 'Policy denied', dropReasonCode: 133, source: end({ namespace: 'shop', podName: 'web\n"1"' }) }));
  metrics.flow(view({ tcpFlags: ['SYN', 'ACK'] }));
  metrics.lost({ source: 'PERF_EVENT_RING_BUFFER', class: 'flows', count: 3 });
  assert.equal(expose(metrics.families(), 'text'), String.raw`# HELP hubble_drop_total Number of drops
# TYPE hubble_drop_total counter
hubble_drop_total{protocol="TCP",reason="POLICY_DENIED",source="shop/web\n\"1\""} 1
# HELP hubble_lost_events_total Number of lost events
# TYPE hubble_lost_events_total counter
hubble_lost_events_total{source="perf_event_ring_buffer"} 3
# HELP hubble_tcp_flags_total TCP flag occurrences
# TYPE hubble_tcp_flags_total counter
hubble_tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1
`);
});

test('OpenMetrics with exemplars', () => {
  const metrics = new FlowMetrics(parseMetricList(['httpV2:exemplars=true']));
  metrics.flow(answered);
  const lines = expose(metrics.families(), 'openmetrics').split('\n');
  assert.ok(lines.includes('# TYPE hubble_http_requests counter'));
  assert.ok(lines.includes(String.raw`hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="client",status="503"} 1 # {traceID="abc\"1"} 1 1767323045.000`));
  assert.ok(lines.includes(String.raw`hubble_http_request_duration_seconds_bucket{method="GET",reporter="client",le="0.05"} 1 # {traceID="abc\"1"} 0.03 1767323045.000`));
  assert.ok(lines.includes('hubble_http_request_duration_seconds_bucket{method="GET",reporter="client",le="1.0"} 1'));
  assert.ok(lines.includes('hubble_http_request_duration_seconds_bucket{method="GET",reporter="client",le="+Inf"} 1'));
  assert.ok(lines.includes('hubble_http_request_duration_seconds_bucket{method="GET",reporter="client",le="0.025"} 0'));
  assert.equal(lines.at(-2), '# EOF');
});

test('without exemplars=true there are none', () => {
  const metrics = new FlowMetrics(parseMetricList(['httpV2']));
  metrics.flow(answered);
  assert.doesNotMatch(expose(metrics.families(), 'openmetrics'), /traceID/);
});

test('Accept chooses', () => {
  assert.equal(negotiate(undefined), 'text');
  assert.equal(negotiate('*/*'), 'text');
  // As Prometheus 2.42 asks.
  assert.equal(negotiate('application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'), 'openmetrics');
  assert.equal(negotiate('application/openmetrics-text;q=0.2,text/plain;q=0.5'), 'text');
  assert.equal(negotiate('application/json'), 'text');
});

test('values and labels as the format wants them', () => {
  const family: MetricFamily = { name: 'g', help: 'a "b"\\', type: 'gauge', series: [{ labels: '', value: Infinity }, { labels: labelText({ z: 'q"', a: 'b' }), value: 1e21 }, { labels: labelText({ a: 'c' }), value: NaN }] };
  assert.equal(expose([family], 'text'), '# HELP g a "b"\\\\\n# TYPE g gauge\ng +Inf\ng{a="b",z="q\\""} 1e+21\ng{a="c"} NaN\n');
  assert.equal(expose([{ ...family, series: [] }], 'text'), '', 'a family without series is not there');
});

test('a long text comes in pieces that are the text', () => {
  const metrics = new FlowMetrics(parseMetricList(['port-distribution', 'httpV2:sourceContext=ip']));
  for (let port = 1; port <= 2_000; port++) {
    metrics.flow(view({ destinationPort: port }));
    metrics.flow({ ...answered, destination: end({ ip: `10.0.${port >> 8}.${port & 255}` }) });
  }
  const pieces = [...exposition(metrics.families(), 'text')];
  assert.ok(pieces.length > 50);
  assert.ok(Math.max(...pieces.map(piece => piece.split('\n').length)) < 520);
  const text = pieces.join('');
  assert.equal(text.match(/^# TYPE hubble_port_distribution_total counter$/gm)!.length, 1);
  assert.equal(text.match(/^hubble_port_distribution_total\{/gm)!.length, 2_000);
  assert.equal(text.match(/^hubble_http_request_duration_seconds_bucket\{/gm)!.length, 2_000 * 12);
});

test('the server tells metrics at /metrics, zipped when asked, and nothing else', async () => {
  const stop = new AbortController();
  const metrics = new FlowMetrics(parseMetricList(['flow']));
  const server = await startMetricsServer({ port: 0, host: '127.0.0.1', families: () => metrics.families() }, { log: silentLogger, signal: stop.signal });
  try {
    metrics.flow(view());
    const url = `http://127.0.0.1:${server.port}/metrics`;
    const response = await fetch(url, { headers: { accept: 'application/openmetrics-text' } });
    assert.equal(response.headers.get('content-type'), 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    assert.equal(response.headers.get('content-encoding'), 'gzip');
    assert.match(await response.text(), /hubble_flows_processed_total\{protocol="TCP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"\} 1/);
    const plain = await fetch(url, { headers: { 'accept-encoding': 'identity' } });
    assert.equal(plain.headers.get('content-encoding'), null);
    assert.equal(plain.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal((await fetch(`http://127.0.0.1:${server.port}/`)).status, 404);
    assert.equal((await fetch(url, { method: 'POST' })).status, 405);
    assert.equal((await fetch(url, { method: 'HEAD' })).status, 200);
  } finally {
    stop.abort();
    await server.close();
  }
});
