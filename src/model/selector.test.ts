import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabelSet } from './labels.ts';
import { EndpointSelector, selectorKey } from './selector.ts';
import type { Operator } from './selector.ts';

const labels = LabelSet.of(['k8s:app=web', 'k8s:tier=front', 'reserved:host']);

function one(key: string, operator: Operator, ...values: string[]): EndpointSelector {
  return EndpointSelector.of([{ ...selectorKey(key), operator, values }]);
}

test('operators hold as in Kubernetes: NotIn and DoesNotExist also for what lacks the label', () => {
  assert.equal(one('app', 'In', 'web', 'db').matches(labels), true);
  assert.equal(one('app', 'In', 'db').matches(labels), false);
  assert.equal(one('app', 'NotIn', 'web').matches(labels), false);
  assert.equal(one('zone', 'NotIn', 'a').matches(labels), true);
  assert.equal(one('app', 'Exists').matches(labels), true);
  assert.equal(one('zone', 'DoesNotExist').matches(labels), true);
  assert.equal(one('reserved:host', 'DoesNotExist').matches(labels), false);
});

test('a key without a source means any source, one with a source that one', () => {
  assert.deepEqual(selectorKey('app.kubernetes.io/name'), { source: 'any', key: 'app.kubernetes.io/name' });
  assert.deepEqual(selectorKey('app', 'k8s'), { source: 'k8s', key: 'app' });
  assert.deepEqual(selectorKey('any:app', 'k8s'), { source: 'any', key: 'app' });
  assert.equal(one('node:app', 'Exists').matches(labels), false);
});

test('all requirements must hold; the empty selector matches everything', () => {
  assert.equal(EndpointSelector.ofMatchLabels({ app: 'web', tier: 'front' }).matches(labels), true);
  assert.equal(EndpointSelector.ofMatchLabels({ app: 'web', tier: 'back' }).matches(labels), false);
  assert.equal(EndpointSelector.everything.matches(LabelSet.empty), true);
});

test('selectors that say the same have the same text', () => {
  const a = EndpointSelector.of([{ source: 'any', key: 'x', operator: 'In', values: ['b', 'a', 'a'] }, { source: 'k8s', key: 'y', operator: 'Exists', values: [] }]);
  const b = EndpointSelector.of([{ source: 'k8s', key: 'y', operator: 'Exists', values: [] }, { source: 'any', key: 'x', operator: 'In', values: ['a', 'b'] }]);
  assert.equal(a.text, b.text);
  assert.notEqual(a.text, a.and({ source: 'k8s', key: 'z', operator: 'Exists', values: [] }).text);
});

test('a selector reads as people would write it', () => {
  const selector = EndpointSelector.ofMatchLabels({ app: 'web', 'reserved:host': '' }).and({ source: 'k8s', key: 'tier', operator: 'NotIn', values: ['a', 'b'] });
  assert.equal(selector.describe(), 'app=web, k8s:tier not in (a, b), reserved:host');
  assert.equal(EndpointSelector.everything.describe(), '{}');
});
