/** Every layout, line by line, of every kind of flow that Hubble's API can tell. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow } from '../../model/flow.ts';
import { flowFromJson } from '../jsonpb-read.ts';
import { anyFlow } from '../testing-flows.ts';
import { createEventPrinter } from './events.ts';
import { timeFormatter } from './go-time.ts';
import { createPrinter, printFormats, type PrinterOptions } from './printer.ts';
import type { NodeStatus } from './responses.ts';
import { serverStatusText, durationText } from './status.ts';

const hubble: PrinterOptions = { format: 'compact', ours: false };

function print(flows: readonly Flow[], options: PrinterOptions = hubble): string {
  const lines: string[] = [];
  const printer = createPrinter(options, line => lines.push(line));
  flows.forEach(flow => printer.flow(flow));
  printer.end();
  return lines.join('\n');
}

const time = '2026-11-28T09:05:07.012345678Z';
const ends = { IP: { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' }, source: { identity: 4711, namespace: 'shop', pod_name: 'web-1' }, destination: { identity: 2 } };
const http = { method: 'GET', url: 'http://api/v1', protocol: 'HTTP/1.1' };

const lines: readonly (readonly [title: string, flow: object, line: string])[] = [
  ['a request', { ...ends, l4: { TCP: { source_port: 40000, destination_port: 80 } }, l7: { type: 'REQUEST', http }, event_type: { type: 129 }, verdict: 'FORWARDED', is_reply: false, Summary: 'HTTP/1.1 GET http://api/v1' },
    'shop/web-1:40000 (ID:4711) -> 10.0.0.2:80 (world) http-request FORWARDED (HTTP/1.1 GET http://api/v1)'],
  ['its answer', { ...ends, l4: { TCP: { source_port: 80, destination_port: 40000 } }, l7: { type: 'RESPONSE', latency_ns: '4000000', http: { ...http, code: 200 } }, event_type: { type: 129 }, verdict: 'FORWARDED', is_reply: true, Summary: 'HTTP/1.1 200 4ms (GET http://api/v1)' },
    '10.0.0.2:40000 (world) <- shop/web-1:80 (ID:4711) http-response FORWARDED (HTTP/1.1 200 4ms (GET http://api/v1))'],
  ['a name asked for', { ...ends, l4: { UDP: { source_port: 40000, destination_port: 53 } }, l7: { type: 'REQUEST', dns: { query: 'a.b.', observation_source: 'proxy', qtypes: ['A'] } }, event_type: { type: 129 }, verdict: 'FORWARDED', is_reply: false, Summary: 'DNS Query a.b. A' },
    'shop/web-1:40000 (ID:4711) -> 10.0.0.2:53 (world) dns-request proxy FORWARDED (DNS Query a.b. A)'],
  ['a Kafka answer', { ...ends, l7: { type: 'RESPONSE', kafka: { api_key: 'fetch' } }, event_type: { type: 129 }, verdict: 'FORWARDED', Summary: 'Kafka response fetch' },
    'shop/web-1 (ID:4711) <> 10.0.0.2 (world) kafka-response FORWARDED (Kafka response fetch)'],
  ['a socket before translation', { ...ends, l4: { TCP: { destination_port: 443 } }, event_type: { type: 7, sub_type: 1 }, sock_xlate_point: 'SOCK_XLATE_POINT_PRE_DIRECTION_FWD', verdict: 'TRACED', destination_service: { name: 'kubernetes', namespace: 'default' }, Summary: 'TCP' },
    'shop/web-1 (ID:4711) <> default/kubernetes:443 (world) pre-xlate-fwd TRACED (TCP)'],
  ['a capture', { ...ends, event_type: { type: 3, sub_type: 4 }, debug_capture_point: 'DBG_CAPTURE_DELIVERY', Summary: 'x' },
    'shop/web-1 (ID:4711) <> 10.0.0.2 (world) DBG_CAPTURE_DELIVERY VERDICT_UNKNOWN (x)'],
  ['an echo', { ...ends, l4: { ICMPv4: { type: 8 } }, event_type: { type: 4, sub_type: 3 }, trace_observation_point: 'TO_STACK', verdict: 'FORWARDED', is_reply: false, Summary: 'ICMPv4 EchoRequest' },
    'shop/web-1 (ID:4711) -> 10.0.0.2 (world) to-stack FORWARDED (ICMPv4 EchoRequest)'],
  ['SCTP', { ...ends, l4: { SCTP: { source_port: 7, destination_port: 9, chunk_type: 'INIT' } }, event_type: { type: 4 }, verdict: 'FORWARDED', is_reply: false, Summary: 'SCTP' },
    'shop/web-1:7 (ID:4711) -> 10.0.0.2:9 (world) to-endpoint FORWARDED (SCTP)'],
  ['IPv6 and names', { ...ends, IP: { source: 'fd00::1', destination: 'fd00::2' }, source: { identity: 16777217 }, destination_names: ['a.example.', 'b.example'], l4: { TCP: { source_port: 1, destination_port: 2 } }, event_type: { type: 4, sub_type: 4 }, verdict: 'FORWARDED', is_reply: false, Summary: 'TCP Flags: SYN' },
    '[fd00::1]:1 (ID:16777217) -> a.example,b.example:2 (world) to-overlay FORWARDED (TCP Flags: SYN)'],
  ['no IP', { ethernet: { source: '02:00:00:00:00:01', destination: 'ff:ff:ff:ff:ff:ff' }, event_type: { type: 1, sub_type: 166 }, verdict: 'DROPPED', Summary: '' },
    '02:00:00:00:00:01 (unknown) <> ff:ff:ff:ff:ff:ff (unknown) Unsupported L2 protocol DROPPED ()'],
  ['authentication and a trace id', { ...ends, auth_type: 'SPIRE', ip_trace_id: { trace_id: '7' }, event_type: { type: 1, sub_type: 189 }, verdict: 'DROPPED', Summary: 'TCP Flags: SYN' },
    'shop/web-1 (ID:4711) <> 10.0.0.2 (world) Authentication required DROPPED (IP Trace ID: 7; TCP Flags: SYN; Auth: SPIRE)'],
];

test('compact: every kind of flow', () => {
  for (const [title, flow, line] of lines) assert.equal(print([flowFromJson({ time, ...flow })]), `Nov 28 09:05:07.012: ${line}`, title);
});

const verdict = (more: object) => flowFromJson({ time, ...ends, event_type: { type: 5 }, policy_match_type: 2, Summary: 'UDP', ...more });

test('policy verdicts name those that decided, of their own direction, and only those that have a name and a kind', () => {
  const names = { egress_allowed_by: [{ name: 'out', kind: 'NetworkPolicy' }], ingress_allowed_by: [{ name: 'a', kind: 'CiliumNetworkPolicy' }, { name: 'b', kind: 'CiliumClusterwideNetworkPolicy' }, { name: 'c' }] };
  const last = (flow: Flow, policyNames = true) => print([flow], { ...hubble, policyNames }).split('(world) ')[1];
  assert.equal(last(verdict({ ...names, verdict: 'FORWARDED', traffic_direction: 'INGRESS' })), 'policy-verdict:L3-L4 INGRESS ALLOWED BY a (CiliumNetworkPolicy), b (CiliumClusterwideNetworkPolicy) (UDP)');
  assert.equal(last(verdict({ ...names, verdict: 'REDIRECTED', traffic_direction: 'EGRESS' })), 'policy-verdict:L3-L4 EGRESS ALLOWED BY out (NetworkPolicy) (UDP)');
  assert.equal(last(verdict({ ...names, verdict: 'FORWARDED', traffic_direction: 'INGRESS' }), false), 'policy-verdict:L3-L4 INGRESS ALLOWED (UDP)');
  assert.equal(last(verdict({ egress_denied_by: [{ name: 'no', kind: 'NetworkPolicy' }], verdict: 'DROPPED', traffic_direction: 'EGRESS' })), 'policy-verdict:L3-L4 EGRESS DENIED BY no (NetworkPolicy) (UDP)');
  assert.equal(last(verdict({ verdict: 'AUDIT' })), 'policy-verdict:L3-L4 TRAFFIC_DIRECTION_UNKNOWN AUDITED (UDP)');
});

test('table, dict and legacy JSON of two flows and a loss', () => {
  const flow = flowFromJson({ time, node_name: 'n1', ...lines[0]![1] });
  const lost = { source: 'PERF_EVENT_RING_BUFFER', count: 12, cpu: 3, nodeName: 'n1', time };
  const all = (options: PrinterOptions) => {
    const out: string[] = [];
    const printer = createPrinter(options, line => out.push(line));
    printer.flow(flow);
    printer.lost(lost);
    printer.end();
    return out.join('\n');
  };
  assert.equal(all({ ...hubble, format: 'table', nodeNames: true }), [
    'TIMESTAMP             NODE   SOURCE                   DESTINATION   TYPE           VERDICT     SUMMARY',
    'Nov 28 09:05:07.012   n1     shop/web-1:40000         10.0.0.2:80   http-request   FORWARDED   HTTP/1.1 GET http://api/v1',
    'Nov 28 09:05:07.012   n1     PERF_EVENT_RING_BUFFER   -             EVENTS LOST    -           CPU(3) - 12',
  ].join('\n'));
  assert.equal(all({ ...hubble, format: 'dict' }), [
    '  TIMESTAMP: Nov 28 09:05:07.012', '     SOURCE: shop/web-1:40000', 'DESTINATION: 10.0.0.2:80', '       TYPE: http-request', '    VERDICT: FORWARDED', '    SUMMARY: HTTP/1.1 GET http://api/v1',
    '------------',
    '  TIMESTAMP: Nov 28 09:05:07.012', '     SOURCE: PERF_EVENT_RING_BUFFER', '       TYPE: EVENTS LOST', '    VERDICT: -', '    SUMMARY: CPU(3) - 12',
  ].join('\n'));
  const [response, lostJson] = all({ ...hubble, format: 'json' }).split('\n').map(line => JSON.parse(line) as { flow: object; lost_events: object });
  assert.deepEqual(lostJson!.lost_events, { source: 'PERF_EVENT_RING_BUFFER', num_events_lost: '12', cpu: 3 });
  assert.deepEqual(JSON.parse(all({ ...hubble, format: 'json', legacyJson: true }).split('\n')[0]!), response!.flow);
});

test('node states go to the other output: failures always, the rest when asked for', () => {
  const told = (status: Partial<NodeStatus>, options: PrinterOptions = hubble) => {
    const out: string[] = [];
    createPrinter(options, () => assert.fail('not here'), line => out.push(line)).nodeStatus({ state: 'NODE_UNAVAILABLE', nodes: ['a', 'b'], nodeName: 'relay', time, ...status });
    return out.join('\n');
  };
  assert.equal(told({}), 'Nov 28 09:05:07.012 [relay]: 2 nodes are unavailable: a, b');
  assert.equal(told({ state: 'NODE_ERROR', message: 'no "way"\x1b[2J' }), 'Nov 28 09:05:07.012 [relay]: Error "no \\"way\\"^[[2J" on 2 nodes: a, b');
  assert.equal(told({ state: 'NODE_CONNECTED' }), '');
  assert.equal(told({ state: 'NODE_CONNECTED' }, { ...hubble, debug: true }), 'Nov 28 09:05:07.012 [relay]: Receiving flows from 2 nodes: a, b');
  assert.equal(told({ state: 'NODE_GONE', nodes: Array.from({ length: 20 }, (_, i) => `node-${i}`) }, { ...hubble, debug: true }), 'Nov 28 09:05:07.012 [relay]: 20 nodes removed from cluster: node-0, node-1, node-2, node-3, node-4, node-5 (and 14 more)');
  assert.equal(told({}, { ...hubble, format: 'dict' }), '  TIMESTAMP: Nov 28 09:05:07.012\n      STATE: NODE_UNAVAILABLE\n      NODES: a, b\n    MESSAGE: N/A');
  assert.deepEqual(JSON.parse(told({}, { ...hubble, format: 'jsonpb' })), { node_status: { state_change: 'NODE_UNAVAILABLE', node_names: ['a', 'b'] }, node_name: 'relay', time });
});

test("colours are Hubble's, and only where they are wanted", () => {
  const flow = flowFromJson({ time, ...lines[0]![1] });
  assert.equal(print([flow], { ...hubble, colours: true }),
    'Nov 28 09:05:07.012: \x1b[36mshop/web-1:\x1b[33m40000\x1b[0m\x1b[0m \x1b[35m(ID:4711)\x1b[0m -> \x1b[36m10.0.0.2:\x1b[33m80\x1b[0m\x1b[0m \x1b[35m(world)\x1b[0m http-request \x1b[32mFORWARDED\x1b[0m (HTTP/1.1 GET http://api/v1)');
  assert.ok(!print([flow], { ...hubble, format: 'table', colours: true }).includes('\x1b'));
});

test('times by the names of layouts and by layouts in Go’s form', () => {
  const at = (format: string) => timeFormatter(format)('2026-01-05T03:04:05.120000000Z');
  assert.equal(at('StampMilli'), 'Jan  5 03:04:05.120');
  assert.equal(at('RFC3339'), '2026-01-05T03:04:05Z');
  assert.equal(at('RFC3339Micro'), '2026-01-05T03:04:05.120000Z');
  assert.equal(at('RFC3339Nano'), '2026-01-05T03:04:05.12Z');
  assert.equal(at('RFC1123Z'), 'Mon, 05 Jan 2026 03:04:05 +0000');
  assert.equal(at('15:04:05.000'), '03:04:05.120');
  assert.throws(() => timeFormatter('Tuesday'), /not a layout/);
});

test('agent events in every layout', () => {
  const events = [
    { agent_event: { type: 'AGENT_STARTED', agent_start: { time } }, node_name: 'n1', time },
    { agent_event: { type: 'ENDPOINT_CREATED', endpoint_update: { id: '7', namespace: 'a', pod_name: 'b' } }, node_name: 'n1', time },
    { agent_event: { type: 'IPCACHE_UPSERTED', ipcache_update: { cidr: '10.0.0.1/32', identity: 7, host_ip: '172.30.0.10' } }, node_name: 'n1', time },
    { agent_event: { type: 'POLICY_UPDATED', policy_update: { labels: ['k8s:x=y'], revision: '3', rule_count: '1' } }, node_name: 'n1', time },
  ];
  const shown = (format: PrinterOptions['format']) => {
    const out: string[] = [];
    const printer = createEventPrinter({ format, nodeNames: true }, line => out.push(line));
    events.forEach(event => printer.event(event));
    printer.end();
    return out;
  };
  assert.deepEqual(shown('compact'), [
    'Nov 28 09:05:07.012 [n1]: AGENT_STARTED (start time: Nov 28 09:05:07.012)',
    'Nov 28 09:05:07.012 [n1]: ENDPOINT_CREATED (id: 7, namespace: a, pod name: b)',
    'Nov 28 09:05:07.012 [n1]: IPCACHE_UPSERTED (cidr: 10.0.0.1/32, identity: 7, host ip: 172.30.0.10, encrypt key: 0)',
    'Nov 28 09:05:07.012 [n1]: POLICY_UPDATED (labels: [k8s:x=y], revision: 3, count: 1)',
  ]);
  assert.equal(shown('table')[1], 'Nov 28 09:05:07.012   n1     AGENT_STARTED      start time: Nov 28 09:05:07.012');
  assert.equal(shown('dict')[0], '  TIMESTAMP: Nov 28 09:05:07.012\n       NODE: n1\n       TYPE: AGENT_STARTED\n    DETAILS: start time: Nov 28 09:05:07.012');
  assert.deepEqual(shown('jsonpb').map(line => JSON.parse(line) as unknown), events);
});

test('status: nodes that are missing are named', () => {
  const status = { numFlows: 12_285, maxFlows: 12_285, seenFlows: 99, uptimeNs: 3_600e9, flowsRate: 41.2, version: 'v', numConnectedNodes: 2, numUnavailableNodes: 3, unavailableNodes: ['z', 'b'] };
  assert.equal(serverStatusText(status, 'compact'), 'Current/Max Flows: 12,285/12,285 (100.00%)\nFlows/s: 41.20\nConnected Nodes: 2/5\nUnavailable Nodes: 3\n  - b\n  - z\n  - and 1 more...');
  assert.deepEqual([1.5e6, 61e9, 3_600e9, 301_515_181_665].map(durationText), ['1.5ms', '1m1s', '1h0m0s', '5m1.515181665s']);
});

/** Strings that would do something to a terminal, or to a page. */
const hostile = fc.array(fc.constantFrom('\x1b[31m', '\x1b]0;title\x07', '\x9b2J', '\r', '\n', '\t', '\x00', '\x7f', '\u202e', '\u2066', '\u2028', '</script>', 'é', '漢', 'a', '/'), { minLength: 1, maxLength: 6 }).map(parts => parts.join(''));

test('V14: whatever a flow holds, no control character reaches the terminal in any layout', () => {
  // eslint-disable-next-line no-control-regex
  const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
  fc.assert(fc.property(anyFlow(hostile), fc.constantFrom(...printFormats), fc.boolean(), (flow, format, ours) => {
    const text = print([flow], { format, ours, policyNames: true, nodeNames: true, ids: ours ? 'all' : 'none' });
    assert.doesNotMatch(text, unsafe);
    const breaks = text.split('\n').length - 1;
    const expected = format === 'table' ? 1 : format === 'dict' ? (ours ? 7 : 6) : 0;
    assert.equal(breaks, expected, 'nor a line break that the layout does not have');
    if (format === 'jsonpb') assert.doesNotMatch(text, /<\/script>/);
  }), { numRuns: 400 });
});

test('V14: with colours the only sequences are ours', () => {
  fc.assert(fc.property(anyFlow(hostile), flow => {
    const text = print([flow], { format: 'compact', colours: true, policyNames: true, nodeNames: true, ids: 'all' });
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(text.replace(/\x1b\[(?:0|1|2|3[1-6])m/g, ''), /[\u0000-\u001f\u007f-\u009f]/);
  }), { numRuns: 200 });
});
