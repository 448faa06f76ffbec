import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressKey, desiredAddresses, type AddressInputs } from './desired.ts';

const base: AddressInputs = {
  clusterPrefixes: ['10.244.0.0/16', 'fd00:10:244::/48'],
  nodes: [
    { name: 'node1', local: true, underlay: ['172.30.0.11'], routers: ['10.244.1.1'] },
    { name: 'node2', local: false, underlay: ['172.30.0.12'], routers: ['10.244.2.1'], tunnel: '172.30.0.12' },
  ],
  apiServers: ['172.30.0.1'],
  pods: [],
  policyPrefixes: [],
  dualStack: true,
};
const byPrefix = (inputs: AddressInputs) => new Map(desiredAddresses(inputs).map(row => [addressKey(row), row]));

test('world by family, unknown cluster addresses are not world, nodes are host or remote-node', () => {
  const rows = byPrefix(base);
  assert.equal(rows.get('0.0.0.0/0')?.identity, 9);
  assert.equal(rows.get('::/0')?.identity, 10);
  assert.deepEqual(rows.get('10.244.0.0/16'), { prefix: '10.244.0.0/16', identity: 0, cluster: true, node: false });
  assert.equal(rows.get('172.30.0.11/32')?.identity, 1);
  assert.deepEqual(rows.get('10.244.2.1/32'), { prefix: '10.244.2.1/32', identity: 6, cluster: true, node: true, tunnel: '172.30.0.12' });
  assert.equal(rows.get('172.30.0.1/32')?.identity, 7);
});

test('an address that changes hands belongs to its newest owner, and to a local pod before a remote claim', () => {
  const old = { addresses: ['10.244.1.9'], identity: 300, local: false, tunnel: '172.30.0.12', since: '2026-01-01T00:00:00Z' };
  const newer = { ...old, identity: 400, since: '2026-01-02T00:00:00Z' };
  const local = { addresses: ['10.244.1.9'], identity: 500, local: true, since: '2025-01-01T00:00:00Z' };
  assert.equal(byPrefix({ ...base, pods: [newer, old] }).get('10.244.1.9/32')?.identity, 400);
  assert.deepEqual(byPrefix({ ...base, pods: [local, newer, old] }).get('10.244.1.9/32'), { prefix: '10.244.1.9/32', identity: 500, cluster: true, node: false });
});

test('a policy cannot rename the cluster range, a node or a pod by naming its prefix', () => {
  const rows = byPrefix({
    ...base,
    pods: [{ addresses: ['10.244.2.7'], identity: 300, local: false, since: '' }],
    policyPrefixes: [['10.244.0.0/16', 16777216], ['172.30.0.12/32', 16777217], ['10.244.2.7/32', 16777218], ['192.0.2.0/24', 16777219]],
  });
  assert.equal(rows.get('10.244.0.0/16')?.identity, 0);
  assert.equal(rows.get('172.30.0.12/32')?.identity, 6);
  assert.equal(rows.get('10.244.2.7/32')?.identity, 300);
  assert.equal(rows.get('192.0.2.0/24')?.identity, 16777219);
});

test('the rows do not depend on the order of the inputs', () => {
  const pods = [1, 2, 3, 4].map(i => ({ addresses: [`10.244.${i % 2 + 1}.${i % 3 + 2}`], identity: 300 + i, local: i === 4, since: `2026-01-0${i}` }));
  const want = byPrefix({ ...base, pods });
  fc.assert(fc.property(fc.shuffledSubarray(pods, { minLength: 4 }), fc.shuffledSubarray([...base.nodes], { minLength: 2 }), (shuffled, nodes) => {
    assert.deepEqual(byPrefix({ ...base, pods: shuffled, nodes }), want);
  }));
});
