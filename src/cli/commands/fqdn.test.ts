import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheFilter, mergeSelectors, type NodeCacheRow } from './fqdn.ts';

const row = (more: Partial<NodeCacheRow>): NodeCacheRow => ({
  node: 'node1', endpoint: 3, namespace: 'shop', pod: 'web', name: 'api.stripe.com.', ip: '54.1.1.1', source: 'lookup', ttlSeconds: 5, expires: '', identities: [], selectors: [], connections: 0, ...more,
});

test('the cache is narrowed to a namespace, a pod, an endpoint, a pattern, a source', () => {
  assert.equal(cacheFilter(undefined, {})(row({})), true);
  assert.deepEqual([cacheFilter('shop', {}), cacheFilter('shop/web', {}), cacheFilter('bank', {}), cacheFilter('shop/db', {})].map(wanted => wanted(row({}))), [true, true, false, false]);
  assert.deepEqual(['*.stripe.com', '*.stripe.com.', '*', 'stripe.com'].map(matchpattern => cacheFilter(undefined, { matchpattern })(row({}))), [true, true, true, false]);
  const { name: _, ...nameless } = row({});
  assert.equal(cacheFilter(undefined, { matchpattern: '*' })(nameless), false);
  assert.equal(cacheFilter(undefined, { endpoint: '4' })(row({})), false);
  assert.equal(cacheFilter(undefined, { source: 'connection' })(row({})), false);
  assert.throws(() => cacheFilter(undefined, { source: 'proxy' }), /known are lookup and connection/);
  assert.throws(() => cacheFilter(undefined, { endpoint: 'web' }), /no number/);
});

test('selectors of all nodes are one list, with the names that any of them has seen', () => {
  const of = (names: readonly string[], identities: readonly number[]) => ({
    selector: '*.stripe.com', use: ['toFQDNs' as const], policies: ['CiliumNetworkPolicy shop/checkout'], names: names.map(name => ({ name, ips: ['54.1.1.1'] })), identities,
  });
  assert.deepEqual(mergeSelectors([{ node: 'node1', value: [of(['b.stripe.com.'], [7])] }, { node: 'node2', value: [of(['a.stripe.com.', 'b.stripe.com.'], [])] }]), [{
    selector: '*.stripe.com', use: ['toFQDNs'], policies: ['CiliumNetworkPolicy shop/checkout'],
    names: [{ name: 'a.stripe.com.', ips: ['54.1.1.1'] }, { name: 'b.stripe.com.', ips: ['54.1.1.1'] }], identities: [{ node: 'node1', ids: [7] }],
  }]);
});
