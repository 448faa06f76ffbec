import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { PrefixOrder } from './prefix-order.ts';

test('within a prefix stands what begins in it, itself included', () => {
  const order = new PrefixOrder(['10.2.0.0/16', '10.0.0.0/8', '11.0.0.0/8', '9.255.255.255/32', 'fd00::/8', '10.255.255.255/32'].map(parsePrefix).map(p => [p, formatPrefix(p)] as const));
  assert.deepEqual([...order.within(parsePrefix('10.0.0.0/8'))], ['10.0.0.0/8', '10.2.0.0/16', '10.255.255.255/32']);
  assert.deepEqual([...order.within(parsePrefix('10.2.0.0/15'))], ['10.2.0.0/16']);
  assert.deepEqual([...order.within(parsePrefix('fc00::/7'))], ['fd00::/8']);
  assert.equal([...order.within(parsePrefix('::/0'))].length, 6);
});
