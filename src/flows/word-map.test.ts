import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WordMap } from './word-map.ts';

test('a word map answers as a map does, as long as it holds the key', () => {
  const key = fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 3, maxLength: 3 });
  fc.assert(fc.property(fc.array(fc.tuple(key, fc.option(fc.nat(9)))), steps => {
    const map = new WordMap<number>(8, 3);
    const model = new Map<string, number>();
    for (const [words, value] of steps) {
      const found = map.get(Int32Array.from(words));
      if (found !== undefined) assert.equal(found, model.get(words.join()));
      if (value !== null) {
        map.set(Int32Array.from(words), value);
        model.set(words.join(), value);
        assert.equal(map.get(Int32Array.from(words)), value);
      }
      assert.ok(map.size <= 16);
    }
  }));
});

test('the keys that were asked for last are held, and no more than twice as many', () => {
  const map = new WordMap<number>(100, 1);
  for (let i = 0; i < 100_000; i++) {
    map.set(Int32Array.of(i), i);
    assert.equal(map.get(Int32Array.of(0)), 0, 'asked for all the time');
    assert.equal(map.get(Int32Array.of(Math.max(0, i - 40))), Math.max(0, i - 40));
  }
  assert.ok(map.size <= 200);
  assert.equal(map.get(Int32Array.of(50_000)), undefined);
});
