import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Overlap } from './overlap.ts';

test('what the old sets ask for stays for the pass that brings the new ones, and for as long as one has not flipped', () => {
  const overlap = new Overlap();
  const take = (asked: string, allFlipped = true) => [[...overlap.take(asked, allFlipped)].sort().join(''), overlap.settling];
  assert.deepEqual(take('a'), ['a', false]);
  assert.deepEqual(take('b'), ['ab', true]);
  assert.deepEqual(take('c', false), ['abc', true], 'the sets of a may still be in force somewhere');
  assert.deepEqual(take('c', false), ['abc', true]);
  assert.deepEqual(take('c'), ['c', false]);
  assert.deepEqual(take(''), ['c', true]);
  assert.deepEqual(take(''), ['', false]);
});
