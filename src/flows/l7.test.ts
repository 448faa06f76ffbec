import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DnsType } from '../model/dns.ts';
import type { Flow, FlowRule } from '../model/flow.ts';
import { emptyLookups, type FlowLookups } from './enrich.ts';
import { EventType } from './event.ts';
import type { L7Record } from './l7-record.ts';
import { NameCache } from './name-cache.ts';
import { createFlowPipeline } from './pipeline.ts';
import { redacted, redactor } from './redact.ts';
import { eventRecord, MemoryRing, type RecordFields } from './testing.ts';
import { dnsMessage, type WrittenMessage } from './testing-dns.ts';

const redact = { enabled: true, http: { urlQuery: true, userInfo: true, headers: { allow: [], deny: ['Authorization'] } } };

function node(more: Partial<FlowLookups> = {}) {
  const names = new NameCache();
  const rings = { drops: new MemoryRing(), flows: new MemoryRing(), names: new MemoryRing() };
  let nowNs = 1_000_000_000;
  const pipeline = createFlowPipeline({
    rings, names, redact, lookups: { ...emptyLookups, namesOf: (ip, viewer) => names.namesOf(ip, viewer), ...more }, nodeName: 'node1',
    clock: { monotonicNs: () => BigInt(nowNs), wallNs: () => BigInt(nowNs) },
  });
  const client = { source: '10.244.1.5', sourcePort: 50_000, sourceEndpoint: 4, destination: '10.244.2.53', destinationPort: 53, protocol: 17, direction: 2 };
  const server = { source: client.destination, sourcePort: 53, destination: client.source, destinationPort: client.sourcePort, destinationEndpoint: 4, protocol: 17, direction: 1, flags: 1 };
  const dns = (message: WrittenMessage, more: Partial<RecordFields> = {}) => {
    rings.names.queued.push(eventRecord({ type: EventType.l7, timeNs: nowNs, ...(message.response ? server : client), ...more, payload: dnsMessage(message) }));
    nowNs += 2_000_000;
  };
  const connect = (destination: string) => {
    rings.flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: nowNs, ...client, destination, destinationPort: 443, destinationIdentity: 2, protocol: 6 }));
    nowNs += 1000;
  };
  return { pipeline, rings, dns, connect };
}

const question = [{ name: 'api.example.com', type: 1 }];
const answer = { name: 'api.example.com', type: DnsType.a, ttl: 30, data: Uint8Array.of(192, 0, 2, 7) };

test('DNS messages are L7 flows: the answer knows its question, and the connection that follows has the name', () => {
  const { pipeline, dns, connect } = node();
  connect('192.0.2.7');
  dns({ id: 1, questions: question });
  dns({ id: 1, response: true, questions: question, answers: [answer] });
  connect('192.0.2.7');
  const [before, request, response, after] = pipeline.query({});
  assert.deepEqual([request?.type, request?.verdict, request?.isReply, request?.direction, request?.summary], ['l7', 'FORWARDED', false, 'EGRESS', 'DNS Query api.example.com. A']);
  assert.deepEqual(response?.l7, {
    type: 'RESPONSE', latencyNs: 2_000_000,
    dns: { query: 'api.example.com.', qtypes: ['A'], rcode: 0, observationSource: 'kernel', ips: ['192.0.2.7'], ttl: 30, rrtypes: ['A'] },
  });
  assert.equal(response?.summary, 'DNS Answer "192.0.2.7" TTL: 30 (Query api.example.com. A)');
  assert.equal(response.isReply, true);
  assert.deepEqual([before?.destination.names, after?.destination.names], [undefined, ['api.example.com.']]);
});

test('a name that does not exist says so; an answer that nobody asked for teaches nothing', () => {
  const { pipeline, dns, connect } = node();
  dns({ id: 2, questions: question });
  dns({ id: 2, response: true, rcode: 3, questions: question });
  dns({ id: 3, response: true, questions: question, answers: [answer] });
  dns({ id: 2, response: true, questions: [{ name: 'other.example', type: 1 }], answers: [{ ...answer, name: 'other.example' }] });
  connect('192.0.2.7');
  const flows = pipeline.query({});
  assert.equal(flows[1]?.summary, 'DNS Answer RCode: Non-Existent Domain TTL: 0 (Query api.example.com. A)');
  assert.deepEqual(flows.map(flow => flow.l7?.latencyNs), [undefined, 2_000_000, undefined, undefined, undefined]);
  assert.equal(flows.at(-1)?.destination.names, undefined);
  assert.equal(pipeline.names.size, 0);
});

test('a question that was refused says by which policy', () => {
  const rule: FlowRule = { id: 9, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'names', path: 'spec.egress[0]', effect: 'allow', because: '' };
  const { pipeline, dns } = node({ rule: () => rule, policiesOf: () => [{ kind: rule.kind, namespace: 'shop', name: 'names', labels: [] }] });
  dns({ id: 1, questions: question }, { verdict: 2, rule: 9 });
  dns({ id: 2, questions: question }, { verdict: 1, rule: 9 });
  const [refused, passed] = pipeline.query({});
  assert.deepEqual([refused!.verdict, refused!.rule?.name, refused!.egressDeniedBy?.map(policy => policy.name), refused!.egressAllowedBy], ['DROPPED', 'names', ['names'], undefined]);
  assert.deepEqual([passed!.verdict, passed!.egressDeniedBy, passed!.egressAllowedBy?.map(policy => policy.name)], ['FORWARDED', undefined, ['names']]);
});

