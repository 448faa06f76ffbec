import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlowEndpoint } from '../model/flow.ts';
import { EventType } from './event.ts';
import { emptyLookups, type FlowLookups } from './enrich.ts';
import { createFlowPipeline } from './pipeline.ts';
import { eventRecord, MemoryRing, type RecordFields } from './testing.ts';

const world = 2;

function node(known: Partial<FlowLookups>, dropCapacity?: number) {
  const [drops, flows] = [new MemoryRing(), new MemoryRing()];
  let nowNs = 1_000_000_000n;
  const pipeline = createFlowPipeline({
    rings: { drops, flows }, lookups: { ...emptyLookups, ...known }, nodeName: 'node1', capacity: 64, ...(dropCapacity !== undefined && { dropCapacity }),
    clock: { monotonicNs: () => nowNs, wallNs: () => nowNs + 1_700_000_000_000_000_000n },
  });
  const seen: (readonly [FlowEndpoint, FlowEndpoint])[] = [];
  pipeline.consume({ flow: flow => seen.push([flow.source, flow.destination]) });
  const verdict = (fields: Partial<RecordFields> = {}) => {
    flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: nowNs, ...fields }));
    nowNs += 1000n;
    pipeline.drain();
    return seen.at(-1)!;
  };
  return { pipeline, drops, flows, verdict, tick: (ns: bigint) => { nowNs += ns; }, now: () => nowNs };
}

test('the same end is the same object until something about it changes; what a flow said stays', () => {
  let name = 'web-1';
  let revision = 0;
  const { pipeline, verdict } = node({ podByAddr: ip => (ip === '10.244.1.5' ? { namespace: 'shop', name } : undefined), revision: () => revision });
  const [first] = verdict();
  assert.equal(verdict()[0], first);
  revision++;
  assert.equal(verdict()[0], first, 'something else has changed');
  name = 'web-2';
  revision++;
  const [second] = verdict();
  assert.notEqual(second, first);
  assert.deepEqual(pipeline.query({}).map(flow => flow.source.podName), ['web-1', 'web-1', 'web-1', 'web-2']);
});

test('where nobody says that something has changed, it is asked for once a second', () => {
  let labels = ['cidr:192.0.2.0/24'];
  const { verdict, tick } = node({ identityLabels: () => labels, revision: () => 0 });
  const prefix = { destination: '192.0.2.7', destinationIdentity: 1 << 24 };
  const before = verdict(prefix)[1];
  labels = ['cidr:192.0.2.0/25'];
  assert.equal(verdict(prefix)[1], before);
  tick(1_000_000_000n);
  assert.deepEqual(verdict(prefix)[1].labels, labels);
});

test('an address outside has the names that the pod at the other end was given', () => {
  const { verdict } = node({ namesOf: (ip, viewer) => (ip === '192.0.2.7' ? [`seen-by-${viewer}.example`] : undefined) });
  const outside = { destination: '192.0.2.7', destinationIdentity: world };
  assert.deepEqual(verdict({ ...outside, sourceEndpoint: 4 })[1].names, ['seen-by-4.example']);
  assert.deepEqual(verdict({ ...outside, sourceEndpoint: 5 })[1].names, ['seen-by-5.example']);
  const back = verdict({ source: '192.0.2.7', sourceIdentity: world, destination: '10.244.1.5', destinationIdentity: 1234, destinationEndpoint: 4, flags: 1 });
  assert.deepEqual([back[0].names, back[1].names], [['seen-by-4.example'], undefined]);
});

test('a flood of other flows does not push drops out of the history', () => {
  const { pipeline, drops, flows, now, tick } = node({}, 16);
  for (let i = 0; i < 8; i++) drops.queued.push(eventRecord({ type: EventType.drop, reason: 133, timeNs: now() + BigInt(i) }));
  for (let i = 0; i < 10_000; i++) flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: now() + 100n + BigInt(i) }));
  tick(1_000_000n);
  pipeline.drain();
  const kept = pipeline.query({});
  assert.equal(kept.filter(flow => flow.type === 'drop').length, 8);
  assert.equal(kept.length, 64 + 8);
  assert.deepEqual(kept.map(flow => flow.time), kept.map(flow => flow.time).sort());
  assert.equal(pipeline.stats.held, 72);
});

test('what is written while a turn reads waits for the next, so that all come in the order of time', () => {
  const { pipeline, drops, flows, now, tick } = node({});
  flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: now() - 2n }), eventRecord({ type: EventType.policyVerdict, timeNs: now() + 5n }));
  const times: string[] = [];
  pipeline.consume({ flow: flow => times.push(flow.time.slice(-4)) });
  pipeline.drain();
  assert.equal(times.length, 1);
  drops.queued.push(eventRecord({ type: EventType.drop, reason: 133, timeNs: now() + 3n }));
  tick(10n);
  pipeline.drain();
  assert.deepEqual(times, ['998Z', '003Z', '005Z']);
});

test('a consumer that throws is taken off and said so; the others go on', () => {
  const failed: unknown[] = [];
  const flows = new MemoryRing();
  const pipeline = createFlowPipeline({ rings: { drops: new MemoryRing(), flows }, lookups: emptyLookups, nodeName: 'node1', onFailed: error => failed.push(error) });
  let count = 0;
  pipeline.consume({ flow: () => { throw new Error('mine'); } });
  pipeline.consume({ flow: () => { count++; } });
  for (let i = 0; i < 3; i++) flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: 1 }));
  pipeline.drain();
  assert.deepEqual([count, failed.length], [3, 1]);
});

test('losses in the kernel are told by class, once', () => {
  let lost = { flows: 5, drops: 0, names: 0 };
  let nowNs = 1_000_000_000n;
  const pipeline = createFlowPipeline({
    rings: { drops: new MemoryRing(), flows: new MemoryRing() }, lookups: emptyLookups, nodeName: 'node1', lost: () => lost,
    clock: { monotonicNs: () => nowNs, wallNs: () => nowNs },
  });
  const told: string[] = [];
  pipeline.consume({ flow: () => {}, lost: ({ class: name, count }) => told.push(`${name} ${count}`) });
  pipeline.drain();
  lost = { flows: 7, drops: 3, names: 0 };
  for (let i = 0; i < 3; i++) {
    nowNs += 1_000_000_000n;
    pipeline.drain();
  }
  assert.deepEqual(told, ['drops 3', 'flows 2'], 'not what an earlier life has lost');
});

test('nothing is read before there are names for it, and then it is all there; nobody waits for ever', () => {
  let isReady = false;
  let nowNs = 1_000_000_000n;
  const flows = new MemoryRing();
  const make = () => createFlowPipeline({ rings: { drops: new MemoryRing(), flows }, lookups: { ...emptyLookups, podByAddr: () => ({ namespace: 'shop', name: 'web' }) }, nodeName: 'node1', isReady: () => isReady, clock: { monotonicNs: () => nowNs, wallNs: () => nowNs } });
  const pipeline = make();
  flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: 1 }));
  assert.deepEqual([pipeline.query({}), pipeline.drain()], [[], 0]);
  isReady = true;
  assert.deepEqual(pipeline.query({}).map(flow => flow.source.podName), ['web']);
  isReady = false;
  const other = make();
  flows.queued.push(eventRecord({ type: EventType.policyVerdict, timeNs: 1 }));
  assert.equal(other.query({}).length, 0);
  nowNs += 11_000_000_000n;
  assert.equal(other.query({}).length, 1);
});
