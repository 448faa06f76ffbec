import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { layout } from '../flows/decode.ts';
import { emptyLookups } from '../flows/enrich.ts';
import type { L7Record } from '../flows/l7-record.ts';
import { createFlowPipeline } from '../flows/pipeline.ts';
import { MemoryRing } from '../flows/testing.ts';
import { httpRecord, type Told } from '../flows/testing-http.ts';
import type { Flow } from '../model/flow.ts';
import { waitFor } from '../std/async.ts';
import { BatchBuilder } from './batch.ts';
import { FlowDictionary } from './dictionary.ts';
import { appendFlow } from './row.ts';
import { HistoryFeed } from './feed.ts';
import { TestHistory, TestWorld } from './testing.ts';
import { timeNs, timeText } from './time.ts';

/** A minute ago, but today: each day has a file of its own. */
function lately(): number {
  const now = Date.now();
  return Math.max(now - 60_000, now - now % 86_400_000);
}

function node() {
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  const startNs = BigInt(lately()) * 1_000_000n;
  let nowNs = 0;
  const pipeline = createFlowPipeline({ rings, lookups: { ...emptyLookups, rule: id => ({ id, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'web', path: 'spec.ingress[0]', effect: 'allow', because: '' }) }, nodeName: 'node1', clock: { monotonicNs: () => BigInt(nowNs), wallNs: () => startNs + BigInt(nowNs) } });
  return {
    pipeline,
    take: (told: Told) => {
      const record = httpRecord({ timeNs: (nowNs += 1000), ...told });
      // The client is this node's: it counts.
      record.setUint32(told.isAnswer === true ? layout.destinationEndpoint : layout.sourceEndpoint, 9, true);
      rings.flows.queued.push(record);
      nowNs += 1000;
    },
    tell: (record: Omit<L7Record, 'timeNs'>) => {
      pipeline.l7({ ...record, timeNs: BigInt((nowNs += 1000)) });
      nowNs += 1000;
    },
  };
}

const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

test('requests and answers come back from the history as they were told, however often they were told', async () => {
  await using history = await TestHistory.start();
  const feed: HistoryFeed = history.feed();
  const { pipeline, take, tell } = node();
  pipeline.consume(feed);
  for (let i = 0; i < 40; i++) {
    take({ exchange: i, method: 'GET', url: `/p/${i % 3}`, host: 'shop', ...(i % 4 === 0 && { trace }) });
    // One takes longer than a row has room for.
    take({ exchange: i, isAnswer: true, status: i % 5 === 0 ? 404 : 200, latencyUs: i === 30 ? 4_000_000 : 100 + i });
  }
  take({ exchange: 50, method: 'DELETE', url: '/a?<"\\\u00e9', host: 'shop', verdict: 2, status: 403 });
  take({ exchange: 51, fault: 7, status: 400 });
  const ends = { source: { ip: '10.244.1.5', port: 50_000, identity: 300, endpoint: 0 }, destination: { ip: '10.244.2.9', port: 8080, identity: 301, endpoint: 7 }, protocol: 'TCP', direction: 'INGRESS', rule: 0 } as const;
  for (let i = 0; i < 3; i++) {
    tell({ ...ends, verdict: 'ERROR', proxyPort: 10_001, l7: { type: 'REQUEST', http: { method: 'PUT', url: 'http://shop/x', protocol: 'HTTP/2' } } });
    tell({ ...ends, verdict: 'FORWARDED', l7: { type: 'RESPONSE', latencyNs: 1_234_567_891, http: { code: 500, method: 'PUT', url: 'http://shop/x', protocol: 'HTTP/2' } } });
  }
  const told: readonly Flow[] = pipeline.query({});
  assert.equal(told.length, 90);
  await waitFor('the flows are on the disk', () => (feed.settle(), feed.status.committed === told.length), { timeoutMs: 60_000 });
  await feed.stop();
  const kept = await history.flows();
  assert.deepEqual(kept.map(comparable), told.map(comparable));
  const slow = kept.filter(flow => flow.l7?.latencyNs === 4_000_000_000);
  assert.deepEqual(slow.map(flow => flow.summary), ['HTTP/1.1 404 4000ms (GET http://shop/p/0)']);
  const found = await history.flows({ whitelist: [{ http_path: ['^/p/1'], http_status_code: ['404'] }] });
  assert.equal(found.length, told.filter(flow => flow.l7?.http?.code === 404 && flow.l7.http.url.endsWith('/p/1')).length);
});

