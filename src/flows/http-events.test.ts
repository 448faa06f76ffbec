import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { layout } from './decode.ts';
import { emptyLookups } from './enrich.ts';
import { Exchanges } from './exchanges.ts';
import { HttpEvents, isHttpRecord } from './http-events.ts';
import { HttpTexts } from './http-told.ts';
import { createFlowPipeline } from './pipeline.ts';
import { createPrinter } from './print/printer.ts';
import { MemoryRing } from './testing.ts';
import { httpRecord, type Told } from './testing-http.ts';

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
    return events.saying.l7.http;
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
  assert.equal(events.saying.l7.http?.url, '', 'the oldest went');
  events.read(httpRecord({ exchange: 1, isAnswer: true, status: 200 }), 0);
  assert.equal(events.saying.l7.http?.url, 'http://x/1');
});

test('a record whose texts are not all there is not understood', () => {
  const record = httpRecord({ method: 'GET', url: '/a', host: 'x' });
  assert.equal(isHttpRecord(record, 0, record.byteLength), true);
  assert.equal(isHttpRecord(record, 0, record.byteLength - 1), false);
  assert.equal(isHttpRecord(record, 0, 112), false);
});

test('what is said again is the same object, whatever else is asked for; and what nobody asks for again is not kept', () => {
  const texts = new HttpTexts();
  const events = new HttpEvents(texts);
  const ask = (told: Told) => {
    events.read(httpRecord(told), 0);
    return events.saying;
  };
  const answer = { isAnswer: true, status: 200, latencyUs: 3 };
  const first = ask({ method: 'GET', url: '/a', host: 'x' });
  const answered = ask(answer);
  const others = [{ method: 'GET', url: '/ax', host: '' }, { method: 'GETx', url: '/a', host: '' }, { method: 'GET', url: '/', host: 'ax' }, { method: 'GET', url: '/a', host: 'x', fault: 7 }, { method: 'GET', url: '/b', host: 'x' }];
  for (const other of others) assert.notEqual(ask(other), first);
  assert.equal(ask({ exchange: 1, method: 'GET', url: '/a', host: 'x', trace }), first, 'a trace is the request\'s own');
  assert.equal(ask({ ...answer, exchange: 1, latencyUs: 9 }), answered);
  ask({ exchange: 2, method: 'GET', url: '/a', host: 'x' });
  assert.notEqual(ask({ ...answer, exchange: 2, status: 404 }), answered);
  const long = { method: 'GET', url: `/${'a'.repeat(400)}`, host: 'x' };
  assert.notEqual(ask(long), ask(long), 'too long to be known again');
  const wanted = { method: 'GET', url: '/wanted', host: 'x' };
  let known = ask(wanted);
  let again = 0;
  const record = httpRecord({ method: 'GET', url: '/00000000', host: 'x' });
  for (let i = 0; i < 1_000_000; i++) {
    for (let digit = 0, rest = i; digit < 7; digit++, rest = Math.floor(rest / 10)) record.setUint8(layout.httpTexts + 'GET/'.length + digit, 48 + rest % 10);
    record.setUint32(layout.httpExchange, i, true);
    events.read(record, 0);
    if (i % 100 !== 0) continue;
    const now = ask(wanted);
    if (now === known) again++;
    known = now;
  }
  assert.deepEqual([texts.size <= 2048, events.waiting], [true, 16_384]);
  assert.ok(again > 9_000, `${again} of 10,000`);
});

test('whatever is asked, answered, and lost: what waits is what a map would have', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 7 }), fc.boolean()), { maxLength: 200 }), steps => {
    const exchanges = new Exchanges<number>(8);
    const naive = new Map<string, number>();
    for (const [i, [connection, exchange, isPut]] of steps.entries()) {
      const key = `${connection} ${exchange}`;
      if (isPut) {
        naive.delete(key);
        if (naive.size === 8) naive.delete(naive.keys().next().value!);
        naive.set(key, i);
        exchanges.put(connection, exchange, i, i, String(i));
      } else {
        const found = exchanges.take(connection, exchange);
        assert.equal(found, naive.get(key));
        if (found !== undefined) assert.deepEqual([exchanges.port, exchanges.text], [found, String(found)]);
        naive.delete(key);
      }
      assert.equal(exchanges.size, naive.size);
    }
  }));
});
