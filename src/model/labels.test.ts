import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLabel, LabelSet, parseLabel, parseSelectLabel } from './labels.ts';

test('labels are read with and without source and value', () => {
  assert.deepEqual(parseLabel('k8s:app=web'), { source: 'k8s', key: 'app', value: 'web' });
  assert.deepEqual(parseLabel('app'), { source: 'unspec', key: 'app', value: '' });
  assert.deepEqual(parseSelectLabel('app=web'), { source: 'any', key: 'app', value: 'web' });
  assert.deepEqual(parseLabel('$host'), { source: 'reserved', key: 'host', value: '' });
  assert.deepEqual(parseLabel('reserved.host'), { source: 'reserved', key: 'host', value: '' });
  assert.equal(formatLabel(parseLabel('reserved:host=')), 'reserved:host');
});

test('a set has one canonical text, whatever the order', () => {
  const set = LabelSet.of(['k8s:b=2', 'reserved:host', 'k8s:a=1']);
  assert.equal(set.toString(), 'k8s:a=1;k8s:b=2;reserved:host');
  assert.ok(set.equals(LabelSet.of(['reserved:host', 'k8s:a=1', 'k8s:b=2'])));
});

test('any: sees every source', () => {
  const set = LabelSet.of(['k8s:app=web', 'node:app=db', 'k8s:x']);
  assert.equal(set.has('any', 'app'), true);
  assert.equal(set.hasValue('any', 'app', 'db'), true);
  assert.deepEqual(set.all('any', 'app'), ['web', 'db']);
  assert.equal(set.get('node', 'app'), 'db');
  assert.equal(set.get('k8s', 'x'), '');
  assert.equal(set.has('cidr', 'app'), false);
  assert.deepEqual([...set.keysOf('k8s')], ['app', 'x']);
});
