import assert from 'node:assert/strict';
import { test } from 'node:test';
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
import { TestHistory } from './testing.ts';

function node() {
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  const startNs = BigInt(Date.now()) * 1_000_000n - 60_000_000_000n;
  let nowNs = 0;
  const pipeline = createFlowPipeline({ rings, lookups: { ...emptyLookups, rule: id => ({ id, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'web', path: 'spec.ingress[0]', effect: 'allow', because: '' }) }, nodeName: 'node1', clock: { monotonicNs: () => BigInt(nowNs), wallNs: () => startNs + BigInt(nowNs) } });
  return {
    pipeline,
    take: (told: Told) => {
      rings.flows.queued.push(httpRecord({ timeNs: (nowNs += 1000), ...told }));
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
