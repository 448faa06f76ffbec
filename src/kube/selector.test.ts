import test from 'node:test';
import assert from 'node:assert/strict';
import { matchesMap, matchesRequirement, matchesSelector } from './selector.ts';

const labels = { app: 'web', tier: 'front', cores: '8' };

test('an empty selector matches everything, none matches nothing', () => {
  assert.equal(matchesSelector({}, undefined), true);
  assert.equal(matchesSelector(undefined, labels), false);
});

test('labels and expressions must all hold', () => {
  assert.equal(matchesSelector({ matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'In', values: ['front', 'back'] }] }, labels), true);
  assert.equal(matchesSelector({ matchLabels: { app: 'web' }, matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] }, labels), false);
  assert.equal(matchesMap({ app: 'web', other: 'x' }, labels), false);
});

test('an absent label is not in, and not out of, any set', () => {
  const absent = (operator: string) => matchesRequirement({ key: 'absent', operator, values: ['a'] }, labels);
  assert.deepEqual(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt', 'Like'].map(absent), [false, true, false, true, false, false, false]);
});

test('Gt and Lt compare integers', () => {
  assert.equal(matchesRequirement({ key: 'cores', operator: 'Gt', values: ['4'] }, labels), true);
  assert.equal(matchesRequirement({ key: 'cores', operator: 'Lt', values: ['10'] }, labels), true);
});
