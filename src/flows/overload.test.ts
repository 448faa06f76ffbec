import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { layout } from './decode.ts';
import { EdgeCounter } from './edges.ts';
import { emptyLookups } from './enrich.ts';
import { EventType } from './event.ts';
import type { Followed } from './follower.ts';
import { createFlowPipeline } from './pipeline.ts';
import type { EventRing } from './reader.ts';
import { eventRecord, MemoryRing } from './testing.ts';

const text = (batch: readonly Followed[]) => batch.map(one => ('flow' in one ? one.flow.type : `${one.lost.count} ${one.lost.class} lost of ${one.lost.source}`));

function node() {
  const rings = { drops: new MemoryRing(), flows: new MemoryRing() };
  const lost = { flows: 0, drops: 0, names: 0 };
  let nowNs = 1_000_000_000n;
  const pipeline = createFlowPipeline({ rings, lookups: emptyLookups, nodeName: 'node1', lost: () => ({ ...lost }), clock: { monotonicNs: () => (nowNs += 1_000_000_000n), wallNs: () => nowNs } });
  const flow = () => rings.flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: nowNs }));
  const drop = () => rings.drops.queued.push(eventRecord({ type: EventType.drop, reason: 133, timeNs: nowNs }));
  return { pipeline, flow, drop, lost };
}

test('a follower gets what matches; when it is slow it loses the oldest, and is told how many of which class before the rest', async () => {
  const { pipeline, flow, drop } = node();
  const leaving = new AbortController();
  const follower = pipeline.follow({}, leaving.signal);
  const denials = pipeline.follow({ whitelist: [{ verdict: ['DROPPED'] }] }, leaving.signal);
  drop();
  pipeline.drain();
  for (let i = 0; i < 9000; i++) flow();
  pipeline.drain();
  assert.deepEqual(text(await denials.next()), ['drop']);
  const batch = text(await follower.next());
  assert.deepEqual(batch.slice(0, 3), ['1 drops lost of HUBBLE_RING_BUFFER', '808 flows lost of HUBBLE_RING_BUFFER', 'policy-verdict']);
  assert.equal(batch.length, 8192 + 2);
  const waiting = follower.next();
  flow();
  pipeline.drain();
  assert.deepEqual(text(await waiting), ['policy-verdict']);
  leaving.abort();
  assert.deepEqual(await follower.next(), []);
  assert.equal(pipeline.stats.followers, 0);
});

test('what the kernel has lost is told between the flows, by class', async () => {
  const { pipeline, flow, lost } = node();
  const leaving = new AbortController();
  const follower = pipeline.follow({}, leaving.signal);
  flow();
  pipeline.drain();
  lost.flows = 5;
  lost.drops = 2;
  pipeline.drain();
  lost.flows = 6;
  flow();
  pipeline.drain();
  lost.flows = 8;
  pipeline.drain();
  assert.deepEqual(text(await follower.next()), ['policy-verdict', '2 drops lost of PERF_EVENT_RING_BUFFER', '5 flows lost of PERF_EVENT_RING_BUFFER', 'policy-verdict', '3 flows lost of PERF_EVENT_RING_BUFFER']);
  leaving.abort();
});

/** New connections from everywhere, each from another address. */
class FloodRing implements EventRing {
  left = 0;
  #next = 0;
  readonly #record = eventRecord({ type: EventType.policyVerdict, timeNs: 0, sourceIdentity: 2 });

  drain(onRecord: (bytes: DataView, offset: number, length: number) => void, limit = Infinity): number {
    const count = Math.min(this.left, limit);
    for (let i = 0; i < count; i++) {
      this.#record.setUint32(layout.timeNs, this.#next);
      this.#record.setUint32(layout.source + 12, this.#next);
      this.#record.setUint16(layout.destinationPort, this.#next & 0xffff);
      this.#record.setUint32(layout.rule, (this.#next++ & 0xffff) + 1, true);
      onRecord(this.#record, 0, this.#record.byteLength);
    }
    this.left -= count;
    return count;
  }
}

test('a million new connections from a million addresses take no more memory than a hundred thousand, and leave the drops where they are', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const flows = new FloodRing();
  const drops = new MemoryRing();
  const rule = (id: number) => ({ id, kind: 'NetworkPolicy', name: `policy-${id}`, path: 'spec', effect: 'allow', because: '' } as const);
  const pipeline = createFlowPipeline({ rings: { drops, flows }, lookups: { ...emptyLookups, rule, serviceByAddr: () => ({ namespace: 'n', name: 's' }) }, nodeName: 'node1' });
  const map = new EdgeCounter({ maxEdges: 1000 });
  pipeline.consume(map);
  for (let i = 0; i < 100; i++) drops.queued.push(eventRecord({ type: EventType.drop, reason: 133, timeNs: 1 }));
  const flood = (count: number) => {
    flows.left = count;
    pipeline.drain();
    const { edges, overflow } = map.take();
    assert.ok(edges.length <= 1000 && overflow >= count - 65_536);
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = flood(100_000);
  const after = flood(1_000_000);
  assert.ok(after - before < 8 << 20, `${((after - before) / 1e6).toFixed(1)} MB more`);
  assert.equal(pipeline.stats.flows, 1_100_100);
  assert.equal(pipeline.query({ whitelist: [{ verdict: ['DROPPED'] }] }).length, 100);
});

test('while a ring is nearly full a consumer that is too slow loses the rest of the turn and is told; the others lose nothing', () => {
  let nowNs = 1_000_000_000n;
  let fullness = 0.9;
  const ring = () => Object.assign(new MemoryRing(), { size: 100, pending: () => fullness * 100 });
  const [drops, flows] = [ring(), ring()];
  const pipeline = createFlowPipeline({ rings: { drops, flows }, lookups: emptyLookups, nodeName: 'node1', clock: { monotonicNs: () => nowNs, wallNs: () => nowNs } });
  const slow = { seen: 0, lost: [] as string[] };
  let quick = 0;
  pipeline.consume({
    flow: () => {
      slow.seen++;
      nowNs += 2_000n;
    },
    lost: ({ source, class: name, count }) => slow.lost.push(`${count} ${name} of ${source}`),
  });
  pipeline.consume({ flow: () => { quick++; }, lost: () => assert.fail('nothing was lost') });
  const turn = () => {
    for (let i = 0; i < 1000; i++) flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: nowNs - 1n }));
    for (let i = 0; i < 200; i++) drops.queued.push(eventRecord({ type: EventType.drop, reason: 133, timeNs: nowNs - 1n }));
    pipeline.drain();
  };
  turn();
  // 1,200 flows at 1 µs: 600 of its 2 µs, seen at the next look after as many as a look is made for. Drops were read first.
  assert.equal(slow.seen, 640);
  assert.deepEqual(slow.lost, ['560 flows of OBSERVER_EVENTS_QUEUE']);
  assert.equal(quick, 1200);
  fullness = 0.1;
  turn();
  assert.deepEqual([slow.seen, quick, slow.lost.length], [640 + 1200, 2400, 1]);
  // A turn without hurry leaves 5 ms, and each of these takes 1.2 of them.
  fullness = 0.9;
  for (let i = 0; i < 4; i++) turn();
  assert.deepEqual([slow.seen, slow.lost.length], [640 + 5 * 1200, 1]);
  turn();
  assert.deepEqual([slow.seen < 640 + 6 * 1200, slow.lost.length], [true, 2]);
});
