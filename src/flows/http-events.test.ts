import assert from 'node:assert/strict';
import { test } from 'node:test';
import { httpEventCodec } from '../datapath/generated/structs.ts';
import { emptyLookups } from './enrich.ts';
import { EventType } from './event.ts';
import { HttpEvents, isHttpRecord } from './http-events.ts';
import { createFlowPipeline } from './pipeline.ts';
import { createPrinter } from './print/printer.ts';
import { eventRecord, MemoryRing } from './testing.ts';

interface Told {
  readonly connection?: number;
  readonly exchange?: number;
  readonly status?: number;
  readonly fault?: number;
  readonly method?: string;
  readonly url?: string;
  readonly host?: string;
  readonly trace?: string;
  readonly verdict?: number;
  readonly isAnswer?: boolean;
  readonly latencyUs?: number;
  readonly clientPort?: number;
  readonly timeNs?: number;
}

/** As the kernel writes it: the struct by the generated codec, and the texts behind it. */
function httpRecord({ connection = 7, exchange = 0, status = 0, fault = 0, method = '', url = '', host = '', trace = '', verdict = 1, isAnswer = false, latencyUs = 0, clientPort = 41_000, timeNs = 1000 }: Told): DataView {
  const client = { ip: '10.244.1.5', port: clientPort };
  const server = { ip: '10.244.2.9', port: 8080 };
  const [source, destination] = isAnswer ? [server, client] : [client, server];
  const event = eventRecord({ type: EventType.l7, timeNs, source: source.ip, sourcePort: source.port, destination: destination.ip, destinationPort: destination.port, verdict, latencyUs, flags: isAnswer ? 1 : 0, match: 0, tcpFlags: 0, rule: 11 });
  const texts = Buffer.from(method + url + host + trace, 'latin1');
  const bytes = new Uint8Array(httpEventCodec.size + texts.length);
  bytes.set(new Uint8Array(event.buffer));
  const lengths = { methodLength: method.length, urlLength: url.length, hostLength: host.length, traceLength: trace.length };
  httpEventCodec.encode({ ...httpEventCodec.decode(bytes), connection, exchange, status, minor: 1, fault, ...lengths }, bytes);
  bytes.set(texts, httpEventCodec.size);
  return new DataView(bytes.buffer);
}

function node() {
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  let nowNs = 0;
  const pipeline = createFlowPipeline({
    rings, lookups: emptyLookups, nodeName: 'node1', redact: { enabled: true, http: { urlQuery: true, userInfo: true, headers: { allow: [], deny: [] } } },
    clock: { monotonicNs: () => BigInt(nowNs), wallNs: () => BigInt(nowNs) },
  });
  return { pipeline, take: (told: Told) => {
    nowNs += 1000;
    rings.flows.queued.push(httpRecord({ timeNs: nowNs, ...told }));
    nowNs += 1000;
  } };
}

const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

