import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { anyFlow } from '../../flows/testing-flows.ts';
import { waitFor } from '../../std/async.ts';
import { end, view } from '../testing.ts';
import { logRecord } from './log-record.ts';
import { OtlpSender } from './sender.ts';

/*
 * A stand-in for a collector that takes nothing but what opentelemetry-proto's JSON mapping allows: known fields alone, 64-bit
 * numbers as decimal text, ids in hex, enums as numbers, unique keys of attributes.
 */

type Json = Record<string, unknown>;

function object(value: unknown, where: string, required: readonly string[], optional: readonly string[] = []): Json {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), `${where} is an object`);
  const fields = Object.keys(value);
  for (const name of required) assert.ok(fields.includes(name), `${where}.${name} is there`);
  for (const name of fields) assert.ok(required.includes(name) || optional.includes(name), `${where}.${name} is a field`);
  return value as Json;
}

function list(value: unknown, where: string): readonly unknown[] {
  assert.ok(Array.isArray(value), `${where} is a list`);
  return value as readonly unknown[];
}

const uint64 = (value: unknown, where: string) => {
  assert.ok(typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 2n ** 64n, `${where} is a fixed64`);
};

function anyValue(value: unknown, where: string): void {
  const given = object(value, where, [], ['stringValue', 'intValue', 'doubleValue', 'boolValue', 'arrayValue']);
  const [name, ...others] = Object.keys(given);
  assert.ok(name !== undefined && others.length === 0, `${where} has exactly one value`);
  const inner = given[name];
  if (name === 'stringValue') assert.equal(typeof inner, 'string', where);
  else if (name === 'boolValue') assert.equal(typeof inner, 'boolean', where);
  else if (name === 'doubleValue') assert.equal(typeof inner, 'number', where);
  else if (name === 'intValue') assert.ok(typeof inner === 'string' && /^-?\d+$/.test(inner) && BigInt.asIntN(64, BigInt(inner)) === BigInt(inner), `${where} is an int64`);
  else for (const [i, each] of list(object(inner, where, ['values'])['values'], where).entries()) anyValue(each, `${where}[${i}]`);
}

function keyValues(value: unknown, where: string): void {
  const keys = list(value, where).map((entry, i) => {
    const { key, value: inner } = object(entry, `${where}[${i}]`, ['key', 'value']);
    assert.ok(typeof key === 'string' && key !== '');
    anyValue(inner, `${where}[${i}].value`);
    return key;
  });
  assert.equal(new Set(keys).size, keys.length, `${where}: keys are unique`);
}

function checkRecord(value: unknown, where: string): Json {
  const record = object(value, where, ['timeUnixNano', 'observedTimeUnixNano', 'severityNumber', 'severityText', 'body', 'attributes', 'eventName'], ['traceId', 'spanId', 'flags', 'droppedAttributesCount']);
  uint64(record['timeUnixNano'], `${where}.timeUnixNano`);
  uint64(record['observedTimeUnixNano'], `${where}.observedTimeUnixNano`);
  assert.ok(Number.isInteger(record['severityNumber']) && Number(record['severityNumber']) >= 1 && Number(record['severityNumber']) <= 24);
  anyValue(record['body'], `${where}.body`);
  keyValues(record['attributes'], `${where}.attributes`);
  if (record['traceId'] !== undefined) assert.match(String(record['traceId']), /^[0-9a-f]{32}$/);
  return record;
}

/** ExportLogsServiceRequest → its records. */
function checkRequest(value: unknown): Json[] {
  return list(object(value, 'request', ['resourceLogs'])['resourceLogs'], 'resourceLogs').flatMap((entry, i) => {
    const { resource, scopeLogs } = object(entry, `resourceLogs[${i}]`, ['resource', 'scopeLogs'], ['schemaUrl']);
    keyValues(object(resource, 'resource', ['attributes'])['attributes'], 'resource.attributes');
    return list(scopeLogs, 'scopeLogs').flatMap((logs, j) => {
      const { scope, logRecords } = object(logs, `scopeLogs[${j}]`, ['scope', 'logRecords'], ['schemaUrl']);
      const { name, version } = object(scope, 'scope', ['name', 'version']);
      assert.ok(typeof name === 'string' && typeof version === 'string');
      return list(logRecords, 'logRecords').map((record, k) => checkRecord(record, `logRecords[${k}]`));
    });
  });
}

class Collector {
  readonly records: Json[] = [];
  readonly problems: unknown[] = [];
  requests = 0;
  /** What to say instead of 200, one answer a request. */
  readonly answers: { readonly status: number; readonly body?: object; readonly headers?: Record<string, string> }[] = [];
  #server: Server | undefined;

  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      void bodyOf(request).then(body => {
        this.requests++;
        const answer = this.answers.shift() ?? { status: 200, body: {} };
        if (answer.status === 200) {
          try {
            assert.equal(request.method, 'POST');
            assert.equal(request.url, '/v1/logs');
            assert.equal(request.headers['content-type'], 'application/json');
            this.records.push(...checkRequest(JSON.parse(body)));
          } catch (error) {
            this.problems.push(error);
          }
        }
        response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(JSON.stringify(answer.body ?? {}));
      });
    });
    await new Promise<void>(resolve => this.#server!.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server!.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise(resolve => this.#server?.close(resolve));
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8');
}

