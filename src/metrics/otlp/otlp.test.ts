import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anyFlow } from '../../flows/testing-flows.ts';
import { waitFor } from '../../std/async.ts';
import { end, view } from '../testing.ts';
import { logLine, logRecord } from './log-record.ts';
import { OtlpSender } from './sender.ts';
import { attributesOf, checkRecord, Collector } from './testing.ts';

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
    const seen = { ...flow, seconds: 1_767_323_045, nanos: 999_999_999, packetless: false };
    const record = JSON.parse(logLine(seen, 1_767_323_045_001.5)) as unknown;
    checkRecord(record, 'record');
    assert.deepEqual(record, JSON.parse(JSON.stringify(logRecord(seen, 1_767_323_045_001.5))));
    assert.deepEqual(JSON.parse(logLine(seen, 1_767_323_045_001.5)), record, 'what is kept with ends is the same');
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