test('requests and answers of the kernel are the flows that the proxy would have told, and say where they were carried out', () => {
  const { pipeline, take } = node();
  take({ method: 'GET', url: '/public?token=1', host: 'shop', trace });
  take({ isAnswer: true, status: 200, latencyUs: 1500 });
  take({ exchange: 1, method: 'DELETE', url: '/admin', host: 'shop', verdict: 2, status: 403 });
  take({ exchange: 2, fault: 7, status: 400 });
  const [request, answer, denied, refusal, malformed] = pipeline.query({});
  assert.deepEqual([request?.type, request?.verdict, request?.isReply, request?.traceId, request?.inKernel], ['l7', 'FORWARDED', false, '4bf92f3577b34da6a3ce929d0e0e4736', true]);
  assert.deepEqual(request?.l7, { type: 'REQUEST', http: { method: 'GET', url: 'http://shop/public', protocol: 'HTTP/1.1' } });
  assert.deepEqual(answer?.l7, { type: 'RESPONSE', latencyNs: 1_500_000, http: { code: 200, method: 'GET', url: 'http://shop/public', protocol: 'HTTP/1.1' } });
  assert.deepEqual([answer?.verdict, answer?.isReply, answer?.source.ip, answer?.traceId], ['FORWARDED', true, '10.244.2.9', '4bf92f3577b34da6a3ce929d0e0e4736']);
  assert.deepEqual([denied?.verdict, denied?.summary], ['DROPPED', 'HTTP/1.1 DELETE http://shop/admin']);
  assert.deepEqual([refusal?.verdict, refusal?.isReply, refusal?.l7?.http?.code, refusal?.l7?.http?.url], ['FORWARDED', true, 403, 'http://shop/admin'], 'the kernel\'s own answer');
  assert.deepEqual([refusal?.source, refusal?.sourcePort, refusal?.destination.ip, refusal?.destinationPort], [denied?.destination, denied?.destinationPort, denied?.source.ip, denied?.sourcePort]);
  assert.deepEqual([malformed?.verdict, malformed?.l7?.http], ['ERROR', { method: '', url: '', protocol: 'HTTP/1.1', headers: [{ key: ':fault', value: 'there is no Host' }] }]);
  assert.deepEqual([pipeline.stats.flows, pipeline.stats.drops, pipeline.stats.unknown], [6, 1, 0]);
  const lines: string[] = [];
  const printer = createPrinter({ format: 'compact', ours: true }, line => lines.push(line));
  for (const flow of [request!, denied!, malformed!]) printer.flow(flow);
  assert.match(lines[0]!, /http-request FORWARDED \(HTTP\/1.1 GET http:\/\/shop\/public\) \[kernel\]$/);
  assert.match(lines[2]!, /http-request ERROR .* \[kernel: there is no Host\]$/);
  assert.match(lines[1]!, /http-request DROPPED \(.*\) \[kernel\]$/);
});

test('an answer whose request was lost says what it knows, and takes no other connection\'s', () => {
  const events = new HttpEvents();
  const read = (told: Told) => {
    const record = httpRecord(told);
    assert.ok(isHttpRecord(record, 0, record.byteLength));
    events.read(record, 0);
    return events.l7.http;
  };
  assert.deepEqual(read({ isAnswer: true, status: 204 }), { code: 204, method: '', url: '', protocol: 'HTTP/1.1' });
  read({ method: 'GET', url: '/a', host: 'x' });
  assert.equal(read({ isAnswer: true, status: 200, clientPort: 41_001 })?.url, '', 'the same number by chance');
  read({ exchange: 5, method: 'GET', url: '/b', host: 'x' });
  assert.equal(read({ exchange: 5, isAnswer: true, status: 200 })?.url, 'http://x/b');
  assert.equal(read({ exchange: 5, isAnswer: true, status: 200 })?.url, '', 'once');
  assert.equal(events.waiting, 0);
});

test('requests that nobody answers are kept so many, and no more', () => {
  const events = new HttpEvents();
  const ask = (exchange: number) => events.read(httpRecord({ exchange, method: 'GET', url: `/${exchange}`, host: 'x' }), 0);
  for (let i = 0; i <= 16_384; i++) ask(i);
  assert.equal(events.waiting, 16_384);
  events.read(httpRecord({ exchange: 0, isAnswer: true, status: 200 }), 0);
  assert.equal(events.l7.http?.url, '', 'the oldest went');
  events.read(httpRecord({ exchange: 1, isAnswer: true, status: 200 }), 0);
  assert.equal(events.l7.http?.url, 'http://x/1');
});

test('a record whose texts are not all there is not understood', () => {
  const record = httpRecord({ method: 'GET', url: '/a', host: 'x' });
  assert.equal(isHttpRecord(record, 0, record.byteLength), true);
  assert.equal(isHttpRecord(record, 0, record.byteLength - 1), false);
  assert.equal(isHttpRecord(record, 0, 112), false);
});
