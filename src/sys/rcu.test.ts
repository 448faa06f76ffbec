import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { withExpeditedGracePeriods } from './rcu.ts';

const setting = () => readFileSync('/sys/kernel/rcu_expedited', 'utf8').trim();

test('the section runs, its result and its error come through, and the setting is as it was', () => {
  const before = setting();
  assert.equal(withExpeditedGracePeriods(() => 7), 7);
  assert.throws(() => withExpeditedGracePeriods(() => { throw new Error('inside'); }), /inside/);
  assert.equal(setting(), before);
});

test('a section in a section leaves the setting to the outer one', () => {
  const before = setting();
  withExpeditedGracePeriods(() => {
    const inside = setting();
    withExpeditedGracePeriods(() => {});
    assert.equal(setting(), inside);
  });
  assert.equal(setting(), before);
});