function comparable(flow: Flow): unknown {
  return JSON.parse(JSON.stringify(flow));
}

test('flows of one run are in every answer, before and after their day is summed up', async () => {
  await using history = await TestHistory.start({ fullRuns: 100 });
  const feed = history.feed();
  const { pipeline, take } = node();
  pipeline.consume(feed);
  for (let i = 0; i < 200; i++) {
    const clientPort = 40_000 + (i % 7);
    take({ connection: clientPort, exchange: i, clientPort, method: 'GET', url: i % 50 === 0 ? `/rare/${i}` : '/often', host: 'shop', ...(i % 20 === 0 && { trace }) });
    if (i % 3 > 0) take({ connection: clientPort, exchange: i, clientPort, isAnswer: true, status: 200, latencyUs: i });
    if (i % 50 < 49) continue;
    const { length } = pipeline.query({});
    await waitFor('the flows are on the disk', () => (feed.settle(), feed.status.committed === length), { timeoutMs: 60_000 });
  }
  const told = pipeline.query({});
  const { runs } = history.store.partitions.at(-1)!;
  assert.ok(runs.length > 1 && runs.reduce((sum, table) => sum + table.flows, 0) > 250, JSON.stringify(runs.map(({ name, flows }) => [name, flows])));
  const check = async () => {
    assert.deepEqual((await history.flows()).map(comparable), told.map(comparable));
    assert.deepEqual((await history.flows({ last: 30 })).map(comparable), told.slice(-30).map(comparable));
    const ofPort = told.filter(flow => flow.sourcePort === 40_003 || flow.destinationPort === 40_003);
    assert.deepEqual((await history.flows({ whitelist: [{ source_port: ['40003'] }, { destination_port: ['40003'] }] })).map(({ id }) => id), ofPort.map(({ id }) => id));
    const [middle, end] = [told[100]!, told[200]!];
    assert.deepEqual((await history.flows({ since: middle.time, until: end.time })).map(({ id }) => id), told.slice(100, 201).map(({ id }) => id));
    const groups = (await history.ask({ kind: 'groups', by: ['type', 'port', 'source'] })).flatMap(answer => (answer.kind === 'groups' ? answer.groups : []));
    assert.deepEqual(groups.map(({ key, flows, first, last }) => [key, flows, first, last]), [[['l7', '8080', '10.244.1.5'], told.length, told[0]!.time, told.at(-1)!.time]]);
    const sql = (await history.ask({ kind: 'sql', sql: 'SELECT is_reply, destination_port = 8080 AS there, count(*)::INTEGER AS n, sum(duration_ns)::BIGINT::VARCHAR AS ns FROM flows GROUP BY ALL ORDER BY ALL' })).flatMap(answer => (answer.kind === 'rows' ? answer.rows : []));
    const answers = told.filter(({ isReply }) => isReply === true);
    assert.deepEqual(sql, [[false, true, 200, null], [true, false, answers.length, String(answers.reduce((sum, { l7 }) => sum + l7!.latencyNs!, 0))]]);
    const line = (await history.ask({ kind: 'timeline', since: told[0]!.time, until: timeText(timeNs(told.at(-1)!.time) + 1n), buckets: 3 })).flatMap(answer => (answer.kind === 'timeline' ? answer.buckets : []));
    assert.equal(line.reduce((sum, { verdicts }) => sum + verdicts['FORWARDED']!, 0), told.length);
    const map = (await history.ask({ kind: 'map' })).flatMap(answer => (answer.kind === 'map' ? answer.interval.edges : []));
    assert.deepEqual(map.map(({ requests, port }) => [requests, port]), [[200, 8080]]);
  };
  await check();
  await history.end();
  await history.begin();
  await check();
  const later = { ...told[0]!, time: timeText(timeNs(told[0]!.time) + 3n * 86_400_000_000_000n), id: 'later', source: { ...told[0]!.source, ip: '10.244.9.9' } };
  await history.record([later]);
  while (await history.store.tidy(new AbortController().signal));
  const [first] = history.store.partitions;
  assert.deepEqual([first!.sealed, first!.summed, first!.flows], [true, true, told.length]);
  const groups = (await history.ask({ kind: 'groups', by: ['port', 'source'], until: told.at(-1)!.time })).flatMap(answer => (answer.kind === 'groups' ? answer.groups : []));
  assert.deepEqual(groups.map(({ key, flows }) => [key, flows]), [[['8080', '10.244.1.5'], told.length]]);
});

