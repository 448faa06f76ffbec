import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow, FlowRule } from '../model/flow.ts';
import type { FlowLookups } from './enrich.ts';
import { createFlowPipeline } from './pipeline.ts';
import { eventRecord, MemoryRing } from './testing.ts';

const rule: FlowRule = {
  id: 77, kind: 'NetworkPolicy', namespace: 'payments', name: 'payment-service-ingress', path: 'spec', effect: 'default-deny', because: 'selected, no rule matched',
};

const lookups: FlowLookups = {
  identityLabels: identity => (identity === 1234 ? ['k8s:app=checkout-service'] : undefined),
  podByAddr: ip => ({ '10.244.1.5': { namespace: 'checkout', name: 'client' }, '10.244.2.9': { namespace: 'payments', name: 'server' } })[ip],
  serviceByAddr: ip => (ip === '10.96.0.7' ? { namespace: 'payments', name: 'payment-service' } : undefined),
  namesOf: () => undefined,
  rule: id => (id === 77 ? rule : undefined),
  interfaceName: () => 'lxc1',
  dropReason: code => (code === 220 ? 'PolicyNotReady' : undefined),
};

const record = eventRecord;

function pipelineOf(capacity = 100) {
  const drops = new MemoryRing();
  const flows = new MemoryRing();
  const pipeline = createFlowPipeline({
    rings: { drops, flows }, lookups, nodeName: 'node1', capacity, clock: { monotonicNs: () => 1_000_000_000n, wallNs: () => 1_235_567_800_000n },
  });
  return { pipeline, drops, flows };
}

test('a drop becomes a flow that names pods, reason and rule', () => {
  const { pipeline, drops } = pipelineOf();
  drops.queued.push(record({ type: 1, reason: 133, timeNs: 5n, rule: 77 }));
  const [flow] = pipeline.query({});
  assert.equal(flow?.time, '1970-01-01T00:20:34.567800005Z');
  assert.equal(flow.verdict, 'DROPPED');
  assert.equal(flow.dropReason, 'Policy denied');
  assert.equal(flow.rule?.name, 'payment-service-ingress');
  assert.deepEqual([flow.source.podName, flow.destination.podName, flow.destinationPort], ['client', 'server', 8080]);
  assert.deepEqual(flow.source.labels, ['k8s:app=checkout-service']);
  assert.equal(flow.summary, 'TCP Flags: SYN');
});

test('drops and flows of two rings come out in the order of time', () => {
  const { pipeline, drops, flows } = pipelineOf();
  flows.queued.push(record({ type: 5, timeNs: 1n }), record({ type: 5, timeNs: 3n }));
  drops.queued.push(record({ type: 1, reason: 220, timeNs: 2n }));
  assert.deepEqual(pipeline.query({}).map(flow => flow.type), ['policy-verdict', 'drop', 'policy-verdict']);
  assert.equal(pipeline.query({ whitelist: [{ verdict: ['DROPPED'] }] })[0]?.dropReason, 'Policy not ready');
  assert.deepEqual([pipeline.stats.flows, pipeline.stats.drops], [3, 1]);
});

test('the service that the client asked for is kept, also when it had no backend', () => {
  const { pipeline, drops, flows } = pipelineOf();
  flows.queued.push(record({ type: 5, timeNs: 1n, service: '10.96.0.7' }));
  drops.queued.push(record({ type: 1, reason: 158, timeNs: 2n, destination: '10.96.0.7' }));
  const [translated, dropped] = pipeline.query({});
  assert.deepEqual(translated?.service, { namespace: 'payments', name: 'payment-service', ip: '10.96.0.7', port: 80 });
  assert.equal(dropped?.service?.name, 'payment-service');
});

test('an audited verdict, an IPv6 echo and an unknown record', () => {
  const { pipeline, flows } = pipelineOf();
  flows.queued.push(record({ type: 5, timeNs: 1n, flags: 8, verdict: 2 }), record({ type: 5, timeNs: 2n, protocol: 58, source: 'fd00:10:244:1::5', flags: 2, icmpType: 128 }), new DataView(new ArrayBuffer(16)));
  const [audited, echo] = pipeline.query({});
  assert.equal(audited?.verdict, 'AUDIT');
  assert.equal(echo?.summary, 'ICMPv6 EchoRequest');
  assert.equal(echo.source.ip, 'fd00:10:244:1::5');
  assert.equal(echo.sourcePort, 41000, 'the identifier');
  assert.equal(pipeline.stats.unknown, 1);
});

test('what shadow policies would have said is a flow of its own kind: neither forwarded nor dropped', () => {
  const { pipeline, flows } = pipelineOf();
  flows.queued.push(record({ type: 5, timeNs: 1n, flags: 16, verdict: 2 }), record({ type: 5, timeNs: 2n, flags: 16, verdict: 1 }), record({ type: 5, timeNs: 3n }));
  assert.deepEqual(pipeline.query({}).map(flow => [flow.verdict, flow.shadow, flow.policyMatch]), [['TRACED', 'deny', undefined], ['TRACED', 'allow', undefined], ['FORWARDED', undefined, 'L3-L4']]);
  assert.deepEqual(pipeline.query({ whitelist: [{ verdict: ['DROPPED', 'FORWARDED'] }] }).map(flow => flow.shadow), [undefined]);
  assert.deepEqual([pipeline.stats.flows, pipeline.stats.drops, pipeline.stats.shadows], [1, 0, 2]);
});

test('the history keeps the last ones; last and first pick from either end', () => {
  const { pipeline, flows } = pipelineOf(3);
  for (let i = 1; i <= 5; i++) flows.queued.push(record({ type: 5, timeNs: BigInt(i) }));
  const times = (list: readonly Flow[]) => list.map(flow => flow.time.slice(-3));
  assert.deepEqual(times(pipeline.query({})), ['03Z', '04Z', '05Z']);
  assert.deepEqual(times(pipeline.query({ last: 1 })), ['05Z']);
  assert.deepEqual(times(pipeline.query({ first: 2 })), ['03Z', '04Z']);
  assert.deepEqual(times(pipeline.query({ since: '1970-01-01T00:20:34.567800004Z' })), ['04Z', '05Z']);
});