test('an answer over TCP, which a proxy has handed on, teaches names too', () => {
  const { pipeline, connect } = node();
  const end = { ip: '10.244.1.5', port: 50_000, identity: 300, endpoint: 4 };
  const resolver = { ip: '10.244.2.53', port: 53, identity: 400, endpoint: 0 };
  pipeline.l7({
    timeNs: 1_000_000_000n, source: resolver, destination: end, protocol: 'TCP', direction: 'EGRESS', verdict: 'FORWARDED', rule: 0,
    l7: { type: 'RESPONSE', dns: { query: 'api.example.com.', observationSource: 'proxy', ips: ['192.0.2.7'], ttl: 30, rcode: 0 } },
  });
  connect('192.0.2.7');
  assert.deepEqual(pipeline.query({}).at(-1)?.destination.names, ['api.example.com.']);
});

test('what a pod of another node asks is told there, what comes from outside is told here', () => {
  const { pipeline, dns } = node();
  const server = { destinationEndpoint: 9 };
  dns({ id: 1, questions: question }, { ...server, sourceEndpoint: 0, sourceIdentity: 300 });
  dns({ id: 1, response: true, questions: question }, { destinationEndpoint: 0, destinationIdentity: 300, sourceEndpoint: 9 });
  dns({ id: 2, questions: question }, { ...server, sourceEndpoint: 0, sourceIdentity: 2 });
  dns({ id: 3, questions: question }, { ...server, sourceEndpoint: 4, sourceIdentity: 300 });
  assert.deepEqual(pipeline.query({}).map(flow => [flow.source.identity, flow.source.id]), [[2, 0], [300, 4]]);
});

test('what is no DNS message is counted and is no flow', () => {
  const { pipeline, rings } = node();
  rings.names.queued.push(eventRecord({ type: EventType.l7, timeNs: 1, payload: Uint8Array.of(1, 2, 3) }), eventRecord({ type: EventType.trace, timeNs: 1 }));
  assert.deepEqual(pipeline.query({}), []);
  assert.deepEqual([pipeline.stats.notDns, pipeline.stats.unknown], [1, 1]);
});

const http: L7Record = {
  timeNs: 5n, protocol: 'TCP', direction: 'INGRESS', verdict: 'FORWARDED', rule: 0, proxyPort: 10_001, traceId: 'abc',
  source: { ip: '10.244.1.5', port: 50_000, identity: 300, endpoint: 0 }, destination: { ip: '10.244.2.9', port: 8080, identity: 301, endpoint: 7 },
  l7: {
    type: 'REQUEST',
    http: { method: 'GET', url: 'http://ann:secret@shop/pay?card=1234#top', protocol: 'HTTP/1.1', headers: [{ key: 'authorization', value: 'Bearer x' }, { key: 'Accept', value: '*/*' }] },
  },
};

test('what the proxy tells comes out as the kernel\'s records do: in its place, with names, and without secrets', () => {
  const { pipeline, rings } = node();
  const seen: string[] = [];
  pipeline.consume({ flow: flow => seen.push(`${flow.type} ${flow.verdict}`) });
  pipeline.l7({ ...http, timeNs: 7n, verdict: 'DROPPED' });
  rings.flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: 6 }));
  pipeline.l7(http);
  const [request] = pipeline.query({}) as [Flow];
  assert.deepEqual(seen, ['l7 FORWARDED', 'policy-verdict FORWARDED', 'l7 DROPPED']);
  assert.deepEqual([request.sourcePort, request.destination.ip, request.destination.id, request.proxyPort, request.traceId, request.direction], [50_000, '10.244.2.9', 7, 10_001, 'abc', 'INGRESS']);
  assert.deepEqual(request.l7?.http, {
    method: 'GET', url: `http://ann:${redacted}@shop/pay`, protocol: 'HTTP/1.1', headers: [{ key: 'authorization', value: redacted }, { key: 'Accept', value: '*/*' }],
  });
  assert.equal(request.tcpFlags, undefined);
  assert.equal(request.summary, `HTTP/1.1 GET http://ann:${redacted}@shop/pay`);
  assert.equal(pipeline.stats.drops, 1);
});

test('redaction: a list of what may be told, what may not, and nothing when it is off', () => {
  const headers = (allow: string[], deny: string[]) => redactor({ enabled: true, http: { urlQuery: false, userInfo: false, headers: { allow, deny } } })(http.l7).http?.headers?.map(header => header.value);
  assert.deepEqual(headers(['ACCEPT'], []), [redacted, '*/*']);
  assert.deepEqual(headers(['accept', 'authorization'], ['accept']), ['Bearer x', redacted]);
  assert.equal(redactor({ ...redact, enabled: false })(http.l7), http.l7);
  const url = (text: string) => redactor(redact)({ type: 'REQUEST', http: { method: 'GET', url: text, protocol: 'HTTP/1.1' } }).http?.url;
  assert.deepEqual(['/a?b=c', '//u:p@h/', 'http://u:p:q@h?x', 'http://u@h/a@b:c', 'no url: at@all', 'http://h/p?q=http://u:p@h'].map(url), ['/a', `//u:${redacted}@h/`, `http://u:${redacted}@h`, 'http://u@h/a@b:c', 'no url: at@all', 'http://h/p']);
});