test('a file of format 1 is read, and goes on as format 2', async () => {
  await using history = await TestHistory.start();
  const before: Flow[] = [...new TestWorld({ namespaces: 2, workloads: 4, pods: 8, outside: 4 }).flows(400, BigInt(lately()) * 1_000_000n, BigInt(Date.now()) * 1_000_000n)];
  assert.ok(before.some(({ l7 }) => l7));
  await history.record(before);
  await history.end();
  const instance = await DuckDBInstance.create(join(history.folder, readdirSync(history.folder).find(name => name.endsWith('.duckdb'))!));
  const connection = await instance.connect();
  for (const statement of ['DROP TABLE runs_1', 'UPDATE format SET version = 1']) await connection.run(statement);
  connection.closeSync();
  instance.closeSync();
  await history.begin();
  assert.equal(history.store.partitions[0]!.version, 1);
  assert.deepEqual((await history.flows()).map(comparable), before.map(comparable));
  const feed = history.feed();
  const { pipeline, take } = node();
  pipeline.consume(feed);
  for (let i = 0; i < 40; i++) take({ exchange: i, method: 'GET', url: '/a', host: 'shop' });
  const told = pipeline.query({});
  await waitFor('the flows are on the disk', () => (feed.settle(), feed.status.committed === told.length), { timeoutMs: 60_000 });
  const { version, runs, flows } = history.store.partitions.at(-1)!;
  assert.deepEqual([version, runs.map(table => table.name)], [2, ['runs_1']]);
  assert.ok(history.store.partitions.length > 1 || flows === 440);
  const kept = await history.flows();
  assert.deepEqual(kept.filter(({ l7 }) => l7?.http).map(comparable), told.map(comparable));
  assert.equal(kept.length, 440);
});

test('URLs that are asked for once do not fill the dictionary, and what is said twice has a number', () => {
  const { pipeline, take } = node();
  let dictionary = new FlowDictionary();
  const batch = new BatchBuilder();
  let most = 0;
  let begun = 0;
  pipeline.consume({ flow: flow => {
    batch.clear();
    appendFlow(batch, dictionary, flow);
    most = Math.max(most, dictionary.size.sayings);
    if (dictionary.isFull) [dictionary, begun] = [new FlowDictionary(), begun + 1];
  } });
  const ask = (i: number, url: string) => {
    take({ exchange: i, method: 'GET', url, host: 'shop' });
    if (i % 500 === 0) pipeline.drain();
  };
  for (let i = 0; i < 50_000; i++) ask(i, `/once/${i}`);
  pipeline.drain();
  assert.deepEqual([most, begun], [0, 0]);
  for (let i = 0; i < 30_000; i++) ask(i, `/twice/${Math.floor(i / 2)}/${'x'.repeat(200)}`);
  pipeline.drain();
  assert.ok(begun >= 3 && most <= 8_192, `${begun} begun, ${most} at most`);
  assert.equal(batch.details.length, 0);
});
