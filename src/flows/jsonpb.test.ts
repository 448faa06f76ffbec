import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Flow } from '../model/flow.ts';
import { flowToJson } from './jsonpb.ts';
import { flowFromJson } from './jsonpb-read.ts';
import { anyFlow } from './testing-flows.ts';

test('flow → JSON → text → flow is the flow', () => {
  fc.assert(fc.property(anyFlow(), flow => {
    assert.deepEqual(flowFromJson(JSON.parse(JSON.stringify(flowToJson(flow)))), flow);
  }), { numRuns: 500 });
});

test("JSON → flow → JSON is the JSON", () => {
  fc.assert(fc.property(anyFlow(), flow => {
    const json = flowToJson(flow);
    assert.deepEqual(flowToJson(flowFromJson(json)), json);
  }), { numRuns: 200 });
});

test('a rule and a shadow verdict survive', () => {
  const rule = { id: 7, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'strict', path: 'spec.ingress[0]', effect: 'default-deny', because: 'x' } as const;
  const flow: Flow = { ...fc.sample(anyFlow(), { seed: 1, numRuns: 1 })[0]!, type: 'policy-verdict', direction: 'INGRESS', verdict: 'TRACED', shadow: 'deny', rule };
  const back = flowFromJson(flowToJson(flow));
  assert.deepEqual([back.rule, back.shadow], [rule, 'deny']);
});

test('times lose no digit and gain none', () => {
  const at = (time: string) => flowToJson(flowFromJson({ time })).time;
  for (const time of ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.120Z', '2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000000001Z']) assert.equal(at(time), time);
  assert.equal(at('2026-01-01T02:00:00.5+02:00'), '2026-01-01T00:00:00.500Z');
});
