import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameCache } from './name-cache.ts';

const minute = 60e9;

test('a pod sees the names of its own look-ups, else those of the node', () => {
  const cache = new NameCache();
  cache.learn(1, 'a.example.', ['192.0.2.1'], 30, 0);
  cache.learn(2, 'b.example.', ['192.0.2.1', '192.0.2.2'], 30, 0);
  assert.deepEqual(cache.namesOf('192.0.2.1', 1), ['a.example.']);
  assert.deepEqual(cache.namesOf('192.0.2.2', 1), ['b.example.']);
  assert.deepEqual(cache.namesOf('192.0.2.1'), ['a.example.', 'b.example.']);
  assert.equal(cache.namesOf('192.0.2.3', 1), undefined);
});

test('the list is the same one until a name comes or goes', () => {
  const cache = new NameCache({ minimumSeconds: 60 });
  cache.learn(1, 'a.example.', ['192.0.2.1'], 30, 0);
  const [list, revision] = [cache.namesOf('192.0.2.1', 1), cache.revision];
  cache.learn(1, 'a.example.', ['192.0.2.1'], 30, 10e9);
  assert.equal(cache.namesOf('192.0.2.1', 1), list);
  assert.equal(cache.revision, revision);
  cache.learn(1, 'b.example.', ['192.0.2.1'], 300, 10e9);
  assert.deepEqual(cache.namesOf('192.0.2.1', 1), ['a.example.', 'b.example.']);
  assert.deepEqual(list, ['a.example.'], 'flows that have it keep it');
});

test('a name is kept for its time, and no shorter than the minimum', () => {
  const cache = new NameCache({ minimumSeconds: 120 });
  cache.learn(1, 'short.example.', ['192.0.2.1'], 1, 0);
  cache.learn(1, 'long.example.', ['192.0.2.1'], 600, 0);
  cache.expire(1 * minute);
  assert.equal(cache.namesOf('192.0.2.1', 1)?.length, 2);
  cache.expire(3 * minute);
  assert.deepEqual(cache.namesOf('192.0.2.1', 1), ['long.example.']);
  cache.expire(11 * minute);
  assert.deepEqual([cache.namesOf('192.0.2.1', 1), cache.size, [...cache.rows()].length], [undefined, 0, 0]);
});

test('bounds: names of an address, addresses of a pod, addresses of all pods', () => {
  const cache = new NameCache({ perAddress: 3, perPod: 10, total: 50 });
  for (let i = 0; i < 10; i++) cache.learn(1, `n${i}.example.`, ['192.0.2.1'], 60, 0);
  assert.deepEqual(cache.namesOf('192.0.2.1', 1), ['n7.example.', 'n8.example.', 'n9.example.']);
  for (let pod = 1; pod <= 100; pod++) for (let i = 0; i < 100; i++) cache.learn(pod, `${pod}-${i}.example.`, [`10.0.${pod}.${i}`], 60, 0);
  assert.ok(cache.size <= 100, String(cache.size));
  assert.deepEqual(cache.namesOf('10.0.100.99', 100), ['100-99.example.']);
  assert.equal(cache.namesOf('10.0.100.5', 100), undefined, 'the pod has looked up more than it may, and so has the node');
});
