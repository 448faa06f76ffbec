import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { labelKeys } from '../model/identity.ts';
import { LabelSet } from '../model/labels.ts';
import { EndpointSelector } from '../model/selector.ts';
import type { Operator } from '../model/selector.ts';
import { LabelIndex, SelectorIndex } from './label-index.ts';

const key = fc.constantFrom('app', 'tier', labelKeys.namespace, labelKeys.cluster);
const value = fc.constantFrom('a', 'b', '');
const labels = fc.array(fc.tuple(fc.constantFrom('k8s', 'node'), key, value), { maxLength: 5 })
  .map(list => LabelSet.fromLabels(list.map(([source, k, v]) => ({ source, key: k, value: v }))));
const selector = fc.array(fc.record({
  source: fc.constantFrom('k8s', 'any', 'node'), key, operator: fc.constantFrom<Operator>('In', 'In', 'In', 'NotIn', 'Exists', 'DoesNotExist'), values: fc.array(value, { maxLength: 3 }),
}), { maxLength: 3 }).map(list => EndpointSelector.of(list.map(r => (r.operator === 'In' || r.operator === 'NotIn' ? r : { ...r, values: [] }))));

test('an index finds what a look at all finds, also after some have gone', () => {
  fc.assert(fc.property(fc.array(labels, { maxLength: 12 }), fc.array(selector, { maxLength: 12 }), fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), (labelled, selectors, stays) => {
    const things = labelled.map((set, i) => ({ i, set }));
    const askers = selectors.map((one, i) => ({ i, one }));
    const byLabel = new LabelIndex<(typeof things)[number]>(thing => thing.set);
    const bySelector = new SelectorIndex<(typeof askers)[number]>(asker => asker.one);
    for (const thing of things) byLabel.add(thing);
    for (const asker of askers) bySelector.add(asker);
    for (const thing of things) if (!stays[thing.i]) byLabel.remove(thing);
    for (const asker of askers) if (!stays[asker.i]) bySelector.remove(asker);
    const numbers = (found: Iterable<{ readonly i: number }>) => [...found].map(({ i }) => i).sort((a, b) => a - b);
    for (const { one } of askers) assert.deepEqual(numbers(byLabel.matching(one)), numbers(things.filter(({ i, set }) => stays[i] && one.matches(set))), one.text);
    for (const { set } of things) assert.deepEqual(numbers(bySelector.matching(set)), numbers(askers.filter(({ i, one }) => stays[i] && one.matches(set))), set.toString());
  }), { numRuns: 500 });
});

test('an application of one namespace is found without a look at those of the same name elsewhere', () => {
  let asked = 0;
  const index = new SelectorIndex<EndpointSelector>(one => {
    asked++;
    return one;
  });
  for (let i = 0; i < 1000; i++) index.add(EndpointSelector.ofMatchLabels({ app: 'web', [labelKeys.namespace]: `n${i}` }));
  asked = 0;
  assert.equal(index.matching(LabelSet.of(['k8s:app=web', `k8s:${labelKeys.namespace}=n7`])).length, 1);
  assert.ok(asked < 5, `${asked} selectors were looked at`);
});
