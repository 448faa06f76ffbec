import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NamedPortBook } from './named-ports.ts';

const web = (port: number) => new Map([['web', { protocol: 'TCP', port }]]);

test('a rollout that moves a named port ends with the new number alone', () => {
  const book = new NamedPortBook();
  assert.deepEqual(book.set('shop/a', 300, '80', web(80)), [300]);
  assert.deepEqual(book.set('shop/b', 300, '80', web(80)), [], 'the same names again tell nothing new');
  assert.deepEqual(book.set('shop/c', 300, '8080', web(8080)), [300]);
  assert.deepEqual(book.of(300), [web(80), web(8080)]);
  assert.deepEqual(book.remove('shop/a'), []);
  assert.deepEqual(book.remove('shop/b'), [300]);
  assert.deepEqual(book.of(300), [web(8080)]);
});

test('an endpoint that changes its identity or loses its names is counted where it is', () => {
  const book = new NamedPortBook();
  book.set('shop/a', 300, '80', web(80));
  assert.deepEqual(book.set('shop/a', 301, '80', web(80)), [300, 301]);
  assert.deepEqual(book.of(300), []);
  assert.deepEqual(book.set('shop/a', 301, '', new Map()), [301]);
  assert.deepEqual(book.of(301), []);
  assert.deepEqual(book.remove('shop/a'), []);
});
