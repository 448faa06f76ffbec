import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HistoryGroup } from '../model/history.ts';
import { BatchBuilder, decodeBatch, integerColumns, totalsOf, writeTime } from './batch.ts';
import { frame, FrameReader } from './frames.ts';
import { inForce } from './in-force.ts';
import { mergeFlows, mergeGroups, mergeTimelines } from './merge.ts';
import { escape, reportHtml, type ReportData } from './report.ts';
import { TestWorld } from './testing.ts';
import { timeNs, timeText } from './time.ts';

test('times are written as int64 without a bigint, exactly', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 9_000_000_000 }), fc.integer({ min: 0, max: 999_999_999 }), (seconds, nanos) => {
    const words = new Uint32Array(2);
    writeTime(words, 0, seconds, nanos);
    assert.equal(new BigInt64Array(words.buffer)[0], BigInt(seconds) * 1_000_000_000n + BigInt(nanos));
  }));
});

test('times as text and back', () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }), ns => assert.equal(timeNs(timeText(ns)), ns)));
});

test('frames are found however the bytes come', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.uint8Array({ maxLength: 50 })), { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
    const bytes = Buffer.concat(sent.map(([kind, content]) => frame(kind, content)));
    const seen: [number, number[]][] = [];
    const reader = new FrameReader((kind, content) => void seen.push([kind, [...content]]));
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const cut = cuts[i % cuts.length]!;
      reader.push(Buffer.from(bytes.subarray(at, at + cut)));
      at += cut;
    }
    assert.deepEqual(seen, sent.map(([kind, content]) => [kind, [...content]]));
  }));
});

test('a batch is decoded as it was built; bytes that are none are refused', () => {
  const batch = new BatchBuilder();
  for (let row = 0; row < 10; row++) {
    writeTime(batch.times, row, 1_700_000_000 + row, row);
    for (const [i, name] of integerColumns.entries()) batch.columns[name][row] = row * 100 + i;
    batch.rows++;
  }
  batch.totals.push(3, 1, 2, 3, 4, 2 ** 52);
  batch.details.push([4, '{"a":1}']);
  batch.gaps.push({ sinceNs: '1', untilNs: '2', count: 3, class: 'flows', reason: 'x' });
  const bytes = batch.encode(7);
  const decoded = decodeBatch(bytes);
  assert.deepEqual([decoded.sequence, decoded.rows, decoded.details, decoded.gaps], [7, 10, batch.details, batch.gaps]);
  assert.deepEqual([...totalsOf(decoded.totals)].map(({ row, values }) => [row, ...values]), [[3, 1, 2, 3, 4, 2 ** 52]]);
  assert.equal(decoded.columns.latency[9], 909);
  for (const wrong of [bytes.subarray(0, bytes.length - 1), bytes.subarray(0, 10), Buffer.concat([bytes, Buffer.alloc(1)])]) assert.throws(() => decodeBatch(wrong), /a batch of/);
});

const group = (key: string, connections: number, first: string, last: string): HistoryGroup => ({ key: [key], flows: 2 * connections, connections, bytes: 10 * connections, first, last });

test('groups of several nodes are added up and ordered', () => {
  const merged = mergeGroups([[group('a', 3, '2', '5'), group('b', 1, '1', '1')], [group('b', 9, '0', '7'), group('c', 2, '3', '3')]], 'connections', 2);
  assert.deepEqual(merged, [group('b', 10, '0', '7'), group('a', 3, '2', '5')]);
});

test('flows and timelines of several nodes in one', () => {
  const [a, b] = [1, 2].map(seed => [...new TestWorld({ namespaces: 2, workloads: 4, pods: 8, outside: 4 }, seed, `node${seed}`).flows(20, BigInt(seed), 10_000_000n)]);
  const all = mergeFlows([a!, b!]);
  assert.equal(all.length, 40);
  assert.deepEqual(all.map(({ time }) => time), all.map(({ time }) => time).sort());
  assert.deepEqual(mergeFlows([a!, b!], { last: 5 }), all.slice(-5));
  assert.deepEqual(mergeTimelines([[{ since: '1', verdicts: { FORWARDED: 1 } }], [{ since: '1', verdicts: { FORWARDED: 2, DROPPED: 1 } }]]), [{ since: '1', verdicts: { FORWARDED: 3, DROPPED: 1 } }]);
});

test('in force at a moment is the verdict that came last, with the labels and the policy of then', () => {
  const world = new TestWorld({ namespaces: 2, workloads: 4, pods: 8, outside: 4 });
  const verdict = [...world.flows(200, 0n, 1000n)].find(flow => flow.type === 'policy-verdict' && flow.rule)!;
  const later = { ...verdict, time: '2026-11-21T00:00:00.000000000Z', verdict: 'DROPPED' as const, source: { ...verdict.source, labels: ['k8s:app=renamed'] }, ingressDeniedBy: [{ name: 'lock', namespace: 'ns-1', revision: 7 }] };
  const [row, ...others] = inForce([later, verdict]);
  assert.equal(others.length, 0);
  assert.deepEqual([row!.flow.verdict, row!.revision, row!.flow.source.labels], ['DROPPED', '7', ['k8s:app=renamed']]);
});

const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>\u202egnp\u0007`;
const hostileGroup = (keys: number): HistoryGroup => ({ key: Array.from({ length: keys }, () => hostile), flows: 3, connections: 2, bytes: 9, first: '2026-11-20T00:00:00Z', last: '2026-11-20T01:00:00Z' });

test('a name cannot put anything into the report but text', () => {
  const data: ReportData = {
    namespace: hostile, cluster: hostile, nodes: [hostile], since: '2026-11-01T00:00:00Z', until: '2026-12-01T00:00:00Z', recordedSince: hostile, madeAt: hostile, cut: true,
    incoming: [hostileGroup(7)], outgoing: [hostileGroup(7)], denied: [hostileGroup(7)], policies: [hostileGroup(3)], days: [hostileGroup(2)],
    gaps: [{ node: hostile, since: hostile, until: hostile, class: hostile, reason: hostile }],
  };
  const html = reportHtml(data);
  const tags = new Set([...html.matchAll(/<\/?([a-z0-9!]+)/gi)].map(match => match[1]!.toLowerCase()));
  for (const tag of ['script', 'img', 'iframe', 'a', 'object', 'foreignobject']) assert.ok(!tags.has(tag), tag);
  assert.ok(!/[\u202e\u0007]/.test(html));
  // Every attribute is one that the report itself writes.
  const attributes = new Set([...html.replace(/<style>[^]*?<\/style>/, '').matchAll(/<[^>]*>/g)].flatMap(([tag]) => [...tag.matchAll(/\s([a-z-]+)=/gi)].map(match => match[1]!)));
  assert.deepEqual([...attributes].filter(name => /^on|src|href|style/i.test(name)), []);
  assert.equal(escape(`<&>"'\``), '&#60;&#38;&#62;&#34;&#39;&#96;');
  assert.match(html, /Content-Security-Policy" content="default-src 'none'/);
});