async function withCollector(run: (collector: Collector, sender: OtlpSender, stop: () => Promise<void>) => Promise<void>, more: { batch?: number; maxWaitingBytes?: number } = {}): Promise<void> {
  const collector = new Collector();
  const endpoint = await collector.start();
  const sender = new OtlpSender({ endpoint, resource: { 'service.name': 'hubble', 'k8s.node.name': 'node1' }, version: '1.2.3', gatherMs: 5, maxBackoffMs: 20, ...more });
  const stop = new AbortController();
  const running = sender.run(stop.signal);
  try {
    await run(collector, sender, async () => {
      stop.abort();
      await running;
    });
    assert.deepEqual(collector.problems, []);
  } finally {
    stop.abort();
    await running;
    await collector.stop();
  }
}

const attributesOf = (record: Json) => Object.fromEntries((record['attributes'] as { key: string; value: Record<string, unknown> }[]).map(({ key, value }) => [key, Object.values(value)[0]]));

test('a flow arrives as a record with the names of the semantic conventions', async () => {
  await withCollector(async (collector, sender) => {
    sender.flow(view({
      type: 'drop', verdict: 'DROPPED', dropReason: 'Policy denied', dropReasonCode: 133, source: end({ namespace: 'shop', podName: 'web', workloads: [{ name: 'web', kind: 'Deployment' }] }), traceId: 'ABCDEF0123456789abcdef0123456789',
    }));
    await waitFor('the record', () => collector.records.length === 1);
    const [record] = collector.records;
    assert.equal(record!['timeUnixNano'], '1767323045000000006');
    assert.equal(record!['severityText'], 'WARN');
    assert.equal(record!['traceId'], 'abcdef0123456789abcdef0123456789');
    assert.deepEqual(record!['body'], { stringValue: 'shop/web:40000 -> 10.0.0.2:80 Policy denied DROPPED (TCP Flags: SYN)' });
    const attributes = attributesOf(record!);
    assert.deepEqual(
      ['network.type', 'network.transport', 'source.address', 'source.port', 'source.k8s.pod.name', 'destination.address', 'destination.port', 'hubble.verdict', 'hubble.drop_reason', 'hubble.is_reply'].map(key => attributes[key]),
      ['ipv4', 'tcp', '10.0.0.1', '40000', 'web', '10.0.0.2', '80', 'DROPPED', 'Policy denied', false],
    );
    await waitFor('the count', () => sender.counts.sent === 1);
  });
});

test('any flow makes a record that the schema allows', () => {
  fc.assert(fc.property(anyFlow(), flow => {
    checkRecord(JSON.parse(JSON.stringify(logRecord({ ...flow, seconds: 1_767_323_045, nanos: 999_999_999, packetless: false }, 1_767_323_045_001.5))), 'record');
  }));
});

test('flows go in batches, all of them once and in order, the last as the agent stops', async () => {
  await withCollector(async (collector, sender, stop) => {
    for (let i = 0; i < 250; i++) sender.flow(view({ sourcePort: i + 1 }));
    await waitFor('the first batches', () => collector.records.length >= 200);
    sender.flow(view({ sourcePort: 251 }));
    await stop();
    assert.deepEqual(collector.records.map(record => Number(attributesOf(record)['source.port'])), Array.from({ length: 251 }, (_, i) => i + 1));
    assert.deepEqual(sender.counts, { sent: 251, lost: 0, waiting: 0 });
  }, { batch: 100 });
});

test('what is worth another try is sent again, what is not is counted', async () => {
  await withCollector(async (collector, sender) => {
    collector.answers.push({ status: 503 }, { status: 429, headers: { 'retry-after': '0' } }, { status: 502 });
    sender.flow(view());
    await waitFor('the record', () => collector.records.length === 1);
    assert.equal(collector.requests, 4);
    await waitFor('the count', () => sender.counts.sent === 1);
    assert.equal(sender.counts.lost, 0);
    collector.answers.push({ status: 400, body: { message: 'no' } });
    sender.flow(view());
    await waitFor('the loss', () => sender.counts.lost === 1);
    assert.equal(sender.status().state, 'degraded');
    assert.match(sender.status().detail, /HTTP 400 .*no/);
    collector.answers.push({ status: 200, body: { partialSuccess: { rejectedLogRecords: '1', errorMessage: 'too old' } } });
    sender.flow(view());
    await waitFor('the rejection', () => sender.counts.lost === 2);
    sender.flow(view());
    await waitFor('all is well', () => sender.status().state === 'on');
  });
});

test('a collector that is away costs records beyond the bound, and no more', async () => {
  const collector = new Collector();
  const endpoint = await collector.start();
  await collector.stop();
  const one = JSON.stringify(logRecord(view(), Date.now())).length;
  const sender = new OtlpSender({ endpoint, resource: {}, version: '1', gatherMs: 5, maxBackoffMs: 20, batch: 10, maxWaitingBytes: 50 * one });
  for (let i = 0; i < 1_000; i++) sender.flow(view());
  assert.ok(sender.counts.waiting <= 50 && sender.counts.waiting >= 45);
  assert.equal(sender.counts.lost + sender.counts.waiting, 1_000);
  const stop = new AbortController();
  const running = sender.run(stop.signal);
  await waitFor('the trouble', () => sender.status().state === 'degraded');
  assert.match(sender.status().detail, /ECONNREFUSED/);
  stop.abort();
  await running;
  assert.deepEqual(sender.counts, { sent: 0, lost: 1_000, waiting: 0 });
});

test('an endpoint that is none is refused', () => {
  const at = (endpoint: string) => () => new OtlpSender({ endpoint, resource: {}, version: '1' });
  assert.throws(at('collector:4318'), /neither http nor https/);
  assert.throws(at('not a url'), /is no URL/);
});
