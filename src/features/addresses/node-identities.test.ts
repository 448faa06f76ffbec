import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstRemoteNodeIdentity, reserved } from '../../model/identity.ts';
import { parsePrefix } from '../../std/ip.ts';
import { NodeIdentities, type LabelledNode } from './node-identities.ts';

const node = (name: string, labels: Record<string, string>, local = false): LabelledNode => ({ name, local, addresses: [`172.30.0.${name.slice(1)}`, `fd00::${name.slice(1)}`], labels });
const nodes = [node('n1', { zone: 'a', disk: 'ssd' }, true), node('n2', { zone: 'b', disk: 'ssd' }), node('n3', { zone: 'b', disk: 'hdd' }), node('n4', { zone: 'c' })];
const zone = new Set(['zone']);
const row = (address: string, identity: number) => { const { addr, bits } = parsePrefix(address); return [{ prefixBits: bits, addr }, { identity }] as const; };

test('while no policy names a label of nodes every other node is remote-node, and this one host', () => {
  const ids = new NodeIdentities();
  assert.deepEqual(ids.set(nodes, new Set(), 'default'), { changed: false, added: [], removed: [] });
  assert.deepEqual(nodes.map(n => ids.of(n)), [reserved.host, reserved.remoteNode, reserved.remoteNode, reserved.remoteNode]);
});

test('one number for each set of the labels that policies name, with the entity and the cluster', () => {
  const ids = new NodeIdentities();
  const { added, removed } = ids.set(nodes, zone, 'default');
  assert.deepEqual(removed, []);
  assert.deepEqual(added.map(([id, labels]) => [id, labels.array]), [
    [reserved.host, ['k8s:io.cilium.k8s.policy.cluster=default', 'node:zone=a', 'reserved:host']],
    [firstRemoteNodeIdentity, ['k8s:io.cilium.k8s.policy.cluster=default', 'node:zone=b', 'reserved:remote-node']],
    [firstRemoteNodeIdentity + 1, ['k8s:io.cilium.k8s.policy.cluster=default', 'node:zone=c', 'reserved:remote-node']],
  ]);
  assert.equal(ids.of(nodes[1]!), ids.of(nodes[2]!));
  assert.deepEqual(ids.set(nodes, zone, 'default'), { changed: false, added: [], removed: [] });
});

test('a node whose label changes gets another number: one that stands in loaded sets never changes its meaning', () => {
  const ids = new NodeIdentities();
  ids.set(nodes, zone, 'default');
  const before = ids.of(nodes[3]!);
  const revision = ids.revision;
  const moved = nodes.map(n => (n.name === 'n4' ? node('n4', { zone: 'd' }) : n));
  const change = ids.set(moved, zone, 'default');
  assert.deepEqual([change.added.map(([id]) => id), change.removed], [[before + 1], [before]]);
  assert.notEqual(ids.revision, revision);
  assert.deepEqual(ids.set(nodes, new Set(), 'default').removed.toSorted(), [reserved.host, firstRemoteNodeIdentity, before + 1].sort());
});

test('after a restart the numbers of the kernel hold until the labels are known, and stay with their nodes', () => {
  const ids = new NodeIdentities();
  ids.adopt([row('172.30.0.2', firstRemoteNodeIdentity + 7), row('172.30.0.4', firstRemoteNodeIdentity + 9), row('10.0.0.0/8', 16777216), row('172.30.0.3', reserved.remoteNode)]);
  assert.deepEqual(nodes.map(n => ids.of(n)), [reserved.host, firstRemoteNodeIdentity + 7, reserved.remoteNode, firstRemoteNodeIdentity + 9]);
  ids.set(nodes, zone, 'default');
  assert.deepEqual(nodes.map(n => ids.of(n)), [reserved.host, firstRemoteNodeIdentity + 7, firstRemoteNodeIdentity + 7, firstRemoteNodeIdentity + 9]);
  assert.deepEqual(ids.set([...nodes, node('n5', { zone: 'e' })], zone, 'default').added.map(([id]) => id), [firstRemoteNodeIdentity + 10]);
});
